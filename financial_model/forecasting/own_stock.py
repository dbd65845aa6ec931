"""A stock of the user's own beside the universe: its bars as one more code of the panel.

A forecast needs the market around a stock (a session's ranking, the index, the regime), so bars that a
user brings are read on the panel's sessions; what lies outside them cannot be forecast and is left out.
"""

import numpy as np

from ..base.errors import TooFewSessions
from ..data.panel import CONDITIONS, Panel
from ..data.source import Bars

PRICES = ("open", "high", "low", "close")


def with_stock(panel: Panel, bars: Bars) -> Panel:
    """The panel with these bars as the stock `bars.code`, in place of the one it held under that code.

    Prices count as adjusted already. Facts that the panel has of this code (industry, style, shares) stay,
    those of a new one are unknown; the regime is that of the session.
    """
    position = np.searchsorted(panel.sessions, bars.date)
    known = position < len(panel.sessions)
    known[known] = panel.sessions[position[known]] == bars.date[known]
    if not known.any():
        raise TooFewSessions(
            f"{bars.code} ({len(bars)} bars)" if len(bars) else bars.code,
            0,
            1,
            f"None of its dates is a session of the panel ({panel.sessions[0]} to {panel.sessions[-1]}).",
        )
    session = position[known].astype(np.int32)
    values = {name: getattr(bars, name)[known] for name in (*PRICES, "volume", "amount")}
    values["raw_close"] = values["close"]
    values["reference_close"] = np.concatenate([[np.nan], values["close"][:-1]])
    values["factor"] = np.ones(len(session))

    code = bars.code
    old = panel.rows_of(code) if code in panel else slice(0, 0)
    place = np.searchsorted(panel.session_index[old], session)
    held = place < old.stop - old.start
    held[held] = panel.session_index[old][place[held]] == session[held]

    def column(name: str) -> np.ndarray:
        """The new stock's values of one column."""
        if name in values:
            return values[name]
        known_values = panel.column(name)
        if name == "regime":
            return _of_session(panel, known_values)[session]
        made = np.zeros(len(session), known_values.dtype)
        if name not in CONDITIONS and name != "is_st":
            made = np.full(len(session), np.nan)
        made[held] = known_values[old][place[held]]
        return made

    codes = sorted({*panel.codes, code})
    at = codes.index(code)
    counts = {
        known_code: int(count) for known_code, count in zip(panel.codes, np.diff(panel.offsets), strict=True)
    }
    counts[code] = len(session)
    offsets = np.concatenate([[0], np.cumsum([counts[one] for one in codes])])
    before, after = int(offsets[at]), old.stop if code in panel else int(offsets[at])

    def load(name: str) -> np.ndarray:
        if name == "code_index":
            return np.repeat(np.arange(len(codes), dtype=np.int32), np.diff(offsets))
        if name == "session_index":
            return np.concatenate([panel.session_index[:before], session, panel.session_index[after:]])
        whole = panel.column(name)
        return np.concatenate([whole[:before], column(name), whole[after:]])

    return Panel(
        codes=codes,
        offsets=offsets,
        sessions=panel.sessions,
        load=load,
        column_names=panel.column_names,
        vocabularies={name: panel.names(name) for name in panel.conditions},
        indices={index: panel.index_bars(index) for index in panel.index_codes()},
        fingerprint=f"{panel.fingerprint}+{code}",
        is_simulated=panel.is_simulated,
    )


def _of_session(panel: Panel, values: np.ndarray) -> np.ndarray:
    """The value of each session (S,) of a column that is the same for all its stocks."""
    of_session = np.zeros(len(panel.sessions), values.dtype)
    of_session[panel.session_index] = values
    return of_session
