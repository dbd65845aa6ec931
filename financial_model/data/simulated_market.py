"""The practice market: a simulated A-share universe whose law, and so the best attainable IC, is known.

`practice_law` says what holds in every such market, `practice_companies` draws who is listed, `practice_walk`
lets prices happen, `practice_facts` publishes what a real source would; here they become one market and a
BarSource.
"""

import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import exchange_calendars
import numpy as np
import numpy.typing as npt

from ..base.config import SimulateSettings
from ..base.errors import BadSetting
from ..market.rules import TICK, to_ticks
from .practice_companies import Companies, FloatArray
from .practice_facts import published_facts
from .practice_law import FIRST_SESSION, INDEX_VOLATILITY, INDICES, LAST_SESSION
from .practice_walk import IndexPath, MarketWalk, draw_index_path
from .source import Bars


@dataclass(frozen=True, eq=False)
class SimulatedMarket:
    """One practice market. Arrays are (C, S), by code and session; NaN where there is no bar."""

    settings: SimulateSettings
    codes: list[str]
    sessions: npt.NDArray[np.datetime64]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    """Raw prices in CNY, as traded."""
    volume: FloatArray
    amount: FloatArray
    factor: FloatArray
    """Backward factor: adjusted price = raw price * factor; known in every session, also without a bar."""
    industry: npt.NDArray[np.int8]
    """Position in INDUSTRIES, as of each session."""
    regime: npt.NDArray[np.int8]
    """The hidden regime of each session (S,), position in REGIMES. No forecaster may see it."""
    oracle: npt.NDArray[np.float32]
    """Expected return close t+1 -> close t+2 given the law and the past alone."""
    known_regime: npt.NDArray[np.float32]
    """The same for one who also sees the regime of t: the ceiling."""
    indices: dict[str, Bars]
    facts: dict[str, dict[str, list[Any]]] = field(repr=False)
    """Reference tables by name, column by column, as a real source would publish them."""

    def bars(self, code: str) -> Bars:
        """The raw bars of a stock or an index, sessions without a bar left out."""
        if code in self.indices:
            return self.indices[code]
        row = self.codes.index(code)
        traded = ~np.isnan(self.close[row])
        columns = {
            name: getattr(self, name)[row, traded]
            for name in ("open", "high", "low", "close", "volume", "amount")
        }
        return Bars(code=code, date=self.sessions[traded], **columns)

    def label(self) -> FloatArray:
        """The tradable return close t+1 -> close t+2 of each bar, (C, S); NaN where a bar is missing."""
        adjusted = self.close * self.factor
        label = np.full_like(adjusted, np.nan)
        label[:, :-2] = adjusted[:, 2:] / adjusted[:, 1:-1] - 1
        label[np.isnan(adjusted)] = np.nan
        return label


def simulate_market(settings: SimulateSettings) -> SimulatedMarket:
    """Draw a practice market; the same settings give the same market.

    >>> market = simulate_market(SimulateSettings(stocks=8, sessions=300, seed=3))
    >>> market.close.shape, str(market.sessions[-1])
    ((8, 300), '2024-12-31')
    """
    rng = np.random.default_rng([settings.seed, 0xA5])
    sessions = practice_sessions(settings.sessions)
    index = draw_index_path(len(sessions), rng)
    companies = Companies(settings.stocks, sessions, rng)
    walk = MarketWalk(companies, index, settings.signal, rng)
    by_session = {"close": walk.close, "volume": walk.volume, "factor": walk.factor}
    by_session |= _within_the_session(companies, walk, settings.seed)
    by_session |= {"oracle": walk.oracle, "known_regime": walk.known}
    turnover = {name: np.nansum(by_session[name], axis=1) for name in ("volume", "amount")}
    return SimulatedMarket(
        settings=settings,
        codes=companies.codes,
        sessions=sessions,
        **{name: np.ascontiguousarray(values.T) for name, values in by_session.items()},
        industry=companies.industry,
        regime=index.regime,
        indices={code: _index_bars(code, sessions, index, turnover, settings.seed) for code in INDICES},
        facts=published_facts(companies, walk, settings.seed),
    )


def _within_the_session(companies: Companies, walk: MarketWalk, seed: int) -> dict[str, FloatArray]:
    """open, high, low and amount (S, C) around the walk's closes, inside the limits."""
    rng = np.random.default_rng([seed, 0x0C])
    close, reference, shape = walk.close, walk.reference, walk.close.shape
    lowest = np.fmax(walk.limit_down, TICK)
    move = np.log(close / reference)
    noise = companies.own_volatility * np.exp(0.3 * rng.standard_normal(shape))
    middle = reference * np.exp(0.45 * move + 0.35 * noise * rng.standard_normal(shape))
    opened = np.fmin(np.fmax(to_ticks(middle) / 100.0, lowest), walk.limit_up)
    upper, lower = np.maximum(opened, close), np.minimum(opened, close)
    top = upper * np.exp(0.45 * noise * np.abs(rng.standard_normal(shape)) + 0.05 * np.abs(move))
    bottom = lower * np.exp(-0.45 * noise * np.abs(rng.standard_normal(shape)) - 0.05 * np.abs(move))
    opened[np.isnan(close)] = np.nan
    high = np.maximum(np.fmin(to_ticks(top) / 100.0, walk.limit_up), upper)
    low = np.minimum(np.fmax(to_ticks(bottom) / 100.0, lowest), lower)
    weight = rng.uniform(0.3, 0.7, shape)
    amount = np.round(walk.volume * (weight * low + (1 - weight) * high), 2)
    return {"open": opened, "high": high, "low": low, "amount": amount}


def _index_bars(
    code: str,
    sessions: npt.NDArray[np.datetime64],
    index: IndexPath,
    turnover: dict[str, FloatArray],
    seed: int,
) -> Bars:
    """An index on the common move; all but CSI 300 carry a little of their own."""
    level, noise_sd = INDICES[code]
    rng, length = np.random.default_rng([seed, int(code[2:])]), len(sessions)
    step = index.log_return + noise_sd * rng.standard_normal(length)
    close = np.round(level * np.exp(step.cumsum()), 2)
    before = np.concatenate([[level], close[:-1]])
    swing = 0.5 * INDEX_VOLATILITY[index.regime]
    opened = np.round(before * np.exp(0.3 * step + 0.4 * swing * rng.standard_normal(length)), 2)
    high = np.round(np.maximum(opened, close) * np.exp(swing * np.abs(rng.standard_normal(length))), 2)
    low = np.round(np.minimum(opened, close) * np.exp(-swing * np.abs(rng.standard_normal(length))), 2)
    return Bars(code=code, date=sessions, open=opened, high=high, low=low, close=close, **turnover)


class SimulatedSource:
    """A practice market as a BarSource."""

    name, is_simulated = "simulated", True

    def __init__(self, market: SimulatedMarket) -> None:
        self.market = market

    def codes(self) -> list[str]:
        return sorted([*self.market.codes, *self.market.indices])

    def fetch_bars(self, code: str) -> Bars:
        return self.market.bars(code)


@lru_cache(maxsize=4)
def practice_sessions(count: int) -> npt.NDArray[np.datetime64]:
    """The last `count` sessions of Shanghai up to LAST_SESSION; BadSetting when it never had as many."""
    with warnings.catch_warnings():
        # exchange_calendars still speaks to pandas in ways that pandas 3.1 wants to forget.
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar = exchange_calendars.get_calendar("XSHG", start=str(FIRST_SESSION), end=str(LAST_SESSION))
        sessions = calendar.sessions.to_numpy().astype("datetime64[D]")
    if count > len(sessions):
        raise BadSetting("sessions", count, f"at most {len(sessions)}, all that Shanghai has had")
    sessions = sessions[-count:]
    sessions.flags.writeable = False
    return sessions
