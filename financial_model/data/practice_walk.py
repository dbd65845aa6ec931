"""The walk of a practice market through its sessions: what the hidden law makes of prices and volumes.

Every array of the state is (C,), one entry a company; every array of the record is (S, C), NaN where there is
no bar. Only observed prices and volumes enter the signal, so a forecaster that knows the law and filters the
regime from the past (`oracle`) is nearly the best there is.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..base.config import INDUSTRIES
from ..market.rules import TICK, price_limits, tick_count, to_ticks
from .practice_companies import Companies, FloatArray
from .practice_law import (
    DELISTING_PRICE,
    DELISTING_RATE,
    INDEX_DRIFT,
    INDEX_VOLATILITY,
    INDUSTRY_VOLATILITY,
    INDUSTRY_WEIGHTS,
    LEAD_LAG_ONSET,
    LEAD_LAG_SHARE,
    LEADER_OF,
    LOG_VOLATILITY_PERSISTENCE,
    LOG_VOLATILITY_SD,
    MOMENTUM_SESSIONS,
    PAYOFF_DELAY,
    REGIME_WEIGHTS,
    REGIMES,
    REVERSAL_SESSIONS,
    SEASONING,
    SHOCK_DEGREES,
    SIGNAL_SCALE,
    SPILL_CAP,
    STOCK_VOLATILITY,
    SUSPENSION_MEAN_SESSIONS,
    SUSPENSION_RATE,
    TRAILING_DECAY,
    TRANSITION,
    VOLUME_SESSIONS,
)

BoolArray = npt.NDArray[np.bool_]


class IndexPath(NamedTuple):
    """The hidden regime (S,) int8 and the common log return of each session (S,)."""

    regime: npt.NDArray[np.int8]
    log_return: FloatArray


class FormedSignal(NamedTuple):
    """What was formed at one close: the signal of each regime (K, C), the lead-lag, the scale of both."""

    signals: FloatArray
    lead: FloatArray
    scale: FloatArray
    seasoned: BoolArray


def draw_index_path(length: int, rng: np.random.Generator) -> IndexPath:
    """The Markov chain of regimes over `length` sessions and what the index made of it."""
    draws, cumulative = rng.random(length), TRANSITION.cumsum(axis=1)
    regime = np.empty(length, np.int8)
    state = int(draws[0] * len(REGIMES))  # any state alike
    for t in range(length):
        if t:
            state = min(int(np.searchsorted(cumulative[state], draws[t])), len(REGIMES) - 1)
        regime[t] = state
    shocks = INDEX_VOLATILITY[regime] * rng.standard_normal(length)
    return IndexPath(regime, INDEX_DRIFT[regime] + shocks)


class MarketWalk:
    """One walk from the first session to the last; afterwards the attributes below hold its record.

    close, reference, limit_up, limit_down  raw CNY; reference is the previous close after rights
    volume                                  shares
    factor                                  backward factor, known in every session
    oracle, known                           expected tradable return given the past; given the regime of t too
    delisted                                (C,) position after the last bar
    action_rows                             (row, position, cash, bonus, rights per 10, rights price)
    share_rows                              (row, position or -1 for "before", total shares)
    """

    def __init__(
        self, companies: Companies, index: IndexPath, signal: float, rng: np.random.Generator
    ) -> None:
        count, length = len(companies), len(companies.sessions)
        self.companies, self.index, self.rng = companies, index, rng
        self.signal = signal
        self.lead_lag = LEAD_LAG_SHARE * (1 - np.exp(-signal / LEAD_LAG_ONSET))

        self.close, self.reference, self.limit_up, self.limit_down, self.volume = (
            np.full((length, count), np.nan) for _ in range(5)
        )
        self.factor = np.ones((length, count))
        self.oracle, self.known = (np.full((length, count), np.nan, np.float32) for _ in range(2))
        self.delisted = np.full(count, length)
        self.action_rows: list[tuple[int, int, float, float, float, float]] = []
        self.share_rows = [(k, -1, float(companies.total_shares[k])) for k in range(count)]

        self._returns = np.zeros((length, count))  # observed log returns on the ex-rights reference
        self._log_volume = np.zeros((length, count))
        self._actions = companies.draw_actions(rng)
        self._last_raw = companies.first_price.copy()  # last close, or the ex-rights reference since then
        self._factor = np.ones(count)
        self._shares = companies.total_shares.copy()
        self._pending = np.zeros(count)  # moves that a limit or a suspension has held back
        self._suspended_for = np.zeros(count, int)
        self._trailing = companies.own_volatility**2 * 1.15
        self._log_volatility = LOG_VOLATILITY_SD * rng.standard_normal(count)
        self._volume_state = np.zeros(count)
        self._belief = np.full(len(REGIMES), 1 / len(REGIMES))
        nothing = FormedSignal(
            np.zeros((len(REGIMES), count)), np.zeros(count), np.sqrt(self._trailing), np.zeros(count, bool)
        )
        self._formed = deque([nothing] * PAYOFF_DELAY, maxlen=PAYOFF_DELAY)  # oldest first: due today
        for t in range(length):
            self._session(t)

    def _session(self, t: int) -> None:
        self._pay_actions(t)
        is_listed = (self.companies.listed <= t) & (t < self.delisted)
        trades = is_listed & ~self._suspended(t, is_listed)
        latent = self._latent_move(t, is_listed, trades)
        observed = self._trade(t, latent, trades)
        self._trade_volume(t, observed, trades)
        self._filter_regime(t, trades)
        self._trailing = np.where(
            trades, TRAILING_DECAY * self._trailing + (1 - TRAILING_DECAY) * observed**2, self._trailing
        )
        self._formed.append(self._form_signal(t, trades))
        self._expect(t, trades)
        self._delist(t, is_listed, trades)

    def _pay_actions(self, t: int) -> None:
        for row, cash_yield, bonus, rights in self._actions.get(t, ()):
            if not self.companies.listed[row] < t < self.delisted[row]:
                continue
            before = self._last_raw[row]
            cash = np.floor(cash_yield * before * 10 * 100) / 100
            rights_price = float(np.floor(before * 70) / 100) if rights else 0.0
            after = (before - cash / 10 + rights_price * rights / 10) / (1 + (bonus + rights) / 10)
            after = tick_count(after) / 100.0
            if (cash or bonus or rights) and after > 0.5:
                self._last_raw[row] = after
                self._factor[row] *= before / after
                self.action_rows.append((row, t, cash, bonus, rights, rights_price))
                if bonus or rights:
                    self._shares[row] = np.floor(self._shares[row] * (1 + (bonus + rights) / 10))
                    self.share_rows.append((row, t, self._shares[row]))

    def _suspended(self, t: int, is_listed: BoolArray) -> BoolArray:
        count = len(self.companies)
        may_start = is_listed & (self._suspended_for == 0) & (self.companies.listed < t)
        starts = may_start & (self.rng.random(count) < SUSPENSION_RATE)
        lengths = self.rng.geometric(1 / SUSPENSION_MEAN_SESSIONS, count)
        self._suspended_for = np.where(starts, lengths, np.maximum(self._suspended_for - 1, 0))
        return self._suspended_for > 0

    def _latent_move(self, t: int, is_listed: BoolArray, trades: BoolArray) -> FloatArray:
        """The log move that supply and demand ask for, before the exchange's limits."""
        rng, companies, count = self.rng, self.companies, len(self.companies)
        regime, industry = int(self.index.regime[t]), companies.industry[:, t]
        fresh = LOG_VOLATILITY_SD * np.sqrt(1 - LOG_VOLATILITY_PERSISTENCE**2) * rng.standard_normal(count)
        self._log_volatility = LOG_VOLATILITY_PERSISTENCE * self._log_volatility + fresh
        clustered = np.exp(self._log_volatility - LOG_VOLATILITY_SD**2)
        sigma = companies.own_volatility * STOCK_VOLATILITY[regime] * clustered
        shock = rng.standard_t(SHOCK_DEGREES, count) * np.sqrt((SHOCK_DEGREES - 2) / SHOCK_DEGREES)
        industry_sd = INDUSTRY_VOLATILITY * STOCK_VOLATILITY[regime]
        industry_move = industry_sd * rng.standard_normal(len(INDUSTRIES))
        drift = INDEX_DRIFT[regime]
        common = drift + companies.beta * (self.index.log_return[t] - drift) + industry_move[industry]
        planted = self._payoff(self._formed[0], regime)
        move = common + planted + sigma * shock - 0.5 * (sigma**2 + industry_sd**2)
        latent = move + self._pending
        self._pending = np.where(
            is_listed & ~trades, np.clip(self._pending + common, -SPILL_CAP, SPILL_CAP), 0.0
        )
        return latent

    def _payoff(self, formed: FormedSignal, regime: int) -> FloatArray:
        planted = SIGNAL_SCALE * self.signal * formed.scale * formed.signals[regime]
        return planted + self.lead_lag * formed.scale.mean() * formed.lead

    def _trade(self, t: int, latent: FloatArray, trades: BoolArray) -> FloatArray:
        """What the exchange lets happen of the latent move: the observed log return on the reference."""
        down, up = price_limits(self._last_raw, self.companies.limit[:, t])
        price = np.fmin(np.fmax(to_ticks(self._last_raw * np.exp(latent)) / 100.0, down), up)
        price = np.maximum(price, TICK)
        observed = np.log(price / self._last_raw)
        at_limit = (price >= up) | (price <= down)
        held_back = np.clip(latent - observed, -SPILL_CAP, SPILL_CAP)
        self._pending = np.where(trades & at_limit, held_back, self._pending)
        self.close[t, trades], self.reference[t, trades] = price[trades], self._last_raw[trades]
        self.limit_up[t, trades], self.limit_down[t, trades] = up[trades], down[trades]
        self._returns[t, trades] = observed[trades]
        self.factor[t] = self._factor
        self._last_raw = np.where(trades, price, self._last_raw)
        return observed

    def _trade_volume(self, t: int, observed: FloatArray, trades: BoolArray) -> None:
        """Volume follows its own slow state and the size of the move."""
        rng, companies, count = self.rng, self.companies, len(self.companies)
        self._volume_state = 0.9 * self._volume_state + 0.22 * rng.standard_normal(count)
        move = np.minimum(np.abs(observed) / np.sqrt(self._trailing), 4)
        level = self._volume_state + 0.30 * (move - 0.75)
        self._log_volume[t] = np.where(trades, level + 0.35 * rng.standard_normal(count), 0.0)
        usual = self._shares * companies.float_share * companies.turnover
        traded = usual * np.exp(self._log_volume[t])
        self.volume[t, trades] = np.maximum(np.round(traded[trades], -2), 100.0)

    def _filter_regime(self, t: int, trades: BoolArray) -> None:
        """The belief in each regime (K,), from the index and from how the signals of two closes ago paid."""
        surprise = (self.index.log_return[t] - INDEX_DRIFT) / INDEX_VOLATILITY
        log_likelihood = -0.5 * surprise**2 - np.log(INDEX_VOLATILITY)
        log_likelihood += self._cross_section_evidence(t, trades)
        belief = (self._belief @ TRANSITION) * np.exp(log_likelihood - log_likelihood.max())
        self._belief = belief / belief.sum()

    def _cross_section_evidence(self, t: int, trades: BoolArray) -> FloatArray:
        """Log likelihood (K,) of the moves within industries, given what each regime would pay."""
        formed = self._formed[0]
        mask = trades & formed.seasoned
        if self.signal == 0 or mask.sum() < 10:
            return np.zeros(len(REGIMES))
        groups = self.companies.industry[mask, t]
        counts = np.maximum(np.bincount(groups, minlength=len(INDUSTRIES)), 1)

        def within(values: FloatArray) -> FloatArray:
            return values - (np.bincount(groups, weights=values, minlength=len(INDUSTRIES)) / counts)[groups]

        residual = within(np.clip(within(self._returns[t][mask]) / formed.scale[mask], -4, 4))
        variance = residual.var() + 1e-9
        fitted = [SIGNAL_SCALE * self.signal * within(row[mask]) for row in formed.signals]
        return np.array([-0.5 * ((residual - f) ** 2).sum() / variance for f in fitted])

    def _form_signal(self, t: int, trades: BoolArray) -> FormedSignal:
        """The signal under each regime and the lead-lag, of unit deviation in the session."""
        returns, log_volume, industry = self._returns, self._log_volume, self.companies.industry[:, t]
        seasoned = trades & (self.companies.listed + SEASONING <= t)
        recent = slice(max(0, t - REVERSAL_SESSIONS + 1), t + 1)
        older = slice(max(0, t - MOMENTUM_SESSIONS + 1), max(0, t - REVERSAL_SESSIONS + 1))
        usual = log_volume[max(0, t - VOLUME_SESSIONS) : t]
        shock = log_volume[t] - (usual.mean(axis=0) if len(usual) else 0.0)
        deviation = returns[max(0, t - MOMENTUM_SESSIONS + 1) : t + 1].std(axis=0) + 1e-4
        z = np.stack(
            [
                standardise(-returns[recent].sum(axis=0) / deviation, seasoned),
                standardise(returns[older].sum(axis=0) / deviation, seasoned),
                standardise(np.sign(returns[t]) * np.clip(shock, 0, 3), seasoned),
            ],
            axis=1,
        )  # (C, F)
        mixed = np.einsum("kf,cf,cf->kc", REGIME_WEIGHTS, INDUSTRY_WEIGHTS[industry], z)
        signals = np.stack([standardise(row, seasoned) for row in mixed])
        counts = np.bincount(industry[trades], minlength=len(INDUSTRIES))
        sums = np.bincount(industry[trades], weights=returns[t, trades], minlength=len(INDUSTRIES))
        overall = returns[t, trades].mean() if trades.any() else 0.0
        excess = np.where(counts > 0, sums / np.maximum(counts, 1) - overall, 0.0)
        lead = standardise(excess[LEADER_OF[industry]], trades)
        return FormedSignal(signals, lead, np.sqrt(self._trailing), seasoned)

    def _expect(self, t: int, trades: BoolArray) -> None:
        """What the law expects of the new signal, for one who filters and for one who sees the regime."""
        formed = self._formed[-1]
        ahead = np.linalg.matrix_power(TRANSITION, PAYOFF_DELAY)
        for weights, target in (
            (self._belief @ ahead, self.oracle),
            (ahead[int(self.index.regime[t])], self.known),
        ):
            expected = SIGNAL_SCALE * self.signal * formed.scale * (weights @ formed.signals)
            expected = expected + self.lead_lag * formed.scale.mean() * formed.lead + weights @ INDEX_DRIFT
            target[t, trades] = expected[trades]

    def _delist(self, t: int, is_listed: BoolArray, trades: BoolArray) -> None:
        unlucky = self.rng.random(len(self.companies)) < DELISTING_RATE
        leaves = is_listed & (t > self.companies.listed + 120)
        leaves &= unlucky | (trades & (self._last_raw < DELISTING_PRICE))
        self.delisted[leaves & (self.delisted > t + 1)] = t + 1


def standardise(values: FloatArray, mask: BoolArray) -> FloatArray:
    """z-scores within the session over `mask`, clipped at +-3, zero elsewhere."""
    z = np.zeros_like(values)
    if mask.sum() > 2:
        inside = values[mask]
        sd = inside.std()
        if sd > 1e-12:
            z[mask] = np.clip((inside - inside.mean()) / sd, -3, 3)
    return z
