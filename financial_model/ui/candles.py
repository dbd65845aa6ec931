"""Candles on an axis of sessions: no holes for weekends, hollow up and filled down, volume below."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from .live_chart import x_axis
from .theme import token
from .translations import Translate, figure, percent

Json = dict[str, Any]
# Beyond so many candles each gets too thin to be hollow, and so many bars are drawn as weeks.
MANY, WEEKLY_FROM = 150, 420


def candlestick(t: Translate, bars: Json, *, filled: bool = False, **options: Any) -> Json:
    """The trace of bars {"date", "open", "high", "low", "close"} on a category axis.

    filled: rising candles too, where many are drawn and a hollow one would be a line.
    """
    columns = [bars[name] for name in ("open", "high", "low", "close")]
    before = [bars["open"][0], *bars["close"][:-1]] if len(bars["date"]) else []
    rising = {"line": {"color": token("up"), "width": 1}, "fillcolor": token("up" if filled else "card")}
    falling = {"line": {"color": token("down"), "width": 1}, "fillcolor": token("down")}
    return {
        "type": "candlestick",
        "name": t("candles.name"),
        "x": list(bars["date"]),
        **dict(zip(("open", "high", "low", "close"), (list(column) for column in columns), strict=True)),
        "increasing": rising,
        "decreasing": falling,
        "hoverinfo": "text",
        "text": [_told(t, *row) for row in zip(bars["date"], *columns, before, strict=True)],
        "whiskerwidth": 0,
        **options,
    }


def _told(
    t: Translate, date: str, opened: float, high: float, low: float, close: float, before: float
) -> str:
    change = percent(close / before - 1, 2, signed=True) if before else "—"
    values = t("candles.hover", open=figure(opened, 2), high=figure(high, 2), low=figure(low, 2))
    return f"{date}<br>{values}<br>{t('candles.hover.close', close=figure(close, 2), change=change)}"


def volume_bars(t: Translate, bars: Json, **options: Any) -> Json:
    """The trace of the volume under candles, coloured as they are."""
    rises = [close >= opened for opened, close in zip(bars["open"], bars["close"], strict=True)]
    return {
        "type": "bar",
        "name": t("candles.volume"),
        "x": list(bars["date"]),
        "y": list(bars["volume"]),
        "marker": {"color": [token("up" if up else "down", 0.55) for up in rises], "line": {"width": 0}},
        "hoverinfo": "skip",
        **options,
    }


def weekly(bars: Json) -> Json:
    """Bars of weeks from bars of days, each under its last session; other columns take their last value.

    >>> days = {"date": ["2024-06-06", "2024-06-07", "2024-06-11"], "open": [1, 2, 3], "high": [4, 9, 5],
    ...         "low": [1, 2, 3], "close": [2, 3, 4]}
    >>> weekly(days)["date"], weekly(days)["high"], weekly(days)["open"]
    (['2024-06-07', '2024-06-11'], [9, 5], [1, 3])
    """
    weeks = np.array(bars["date"], dtype="datetime64[D]").astype("int64") + 3  # 1970-01-01 was a Thursday
    groups = [
        [place for place, _ in group]
        for _, group in groupby(enumerate((weeks // 7).tolist()), lambda p: p[1])
    ]
    take: dict[str, Callable[[list[Any]], Any]] = {
        "open": lambda values: values[0],
        "high": max,
        "low": min,
        "volume": sum,
    }
    return {
        name: [take.get(name, lambda values: values[-1])([column[k] for k in group]) for group in groups]
        for name, column in bars.items()
    }


def session_axis(dates: Sequence[str], ticks: int = 7, **options: Any) -> Json:
    """The x axis of sessions as categories, labelled at the starts of years, quarters or months.

    Short spans are labelled at even distances, with the day.
    """
    places, texts = session_ticks(dates, ticks)
    return x_axis(
        **{
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(dates),
            "rangeslider": {"visible": False},
            "tickmode": "array",
            "tickvals": [dates[place] for place in places],
            "ticktext": texts,
            "tickangle": 0,
            "range": [-0.6, len(dates) - 0.4],
            **options,
        }
    )


def session_ticks(dates: Sequence[str], most: int = 7) -> tuple[list[int], list[str]]:
    """Positions and labels of about `most` ticks along sorted dates such as 2024-06-03.

    >>> session_ticks(["2022-12-30", "2023-01-03", "2024-01-02"], 3)
    ([1, 2], ['2023', '2024'])
    """
    for length, months in ((4, 12), (7, 3), (7, 1)):
        starts = [
            k
            for k in range(1, len(dates))
            if dates[k][:length] != dates[k - 1][:length]
            and (length == 4 or int(dates[k][5:7]) % months == 1 % months)
        ]
        if len(starts) >= 2 and (length == 4 or len(starts) <= 2 * most):
            keep = starts[:: -(-len(starts) // most)]
            return keep, [dates[k][:length] for k in keep]
    if not dates:
        return [], []
    step = max(1, -(-len(dates) // most))
    keep = list(range(len(dates) - 1, -1, -step))[::-1]
    return keep, [dates[k][5:] for k in keep]


def spells(values: Sequence[Any]) -> Iterator[tuple[Any, int, int]]:
    """(value, first position, last position) of each run of equal values.

    >>> list(spells("aab"))
    [('a', 0, 1), ('b', 2, 2)]
    """
    start = 0
    for value, group in groupby(values):
        length = len(list(group))
        yield value, start, start + length - 1
        start += length
