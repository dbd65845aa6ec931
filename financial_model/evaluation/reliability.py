"""Whether the quantiles hold: coverage, PIT, pinball loss and direction, with errors clustered by session.

Samples are walked in blocks that stay in the cache; each block adds to sums by session, from which the means
and their errors come. So time grows with the samples and memory does not.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.config import QUANTILE_LEVELS
from .information_coefficient import finite_or_none
from .metrics import ClusterSums, covered, pinball, pit_bins, share_below
from .samples import Samples

if TYPE_CHECKING:
    from ..data.panel import Panel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Json = dict[str, Any]

LEVELS = np.array(QUANTILE_LEVELS)
# The intervals that are reported: nominal coverage -> positions of its ends among the levels.
INTERVALS = {"90": (0, 4), "50": (1, 3)}
COVERAGE_TOLERANCE = 0.015
VOLATILITY_SESSIONS = 60
BLOCK = 16_384
NORMAL_QUANTILES = np.array(
    [-1.6448536269514722, -0.6744897501960817, 0.0, 0.6744897501960817, 1.6448536269514722]
)


def judge_quantiles(samples: Samples, panel: "Panel") -> Json | None:
    """Coverage, PIT and pinball of the quantiles; None where only a score was given."""
    if samples.quantiles is None or samples.actual is None:
        return None
    horizon = samples.actual.shape[1]
    steps = range(1, horizon + 1)
    sums: dict[Any, ClusterSums] = defaultdict(ClusterSums)
    moments = _Moments()
    regime = panel.column("regime")[samples.row]
    volatility = trailing_volatility(panel)[samples.row]
    for first in range(0, len(samples), BLOCK):
        block = slice(first, first + BLOCK)
        _add_block(
            sums,
            samples.quantiles[block],
            samples.actual[block],
            samples.session[block],
            regime[block],
            volatility[block],
        )
        moments.add(samples.quantiles[block, 0, 2], samples.actual[block, 0])
    names = panel.names("regime")
    widths = np.diff(np.r_[0.0, LEVELS, 1.0])

    def told(key: Any, overlap: int = horizon) -> Json:
        return sums[key].mean(overlap).to_json()

    loss, naive = sums["paired loss"].mean(horizon).mean, sums["naive loss"].mean(horizon).mean
    return {
        "horizon": horizon,
        "tolerance": COVERAGE_TOLERANCE,
        "coverage": {key: told(("coverage", key)) for key in INTERVALS},
        "coverage_by_step": {
            key: [told(("coverage", key, "step", step), step) | {"step": step} for step in steps]
            for key in INTERVALS
        },
        "coverage_by_regime": {
            key: [
                told(("coverage", key, "regime", place)) | {"name": name}
                for place, name in enumerate(names)
                if ("coverage", key, "regime", place) in sums
            ]
            for key in INTERVALS
        },
        "pit": [{"expected": float(width), **told(("pit", place))} for place, width in enumerate(widths)],
        "reliability": [
            {"level": float(level), **told(("below", place))} for place, level in enumerate(LEVELS)
        ],
        "pinball": {
            "mean": finite_or_none(loss),
            "naive": finite_or_none(naive),
            "skill": finite_or_none(1 - loss / naive) if naive else None,
            "gain": told("gain"),
            "by_step": [told(("loss", step))["mean"] for step in steps],
        },
        "direction": [_direction(sums, step) for step in steps],
        "flatness": moments.to_json(),
    }


def _add_block(
    sums: dict[Any, ClusterSums],
    quantiles: Floats,
    actual: Floats,
    session: Integers,
    regime: NDArray[np.integer],
    volatility: Floats,
) -> None:
    """Add a block of samples (B, H, Q), (B, H), (B,) to the sums of every figure."""
    horizon = actual.shape[1]
    for key, (low, high) in INTERVALS.items():
        inside = covered(quantiles[..., low], quantiles[..., high], actual)
        sums["coverage", key].add(inside, session)
        for step in range(1, horizon + 1):
            sums["coverage", key, "step", step].add(inside[:, step - 1], session)
        for value in np.unique(regime):
            mine = regime == value
            sums["coverage", key, "regime", int(value)].add(inside[mine], session[mine])
    bins, below = pit_bins(quantiles, actual), share_below(quantiles, actual)
    for place in range(len(LEVELS) + 1):
        sums["pit", place].add(np.where(np.isfinite(bins), bins == place, np.nan), session)
    for place in range(len(LEVELS)):
        sums["below", place].add(below[..., place], session)
    loss = pinball(quantiles, actual, LEVELS)
    naive = pinball(fan_of_walk(volatility, horizon), actual, LEVELS)
    sums["gain"].add(naive - loss, session)
    sums["paired loss"].add(np.where(np.isfinite(naive), loss, np.nan), session)
    sums["naive loss"].add(np.where(np.isfinite(loss), naive, np.nan), session)
    for step in range(1, horizon + 1):
        column, median = actual[:, step - 1], quantiles[:, step - 1, 2]
        sums["loss", step].add(loss[:, step - 1], session)
        moved = np.isfinite(column) & (column != 0)
        sums["right", step].add(np.where(moved, np.sign(median) == np.sign(column), np.nan), session)
        sums["up", step].add(np.where(moved, column > 0, np.nan), session)


def _direction(sums: dict[Any, ClusterSums], step: int) -> Json:
    """How often the median has the sign of the return, beside how often saying "up" (or "down") had."""
    up = sums["up", step].mean(step).mean
    return sums["right", step].mean(step).to_json() | {
        "step": step,
        "share_up": finite_or_none(up),
        "constant": finite_or_none(max(up, 1 - up)),
    }


class _Moments:
    """Spread of the medians over that of the outcomes: the best point forecast has ratio = correlation."""

    def __init__(self) -> None:
        self.sums = np.zeros(6)

    def add(self, median: Floats, actual: Floats) -> None:
        known = np.isfinite(actual) & np.isfinite(median)
        x, y = median[known], actual[known]
        self.sums += [len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]

    def to_json(self) -> Json:
        count, x, y, xx, yy, xy = self.sums
        if count < 3:
            return {"ratio": None, "correlation": None}
        spread_x, spread_y = (
            np.sqrt(max(xx / count - (x / count) ** 2, 0)),
            np.sqrt(max(yy / count - (y / count) ** 2, 0)),
        )
        if spread_x <= 1e-12 or spread_y <= 1e-12:
            return {"ratio": None, "correlation": None}
        covariance = xy / count - x * y / count**2
        return {"ratio": float(spread_x / spread_y), "correlation": float(covariance / (spread_x * spread_y))}


def fan_of_walk(volatility: Floats, horizon: int) -> Floats:
    """Quantiles (N, H, Q) of a normal walk with no drift and this volatility a session (N,)."""
    scale = volatility[:, None] * np.sqrt(np.arange(1, horizon + 1))
    fan: Floats = scale[..., None] * NORMAL_QUANTILES
    return fan


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
