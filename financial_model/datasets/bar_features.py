"""What a bar is beside the one before it, and what its stock's history up to it amounts to.

Each is worked out for a block of stocks at once, (L, B): bar i of each stock in row i. Nothing here looks at
another stock, but for the market's and the industry's return, which are given.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..base.threads import CORES
from .rolling import (
    Array,
    bar_count,
    exponential_mean,
    lag,
    rolling_correlation,
    rolling_deviation,
    rolling_extreme,
    rolling_mean,
    rolling_sum,
)

BLOCK_CELLS = 200_000  # bars in flight at once: each takes 1.2 KB while its features are worked out
VOLATILITY_SPAN = 20  # sessions of the exponential mean of squared returns
VOLATILITY_FLOOR = 0.004
VOLATILITY_PRIOR = 0.025  # what a stock is taken for on its first day, fading with the same span
WINDOWS = (5, 10, 20, 60)

COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "amount",
    "raw_close",
    "float_shares",
    "limit_up",
    "limit_down",
)
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


@dataclass
class Block:
    """Columns of some stocks as (L, B) matrices: bar i of each stock in row i, ones after its last bar."""

    columns: dict[str, Array]
    lengths: NDArray[np.int64]

    def back(self, values: Array) -> Array:
        """(L, B) -> the rows of the panel, stock after stock."""
        inside = np.arange(len(values)) < self.lengths[:, None]  # (B, L)
        return values.T[inside]


def cut_block(source: dict[str, Array], offsets: NDArray[np.int64]) -> tuple[slice, Block]:
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
    return rows, Block(columns, lengths)


def shares_of_work(offsets: NDArray[np.int64]) -> list[range]:
    """Neighbouring stocks, of which BLOCK_CELLS bars at most are in flight at once over all cores."""
    count = len(offsets) - 1
    at_once = max(BLOCK_CELLS // (CORES * int(np.diff(offsets).max())), 1)
    parts = CORES * -(-count // (CORES * at_once))
    edges = [count * k // parts for k in range(parts + 1)]
    return [range(start, stop) for start, stop in pairwise(edges) if start < stop]


def summary_names_of(source: dict[str, Array]) -> tuple[str, ...]:
    """What the columns of the summary are called, by working out those of a bar of ones."""
    bar = Block({name: np.ones((1, 1)) for name in source}, np.ones(1, np.int64))
    return tuple(BarFeatures(bar).summary())


class BarFeatures:
    """The features of one block; every member is (L, B)."""

    def __init__(self, block: Block) -> None:
        self.c = c = block.columns
        self.ret = ret = c["log_return"]
        self.close = np.log(c["close"])
        self.volatility = np.maximum(
            np.sqrt(exponential_mean(np.minimum(ret * ret, 0.05), VOLATILITY_SPAN, VOLATILITY_PRIOR**2)),
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
        self.shock = self.volume - lag(rolling_mean(self.volume, 20), 1)
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
        deviation = {w: np.maximum(rolling_deviation(ret, w), 1e-3) for w in WINDOWS}

        for w in (1, 2, 3, 5, 10, 20, 40, 60, 120, 250):
            out[f"return_{w}"] = (close - lag(close, w)) / (deviation[20] * np.sqrt(w))
        for k in (1, 2, 3, 4):
            out[f"return_lag_{k}"] = lag(self.unit, k)
        excess = ret - c["market_return"]
        apart = ret - c["industry_return"]
        for w in (1, 2, 5, 20):
            out[f"industry_excess_{w}"] = rolling_sum(apart, w) / (vol * np.sqrt(w))
            out[f"industry_{w}"] = rolling_sum(c["industry_return"] - c["market_return"], w) * 100
        out["industry_lag_1"] = lag(c["industry_return"] - c["market_return"], 1) * 100
        for w in (20, 60, 250):
            out[f"momentum_{w}_5"] = (lag(close, 5) - lag(close, w)) / deviation[20]

        out["gap"] = self.gap / vol
        out["intraday"] = self.intraday / vol
        out["upper_shadow"] = (self.high - np.maximum(close, np.log(c["open"]))) / vol
        out["lower_shadow"] = (np.minimum(close, np.log(c["open"])) - self.low) / vol
        out["range_1"] = self.range / vol
        out["close_in_range"] = (2 * close - self.high - self.low) / np.maximum(self.range, 1e-4)
        for w in (5, 20):
            out[f"gap_{w}"] = rolling_sum(self.gap, w) / (vol * np.sqrt(w))
            out[f"intraday_{w}"] = rolling_sum(self.intraday, w) / (vol * np.sqrt(w))
            out[f"shadow_{w}"] = rolling_mean(2 * close - self.high - self.low, w) / vol
            out[f"range_{w}"] = rolling_mean(self.range, w) / vol

        out["log_volatility"] = np.log(vol)
        for w in WINDOWS:
            out[f"deviation_{w}"] = np.log(deviation[w])
        out["deviation_5_20"] = np.log(deviation[5] / deviation[20])
        out["deviation_20_60"] = np.log(deviation[20] / deviation[60])
        skew = rolling_mean((np.clip(self.unit, -4, 4)) ** 3, 20)
        out["skew_20"] = skew
        out["skew_60"] = rolling_mean((np.clip(self.unit, -4, 4)) ** 3, 60)
        out["largest_20"] = rolling_extreme(ret, 20, np.maximum) / vol
        out["smallest_20"] = rolling_extreme(ret, 20, np.minimum) / vol

        change = self.volume - lag(self.volume, 1)
        for w in WINDOWS:
            out[f"above_mean_{w}"] = (close - rolling_mean(close, w)) / (vol * np.sqrt(w))
            top, bottom = rolling_extreme(self.high, w, np.maximum), rolling_extreme(self.low, w, np.minimum)
            out[f"position_{w}"] = (close - bottom) / np.maximum(top - bottom, 1e-4)
            out[f"below_top_{w}"] = (top - close) / (vol * np.sqrt(w))
            out[f"trend_{w}"], out[f"trend_fit_{w}"] = self._trend(w)
            out[f"price_volume_{w}"] = rolling_correlation(close - rolling_mean(close, 60), self.volume, w)
            out[f"change_volume_{w}"] = rolling_correlation(ret, change, w)
            size = np.maximum(rolling_sum(np.abs(ret), w), 1e-4)
            out[f"gain_share_{w}"] = rolling_sum(np.maximum(ret, 0), w) / size
            out[f"up_days_{w}"] = rolling_mean(np.sign(ret), w)
            out[f"volume_{w}"] = self.volume - rolling_mean(self.volume, w)
            out[f"volume_deviation_{w}"] = np.log(np.maximum(rolling_deviation(self.volume, w), 1e-2))
            size = np.maximum(rolling_sum(np.abs(change), w), 1e-2)
            out[f"volume_gain_share_{w}"] = rolling_sum(np.maximum(change, 0), w) / size
            flow = np.abs(ret) * c["volume"]
            out[f"weighted_deviation_{w}"] = np.log(
                np.maximum(rolling_deviation(flow, w), 1e-6) / np.maximum(rolling_mean(flow, w), 1e-6)
            )
        for w in (250,):
            top, bottom = rolling_extreme(self.high, w, np.maximum), rolling_extreme(self.low, w, np.minimum)
            out[f"position_{w}"] = (close - bottom) / np.maximum(top - bottom, 1e-4)

        out["shock"] = shock
        for k in (1, 2):
            out[f"shock_lag_{k}"] = lag(shock, k)
        signed = self.unit * shock
        for w in (1, 2, 3, 5, 10, 20):
            out[f"signed_shock_{w}"] = rolling_mean(np.clip(signed, -8, 8), w)
        out["burst"] = np.sign(ret) * np.clip(shock, 0, 3)
        out["burst_5"] = rolling_mean(out["burst"], 5)
        out["shock_5"] = rolling_mean(shock, 5)
        out["shock_5_60"] = rolling_mean(self.volume, 5) - rolling_mean(self.volume, 60)
        out["shock_20_250"] = rolling_mean(self.volume, 20) - rolling_mean(self.volume, 250)

        out["log_amount_20"] = np.log(rolling_mean(c["amount"], 20) + 1.0) - 18.0
        out["illiquidity_20"] = (
            np.log(rolling_mean(np.abs(ret) / np.maximum(c["amount"], 1e3), 20) + 1e-13) + 20.0
        )
        out["illiquidity_5"] = (
            np.log(rolling_mean(np.abs(ret) / np.maximum(c["amount"], 1e3), 5) + 1e-13) + 20.0
        )
        worth = c["raw_close"] * c["float_shares"]
        out["log_size"] = np.log(np.where(worth > 0, worth, np.nan)) - 22.0
        turnover = c["amount"] / np.where(worth > 0, worth, np.nan)
        for w in (1, 5, 20, 60):
            known = np.nan_to_num(turnover)
            value = np.log(rolling_mean(known, w) + 1e-6)
            out[f"turnover_{w}"] = np.where(np.isnan(turnover), np.nan, value)
        out["log_price"] = np.log(np.maximum(c["raw_close"], 1e-2))

        variance_market = np.maximum(rolling_mean(c["market_return"] ** 2, 60), 1e-8)
        beta = rolling_mean(ret * c["market_return"], 60) / variance_market
        residual = ret - beta * c["market_return"]
        out["beta_60"] = beta
        slow = np.maximum(exponential_mean(c["market_return"] ** 2, 250), 1e-8)
        out["beta_250"] = exponential_mean(ret * c["market_return"], 250) / slow
        out["residual_deviation_20"] = np.log(np.maximum(rolling_deviation(residual, 20), 1e-3))
        out["residual_5"] = rolling_sum(residual, 5) / vol
        out["residual_20"] = rolling_sum(residual, 20) / vol
        out["excess_60"] = rolling_sum(excess, 60) / vol

        locked_up = (c["raw_close"] >= c["limit_up"] - 0.005).astype(np.float64)
        locked_down = (c["raw_close"] <= c["limit_down"] + 0.005).astype(np.float64)
        out["locked_up"], out["locked_down"] = locked_up, locked_down
        out["locked_up_lag_1"] = lag(locked_up, 1)
        for w in (5, 20):
            out[f"locked_up_{w}"] = rolling_mean(locked_up, w)
            out[f"locked_down_{w}"] = rolling_mean(locked_down, w)
        away = np.zeros_like(ret)
        away[1:] = np.diff(c["session"], axis=0) - 1.0
        out["suspended_5"] = np.log1p(np.maximum(rolling_sum(away, 5), 0.0))
        out["age"] = np.broadcast_to(np.log(np.arange(1.0, length + 1))[:, None], ret.shape)
        return put_first(out, FACTORS)

    def _trend(self, window: int) -> tuple[Array, Array]:
        """Slope of a line through the last log closes, in volatilities a session, and its signed R2.

        Sums against the bar's number i turn into sums against its place in the window by one subtraction.
        """
        y = self.close - self.close[0]
        i = np.arange(len(y), dtype=np.float64)[:, None]
        n = bar_count(len(y), window)
        sum_y, place = rolling_sum(y, window), i - n + 1
        sum_xy = rolling_sum(i * y, window) - place * sum_y
        variance_x = np.maximum((n * n - 1) / 12, 0.25)
        covariance = sum_xy / n - (n - 1) / 2 * sum_y / n
        slope = covariance / variance_x
        variance_y = np.maximum(rolling_mean(y * y, window) - (sum_y / n) ** 2, 1e-10)
        return slope / self.volatility, np.sign(slope) * slope**2 * variance_x / variance_y


def put_first(named: dict[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
    """The same columns, these ahead of the rest."""
    return {name: named[name] for name in names} | named
