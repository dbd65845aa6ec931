"""Forecasts beside what came true: the one form in which a model, a baseline or an oracle is judged.

A sample is a (stock, as-of session). Its label is the return one could have earned: bought at the close
of the next session, sold `holding` sessions later. Sessions are counted on the market's calendar, so a
stock that is suspended on either day has no label; nobody could have traded it there. Outcomes are computed
here apart from the targets of training, so that a mistake there cannot flatter a model here; a test holds
the two equal.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..base.errors import UnusableForecasts
from ..forecasting.forecast import QUANTILE_NAMES

if TYPE_CHECKING:
    from ..data.panel import Panel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Forecasts:
    """A forecast table as arrays: row (N,) panel row of the as-of session, score (N,), and the quantiles
    (N, H, Q) of the log return to each step, or None where only a score is given. Rows rise."""

    row: Integers
    score: Floats
    quantiles: Floats | None

    def only(self, keep: Mask) -> "Forecasts":
        if keep.all():
            return self
        quantiles = None if self.quantiles is None else self.quantiles[keep]
        return Forecasts(self.row[keep], self.score[keep], quantiles)


@dataclass(frozen=True)
class Samples:
    """Forecasts with their outcomes, all aligned (N, ...).

    session: position in panel.sessions; label: tradable forward return, NaN unknown; actual: (N, H) log
    return from the as-of close to each step, NaN unknown; is_locked: the next session closes at a limit,
    so that nobody could have bought (or sold) at the price the label starts from.
    """

    row: Integers
    session: Integers
    score: Floats
    quantiles: Floats | None
    label: Floats
    actual: Floats | None
    is_locked: Mask
    holding: int

    def __len__(self) -> int:
        return len(self.row)

    def only(self, keep: Mask) -> "Samples":
        """The samples marked in `keep` (N,)."""
        return Samples(
            self.row[keep],
            self.session[keep],
            self.score[keep],
            None if self.quantiles is None else self.quantiles[keep],
            self.label[keep],
            None if self.actual is None else self.actual[keep],
            self.is_locked[keep],
            self.holding,
        )

    def with_score(self, score: Floats) -> "Samples":
        """The same samples judged by another score (N,): how baselines share every sample of a model."""
        return replace(self, score=score)


class RowIndex:
    """Finds panel rows by (code position, session position); -1 where a stock has no bar."""

    def __init__(self, panel: "Panel") -> None:
        self._width = np.int64(len(panel.sessions))
        # Rows are sorted by code, then session, so this key rises and a binary search finds a row.
        self._key = panel.code_index.astype(np.int64) * self._width + panel.session_index

    def find(self, code: Integers, session: Integers) -> Integers:
        wanted = code * self._width + session
        place = np.searchsorted(self._key, wanted)
        place = np.minimum(place, len(self._key) - 1)
        found = (self._key[place] == wanted) & (session >= 0) & (session < self._width)
        return np.where(found, place, -1)


def make_samples(forecasts: Forecasts, panel: "Panel", holding: int = 1) -> Samples:
    """Put beside each forecast what the panel says came true."""
    index = RowIndex(panel)
    horizon = 0 if forecasts.quantiles is None else forecasts.quantiles.shape[1]
    return Samples(
        row=forecasts.row,
        session=panel.session_index[forecasts.row].astype(np.int64),
        score=forecasts.score,
        quantiles=forecasts.quantiles,
        label=tradable_return(panel, forecasts.row, holding, index),
        actual=path_returns(panel, forecasts.row, horizon, index) if horizon else None,
        is_locked=is_locked_at_entry(panel, forecasts.row, index),
        holding=holding,
    )


def tradable_return(panel: "Panel", row: Integers, holding: int = 1, index: RowIndex | None = None) -> Floats:
    """Return (N,) from the close of t+1 to the close of t+1+holding, from adjusted closes, as a fraction.

    NaN where the stock has no bar in either session: suspended, delisted, or not yet known.
    """
    index = index or RowIndex(panel)
    code, session = _place(panel, row)
    entry, leave = index.find(code, session + 1), index.find(code, session + 1 + holding)
    close = panel.column("close")
    with np.errstate(invalid="ignore", divide="ignore"):
        value = close[leave].astype(np.float64) / close[entry] - 1
    return np.where((entry >= 0) & (leave >= 0), value, np.nan)


def path_returns(panel: "Panel", row: Integers, horizon: int, index: RowIndex | None = None) -> Floats:
    """Log returns (N, H) from the close of t to the closes of t+1 .. t+H; NaN where there is no bar."""
    index = index or RowIndex(panel)
    code, session = _place(panel, row)
    log_close = np.log(panel.column("close").astype(np.float64))
    returns = np.empty((len(row), horizon))
    for step in range(horizon):
        later = index.find(code, session + step + 1)
        returns[:, step] = np.where(later >= 0, log_close[later] - log_close[row], np.nan)
    return returns


def is_locked_at_entry(panel: "Panel", row: Integers, index: RowIndex | None = None) -> Mask:
    """True (N,) where t+1 closes at the limit price of its session, up or down (raw prices)."""
    index = index or RowIndex(panel)
    code, session = _place(panel, row)
    entry = index.find(code, session + 1)
    return (entry >= 0) & (panel.column("is_locked")[entry] != 0)


def _place(panel: "Panel", row: Integers) -> tuple[Integers, Integers]:
    return panel.code_index[row].astype(np.int64), panel.session_index[row].astype(np.int64)


def read_forecasts(table: pa.Table, panel: "Panel") -> Forecasts:
    """A forecast table (code, as_of, score, and step with q05 .. q95 where there are quantiles) as arrays.

    The order of its rows is free. UnusableForecasts when a column is missing, a (code, as_of, step) stands
    there twice or not at all, or the panel has no bar of a stock on its as-of session.
    """
    missing = {"code", "as_of", "score"} - set(table.column_names)
    if missing:
        raise UnusableForecasts(
            f"the table has no column {', '.join(sorted(missing))}", "Write them with the command `forecast`."
        )
    if not table.num_rows:
        raise UnusableForecasts("the table is empty", "Choose stocks and dates that have data.")
    row = _panel_rows(table, panel)
    score = _floats(table, "score")
    if "step" not in table.column_names:
        order = np.argsort(row, kind="stable")
        row, score = row[order], score[order]
        _refuse_duplicates(row, panel)
        return Forecasts(row, score, None)
    step = np.asarray(table.column("step").to_numpy()).astype(np.int64)
    horizon = int(step.max())
    key = row * horizon + (step - 1)
    quantiles = np.stack([_floats(table, name) for name in QUANTILE_NAMES], axis=-1)
    if np.any(key[1:] <= key[:-1]):
        order = np.argsort(key, kind="stable")
        row, score, step, quantiles = row[order], score[order], step[order], quantiles[order]
    _refuse_duplicates(row * horizon + (step - 1), panel, horizon)
    if len(row) % horizon or np.any(step.reshape(-1, horizon) != np.arange(1, horizon + 1)):
        raise UnusableForecasts(
            f"some stocks do not have every step from 1 to {horizon}",
            "Write each as-of date with all its steps.",
        )
    return Forecasts(row[::horizon], score[::horizon], quantiles.reshape(-1, horizon, len(QUANTILE_NAMES)))


def _floats(table: pa.Table, name: str) -> Floats:
    if name not in table.column_names:
        raise UnusableForecasts(f"the table has no column {name}", "Write it with the command `forecast`.")
    return np.asarray(table.column(name).to_numpy()).astype(np.float64)


def _panel_rows(table: pa.Table, panel: "Panel") -> Integers:
    codes = table.column("code").combine_chunks()
    if not pa.types.is_dictionary(codes.type):
        codes = codes.dictionary_encode()
    if isinstance(codes, pa.ChunkedArray):
        codes = codes.unify_dictionaries().combine_chunks()
    position = {code: place for place, code in enumerate(panel.codes)}
    names = codes.dictionary.to_pylist()
    code = np.array([position.get(name, -1) for name in names], dtype=np.int64)[codes.indices.to_numpy()]
    as_of = np.asarray(pc.cast(table.column("as_of"), pa.date32()).to_numpy()).astype("datetime64[D]")
    session = np.searchsorted(panel.sessions, as_of)
    session = np.where(
        panel.sessions[np.minimum(session, len(panel.sessions) - 1)] == as_of, session, -1
    ).astype(np.int64)
    row = np.where((code >= 0) & (session >= 0), RowIndex(panel).find(code, session), -1)
    if np.any(row < 0):
        first = int(np.flatnonzero(row < 0)[0])
        raise UnusableForecasts(
            f"the panel has no bar of {table.column('code')[first].as_py()} on {as_of[first]} "
            f"({int((row < 0).sum())} such rows)",
            "Judge forecasts with the panel they were made from.",
        )
    return row


def _refuse_duplicates(key: Integers, panel: "Panel", horizon: int = 1) -> None:
    twice = np.flatnonzero(key[1:] == key[:-1])
    if len(twice):
        row = int(key[twice[0]]) // horizon
        code = panel.codes[int(panel.code_index[row])]
        session = panel.sessions[int(panel.session_index[row])]
        raise UnusableForecasts(
            f"{code} on {session} is forecast twice", "Keep one row for each stock, date and step."
        )
