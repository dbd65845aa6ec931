"""One row a session: index, breadth, dispersion, the industries' last two days, which factors paid of late.

Each row is worked out of its own session and those before it.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.config import INDUSTRIES
from ..base.errors import CodeNotHeld
from .bar_features import put_first
from .rolling import Array, exponential_mean, lag, rolling_extreme, rolling_sum

if TYPE_CHECKING:
    from ..data.panel import Panel

TYPICAL_SPREAD = 0.02  # of stocks around their mean, a session
TYPICAL_VOLATILITY = 0.013  # of an index, a session

# The market table begins with how volatile the market is, then the last session of each industry.
STATES = ("market_volatility_15", "market_volatility_40", "dispersion_5")
LEADERS = tuple(f"{industry}_lag_0" for industry in INDUSTRIES)
# The factors whose recent payoff is told in the market table: name of the summary feature, see `_payoff`.
PAYOFF_FACTORS = (
    "return_1",
    "return_5",
    "momentum_20_5",
    "momentum_60_5",
    "burst",
    "log_volatility",
    "log_size",
)
PAYOFF_SPANS = (5, 15, 40)


def market_table(
    panel: "Panel",
    index: str,
    log_return: Array,
    market_return: Array,
    industry_return: Array,
    summary: NDArray[np.float16],
    summary_names: tuple[str, ...],
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    session_count = len(panel.sessions)
    out: dict[str, Array] = {}
    for name, change in (("index", _index_returns(panel, index, market_return)), ("market", market_return)):
        r = change[:, None]
        slow = np.sqrt(exponential_mean(r * r, 120, TYPICAL_VOLATILITY**2))
        for w in (1, 2, 5, 20, 60):
            out[f"{name}_return_{w}"] = (rolling_sum(r, w) / (slow * np.sqrt(w)))[:, 0]
        for span in (5, 15, 40, 120):
            square = exponential_mean(r * r, span, TYPICAL_VOLATILITY**2)
            out[f"{name}_volatility_{span}"] = np.log(np.maximum(square, 1e-9) / TYPICAL_VOLATILITY**2)[:, 0]
        level = np.cumsum(r, axis=0)
        out[f"{name}_drawdown"] = ((level - rolling_extreme(level, 120, np.maximum)) / slow)[:, 0] / 10

    sessions = panel.session_index
    up = session_mean((log_return > 0).astype(np.float64), sessions, session_count)
    spread = np.sqrt(session_mean((log_return - market_return[sessions]) ** 2, sessions, session_count))
    spread = np.log(np.maximum(spread, 1e-4))
    out["breadth"] = 4 * (up - 0.5)
    for span in (1, 5, 20, 120):
        out[f"dispersion_{span}"] = 4 * (
            exponential_mean(spread[:, None], span)[:, 0] - np.log(TYPICAL_SPREAD)
        )

    by_industry = industry_return.reshape(session_count, -1)[:, : len(INDUSTRIES)] - market_return[:, None]
    by_industry = np.where(
        industry_return.reshape(session_count, -1)[:, : len(INDUSTRIES)] == 0, 0.0, by_industry
    )
    scale = np.sqrt(exponential_mean(np.mean(by_industry**2, axis=1, keepdims=True), 120, 0.005**2))
    for k in (0, 1):
        lagged = lag(by_industry, k) / np.maximum(scale, 1e-4)
        for position, industry in enumerate(INDUSTRIES):
            out[f"{industry}_lag_{k}"] = lagged[:, position]

    for factor in PAYOFF_FACTORS:
        paid = _payoff(panel, summary[:, summary_names.index(factor)], log_return)
        for span in PAYOFF_SPANS:
            # An IC of one session has a standard error of 1 / sqrt(stocks); its mean is told in such units.
            value = exponential_mean(paid[:, None], span, 0.0)[:, 0]
            out[f"{factor}_paid_{span}"] = value * np.sqrt(span)
    out = put_first(out, (*STATES, *LEADERS))
    table = np.stack(list(out.values()), axis=1)
    return np.clip(np.nan_to_num(table), -5, 5).astype(np.float32), tuple(out)


def _index_returns(panel: "Panel", index: str, market_return: Array) -> Array:
    """Daily log returns of the index on the panel's sessions; the universe's mean where it has no bar."""
    try:
        bars = panel.index_bars(index)
    except CodeNotHeld:  # bars of one's own come without an index
        return market_return
    if len(bars.date) < 2:
        return market_return
    change = np.diff(np.log(bars.close))
    place = np.searchsorted(panel.sessions, bars.date[1:])
    inside = (place < len(panel.sessions)) & (
        panel.sessions[np.minimum(place, len(panel.sessions) - 1)] == bars.date[1:]
    )
    out = market_return.copy()
    out[place[inside]] = change[inside]
    return out


def _payoff(panel: "Panel", factor: NDArray[np.float16], log_return: Array) -> Array:
    """The tradable daily payoff of a factor as known at each close, in standard errors of its IC.

    The factor as it stood two bars ago against the return of this bar: bought at the next close, sold at the
    one after. The factor is a z-score within its session, so the mean product over the spread is its IC.
    """
    stood = np.zeros(len(factor))
    stood[2:] = factor[:-2]
    for k in (0, 1):
        starts = panel.offsets[:-1] + k
        stood[starts[starts < panel.offsets[1:]]] = 0.0
    sessions, session_count = panel.session_index, len(panel.sessions)
    wide = np.clip(log_return, -0.11, 0.11)
    centred = wide - session_mean(wide, sessions, session_count)[sessions]
    product = np.bincount(sessions, weights=stood * centred, minlength=session_count)
    square = np.bincount(sessions, weights=centred**2, minlength=session_count)
    power = np.bincount(sessions, weights=stood**2, minlength=session_count)
    return product / np.sqrt(np.maximum(square * power, 1e-12)) * 10


def session_mean(values: Array, group: NDArray[np.integer], group_count: int) -> Array:
    """Mean of the values of each group, 0 where it is empty; bincount adds in the order of the rows."""
    count = np.bincount(group, minlength=group_count)
    return np.bincount(group, weights=values, minlength=group_count) / np.maximum(count, 1)
