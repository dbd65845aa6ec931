"""The figures of the evaluation on the report page."""

from html import escape
from typing import Any

from .report_layout import DATE_AXIS, MARGIN, Page, number, percent

Json = dict[str, Any]


def forest(page: Page, models: list[Json]) -> None:
    """RankIC of the checkpoints and the baselines with 95 % intervals."""
    rows = [
        (model["name"] if len(models) > 1 else page.text("this"), model["summary"]["rank_ic"], True)
        for model in models
    ]
    ordered = sorted(models[0]["baselines"], key=lambda row: -(row["rank_ic"]["mean"] or 0))
    rows += [(page.name(row["name"]), row["rank_ic"], False) for row in ordered]
    names = [name for name, _, _ in rows]
    means = [mean["mean"] for _, mean, _ in rows]
    data = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": means,
            "y": names,
            "text": [f"  {number(value)}" for value in means],
            "textposition": "top center",
            "textfont": {"size": 11},
            "error_x": {
                "array": [1.96 * (mean["se"] or 0) for _, mean, _ in rows],
                "color": "--strong-line",
                "thickness": 3,
                "width": 0,
            },
            "marker": {"size": 10, "color": ["--accent" if mine else "--muted" for _, _, mine in rows]},
            "hovertemplate": "%{y}: %{x:.4f}<extra></extra>",
        }
    ]
    line = {
        "type": "line",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "x0": means[0],
        "x1": means[0],
        "line": {"color": "--accent", "width": 1, "dash": "dot"},
    }
    body = page.figure(
        "forest",
        data,
        max(220, 60 + 34 * len(rows)),
        xaxis={"showgrid": True, "zeroline": True, "tickformat": ".2f"},
        yaxis={"autorange": "reversed", "showgrid": False, "automargin": True},
        shapes=[line] if means[0] is not None else [],
        margin={**MARGIN, "l": 140},
    )
    page.section("forest", body, note="forest.note")


def curve(page: Page, model: Json) -> None:
    """Monthly mean RankIC as bars, the sum over sessions as a line."""
    curve = model["curve"]
    data = [
        {
            "type": "bar",
            "x": curve["month"],
            "y": curve["month_rank_ic"],
            "marker": {"color": "--accent", "opacity": 0.55},
            "hovertemplate": "%{x}: %{y:.4f}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": curve["session"],
            "y": curve["cumulative_rank_ic"],
            "yaxis": "y2",
            "line": {"color": "--ink", "width": 2},
            "hovertemplate": "%{x}: %{y:.2f}<extra></extra>",
        },
    ]
    body = page.figure(
        "curve",
        data,
        280,
        xaxis={**DATE_AXIS, "showgrid": False},
        yaxis={"tickformat": ".2f"},
        yaxis2={"overlaying": "y", "side": "right", "showgrid": False},
        margin={**MARGIN, "r": 44},
    )
    page.section("curve", body, note="curve.note")


def deciles(page: Page, model: Json) -> None:
    """Excess return a year of the ten groups by score, with 95 % intervals."""
    groups = model["portfolios"]["groups"]
    values = [group["annualised"] for group in groups]
    names = [str(group["group"]) for group in groups]
    if names:
        names[0] += f" {page.text('decile.low')}"
        names[-1] += f" {page.text('decile.high')}"
    data = [
        {
            "type": "bar",
            "x": names,
            "y": values,
            "marker": {"color": ["--up" if (value or 0) > 0 else "--down" for value in values]},
            "error_y": {
                "array": [1.96 * (group["annualised_se"] or 0) for group in groups],
                "color": "--ink",
                "thickness": 1,
                "width": 0,
            },
            "hovertemplate": "%{x}: %{y:.1%}<extra></extra>",
        }
    ]
    body = page.figure("deciles", data, 280, xaxis={"type": "category"}, yaxis={"tickformat": ".0%"})
    page.section("deciles", body, note="deciles.note")


def coverage(page: Page, calibration: Json) -> None:
    """Share of outcomes inside the 90 % and the 50 % interval, by regime, with the tolerance shaded."""
    tolerance = calibration["tolerance"]
    data, shapes = [], []
    layout: Json = {}
    for place, key in enumerate(("90", "50")):
        nominal = int(key) / 100
        rows = [*calibration["coverage_by_regime"][key], calibration["coverage"][key] | {"name": "all"}]
        names = [page.text("all") if row["name"] == "all" else page.name(row["name"]) for row in rows]
        suffix = "" if place == 0 else "2"
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [row["mean"] for row in rows],
                "y": names,
                "xaxis": f"x{suffix}",
                "text": [percent(row["mean"]) for row in rows],
                "textposition": "top center",
                "textfont": {"size": 11},
                "error_x": {
                    "array": [1.96 * (row["se"] or 0) for row in rows],
                    "color": "--strong-line",
                    "thickness": 3,
                    "width": 0,
                },
                "marker": {"size": 9, "color": "--accent"},
                "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
            }
        )
        ends = {"xref": f"x{suffix}", "yref": "paper", "y0": 0, "y1": 1}
        shapes.append(
            {
                "type": "rect",
                **ends,
                "x0": nominal - tolerance,
                "x1": nominal + tolerance,
                "fillcolor": "--band",
                "line": {"width": 0},
                "layer": "below",
            }
        )
        shapes.append(
            {"type": "line", **ends, "x0": nominal, "x1": nominal, "line": {"color": "--accent", "width": 1}}
        )
        layout[f"xaxis{suffix}"] = {
            "domain": [0, 0.47] if place == 0 else [0.53, 1],
            "tickformat": ".0%",
            "showgrid": True,
            "title": {"text": f"{key} %", "font": {"size": 11}},
        }
    body = page.figure(
        "coverage",
        data,
        280,
        yaxis={"autorange": "reversed", "showgrid": False, "automargin": True},
        shapes=shapes,
        margin={**MARGIN, "l": 84, "b": 44},
        **layout,
    )
    page.section("calibration", body, note="calibration.note")


def pit(page: Page, calibration: Json) -> None:
    """Outcomes in each bin of the quantiles, as a multiple of what was due."""
    rows = calibration["pit"]
    names = ["< 5 %", "5–25 %", "25–50 %", "50–75 %", "75–95 %", "> 95 %"]
    ratio = [None if row["mean"] is None else row["mean"] / row["expected"] for row in rows]
    error = [1.96 * (row["se"] or 0) / row["expected"] for row in rows]
    data = [
        {
            "type": "bar",
            "x": names,
            "y": ratio,
            "marker": {"color": "--accent", "opacity": 0.55},
            "error_y": {"array": error, "color": "--ink", "thickness": 1, "width": 0},
            "hovertemplate": "%{x}: %{y:.3f}<extra></extra>",
        }
    ]
    line = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 1,
        "y1": 1,
        "line": {"color": "--ink", "width": 1, "dash": "dot"},
    }
    body = page.figure(
        "pit", data, 280, xaxis={"type": "category"}, yaxis={"tickformat": ".1f"}, shapes=[line]
    )
    page.section("pit", body, note="pit.note")


def fans(page: Page, fans: list[Json]) -> None:
    """Forecasts made at some sessions and what came, chosen by rule."""
    parts = []
    for place, fan in enumerate(fans):
        sessions = [fan["as_of"], *fan["session"]]
        close = fan["history_close"][-1]
        columns = [[close, *[row[level] for row in fan["quantiles"]]] for level in range(5)]
        data: list[Json] = []
        for low, high, colour in ((0, 4, "--fan90"), (1, 3, "--fan50")):
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": sessions + sessions[::-1],
                    "y": columns[high] + columns[low][::-1],
                    "fill": "toself",
                    "fillcolor": colour,
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                }
            )
        data += [
            {
                "type": "scatter",
                "mode": "lines",
                "x": sessions,
                "y": columns[2],
                "line": {"color": "--accent", "width": 2},
            },
            {
                "type": "scatter",
                "mode": "lines",
                "x": fan["history_session"],
                "y": fan["history_close"],
                "line": {"color": "--ink", "width": 1.5},
            },
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": sessions,
                "y": [close, *fan["actual"]],
                "line": {"color": "--ink", "width": 1.5, "dash": "dot"},
                "marker": {"size": 4},
            },
        ]
        line = {
            "type": "line",
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "x0": fan["as_of"],
            "x1": fan["as_of"],
            "line": {"color": "--strong-line", "width": 1},
        }
        body = page.figure(
            f"fan{place}",
            data,
            220,
            xaxis={
                "type": "category",
                "categoryorder": "array",
                "categoryarray": fan["history_session"] + fan["session"],
                "tickvals": [fan["history_session"][len(fan["history_session"]) // 4], fan["as_of"]],
            },
            yaxis={"side": "right"},
            shapes=[line],
            margin={"l": 8, "r": 48, "t": 8, "b": 28},
        )
        caption = f"{fan['code']} · {fan['as_of']} · {page.text('percentile')} {fan['percentile']}"
        parts.append(f'<div><p class="note">{escape(caption)}</p>{body}</div>')
    note = f'<p class="note">{escape(page.text("flat"))}</p>'
    page.section("fans", f'<div class="fans">{"".join(parts)}</div>{note}', note="fans.note", wide=True)
