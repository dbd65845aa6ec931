"""What the networks see: scale-free, causal features of every bar, its session and its market.

Three tables come out of one walk over the panel. `sequence` is the raw material of a window: each bar against
the close before it, in units of its own trailing volatility, with the market's and the industry's return
beside it. `summary` holds what one bar's history amounts to (returns, volatility, volume, position over 1 to
250 sessions), standardised within the session over all stocks that traded, which is how a ranking sees them.
`market` is one row a session: index, breadth, dispersion, the industries' last two days, and which of the
known factors paid of late.

Every row depends on rows of its own past alone, bit for bit: sums run along a stock's own bars in order, a
session is standardised over itself, and nothing is fitted. Missing facts are 0 after standardising, the value
of the session's mean.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.config import DEFAULT_INDEX, INDUSTRIES
from ..base.threads import on_all_cores
from .bar_features import (
    COLUMNS,
    SEQUENCE_NAMES,
    BarFeatures,
    cut_block,
    shares_of_work,
    summary_names_of,
)
from .market_features import market_table, session_mean
from .rolling import Array

if TYPE_CHECKING:
    from ..data.panel import Panel

BLOCK_ROWS = 8192  # standardised at once, in whole sessions: some 5 MB, which stay in the cache
CLIP = 3.0

# How the names of those features of sequence and summary begin that look beyond the stock itself.
SURROUNDINGS = ("market_", "industry_", "beta_", "residual_", "excess_")


@dataclass(frozen=True)
class Features:
    """The three tables and what names their columns.

    sequence: (N, F) float32, summary: (N, K) float16 within +-3, market: (S, M) float32,
    volatility: (N,) float32, the trailing standard deviation of daily log returns as of the row's close.
    """

    sequence: NDArray[np.float32]
    summary: NDArray[np.float16]
    market: NDArray[np.float32]
    volatility: NDArray[np.float32]
    sequence_names: tuple[str, ...]
    summary_names: tuple[str, ...]
    market_names: tuple[str, ...]


def without_surroundings(features: Features) -> Features:
    """The same tables with zero, the mean of a session, for all that compares with market or industry."""

    def blank(table: NDArray[Any], names: tuple[str, ...]) -> NDArray[Any]:
        table = np.array(table)
        table[:, [i for i, name in enumerate(names) if name.startswith(SURROUNDINGS)]] = 0
        return table

    return replace(
        features,
        sequence=blank(features.sequence, features.sequence_names),
        summary=blank(features.summary, features.summary_names),
        market=np.zeros_like(features.market),
    )


def compute_features(panel: "Panel", index: str = DEFAULT_INDEX) -> Features:
    """The features of every row and session of a panel.

    Two panels that agree up to a date give bit-identical rows up to it.
    """
    row_count, session_count = len(panel.session_index), len(panel.sessions)
    log_return = _log_returns(panel)
    sessions = panel.session_index
    industry = _industry(panel)
    market_return = session_mean(log_return, sessions, session_count)
    group = sessions.astype(np.int64) * (len(INDUSTRIES) + 1) + industry
    industry_return = session_mean(log_return, group, session_count * (len(INDUSTRIES) + 1))
    context = {
        "log_return": log_return,
        "market_return": market_return[sessions],
        "industry_return": industry_return[group],
    }

    source = {name: panel.column(name) for name in COLUMNS} | context | {"session": sessions}
    summary_names = summary_names_of(source)
    sequence = np.empty((row_count, len(SEQUENCE_NAMES)), np.float32)
    summary = np.empty((row_count, len(summary_names)), np.float16)
    volatility = np.empty(row_count, np.float32)

    def make(stocks: range) -> None:
        rows, block = cut_block(source, panel.offsets[stocks.start : stocks.stop + 1])
        columns = BarFeatures(block)
        volatility[rows] = block.back(columns.volatility)
        for position, values in enumerate(columns.sequence()):
            sequence[rows, position] = block.back(values)
        np.clip(np.nan_to_num(sequence[rows], copy=False), -10, 10, out=sequence[rows])
        for position, values in enumerate(columns.summary().values()):
            summary[rows, position] = np.clip(block.back(values), -6e4, 6e4)

    on_all_cores(make, shares_of_work(panel.offsets))

    _standardise(summary, np.argsort(sessions, kind="stable"), sessions)
    market, market_names = market_table(
        panel, index, log_return, market_return, industry_return, summary, summary_names
    )
    return Features(sequence, summary, market, volatility, SEQUENCE_NAMES, summary_names, market_names)


def _log_returns(panel: "Panel") -> Array:
    close = np.log(panel.column("close").astype(np.float64))
    change = np.zeros(len(close))
    change[1:] = np.diff(close)
    change[panel.offsets[:-1]] = 0.0
    return change


def _industry(panel: "Panel") -> NDArray[np.int64]:
    """Industry of each row as its position in INDUSTRIES, unknown last."""
    position = {name: i for i, name in enumerate(INDUSTRIES)}
    table = np.array([position.get(name, len(INDUSTRIES)) for name in panel.names("industry")])
    return table[panel.column("industry")]


def _standardise(summary: NDArray[np.float16], order: NDArray[np.int64], sessions: NDArray[np.int32]) -> None:
    """Turn each column into its z-score within the session, clipped, unknown = 0; in place.

    The moments are taken twice, the second time of the clipped scores, so that one wild stock does not
    press all others together.
    """
    bounds = np.searchsorted(sessions[order], np.arange(sessions.max() + 2))
    at_once = max(BLOCK_ROWS * (len(bounds) - 1) // max(len(order), 1), 1)

    def make(first: int) -> None:
        edges = bounds[first : first + at_once + 1]
        edges = edges[np.r_[True, np.diff(edges) > 0]]
        if len(edges) < 2:
            return
        rows = order[edges[0] : edges[-1]]
        x = summary[rows].astype(np.float32)
        known = np.isfinite(x)
        x[~known] = 0.0
        starts, lengths = edges[:-1] - edges[0], np.diff(edges)
        count = np.maximum(np.add.reduceat(known, starts, axis=0, dtype=np.float32), 1)
        for _ in range(2):
            mean = np.add.reduceat(x, starts, axis=0, dtype=np.float64) / count
            x -= np.repeat(mean.astype(np.float32), lengths, axis=0)
            x *= known
            square = np.add.reduceat(x * x, starts, axis=0, dtype=np.float64) / count
            scale = np.where(square > 1e-12, 1 / np.sqrt(np.maximum(square, 1e-12)), 0.0)
            x *= np.repeat(scale.astype(np.float32), lengths, axis=0)
            np.clip(x, -CLIP, CLIP, out=x)
        summary[rows] = x

    on_all_cores(make, range(0, len(bounds) - 1, at_once))
