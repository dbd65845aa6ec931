"""Checks that nothing saw the future, each a test and each a line of the report.

A check is a JSON-like dict: name, passed, value, expected (what a clean model gives), detail. They judge the
whole way from panel to score, so they catch what a review of one function does not.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .headline import SIGNIFICANT_T
from .information_coefficient import (
    MINIMUM_COUNT,
    Floats,
    Integers,
    by_group,
    dense_groups,
    finite_or_none,
    grouped_mean,
    grouped_ranks,
    mean_over_sessions,
    paired_difference,
    session_ic,
)
from .samples import RowIndex, Samples

if TYPE_CHECKING:
    from ..data.panel import Panel

Json = dict[str, Any]
# The forecast table of all stocks as of one session, from a panel and nothing else.
ForecastAsOf = Callable[["Panel", date], pa.Table]

# The same rows in the same batch give the same bits; this leaves room for another BLAS.
TRUNCATION_TOLERANCE = 1e-6
PERMUTATIONS = 10
PERMUTATION_Z = 3.3  # one false alarm in a thousand clean runs


def truncation_check(forecast: ForecastAsOf, panel: "Panel", days: Sequence[date]) -> Json:
    """Forecasts as of each day from data cut after it, against those from the full data.

    value: the largest difference of a score or quantile, relative to the spread of its column; infinite
    where the two do not even speak of the same stocks.
    """
    worst, worst_day = 0.0, None
    for day in days:
        difference = table_difference(forecast(panel, day), forecast(panel.truncated(day), day))
        if worst_day is None or difference > worst:
            worst, worst_day = difference, day
    return {
        "name": "truncation",
        "passed": worst <= TRUNCATION_TOLERANCE,
        "value": finite_or_none(worst),
        "expected": 0.0,
        "detail": {
            "days": [day.isoformat() for day in days],
            "worst_day": worst_day.isoformat() if worst_day else None,
            "tolerance": TRUNCATION_TOLERANCE,
        },
    }


def table_difference(first: pa.Table, second: pa.Table) -> float:
    """Largest difference of two forecast tables over score and quantiles, in spreads of the column."""
    keys = [name for name in ("code", "as_of", "step") if name in first.column_names]
    order = [(name, "ascending") for name in keys]
    one, two = first.sort_by(order), second.sort_by(order)
    if one.num_rows != two.num_rows or any(not one[name].equals(two[name]) for name in keys):
        return float("inf")
    worst = 0.0
    for name in one.column_names:
        if name in keys:
            continue
        mine, other = (np.asarray(table[name].to_numpy(), float) for table in (one, two))
        if (np.isfinite(mine) != np.isfinite(other)).any():
            return float("inf")
        known = np.isfinite(mine)
        if known.any():
            spread = mine[known].std() or 1.0
            worst = max(worst, float(np.abs(mine - other)[known].max() / spread))
    return worst


def permutation_check(samples: Samples, seed: int = 0) -> Json:
    """RankIC against test labels shuffled within each session: noise about zero, its size known beforehand.

    Training labels are not shuffled: a model fitted to noise has an IC of its own draw, a false alarm more
    often than not.
    """
    rng = np.random.default_rng(seed)
    known = np.isfinite(samples.label) & np.isfinite(samples.score)
    sessions, group = dense_groups(samples.session[known])
    count = np.bincount(group, minlength=len(sessions))
    # Shuffled labels have shuffled ranks, so ranking once serves all permutations.
    first, second = (
        _standardised_ranks(values[known], group, count) for values in (samples.score, samples.label)
    )
    straight = by_group(np.arange(len(group)), group)
    session, first = group[straight], first[straight]
    judged = count >= MINIMUM_COUNT
    means = []
    for _ in range(PERMUTATIONS):
        # A random order, brought into sessions: all of them are shuffled at once.
        order = by_group(rng.permutation(len(group)), group)
        product = np.bincount(session, first * second[order], minlength=len(sessions))
        means.append(float(np.mean(product[judged] / count[judged])) if judged.any() else float("nan"))
    # A rank correlation of n independent pairs has variance 1 / (n - 1); sessions are shuffled apart.
    deviation = float(np.sqrt(np.sum(1 / (count[judged] - 1))) / max(int(judged.sum()), 1))
    value = float(np.mean(means))
    allowed = PERMUTATION_Z * deviation / np.sqrt(PERMUTATIONS)
    return {
        "name": "permutation",
        "passed": bool(abs(value) <= allowed),
        "value": finite_or_none(value),
        "expected": 0.0,
        "detail": {
            "permutations": PERMUTATIONS,
            "deviation": finite_or_none(deviation),
            "allowed": finite_or_none(float(allowed)),
            "values": [finite_or_none(mean) for mean in means],
        },
    }


def _standardised_ranks(values: Floats, group: Integers, count: Integers) -> Floats:
    """Ranks within each group with mean 0 and variance 1; 0 where all values are alike."""
    ranks = grouped_ranks(values, group)
    deviation = ranks - grouped_mean(ranks, group, count)[group]
    spread = np.sqrt(grouped_mean(deviation**2, group, count))[group]
    return np.divide(deviation, spread, out=np.zeros(len(ranks)), where=spread > 0)


def delay_check(samples: Samples, panel: "Panel") -> Json:
    """RankIC of scores that are one session old, against fresh ones on the same samples: it must not rise.

    The score of the session before, of the same stock, is the forecast with every input delayed by one bar.
    An IC that rises says that the inputs stand one bar too late, which is how a look-ahead often shows.
    """
    order = np.argsort(samples.row)
    code = panel.code_index[samples.row].astype(np.int64)
    before = RowIndex(panel).find(code, samples.session - 1)
    place = np.searchsorted(samples.row[order], before)
    place = np.minimum(place, len(order) - 1)
    found = (before >= 0) & (samples.row[order][place] == before)
    delayed = np.where(found, samples.score[order][place], np.nan)
    fresh = np.where(found, samples.score, np.nan)
    old_ic = session_ic(delayed, samples.label, samples.session)
    new_ic = session_ic(fresh, samples.label, samples.session)
    difference = paired_difference(old_ic.rank_ic, new_ic.rank_ic, samples.holding)
    old = mean_over_sessions(old_ic.rank_ic, samples.holding)
    new = mean_over_sessions(new_ic.rank_ic, samples.holding)
    rises = difference.mean > 0 and difference.t > SIGNIFICANT_T
    return {
        "name": "delay",
        "passed": not rises,
        "value": finite_or_none(old.mean),
        "expected": finite_or_none(new.mean),
        "detail": {"difference": difference.to_json(), "rank_ic": new.to_json(), "delayed": old.to_json()},
    }
