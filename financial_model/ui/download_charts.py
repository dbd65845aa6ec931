"""Charts of the download tab: speed by server, and how many stocks have data in each year."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

from .job import Job
from .live_chart import card, empty_card, label, practice_mark, x_axis, y_axis
from .market_status import MarketStatus
from .theme import token
from .translations import Translate

SHOWN_S = 180.0


def speed_chart(job: Job | None, t: Translate) -> dict[str, Any]:
    """Units a second over the last three minutes of a download, stacked by server where it tells them."""
    title = t("download.chart.speed")
    history = [event for event in job.curves.progress if event.get("done") is not None] if job else []
    if job is None or len(history) < 3:
        return empty_card(title, t("download.chart.speed.empty"))
    last = history[-1]["time"]
    recent = [event for event in history if last - event["time"] <= SHOWN_S]
    unit = t.choice("download.unit", recent[-1].get("unit", ""))
    x = [round(event["time"] - last, 1) for event in recent[1:]]
    by_server = _speeds_by_server(recent) or {t("download.chart.speed.all"): _speeds(recent)}
    traces, notes, floor = [], [], 0.0
    for index, (name, speeds) in enumerate(by_server.items()):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": speeds,
                "name": name,
                "stackgroup": "servers",
                "line": {"width": 0.5, "color": token("accent")},
                "fillcolor": token("accent", max(0.15, 0.9 - 0.2 * index)),
                "hovertemplate": "%{y:.1f}",
            }
        )
        notes.append(label(name, x[-1] if x else 0, floor + speeds[-1] / 2))
        floor += speeds[-1]
    layout = {
        "margin": {"r": 84},
        "annotations": notes,
        "xaxis": x_axis(
            range=[-SHOWN_S, 0], tickvals=[-180, -120, -60, 0], ticktext=["−3:00", "−2:00", "−1:00", "0:00"]
        ),
        "yaxis": y_axis(rangemode="tozero"),
    }
    subtitle = t("download.chart.speed.sub", unit=unit)
    return card(title, traces, layout, subtitle=subtitle, name="download_speed", revision=job.id)


def _speeds(events: list[dict[str, Any]]) -> list[float]:
    return [
        max(0.0, (after["done"] - before["done"]) / max(after["time"] - before["time"], 0.05))
        for before, after in pairwise(events)
    ]


def _speeds_by_server(events: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Answers a second of each server, where the events count them; the busiest first, the rest as one."""
    counts: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(events))
    for index, event in enumerate(events):
        for server in event.get("servers") or []:
            if isinstance(server, dict) and isinstance(server.get("answers"), (int, float)):
                counts[str(server.get("name") or server.get("address"))][index] = server["answers"]
    speeds = {
        name: [
            max(0.0, (series[i + 1] - series[i]) / max(events[i + 1]["time"] - events[i]["time"], 0.05))
            for i in range(len(events) - 1)
        ]
        for name, series in counts.items()
    }
    ordered = sorted((name for name in speeds if sum(speeds[name]) > 0), key=lambda name: -sum(speeds[name]))
    return {name: speeds[name] for name in ordered[:5]}


def years_chart(market: MarketStatus, t: Translate) -> dict[str, Any]:
    """How many stocks have data in each year, from the first and last session of each."""
    title, subtitle = t("download.chart.years"), t("download.chart.years.sub")
    counts = market.by_year
    if not counts:
        return empty_card(title, t("download.chart.years.empty"), subtitle)
    years = sorted(counts)
    bars = {
        "type": "bar",
        "x": [str(year) for year in years],
        "y": [counts[year] for year in years],
        "marker": {"color": token("accent", 0.75)},
        "hovertemplate": "%{x}: %{y:,}<extra></extra>",
        "name": title,
    }
    layout = {
        "xaxis": x_axis(type="category", nticks=8),
        "yaxis": y_axis(rangemode="tozero", tickformat=","),
        "bargap": 0.3,
    }
    mark = practice_mark(t, market.is_simulated)
    return card(title, [bars], layout, subtitle=subtitle, name="stocks_per_year", mark=mark)
