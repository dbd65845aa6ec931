"""On which days the mainland exchanges trade.

Sources: the user's override file, which has the last word; sessions learned from index bars; the calendar of
exchange-calendars up to the last year that was announced; after that the bare rule that weekends are closed,
which is marked as an estimate wherever it is used. Shanghai and Shenzhen keep one calendar.
"""

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

DateArray = npt.NDArray[np.datetime64]
FIRST_SESSION = np.datetime64("1990-12-19", "D")
SESSIONS_A_YEAR = 244

CLOSED, SESSION, UNKNOWN = 0, 1, -1


@functools.cache
def announced_sessions() -> DateArray:
    """(S,) every session that exchange-calendars knows of Shanghai, to the end of the last announced year.

    Imported here because it brings pandas along, which takes most of a second.
    """
    from exchange_calendars.exchange_calendar_xshg import XSHGExchangeCalendar

    with warnings.catch_warnings():
        # The library's own affair: what it uses of pandas is going to change.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        calendar = XSHGExchangeCalendar(start=str(FIRST_SESSION), end=XSHGExchangeCalendar.bound_max())
    return calendar.sessions.values.astype("datetime64[D]")


class Calendar:
    """What is known of each day. A day counts as a session when any source has seen one.

    overrides: single days decided by hand, True a session. learned: sessions seen in index bars, in any
    order; beyond the announced years they are taken as complete from the first to the last of them.
    """

    def __init__(self, overrides: Mapping[Any, bool] | None = None, learned: Any = ()) -> None:
        self.overrides = {
            np.datetime64(day, "D"): bool(is_open) for day, is_open in (overrides or {}).items()
        }
        self.learned: DateArray = np.unique(np.asarray(learned, dtype="datetime64[D]"))

    def state(self, dates: Any) -> npt.NDArray[np.int8]:
        """SESSION, CLOSED or UNKNOWN (a weekday beyond the announced years) for each date.

        >>> Calendar().state(["2018-06-29", "2018-06-30", "2018-10-01"]).tolist()
        [1, 0, 0]
        """
        days = np.asarray(dates, dtype="datetime64[D]")
        # No mainland exchange has ever traded on a weekend.
        state = np.where(np.is_busday(days) & (days >= FIRST_SESSION), UNKNOWN, CLOSED).astype(np.int8)
        state[(state == UNKNOWN) & are_among(days, self.learned)] = SESSION
        open_question = state == UNKNOWN
        if open_question.any():
            announced = announced_sessions()
            told = open_question & (days <= year_end(announced[-1]))
            state[told] = np.where(np.isin(days[told], announced), SESSION, CLOSED)
        if len(self.learned):
            state[(state == UNKNOWN) & (days >= self.learned[0]) & (days <= self.learned[-1])] = CLOSED
        for day, is_open in self.overrides.items():
            state[days == day] = SESSION if is_open else CLOSED
        return state

    def sessions_after(self, last: Any, count: int) -> tuple[DateArray, int]:
        """(dates, announced): the next `count` sessions, of which the first `announced` are announced.

        The rest are weekdays, an estimate that knows no holidays.

        >>> days, announced = Calendar().sessions_after("2018-09-28", 2)
        >>> days.astype(str).tolist(), announced
        (['2018-10-08', '2018-10-09'], 2)
        """
        start = np.datetime64(last, "D") + 1
        # Long enough for the spring holidays; asked again where it is not.
        for span in (2 * count + 20, 4 * count + 200):
            days = np.arange(start, start + span)
            state = self.state(days)
            found = days[state != CLOSED]
            if len(found) >= count:
                break
        chosen = found[:count]
        unannounced = np.flatnonzero(self.state(chosen) == UNKNOWN)
        return chosen, int(unannounced[0]) if len(unannounced) else len(chosen)


def are_among(days: DateArray, rising: DateArray) -> npt.NDArray[np.bool_]:
    """Which days stand in an array that rises; for thousands of days several times as fast as np.isin."""
    at = np.searchsorted(rising, days)
    found = at < len(rising)
    found[found] = rising[at[found]] == days[found]
    return found


def year_end(day: np.datetime64) -> np.datetime64:
    """The last day of a day's year."""
    return (day.astype("datetime64[Y]") + 1).astype("datetime64[D]") - 1
