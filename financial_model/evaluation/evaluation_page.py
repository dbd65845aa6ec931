"""How an evaluation is laid out on the report page."""

import json
from html import escape
from typing import Any

from .report_layout import MARGIN, Page, number, percent, percent_with_error, with_error

Json = dict[str, Any]


def lay_out_evaluation(page: Page, result: Json) -> None:
    """All sections of one or several evaluated checkpoints; the first is told in full."""
    model = result["models"][0]
    _headline(page, model)
    _forest(page, result["models"])
    _curve(page, model)
    _deciles(page, model)
    if model["calibration"]:
        _coverage(page, model["calibration"])
        _pit(page, model["calibration"])
    if model["leakage"]:
        _leakage(page, model["leakage"])
    if model["fans"]:
        _fans(page, model["fans"])
    if result.get("folds"):
        _folds(page, result["folds"])
    if len(result["models"]) > 1:
        _comparison(page, result)
    if model["baselines"]:
        _baselines(page, model)
    for key in ("year", "regime", "industry", "size"):
        _group_table(page, key, model["by"][key])
    if model["calibration"]:
        _direction(page, model["calibration"])
    _settings(page, model)


def _headline(page: Page, model: Json) -> None:
    summary, calibration = model["summary"], model["calibration"]
    figures = [
        (page.text("ic"), with_error(summary["ic"])),
        (page.text("icir"), number(summary["rank_ic"]["ir"], 2)),
        (
            page.text("hit"),
            f"{percent_with_error(summary['hit_rate'])} <small>({escape(page.text('hit.expected'))} "
            f"{percent(summary['hit_rate']['expected'])})</small>",
        ),
        (page.text("unlocked"), with_error(model["without_locked"]["rank_ic"])),
    ]
    if calibration:
        figures += [
            (page.text(f"coverage{key}"), percent_with_error(calibration["coverage"][key]))
            for key in ("90", "50")
        ]
    spread = model["portfolios"]["spread"]
    if spread:
        error = (
            ""
            if spread["annualised_se"] is None
            else f" <small>± {100 * spread['annualised_se']:.1f}</small>"
        )
        figures.append((page.text("spread"), percent(spread["annualised"]) + error))
    cells = "".join(f"<div><span>{escape(name)}</span><b>{value}</b></div>" for name, value in figures)
    facts = " · ".join(
        [
            page.text("out_of_sample"),
            escape(model["name"]),
            f"{model['first']} – {model['last']}",
            *(f"{model[f'{key}_count']:,} {page.text(key + 's')}" for key in ("session", "stock", "sample")),
            f"{page.text('label')} {escape(model['label'])}",
        ]
    )
    rank_ic = summary["rank_ic"]
    page.sections.append(
        f'<section class="wide"><p class="note">{facts}</p>'
        f'<div class="big">{number(rank_ic["mean"])}<small>± {number(rank_ic["se"])} RankIC</small></div>'
        f'<p class="verdict">{escape(named_sentence(page, model["headline"]))}</p>'
        f'<div class="figures">{cells}</div></section>'
    )


def named_sentence(page: Page, headline: Json) -> str:
    """The headline's sentence with the baseline's key replaced by its name."""
    sentence = str(headline[page.lang])
    against = headline.get("against")
    return sentence.replace(str(against), page.name(against)) if against else sentence


def _forest(page: Page, models: list[Json]) -> None:
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


def _curve(page: Page, model: Json) -> None:
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
        xaxis={"type": "date", "showgrid": False},
        yaxis={"tickformat": ".2f"},
        yaxis2={"overlaying": "y", "side": "right", "showgrid": False},
        margin={**MARGIN, "r": 44},
    )
    page.section("curve", body, note="curve.note")


def _deciles(page: Page, model: Json) -> None:
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


def _coverage(page: Page, calibration: Json) -> None:
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


def _pit(page: Page, calibration: Json) -> None:
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


def _fans(page: Page, fans: list[Json]) -> None:
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
                "nticks": 4,
            },
            yaxis={"side": "right"},
            shapes=[line],
            margin={"l": 8, "r": 48, "t": 8, "b": 28},
        )
        caption = f"{fan['code']} · {fan['as_of']} · {page.text('percentile')} {fan['percentile']}"
        parts.append(f'<div><p class="note">{escape(caption)}</p>{body}</div>')
    note = f'<p class="note">{escape(page.text("flat"))}</p>'
    page.section("fans", f'<div class="fans">{"".join(parts)}</div>{note}', note="fans.note", wide=True)


def _leakage(page: Page, checks: list[Json]) -> None:
    rows = []
    for check in checks:
        detail = check["detail"]
        if check["name"] == "truncation":
            found = f"{len(detail['days'])} {page.text('dates')} {number(check['value'], 6)}"
            expected = "0"
        elif check["name"] == "permutation":
            found, expected = number(check["value"]), f"0 ± {number(detail['allowed'])}"
        else:
            found, expected = number(check["value"]), f"≤ {number(check['expected'])}"
        state = "passed" if check["passed"] else "failed"
        tag = f'<span class="tag {state}">{page.text(state)}</span>'
        rows.append([escape(page.text(f"check.{check['name']}")), escape(found), escape(expected), tag])
    page.section(
        "leakage",
        page.table([page.text("check"), page.text("found"), page.text("expected"), ""], rows),
    )


def _folds(page: Page, folds: list[Json]) -> None:
    """The retrainings of a walk forward: what each learned from and what it was judged on."""
    rows = [
        [
            str(fold["fold"]),
            *(" – ".join(fold["split"][name]) for name in ("train", "valid")),
            f"{fold['first']} – {fold['last']}",
            number(fold["rank_ic"]),
        ]
        for fold in folds
    ]
    head = [page.text(key) for key in ("fold", "fold.train", "fold.valid", "fold.test")]
    page.section("folds", page.table([*head, "RankIC"], rows), wide=True)


def _comparison(page: Page, result: Json) -> None:
    rows = [
        [
            escape(model["name"]),
            with_error(model["summary"]["rank_ic"]),
            number(model["summary"]["rank_ic"]["t"], 1),
            with_error(model["summary"]["ic"]),
            with_error(model["without_locked"]["rank_ic"]),
        ]
        for model in result["models"]
    ]
    rows += [
        [
            f"{escape(row['first'])} {page.text('minus')} {escape(row['second'])}",
            with_error(row["rank_ic"]),
            number(row["rank_ic"]["t"], 1),
            with_error(row["ic"]),
            "",
        ]
        for row in result["comparison"]
    ]
    head = [page.text("name"), "RankIC", "t", "IC", page.text("unlocked")]
    page.section("comparison", page.table(head, rows), wide=True)


def _baselines(page: Page, model: Json) -> None:
    summary = model["summary"]
    rows = [
        [
            f"<b>{escape(page.text('this'))}</b>",
            with_error(summary["ic"]),
            with_error(summary["rank_ic"]),
            number(summary["rank_ic"]["t"], 1),
            with_error(model["without_locked"]["ic"]),
            with_error(model["without_locked"]["rank_ic"]),
            "",
            "",
        ]
    ]
    for row in model["baselines"]:
        rows.append(
            [
                escape(page.name(row["name"])),
                with_error(row["ic"]),
                with_error(row["rank_ic"]),
                number(row["rank_ic"]["t"], 1),
                with_error(row["ic_without_locked"]),
                with_error(row["rank_ic_without_locked"]),
                with_error(row["difference"]),
                number(row["difference"]["t"], 1),
            ]
        )
    free = " –" + page.text("unlocked").replace("RankIC", "").strip()
    head = [
        page.text("name"),
        "IC",
        "RankIC",
        "t",
        "IC" + free,
        "RankIC" + free,
        page.text("difference"),
        "t",
    ]
    page.section("baselines", page.table(head, rows), wide=True)


def _group_table(page: Page, key: str, rows: list[Json]) -> None:
    cells = [
        [
            escape(page.name(row["name"])),
            f"{row['sessions']:,}",
            f"{row['samples']:,}",
            with_error(row["ic"]),
            with_error(row["rank_ic"]),
            number(row["rank_ic"]["t"], 1),
        ]
        for row in rows
    ]
    head = ["", page.text("sessions"), page.text("samples"), "IC", "RankIC", "t"]
    page.section(f"by.{key}", page.table(head, cells))


def _direction(page: Page, calibration: Json) -> None:
    rows = [
        [
            f"{row['step']}",
            percent_with_error(row),
            percent(row["constant"]),
            percent_with_error(calibration["coverage_by_step"]["90"][place]),
            percent_with_error(calibration["coverage_by_step"]["50"][place]),
            number(calibration["pinball"]["by_step"][place], 5),
        ]
        for place, row in enumerate(calibration["direction"])
    ]
    head = [
        page.text("step"),
        page.text("right"),
        page.text("constant"),
        page.text("coverage90"),
        page.text("coverage50"),
        page.text("pinball"),
    ]
    page.section("direction", page.table(head, rows), wide=True)


def _settings(page: Page, model: Json) -> None:
    shown = escape(json.dumps(model["settings"], ensure_ascii=False, indent=1))
    body = (
        f'<p class="note">{page.text("fingerprint")} {escape(str(model["data_fingerprint"]))}</p>'
        f"<details><summary>{escape(page.text('settings'))}</summary><pre>{shown}</pre></details>"
    )
    page.section("settings", body, wide=True)
