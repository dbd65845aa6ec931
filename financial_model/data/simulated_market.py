"""The practice market: a simulated A-share universe whose law, and so the best attainable IC, is known.

The law is the same for every seed (the tables below); what differs is chance. A hidden Markov chain of
four sticky regimes drives the drift and the volatility of the index and the weights of a planted signal.
The signal of stock i, formed at the close of session t and paid from the close of t+1 to the close of
t+2 (the tradable label), is

    s[i, t] = sum over f of REGIME_WEIGHTS[regime[t+2], f] * INDUSTRY_WEIGHTS[industry[i], f] * z_f[i, t]

with f one of short reversal, momentum and signed volume shock, each standardised within the session, and
a two-day lead-lag between industries is added to it. Everything else is noise of a plausible kind: betas,
industry moves, clustered volatility, Student-t shocks, limits whose excess spills over, suspensions,
listings, delistings, dividends and bonus shares. Only observed prices and volumes enter the signal, so a
forecaster that knows the law and filters the regime from the past (`oracle`) is nearly the best there is.

Log returns carry -variance/2 and betas load on surprises alone, so that without a signal all stocks have
the same expected simple return: at `signal` zero nothing tells them apart.
"""

import warnings
from collections import deque
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import exchange_calendars
import numpy as np
import numpy.typing as npt

from ..base.config import INDUSTRIES, SimulateSettings
from ..base.errors import BadSetting
from ..market.rules import TICK, limit_thousandths, price_limits
from .source import Bars

FloatArray = npt.NDArray[np.float64]

FIRST_SESSION = date(1990, 12, 19)
LAST_SESSION = date(2024, 12, 31)

REGIMES = ("bull", "bear", "sideways", "volatile")
INDEX_DRIFT = np.array([0.0022, -0.0022, 0.0, -0.0004])  # log return a session
INDEX_VOLATILITY = np.array([0.011, 0.014, 0.007, 0.024])
STOCK_VOLATILITY = np.array([1.0, 1.05, 0.85, 1.35])  # times the stock's own
TRANSITION = np.array(
    [
        [0.985, 0.004, 0.008, 0.003],
        [0.003, 0.985, 0.008, 0.004],
        [0.007, 0.006, 0.985, 0.002],
        [0.003, 0.008, 0.004, 0.985],
    ]
)

FACTORS = ("reversal", "momentum", "volume_shock")
REVERSAL_SESSIONS, MOMENTUM_SESSIONS, VOLUME_SESSIONS = 5, 20, 20
REGIME_WEIGHTS = np.array([[1.1, 2.1, 0.6], [1.5, 0.9, -0.7], [1.3, 1.9, 0.4], [1.5, 0.0, -0.5]])
INDUSTRY_WEIGHTS = np.array(
    [
        [1.6, 0.2, -0.8],  # finance
        [0.9, 1.3, 0.4],  # consumer
        [0.5, 1.5, 1.0],  # technology
        [0.8, 1.4, -0.5],  # healthcare
        [1.2, 0.9, 0.6],  # industrial
        [1.1, 0.7, 0.8],  # materials
        [1.5, -0.4, 0.5],  # energy
        [1.7, 0.1, -0.4],  # utilities
        [1.3, 0.4, -0.9],  # real_estate
        [0.4, 1.2, 1.2],  # telecom
        [1.0, 0.8, 0.3],  # other
    ]
)
# industry -> the industry whose move of session t it follows in session t+2
LEADERS = {
    "finance": "real_estate",
    "consumer": "finance",
    "technology": "telecom",
    "healthcare": "consumer",
    "industrial": "materials",
    "materials": "energy",
    "energy": "industrial",
    "utilities": "energy",
    "real_estate": "materials",
    "telecom": "technology",
    "other": "industrial",
}
LEADER_OF = np.array([INDUSTRIES.index(LEADERS[name]) for name in INDUSTRIES])
PAYOFF_DELAY = 2
# Realised share of a planted share of one, given betas, industry moves and limits beside it: calibration.
SIGNAL_SCALE = 0.74
# The lead-lag is there as soon as there is a signal, and saturates: at .06 it is nearly what it is at .10.
LEAD_LAG_SHARE, LEAD_LAG_ONSET = 0.040, 0.02

SHOCK_DEGREES = 5.0
LOG_VOLATILITY_PERSISTENCE, LOG_VOLATILITY_SD = 0.97, 0.35
TRAILING_DECAY = 0.97  # of the trailing variance that scales what is paid
INDUSTRY_VOLATILITY = 0.007
SEASONING = 25  # sessions after which a new listing takes part in the signal
SUSPENSION_RATE, SUSPENSION_MEAN_SESSIONS = 0.0008, 10.0
DELISTING_RATE = 1.5e-5
DELISTING_PRICE = 1.0
SPILL_CAP = 0.3


class Board(NamedTuple):
    """Where practice stocks are listed; the limits of a board stand in market.rules."""

    rules: str
    prefixes: tuple[str, ...]
    share: float
    first: date


BOARDS = (
    Board("main", ("SH600", "SH601", "SH603", "SH605"), 0.42, date(1990, 12, 19)),
    Board("main", ("SZ000", "SZ001", "SZ002", "SZ003"), 0.33, date(1990, 12, 19)),
    Board("chinext", ("SZ300", "SZ301", "SZ302"), 0.17, date(2009, 10, 30)),
    Board("star", ("SH688",), 0.08, date(2019, 7, 22)),
)
SHENWAN = {
    "finance": (("480301", "银行"), ("490101", "非银金融")),
    "consumer": (("340501", "食品饮料"), ("330101", "家用电器"), ("350201", "纺织服饰")),
    "technology": (("270101", "电子"), ("710301", "计算机")),
    "healthcare": (("370101", "医药生物"),),
    "industrial": (("640101", "机械设备"), ("630701", "电力设备")),
    "materials": (("220201", "基础化工"), ("240301", "有色金属")),
    "energy": (("740101", "煤炭"), ("750101", "石油石化")),
    "utilities": (("410101", "公用事业"),),
    "real_estate": (("430101", "房地产"),),
    "telecom": (("730101", "通信"),),
    "other": (("510101", "综合"),),
}
INDUSTRY_SHARES = np.array([0.05, 0.19, 0.17, 0.10, 0.18, 0.13, 0.04, 0.04, 0.04, 0.03, 0.03])
INDICES = {"SH000001": (3000.0, 0.0006), "SH000300": (3500.0, 0.0), "SH000905": (6000.0, 0.0012)}


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
    return _Simulation(settings).run()


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


def _round_half_up(price: FloatArray) -> FloatArray:
    """Prices rounded to 0.01 CNY; the small term lifts halves that binary fractions left just below."""
    return np.floor(price * 100 + 0.5 + 1e-7) / 100


def _standardise(values: FloatArray, mask: npt.NDArray[np.bool_]) -> FloatArray:
    """z-scores within the session over `mask`, clipped at +-3, zero elsewhere."""
    z = np.zeros_like(values)
    if mask.sum() > 2:
        inside = values[mask]
        sd = inside.std()
        if sd > 1e-12:
            z[mask] = np.clip((inside - inside.mean()) / sd, -3, 3)
    return z


class _Simulation:
    """The state of the walk through the sessions; every array is (C,) unless it says otherwise."""

    def __init__(self, settings: SimulateSettings) -> None:
        self.settings = settings
        self.rng = np.random.default_rng([settings.seed, 0xA5])
        self.sessions = practice_sessions(settings.sessions)
        self.count, self.length = settings.stocks, settings.sessions
        self.signal = settings.signal
        self.lead_lag = LEAD_LAG_SHARE * (1 - np.exp(-settings.signal / LEAD_LAG_ONSET))
        self._draw_regimes()
        self._draw_listings()
        self._draw_companies()

    # ---- what is fixed before the first session

    def _draw_regimes(self) -> None:
        draws, cumulative = self.rng.random(self.length), TRANSITION.cumsum(axis=1)
        self.regime = np.empty(self.length, np.int8)
        state = int(draws[0] * len(REGIMES))  # any state alike
        for t in range(self.length):
            if t:
                state = min(int(np.searchsorted(cumulative[state], draws[t])), len(REGIMES) - 1)
            self.regime[t] = state
        self.index_return = INDEX_DRIFT[self.regime] + INDEX_VOLATILITY[
            self.regime
        ] * self.rng.standard_normal(self.length)

    def _draw_listings(self) -> None:
        """Codes, boards, and the session positions of the first and the one after the last bar."""
        rng, count, length = self.rng, self.count, self.length
        first = np.array(
            [np.searchsorted(self.sessions, np.datetime64(board.first, "D")) for board in BOARDS]
        )
        pool = [
            (k, f"{prefix}{number:03d}")
            for k, board in enumerate(BOARDS)
            for prefix in board.prefixes
            for number in range(1, 1000)
        ]
        boards = np.array([k for k, _ in pool])
        weight = np.array([board.share / len(board.prefixes) for board in BOARDS]) * (first < length - 60)
        weight = weight[boards] / weight[boards].sum()
        drawn = rng.choice(len(pool), count, replace=False, p=weight)
        board = boards[drawn]
        listed = np.where(rng.random(count) < 0.3, rng.integers(1, max(2, int(length * 0.85)), count), 0)
        earliest = np.where(first[board] > 0, first[board] + rng.integers(0, 250, count), 0)
        listed = np.minimum(np.maximum(listed, earliest), length - 60)
        codes = [pool[k][1] for k in drawn]
        order = np.argsort(codes)
        self.codes = [codes[k] for k in order]
        self.board, self.listed = board[order], listed[order]
        self.delisted = np.full(count, length)

    def _draw_companies(self) -> None:
        rng, count, length = self.rng, self.count, self.length
        quantile = (np.arange(count) + 0.5) / count
        groups = np.searchsorted(INDUSTRY_SHARES.cumsum(), quantile).clip(0, len(INDUSTRIES) - 1)
        rng.shuffle(groups)
        self.industry = np.repeat(groups[:, None].astype(np.int8), length, axis=1)
        self.industry_changes: list[tuple[int, int, int]] = []
        for k in np.flatnonzero(rng.random(count) < 0.03):
            when = int(rng.integers(length // 4, length))
            target = int(rng.integers(len(INDUSTRIES)))
            if when > self.listed[k] and target != groups[k]:
                self.industry[k, when:] = target
                self.industry_changes.append((int(k), when, target))
        self.beta = np.clip(rng.normal(1.0, 0.25, count), 0.3, 1.9)
        self.own_volatility = np.clip(np.exp(rng.normal(np.log(0.021), 0.25, count)), 0.01, 0.04)
        self.price = np.exp(rng.normal(np.log(18.0), 0.6, count)).clip(3.0, 300.0)
        self.price = _round_half_up(self.price)
        self.total_shares = np.round(np.exp(rng.normal(np.log(6e8), 1.0, count)), -4)
        self.float_share = rng.uniform(0.3, 1.0, count).round(2)
        self.turnover = np.exp(rng.normal(np.log(0.012), 0.5, count))
        self.pays = rng.random(count) < 0.65
        self._draw_st()

    def _draw_st(self) -> None:
        """Spells of special treatment as (row, first, last) session positions; `is_st` (C, S)."""
        self.is_st = np.zeros((self.count, self.length), bool)
        self.st_spells: list[tuple[int, int, int]] = []
        for k in np.flatnonzero(self.rng.random(self.count) < 0.05):
            start = int(self.rng.integers(self.listed[k], self.length))
            end = min(start + int(self.rng.integers(120, 500)), self.length - 1)
            if start > self.listed[k] + SEASONING:
                self.st_spells.append((int(k), start, end))
                self.is_st[k, start : end + 1] = True
        self.limit = np.empty((self.count, self.length), np.int64)  # in thousandths
        for row, board in enumerate(self.board):
            self.limit[row] = limit_thousandths(BOARDS[board].rules, self.sessions, self.is_st[row])

    def _draw_actions(self) -> dict[int, list[tuple[int, float, float, float]]]:
        """session position -> (row, cash yield, bonus per 10, rights per 10), between May and July."""
        rng = self.rng
        years = self.sessions.astype("datetime64[Y]").astype(int) + 1970
        months = self.sessions.astype("datetime64[M]").astype(int) % 12 + 1
        actions: dict[int, list[tuple[int, float, float, float]]] = {}
        for year in range(years[0], years[-1] + 1):
            season = np.flatnonzero((years == year) & (months >= 5) & (months <= 7))
            if not len(season):
                continue
            when = season[rng.integers(0, len(season), self.count)]
            cash = np.where(
                self.pays & (rng.random(self.count) < 0.9), rng.uniform(0.003, 0.035, self.count), 0.0
            )
            bonus = np.where(
                rng.random(self.count) < 0.10, rng.choice([2.0, 3.0, 4.0, 5.0, 10.0], self.count), 0.0
            )
            rights = np.where(rng.random(self.count) < 0.008, rng.choice([2.0, 3.0], self.count), 0.0)
            for k in np.flatnonzero(cash + bonus + rights > 0):
                actions.setdefault(int(when[k]), []).append(
                    (int(k), float(cash[k]), float(bonus[k]), float(rights[k]))
                )
        return actions

    # ---- the walk

    def run(self) -> SimulatedMarket:
        rng, count, length = self.rng, self.count, self.length
        close = np.full((length, count), np.nan)
        reference = np.full((length, count), np.nan)
        limit_up, limit_down = np.full((length, count), np.nan), np.full((length, count), np.nan)
        volume = np.full((length, count), np.nan)
        factor = np.ones((length, count))
        oracle = np.full((length, count), np.nan, np.float32)
        known = np.full((length, count), np.nan, np.float32)
        returns = np.zeros((length, count))  # observed log returns on the ex-rights reference
        log_volume = np.zeros((length, count))
        actions = self._draw_actions()
        self.action_rows: list[tuple[int, int, float, float, float, float]] = []
        self.share_rows = [(int(k), -1, self.total_shares[k]) for k in range(count)]

        last_raw = self.price.copy()  # last close, or the ex-rights reference since then
        current_factor = np.ones(count)
        shares = self.total_shares.copy()
        pending = np.zeros(count)  # moves that a limit or a suspension has held back
        suspended_for = np.zeros(count, int)
        trailing = self.own_volatility**2 * 1.15
        log_volatility = LOG_VOLATILITY_SD * rng.standard_normal(count)
        volume_state = np.zeros(count)
        belief = np.full(len(REGIMES), 1 / len(REGIMES))
        ahead = np.linalg.matrix_power(TRANSITION, PAYOFF_DELAY)
        formed: deque[tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.bool_]]] = deque(
            maxlen=PAYOFF_DELAY
        )
        for _ in range(PAYOFF_DELAY):
            formed.append(
                (np.zeros((len(REGIMES), count)), np.zeros(count), np.sqrt(trailing), np.zeros(count, bool))
            )

        for t in range(length):
            regime = int(self.regime[t])
            industry = self.industry[:, t]
            for row, cash_yield, bonus, rights in actions.get(t, ()):
                if self.listed[row] < t < self.delisted[row]:
                    before = last_raw[row]
                    cash = np.floor(cash_yield * before * 10 * 100) / 100
                    rights_price = float(np.floor(before * 70) / 100) if rights else 0.0
                    after = (before - cash / 10 + rights_price * rights / 10) / (1 + (bonus + rights) / 10)
                    after = float(_round_half_up(np.array([after]))[0])
                    if (cash or bonus or rights) and after > 0.5:
                        last_raw[row] = after
                        current_factor[row] *= before / after
                        self.action_rows.append((row, t, cash, bonus, rights, rights_price))
                        if bonus or rights:
                            shares[row] = np.floor(shares[row] * (1 + (bonus + rights) / 10))
                            self.share_rows.append((row, t, shares[row]))

            is_listed = (self.listed <= t) & (t < self.delisted)
            starts = (
                is_listed & (suspended_for == 0) & (self.listed < t) & (rng.random(count) < SUSPENSION_RATE)
            )
            lengths = rng.geometric(1 / SUSPENSION_MEAN_SESSIONS, count)
            suspended_for = np.where(starts, lengths, np.maximum(suspended_for - 1, 0))
            trades = is_listed & (suspended_for == 0)

            # the latent move of the session
            log_volatility = LOG_VOLATILITY_PERSISTENCE * log_volatility + LOG_VOLATILITY_SD * np.sqrt(
                1 - LOG_VOLATILITY_PERSISTENCE**2
            ) * rng.standard_normal(count)
            sigma = (
                self.own_volatility * STOCK_VOLATILITY[regime] * np.exp(log_volatility - LOG_VOLATILITY_SD**2)
            )
            shock = rng.standard_t(SHOCK_DEGREES, count) * np.sqrt((SHOCK_DEGREES - 2) / SHOCK_DEGREES)
            industry_sd = INDUSTRY_VOLATILITY * STOCK_VOLATILITY[regime]
            industry_move = industry_sd * rng.standard_normal(len(INDUSTRIES))
            drift = INDEX_DRIFT[regime]
            common = drift + self.beta * (self.index_return[t] - drift) + industry_move[industry]
            signals, lead, scale, _ = formed[0]
            planted = (
                SIGNAL_SCALE * self.signal * scale * signals[regime] + self.lead_lag * scale.mean() * lead
            )
            move = common + planted + sigma * shock - 0.5 * (sigma**2 + industry_sd**2)
            latent = move + pending
            pending = np.where(is_listed & ~trades, np.clip(pending + common, -SPILL_CAP, SPILL_CAP), 0.0)

            # what the exchange lets happen of it
            down, up = price_limits(last_raw, self.limit[:, t])
            price = np.fmin(np.fmax(_round_half_up(last_raw * np.exp(latent)), down), up)
            price = np.maximum(price, TICK)
            observed = np.log(price / last_raw)
            at_limit = (price >= up) | (price <= down)
            pending = np.where(trades & at_limit, np.clip(latent - observed, -SPILL_CAP, SPILL_CAP), pending)

            close[t, trades], reference[t, trades] = price[trades], last_raw[trades]
            limit_up[t, trades], limit_down[t, trades] = up[trades], down[trades]
            returns[t, trades] = observed[trades]
            factor[t] = current_factor
            last_raw = np.where(trades, price, last_raw)

            # volume follows its own slow state and the size of the move
            deviation = np.sqrt(trailing)
            volume_state = 0.9 * volume_state + 0.22 * rng.standard_normal(count)
            level = volume_state + 0.30 * (np.minimum(np.abs(observed) / deviation, 4) - 0.75)
            log_volume[t] = np.where(trades, level + 0.35 * rng.standard_normal(count), 0.0)
            traded_shares = shares * self.float_share * self.turnover * np.exp(log_volume[t])
            volume[t, trades] = np.maximum(np.round(traded_shares[trades], -2), 100.0)

            # the regime, filtered from the index and from how the signals paid
            log_likelihood = -0.5 * ((self.index_return[t] - INDEX_DRIFT) / INDEX_VOLATILITY) ** 2 - np.log(
                INDEX_VOLATILITY
            )
            log_likelihood += self._cross_section_evidence(returns[t], trades, industry, formed[0])
            belief = (belief @ TRANSITION) * np.exp(log_likelihood - log_likelihood.max())
            belief /= belief.sum()

            trailing = np.where(
                trades, TRAILING_DECAY * trailing + (1 - TRAILING_DECAY) * observed**2, trailing
            )
            seasoned = trades & (self.listed + SEASONING <= t)
            signals, lead = self._form_signal(t, returns, log_volume, trades, seasoned, industry)
            scale = np.sqrt(trailing)
            formed.append((signals, lead, scale, seasoned))
            for weights, target in ((belief @ ahead, oracle), (ahead[regime], known)):
                expected = (
                    SIGNAL_SCALE * self.signal * scale * (weights @ signals)
                    + self.lead_lag * scale.mean() * lead
                )
                expected += weights @ INDEX_DRIFT
                target[t, trades] = expected[trades]

            leaves = (
                is_listed
                & (t > self.listed + 120)
                & ((rng.random(count) < DELISTING_RATE) | (trades & (last_raw < DELISTING_PRICE)))
            )
            self.delisted[leaves & (self.delisted > t + 1)] = t + 1

        self.is_st &= (np.arange(length) < self.delisted[:, None]) & (
            np.arange(length) >= self.listed[:, None]
        )
        return self._assemble(close, reference, limit_up, limit_down, volume, factor, oracle, known)

    def _form_signal(
        self,
        t: int,
        returns: FloatArray,
        log_volume: FloatArray,
        trades: npt.NDArray[np.bool_],
        seasoned: npt.NDArray[np.bool_],
        industry: npt.NDArray[np.int8],
    ) -> tuple[FloatArray, FloatArray]:
        """The signal under each regime (K, C) and the lead-lag (C,), of unit deviation in the session."""
        recent = slice(max(0, t - REVERSAL_SESSIONS + 1), t + 1)
        older = slice(max(0, t - MOMENTUM_SESSIONS + 1), max(0, t - REVERSAL_SESSIONS + 1))
        usual = log_volume[max(0, t - VOLUME_SESSIONS) : t]
        shock = log_volume[t] - (usual.mean(axis=0) if len(usual) else 0.0)
        deviation = returns[max(0, t - MOMENTUM_SESSIONS + 1) : t + 1].std(axis=0) + 1e-4
        z = np.stack(
            [
                _standardise(-returns[recent].sum(axis=0) / deviation, seasoned),
                _standardise(returns[older].sum(axis=0) / deviation, seasoned),
                _standardise(np.sign(returns[t]) * np.clip(shock, 0, 3), seasoned),
            ],
            axis=1,
        )  # (C, F)
        mixed = np.einsum("kf,cf,cf->kc", REGIME_WEIGHTS, INDUSTRY_WEIGHTS[industry], z)
        signals = np.stack([_standardise(row, seasoned) for row in mixed])
        counts = np.bincount(industry[trades], minlength=len(INDUSTRIES))
        sums = np.bincount(industry[trades], weights=returns[t, trades], minlength=len(INDUSTRIES))
        overall = returns[t, trades].mean() if trades.any() else 0.0
        excess = np.where(counts > 0, sums / np.maximum(counts, 1) - overall, 0.0)
        return signals, _standardise(excess[LEADER_OF[industry]], trades)

    def _cross_section_evidence(
        self,
        returns: FloatArray,
        trades: npt.NDArray[np.bool_],
        industry: npt.NDArray[np.int8],
        formed: tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.bool_]],
    ) -> FloatArray:
        """Log likelihood (K,) of the moves within industries, given what each regime would pay."""
        signals, _, scale, seasoned = formed
        mask = trades & seasoned
        if self.signal == 0 or mask.sum() < 10:
            return np.zeros(len(REGIMES))
        groups = industry[mask]
        counts = np.maximum(np.bincount(groups, minlength=len(INDUSTRIES)), 1)

        def within(values: FloatArray) -> FloatArray:
            return values - (np.bincount(groups, weights=values, minlength=len(INDUSTRIES)) / counts)[groups]

        residual = within(np.clip(within(returns[mask]) / scale[mask], -4, 4))
        variance = residual.var() + 1e-9
        fitted = [SIGNAL_SCALE * self.signal * within(row[mask]) for row in signals]
        return np.array([-0.5 * ((residual - f) ** 2).sum() / variance for f in fitted])

    # ---- what the sources would publish

    def _assemble(
        self,
        close: FloatArray,
        reference: FloatArray,
        limit_up: FloatArray,
        limit_down: FloatArray,
        volume: FloatArray,
        factor: FloatArray,
        oracle: npt.NDArray[np.float32],
        known: npt.NDArray[np.float32],
    ) -> SimulatedMarket:
        rng = np.random.default_rng([self.settings.seed, 0x0C])
        spread = np.abs(np.log(close / reference))
        noise = self.own_volatility * np.exp(0.3 * rng.standard_normal(close.shape))
        middle = reference * np.exp(
            0.45 * np.log(close / reference) + 0.35 * noise * rng.standard_normal(close.shape)
        )
        opened = np.fmin(np.fmax(_round_half_up(middle), np.fmax(limit_down, TICK)), limit_up)
        top = np.maximum(opened, close) * np.exp(
            0.45 * noise * np.abs(rng.standard_normal(close.shape)) + 0.05 * spread
        )
        bottom = np.minimum(opened, close) * np.exp(
            -0.45 * noise * np.abs(rng.standard_normal(close.shape)) - 0.05 * spread
        )
        opened[np.isnan(close)] = np.nan
        high = np.maximum(np.fmin(_round_half_up(top), limit_up), np.maximum(opened, close))
        low = np.minimum(
            np.fmax(_round_half_up(bottom), np.fmax(limit_down, TICK)), np.minimum(opened, close)
        )
        weight = rng.uniform(0.3, 0.7, close.shape)
        amount = np.round(volume * (weight * low + (1 - weight) * high), 2)
        indices = {
            code: self._index_bars(
                code, level, noise_sd, np.nansum(volume, axis=1), np.nansum(amount, axis=1)
            )
            for code, (level, noise_sd) in INDICES.items()
        }
        return SimulatedMarket(
            settings=self.settings,
            codes=self.codes,
            sessions=self.sessions,
            **{
                name: np.ascontiguousarray(values.T)
                for name, values in (
                    ("open", opened),
                    ("high", high),
                    ("low", low),
                    ("close", close),
                    ("volume", volume),
                    ("amount", amount),
                    ("factor", factor),
                )
            },
            industry=self.industry,
            regime=self.regime,
            oracle=np.ascontiguousarray(oracle.T),
            known_regime=np.ascontiguousarray(known.T),
            indices=indices,
            facts=self._facts(close),
        )

    def _index_bars(
        self, code: str, level: float, noise_sd: float, volume: FloatArray, amount: FloatArray
    ) -> Bars:
        """An index on the common move; all but the first carry a little of their own."""
        rng = np.random.default_rng([self.settings.seed, int(code[2:])])
        step = self.index_return + noise_sd * rng.standard_normal(self.length)
        close = np.round(level * np.exp(step.cumsum()), 2)
        before = np.concatenate([[level], close[:-1]])
        swing = 0.5 * INDEX_VOLATILITY[self.regime]
        opened = np.round(before * np.exp(0.3 * step + 0.4 * swing * rng.standard_normal(self.length)), 2)
        high = np.round(
            np.maximum(opened, close) * np.exp(swing * np.abs(rng.standard_normal(self.length))), 2
        )
        low = np.round(
            np.minimum(opened, close) * np.exp(-swing * np.abs(rng.standard_normal(self.length))), 2
        )
        return Bars(
            code=code,
            date=self.sessions,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=volume,
            amount=amount,
        )

    def _day(self, position: int) -> str:
        return str(self.sessions[position])

    def _facts(self, close: FloatArray) -> dict[str, dict[str, list[Any]]]:
        rng = np.random.default_rng([self.settings.seed, 0xFA])
        listed_before = rng.integers(200, 4000, self.count)
        board_start = [BOARDS[b].first for b in self.board]
        list_date = [
            self._day(first) if first else str(max(self.sessions[0] - int(days), np.datetime64(start, "D")))
            for first, days, start in zip(self.listed, listed_before, board_start, strict=True)
        ]
        industries: dict[str, list[Any]] = {
            name: [] for name in ("code", "from", "to", "scheme", "industry", "source_code", "updated")
        }
        changes = {row: (when, target) for row, when, target in self.industry_changes}
        for row, code in enumerate(self.codes):
            when, target = changes.get(row, (None, None))
            spans = [
                (list_date[row], self._day(when) if when is not None else "", int(self.industry[row, 0]))
            ]
            if when is not None and target is not None:
                spans.append((self._day(when), "", target))
            for since, until, group in spans:
                options = SHENWAN[INDUSTRIES[group]]
                source_code, name = options[int(rng.integers(len(options)))]
                for column, value in zip(
                    industries, (code, since, until, "SW2021", name, source_code, since), strict=True
                ):
                    industries[column].append(value)
        share_rows = sorted(
            (self.codes[k], list_date[k] if t < 0 else self._day(t), n, self.float_share[k])
            for k, t, n in self.share_rows
        )
        action_rows = sorted(
            (self.codes[k], self._day(t), *rest) for k, t, *rest in self.action_rows if t < self.delisted[k]
        )
        spells = sorted(
            (self.codes[k], self._day(start), self._day(end + 1) if end < self.length - 1 else "")
            for k, start, end in self.st_spells
        )
        gone = [self._day(d - 1) if d < self.length else "" for d in self.delisted]
        return {
            "stock_list": {
                "code": list(self.codes),
                "name": [f"练习{k + 1:04d}" for k in range(self.count)],
                "list_date": list_date,
                "delist_date": gone,
            },
            "industries": industries,
            "share_capital": {
                "code": [row[0] for row in share_rows],
                "date": [row[1] for row in share_rows],
                "total_shares": [int(row[2]) for row in share_rows],
                "float_shares": [int(row[2] * row[3]) for row in share_rows],
            },
            "corporate_actions": {
                name: [row[k] for row in action_rows]
                for k, name in enumerate(
                    ("code", "date", "cash_per_10", "bonus_per_10", "rights_per_10", "rights_price")
                )
            },
            "st_periods": {name: [row[k] for row in spells] for k, name in enumerate(("code", "from", "to"))},
            "fundamentals": self._fundamentals(close, rng),
        }

    def _fundamentals(self, close: FloatArray, rng: np.random.Generator) -> dict[str, list[Any]]:
        """Earnings of the year so far and book value per share, announced weeks after the quarter's end."""
        columns: dict[str, list[Any]] = {
            name: [] for name in ("code", "announced", "period", "eps_cny", "book_value_per_share_cny")
        }
        first_price = np.array([close[int(t), k] for k, t in enumerate(self.listed)])
        book = first_price * self.total_shares / np.exp(rng.normal(np.log(2.2), 0.5, self.count))
        return_on_book = rng.normal(0.08, 0.07, self.count)
        shares_at = {k: [(t, n) for row, t, n in self.share_rows if row == k] for k in range(self.count)}
        first, last = self.sessions[0].astype(date).year - 2, self.sessions[-1].astype(date).year
        for row, code in enumerate(self.codes):
            equity = book[row]
            for year in range(first, last + 1):
                yearly = return_on_book[row] * equity * np.exp(0.25 * rng.standard_normal())
                earned = 0.0
                for quarter, (month, day) in enumerate(((3, 31), (6, 30), (9, 30), (12, 31))):
                    earned += yearly * (0.25 + 0.03 * rng.standard_normal())
                    period = np.datetime64(date(year, month, day), "D")
                    announced = period + int(rng.integers(15, (30, 60, 30, 115)[quarter]))
                    position = int(np.searchsorted(self.sessions, announced))
                    if position >= min(self.delisted[row], self.length):
                        continue
                    shares = [n for t, n in shares_at[row] if t <= position][-1]
                    values = (
                        code,
                        str(announced),
                        str(period),
                        round(earned / shares, 4),
                        round((equity + earned) / shares, 4),
                    )
                    for column, value in zip(columns, values, strict=True):
                        columns[column].append(value)
                equity = max(equity + 0.7 * earned, 0.2 * equity)
        return columns
