"""The curves of a training: what a job has told so far, in; figures, out."""

from collections.abc import Sequence
from typing import Any

from ..base.config import INDUSTRIES
from .job import Job
from .live_chart import card, count_axis, empty_card, label, practice_mark, x_axis, y_axis
from .theme import token
from .trail import best_epochs
from .translations import Translate, figure

Z_95 = 1.96
PART_COLORS = ("finance", "technology", "consumer", "telecom", "industrial", "healthcare")


def epoch_place(event: dict[str, Any]) -> float:
    """Where an epoch stands on the axis: members of an ensemble follow each other."""
    member = event.get("member") or 1
    return (member - 1) * (event.get("epoch_count") or 0) + event.get("epoch", 0)


def _last_place(job: Job | None) -> float:
    """Where the last epoch that a run may come to stands."""
    latest = (job.trail.step or (job.curves.epochs[-1] if job.curves.epochs else {})) if job else {}
    return max((latest.get("epoch_count") or 0) * (latest.get("member_count") or 1), 1)


def _epoch_axis(job: Job | None, t: Translate, points: Sequence[float] = ()) -> dict[str, Any]:
    """The x axis reaches to the last epoch from the start, so that nothing moves while the run goes on."""
    last = max([_last_place(job), *points])
    return x_axis(range=[0.5 if last > 1 else 0, last + 0.5], hoverformat=".1f", **epoch_ticks(last))


def epoch_ticks(last: float) -> dict[str, Any]:
    """Ticks at whole epochs, at most eight or so of them.

    >>> epoch_ticks(2)["dtick"], epoch_ticks(30)["dtick"], epoch_ticks(400)["dtick"]
    (1, 5, 50)
    """
    steps = (size * 10**power for power in range(6) for size in (1, 2, 5))
    return {"tickmode": "linear", "tick0": 0, "dtick": next(step for step in steps if step * 8 >= last)}


def _side(x: float, job: Job | None) -> str:
    """How the label of a point is anchored so that it stays within the axes."""
    share = x / _last_place(job)
    return "left" if share < 0.25 else "right" if share > 0.75 else "center"


def _series(job: Job, name: str) -> tuple[list[float], list[float]]:
    known = [event for event in job.curves.epochs if isinstance(event.get(name), (int, float))]
    return [epoch_place(event) for event in known], [event[name] for event in known]


def _mark(t: Translate, *jobs: Job | None) -> str:
    return practice_mark(t, any(job is not None and job.trail.is_simulated for job in jobs))


def rank_ic_chart(job: Job | None, previous: Job | None, t: Translate) -> dict[str, Any]:
    """Validation RankIC by epoch with a band of one standard error, the previous run in grey."""
    title, subtitle = t("train.chart.rank_ic"), t("train.chart.rank_ic.sub")
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    points: list[float] = []
    if previous is not None:
        x, y = _series(previous, "valid_rank_ic")
        if x:
            traces.append(_line(x, y, token("earlier"), t("train.chart.previous"), 1.5))
            side = _side(x[-1], job or previous)
            notes.append(label(t("train.chart.previous"), x[-1], y[-1], xanchor=side, yshift=-10, xshift=0))
            points += [len(x)] if job is None else []
    if job is not None:
        x, y = _series(job, "valid_rank_ic")
        band = [
            (epoch_place(event), event["valid_rank_ic"], event["valid_rank_ic_se"])
            for event in job.curves.epochs
            if isinstance(event.get("valid_rank_ic_se"), (int, float))
            and event.get("valid_rank_ic") is not None
        ]
        if band:
            places = [place for place, _, _ in band]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [*places, *reversed(places)],
                    "y": [v + se for _, v, se in band] + [v - se for _, v, se in reversed(band)],
                    "fill": "toself",
                    "fillcolor": token("accent", "fan-wide"),
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                    "name": "se",
                }
            )
        if x:
            mode = "lines+markers" if len(x) < 3 else "lines"
            traces.append(_line(x, y, token("accent"), t("train.chart.this"), 2.5, mode))
            chosen = best_epochs(job.curves.epochs)
            chosen = [one for one in chosen if isinstance(one.get("valid_rank_ic"), (int, float))]
            places = [epoch_place(event) for event in chosen]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": places,
                    "y": [event["valid_rank_ic"] for event in chosen],
                    "name": t("train.chart.best", value=""),
                    "marker": {
                        "size": 9,
                        "color": token("card"),
                        "line": {"color": token("accent"), "width": 2},
                    },
                    "hoverinfo": "skip",
                }
            )
            look = {"yshift": 16, "xshift": 0, "font": {"size": 11, "color": "@ink"}}
            if len(chosen) == 1:  # the labels of several members would lie over each other
                place, value = places[0], chosen[0]["valid_rank_ic"]
                text = t("train.chart.best", value=figure(value))
                notes.append(label(text, place, value, xanchor=_side(place, job), **look))
    if not traces:
        why = "train.chart.empty"
        if job is not None and job.curves.epochs:
            why = "train.chart.rank_ic.few"
        elif job is not None and job.is_running:
            why = "train.chart.first_epoch"
        return empty_card(title, t(why), subtitle)
    layout = {
        "annotations": notes,
        "xaxis": _epoch_axis(job or previous, t, points),
        "yaxis": y_axis(),
    }
    legend = [(t("train.chart.this"), token("accent")), (t("train.chart.previous"), token("earlier"))]
    shown = legend if previous is not None and job is not None and len(traces) > 1 else []
    return card(
        title,
        traces,
        layout,
        subtitle=subtitle,
        legend=shown,
        name="rank_ic",
        revision=job.id if job else "previous",
        mark=_mark(t, job, previous),
    )


def _line(
    x: list[float], y: list[float], color: str, name: str, width: float, mode: str = "lines"
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": mode,
        "x": x,
        "y": y,
        "name": name,
        "line": {"color": color, "width": width},
        "hovertemplate": "%{y:.4f}",
    }


def loss_chart(job: Job | None, t: Translate) -> dict[str, Any]:
    """Training loss of each step (thin) and each epoch, validation loss of each epoch."""
    title, subtitle = t("train.chart.loss"), t("train.chart.loss.sub")
    if job is None or not (job.curves.losses or job.curves.epochs):
        return empty_card(title, t("train.chart.empty"), subtitle)
    traces = []
    if job.curves.losses:
        x, y = [at for at, _, _ in job.curves.losses], [loss for _, loss, _ in job.curves.losses]
        traces.append(_line(x, y, token("earlier", 0.55), t("train.chart.train"), 1))
    for name, key, color in (("train", "train_loss", "muted"), ("valid", "valid_loss", "accent")):
        x, y = _series(job, key)
        if x:
            mode = "lines+markers" if len(x) < 3 else "lines"
            traces.append(_line(x, y, token(color), t(f"train.chart.{name}"), 2, mode))
    layout: dict[str, Any] = {"xaxis": _epoch_axis(job, t), "yaxis": y_axis()}
    layout["xaxis"]["range"][0] = 0
    legend = [(t("train.chart.valid"), token("accent")), (t("train.chart.train"), token("muted"))]
    return card(
        title,
        traces,
        layout,
        subtitle=subtitle,
        legend=legend,
        name="loss",
        revision=job.id,
        mark=_mark(t, job),
    )


def parts_chart(job: Job | None, t: Translate) -> dict[str, Any]:
    """The parts of the loss over the steps, stacked: together they are the training loss."""
    title, subtitle = t("train.chart.parts"), t("train.chart.parts.sub")
    if job is None or not job.curves.parts:
        return empty_card(title, t("train.chart.empty"), subtitle)
    x = [at for at, _ in job.curves.parts]
    names = list(job.curves.parts[-1][1])
    # One negative part (a correlation that is maximised) makes a stack of areas unreadable: lines then.
    is_stacked = all(part.get(name, 0.0) >= 0 for _, part in job.curves.parts for name in names)
    traces, notes, floor = [], [], 0.0
    for index, name in enumerate(names):
        y = [part.get(name, 0.0) for _, part in job.curves.parts]
        color = f"industry-{PART_COLORS[index % len(PART_COLORS)]}"
        trace = _line(x, y, token(color), t.choice("part", name), 1.5)
        if is_stacked:
            trace |= {
                "stackgroup": "loss",
                "fillcolor": token(color, 0.65),
                "line": {"width": 1, "color": "@card"},
            }
        traces.append(trace)
        at = floor + y[-1] / 2 if is_stacked else y[-1]
        floor += y[-1]
        notes.append(label(f"{t.choice('part', name)} {figure(y[-1], 2)}", 1.0, at, xref="paper"))
    layout: dict[str, Any] = {
        "margin": {"r": 96},
        "annotations": spread(notes, job),
        "xaxis": _epoch_axis(job, t),
        "yaxis": y_axis(rangemode="tozero"),
    }
    layout["xaxis"]["range"][0] = 0
    layout["xaxis"] |= {"range": [0, max(x[-1], 0.1)]}
    if x[-1] < 1:
        layout["xaxis"] |= {"tickmode": "auto", "nticks": 6}
    return card(
        title, traces, layout, subtitle=subtitle, name="loss_parts", revision=job.id, mark=_mark(t, job)
    )


def spread(notes: list[dict[str, Any]], job: Job) -> list[dict[str, Any]]:
    """Labels at the right end, moved apart where their lines end close together."""
    top = max((sum(max(v, 0) for v in part.values()) for _, part in job.curves.parts), default=1.0) or 1.0
    least = 0.09 * top
    lowest = float("-inf")
    for note in sorted(notes, key=lambda one: one["y"]):
        note["y"] = max(note["y"], lowest + least)
        lowest = note["y"]
    return notes


def industry_chart(job: Job | None, t: Translate) -> dict[str, Any]:
    """RankIC by industry with 95 % intervals where the run tells it; the throughput where it does not."""
    by_industry = (
        next((event["industries"] for event in reversed(job.curves.epochs) if event.get("industries")), None)
        if job
        else None
    )
    if not isinstance(by_industry, dict):
        return speed_chart(job, t)
    known = {
        name: entry
        for name, entry in by_industry.items()
        if isinstance(entry, dict) and isinstance(entry.get("rank_ic"), (int, float)) and name in INDUSTRIES
    }
    names = sorted(known, key=lambda name: known[name]["rank_ic"])
    values = [known[name]["rank_ic"] for name in names]
    errors = [Z_95 * (known[name].get("rank_ic_se") or 0.0) for name in names]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": values,
        "y": [t(f"industry.{name}") for name in names],
        "error_x": {
            "type": "data",
            "array": errors,
            "color": token("strong-line"),
            "thickness": 2,
            "width": 0,
        },
        "marker": {"size": 8, "color": token("accent")},
        "hovertemplate": "%{y} %{x:.4f}<extra></extra>",
        "name": "RankIC",
    }
    layout = {
        "margin": {"l": 84},
        "hovermode": "closest",
        "xaxis": x_axis(showgrid=True, zeroline=True),
        "yaxis": y_axis(showgrid=False, type="category", nticks=12),
    }
    return card(
        t("train.chart.industry"),
        [trace],
        layout,
        subtitle=t("train.chart.industry.sub"),
        name="rank_ic_by_industry",
        revision=job.id if job else "",
        mark=_mark(t, job),
    )


def speed_chart(job: Job | None, t: Translate) -> dict[str, Any]:
    """Samples a second over the run."""
    title, subtitle = t("train.chart.speed"), t("train.chart.speed.sub")
    if job is None or not job.curves.losses:
        return empty_card(title, t("train.chart.empty"), subtitle)
    x, y = [at for at, _, _ in job.curves.losses], [speed for _, _, speed in job.curves.losses]
    trace = _line(x, y, token("accent"), title, 1.5) | {"hovertemplate": "%{y:,.0f}"}
    layout: dict[str, Any] = {
        "xaxis": _epoch_axis(job, t),
        "yaxis": count_axis(t, max(y)),
    }
    layout["xaxis"]["range"][0] = 0
    return card(
        title, [trace], layout, subtitle=subtitle, name="throughput", revision=job.id, mark=_mark(t, job)
    )
