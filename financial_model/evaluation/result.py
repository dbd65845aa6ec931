"""The evaluation of one score or forecast, told once: numbers first, and one sentence that may be quoted.

`judge` takes samples, whoever made them: a network, a gradient booster, an oracle of a practice market, or
noise. What it returns is JSON-like; the page and the report draw it and compute nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..base.errors import EmptyTestRange
from ..market.calendar import SESSIONS_A_YEAR
from .fans import choose_fans
from .headline import tell_headline
from .information_coefficient import (
    Mean,
    SessionIC,
    finite_or_none,
    mean_over_sessions,
    paired_difference,
    session_ic,
)
from .metrics import (
    clustered_mean,
    expected_hit_rate,
    group_means,
    hit,
    monotonicity,
    portfolio_excess,
)
from .reliability import judge_quantiles
from .samples import Forecasts, Samples, make_samples, read_forecasts

if TYPE_CHECKING:
    from ..data.panel import Panel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Json = dict[str, Any]

PORTFOLIO_GROUPS = 10
GROUPINGS = {"industry": "industry", "size": "style_size"}


@dataclass(frozen=True)
class EvaluationResult:
    """One evaluation: `facts` is the JSON-like whole, `series` the IC of each session for paired tests."""

    facts: Json
    series: SessionIC
    leakage: list[Json] = field(default_factory=list)

    def to_json(self) -> Json:
        """The whole result as JSON-like values, leak checks included."""
        return self.facts | {"leakage": self.leakage}

    def with_leakage(self, checks: list[Json]) -> "EvaluationResult":
        return EvaluationResult(self.facts, self.series, checks)


def evaluate_forecasts(
    forecasts: pa.Table | Forecasts,
    panel: "Panel",
    *,
    name: str = "model",
    first: date | None = None,
    last: date | None = None,
    holding: int = 1,
    baselines: Mapping[str, Floats] | None = None,
    settings: Json | None = None,
) -> EvaluationResult:
    """Judge a forecast table (or a score table: code, as_of, score) against what the panel says came true.

    Only as-of sessions first..last count. `baselines` maps a name to scores aligned with the table's
    distinct (code, as_of) pairs in panel order, as `samples_of(...).row` lists them.
    """
    samples = samples_of(forecasts, panel, first=first, last=last, holding=holding)
    return judge(samples, panel, name=name, baselines=baselines, settings=settings)


def samples_of(
    forecasts: pa.Table | Forecasts,
    panel: "Panel",
    *,
    first: date | None = None,
    last: date | None = None,
    holding: int = 1,
) -> Samples:
    """The samples of a table with as-of sessions first..last; EmptyTestRange when no outcome is known."""
    read = forecasts if isinstance(forecasts, Forecasts) else read_forecasts(forecasts, panel)
    day = panel.sessions[panel.session_index[read.row]]
    keep = np.ones(len(day), bool)
    if first is not None:
        keep &= day >= np.datetime64(first)
    if last is not None:
        keep &= day <= np.datetime64(last)
    samples = make_samples(read.only(keep), panel, holding)
    if not np.isfinite(samples.label).any():
        raise EmptyTestRange(first or panel.sessions[0].astype(date), last, panel.sessions[-1].astype(date))
    return samples


def judge(
    samples: Samples,
    panel: "Panel",
    *,
    name: str = "model",
    baselines: Mapping[str, Floats] | None = None,
    settings: Json | None = None,
) -> EvaluationResult:
    """Everything that can be said about a score and its quantiles on these samples.

    baselines: scores (N,) aligned with the samples; NaN entries are filled with the session's median, so
    that every contender is judged on every sample.
    """
    series = session_ic(samples.score, samples.label, samples.session)
    unlocked = np.where(samples.is_locked, np.nan, samples.label)
    summary = _summary(samples, series)
    without_locked = session_ic(samples.score, unlocked, samples.session)
    contenders = [
        _contender(other, _fill(score, samples.session), samples, unlocked, series, without_locked)
        for other, score in (baselines or {}).items()
    ]
    known = np.isfinite(samples.label)
    days = panel.sessions[np.unique(samples.session[known])]
    facts: Json = {
        "kind": "evaluation",
        "name": name,
        "first": str(days[0]),
        "last": str(days[-1]),
        "session_count": len(days),
        "stock_count": len(np.unique(panel.code_index[samples.row[known]])),
        "sample_count": int(known.sum()),
        "unlabelled_count": int((~known).sum()),
        "holding": samples.holding,
        "label": f"close t+1 -> close t+{1 + samples.holding}",
        "is_simulated": bool(panel.is_simulated),
        "data_fingerprint": str(panel.fingerprint),
        "settings": settings or {},
        "summary": summary,
        "without_locked": {
            "locked_share": float(samples.is_locked[known].mean()),
            "locked_count": int(samples.is_locked[known].sum()),
            "ic": mean_over_sessions(without_locked.ic, samples.holding).to_json(),
            "rank_ic": mean_over_sessions(without_locked.rank_ic, samples.holding).to_json(),
        },
        "baselines": contenders,
        "curve": _curve(series, panel),
        "by": {
            "year": _by_session_group(series, days_to_years(panel, series.session), samples.holding),
            "regime": _by_session_group(series, _regime_of_sessions(samples, panel, series), samples.holding),
            **{key: _by_stock_group(samples, panel, column) for key, column in GROUPINGS.items()},
        },
        "portfolios": _portfolios(samples),
        "calibration": judge_quantiles(samples, panel),
        "fans": choose_fans(samples, panel),
    }
    facts["headline"] = tell_headline(facts)
    return EvaluationResult(facts, series)


def _summary(samples: Samples, series: SessionIC) -> Json:
    ic = mean_over_sessions(series.ic, samples.holding)
    hits = hit(samples.score, samples.label, samples.session)
    ranked = series.rank_ic[np.isfinite(series.rank_ic)]
    return {
        "ic": ic.to_json(),
        "rank_ic": mean_over_sessions(series.rank_ic, samples.holding).to_json(),
        "hit_rate": clustered_mean(hits, samples.session, samples.holding).to_json()
        | {"expected": finite_or_none(expected_hit_rate(ic.mean))},
        "positive_sessions": float(np.mean(ranked > 0)) if len(ranked) else None,
    }


def _contender(
    name: str, score: Floats, samples: Samples, unlocked: Floats, model: SessionIC, model_unlocked: SessionIC
) -> Json:
    def gap(first: Floats, second: Floats) -> Json:
        return paired_difference(first, second, samples.holding).to_json()

    series = session_ic(score, samples.label, samples.session)
    free = session_ic(score, unlocked, samples.session)
    return {
        "name": name,
        "ic": mean_over_sessions(series.ic, samples.holding).to_json(),
        "rank_ic": mean_over_sessions(series.rank_ic, samples.holding).to_json(),
        "ic_without_locked": mean_over_sessions(free.ic, samples.holding).to_json(),
        "rank_ic_without_locked": mean_over_sessions(free.rank_ic, samples.holding).to_json(),
        # Model minus baseline: positive where the model is ahead.
        "difference": gap(model.rank_ic, series.rank_ic),
        "ic_difference": gap(model.ic, series.ic),
        "difference_without_locked": gap(model_unlocked.rank_ic, free.rank_ic),
        "ic_difference_without_locked": gap(model_unlocked.ic, free.ic),
    }


def _fill(score: Floats, session: Integers) -> Floats:
    """NaN scores replaced by the median of the session's known ones (0 where none is known)."""
    score = np.asarray(score, float)
    missing = np.flatnonzero(~np.isfinite(score))
    if not len(missing):
        return score
    score = score.copy()
    for one in np.unique(session[missing]):
        mine = session == one
        known = score[mine & np.isfinite(score)]
        score[mine & ~np.isfinite(score)] = np.median(known) if len(known) else 0.0
    return score


def _curve(series: SessionIC, panel: "Panel") -> Json:
    days = panel.sessions[series.session]
    months = days.astype("datetime64[M]")
    rank_ic = np.nan_to_num(series.rank_ic)
    labels, group = np.unique(months, return_inverse=True)
    count = np.bincount(group)
    return {
        "session": [str(day) for day in days],
        "ic": [finite_or_none(value) for value in np.round(series.ic, 6)],
        "rank_ic": [finite_or_none(value) for value in np.round(series.rank_ic, 6)],
        "cumulative_rank_ic": np.cumsum(rank_ic).round(6).tolist(),
        "month": [str(month) for month in labels],
        "month_rank_ic": (np.bincount(group, rank_ic) / count).round(6).tolist(),
        "month_last_session": [str(days[group == place].max()) for place in range(len(labels))],
    }


def days_to_years(panel: "Panel", session: Integers) -> list[str]:
    return panel.sessions[session].astype("datetime64[Y]").astype(str).tolist()


def _regime_of_sessions(samples: Samples, panel: "Panel", series: SessionIC) -> list[str]:
    """The regime at the close of each session: the one its rows carry."""
    names = panel.names("regime")
    regime = panel.column("regime")
    value = np.zeros(len(panel.sessions), np.int64)
    value[samples.session] = regime[samples.row]
    return [names[place] for place in value[series.session]]


def _by_session_group(series: SessionIC, groups: list[str], overlap: int) -> list[Json]:
    names = np.array(groups)
    rows = []
    for name in sorted(set(groups)):
        mine = series.only(names == name)
        rows.append(
            {
                "name": name,
                "sessions": len(mine.session),
                "samples": int(mine.count.sum()),
                "ic": mean_over_sessions(mine.ic, overlap).to_json(),
                "rank_ic": mean_over_sessions(mine.rank_ic, overlap).to_json(),
            }
        )
    return rows


def _by_stock_group(samples: Samples, panel: "Panel", column: str) -> list[Json]:
    """IC among the stocks of each group alone: what is left when groups are not compared."""
    names = panel.names(column)
    value = panel.column(column)[samples.row].astype(np.int64)
    # One integer for (group, session), so that all groups are one pass.
    width = len(panel.sessions)
    series = session_ic(samples.score, samples.label, value * width + samples.session)
    rows = []
    for place, name in enumerate(names):
        mine = series.only(series.session // width == place)
        if mine.count.sum():
            rows.append(
                {
                    "name": name,
                    "sessions": int(np.isfinite(mine.rank_ic).sum()),
                    "samples": int(mine.count.sum()),
                    "ic": mean_over_sessions(mine.ic, samples.holding).to_json(),
                    "rank_ic": mean_over_sessions(mine.rank_ic, samples.holding).to_json(),
                }
            )
    return rows


def _portfolios(samples: Samples) -> Json:
    sessions, excess = portfolio_excess(samples.score, samples.label, samples.session, PORTFOLIO_GROUPS)
    means = group_means(excess, samples.holding)
    spread = mean_over_sessions(excess[:, -1] - excess[:, 0], samples.holding) if len(sessions) else None
    yearly = SESSIONS_A_YEAR / samples.holding
    return {
        "groups": [
            mean.to_json()
            | {
                "group": place + 1,
                "annualised": finite_or_none(mean.mean * yearly),
                "annualised_se": finite_or_none(mean.se * yearly),
            }
            for place, mean in enumerate(means)
        ],
        "spread": _annualised(spread, yearly) if spread else None,
        "monotonicity": finite_or_none(monotonicity(np.array([mean.mean for mean in means])))
        if len(sessions)
        else None,
        "sessions": len(sessions),
    }


def _annualised(mean: Mean, yearly: float) -> Json:
    return mean.to_json() | {
        "annualised": finite_or_none(mean.mean * yearly),
        "annualised_se": finite_or_none(mean.se * yearly),
    }
