"""A stock of the user's own beside the universe: its bars as one more code of the panel.

A forecast needs the market around a stock (a session's ranking, the index, the regime), so bars that a
user brings are read on the panel's sessions; what lies outside them cannot be forecast and is left out.

Raw prices are adjusted as the panel's are. Whether a file holds raw ones is seen where the panel holds its
code: the closes are then those stored as raw, or run in proportion to the adjusted ones.
"""

from typing import Literal

import numpy as np

from ..base.errors import TooFewSessions
from ..data.adjust import NO_ACTIONS, Actions, adjust_backward
from ..data.panel import CONDITIONS, FLAG_COLUMNS, Panel
from ..data.source import PRICE_COLUMNS, Bars
from ..market.rules import HALF_TICK

# "raw" and "adjusted" are what the closes match; "other": neither; "unknown": nothing to hold them against.
PriceKind = Literal["raw", "adjusted", "other", "unknown"]

MATCHED_SHARE = 0.95  # of the shared sessions: a source may have corrected a few closes
MIN_SHARED = 20  # sessions
# Adjusted closes are rounded to a tick, and by some sources through a factor of few digits.
FACTOR_TOLERANCE = 1e-3
LIMITS = ("limit_up", "limit_down", "is_locked")  # of raw prices


def match_prices(panel: Panel, bars: Bars, until: np.datetime64 | None = None) -> PriceKind:
    """What the closes of these bars are, held against the panel's of the same code up to `until`.

    Where both match, no action lies between the shared sessions, and adjusting changes nothing: "raw".
    """
    if bars.code not in panel:
        return "unknown"
    rows = panel.rows_of(bars.code)
    days = panel.sessions[panel.session_index[rows]]
    if until is not None:
        days = days[days <= until]
    _, mine, its = np.intersect1d(bars.date, days, return_indices=True)
    if len(mine) < MIN_SHARED:
        return "unknown"
    close = bars.close[mine]
    raw = panel.column("raw_close")[rows][its].astype(np.float64)
    adjusted = panel.column("close")[rows][its].astype(np.float64)
    adjusted *= np.median(close / adjusted)
    raw_share = np.mean(np.abs(close - raw) <= HALF_TICK)
    adjusted_share = np.mean(np.abs(close - adjusted) <= HALF_TICK + FACTOR_TOLERANCE * close)
    if max(raw_share, adjusted_share) < MATCHED_SHARE:
        return "other"
    return "raw" if raw_share >= adjusted_share else "adjusted"


def with_stock(panel: Panel, bars: Bars, kind: PriceKind = "unknown", actions: Actions = NO_ACTIONS) -> Panel:
    """The panel with these bars as the stock `bars.code`, in place of the one it held under that code.

    Prices that are "raw" are adjusted with `actions`, all others count as adjusted. Facts that the panel
    has of this code (industry, style, shares) stay, those of a new one are unknown; the regime is that of
    the session. The panel's limits stay where the prices match its own, else are unknown.
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
    # On all bars of the file: an action may fall on a day that the panel does not have.
    adjustment = adjust_backward(bars.date, bars.close, actions if kind == "raw" else NO_ACTIONS)
    whole = {name: getattr(bars, name) * adjustment.factor for name in PRICE_COLUMNS}
    whole |= {
        "volume": bars.volume / adjustment.share_factor,
        "amount": bars.amount,
        "raw_close": bars.close,
        "reference_close": adjustment.reference,
        "factor": adjustment.factor,
    }
    values = {name: column[known] for name, column in whole.items()}

    code = bars.code
    old = panel.rows_of(code) if code in panel else slice(0, 0)
    place = np.searchsorted(panel.session_index[old], session)
    held = place < old.stop - old.start
    held[held] = panel.session_index[old][place[held]] == session[held]
    if kind == "adjusted":
        for name in ("raw_close", "reference_close"):
            values[name][held] = panel.column(name)[old][place[held]]
        values["factor"] = values["close"] / values["raw_close"]

    def column(name: str) -> np.ndarray:
        """The new stock's values of one column."""
        if name in values:
            return values[name]
        known_values = panel.column(name)
        if name == "regime":
            return _of_session(panel, known_values)[session]
        made = np.zeros(len(session), known_values.dtype)
        if name not in (*CONDITIONS, *FLAG_COLUMNS):
            made = np.full(len(session), np.nan)
        if name in LIMITS and kind not in ("raw", "adjusted"):
            return made
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
        made_with=panel.made_with,
    )


def _of_session(panel: Panel, values: np.ndarray) -> np.ndarray:
    """The value of each session (S,) of a column that is the same for all its stocks."""
    of_session = np.zeros(len(panel.sessions), values.dtype)
    of_session[panel.session_index] = values
    return of_session
