"""Long-only top-k under A-share rules: what a score would have earned after all that stands in its way.

Orders are decided after the close of t and filled at the open or close of t+1, in raw prices and whole lots.
A stock at its limit is not bought (up) or sold (down), a suspended one is neither, what was bought today is
sold tomorrow at the earliest. Cash dividends and new shares come on the ex-date; the tax on dividends is
withheld when the shares are sold, by how long they were held. Fees are those of the day.

The book is a handful of arrays over codes and the loop runs once a session, so years take seconds.
"""

import math
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.config import BacktestSettings
from ..base.errors import EmptyTestRange
from ..market.codes import board_of
from ..market.rules import (
    HALF_TICK,
    MINIMUM_COMMISSION_CNY,
    SETTLEMENT_SESSIONS,
    FeeRates,
    buyable_shares,
    exchange_fee_rates,
)
from .samples import Forecasts

if TYPE_CHECKING:
    from ..data.panel import Panel
    from ..data.reference_store import Facts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK_REASONS = ("suspended", "limit_up", "limit_down", "below_lot", "no_cash")
# First day of sale -> rates for shares held up to a month, up to a year, longer. Cai Shui [2005] 102 halved
# the 20 %; [2012] 85 and [2015] 101 made it depend on the holding period.
DIVIDEND_TAX = (
    (date(2005, 6, 13), (0.10, 0.10, 0.10)),
    (date(2013, 1, 1), (0.20, 0.10, 0.05)),
    (date(2015, 9, 8), (0.20, 0.10, 0.0)),
)


@dataclass(frozen=True)
class Action:
    """What a share brings on its ex-date, per share held at the close before."""

    cash: float
    bonus: float
    rights: float
    rights_price: float


@dataclass(frozen=True)
class Market:
    """The panel's sessions first..last as dense arrays (S, C), NaN where a stock has no bar.

    `score` is that of the session itself; `actions[s]` lists (code position, Action) with ex-date s.
    """

    sessions: NDArray[np.datetime64]
    codes: list[str]
    boards: list[str]
    open: Floats
    close: Floats
    limit_up: Floats
    limit_down: Floats
    amount: Floats
    score: Floats
    actions: list[list[tuple[int, Action]]]
    delisted: Integers
    """Session position (C,) from which a stock is gone for good; S where it stays."""


@dataclass(frozen=True)
class Trade:
    """One filled order. price is the fill, slippage included; fees are all in CNY."""

    session: int
    code: int
    shares: int  # negative: sold
    price: float
    commission: float
    exchange_fees: float
    dividend_tax: float

    @property
    def amount(self) -> float:
        return self.shares * self.price

    @property
    def fees(self) -> float:
        return self.commission + self.exchange_fees + self.dividend_tax


@dataclass(frozen=True)
class Income:
    """Cash that came (or, for rights, went) on an ex-date, and the shares that came with it."""

    session: int
    code: int
    cash: float
    shares: int


@dataclass(frozen=True)
class Backtest:
    """What happened: arrays (S,) over the sessions, and every trade."""

    sessions: NDArray[np.datetime64]
    codes: list[str]
    cash: Floats
    positions: Floats
    held: Integers
    traded: Floats  # CNY bought plus sold
    trades: list[Trade]
    income: list[Income]
    blocked: dict[str, int]
    slippage: float  # CNY lost to it, all sessions
    write_offs: float
    market: Market

    @property
    def equity(self) -> Floats:
        return self.cash + self.positions


def run_backtest(
    forecasts: Forecasts,
    panel: "Panel",
    settings: BacktestSettings,
    *,
    actions: "Facts | None" = None,
    stocks: "Facts | None" = None,
) -> Backtest:
    """Trade the scores from the first to the last as-of session they are given for.

    actions: corporate actions of the reference store, stocks: its stock list (for delistings).
    """
    return trade(make_market(forecasts, panel, actions, stocks), settings)


def make_market(
    forecasts: Forecasts, panel: "Panel", actions: "Facts | None" = None, stocks: "Facts | None" = None
) -> Market:
    """The dense arrays of the forecasts' sessions and the one after the last."""
    as_of = panel.session_index[forecasts.row].astype(np.int64)
    if not len(as_of):
        raise EmptyTestRange(panel.sessions[0].astype(date), None, panel.sessions[-1].astype(date))
    first, stop = int(as_of.min()), min(int(as_of.max()) + 2, len(panel.sessions))
    if stop - first < 2:
        day = panel.sessions[first].astype(date)
        raise EmptyTestRange(day, day, panel.sessions[-1].astype(date))
    sessions = panel.sessions[first:stop]
    rows = np.flatnonzero((panel.session_index >= first) & (panel.session_index < stop))
    place = panel.session_index[rows] - first, panel.code_index[rows]

    def dense(values: NDArray[np.floating], where: tuple[NDArray[np.integer], ...] = place) -> Floats:
        grid = np.full((len(sessions), len(panel.codes)), np.nan)
        grid[where] = values
        return grid

    def column(name: str) -> Floats:
        return panel.column(name)[rows].astype(np.float64)

    # Adjusted prices over the factor are the raw ones, to the tick.
    raw_open = np.round(column("open") / column("factor"), 2)
    boards = [board_of(code) or "main" for code in panel.codes]
    return Market(
        sessions=sessions,
        codes=list(panel.codes),
        boards=boards,
        open=dense(raw_open),
        close=dense(np.round(column("raw_close"), 2)),
        limit_up=dense(column("limit_up")),
        limit_down=dense(column("limit_down")),
        amount=dense(column("amount")),
        score=dense(forecasts.score, (as_of - first, panel.code_index[forecasts.row])),
        actions=_actions_by_session(sessions, panel.codes, actions),
        delisted=_delistings(sessions, panel.codes, stocks),
    )


def _actions_by_session(
    sessions: NDArray[np.datetime64], codes: list[str], actions: "Facts | None"
) -> list[list[tuple[int, Action]]]:
    """Actions by the session they show in: their own date, or the first session after it."""
    found: list[list[tuple[int, Action]]] = [[] for _ in sessions]
    if actions is None:
        return found
    position = {code: place for place, code in enumerate(codes)}
    days = actions["date"]
    # An ex-date before the second session meets no position: nothing is held yet.
    inside = np.flatnonzero((days > sessions[0]) & (days <= sessions[-1]))
    numbers = {
        name: np.nan_to_num(actions[name])
        for name in ("cash_per_10", "bonus_per_10", "rights_per_10", "rights_price")
    }
    for row in inside[np.argsort(days[inside], kind="stable")]:
        code = position.get(str(actions["code"][row]))
        if code is not None:
            cash, bonus, rights = (
                numbers[name][row] / 10 for name in ("cash_per_10", "bonus_per_10", "rights_per_10")
            )
            action = Action(float(cash), float(bonus), float(rights), float(numbers["rights_price"][row]))
            found[int(np.searchsorted(sessions, days[row]))].append((code, action))
    return found


def _delistings(sessions: NDArray[np.datetime64], codes: list[str], stocks: "Facts | None") -> Integers:
    gone = np.full(len(codes), len(sessions), np.int64)
    if stocks is not None:
        position = {code: place for place, code in enumerate(codes)}
        for code, day in zip(stocks["code"], stocks["delist_date"], strict=True):
            if not np.isnat(day) and str(code) in position:
                gone[position[str(code)]] = np.searchsorted(sessions, day)
    return gone


def trade(market: Market, settings: BacktestSettings) -> Backtest:
    """Walk the sessions: what comes in, orders of last night, the day's value."""
    book = Book(market, settings)
    count = len(market.sessions)
    cash, positions, traded = np.zeros(count), np.zeros(count), np.zeros(count)
    held = np.zeros(count, np.int64)
    for session in range(count):
        book.begin(session)
        if session:
            book.rebalance(session, market.score[session - 1])
        book.close(session)
        cash[session], positions[session] = book.cash, book.value()
        held[session], traded[session] = int((book.shares > 0).sum()), book.traded
        book.check()
    return Backtest(
        sessions=market.sessions,
        codes=market.codes,
        cash=cash,
        positions=positions,
        held=held,
        traded=traded,
        trades=book.trades,
        income=book.income,
        blocked=book.blocked,
        slippage=book.slippage,
        write_offs=book.write_offs,
        market=market,
    )


@dataclass
class Book:
    """Cash and positions; one lot a code, since a stock that is held is not bought again."""

    market: Market
    settings: BacktestSettings
    cash: float = 0.0
    traded: float = 0.0
    slippage: float = 0.0
    write_offs: float = 0.0
    trades: list[Trade] = field(default_factory=list)
    income: list[Income] = field(default_factory=list)
    blocked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BLOCK_REASONS, 0))

    def __post_init__(self) -> None:
        count = len(self.market.codes)
        self.cash = self.settings.cash_cny
        self.shares = np.zeros(count, np.int64)
        self.bought = np.full(count, -1, np.int64)  # session of the purchase
        self.price = np.zeros(count)  # last known raw close, on today's ex-rights footing
        self.untaxed = np.zeros(count)  # dividends received on the shares held, CNY
        self.last_score = np.full(count, -np.inf)
        self._rates: dict[str, FeeRates] = {}
        self._ledger, self._checked = self.cash, (0, 0)

    def begin(self, session: int) -> None:
        """Before trading: fees of the day, dividends and new shares, what is gone."""
        self.traded = 0.0
        day = self.market.sessions[session].astype(date)
        self._rates = {board: exchange_fee_rates(board, day) for board in set(self.market.boards)}
        for code, action in self.market.actions[session]:
            if self.shares[code]:
                self._receive(session, code, action)
        for gone in np.flatnonzero((self.shares > 0) & (self.market.delisted <= session)).tolist():
            # No exchange trades it any more; what it may fetch elsewhere is not assumed.
            self.write_offs += float(self.shares[gone] * self.price[gone])
            self.trades.append(Trade(session, gone, -int(self.shares[gone]), 0.0, 0.0, 0.0, 0.0))
            self._forget(gone)

    def _receive(self, session: int, code: int, action: Action) -> None:
        old = int(self.shares[code])
        dividend = old * action.cash
        # Fractions of a new share are not paid out; a consolidation is a negative bonus, rounded down too.
        bonus, rights = (math.floor(old * ratio + 1e-9) for ratio in (action.bonus, action.rights))
        paid = rights * action.rights_price
        if paid > self.cash + dividend:
            rights, paid = 0, 0.0
        self.cash += dividend - paid
        self.untaxed[code] += dividend
        self.shares[code] += bonus + rights
        # A suspended stock keeps its last close, which must not hold the dividend a second time.
        value = old * self.price[code] - dividend + paid
        self.price[code] = max(value / self.shares[code], 0.0)
        self.income.append(Income(session, code, dividend - paid, bonus + rights))

    def rebalance(self, session: int, score: Floats) -> None:
        """Orders decided on `score` (C,), filled at this session's price: first sales, then purchases."""
        settings = self.settings
        known = np.isfinite(score)
        self.last_score[known] = score[known]
        held = np.flatnonzero(self.shares > 0)
        candidates = np.flatnonzero(known & (self.shares == 0) & (self.market.delisted > session))
        room = max(settings.drop + settings.top - len(held), 0)
        # Ties go by code, so that a run is the same each time.
        candidates = candidates[np.argsort(-score[candidates], kind="stable")][:room]
        together = np.concatenate([held, candidates])
        ranked = together[np.argsort(-self.last_score[together], kind="stable")]
        # What does not reach the top goes, the worst first, and nothing without a better one to replace it.
        worst = set(ranked[max(settings.top, len(ranked) - settings.drop) :].tolist())
        sold = 0
        for code in held[np.argsort(self.last_score[held], kind="stable")].tolist():
            if code in worst and self._is_sellable(code, session):
                sold += self._sell(session, code)
        wanted = candidates[: max(settings.top - len(held) + sold, 0)]
        equity = self.cash + self.value()
        for place, code in enumerate(wanted.tolist()):
            budget = min(equity / settings.top, self.cash / (len(wanted) - place))
            self._buy(session, code, budget)

    def _is_sellable(self, code: int, session: int) -> bool:
        return session - self.bought[code] >= max(self.settings.holding, SETTLEMENT_SESSIONS)

    def _fill_price(self, session: int, code: int) -> float:
        prices = self.market.open if self.settings.order_price == "open" else self.market.close
        return float(prices[session, code])

    def _sell(self, session: int, code: int) -> int:
        """Sell the whole position; 1 when it was filled."""
        price = self._fill_price(session, code)
        if not price > 0:
            return self._block("suspended")
        lowest = self.market.limit_down[session, code]
        if price <= lowest + HALF_TICK:
            return self._block("limit_down")
        fill = price * (1 - self.settings.slippage_rate)
        if np.isfinite(lowest):
            fill = max(fill, float(lowest))
        shares = int(self.shares[code])
        amount = shares * fill
        commission, fees = self._commission(amount), amount * self._rates[self.market.boards[code]].seller
        tax = self.untaxed[code] * self._dividend_tax_rate(session, code)
        self.slippage += shares * (price - fill)
        self.cash += amount - commission - fees - tax
        self.traded += amount
        self.trades.append(Trade(session, code, -shares, fill, commission, fees, float(tax)))
        self._forget(code)
        return 1

    def _buy(self, session: int, code: int, budget: float) -> int:
        """Buy for at most `budget` CNY, fees included; 1 when it was filled."""
        price = self._fill_price(session, code)
        if not price > 0:
            return self._block("suspended")
        highest = self.market.limit_up[session, code]
        if price >= highest - HALF_TICK:
            return self._block("limit_up")
        fill = price * (1 + self.settings.slippage_rate)
        if np.isfinite(highest):
            fill = min(fill, float(highest))
        board = self.market.boards[code]
        rate = self._rates[board].buyer
        spendable = min(budget, self.cash)
        shares = buyable_shares(board, self._affordable(spendable, fill, rate))
        if not shares:
            whole_purse = buyable_shares(board, self._affordable(self.cash, fill, rate))
            return self._block("below_lot" if whole_purse else "no_cash")
        amount = shares * fill
        commission, fees = self._commission(amount), amount * rate
        self.slippage += shares * (fill - price)
        self.cash -= amount + commission + fees
        self.traded += amount
        self.shares[code], self.bought[code] = shares, session
        self.price[code] = price
        self.trades.append(Trade(session, code, shares, fill, commission, fees, 0.0))
        return 1

    def _affordable(self, cash: float, price: float, rate: float) -> float:
        """Shares that `cash` pays for with all fees, the smallest commission included."""
        proportional = cash / (price * (1 + rate + self.settings.commission_rate))
        if proportional * price * self.settings.commission_rate >= MINIMUM_COMMISSION_CNY:
            return proportional
        return max((cash - MINIMUM_COMMISSION_CNY) / (price * (1 + rate)), 0.0)

    def _commission(self, amount: float) -> float:
        return max(amount * self.settings.commission_rate, MINIMUM_COMMISSION_CNY)

    def _dividend_tax_rate(self, session: int, code: int) -> float:
        sale = self.market.sessions[session].astype(date)
        return dividend_tax_rate(self.market.sessions[self.bought[code]].astype(date), sale)

    def _block(self, reason: str) -> int:
        self.blocked[reason] += 1
        return 0

    def _forget(self, code: int) -> None:
        self.shares[code], self.bought[code], self.untaxed[code] = 0, -1, 0.0

    def close(self, session: int) -> None:
        """Mark what traded to its close; a suspended stock keeps its last one."""
        close = self.market.close[session]
        known = np.isfinite(close)
        self.price[known] = close[known]

    def value(self) -> float:
        return float(self.shares @ self.price)

    def check(self) -> None:
        """The ledger must give the cash; a book that does not balance is a fault of ours."""
        trades, income = self._checked
        self._ledger -= sum(one.amount + one.fees for one in self.trades[trades:])
        self._ledger += sum(one.cash for one in self.income[income:])
        self._checked = len(self.trades), len(self.income)
        if abs(self._ledger - self.cash) > 1e-9 * self.settings.cash_cny or self.cash < -1e-6:
            raise AssertionError(f"the book does not balance: cash {self.cash}, ledger {self._ledger}")


def dividend_tax_rate(bought: date, sold: date) -> float:
    """The rate withheld from dividends of shares bought and sold on these days; 0 before 2005-06-13.

    >>> dividend_tax_rate(date(2018, 3, 1), date(2018, 4, 1))
    0.2
    >>> dividend_tax_rate(date(2018, 3, 1), date(2018, 4, 2))
    0.1
    >>> dividend_tax_rate(date(2017, 3, 1), date(2018, 3, 2))
    0.0
    """
    rates = [rates for first, rates in DIVIDEND_TAX if first <= sold]
    if not rates:
        return 0.0
    month, year, longer = rates[-1]
    if sold <= _months_after(bought, 1):
        return month
    return year if sold <= _months_after(bought, 12) else longer


def _months_after(day: date, months: int) -> date:
    """The same day some months later, the month's last where it has no such day."""
    month = np.datetime64(day, "M") + months
    last = ((month + 1).astype("datetime64[D]") - 1).astype(date)
    return last.replace(day=min(day.day, last.day))
