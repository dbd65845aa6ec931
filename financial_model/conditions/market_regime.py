"""The regime of the market in each session, from the index alone and from its past alone.

Two detectors, both causal: a label never changes when later sessions arrive.

- `rules` (the default): volatile when the trailing volatility is high, else bull or bear when the trailing
  trend is, else sideways; each regime is left later than it is entered, so that it does not flicker.
- `markov`: a Gaussian Markov-switching model. Its parameters are fitted at the first session of each year
  on what lay before it, and the probabilities are filtered (Hamilton), never smoothed: Viterbi,
  forward-backward and Kim smoothing all look ahead.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.config import ConditionSettings
from ..data.panel import Panel
from ..data.reference_store import ReferenceStore
from ..data.source import Bars
from ..market.calendar import SESSIONS_A_YEAR
from .trailing import trailing_deviation, trailing_mean

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int8]

REGIMES = ("unknown", "bull", "bear", "sideways", "volatile")
UNKNOWN, BULL, BEAR, SIDEWAYS, VOLATILE = range(5)
# Where the index asked for is not held, the broadest that is.
FALLBACK_INDICES = ("SH000300", "SH000906", "SH000001", "SH000905", "SZ399106", "SZ399001")

FAST_SESSIONS, SLOW_SESSIONS = 20, 120
TREND_ENTER, TREND_LEAVE = 0.05, 0.0  # log distance of the fast from the slow mean of the log close
VOLATILITY_SESSIONS = 20
VOLATILITY_ENTER, VOLATILITY_LEAVE = 0.36, 0.28  # annualised

STATES = 4
FIT_LEAST, FIT_MOST = 240, 1200  # sessions before a refit that the fit needs, and that it uses
FIT_ROUNDS = 5
STICKINESS = 60.0  # prior sessions spent in a state for each left: regimes last months, not days


def regime_column(panel: Panel, reference: ReferenceStore, settings: ConditionSettings) -> npt.NDArray[Any]:
    """The regime of each row's session, int8 (N,), positions in REGIMES; all unknown without an index.

    Where the index asked for cannot tell yet, the broadest one that can stands in: that the former will have
    bars one day is nothing that a session before them could know.
    """
    labels = np.full(len(panel.sessions), UNKNOWN, np.int8)
    earliest = None
    for bars in _indices_by_choice(panel, settings.index):
        if earliest is None or bars.date[0] < earliest:
            found = at_sessions(bars, regime_labels(bars, settings), panel.sessions, UNKNOWN)
            labels = np.where(labels == UNKNOWN, found, labels)
            earliest = bars.date[0]
    return labels[panel.session_index]


def choose_index(panel: Panel, wanted: str, day: np.datetime64 | None = None) -> Bars | None:
    """The bars of the index asked for, else of the broadest one held; None when there is none.

    With `day` only indices that had a bar by then are asked.
    """
    for bars in _indices_by_choice(panel, wanted):
        if day is None or bars.date[0] <= day:
            return bars
    return None


def _indices_by_choice(panel: Panel, wanted: str) -> list[Bars]:
    """The bars of the indices held, the one asked for first, then the broadest."""
    held = panel.index_codes()
    order = dict.fromkeys((wanted, *FALLBACK_INDICES, *held))
    found = [panel.index_bars(code) for code in order if code in held]
    return [bars for bars in found if len(bars)]


def at_sessions(
    bars: Bars, values: npt.NDArray[Any], sessions: npt.NDArray[np.datetime64], missing: Any
) -> npt.NDArray[Any]:
    """`values` (len(bars), ...) as of each session: those of the last index bar on or before it."""
    position = np.searchsorted(bars.date, sessions, side="right") - 1
    out = values[np.maximum(position, 0)].copy()
    out[position < 0] = missing
    return out


def regime_labels(bars: Bars, settings: ConditionSettings) -> LabelArray:
    """The regime at the close of each index bar, int8, positions in REGIMES."""
    return markov_labels(bars) if settings.regime == "markov" else rule_labels(bars)


def log_returns(bars: Bars) -> FloatArray:
    """Log return of each bar on the one before; 0 for the first."""
    return np.diff(np.log(bars.close), prepend=np.log(bars.close[:1]))


def trailing_trend(bars: Bars, sessions: int) -> FloatArray:
    """Log return of the index over the last `sessions` bars; NaN while there are fewer."""
    close = np.log(bars.close)
    trend = np.full(len(close), np.nan)
    trend[sessions:] = close[sessions:] - close[:-sessions]
    return trend


def mean_distance(bars: Bars) -> FloatArray:
    """Log distance of the fast from the slow trailing mean of the log close; NaN while too short."""
    close = np.log(bars.close)
    return trailing_mean(close, FAST_SESSIONS) - trailing_mean(close, SLOW_SESSIONS)


def trailing_volatility(bars: Bars, sessions: int = VOLATILITY_SESSIONS) -> FloatArray:
    """Annualised standard deviation of the last `sessions` log returns; NaN while there are fewer."""
    volatility = np.full(len(bars), np.nan)
    deviation = trailing_deviation(log_returns(bars)[1:], sessions)
    volatility[1:] = deviation * np.sqrt(SESSIONS_A_YEAR)
    return volatility


def rule_labels(bars: Bars) -> LabelArray:
    """Regimes by trend and volatility with hysteresis; unknown in the first SLOW_SESSIONS - 1 bars."""
    trend, volatility = mean_distance(bars).tolist(), trailing_volatility(bars).tolist()
    labels = np.zeros(len(bars), np.int8)
    direction, is_volatile = SIDEWAYS, False
    for k in range(SLOW_SESSIONS - 1, len(bars)):
        is_volatile = volatility[k] > (VOLATILITY_LEAVE if is_volatile else VOLATILITY_ENTER)
        if trend[k] > (TREND_LEAVE if direction == BULL else TREND_ENTER):
            direction = BULL
        elif trend[k] < -(TREND_LEAVE if direction == BEAR else TREND_ENTER):
            direction = BEAR
        else:
            direction = SIDEWAYS
        labels[k] = VOLATILE if is_volatile else direction
    return labels


@dataclass(frozen=True, eq=False)
class SwitchingModel:
    """A Gaussian model with hidden states, in the order bull, bear, sideways, volatile.

    mean, deviation: (4,) of daily log returns. transition: (4, 4), rows sum to one.
    """

    mean: FloatArray
    deviation: FloatArray
    transition: FloatArray

    def likelihood(self, returns: FloatArray) -> FloatArray:
        """(T, 4) density of each return in each state, floored so that no state is ever ruled out."""
        z = (returns[:, None] - self.mean) / self.deviation
        return np.exp(-0.5 * z**2) / self.deviation + 1e-12

    def filter(self, returns: FloatArray, belief: FloatArray | None = None) -> FloatArray:
        """P(state | returns up to and including this one), (T, 4)."""
        likelihood = self.likelihood(returns)
        filtered = np.empty_like(likelihood)
        state = np.full(STATES, 1 / STATES) if belief is None else belief
        for k in range(len(returns)):
            state = (state @ self.transition) * likelihood[k]
            state = state / state.sum()
            filtered[k] = state
        return filtered


def first_guess(returns: FloatArray) -> SwitchingModel:
    """Where the first fit begins: states set apart by what the past returns were like."""
    mean, deviation = returns.mean(), returns.std() + 1e-6
    stay = STICKINESS / (STICKINESS + 1)
    transition = np.full((STATES, STATES), (1 - stay) / (STATES - 1))
    np.fill_diagonal(transition, stay)
    return SwitchingModel(
        mean + deviation * np.array([0.15, -0.15, 0.0, 0.0]),
        deviation * np.array([0.9, 1.1, 0.6, 1.7]),
        transition,
    )


def fit(returns: FloatArray, guess: SwitchingModel, rounds: int = FIT_ROUNDS) -> SwitchingModel:
    """Expectation-maximisation from `guess`, all of `returns` lying in the past of whoever uses the model.

    Priors keep states apart and sticky: each state carries 20 sessions of its guess, each row of the
    transition matrix STICKINESS sessions of staying. Afterwards states are put in their order again:
    volatile is the one with the largest deviation, bull, sideways, bear follow by their means.
    """
    model = guess
    weight = 20.0
    for _ in range(rounds):
        likelihood, transition = model.likelihood(returns), model.transition
        filtered = model.filter(returns)
        backward = np.ones_like(filtered)
        for k in range(len(returns) - 2, -1, -1):
            backward[k] = transition @ (likelihood[k + 1] * backward[k + 1])
            backward[k] /= backward[k].sum()
        smoothed = filtered * backward
        smoothed /= smoothed.sum(axis=1, keepdims=True)
        ahead = likelihood[1:] * backward[1:]
        ahead /= ((filtered[:-1] @ transition) * ahead).sum(axis=1, keepdims=True)
        moves = (filtered[:-1].T @ ahead) * transition
        share = smoothed.sum(axis=0)
        mean = (smoothed.T @ returns + weight * guess.mean) / (share + weight)
        spread = (smoothed * (returns[:, None] - mean) ** 2).sum(axis=0)
        variance = (spread + weight * guess.deviation**2) / (share + weight)
        moves += np.eye(STATES) * STICKINESS + 1 / (STATES - 1)
        model = SwitchingModel(mean, np.sqrt(variance), moves / moves.sum(axis=1, keepdims=True))
    calm = np.argsort(model.deviation, kind="stable")[:-1]
    bear, sideways, bull = calm[np.argsort(model.mean[calm], kind="stable")]
    order = [bull, bear, sideways, int(np.argmax(model.deviation))]
    return SwitchingModel(model.mean[order], model.deviation[order], model.transition[np.ix_(order, order)])


def regime_probabilities(bars: Bars) -> FloatArray:
    """Filtered P(bull, bear, sideways, volatile) at each index bar, (len(bars), 4); NaN before the first fit.

    The model of a year is fitted on the last FIT_MOST returns before its first bar, and begins where the
    model of the year before ended.
    """
    returns = log_returns(bars)
    years = bars.date.astype("datetime64[Y]")
    changes = np.flatnonzero(years[1:] != years[:-1]) + 1
    starts = [int(k) for k in changes if k > FIT_LEAST]
    probabilities = np.full((len(bars), STATES), np.nan)
    model: SwitchingModel | None = None
    for start, stop in pairwise([*starts, len(bars)]):
        first = max(1, start - FIT_MOST)
        past = returns[first:start]
        model = fit(past, model or first_guess(past))
        probabilities[start:stop] = model.filter(returns[first:stop])[start - first :]
    return probabilities


def markov_labels(bars: Bars) -> LabelArray:
    """The most probable regime by the filter; unknown before the first fit."""
    probabilities = regime_probabilities(bars)
    known = ~np.isnan(probabilities[:, 0])
    labels = np.zeros(len(bars), np.int8)
    labels[known] = probabilities[known].argmax(axis=1) + 1
    return labels


STATE_NAMES = (
    "p_bull",
    "p_bear",
    "p_sideways",
    "p_volatile",
    "trend_20",
    "trend_60",
    "trend_120",
    "volatility_20",
    "volatility_60",
    "drawdown_250",
)


def regime_state(bars: Bars, settings: ConditionSettings) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """The continuous state of the market at each index bar: float32 (len(bars), M) and the M names.

    Filtered probabilities, trailing trends (log return), annualised volatilities, and how far the close
    lies below the highest of the last 250 (log, <= 0). NaN where the past is too short. Use `at_sessions`
    to bring it to the sessions of a panel.
    """
    close = np.log(bars.close)
    peak = np.array([close[max(0, k - 249) : k + 1].max() for k in range(len(close))])
    columns = [
        *regime_probabilities(bars).T,
        *(trailing_trend(bars, n) for n in (20, 60, 120)),
        *(trailing_volatility(bars, n) for n in (20, 60)),
        close - peak,
    ]
    return np.stack(columns, axis=1).astype(np.float32), STATE_NAMES


def current_spell(labels: LabelArray) -> int:
    """Position of the bar in which the regime of the last bar began.

    >>> current_spell(np.array([1, 1, 3, 3, 3], dtype=np.int8))
    2
    """
    changes = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    return int(changes[-1]) if len(changes) else 0
