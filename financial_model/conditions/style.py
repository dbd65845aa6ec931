"""The styles of each stock as of a date: size, value, volatility, momentum, liquidity.

Each style is one factor per row (float32, NaN where a fact is missing), cut into buckets. By default a
session is cut at its own cross-sectional quantiles, so that a bucket means the same in a calm year and in a
wild one; `THRESHOLDS` are the fixed cuts. A missing fact is its own bucket, "unknown".

Factors look back over the stock's own bars (a suspension holds no bar). Sums are running sums from each
stock's first bar, added one after the other, so that cutting the future off leaves every bit of the past.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.config import ConditionSettings
from ..data.panel import Panel
from ..data.reference_store import Facts, ReferenceStore
from ..market.calendar import SESSIONS_A_YEAR
from .blocks import each_row_in_force, each_session, each_stock
from .trailing import trailing_deviation, trailing_sum

FloatArray = npt.NDArray[np.floating[Any]]
Factor = Callable[[Panel, ReferenceStore], FloatArray]

UNKNOWN = "unknown"
VOLATILITY_BARS, VOLATILITY_LEAST = 60, 40
MOMENTUM_BARS = 60
TURNOVER_BARS, TURNOVER_LEAST = 20, 10
LONG_AGO = -10_000  # a quarter of which no report speaks
# How far one stock's quarters and days lie behind those of the stock before, to read a whole table at once.
QUARTERS_APART, DAYS_APART = 2**16, 10_000_000


@dataclass(frozen=True)
class Style:
    """A factor and the names of its buckets, lowest factor first."""

    buckets: tuple[str, ...]
    thresholds: tuple[float, ...]
    """Fixed cuts between the buckets, in the factor's unit."""
    factor: Factor
    threshold_factor: Factor | None = None
    """What the fixed cuts are applied to, where it is another factor."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return (UNKNOWN, *self.buckets)

    def column(
        self, panel: Panel, reference: ReferenceStore, settings: ConditionSettings
    ) -> npt.NDArray[np.int8]:
        """The bucket of each row, int8 (N,), positions in `vocabulary`."""
        if settings.buckets == "threshold":
            factor = (self.threshold_factor or self.factor)(panel, reference)
            found = np.searchsorted(np.array(self.thresholds), factor, side="right") + 1
            return np.where(np.isnan(factor), 0, found).astype(np.int8)
        return quantile_buckets(panel, self.factor(panel, reference), len(self.buckets))


def quantile_buckets(panel: Panel, factor: FloatArray, count: int) -> npt.NDArray[np.int8]:
    """Buckets 1..count by quantile of `factor` (N,) within each session, 0 where it is NaN.

    Equal values share a bucket. A session with fewer known values than buckets ranks nobody.
    """

    def cut(values: FloatArray) -> npt.NDArray[np.int8]:
        known = ~np.isnan(values)
        held = known.sum(axis=1)
        ordered = np.sort(values, axis=1)  # NaN sorts behind the known values
        found = np.ones(values.shape, np.int8)
        for k in range(1, count):
            edge = ordered[np.arange(len(ordered)), held * k // count]
            found += (values >= edge[:, None]).view(np.int8)
        return found * (known & (held >= count)[:, None])

    return each_session(panel, [factor], cut, np.empty(len(panel), np.int8))


def session_ranks(panel: Panel, factor: FloatArray) -> npt.NDArray[np.float32]:
    """Rank of each known value within its session, in (0, 1); NaN where unknown. Equal values share one."""
    return each_session(panel, [factor], _ranks, np.empty(len(panel), np.float32))


def _ranks(values: FloatArray) -> npt.NDArray[np.float32]:
    """The same of a table of a line a session."""
    lines, width = values.shape
    order = np.argsort(values, axis=1)
    order += np.arange(0, values.size, width)[:, None]  # in the flat table: quicker than along an axis
    ordered = values.take(order)
    place = np.arange(width, dtype=np.int32)
    middle = np.tile(2 * place + 1, (lines, 1))  # twice the rank, as if no value came twice
    is_equal = ordered[:, 1:] == ordered[:, :-1]
    with_equals = is_equal.any(axis=1)
    middle[with_equals] = _shared_middle(is_equal[with_equals], place)
    unknown = np.isnan(values)
    held = np.maximum((~unknown).sum(axis=1), 1)
    placed = np.empty(values.size, np.float32)
    placed[order.ravel()] = (middle / (2.0 * held[:, None])).ravel()
    placed[unknown.ravel()] = np.nan
    return placed.reshape(values.shape)


def _shared_middle(is_equal: npt.NDArray[np.bool_], place: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """First + last + 1 of the places that equal values take in a sorted line; is_equal: to the one before."""
    shape = (len(is_equal), len(place))
    first, last = np.zeros(shape, np.int32), np.full(shape, place[-1])
    first[:, 1:] = np.where(is_equal, 0, place[1:])
    last[:, :-1] = np.where(is_equal, place[-1], place[:-1])
    first = np.maximum.accumulate(first, axis=1)
    return first + np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1] + 1


def market_cap(panel: Panel, reference: ReferenceStore) -> FloatArray:
    """Total shares times raw close, CNY."""
    return each_stock(panel, ("total_shares", "raw_close"), np.multiply)


def volatility(panel: Panel, reference: ReferenceStore) -> FloatArray:
    """Standard deviation of daily log returns over the last 60 bars (at least 40), annualised."""

    def of_stocks(close: npt.NDArray[np.float64]) -> FloatArray:
        deviation = np.full(close.shape, np.nan)
        returns = np.diff(np.log(close))
        deviation[:, 1:] = trailing_deviation(returns, VOLATILITY_BARS, VOLATILITY_LEAST)
        return deviation * np.sqrt(SESSIONS_A_YEAR)

    return each_stock(panel, ("close",), of_stocks)


def momentum(panel: Panel, reference: ReferenceStore) -> FloatArray:
    """Adjusted return over the last 60 bars, as a fraction."""

    def of_stocks(close: npt.NDArray[np.float64]) -> FloatArray:
        past = np.full(close.shape, np.nan)
        past[:, MOMENTUM_BARS:] = close[:, MOMENTUM_BARS:] / close[:, :-MOMENTUM_BARS] - 1
        return past

    return each_stock(panel, ("close",), of_stocks)


def turnover(panel: Panel, reference: ReferenceStore) -> FloatArray:
    """Mean share of the float traded a session over the last 20 bars (at least 10), by value."""

    def of_stocks(amount: FloatArray, raw_close: FloatArray, float_shares: FloatArray) -> FloatArray:
        traded = np.asarray(amount, np.float64) / (raw_close * float_shares)
        known = np.isfinite(traded)
        count = trailing_sum(known.astype(np.int64), TURNOVER_BARS)
        mean = trailing_sum(np.where(known, traded, 0.0), TURNOVER_BARS) / np.maximum(count, 1)
        return np.where(count >= TURNOVER_LEAST, mean, np.nan)

    return each_stock(panel, ("amount", "raw_close", "float_shares"), of_stocks)


def cheapness(panel: Panel, reference: ReferenceStore) -> FloatArray:
    """Mean of the session ranks of earnings yield (last four quarters) and book-to-price; the one that is
    known where only one is; NaN without published facts."""
    earnings, book = published_yields(panel, reference)
    if np.isnan(earnings).all() and np.isnan(book).all():
        return earnings

    def mean_rank(earnings: FloatArray, book: FloatArray) -> FloatArray:
        one, other = _ranks(earnings), _ranks(book)
        both = (one + other) * np.float32(0.5)
        return np.where(np.isnan(one), other, np.where(np.isnan(other), one, both))

    # In place of the earnings, since each column of a large market is a tenth of a gigabyte.
    return each_session(panel, [earnings, book], mean_rank, earnings)


def book_to_price(panel: Panel, reference: ReferenceStore) -> FloatArray:
    """Published book value per share over price: 1 where the price is the book value."""
    return published_yields(panel, reference)[1]


def published_yields(panel: Panel, reference: ReferenceStore) -> tuple[FloatArray, FloatArray]:
    """(earnings of four quarters / price, book value / price), float32 (N,), of what was announced by then.

    Per-share figures speak of the shares there were when they were announced; they are brought to today's
    by the change of total shares where both are known.
    """
    facts = reference.read("fundamentals")
    earnings = np.full(len(panel), np.nan, np.float32)
    book = np.full(len(panel), np.nan, np.float32)
    raw_close, total_shares = panel.column("raw_close"), panel.column("total_shares")
    # Behind the last fact, what NO_FACT finds.
    told_earnings, told_book = (np.append(f(facts), np.nan) for f in (trailing_earnings, latest_book))

    def fill(rows: slice, fact: npt.NDArray[np.int64], since: npt.NDArray[np.int64]) -> None:
        shares = total_shares[rows]
        growth = shares / shares[since]
        scale = np.where(np.isfinite(growth), growth, 1.0) * raw_close[rows]
        earnings[rows] = told_earnings[fact] / scale
        book[rows] = told_book[fact] / scale

    each_row_in_force(panel, facts, facts["known_from"], fill)
    return earnings, book


def latest_book(facts: Facts) -> npt.NDArray[np.float64]:
    """Book value per share of the stock's latest period known at each announcement; NaN unknown."""
    value, period, stock = facts["book_value_per_share_cny"], facts["period"], _stock_of_row(facts)
    day = np.where(np.isnat(period), np.nan, period.astype(np.int64)) + stock * DAYS_APART
    known = ~np.isnan(value)
    newest = np.fmax.accumulate(np.where(known, day, np.nan))
    counts = known & ~(day < newest)
    last = np.maximum.accumulate(np.where(counts, np.arange(len(value)), -1))
    return np.where((last >= 0) & (stock[last] == stock), value[last], np.nan)


def trailing_earnings(facts: Facts) -> npt.NDArray[np.float64]:
    """Earnings per share of four quarters known at each announcement (CNY); NaN unknown.

    Reports state the year so far: the last four quarters are this year so far, plus last year, minus last
    year up to the same quarter. Where a part is missing, the latest full year stands.
    """
    value, period = facts["eps_cny"], facts["period"]
    known = ~(np.isnan(value) | np.isnat(period))
    quarter = np.where(known, period.astype("datetime64[M]").astype(np.int64) // 3, LONG_AGO)  # since 1970
    is_full = quarter % 4 == 3
    begin = _stock_of_row(facts) * QUARTERS_APART
    quarter += begin
    row = np.arange(len(value))
    # One number for (quarter, row), so that a search finds the last row up to mine that speaks of a quarter.
    place = quarter * len(value) + row
    order = np.argsort(place)

    def told(wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        found = order[np.searchsorted(place[order], wanted * len(value) + row, side="right") - 1]
        return np.where(known[found] & (quarter[found] == wanted), value[found], np.nan)

    newest = np.maximum.accumulate(quarter)
    so_far, last_year, same_quarter = told(newest), told(newest // 4 * 4 - 1), told(newest - 4)
    full_year = told(np.maximum.accumulate(np.where(is_full, quarter, begin + LONG_AGO)))
    parts_known = ~(np.isnan(last_year) | np.isnan(same_quarter))
    in_parts = np.where(parts_known, so_far + last_year - same_quarter, full_year)
    return np.where(newest % 4 == 3, so_far, in_parts)


def _stock_of_row(facts: Facts) -> npt.NDArray[np.int64]:
    """Which of the table's stocks each row speaks of, counted from 0."""
    code = facts["code"]
    is_next = np.zeros(len(code), np.bool_)
    is_next[1:] = code[1:] != code[:-1]
    return np.cumsum(is_next)


STYLES = {
    "style_size": Style(("micro", "small", "mid", "large", "mega"), (3e9, 10e9, 50e9, 200e9), market_cap),
    "style_value": Style(
        ("growth", "balanced", "value", "deep_value"), (0.25, 0.5, 1.0), cheapness, book_to_price
    ),
    "style_volatility": Style(("low", "medium", "high"), (0.25, 0.45), volatility),
    # A-share losers of the last months tend to come back: the lowest bucket is named after that.
    "style_momentum": Style(
        ("reversal", "negative", "neutral", "positive", "strong"), (-0.20, -0.05, 0.05, 0.20), momentum
    ),
    "style_liquidity": Style(("low", "medium", "high"), (0.01, 0.03), turnover),
}
