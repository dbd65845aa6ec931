"""A forecast in pictures: candles, the fan into the sessions to come, what past forecasts were worth."""

from collections.abc import Sequence
from math import exp, sqrt
from typing import Any

from ..base.config import QUANTILE_LEVELS
from .candles import candlestick, session_axis, volume_bars
from .live_chart import PERCENT_TICKS, card, empty_card, label, practice_mark, x_axis, y_axis
from .theme import token
from .translations import Translate, figure, percent

Json = dict[str, Any]

FAN_HEIGHT = 380
PRICE_FROM = 0.24
LABEL_PX = 15
# Room at the right for the labels of the fan's ends, as a share of the sessions drawn.
LABEL_ROOM = 0.16
# On the screen of a telephone: sessions left of the last forecast one, and room for the labels, in sessions.
NARROW_SHOWN, NARROW_ROOM = 36, 17


def simple(log_return: float) -> float:
    """A log return as a fraction of the price."""
    return exp(log_return) - 1


def in_prices(result: Json, prices: str) -> Json:
    """The bars of a result in forward-adjusted prices or as they were traded ("raw")."""
    bars: Json = result["bars"]
    if prices != "raw":
        return bars
    return bars | {
        name: [round(value * factor, 4) for value, factor in zip(bars[name], result["to_raw"], strict=True)]
        for name in ("open", "high", "low", "close")
    }


def fan_chart(result: Json | None, t: Translate, prices: str = "adjusted") -> Json:
    """Candles with volume up to the as-of session, the fan beyond it, and what came true since."""
    title = t("inference.chart.fan")
    if not result:
        return empty_card(title, t("inference.empty"))
    bars = in_prices(result, prices)
    dates, future, close = bars["date"], result["future"], result["close"]
    as_of = dates[-1]
    axis = [*dates, *future]
    ends = {
        level: [close * exp(step[k]) for step in result["quantiles"]]
        for k, level in enumerate(QUANTILE_LEVELS)
    }
    traces: list[Json] = [
        volume_bars(t, bars, yaxis="y2"),
        _fan(as_of, future, close, ends[0.05], ends[0.95], "fan-wide"),
        _fan(as_of, future, close, ends[0.25], ends[0.75], "fan-core"),
        candlestick(t, bars, yaxis="y"),
        {
            "type": "scatter",
            "mode": "lines",
            "name": t("inference.median"),
            "x": [as_of, *future],
            "y": [close, *ends[0.5]],
            "line": {"color": token("accent"), "width": 2},
            "hoverinfo": "text",
            "text": ["", *(_step_told(t, result, k) for k in range(len(future)))],
        },
    ]
    actual = result.get("actual") or []
    if any(value is not None for value in actual):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": t("inference.actual"),
                "x": [as_of, *future],
                "y": [close, *actual],
                "line": {"color": token("ink"), "width": 1.5, "dash": "dot"},
                "marker": {"size": 6, "color": token("ink")},
                "connectgaps": True,
                "hovertemplate": "%{y:.2f}",
            }
        )
    values = [*bars["low"], *bars["high"], *ends[0.05], *ends[0.95], *(v for v in actual if v is not None)]
    low, high = _with_room(values)
    last = len(axis) - 1
    begin = max(0, last - NARROW_SHOWN)
    in_sight = [*bars["low"][begin:], *bars["high"][begin:], *values[2 * len(dates) :]]
    layout: Json = {
        "margin": {"l": 8, "r": 52, "t": 10, "b": 26},
        "hovermode": "closest",
        "bargap": 0.25,
        "shapes": [
            _line(len(dates) - 1, len(dates) - 1, 0, 1, yref="paper", dash="dot", color=token("muted")),
            _line(len(dates) - 1, last, close, close, color=token("muted")),
        ],
        "annotations": [
            label(
                t("inference.as_of.label", date=as_of[5:]),
                len(dates) - 1,
                1,
                yref="paper",
                xanchor="right",
                yanchor="top",
                xshift=-6,
                yshift=4,
            ),
            *_end_labels(t, {level: ends[level][-1] for level in QUANTILE_LEVELS}, last, low, high),
        ],
        "xaxis": session_axis(axis, ticks=8)
        | {"range": [-0.6, last + 0.4 + LABEL_ROOM * len(axis)], "anchor": "y2"},
        "yaxis": y_axis(
            side="right", domain=[PRICE_FROM, 1], range=[low, high], tickformat=_price_format(high), nticks=7
        ),
        "yaxis2": y_axis(
            side="right", domain=[0, PRICE_FROM - 0.06], nticks=3, showgrid=False, rangemode="tozero"
        )
        | _volume_ticks(t, bars["volume"]),
    }
    told = [t(f"inference.prices.{prices}"), t("word.as_of", date=as_of)]
    notes = [t("inference.median_note")]
    if result.get("announced", 0) < len(future):
        notes.append(t("inference.unannounced", count=len(future) - result["announced"]))
    return card(
        f"{result['code']} {result['name']}" if result["name"] != result["code"] else result["code"],
        traces,
        layout,
        subtitle=" · ".join(told),
        note=" ".join(notes),
        name=f"forecast_{result['code']}_{as_of}",
        height=FAN_HEIGHT,
        revision=f"{result['code']}{as_of}{prices}",
        table=_fan_table(result, bars, future, ends),
        mark=practice_mark(t, result.get("is_simulated")),
        narrow={
            "xaxis": {"range": [max(-0.6, last - NARROW_SHOWN), last + 0.4 + NARROW_ROOM]},
            "yaxis": {"range": list(_with_room(in_sight))},
            "yaxis2": {"range": [0, 1.05 * max([*bars["volume"][begin:], 1.0])]}
            | _volume_ticks(t, bars["volume"][begin:]),
        },
    )


def _with_room(values: Sequence[float]) -> tuple[float, float]:
    """From the least to the greatest value, and some air."""
    low, high = min(values), max(values)
    return low - 0.04 * (high - low), high + 0.06 * (high - low)


def _fan(
    as_of: str, future: Sequence[str], close: float, low: list[float], high: list[float], opacity: str
) -> Json:
    """A closed area that starts at the as-of close."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [as_of, *future, *reversed(future)],
        "y": [close, *high, *reversed(low)],
        "fill": "toself",
        "fillcolor": token("accent", opacity),
        "line": {"width": 0, "color": "rgba(0,0,0,0)"},
        "hoverinfo": "skip",
        "name": opacity,
    }


def _line(
    x0: float, x1: float, y0: float, y1: float, yref: str = "y", dash: str = "solid", color: str = ""
) -> Json:
    return {
        "type": "line",
        "xref": "x",
        "yref": yref,
        "x0": x0,
        "x1": x1,
        "y0": y0,
        "y1": y1,
        "line": {"color": color, "width": 1, "dash": dash},
    }


def _end_labels(t: Translate, ends: dict[float, float], last: int, low: float, high: float) -> list[Json]:
    """The five ends of the fan, named at its right, moved apart where they would touch."""
    least = (high - low) * LABEL_PX / (FAN_HEIGHT * (1 - PRICE_FROM) - 36)
    order = sorted(ends)
    places = [ends[level] for level in order]
    for _ in range(40):
        for k in range(len(places) - 1):
            gap = places[k + 1] - places[k]
            if gap < least:
                places[k] -= (least - gap) / 2
                places[k + 1] += (least - gap) / 2
    digits = 2 if high < 100 else 1
    notes = []
    for level, place in zip(order, places, strict=True):
        price = figure(ends[level], digits)
        text = f"<b>{t('inference.median')} {price}</b>" if level == 0.5 else f"{100 * level:.0f} %  {price}"
        color = token("ink" if level in (0.05, 0.5, 0.95) else "muted")
        # A line of the grid that passes behind a label does not strike it through.
        look = {"font": {"size": 11, "color": color}, "bgcolor": token("card"), "borderpad": 1}
        notes.append(label(text, last, place, xshift=8, **look))
    return notes


def _step_told(t: Translate, result: Json, step: int) -> str:
    q = [simple(value) for value in result["quantiles"][step]]
    return "<br>".join(
        [
            f"{result['future'][step]} +{step + 1}",
            f"{t('inference.median')} {percent(q[2], 2, signed=True)}",
            f"90 % {percent(q[0], 1, signed=True)} ~ {percent(q[4], 1, signed=True)}",
        ]
    )


def _price_format(high: float) -> str:
    return ",.0f" if high >= 1000 else ".1f" if high >= 20 else ".2f"


def _volume_ticks(t: Translate, volumes: Sequence[float]) -> Json:
    top = max([*volumes, 1.0])
    places = [top / 2, top]
    return {"tickmode": "array", "tickvals": places, "ticktext": [t.count(place) for place in places]}


def _fan_table(
    result: Json, bars: Json, future: Sequence[str], ends: dict[float, list[float]]
) -> dict[str, Any]:
    """Bars and forecast in one table; each row says which it is."""
    past, ahead = len(bars["date"]), len(future)
    columns: dict[str, Any] = {
        "code": [result["code"]] * (past + ahead),
        "as_of": [result["as_of"]] * (past + ahead),
        "session": [*bars["date"], *future],
    }
    for name in ("open", "high", "low", "close", "volume"):
        columns[name] = [*bars[name], *[None] * ahead]
    for level in QUANTILE_LEVELS:
        columns[f"q{round(100 * level):02d}"] = [*[None] * past, *(round(value, 4) for value in ends[level])]
    return columns


# ---------------------------------------------------------------------- what past forecasts were worth


def hits_chart(result: Json | None, t: Translate) -> Json:
    """The next session's 90 % interval over the past sessions, and what came: inside, or outside."""
    title = t("inference.chart.hits")
    samples = (result or {}).get("samples") or {}
    if not result or not samples.get("date"):
        return empty_card(title, t("inference.hits.empty"))
    dates, seen = samples["date"], samples["seen"]
    quantiles, actual = samples["first"]["quantiles"], samples["first"]["actual"]
    lows, highs = [simple(q[0]) for q in quantiles], [simple(q[4]) for q in quantiles]
    values = [None if value is None else simple(value) for value in actual]
    known = [k for k, value in enumerate(values) if value is not None]
    inside = {k: lows[k] <= values[k] <= highs[k] for k in known}  # type: ignore[operator]
    band = {
        "type": "scatter",
        "x": [*dates, *reversed(dates)],
        "y": [*highs, *reversed(lows)],
        "fill": "toself",
        "fillcolor": token("accent", "fan-wide"),
        "line": {"width": 0, "color": "rgba(0,0,0,0)"},
        "hoverinfo": "skip",
        "name": "90 %",
    }
    traces = [
        band,
        _dots(t("inference.hits.inside"), dates, values, [k for k in known if inside[k]], "muted", 4),
        _dots(t("inference.hits.outside"), dates, values, [k for k in known if not inside[k]], "warn", 7),
    ]
    layout = {
        "margin": {"l": 44, "r": 8, "t": 6, "b": 24},
        "hovermode": "closest",
        "xaxis": session_axis(dates, ticks=4),
        "yaxis": y_axis(tickformat=PERCENT_TICKS, zeroline=True),
    }
    share = sum(inside.values()) / len(known) if known else None
    told = t("inference.hits.share", share=percent(share))
    return card(
        title,
        traces,
        layout,
        subtitle=told,
        note=t("inference.hits.note", count=len(known)) + " " + _seen_note(t, seen),
        name=f"interval_hits_{result['code']}",
        revision=f"{result['code']}{result['as_of']}",
        table={
            "as_of": dates,
            "q05": lows,
            "q95": highs,
            "actual": values,
            "seen_in_training": [int(one) for one in seen],
        },
        mark=practice_mark(t, result.get("is_simulated")),
    )


def _dots(name: str, dates: list[str], values: list[Any], places: list[int], color: str, size: int) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [dates[k] for k in places],
        "y": [values[k] for k in places],
        "marker": {"color": token(color), "size": size, "line": {"width": 0}},
        "hovertemplate": "%{x}<br>%{y:.2%}<extra></extra>",
    }


def _seen_note(t: Translate, seen: Sequence[bool]) -> str:
    count = sum(seen)
    return t("inference.seen", count=count) if count else t("inference.unseen")


def accuracy_chart(result: Json | None, t: Translate) -> Json:
    """Predicted median against what came, over the whole horizon: direction right or wrong, and the error."""
    title = t("inference.chart.accuracy")
    samples = (result or {}).get("samples") or {}
    if not result or not samples.get("date"):
        return empty_card(title, t("inference.hits.empty"))
    rows = [
        (date, simple(q[2]), simple(value), is_seen)
        for date, q, value, is_seen in zip(
            samples["date"],
            samples["last"]["quantiles"],
            samples["last"]["actual"],
            samples["seen"],
            strict=True,
        )
        if value is not None
    ]
    if not rows:
        return empty_card(title, t("inference.hits.empty"))
    right = [row for row in rows if row[1] * row[2] > 0]
    wrong = [row for row in rows if row[1] * row[2] <= 0]

    def marks(name: str, of: list[Any], color: str, symbol: str) -> Json:
        return {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [row[1] for row in of],
            "y": [row[2] for row in of],
            "text": [row[0] for row in of],
            "marker": {
                "color": token(color, 0.75),
                "size": 7,
                "symbol": symbol,
                "line": {"width": 1.5, "color": token(color)},
            },
            "hovertemplate": "%{text}<br>" + t("inference.accuracy.hover") + "<extra></extra>",
        }

    count = len(rows)
    share = len(right) / count
    # Forecasts of h sessions overlap: so many are as good as independent.
    independent = max(count / max(samples["horizon"], 1), 1.0)
    error = sqrt(max(share * (1 - share), 1e-9) / independent)
    miss = sum(abs(row[2] - row[1]) for row in rows) / count
    naive = sum(abs(row[2]) for row in rows) / count
    layout = {
        "margin": {"l": 48, "r": 8, "t": 6, "b": 34},
        "hovermode": "closest",
        "xaxis": x_axis(
            tickformat=PERCENT_TICKS,
            zeroline=True,
            nticks=6,
            title={"text": t("inference.accuracy.x"), "font": {"size": 11}},
        ),
        "yaxis": y_axis(tickformat=PERCENT_TICKS, zeroline=True),
    }
    return card(
        title,
        [
            marks(t("inference.accuracy.right"), right, "accent", "circle"),
            marks(t("inference.accuracy.wrong"), wrong, "muted", "circle-open"),
        ],
        layout,
        subtitle=t("inference.accuracy.sub", share=percent(share), error=figure(100 * error, 1), count=count),
        note=t("inference.accuracy.error", miss=percent(miss, 2), naive=percent(naive, 2))
        + " "
        + _seen_note(t, [row[3] for row in rows]),
        legend=[
            (t("inference.accuracy.right"), token("accent"), "dot"),
            (t("inference.accuracy.wrong"), token("muted"), "ring"),
        ],
        name=f"predicted_actual_{result['code']}",
        revision=f"{result['code']}{result['as_of']}",
        table={
            "as_of": [row[0] for row in rows],
            "predicted_median": [row[1] for row in rows],
            "actual": [row[2] for row in rows],
            "error": [row[2] - row[1] for row in rows],
            "direction_right": [int(row[1] * row[2] > 0) for row in rows],
        },
        mark=practice_mark(t, result.get("is_simulated")),
    )
