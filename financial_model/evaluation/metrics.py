"""How good quantiles and directions are, with errors that know the stocks of one day move together.

Half a million samples of 480 sessions are closer to 480 observations than to half a million: every mean
here carries an error clustered by session (and Newey-West over the sessions that labels overlap). The
naive error is about four times too small.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .information_coefficient import (
    Mean,
    dense_groups,
    finite_or_none,
    grouped_ranks,
    mean_over_sessions,
    newey_west_lags,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClusteredMean:
    """A mean over samples with its session-clustered error; NaN where there are no samples."""

    mean: float
    se: float
    samples: int
    sessions: int

    def to_json(self) -> dict[str, Any]:
        """The figures with their 95 % interval; NaN becomes None."""
        return {
            "mean": finite_or_none(self.mean),
            "se": finite_or_none(self.se),
            "low": finite_or_none(self.mean - 1.96 * self.se),
            "high": finite_or_none(self.mean + 1.96 * self.se),
            "samples": self.samples,
            "sessions": self.sessions,
        }


class ClusterSums:
    """Sums by session of values that come in blocks; the mean of all, with its session-clustered error."""

    def __init__(self) -> None:
        self.total, self.size = np.zeros(0), np.zeros(0)

    def add(self, values: Floats, session: Integers) -> None:
        """Add values (N,) or (N, H) of the samples' sessions (N,); NaN is left out."""
        values = np.asarray(values, float)
        known = np.isfinite(values)
        weight, value = known.astype(float), np.where(known, values, 0.0)
        if values.ndim == 2:
            weight, value = np.einsum("nh->n", weight), np.einsum("nh->n", value)
        total: Floats = np.bincount(session, value, minlength=len(self.total)).astype(np.float64)
        size: Floats = np.bincount(session, weight, minlength=len(self.total)).astype(np.float64)
        total[: len(self.total)] += self.total
        size[: len(self.size)] += self.size
        self.total, self.size = total, size

    def mean(self, overlap: int = 1) -> ClusteredMean:
        """The mean is a ratio of sums, so its error comes from the session sums of deviations; `overlap` > 1
        adds the Newey-West terms for outcomes that span several sessions."""
        count = int(self.size.sum())
        if not count:
            return ClusteredMean(float("nan"), float("nan"), 0, 0)
        mean = float(self.total.sum()) / count
        deviation = (self.total - mean * self.size)[self.size > 0]
        clusters = len(deviation)
        variance = float(deviation @ deviation)
        lags = newey_west_lags(clusters, overlap) if overlap > 1 else 0
        for lag in range(1, lags + 1):
            variance += 2 * (1 - lag / (lags + 1)) * float(deviation[lag:] @ deviation[:-lag])
        se = float(np.sqrt(max(variance, 0.0)) / count) if clusters > 1 else float("nan")
        return ClusteredMean(mean, se, count, clusters)


def clustered_mean(values: Floats, session: Integers, overlap: int = 1) -> ClusteredMean:
    """Mean of all values (N,) or (N, H) with an error clustered by session (N,); NaN is left out.

    >>> clustered_mean(np.array([1.0, 1, 0, 0]), np.array([0, 0, 1, 1])).mean
    0.5
    """
    sums = ClusterSums()
    sums.add(values, session)
    return sums.mean(overlap)


def pinball(quantiles: Floats, actual: Floats, levels: Floats) -> Floats:
    """Pinball loss (N, H), mean over levels, in the unit of the target; NaN where the outcome is unknown.

    quantiles: (N, H, Q), actual: (N, H), levels: (Q,) in (0, 1).

    >>> pinball(np.array([[[9.0]]]), np.array([[10.0]]), np.array([0.9])).tolist()
    [[0.9]]
    """
    loss = np.zeros(actual.shape)
    # Level by level: the (N, H, Q) differences of a universe would not fit the cache.
    for place, level in enumerate(levels):
        error = actual - quantiles[..., place]
        loss += np.maximum(level * error, (level - 1) * error)
    return loss / len(levels)


def covered(low: Floats, high: Floats, actual: Floats) -> Floats:
    """1 where low <= actual <= high, 0 outside, NaN where the outcome is unknown; any equal shapes."""
    return np.where(np.isfinite(actual), (actual >= low) & (actual <= high), np.nan)


def pit_bins(quantiles: Floats, actual: Floats) -> Floats:
    """Bin (N, H) each outcome fell into: 0 below the lowest quantile .. Q above the highest, NaN unknown.

    The probability integral transform as far as Q quantiles tell it: a calibrated forecast puts
    levels[0], levels[1] - levels[0], .., 1 - levels[-1] of the outcomes into the bins. What shape the tails
    have beyond the outer quantiles was not forecast, so nothing is interpolated there.

    >>> pit_bins(np.array([[[-1.0, 0.0, 1.0]]]), np.array([[0.5]])).tolist()
    [[2.0]]
    """
    above = (actual[..., None] > quantiles).sum(axis=-1)
    return np.where(np.isfinite(actual), above, np.nan)


def share_below(quantiles: Floats, actual: Floats) -> Floats:
    """Indicator (N, H, Q) of the actual lying at or below each quantile; its mean should be the level."""
    known = np.isfinite(actual)[..., None]
    return np.where(known, actual[..., None] <= quantiles, np.nan)


def hit(score: Floats, label: Floats, session: Integers) -> Floats:
    """1 where score and label lie on the same side of their session's median, 0 where not; NaN unknown.

    Measured against the session's median, so that a rising market does not make every bull right; the
    expectation is 1/2 + asin(IC) / pi. A sample at a median counts one half.
    """
    valid = np.isfinite(score) & np.isfinite(label)
    _, group = dense_groups(session[valid])
    middle = (np.bincount(group) - 1) / 2
    side = [np.sign(grouped_ranks(values[valid], group) - middle[group]) for values in (score, label)]
    result = np.full(len(score), np.nan)
    result[valid] = (1 + side[0] * side[1]) / 2
    return result


def expected_hit_rate(ic: float) -> float:
    """The hit rate of a normal forecast of correlation `ic`: 1/2 + asin(ic) / pi.

    >>> expected_hit_rate(0.0)
    0.5
    """
    return 0.5 + float(np.arcsin(np.clip(ic, -1, 1))) / np.pi


def portfolio_excess(
    score: Floats, label: Floats, session: Integers, groups: int = 10
) -> tuple[Integers, Floats]:
    """Mean return of each score group beyond the session's mean: sessions (S,), excess (S, groups).

    Group 0 holds the lowest scores; tied scores share a group. A session with fewer samples than groups is
    left out. Costs are not counted; that is the backtest's.
    """
    valid = np.isfinite(score) & np.isfinite(label)
    sessions, group = dense_groups(session[valid])
    label = label[valid]
    count = np.bincount(group, minlength=len(sessions))
    rank = grouped_ranks(score[valid], group)
    # A rank of 0 .. n-1 falls into group floor(rank * groups / n), halves of ties included.
    bucket = np.minimum((rank * groups / count[group]).astype(np.int64), groups - 1)
    cell = group * groups + bucket
    size = np.bincount(cell, minlength=len(sessions) * groups).reshape(-1, groups)
    total = np.bincount(cell, label, minlength=len(sessions) * groups).reshape(-1, groups)
    mean = np.bincount(group, label, minlength=len(sessions)) / count
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.where(size > 0, total / size, np.nan) - mean[:, None]
    enough = count >= groups
    return sessions[enough], excess[enough]


def monotonicity(means: Floats) -> float:
    """Spearman correlation of group number and mean return; 1 when each group beats the one below."""
    ranks = grouped_ranks(means, np.zeros(len(means), np.int64))
    return float(np.corrcoef(np.arange(len(means)), ranks)[0, 1])


def group_means(excess: Floats, overlap: int) -> list[Mean]:
    """Mean over sessions of each group's excess (S, groups), with Newey-West errors."""
    return [mean_over_sessions(excess[:, group], overlap) for group in range(excess.shape[1])]
