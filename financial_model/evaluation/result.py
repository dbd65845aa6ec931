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

from ..base.config import QUANTILE_LEVELS
from ..base.errors import EmptyTestRange
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
    covered,
    expected_hit_rate,
    group_means,
    hit,
    monotonicity,
    pinball,
    pit_bins,
    portfolio_excess,
    share_below,
)
from .samples import Forecasts, Samples, make_samples, read_forecasts

if TYPE_CHECKING:
    from ..data.panel import Panel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Json = dict[str, Any]

LEVELS = np.array(QUANTILE_LEVELS)
# The intervals that are reported: nominal coverage -> positions of its ends among the levels.
INTERVALS = {"90": (0, 4), "50": (1, 3)}
COVERAGE_TOLERANCE = 0.015
SIGNIFICANT_T = 1.96
SESSIONS_PER_YEAR = 242
PORTFOLIO_GROUPS = 10
# Fans are chosen by rule: at these places of the test range, these percentiles of the loss in the session.
FAN_PLACES, FAN_PERCENTILES, FAN_HISTORY = (1 / 3, 2 / 3), (10, 50, 90), 40
VOLATILITY_SESSIONS = 60
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
        raise EmptyTestRange(first, last, panel.sessions[-1].astype(date))
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
        _contender(other, _fill(score, samples.session), samples, unlocked, series)
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
        "calibration": _calibration(samples, panel),
        "fans": _fans(samples, panel),
    }
    facts["headline"] = headline(facts)
    return EvaluationResult(facts, series)


def _summary(samples: Samples, series: SessionIC) -> Json:
    ic = mean_over_sessions(series.ic, samples.holding)
    hits = hit(samples.score, samples.label, samples.session)
    return {
        "ic": ic.to_json(),
        "rank_ic": mean_over_sessions(series.rank_ic, samples.holding).to_json(),
        "hit_rate": clustered_mean(hits, samples.session, samples.holding).to_json()
        | {"expected": finite_or_none(expected_hit_rate(ic.mean))},
        "positive_sessions": finite_or_none(float(np.mean(series.rank_ic[np.isfinite(series.rank_ic)] > 0))),
    }


def _contender(name: str, score: Floats, samples: Samples, unlocked: Floats, model: SessionIC) -> Json:
    series = session_ic(score, samples.label, samples.session)
    free = session_ic(score, unlocked, samples.session)
    return {
        "name": name,
        "ic": mean_over_sessions(series.ic, samples.holding).to_json(),
        "rank_ic": mean_over_sessions(series.rank_ic, samples.holding).to_json(),
        "ic_without_locked": mean_over_sessions(free.ic, samples.holding).to_json(),
        "rank_ic_without_locked": mean_over_sessions(free.rank_ic, samples.holding).to_json(),
        # Model minus baseline: positive where the model is ahead.
        "difference": paired_difference(model.rank_ic, series.rank_ic, samples.holding).to_json(),
        "ic_difference": paired_difference(model.ic, series.ic, samples.holding).to_json(),
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
    yearly = SESSIONS_PER_YEAR / samples.holding
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


def _calibration(samples: Samples, panel: "Panel") -> Json | None:
    """Coverage, PIT and pinball of the quantiles; None where only a score was given."""
    if samples.quantiles is None or samples.actual is None:
        return None
    quantiles, actual = samples.quantiles, samples.actual
    horizon = actual.shape[1]
    steps = range(1, horizon + 1)
    loss = pinball(quantiles, actual, LEVELS)
    naive = pinball(naive_fan(panel, samples.row, horizon), actual, LEVELS)
    bins = pit_bins(quantiles, actual)
    below = share_below(quantiles, actual)
    inside = {
        key: covered(quantiles[..., low], quantiles[..., high], actual)
        for key, (low, high) in INTERVALS.items()
    }
    regime = panel.column("regime")[samples.row]
    regimes = [(name, regime == place) for place, name in enumerate(panel.names("regime"))]
    widths = np.diff(np.r_[0.0, LEVELS, 1.0])
    same = np.isfinite(loss) & np.isfinite(naive)
    return {
        "horizon": horizon,
        "tolerance": COVERAGE_TOLERANCE,
        "coverage": {key: _pooled(values, samples.session, horizon) for key, values in inside.items()},
        "coverage_by_step": {
            key: [
                clustered_mean(values[:, step - 1], samples.session, step).to_json() | {"step": step}
                for step in steps
            ]
            for key, values in inside.items()
        },
        "coverage_by_regime": {
            key: [
                _pooled(values[mine], samples.session[mine], horizon) | {"name": name}
                for name, mine in regimes
                if mine.any()
            ]
            for key, values in inside.items()
        },
        "pit": [
            {
                "expected": float(widths[place]),
                **_pooled(np.where(np.isfinite(bins), bins == place, np.nan), samples.session, horizon),
            }
            for place in range(len(widths))
        ],
        "reliability": [
            {"level": float(level), **_pooled(below[..., place], samples.session, horizon)}
            for place, level in enumerate(LEVELS)
        ],
        "pinball": {
            "mean": finite_or_none(float(np.mean(loss[same]))) if same.any() else None,
            "naive": finite_or_none(float(np.mean(naive[same]))) if same.any() else None,
            "skill": finite_or_none(1 - float(np.mean(loss[same]) / np.mean(naive[same])))
            if same.any()
            else None,
            "gain": _pooled(np.where(same, naive - loss, np.nan), samples.session, horizon),
            "by_step": [finite_or_none(float(np.nanmean(loss[:, step - 1]))) for step in steps],
        },
        "direction": [
            _direction(quantiles[:, step - 1, 2], actual[:, step - 1], samples.session, step)
            for step in steps
        ],
        "flatness": _flatness(quantiles[:, 0, 2], actual[:, 0]),
    }


def _pooled(values: Floats, session: Integers, horizon: int) -> Json:
    """Clustered mean over all steps (N, H) at once; outcomes of a sample overlap over `horizon` sessions."""
    return clustered_mean(values, session, horizon).to_json()


def _direction(median: Floats, actual: Floats, session: Integers, step: int) -> Json:
    """How often the median has the sign of the return, beside how often saying "up" (or "down") had."""
    known = np.isfinite(actual) & (actual != 0)
    right = np.where(known, np.sign(median) == np.sign(actual), np.nan)
    up = float(np.mean(actual[known] > 0)) if known.any() else float("nan")
    return clustered_mean(right, session, step).to_json() | {
        "step": step,
        "share_up": finite_or_none(up),
        "constant": finite_or_none(max(up, 1 - up)),
    }


def _flatness(median: Floats, actual: Floats) -> Json:
    """Spread of the medians over that of the outcomes: the best point forecast has ratio = correlation."""
    known = np.isfinite(actual) & np.isfinite(median)
    if known.sum() < 3 or actual[known].std() == 0 or median[known].std() == 0:
        return {"ratio": None, "correlation": None}
    return {
        "ratio": finite_or_none(float(median[known].std() / actual[known].std())),
        "correlation": finite_or_none(float(np.corrcoef(median[known], actual[known])[0, 1])),
    }


def naive_fan(panel: "Panel", row: Integers, horizon: int) -> Floats:
    """Quantiles (N, H, Q) of a normal walk with no drift: trailing volatility times sqrt(h)."""
    normal = np.array([-1.6448536269514722, -0.6744897501960817, 0.0, 0.6744897501960817, 1.6448536269514722])
    scale = trailing_volatility(panel)[row][:, None] * np.sqrt(np.arange(1, horizon + 1))
    return scale[..., None] * normal


def trailing_volatility(panel: "Panel", sessions: int = VOLATILITY_SESSIONS) -> Floats:
    """Root mean square (N,) of the last `sessions` daily log returns of each row's stock; NaN before a third
    of them are known."""
    log_close = np.log(panel.column("close").astype(np.float64))
    squared = np.r_[0.0, np.diff(log_close)] ** 2
    starts = panel.offsets[:-1][np.diff(panel.offsets) > 0]
    squared[starts] = 0.0
    total = np.r_[0.0, np.cumsum(squared)]
    place = np.arange(len(log_close)) - panel.offsets[panel.code_index]  # bars of the stock before this one
    count = np.minimum(place, sessions)
    end = np.arange(len(log_close)) + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        volatility = np.sqrt(np.maximum(total[end] - total[end - count], 0.0) / count)
    return np.where(count >= sessions // 3, volatility, np.nan)


def _fans(samples: Samples, panel: "Panel") -> list[Json]:
    """Forecasts to look at, chosen by rule and not by beauty: see FAN_PLACES and FAN_PERCENTILES."""
    if samples.quantiles is None or samples.actual is None:
        return []
    whole = np.isfinite(samples.actual).all(axis=1)
    if not whole.any():
        return []
    loss = (
        pinball(samples.quantiles, samples.actual, LEVELS).mean(axis=1)
        / trailing_volatility(panel)[samples.row]
    )
    usable = whole & np.isfinite(loss)
    sessions = np.unique(samples.session[usable])
    if not len(sessions):
        return []
    fans = []
    for place in FAN_PLACES:
        session = sessions[int(place * (len(sessions) - 1))]
        mine = np.flatnonzero(usable & (samples.session == session))
        ordered = mine[np.argsort(loss[mine], kind="stable")]
        for percentile in FAN_PERCENTILES:
            chosen = ordered[round(percentile / 100 * (len(ordered) - 1))]
            fans.append(
                _fan(int(chosen), samples, panel) | {"place": round(place, 3), "percentile": percentile}
            )
    return fans


def _fan(sample: int, samples: Samples, panel: "Panel") -> Json:
    assert samples.quantiles is not None
    assert samples.actual is not None
    row = int(samples.row[sample])
    start = int(panel.offsets[panel.code_index[row]])
    history = np.arange(max(start, row - FAN_HISTORY + 1), row + 1)
    # Prices in the money of the as-of session: adjusted closes over the factor of that day.
    to_price = 1 / float(panel.column("factor")[row])
    close = panel.column("close").astype(np.float64)
    session = int(samples.session[sample])
    horizon = samples.actual.shape[1]
    return {
        "code": panel.codes[int(panel.code_index[row])],
        "as_of": str(panel.sessions[session]),
        "history_session": [str(day) for day in panel.sessions[panel.session_index[history]]],
        "history_close": (close[history] * to_price).round(3).tolist(),
        "session": [str(day) for day in panel.sessions[session + 1 : session + 1 + horizon]],
        "quantiles": (close[row] * to_price * np.exp(samples.quantiles[sample])).round(3).tolist(),
        "actual": (close[row] * to_price * np.exp(samples.actual[sample])).round(3).tolist(),
    }


def verdict(mean: Json) -> str:
    """ "above", "below" or "chance": whether a mean differs from zero by more than its error allows.

    >>> verdict({"mean": 0.06, "t": 12.0}), verdict({"mean": 0.002, "t": 0.6})
    ('above', 'chance')
    """
    t = mean.get("t")
    if t is None or abs(t) < SIGNIFICANT_T:
        return "chance"
    return "above" if t > 0 else "below"


def headline(facts: Json) -> Json:
    """One sentence with its error, in English and Chinese, that says so where the result is chance."""
    rank_ic = facts["summary"]["rank_ic"]
    judged = verdict(rank_ic)
    if rank_ic["mean"] is None:
        english, chinese = "No session has enough stocks to judge.", "没有一个交易日有足够的股票可供评判。"
        return {"verdict": judged, "en": english, "zh": chinese, "against": None}
    value, error = _signed(rank_ic["mean"]), f"{rank_ic['se']:.4f}" if rank_ic["se"] is not None else "?"
    t = "?" if rank_ic["t"] is None else _signed(rank_ic["t"], 1)
    english = {
        "above": f"RankIC {value} ± {error}: better than chance (Newey-West t = {t}).",
        "below": f"RankIC {value} ± {error}: worse than chance, upside down (Newey-West t = {t}).",
        "chance": f"RankIC {value} ± {error}: indistinguishable from chance (Newey-West t = {t}).",
    }[judged]
    chinese = {
        "above": f"RankIC {value} ± {error}：明显高于随机（Newey-West t = {t}）。",
        "below": f"RankIC {value} ± {error}：明显低于随机，排序方向相反（Newey-West t = {t}）。",
        "chance": f"RankIC {value} ± {error}：与随机无法区分（Newey-West t = {t}）。",
    }[judged]
    rival = strongest_baseline(facts["baselines"])
    if rival:
        difference = rival["difference"]
        side = verdict(difference)
        gap = (
            f"{_signed(difference['mean'])} ± {difference['se']:.4f}" if difference["se"] is not None else ""
        )
        name = rival["name"]
        english += (
            " "
            + {
                "above": f"Ahead of {name} by {gap} (paired).",
                "below": f"Behind {name} by {gap} (paired).",
                "chance": f"The difference from {name}, {gap} (paired), is within its error.",
            }[side]
        )
        chinese += {
            "above": f"领先 {name}，配对差 {gap}。",
            "below": f"落后于 {name}，配对差 {gap}。",
            "chance": f"与 {name} 的配对差 {gap}，在误差之内。",
        }[side]
    return {"verdict": judged, "en": english, "zh": chinese, "against": rival["name"] if rival else None}


def strongest_baseline(baselines: list[Json]) -> Json | None:
    """The baseline with the highest RankIC; None where there are none."""
    ranked = [row for row in baselines if row["rank_ic"]["mean"] is not None]
    return max(ranked, key=lambda row: row["rank_ic"]["mean"]) if ranked else None


def _signed(value: float, digits: int = 4) -> str:
    # U+2212, as wide as a plus sign, so that figures line up.
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}").lstrip("+")
