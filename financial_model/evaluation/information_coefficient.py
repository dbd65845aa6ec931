"""The information coefficient: how well a score ranks the stocks of one session, then over sessions.

One number a session, a series over sessions, and an error of its mean that knows neighbouring sessions
are alike (Newey-West). Everything is vectorised over sessions: samples are grouped by an integer, sums are
`bincount`s and ranks one sort, so half a million samples take a fraction of a second.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Below this many stocks the correlation of a session says next to nothing, and it is left out.
MINIMUM_COUNT = 5


@dataclass(frozen=True)
class SessionIC:
    """IC and RankIC of each session that has one; all arrays (S,), sessions in rising order.

    `ic` and `rank_ic` are NaN where a session has fewer than MINIMUM_COUNT samples or labels all alike.
    A score that is the same for every stock ranks nothing: its IC counts as 0, so that a model cannot
    improve its mean by keeping silent.
    """

    session: Integers
    ic: Floats
    rank_ic: Floats
    count: Integers

    def only(self, keep: NDArray[np.bool_]) -> "SessionIC":
        return SessionIC(self.session[keep], self.ic[keep], self.rank_ic[keep], self.count[keep])


@dataclass(frozen=True)
class Mean:
    """The mean of a series over sessions with its Newey-West error; NaN where there is nothing to say."""

    mean: float
    se: float
    t: float
    ir: float
    count: int

    @property
    def low(self) -> float:
        return self.mean - 1.96 * self.se

    @property
    def high(self) -> float:
        return self.mean + 1.96 * self.se

    def to_json(self) -> dict[str, Any]:
        """The figures with their 95 % interval; NaN becomes None."""
        values = {
            "mean": self.mean,
            "se": self.se,
            "t": self.t,
            "ir": self.ir,
            "low": self.low,
            "high": self.high,
        }
        return {name: finite_or_none(value) for name, value in values.items()} | {"count": self.count}


def finite_or_none(value: float) -> float | None:
    """A float that JSON can hold: NaN and infinities become None."""
    return float(value) if np.isfinite(value) else None


def session_ic(score: Floats, label: Floats, session: Integers) -> SessionIC:
    """Pearson and Spearman correlation of score and label within each session.

    score, label: (N,), session: (N,) integers; the order of samples does not matter. A sample with NaN in
    either does not count. Ties share their mean rank.

    >>> result = session_ic(np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 2, 3, 5, 4]), np.zeros(5, int))
    >>> result.rank_ic.round(6).tolist(), result.count.tolist()
    ([0.9], [5])
    """
    score, label, session = np.asarray(score, float), np.asarray(label, float), np.asarray(session)
    valid = np.isfinite(score) & np.isfinite(label)
    sessions, group = dense_groups(session[valid])
    x, y = score[valid], label[valid]
    count = np.bincount(group, minlength=len(sessions))
    ic = _grouped_correlation(x, y, group, count)
    rank_ic = _grouped_correlation(grouped_ranks(x, group), grouped_ranks(y, group), group, count)
    too_few = count < MINIMUM_COUNT
    ic[too_few] = rank_ic[too_few] = np.nan
    return SessionIC(sessions.astype(np.int64), ic, rank_ic, count.astype(np.int64))


def dense_groups(values: NDArray[np.integer]) -> tuple[Integers, Integers]:
    """What np.unique(values, return_inverse=True) gives, by counting: values (N,) are small and not negative.

    >>> [part.tolist() for part in dense_groups(np.array([7, 3, 7]))]
    [[3, 7], [1, 0, 1]]
    """
    present = np.bincount(values) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[values]


def grouped_ranks(values: Floats, group: Integers) -> Floats:
    """Rank of each value within its group, from 0, ties sharing their mean rank; no NaN allowed.

    >>> grouped_ranks(np.array([3.0, 1, 1, 7]), np.array([0, 0, 0, 1])).tolist()
    [2.0, 0.5, 0.5, 0.0]
    """
    if not len(values):
        return np.empty(0)
    order = by_group(np.arange(len(values)), group)
    sorted_group, sorted_values = group[order], values[order]
    new_group = np.r_[True, sorted_group[1:] != sorted_group[:-1]]
    group_starts = np.flatnonzero(new_group)
    # Group by group: each stays in the cache, where one sort of all samples would not.
    for start, stop in pairwise([*group_starts.tolist(), len(values)]):
        inside = np.argsort(sorted_values[start:stop])
        order[start:stop] = order[start:stop][inside]
        sorted_values[start:stop] = sorted_values[start:stop][inside]
    new_run = new_group | np.r_[True, sorted_values[1:] != sorted_values[:-1]]
    starts = np.flatnonzero(new_run)
    ends = np.r_[starts[1:], len(values)]
    run_rank = (starts + ends - 1) / 2 - group_starts[np.cumsum(new_group)[starts] - 1]
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(run_rank, ends - starts)
    return ranks


def by_group(order: Integers, group: Integers) -> Integers:
    """An order (N,) of samples brought into groups, its own order kept within each.

    numpy sorts 16-bit keys by radix, in one pass.
    """
    key = group.astype(np.uint16) if len(group) and group.max() < 2**16 else group
    return order[np.argsort(key[order], kind="stable")]


def grouped_mean(values: Floats, group: Integers, count: Integers) -> Floats:
    """Mean of the values of each group 0..len(count)-1; NaN for an empty group."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.bincount(group, values, minlength=len(count)) / count


def _grouped_correlation(x: Floats, y: Floats, group: Integers, count: Integers) -> Floats:
    # Deviations first, products after: one pass over raw sums would lose the digits of small returns.
    dx = x - grouped_mean(x, group, count)[group]
    dy = y - grouped_mean(y, group, count)[group]
    groups = len(count)
    covariance = np.bincount(group, dx * dy, minlength=groups)
    spread_x = np.sqrt(np.bincount(group, dx * dx, minlength=groups))
    spread_y = np.sqrt(np.bincount(group, dy * dy, minlength=groups))
    # A mean of equal numbers may differ from them in the last digit, which is no spread.
    flat_x = spread_x <= 1e-12 * np.sqrt(np.bincount(group, x * x, minlength=groups))
    flat_y = spread_y <= 1e-12 * np.sqrt(np.bincount(group, y * y, minlength=groups))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / (spread_x * spread_y)
    correlation[flat_x] = 0.0
    correlation[flat_y] = np.nan
    return correlation


def newey_west_lags(count: int, overlap: int = 1) -> int:
    """Lags of the Bartlett kernel: 4 (n / 100)^(2/9), and no fewer than the sessions labels overlap.

    >>> newey_west_lags(485), newey_west_lags(485, overlap=10)
    (5, 10)
    """
    return min(max(int(4 * (count / 100) ** (2 / 9)), overlap), max(count - 1, 0))


def newey_west_se(series: Floats, lags: int) -> float:
    """Standard error of the mean of a series whose neighbours are correlated (Newey and West 1987).

    With lags 0 it is the plain error of a mean (with n, not n - 1).

    >>> round(newey_west_se(np.array([1.0, -1.0, 1.0, -1.0]), lags=0), 6)
    0.5
    """
    count = len(series)
    if count < 2:
        return float("nan")
    deviation = series - series.mean()
    variance = deviation @ deviation
    for lag in range(1, min(lags, count - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (deviation[lag:] @ deviation[:-lag])
    return float(np.sqrt(max(variance, 0.0)) / count)


def mean_over_sessions(series: Floats, overlap: int = 1) -> Mean:
    """Mean, Newey-West error, t, and information ratio (mean over standard deviation) of a series.

    NaN entries are left out; `overlap` is the number of sessions a label spans (the holding period).
    """
    values = np.asarray(series, float)
    values = values[np.isfinite(values)]
    count = len(values)
    if not count:
        nan = float("nan")
        return Mean(nan, nan, nan, nan, 0)
    mean = float(values.mean())
    se = newey_west_se(values, newey_west_lags(count, overlap))
    spread = float(values.std(ddof=1)) if count > 1 else float("nan")
    return Mean(mean, se, _ratio(mean, se), _ratio(mean, spread), count)


def paired_difference(first: Floats, second: Floats, overlap: int = 1) -> Mean:
    """Mean of first - second over the sessions where both have a value, with its Newey-West error.

    Two models are judged on the same sessions, whose luck they share; the difference of two means with
    their own errors would forget that and see nothing.
    """
    return mean_over_sessions(np.asarray(first, float) - np.asarray(second, float), overlap)


def _ratio(value: float, scale: float) -> float:
    # A constant series has no error to speak of: no t, rather than an infinite one.
    return value / scale if scale > 1e-15 else float("nan")
