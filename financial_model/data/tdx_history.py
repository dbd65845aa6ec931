"""The whole history of one code from answers that may be short, empty or another page's.

An answer says how many bars it holds and never how many there are. So pages are asked for with one bar of
overlap, which must be the same to the bit; positions count back from the newest bar, so pages that meet have
nothing missing between them; and an end is believed when the list date says so, or when two further answers,
one at the end and one past it, agree.
"""

from collections.abc import Callable
from datetime import date

import numpy as np
import numpy.typing as npt

from ..market.codes import is_index
from . import tdx_protocol as wire
from .source import Bars

Ask = Callable[[int, int], wire.WireBars]
"""(start, count) -> the `count` bars that end `start` bars before the newest."""

EMPTY_ANSWERS = 3  # so many of them in a row, from changing servers, say that there is nothing
OVERLAP_BARS = 10  # bars that an update fetches again


def fetch_history(
    ask: Ask,
    until: date | np.datetime64,
    listed: date | None = None,
    newest: np.datetime64 | None = None,
    first_count: int = wire.PAGE_BARS,
) -> wire.WireBars:
    """All bars of one code from its newest back to `until`, or to its first where that is later.

    listed: the first session, where known. first_count: bars in the first answer. newest: the last session of
    the market; a code that ends before it is asked once more, since a page cut at its newer end looks the
    same. `BadAnswer` when answers contradict each other; the caller starts again, best with another server.
    """
    history = ask(0, first_count)
    for _ in range(EMPTY_ANSWERS - 1):
        if len(history):
            break
        history = ask(0, wire.PAGE_BARS)
    if not len(history):
        return history
    if newest is None or history.date[-1] < newest:
        last = ask(0, 1)
        if not history.take(slice(-1, None)).same_rows(last):
            raise wire.BadAnswer("two answers that differ in the newest bar")
    page = history
    while history.date[0] > np.datetime64(until):
        if len(page) < wire.PAGE_BARS and str(history.date[0]) == str(listed):
            break
        page = ask(len(history) - 1, wire.PAGE_BARS)
        older = _older(page, history)
        if older == 0:
            beyond = ask(len(history), wire.PAGE_BARS)
            # The oldest bar again where a session closed between the questions.
            if not len(beyond) or beyond.same_rows(history.take(slice(0, 1))):
                break
            raise wire.BadAnswer("an end of the history that was none")
        history = page.take(slice(0, older)).before(history)
    return history


def _older(page: wire.WireBars, history: wire.WireBars) -> int:
    """How many bars of `page` lie before `history`; BadAnswer unless the two meet and agree."""
    older = int(np.searchsorted(page.date, history.date[0]))
    shared = len(page) - older
    # Two where a session closed between the questions.
    if not 1 <= shared <= 2 or shared > len(history):
        raise wire.BadAnswer("pages that do not meet")
    if not page.take(slice(older, None)).same_rows(history.take(slice(0, shared))):
        raise wire.BadAnswer("pages that differ where they overlap")
    return older


def to_bars(code: str, bars: wire.WireBars) -> Bars:
    """Bars in CNY and shares from bars as they lay on the wire."""
    unit = wire.volume_unit(bars, is_index(code))
    return Bars(
        code=code,
        date=bars.date,
        **{name: getattr(bars, name) / wire.PRICE_SCALE for name in ("open", "high", "low", "close")},
        volume=bars.volume.astype(np.float64) * unit,
        amount=bars.amount.astype(np.float64),
    )


def disagreement(held: Bars, served: Bars) -> npt.NDArray[np.datetime64]:
    """Sessions that both cover and tell differently.

    Prices have to be the same. Volume may differ by less than a lot or a float's last digit and amount by
    1e-4, since day files count odd lots and servers do not. A session that only one of them has counts.
    """
    if not len(held) or not len(served):
        return np.empty(0, "M8[D]")
    first = max(held.date[0], served.date[0])
    last = min(held.date[-1], served.date[-1])
    mine = held.take((held.date >= first) & (held.date <= last))
    theirs = served.take((served.date >= first) & (served.date <= last))
    both, at, there = np.intersect1d(mine.date, theirs.date, return_indices=True)
    mine, theirs = mine.take(at), theirs.take(there)
    same = np.ones(len(both), dtype=bool)
    for name in ("open", "high", "low", "close"):
        same &= np.abs(getattr(mine, name) - getattr(theirs, name)) < 5e-4
    slack = np.maximum(wire.LOT_SHARES, 1e-6 * theirs.volume)
    same &= np.abs(mine.volume - theirs.volume) < slack
    unknown = np.isnan(mine.amount) | np.isnan(theirs.amount)
    same &= unknown | (np.abs(mine.amount - theirs.amount) <= 1e-4 * np.abs(theirs.amount) + 100)
    alone = np.setxor1d(
        held.date[(held.date >= first) & (held.date <= last)],
        served.date[(served.date >= first) & (served.date <= last)],
    )
    return np.sort(np.concatenate([both[~same], alone]))
