"""The rows of a panel in blocks that fit the cache, worked on all cores.

What is asked of one session or one stock is so short that threads would wait for the interpreter longer than
they compute; of several at once it is not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.threads import on_all_cores
from ..data.panel import Panel
from ..data.reference_store import Facts, hold_from

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]

BLOCK_CELLS = 50_000
NO_FACT = -1


def each_session(
    panel: Panel, factors: Sequence[FloatArray], work: Callable[..., Array], out: Array
) -> Array:
    """`out` (N,), where `work` has put a value a row: it gets a table of a line a session for each of the
    factors (N,), padded with NaN, and returns one of the same shape. `out` may be one of the factors.
    """
    rows, offsets = panel.session_rows()
    widest = max(int(np.diff(offsets).max(initial=1)), 1)
    sessions = max(BLOCK_CELLS // widest, 1)

    def make(begin: int) -> None:
        edges = offsets[begin : begin + sessions + 1]
        here = rows[edges[0] : edges[-1]].astype(np.intp)  # what numpy indexes by: else it casts each time
        inside = np.arange(widest) < np.diff(edges)[:, None]
        tables = []
        for factor in factors:
            table = np.full(inside.shape, np.nan, factor.dtype)
            table[inside] = factor[here]
            tables.append(table)
        out[here] = work(*tables)[inside]

    on_all_cores(make, range(0, len(offsets) - 1, sessions))
    return out


def each_stock(panel: Panel, columns: tuple[str, ...], work: Callable[..., FloatArray]) -> FloatArray:
    """What `work` makes of these columns, float32 (N,): it gets a table of a line a stock for each, padded
    with NaN at the end, and returns one of the same shape.
    """
    sources = [panel.column(name) for name in columns]
    out = np.empty(len(panel), np.float32)

    def make(lengths: IntArray, rows: slice, _: range) -> None:
        inside = np.arange(lengths.max()) < lengths[:, None]
        tables = []
        for source in sources:
            table = np.full(inside.shape, np.nan)
            table[inside] = source[rows]
            tables.append(table)
        out[rows] = work(*tables)[inside]

    _each_block(panel, make)
    return out


def each_row_in_force(
    panel: Panel,
    facts: Facts,
    counts_from: npt.NDArray[np.datetime64],
    work: Callable[[slice, IntArray, IntArray], None],
) -> None:
    """Call `work` with blocks of the panel's rows, the fact that holds in each row, and since which row.

    counts_from: of each fact the first day, rising within a code; of facts of one day the last holds.
    Facts are positions in `facts`, NO_FACT where a stock has none yet. The rows since which they hold are
    counted within the block: that of the first session on or after their day, never of a later one.
    """
    ends = [np.searchsorted(facts["code"], panel.codes, side) for side in ("left", "right")]
    first_fact, fact_count = ends[0], ends[1] - ends[0]
    known_from = np.searchsorted(panel.sessions, counts_from)
    apart = len(panel.sessions) + 1

    def make(lengths: IntArray, rows: slice, stocks: range) -> None:
        counts = fact_count[stocks.start : stocks.stop]
        begins = np.cumsum(counts) - counts
        told = np.arange(counts.sum()) + np.repeat(first_fact[stocks.start : stocks.stop] - begins, counts)
        # One rising number for (stock, session), so that one search places the facts of all stocks.
        stock = np.arange(len(lengths)) * apart
        place = np.repeat(stock, lengths) + panel.session_index[rows]
        since = np.searchsorted(place, np.repeat(stock, counts) + known_from[told])
        # At its first row each stock holds no fact, whatever the one before it held.
        since = np.insert(since, begins, np.cumsum(lengths) - lengths)
        told = np.insert(told, begins, NO_FACT)
        count = rows.stop - rows.start
        work(rows, hold_from(since, told, count, NO_FACT), hold_from(since, since, count, 0))

    _each_block(panel, make)


def _each_block(panel: Panel, make: Callable[[IntArray, slice, range], None]) -> None:
    """Call `make` with the lengths, the rows and the positions of neighbouring stocks, on all cores."""
    lengths = np.diff(panel.offsets)
    count = max(BLOCK_CELLS // max(int(lengths.max(initial=1)), 1), 1)

    def one(begin: int) -> None:
        stocks = range(begin, min(begin + count, len(lengths)))
        rows = slice(int(panel.offsets[stocks.start]), int(panel.offsets[stocks.stop]))
        make(lengths[begin : stocks.stop], rows, stocks)

    on_all_cores(one, range(0, len(lengths), count))
