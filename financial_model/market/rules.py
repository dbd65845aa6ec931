"""What the exchanges decide, by date: price limits, lots, fees.

Every number stands in a table with the first day it holds. Rates are fractions, prices CNY. Limit prices
are counted in whole ticks (0.01 CNY) with integers, so that half a tick is rounded up exactly.
"""

import math
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

TICK = 0.01
HALF_TICK = TICK / 2
"""How near to a limit a price in binary fractions is still at it."""
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
DateArray = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]

# board -> (first session, limit in thousandths of the reference), oldest first.
LIMIT_RATES = {
    "main": ((date(1996, 12, 16), 100),),
    "chinext": ((date(2009, 10, 30), 100), (date(2020, 8, 24), 200)),
    "star": ((date(2019, 7, 22), 200),),
    "beijing": ((date(2021, 11, 15), 300),),
}
# Shares under special treatment; where nothing stands, the board's own rate holds (ChiNext knew no ST
# before its own limit rose, and has had none of its own since). The delisting period has limits of its own,
# which are not here: nothing in a workspace says when it begins (docs/QUALITY.md).
ST_LIMIT_RATES = {"main": ((date(1998, 4, 22), 50), (date(2026, 7, 6), 100))}
# board -> (first listing day, sessions after listing without a limit).
FREE_SESSIONS = {
    "main": ((date(1990, 12, 19), 1), (date(2023, 4, 10), 5)),
    "chinext": ((date(2009, 10, 30), 1), (date(2020, 8, 24), 5)),
    "star": ((date(2019, 7, 22), 5),),
    "beijing": ((date(2021, 11, 15), 1),),
}


def limit_reached(
    raw_close: FloatArray, limit_down: FloatArray, limit_up: FloatArray
) -> npt.NDArray[np.str_]:
    """Which limit a session closes at, (N,): "up", "down", "" neither. At one, a side finds no counterpart.

    Raw prices in CNY; limits NaN where there are none, which no close is at.

    >>> limit_reached(np.array([11.0, 9.0, 10.5]), np.array([9.0, 9.0, np.nan]), np.full(3, 11.0)).tolist()
    ['up', 'down', '']
    """
    at_down, at_up = _at_limits(raw_close, limit_down, limit_up)
    return np.where(at_up, "up", np.where(at_down, "down", ""))


def closes_at_limit(raw_close: FloatArray, limit_down: FloatArray, limit_up: FloatArray) -> Mask:
    """True (N,) where a session closes at either limit, as `limit_reached` has it."""
    at_down, at_up = _at_limits(raw_close, limit_down, limit_up)
    return at_down | at_up


def _at_limits(raw_close: FloatArray, limit_down: FloatArray, limit_up: FloatArray) -> tuple[Mask, Mask]:
    return raw_close <= limit_down + HALF_TICK, raw_close >= limit_up - HALF_TICK


def as_of(table: tuple[tuple[date, int], ...], dates: DateArray) -> IntArray:
    """The value of a dated table at each date, -1 before its first day."""
    firsts = np.array([first for first, _ in table], dtype="datetime64[D]")
    values = np.array([-1, *(value for _, value in table)], dtype=np.int64)
    return values[np.searchsorted(firsts, dates, side="right")]


def to_ticks(price: FloatArray) -> IntArray:
    """Prices in CNY as whole ticks, half a tick rounded up; NaN comes out as 0.

    The small addend makes 10.005, which a float holds as a little less, count as the half it is.
    """
    known = np.where(np.isnan(price), 0.0, price)
    return np.floor(known * 100.0 + 0.5 + 1e-7).astype(np.int64)


def tick_count(price: float) -> int:
    """`to_ticks` of one price, to the same last bit; a hundred times as fast as a call on an array of one.

    >>> tick_count(10.005), tick_count(float("nan"))
    (1001, 0)
    """
    return math.floor(price * 100.0 + 0.5 + 1e-7) if math.isfinite(price) else 0


def limit_thousandths(board: str, dates: DateArray, is_st: npt.NDArray[np.bool_]) -> IntArray:
    """The daily limit of a board at each date in thousandths; -1 where the rule knows none."""
    rates = as_of(LIMIT_RATES[board], dates)
    if board in ST_LIMIT_RATES and is_st.any():
        special = as_of(ST_LIMIT_RATES[board], dates)
        rates = np.where(is_st & (special > 0), special, rates)
    return rates


def price_limits(reference: FloatArray, thousandths: IntArray) -> tuple[FloatArray, FloatArray]:
    """(limit_down, limit_up) in CNY: half up to a tick and at least one tick from the reference.

    NaN where there is no reference or no limit.

    >>> down, up = price_limits(np.array([10.05, 0.04]), np.array([100, 100]))
    >>> down.tolist(), up.tolist()
    ([9.05, 0.03], [11.06, 0.05])
    """
    ticks = to_ticks(reference)
    up = np.maximum((ticks * (1000 + thousandths) + 500) // 1000, ticks + 1)
    down = np.minimum((ticks * (1000 - thousandths) + 500) // 1000, ticks - 1)
    known = np.isfinite(reference) & (ticks > 0) & (thousandths > 0)
    # The lowest price there is, is one tick.
    return np.where(known, np.maximum(down, 1) / 100.0, np.nan), np.where(known, up / 100.0, np.nan)


def free_sessions(board: str, listing: date) -> int:
    """How many sessions after a listing trade without a fixed limit.

    >>> free_sessions("main", date(2015, 3, 2)), free_sessions("star", date(2020, 7, 16))
    (1, 5)
    """
    found = [count for first, count in FREE_SESSIONS[board] if first <= listing]
    return found[-1] if found else 1


class Lot(NamedTuple):
    """Orders to buy: at least `minimum` shares, then in steps of `step`. Odd lots may be sold out."""

    minimum: int
    step: int


LOTS = {"main": Lot(100, 100), "chinext": Lot(100, 100), "star": Lot(200, 1), "beijing": Lot(100, 1)}


def buyable_shares(board: str, shares: float) -> int:
    """The largest order to buy that does not exceed `shares`; 0 below the minimum.

    >>> buyable_shares("main", 250), buyable_shares("star", 250.7), buyable_shares("star", 199)
    (200, 250, 0)
    """
    lot = LOTS[board]
    whole = int(shares)
    return 0 if whole < lot.minimum else lot.minimum + (whole - lot.minimum) // lot.step * lot.step


class FeeRates(NamedTuple):
    """Fractions of the amount, by side."""

    buyer: float
    seller: float


STAMP_DUTY = (
    (date(2005, 1, 24), FeeRates(0.001, 0.001)),
    (date(2007, 5, 30), FeeRates(0.003, 0.003)),
    (date(2008, 4, 24), FeeRates(0.001, 0.001)),
    (date(2008, 9, 19), FeeRates(0.0, 0.001)),
    (date(2023, 8, 28), FeeRates(0.0, 0.0005)),
)
TRANSFER_FEE = ((date(1990, 12, 19), 0.00002), (date(2022, 4, 29), 0.00001))
HANDLING_FEE = ((date(1990, 12, 19), 0.0000487), (date(2023, 8, 28), 0.0000341))
BEIJING_HANDLING_FEE = ((date(2021, 11, 15), 0.00025), (date(2023, 8, 28), 0.000125))
SUPERVISION_FEE = 0.00002
MINIMUM_COMMISSION_CNY = 5.0
SETTLEMENT_SESSIONS = 1  # T+1: bought today, sold tomorrow at the earliest


def exchange_fee_rates(board: str, session: date) -> FeeRates:
    """Stamp duty, transfer, handling and supervision fees together, as fractions of the amount.

    >>> exchange_fee_rates("main", date(2019, 6, 3))
    FeeRates(buyer=8.87e-05, seller=0.0010887)
    """
    duty = [rates for first, rates in STAMP_DUTY if first <= session]
    stamp = duty[-1] if duty else STAMP_DUTY[0][1]
    handling_table = BEIJING_HANDLING_FEE if board == "beijing" else HANDLING_FEE
    common = _latest(TRANSFER_FEE, session) + _latest(handling_table, session) + SUPERVISION_FEE
    return FeeRates(round(stamp.buyer + common, 10), round(stamp.seller + common, 10))


def _latest(table: tuple[tuple[date, float], ...], session: date) -> float:
    found = [value for first, value in table if first <= session]
    return found[-1] if found else table[0][1]
