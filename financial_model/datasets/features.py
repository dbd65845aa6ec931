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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.config import DEFAULT_INDEX, INDUSTRIES
from ..base.errors import CodeNotHeld
from ..base.threads import CORES, on_all_cores

if TYPE_CHECKING:
    from ..data.panel import Panel

Array = NDArray[np.float64]

BLOCK_CODES = 128  # stocks in flight at once: some 2.5 MB a column, which stays in the cache
BLOCK_ROWS = 8192  # standardised at once, in whole sessions: some 5 MB, which stay in the cache
CLIP = 3.0
TYPICAL_SPREAD = 0.02  # of stocks around their mean, a session
TYPICAL_VOLATILITY = 0.013  # of an index, a session
VOLATILITY_SPAN = 20  # sessions of the exponential mean of squared returns
VOLATILITY_FLOOR = 0.004
VOLATILITY_PRIOR = 0.025  # what a stock is taken for on its first day, fading with the same span
WINDOWS = (5, 10, 20, 60)

SEQUENCE_NAMES = (
    "open_gap",
    "high",
    "low",
    "return",
    "volume",
    "range",
    "market_return",
    "industry_return",
)
# The summary begins with the factors, few and well known: networks weigh these by industry, regime and state.
FACTORS = (
    "return_1",
    "return_2",
    "return_5",
    "return_10",
    "return_20",
    "return_60",
    "momentum_20_5",
    "momentum_60_5",
    "burst",
    "burst_5",
    "signed_shock_5",
    "shock",
    "log_volatility",
    "beta_250",
    "log_size",
    "turnover_20",
    "industry_excess_5",
    "position_20",
    "locked_up",
    "skew_20",
)
# The market table begins with how volatile the market is, then the last session of each industry.
STATES = ("market_volatility_15", "market_volatility_40", "dispersion_5")
LEADERS = tuple(f"{industry}_lag_0" for industry in INDUSTRIES)
# The factors whose recent payoff is told in the market table: name of the summary feature, see `_payoffs`.
PAYOFF_FACTORS = (
    "return_1",
    "return_5",
    "momentum_20_5",
    "momentum_60_5",
    "burst",
    "log_volatility",
    "log_size",
)
PAYOFF_SPANS = (5, 15, 40)
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
    market_return = _session_mean(log_return, sessions, session_count)
    group = sessions.astype(np.int64) * (len(INDUSTRIES) + 1) + industry
    industry_return = _session_mean(log_return, group, session_count * (len(INDUSTRIES) + 1))
    context = {
        "log_return": log_return,
        "market_return": market_return[sessions],
        "industry_return": industry_return[group],
    }

    source = {name: panel.column(name) for name in COLUMNS} | context | {"session": sessions}
    summary_names = _summary_names(source)
    sequence = np.empty((row_count, len(SEQUENCE_NAMES)), np.float32)
    summary = np.empty((row_count, len(summary_names)), np.float16)
    volatility = np.empty(row_count, np.float32)

    def make(stocks: range) -> None:
        rows, block = _block(source, panel.offsets[stocks.start : stocks.stop + 1])
        columns = _Columns(block)
        volatility[rows] = block.back(columns.volatility)
        for position, values in enumerate(columns.sequence()):
            sequence[rows, position] = block.back(values)
        np.clip(np.nan_to_num(sequence[rows], copy=False), -10, 10, out=sequence[rows])
        for position, values in enumerate(columns.summary().values()):
            summary[rows, position] = np.clip(block.back(values), -6e4, 6e4)

    on_all_cores(make, _shares(len(panel.codes)))

    order = np.argsort(sessions, kind="stable")
    _standardise(summary, order, sessions)
    market, market_names = _market(
        panel, index, log_return, market_return, industry_return, summary, summary_names, order
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


def _session_mean(values: Array, group: NDArray[np.integer], group_count: int) -> Array:
    """Mean of the values of each group, 0 where it is empty; bincount adds in the order of the rows."""
    count = np.bincount(group, minlength=group_count)
    return np.bincount(group, weights=values, minlength=group_count) / np.maximum(count, 1)


# ---- a block of stocks, bars along the first axis

COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "amount",
    "raw_close",
    "reference_close",
    "float_shares",
    "limit_up",
    "limit_down",
)


@dataclass
class _Block:
    """Columns of some stocks as (L, B) matrices: bar i of each stock in row i, zeros after its last bar."""

    columns: dict[str, Array]
    lengths: NDArray[np.int64]

    def back(self, values: Array) -> Array:
        """(L, B) -> the rows of the panel, stock after stock."""
        inside = np.arange(len(values)) < self.lengths[:, None]  # (B, L)
        return values.T[inside]


def _block(source: dict[str, Array], offsets: NDArray[np.int64]) -> tuple[slice, _Block]:
    """The rows of neighbouring stocks, of which `offsets` says where each begins, and their columns."""
    lengths = np.diff(offsets)
    inside = np.arange(lengths.max()) < lengths[:, None]  # (B, L)
    rows = slice(int(offsets[0]), int(offsets[-1]))
    columns = {}
    for name, values in source.items():
        # Padding repeats no price: 1 keeps logs and ratios finite, and `back` drops it.
        matrix = np.ones(inside.shape)
        matrix[inside] = values[rows]
        columns[name] = np.ascontiguousarray(matrix.T)
    return rows, _Block(columns, lengths)


def _shares(count: int) -> list[range]:
    """Neighbours among `count` stocks, BLOCK_CODES of them in flight at once over all cores."""
    at_once = max(BLOCK_CODES // CORES, 1)
    parts = CORES * -(-count // (CORES * at_once))
    edges = [count * k // parts for k in range(parts + 1)]
    return [range(start, stop) for start, stop in pairwise(edges) if start < stop]


def _summary_names(source: dict[str, Array]) -> tuple[str, ...]:
    """What the columns of the summary are called, by working out those of a bar of ones."""
    bar = _Block({name: np.ones((1, 1)) for name in source}, np.ones(1, np.int64))
    return tuple(_Columns(bar).summary())


def _lag(x: Array, k: int) -> Array:
    """x of k bars ago; the first bar stands for what lies before it."""
    out = np.empty_like(x)
    out[k:] = x[: max(len(x) - k, 0)]
    out[:k] = x[0]
    return out


def _sum(x: Array, window: int) -> Array:
    """Sum over the last `window` bars, fewer at the start. The running total is sequential: prefix-stable.

    NaN while a bar that is unknown lies in the window, and no longer.
    """
    total = np.cumsum(x, axis=0)
    if len(total) and not np.isfinite(total[-1]).all():  # else the total would carry the hole to the end
        hole = ~np.isfinite(x)
        out = _sum(np.where(hole, 0.0, x), window)
        out[_sum(hole.astype(np.float64), window) > 0.5] = np.nan
        return out
    out = np.empty_like(total)
    out[:window] = total[:window]
    np.subtract(total[window:], total[:-window], out=out[window:])
    return out


def _count(length: int, window: int) -> Array:
    return np.minimum(np.arange(1, length + 1), window)[:, None].astype(np.float64)


def _mean(x: Array, window: int) -> Array:
    return _sum(x, window) / _count(len(x), window)


def _deviation(x: Array, window: int) -> Array:
    """Standard deviation over the last `window` bars."""
    return np.sqrt(np.maximum(_mean(x * x, window) - _mean(x, window) ** 2, 0.0))


def _correlation(x: Array, y: Array, window: int) -> Array:
    mean_x, mean_y = _mean(x, window), _mean(y, window)
    covariance = _mean(x * y, window) - mean_x * mean_y
    variance = (_mean(x * x, window) - mean_x**2) * (_mean(y * y, window) - mean_y**2)
    return covariance / np.sqrt(np.maximum(variance, 1e-14))


def _extreme(x: Array, window: int, choose: np.ufunc) -> Array:
    """Running maximum or minimum by doubling: log2(window) passes, exact."""
    out, reach = x.copy(), 1
    while reach < window:
        step = min(reach, window - reach)
        later = out.copy()
        later[step:] = choose(out[step:], out[:-step])
        out, reach = later, reach + step
    return out


def _exponential_mean(x: Array, span: float, start: Array | float | None = None) -> Array:
    """Exponential mean along the first axis, a plain recursion from `start` (the first value when None)."""
    weight = 2.0 / (span + 1.0)
    out = np.empty_like(x)
    state = x[0] if start is None else start + weight * (x[0] - start)
    out[0] = state
    for i in range(1, len(x)):
        state = state + weight * (x[i] - state)
        out[i] = state
    return out


class _Columns:
    """The features of one block; every member is (L, B)."""

    def __init__(self, block: _Block) -> None:
        self.c = c = block.columns
        self.ret = ret = c["log_return"]
        self.close = np.log(c["close"])
        self.volatility = np.maximum(
            np.sqrt(_exponential_mean(np.minimum(ret * ret, 0.05), VOLATILITY_SPAN, VOLATILITY_PRIOR**2)),
            VOLATILITY_FLOOR,
        )
        self.unit = ret / self.volatility
        previous = self.close - ret
        self.gap = np.log(c["open"]) - previous
        self.intraday = ret - self.gap
        self.high, self.low = np.log(c["high"]), np.log(c["low"])
        self.range = self.high - self.low
        self.volume = np.log(np.maximum(c["volume"], 1.0))
        self.amount = np.log(np.maximum(c["amount"], 1.0))
        # The bar itself stays out of the mean it is held against.
        self.shock = self.volume - _lag(_mean(self.volume, 20), 1)
        self.previous = previous

    def sequence(self) -> Iterator[Array]:
        """The channels of SEQUENCE_NAMES, prices in units of the trailing volatility."""
        scale = self.volatility
        yield self.gap / scale
        yield (self.high - self.previous) / scale
        yield (self.low - self.previous) / scale
        yield self.unit
        yield self.shock
        yield self.range / scale - 1.5
        yield self.c["market_return"] / scale
        yield (self.c["industry_return"] - self.c["market_return"]) / scale

    def summary(self) -> dict[str, Array]:
        """Name -> feature, before standardising within the session. NaN means unknown."""
        c, ret, vol, close, shock = self.c, self.ret, self.volatility, self.close, self.shock
        length = len(ret)
        out: dict[str, Array] = {}
        deviation = {w: np.maximum(_deviation(ret, w), 1e-3) for w in WINDOWS}

        for w in (1, 2, 3, 5, 10, 20, 40, 60, 120, 250):
            out[f"return_{w}"] = (close - _lag(close, w)) / (deviation[20] * np.sqrt(w))
        for k in (1, 2, 3, 4):
            out[f"return_lag_{k}"] = _lag(self.unit, k)
        excess = ret - c["market_return"]
        apart = ret - c["industry_return"]
        for w in (1, 2, 5, 20):
            out[f"industry_excess_{w}"] = _sum(apart, w) / (vol * np.sqrt(w))
            out[f"industry_{w}"] = _sum(c["industry_return"] - c["market_return"], w) * 100
        out["industry_lag_1"] = _lag(c["industry_return"] - c["market_return"], 1) * 100
        for w in (20, 60, 250):
            out[f"momentum_{w}_5"] = (_lag(close, 5) - _lag(close, w)) / deviation[20]

        out["gap"] = self.gap / vol
        out["intraday"] = self.intraday / vol
        out["upper_shadow"] = (self.high - np.maximum(close, np.log(c["open"]))) / vol
        out["lower_shadow"] = (np.minimum(close, np.log(c["open"])) - self.low) / vol
        out["range_1"] = self.range / vol
        out["close_in_range"] = (2 * close - self.high - self.low) / np.maximum(self.range, 1e-4)
        for w in (5, 20):
            out[f"gap_{w}"] = _sum(self.gap, w) / (vol * np.sqrt(w))
            out[f"intraday_{w}"] = _sum(self.intraday, w) / (vol * np.sqrt(w))
            out[f"shadow_{w}"] = _mean(2 * close - self.high - self.low, w) / vol
            out[f"range_{w}"] = _mean(self.range, w) / vol

        out["log_volatility"] = np.log(vol)
        for w in WINDOWS:
            out[f"deviation_{w}"] = np.log(deviation[w])
        out["deviation_5_20"] = np.log(deviation[5] / deviation[20])
        out["deviation_20_60"] = np.log(deviation[20] / deviation[60])
        skew = _mean((np.clip(self.unit, -4, 4)) ** 3, 20)
        out["skew_20"] = skew
        out["skew_60"] = _mean((np.clip(self.unit, -4, 4)) ** 3, 60)
        out["largest_20"] = _extreme(ret, 20, np.maximum) / vol
        out["smallest_20"] = _extreme(ret, 20, np.minimum) / vol

        change = self.volume - _lag(self.volume, 1)
        for w in WINDOWS:
            out[f"above_mean_{w}"] = (close - _mean(close, w)) / (vol * np.sqrt(w))
            top, bottom = _extreme(self.high, w, np.maximum), _extreme(self.low, w, np.minimum)
            out[f"position_{w}"] = (close - bottom) / np.maximum(top - bottom, 1e-4)
            out[f"below_top_{w}"] = (top - close) / (vol * np.sqrt(w))
            out[f"trend_{w}"], out[f"trend_fit_{w}"] = self._trend(w)
            out[f"price_volume_{w}"] = _correlation(close - _mean(close, 60), self.volume, w)
            out[f"change_volume_{w}"] = _correlation(ret, change, w)
            size = np.maximum(_sum(np.abs(ret), w), 1e-4)
            out[f"gain_share_{w}"] = _sum(np.maximum(ret, 0), w) / size
            out[f"up_days_{w}"] = _mean(np.sign(ret), w)
            out[f"volume_{w}"] = self.volume - _mean(self.volume, w)
            out[f"volume_deviation_{w}"] = np.log(np.maximum(_deviation(self.volume, w), 1e-2))
            size = np.maximum(_sum(np.abs(change), w), 1e-2)
            out[f"volume_gain_share_{w}"] = _sum(np.maximum(change, 0), w) / size
            flow = np.abs(ret) * c["volume"]
            out[f"weighted_deviation_{w}"] = np.log(
                np.maximum(_deviation(flow, w), 1e-6) / np.maximum(_mean(flow, w), 1e-6)
            )
        for w in (250,):
            top, bottom = _extreme(self.high, w, np.maximum), _extreme(self.low, w, np.minimum)
            out[f"position_{w}"] = (close - bottom) / np.maximum(top - bottom, 1e-4)

        out["shock"] = shock
        for k in (1, 2):
            out[f"shock_lag_{k}"] = _lag(shock, k)
        signed = self.unit * shock
        for w in (1, 2, 3, 5, 10, 20):
            out[f"signed_shock_{w}"] = _mean(np.clip(signed, -8, 8), w)
        out["burst"] = np.sign(ret) * np.clip(shock, 0, 3)
        out["burst_5"] = _mean(out["burst"], 5)
        out["shock_5"] = _mean(shock, 5)
        out["shock_5_60"] = _mean(self.volume, 5) - _mean(self.volume, 60)
        out["shock_20_250"] = _mean(self.volume, 20) - _mean(self.volume, 250)

        out["log_amount_20"] = np.log(_mean(c["amount"], 20) + 1.0) - 18.0
        out["illiquidity_20"] = np.log(_mean(np.abs(ret) / np.maximum(c["amount"], 1e3), 20) + 1e-13) + 20.0
        out["illiquidity_5"] = np.log(_mean(np.abs(ret) / np.maximum(c["amount"], 1e3), 5) + 1e-13) + 20.0
        worth = c["raw_close"] * c["float_shares"]
        out["log_size"] = np.log(np.where(worth > 0, worth, np.nan)) - 22.0
        turnover = c["amount"] / np.where(worth > 0, worth, np.nan)
        for w in (1, 5, 20, 60):
            known = np.nan_to_num(turnover)
            value = np.log(_mean(known, w) + 1e-6)
            out[f"turnover_{w}"] = np.where(np.isnan(turnover), np.nan, value)
        out["log_price"] = np.log(np.maximum(c["raw_close"], 1e-2))

        variance_market = np.maximum(_mean(c["market_return"] ** 2, 60), 1e-8)
        beta = _mean(ret * c["market_return"], 60) / variance_market
        residual = ret - beta * c["market_return"]
        out["beta_60"] = beta
        slow = np.maximum(_exponential_mean(c["market_return"] ** 2, 250), 1e-8)
        out["beta_250"] = _exponential_mean(ret * c["market_return"], 250) / slow
        out["residual_deviation_20"] = np.log(np.maximum(_deviation(residual, 20), 1e-3))
        out["residual_5"] = _sum(residual, 5) / vol
        out["residual_20"] = _sum(residual, 20) / vol
        out["excess_60"] = _sum(excess, 60) / vol

        locked_up = (c["raw_close"] >= c["limit_up"] - 0.005).astype(np.float64)
        locked_down = (c["raw_close"] <= c["limit_down"] + 0.005).astype(np.float64)
        out["locked_up"], out["locked_down"] = locked_up, locked_down
        out["locked_up_lag_1"] = _lag(locked_up, 1)
        for w in (5, 20):
            out[f"locked_up_{w}"] = _mean(locked_up, w)
            out[f"locked_down_{w}"] = _mean(locked_down, w)
        away = np.zeros_like(ret)
        away[1:] = np.diff(c["session"], axis=0) - 1.0
        out["suspended_5"] = np.log1p(np.maximum(_sum(away, 5), 0.0))
        out["age"] = np.broadcast_to(np.log(np.arange(1.0, length + 1))[:, None], ret.shape)
        return _first(out, FACTORS)

    def _trend(self, window: int) -> tuple[Array, Array]:
        """Slope of a line through the last log closes, in volatilities a session, and its signed R2.

        Sums against the bar's number i turn into sums against its place in the window by one subtraction.
        """
        y = self.close - self.close[0]
        i = np.arange(len(y), dtype=np.float64)[:, None]
        n = _count(len(y), window)
        sum_y, place = _sum(y, window), i - n + 1
        sum_xy = _sum(i * y, window) - place * sum_y
        variance_x = np.maximum((n * n - 1) / 12, 0.25)
        covariance = sum_xy / n - (n - 1) / 2 * sum_y / n
        slope = covariance / variance_x
        variance_y = np.maximum(_mean(y * y, window) - (sum_y / n) ** 2, 1e-10)
        return slope / self.volatility, np.sign(slope) * slope**2 * variance_x / variance_y


def _first(named: dict[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
    """The same columns, these ahead of the rest."""
    return {name: named[name] for name in names} | named


# ---- within the session


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


# ---- one row a session


def _market(
    panel: "Panel",
    index: str,
    log_return: Array,
    market_return: Array,
    industry_return: Array,
    summary: NDArray[np.float16],
    summary_names: tuple[str, ...],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    session_count = len(panel.sessions)
    out: dict[str, Array] = {}
    for name, change in (("index", _index_returns(panel, index, market_return)), ("market", market_return)):
        r = change[:, None]
        slow = np.sqrt(_exponential_mean(r * r, 120, TYPICAL_VOLATILITY**2))
        for w in (1, 2, 5, 20, 60):
            out[f"{name}_return_{w}"] = (_sum(r, w) / (slow * np.sqrt(w)))[:, 0]
        for span in (5, 15, 40, 120):
            square = _exponential_mean(r * r, span, TYPICAL_VOLATILITY**2)
            out[f"{name}_volatility_{span}"] = np.log(np.maximum(square, 1e-9) / TYPICAL_VOLATILITY**2)[:, 0]
        level = np.cumsum(r, axis=0)
        out[f"{name}_drawdown"] = ((level - _extreme(level, 120, np.maximum)) / slow)[:, 0] / 10

    sessions = panel.session_index
    up = _session_mean((log_return > 0).astype(np.float64), sessions, session_count)
    spread = np.sqrt(_session_mean((log_return - market_return[sessions]) ** 2, sessions, session_count))
    spread = np.log(np.maximum(spread, 1e-4))
    out["breadth"] = 4 * (up - 0.5)
    for span in (1, 5, 20, 120):
        out[f"dispersion_{span}"] = 4 * (
            _exponential_mean(spread[:, None], span)[:, 0] - np.log(TYPICAL_SPREAD)
        )

    by_industry = industry_return.reshape(session_count, -1)[:, : len(INDUSTRIES)] - market_return[:, None]
    by_industry = np.where(
        industry_return.reshape(session_count, -1)[:, : len(INDUSTRIES)] == 0, 0.0, by_industry
    )
    scale = np.sqrt(_exponential_mean(np.mean(by_industry**2, axis=1, keepdims=True), 120, 0.005**2))
    for k in (0, 1):
        lagged = _lag(by_industry, k) / np.maximum(scale, 1e-4)
        for position, industry in enumerate(INDUSTRIES):
            out[f"{industry}_lag_{k}"] = lagged[:, position]

    for factor in PAYOFF_FACTORS:
        paid = _payoff(panel, summary[:, summary_names.index(factor)], log_return)
        for span in PAYOFF_SPANS:
            # An IC of one session has a standard error of 1 / sqrt(stocks); its mean is told in such units.
            value = _exponential_mean(paid[:, None], span, 0.0)[:, 0]
            out[f"{factor}_paid_{span}"] = value * np.sqrt(span)
    out = _first(out, (*STATES, *LEADERS))
    table = np.stack(list(out.values()), axis=1)
    return np.clip(np.nan_to_num(table), -5, 5).astype(np.float32), tuple(out)


def _index_returns(panel: "Panel", index: str, market_return: Array) -> Array:
    """Daily log returns of the index on the panel's sessions; the universe's mean where it has no bar."""
    try:
        bars = panel.index_bars(index)
    except CodeNotHeld:  # bars of one's own come without an index
        return market_return
    if len(bars.date) < 2:
        return market_return
    change = np.diff(np.log(bars.close))
    place = np.searchsorted(panel.sessions, bars.date[1:])
    inside = (place < len(panel.sessions)) & (
        panel.sessions[np.minimum(place, len(panel.sessions) - 1)] == bars.date[1:]
    )
    out = market_return.copy()
    out[place[inside]] = change[inside]
    return out


def _payoff(panel: "Panel", factor: NDArray[np.float16], log_return: Array) -> Array:
    """The tradable daily payoff of a factor as known at each close, in standard errors of its IC.

    The factor as it stood two bars ago against the return of this bar: bought at the next close, sold at the
    one after. The factor is a z-score within its session, so the mean product over the spread is its IC.
    """
    stood = np.zeros(len(factor))
    stood[2:] = factor[:-2]
    for k in (0, 1):
        starts = panel.offsets[:-1] + k
        stood[starts[starts < panel.offsets[1:]]] = 0.0
    sessions, session_count = panel.session_index, len(panel.sessions)
    wide = np.clip(log_return, -0.11, 0.11)
    centred = wide - _session_mean(wide, sessions, session_count)[sessions]
    product = np.bincount(sessions, weights=stood * centred, minlength=session_count)
    square = np.bincount(sessions, weights=centred**2, minlength=session_count)
    power = np.bincount(sessions, weights=stood**2, minlength=session_count)
    return product / np.sqrt(np.maximum(square * power, 1e-12)) * 10
