"""Backward adjustment: past prices keep their level, later ones are lifted by what was paid out.

Reference of an ex-day = (previous close - cash + rights price * rights) / (1 + bonus + rights), all per
share, half up to a tick; the factor of a session is the product of previous close / reference over the
events up to it. So a later event never changes an earlier row. A consolidation of n shares into one is a
bonus of 10 * (1/n - 1) per 10, which is negative. Events on one day count together; events of days on
which the stock did not trade are chained in their order, each on the reference before it. Events on or
before the first bar and after the last one have nothing to stand on and change nothing.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..market.rules import tick_count

FloatArray = npt.NDArray[np.float64]
DateArray = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Actions:
    """Corporate actions of one code per share, oldest first, one row a day. Arrays of one length."""

    date: DateArray
    cash: FloatArray
    share_growth: FloatArray
    """bonus + rights: new shares for each old one."""
    rights_paid: FloatArray
    """rights * rights price: what the holder pays in for each old share."""

    @classmethod
    def per_10(
        cls,
        date: DateArray,
        cash_per_10: FloatArray,
        bonus_per_10: FloatArray,
        rights_per_10: FloatArray,
        rights_price: FloatArray,
    ) -> "Actions":
        """Actions as sources state them, per 10 shares; unknown parts (NaN) are none, one day is one row."""
        told = np.array([cash_per_10, bonus_per_10, rights_per_10, rights_price], dtype=np.float64)
        cash, bonus, rights, price = np.nan_to_num(told)
        days, group = np.unique(np.asarray(date, dtype="datetime64[D]"), return_inverse=True)

        def summed(values: FloatArray) -> FloatArray:
            return np.asarray(np.bincount(group, values, minlength=len(days)), dtype=np.float64)

        return cls(
            date=days,
            cash=summed(cash / 10.0),
            share_growth=summed((bonus + rights) / 10.0),
            rights_paid=summed(rights / 10.0 * price),
        )


NO_ACTIONS = Actions(np.empty(0, "datetime64[D]"), np.empty(0), np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Adjustment:
    """What lies between raw and adjusted columns of one code, arrays of its bars' length.

    factor: adjusted price = raw price * factor. share_factor: adjusted volume = raw volume / share_factor.
    reference: the raw previous close, or the ex-rights reference on an ex-day; NaN at the first bar.
    impossible: days of actions that cannot be (no positive reference) and were left out.
    """

    factor: FloatArray
    share_factor: FloatArray
    reference: FloatArray
    impossible: DateArray


def ex_reference(previous: float, cash: float, share_growth: float, rights_paid: float) -> float:
    """The ex-rights reference in CNY, half up to a tick.

    >>> ex_reference(28.95, cash=0.492, share_growth=1.0, rights_paid=0.0)
    14.23
    """
    if share_growth <= -1.0:
        return float("nan")
    return tick_count((previous - cash + rights_paid) / (1.0 + share_growth)) / 100.0


def adjust_backward(date: DateArray, close: FloatArray, actions: Actions) -> Adjustment:
    """The adjustment of one code's bars; date: (N,) rising, close: (N,) raw CNY.

    >>> days = np.array(["2024-06-03", "2024-06-04"], dtype="datetime64[D]")
    >>> ten_for_ten = Actions.per_10(days[1:], np.zeros(1), np.full(1, 10.0), np.zeros(1), np.zeros(1))
    >>> (np.array([20.0, 10.0]) * adjust_backward(days, np.array([20.0, 10.0]), ten_for_ten).factor).tolist()
    [20.0, 20.0]
    """
    count = len(date)
    reference = np.concatenate([[np.nan], close[:-1]]) if count else np.empty(0)
    step, share_step = np.ones(count), np.ones(count)
    impossible = []
    cash, share_growth = actions.cash.tolist(), actions.share_growth.tolist()  # floats: quicker one by one
    rights_paid = actions.rights_paid.tolist()
    # The session at which an event shows: its own, or the first after a suspension.
    position = np.searchsorted(date, actions.date)
    for k in np.flatnonzero((position > 0) & (position < count)).tolist():
        row, before = position[k], float(reference[position[k]])
        after = ex_reference(before, cash[k], share_growth[k], rights_paid[k])
        if not after > 0:
            impossible.append(actions.date[k])
            continue
        reference[row] = after
        step[row] *= before / after
        share_step[row] *= 1.0 + share_growth[k]
    return Adjustment(
        factor=np.multiply.accumulate(step),
        share_factor=np.multiply.accumulate(share_step),
        reference=reference,
        impossible=np.array(impossible, dtype="datetime64[D]"),
    )
