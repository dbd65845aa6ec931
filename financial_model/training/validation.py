"""The figures a training is watched by: correlation of score and label within each session."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A session with fewer known labels ranks nothing worth counting.
LEAST_LABELS = 5


@dataclass(frozen=True)
class RankFigures:
    """Mean over sessions of IC and RankIC, the standard error of the latter, and how many sessions count."""

    ic: float
    rank_ic: float
    rank_ic_se: float
    sessions: int


def rank_figures(score: Floats, label: Floats, session: NDArray[np.integer]) -> RankFigures | None:
    """IC and RankIC of a score over sessions, None when no session has LEAST_LABELS known labels; all (N,).

    >>> score = np.array([1.0, 2, 3, 4, 5])
    >>> round(rank_figures(score, np.array([1.0, 2, 3, 5, 4]), np.zeros(5, int)).rank_ic, 6)
    0.9
    """
    known = np.isfinite(label) & np.isfinite(score)
    score, label = score[known].astype(float), label[known].astype(float)
    _, group, count = np.unique(session[known], return_inverse=True, return_counts=True)
    enough = count >= LEAST_LABELS
    if not enough.any():
        return None
    ic = _correlation(score, label, group, count)[enough]
    rank_ic = _correlation(_ranks(score, group), _ranks(label, group), group, count)[enough]
    se = rank_ic.std(ddof=1) / np.sqrt(len(rank_ic)) if len(rank_ic) > 1 else float("nan")
    return RankFigures(float(ic.mean()), float(rank_ic.mean()), float(se), int(enough.sum()))


def _ranks(values: Floats, group: NDArray[np.integer]) -> Floats:
    """Rank of each value within its group, ties sharing their mean rank."""
    order = np.lexsort((values, group))
    is_new = np.ones(len(values), bool)
    is_new[1:] = (np.diff(group[order]) != 0) | (np.diff(values[order]) != 0)
    starts = np.flatnonzero(is_new)
    stops = np.append(starts[1:], len(values))
    # Ranks may start anywhere in a group: a correlation knows no origin.
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + stops - 1) / 2, stops - starts)
    return ranks


def _correlation(x: Floats, y: Floats, group: NDArray[np.integer], count: NDArray[np.integer]) -> Floats:
    """Pearson's correlation within each group, 0 where either has no spread: a flat score ranks nothing."""

    def centred(values: Floats) -> Floats:
        return values - (np.bincount(group, values) / count)[group]

    x, y = centred(x), centred(y)
    power = np.bincount(group, x * x) * np.bincount(group, y * y)
    return np.where(power > 0, np.bincount(group, x * y) / np.sqrt(np.where(power > 0, power, 1.0)), 0.0)
