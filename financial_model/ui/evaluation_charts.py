"""An evaluation in pictures: what the job returned, in; figures, out."""

from typing import Any

from .candles import session_axis
from .live_chart import PERCENT_TICKS, axis, card, empty_card, label, practice_mark, x_axis, y_axis
from .theme import token
from .translations import Translate, figure, percent

Json = dict[str, Any]

Z_95 = 1.96
MODEL_COLORS = ("accent", "industry-consumer", "industry-healthcare", "industry-telecom")


def models_of(result: Json | None) -> list[Json]:
    """The evaluations in a result: several checkpoints, or the one record of a walk forward."""
    if not result:
        return []
    return list(result.get("models") or [result])


def base_of(result: Json, t: Translate, name: str) -> Json:
    """What every card of a result carries: a name for its file, the practice mark, what it is drawn from."""
    first = models_of(result)[0]
    return {
        "name": f"{name}_{first.get('name', '')}_{first.get('first')}_{first.get('last')}",
        "mark": practice_mark(t, first.get("is_simulated")),
        "revision": f"{first.get('name')}{first.get('first')}{first.get('last')}",
    }


def baseline_name(t: Translate, name: str) -> str:
    return t.choice("baseline", name)


def forest_chart(result: Json | None, t: Translate) -> Json:
    """RankIC of each checkpoint and each baseline on the same samples, with 95 % intervals."""
    title = t("evaluation.chart.forest")
    models = models_of(result)
    if not result or not models:
        return empty_card(title, t("evaluation.empty"))
    rows = [(_short(model["name"], models, t), model["summary"]["rank_ic"], True) for model in models]
    baselines = sorted(models[0]["baselines"], key=lambda row: -(row["rank_ic"]["mean"] or 0.0))
    rows += [(baseline_name(t, row["name"]), row["rank_ic"], False) for row in baselines]
    rows = [row for row in rows if row[1]["mean"] is not None]
    if not rows:
        return empty_card(title, t("evaluation.nothing"))
    names = [name for name, _, _ in rows]
    means = [mean["mean"] for _, mean, _ in rows]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "RankIC",
        "x": means,
        "y": names,
        "error_x": {
            "type": "data",
            "array": [Z_95 * (mean["se"] or 0.0) for _, mean, _ in rows],
            "color": token("strong-line"),
            "thickness": 2.5,
            "width": 0,
        },
        "marker": {"size": 9, "color": [token("accent" if mine else "muted") for _, _, mine in rows]},
        "hovertemplate": "%{y} %{x:.4f}<extra></extra>",
    }
    notes = [
        label(
            f"<b>{figure(mean['mean'])}</b>" if mine else figure(mean["mean"]),
            1,
            name,
            xref="paper",
            xshift=8,
            font={"size": 11, "color": token("ink" if mine else "muted")},
        )
        for name, mean, mine in rows
    ]
    shapes = [_vertical(0, token("strong-line"), "solid"), _vertical(means[0], token("accent"), "dot")]
    layout = {
        "margin": {"l": 132, "r": 60, "t": 4, "b": 24},
        "hovermode": "closest",
        "annotations": notes,
        "shapes": shapes,
        "xaxis": x_axis(showgrid=True, nticks=6),
        "yaxis": y_axis(type="category", autorange="reversed", showgrid=False, nticks=24, ticks=""),
    }
    return card(
        title,
        [trace],
        layout,
        subtitle=t("evaluation.chart.forest.sub"),
        table={
            "name": names,
            "rank_ic": means,
            "se": [mean["se"] for _, mean, _ in rows],
            "t": [mean["t"] for _, mean, _ in rows],
        },
        narrow={"xaxis": {"nticks": 4}},
        **base_of(result, t, "rank_ic"),
    )


def _short(name: str, models: list[Json], t: Translate) -> str:
    """The model's name, short: "this model" where there is only one."""
    if len(models) == 1:
        return t("evaluation.this_model")
    return name if len(name) <= 18 else f"{name[:6]}…{name[-11:]}"


def _vertical(x: float, color: str, dash: str) -> Json:
    line = {"color": color, "width": 1, "dash": dash}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line}


def ic_chart(result: Json | None, t: Translate) -> Json:
    """Mean RankIC of each month as bars, the sum over sessions as a line; several checkpoints are lines."""
    title = t("evaluation.chart.ic")
    models = models_of(result)
    if not result or not models:
        return empty_card(title, t("evaluation.empty"))
    curve = models[0]["curve"]
    traces: list[Json] = []
    if len(models) == 1:
        traces.append(
            {
                "type": "bar",
                "name": t("evaluation.ic.month"),
                "x": curve["month_last_session"],
                "y": curve["month_rank_ic"],
                "xaxis": "x2",
                "marker": {"color": token("accent", 0.55), "line": {"width": 0}},
                "customdata": curve["month"],
                "hovertemplate": "%{customdata} %{y:.4f}<extra></extra>",
            }
        )
    traces += [
        {
            "type": "scatter",
            "mode": "lines",
            "name": _short(model["name"], models, t),
            "x": model["curve"]["session"],
            "y": model["curve"]["cumulative_rank_ic"],
            "yaxis": "y2",
            "line": {
                "color": token("ink" if len(models) == 1 else MODEL_COLORS[k % len(MODEL_COLORS)]),
                "width": 2,
            },
            "hovertemplate": "%{x} %{y:.2f}",
        }
        for k, model in enumerate(models)
    ]
    sessions = curve["session"]
    layout: Json = {
        "margin": {"l": 46, "r": 42, "t": 8, "b": 24},
        "hovermode": "closest",
        "bargap": 0.25,
        "xaxis": session_axis(sessions, ticks=6),
        # Months have an axis of their own over the same width, so that their bars are wide.
        "xaxis2": axis(
            type="category",
            overlaying="x",
            visible=False,
            matches=None,
            range=[-0.5, len(curve["month"]) - 0.5],
        ),
        "yaxis": y_axis(zeroline=True, visible=len(models) == 1),
        "yaxis2": y_axis(side="right", overlaying="y", showgrid=False, tickmode="auto"),
    }
    if len(models) == 1:
        layout["xaxis2"] |= {"anchor": "y"}
    legend = [
        (trace["name"], trace["line"]["color"])
        for trace in traces
        if len(models) > 1 and trace["type"] == "scatter"
    ]
    return card(
        title,
        traces,
        layout,
        subtitle=t("evaluation.chart.ic.sub" if len(models) == 1 else "evaluation.chart.ic.many"),
        legend=legend,
        table={
            "session": sessions,
            **{
                f"{part} {model['name']}".strip(): model["curve"][part]
                for model in models
                for part in ("rank_ic", "cumulative_rank_ic")
            },
        },
        **base_of(result, t, "ic"),
    )


def decile_chart(result: Json | None, t: Translate) -> Json:
    """Annualised excess of ten groups by score, before costs, with 95 % intervals."""
    title = t("evaluation.chart.decile")
    models = models_of(result)
    groups = (models[0].get("portfolios") or {}).get("groups") if models else None
    if not result or not groups:
        return empty_card(title, t("evaluation.empty" if not result else "evaluation.nothing"))
    values = [group["annualised"] for group in groups]
    count = len(groups)
    names = [
        t("evaluation.decile.low")
        if k == 0
        else t("evaluation.decile.high", count=count)
        if k == count - 1
        else str(k + 1)
        for k in range(count)
    ]
    trace = {
        "type": "bar",
        "name": t("evaluation.decile.excess"),
        "x": names,
        "y": values,
        "marker": {"color": [token("up" if (value or 0) >= 0 else "down", 0.85) for value in values]},
        "error_y": {
            "type": "data",
            "array": [Z_95 * (group["annualised_se"] or 0.0) for group in groups],
            "color": token("muted"),
            "thickness": 1.5,
            "width": 0,
        },
        "hovertemplate": "%{x} %{y:.1%}<extra></extra>",
    }
    layout = {
        "margin": {"l": 52, "r": 8, "t": 8, "b": 24},
        "hovermode": "closest",
        "bargap": 0.28,
        "xaxis": x_axis(type="category", tickangle=0, tickmode="array", tickvals=names, ticktext=names),
        "yaxis": y_axis(tickformat=PERCENT_TICKS, zeroline=True),
    }
    spread = models[0]["portfolios"].get("spread") or {}
    note = ""
    if spread.get("annualised") is not None:
        note = t(
            "evaluation.decile.spread",
            spread=percent(spread["annualised"], 1, signed=True),
            error=figure(100 * (spread.get("annualised_se") or 0.0), 1),
        )
    return card(
        title,
        [trace],
        layout,
        subtitle=t("evaluation.chart.decile.sub"),
        note=note,
        table={
            "group": list(range(1, count + 1)),
            "annualised": values,
            "annualised_se": [group["annualised_se"] for group in groups],
        },
        narrow={
            "xaxis": {"ticktext": [name.replace(" ", "<br>", 1) for name in names]},
            "margin": {"l": 52, "r": 12, "t": 8, "b": 40},
        },
        **base_of(result, t, "deciles"),
    )


def coverage_chart(result: Json | None, t: Translate) -> Json:
    """How often the truth lay inside the 90 % interval, by regime, beside the band of the target."""
    title = t("evaluation.chart.coverage")
    models = models_of(result)
    calibration = models[0].get("calibration") if models else None
    if not result or not calibration:
        return empty_card(title, t("evaluation.empty" if not result else "evaluation.no_quantiles"))
    rows = [
        (t.choice("regime", row["name"]), row)
        for row in calibration["coverage_by_regime"]["90"]
        if row["mean"] is not None
    ]
    rows.append((t("evaluation.all"), calibration["coverage"]["90"]))
    tolerance = calibration["tolerance"]
    names = [name for name, _ in rows]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "90 %",
        "x": [row["mean"] for _, row in rows],
        "y": names,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [(row["high"] or row["mean"]) - row["mean"] for _, row in rows],
            "arrayminus": [row["mean"] - (row["low"] or row["mean"]) for _, row in rows],
            "color": token("strong-line"),
            "thickness": 2.5,
            "width": 0,
        },
        "marker": {"size": 9, "color": token("accent")},
        "hovertemplate": "%{y} %{x:.1%}<extra></extra>",
    }
    band = {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": 0.9 - tolerance,
        "x1": 0.9 + tolerance,
        "y0": 0,
        "y1": 1,
        "fillcolor": token("accent", "fan-wide"),
        "line": {"width": 0},
        "layer": "below",
    }
    ends = [value for _, row in rows for value in (row["low"], row["high"], row["mean"]) if value is not None]
    low, high = min([*ends, 0.88]), max([*ends, 0.92])
    notes = [
        label(percent(row["mean"]), 1, name, xref="paper", xshift=8, font={"size": 11, "color": token("ink")})
        for name, row in rows
    ]
    layout = {
        "margin": {"l": 72, "r": 60, "t": 4, "b": 24},
        "hovermode": "closest",
        "shapes": [band, _vertical(0.9, token("accent"), "solid")],
        "annotations": notes,
        "xaxis": x_axis(showgrid=True, tickformat=PERCENT_TICKS, nticks=6, range=[low - 0.01, high + 0.01]),
        "yaxis": y_axis(type="category", autorange="reversed", showgrid=False, nticks=12, ticks=""),
    }
    half = calibration["coverage"]["50"]
    return card(
        title,
        [trace],
        layout,
        subtitle=t("evaluation.chart.coverage.sub"),
        note=t("evaluation.coverage.half", share=percent(half["mean"]), band=figure(100 * tolerance, 1)),
        table={
            "regime": names,
            "coverage_90": [row["mean"] for _, row in rows],
            "se": [row["se"] for _, row in rows],
            "samples": [row["samples"] for _, row in rows],
        },
        **base_of(result, t, "coverage"),
    )
