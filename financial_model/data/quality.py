"""Is a bar possible, and is it likely?

Each bar is judged by the rules of `FINDINGS`. A row that cannot be right is set aside: taken out of the bars
and kept in `set_aside/CODE.csv`, never deleted. A row that is odd but may be right stays and is listed.
Nothing is filled in. One thing is put right, and listed with its old value: a single volume that was counted
in lots of 100 among shares, which day files do where a volume outgrows their 32 bits; that amount / volume
then lies within low..high is the proof asked for.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.errors import DamagedFile
from ..base.workspace import Workspace, read_json, write_atomically, write_json
from ..market.calendar import CLOSED, UNKNOWN, Calendar, are_among
from ..market.codes import board_of
from ..market.rules import HALF_TICK, free_sessions, limit_thousandths, price_limits
from .adjust import Adjustment, adjust_backward
from .csv_source import LOT
from .reference_store import Facts, ReferenceStore, actions_of, holds_at
from .source import PRICE_COLUMNS, Bars

Mask = npt.NDArray[np.bool_]

SET_ASIDE, KEPT, CORRECTED = "set_aside", "kept", "corrected"

# finding -> what becomes of the row
FINDINGS = {
    "no_price": SET_ASIDE,  # a price is missing, not a number, zero or negative
    "high_below": SET_ASIDE,  # high < max(open, close)
    "low_above": SET_ASIDE,  # low > min(open, close)
    "no_volume": SET_ASIDE,  # the volume is missing or negative
    "not_traded": SET_ASIDE,  # volume 0: a suspended day written as a bar
    "duplicate": SET_ASIDE,  # a date that was there before
    "closed_day": SET_ASIDE,  # the exchanges were closed
    "unannounced_day": KEPT,  # no calendar knows the year yet
    "out_of_order": KEPT,  # sorted in; no row is lost
    "volume_in_lots": CORRECTED,  # among shares, one row in lots
    "amount_outside": KEPT,  # amount / volume lies outside low..high
    "beyond_limit": KEPT,  # further from the ex-rights reference than the board allows
    "impossible_action": KEPT,  # a corporate action that leaves no positive price; left out
}
# Amounts come as float32 or in whole thousands, and a mean of rounded prices may lie half a tick outside.
MEAN_PRICE_TOLERANCE = 0.002
# A first bar this long after the market's first is taken for a listing where no list date is known.
LISTING_GAP = np.timedelta64(30, "D")
EXAMPLES_PER_FINDING = 20
# What is found again each time of all the bars of a code; anything else is said of a row as it came.
OF_ALL_BARS = ("amount_outside", "beyond_limit", "impossible_action")


@dataclass(frozen=True)
class Finding:
    """One row of the report. date is ISO text, detail what was seen, for people."""

    code: str
    date: str
    finding: str
    detail: str

    @property
    def outcome(self) -> str:
        return FINDINGS[self.finding]


@dataclass(frozen=True)
class Judged:
    """The bars that may be used, the rows set aside (as they came), and why.

    all_bars: those held before, and these in place of theirs. came: the sessions of all rows that came.
    """

    bars: Bars
    set_aside: Bars
    findings: list[Finding]
    all_bars: Bars
    came: npt.NDArray[np.datetime64]

    @property
    def first_reason(self) -> str:
        """Why no row can be used, by its first finding."""
        first = self.findings[0] if self.findings else None
        return f"{first.date}: {first.finding} ({first.detail})" if first else "it has no rows"


def usable_rows(bars: Bars) -> Mask:
    """Rows (N,) that a panel can hold: positive prices, a volume, dates rising and none twice."""
    usable: Mask = np.isfinite(bars.volume) & (bars.volume >= 0)
    for name in PRICE_COLUMNS:
        price = getattr(bars, name)
        usable &= np.isfinite(price) & (price > 0)
    if len(bars) > 1:
        usable[1:] &= bars.date[1:] > np.maximum.accumulate(bars.date)[:-1]
    return usable


class Judge:
    """Judges bars of one market: knows its sessions, corporate actions, ST spells and listings."""

    def __init__(
        self,
        calendar: Calendar,
        facts: Mapping[str, Facts],
        first_session: np.datetime64 | None = None,
    ) -> None:
        self.calendar = calendar
        self.facts = facts
        self.first_session = first_session

    @classmethod
    def of_workspace(cls, workspace: Workspace, indices: Iterable[Bars] = ()) -> "Judge":
        """A judge with the facts of a workspace and the sessions of the given indices."""
        store = ReferenceStore(workspace)
        facts = {name: store.read(name) for name in ("corporate_actions", "st_periods", "stock_list")}
        return cls(Calendar(store.calendar_overrides()), facts).learning(*indices)

    def learning(self, *indices: Bars) -> "Judge":
        """The same judge, who has seen the sessions of these indices as well."""
        seen = [bars.take(usable_rows(bars)).date for bars in indices]
        sessions = np.concatenate([self.calendar.learned, *seen])
        first = sessions.min() if len(sessions) else self.first_session
        return Judge(Calendar(self.calendar.overrides, sessions), self.facts, first)

    def knowing(self, facts: Mapping[str, Facts]) -> "Judge":
        """The same judge with these tables in place of his own, for a code whose facts came with its bars."""
        return Judge(self.calendar, {**self.facts, **facts}, self.first_session)

    def judge(self, bars: Bars, held: Bars | None = None) -> Judged:
        """What of these raw bars may be used; prices and amounts are never changed.

        held: the bars of this code that were judged before. A history that comes in pieces is judged as one:
        a move by the close before it, a volume beside all others.
        """
        found: list[Finding] = []
        code, came = bars.code, bars.date
        if len(bars) > 1 and (bars.date[1:] < bars.date[:-1]).any():
            late = np.flatnonzero(bars.date[1:] < bars.date[:-1]) + 1
            found += [Finding(code, str(bars.date[k]), "out_of_order", f"row {k + 1}") for k in late]
            bars = bars.take(np.argsort(bars.date, kind="stable"))
        faults = row_faults(bars, self.calendar)
        aside = np.zeros(len(bars), dtype=bool)
        for name, rows in faults.items():
            for k in np.flatnonzero(rows & ~aside):
                found.append(Finding(code, str(bars.date[k]), name, _told(bars, int(k))))
            if FINDINGS[name] == SET_ASIDE:
                aside |= rows
        usable = bars.take(~aside)
        everything, is_new = usable, np.ones(len(usable), dtype=bool)
        if held is not None and len(held):
            everything = held.followed_by(usable)
            is_new = are_among(everything.date, usable.date)
        if not bars.is_index:
            everything = self._judge_volumes(everything, is_new, found)
            self._judge_moves(everything, found)
            usable = everything.take(is_new)
        return Judged(usable, bars.take(aside), sorted(found, key=_by_date), everything, came)

    def _judge_volumes(self, bars: Bars, is_new: Mask, found: list[Finding]) -> Bars:
        outside = mean_price_outside(bars, bars.volume)
        lots = outside & ~mean_price_outside(bars, bars.volume * LOT)
        # Most rows in lots would be a file in lots, which the source has to say.
        if len(bars) and lots.mean() > 0.5:
            lots[:] = False
        lots &= is_new  # what was judged before was put right then
        for k in np.flatnonzero(outside):
            name = "volume_in_lots" if lots[k] else "amount_outside"
            mean = bars.amount[k] / bars.volume[k]
            detail = f"amount / volume = {mean:.2f}, low {bars.low[k]:g}, high {bars.high[k]:g}"
            if lots[k]:
                detail += f"; volume {bars.volume[k]:.0f} taken as {bars.volume[k] * LOT:.0f} shares"
            found.append(Finding(bars.code, str(bars.date[k]), name, detail))
        if not lots.any():
            return bars
        return replace(bars, volume=np.where(lots, bars.volume * LOT, bars.volume))

    def _judge_moves(self, bars: Bars, found: list[Finding]) -> None:
        adjustment, down, up, _ = limits_of(bars, self.facts, self.first_session)
        with np.errstate(invalid="ignore"):
            beyond = (bars.high > up + HALF_TICK) | (bars.low < down - HALF_TICK)
        for k in np.flatnonzero(beyond):
            pause = (bars.date[k] - bars.date[k - 1]).astype(int)
            detail = (
                f"low {bars.low[k]:g}, high {bars.high[k]:g}, close {bars.close[k]:g}; "
                f"allowed {down[k]:g} to {up[k]:g} on the reference {adjustment.reference[k]:g}; "
                f"last bar {pause} days before"
            )
            found.append(Finding(bars.code, str(bars.date[k]), "beyond_limit", detail))
        for day in adjustment.impossible:
            found.append(Finding(bars.code, str(day), "impossible_action", "no positive ex-rights reference"))


def row_faults(bars: Bars, calendar: Calendar) -> dict[str, Mask]:
    """Masks (N,) of the faults that a row shows by itself or beside its neighbours; bars in order of date."""
    prices = np.stack([getattr(bars, name) for name in PRICE_COLUMNS])
    with np.errstate(invalid="ignore"):
        no_price = ~(np.isfinite(prices) & (prices > 0)).all(axis=0)
        high_below = bars.high < np.maximum(bars.open, bars.close)
        low_above = bars.low > np.minimum(bars.open, bars.close)
        no_volume = ~(np.isfinite(bars.volume) & (bars.volume >= 0))
    state = calendar.state(bars.date)
    faults = {
        "no_price": no_price,
        "no_volume": no_volume,
        "high_below": high_below & ~no_price,
        "low_above": low_above & ~no_price,
        "closed_day": state == CLOSED,
        "unannounced_day": state == UNKNOWN,
        "not_traded": (bars.volume == 0) & (not bars.is_index),
    }
    # The first sound row of a date is the one that stays.
    sound = ~np.logical_or.reduce([rows for name, rows in faults.items() if FINDINGS[name] == SET_ASIDE])
    duplicate = np.zeros(len(bars), dtype=bool)
    kept = np.flatnonzero(sound)
    duplicate[kept[1:]] = bars.date[kept[1:]] == bars.date[kept[:-1]]
    return faults | {"duplicate": duplicate}


def mean_price_outside(bars: Bars, volume: npt.NDArray[np.float64]) -> Mask:
    """Rows (N,) whose amount / volume lies outside low..high; rows without an amount are not judged."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = bars.amount / volume
        low, high = bars.low * (1 - MEAN_PRICE_TOLERANCE), bars.high * (1 + MEAN_PRICE_TOLERANCE)
        told = np.isfinite(bars.amount) & (volume > 0)
        return told & ((mean < low - HALF_TICK) | (mean > high + HALF_TICK))


def limits_of(
    bars: Bars, facts: Mapping[str, Facts], first_session: np.datetime64 | None
) -> tuple[Adjustment, npt.NDArray[np.float64], npt.NDArray[np.float64], Mask]:
    """(adjustment, limit_down, limit_up, is_st) of one stock's bars; limits NaN where free or unknown.

    Where no list date is told, a first bar well after the market's first session is taken for the listing:
    the first rows' limits then come out as unknown, which claims least.
    """
    code = bars.code
    board = board_of(code) or "main"
    adjustment = adjust_backward(bars.date, bars.close, actions_of(facts["corporate_actions"], code))
    is_st = holds_at(facts["st_periods"].of(code), bars.date)
    thousandths = limit_thousandths(board, bars.date, is_st)
    if len(bars):
        listed, first = facts["stock_list"].of(code)["list_date"], bars.date[0]
        day: Any = listed[0] if len(listed) else np.datetime64("NaT", "D")
        if np.isnat(day) and first_session is not None and first - first_session >= LISTING_GAP:
            day = first
        if first <= day:
            thousandths[: free_sessions(board, day.item())] = -1
    down, up = price_limits(adjustment.reference, thousandths)
    return adjustment, down, up, is_st


def _by_date(one: Finding) -> tuple[str, str]:
    return one.date, one.finding


def _told(bars: Bars, k: int) -> str:
    return ", ".join(f"{name} {getattr(bars, name)[k]:g}" for name in (*PRICE_COLUMNS, "volume"))


# The report


@dataclass
class QualityReport:
    """Findings by code: what lies in `quality.csv`, and its counts in `quality.json`."""

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    bars: dict[str, int] = field(default_factory=dict)

    def add(self, judged: Judged) -> None:
        """Put one code's findings in place of its former ones; those of rows that did not come again stay."""
        code = judged.bars.code
        findings = judged.findings
        if former := [one for one in self.findings.pop(code, []) if one.finding not in OF_ALL_BARS]:
            came = set(judged.came.astype(str).tolist())
            findings = sorted([one for one in former if one.date not in came] + findings, key=_by_date)
        if findings:
            self.findings[code] = findings
        self.bars[code] = len(judged.all_bars)

    def of(self, codes: Iterable[str]) -> "QualityReport":
        """The part of the report that speaks of these codes."""
        known = [code for code in codes if code in self.bars]
        return QualityReport(
            {code: self.findings[code] for code in known if code in self.findings},
            {code: self.bars[code] for code in known},
        )

    def counts(self) -> dict[str, int]:
        """How often each finding was made, in the order of FINDINGS; only those made at all."""
        counted = Counter(one.finding for found in self.findings.values() for one in found)
        return {name: counted[name] for name in FINDINGS if counted[name]}

    def summary(self) -> dict[str, Any]:
        """JSON-like: counts, what becomes of such rows, codes concerned, and the first examples of each."""
        every = [one for _, found in sorted(self.findings.items()) for one in found]
        classes = {}
        for name, count in self.counts().items():
            mine = [one for one in every if one.finding == name]
            classes[name] = {
                "count": count,
                "outcome": FINDINGS[name],
                "codes": len({one.code for one in mine}),
                "examples": [
                    {"code": one.code, "date": one.date, "detail": one.detail}
                    for one in mine[:EXAMPLES_PER_FINDING]
                ],
            }
        return {"codes": len(self.bars), "bars": sum(self.bars.values()), "findings": classes}

    def write(self, workspace: Workspace) -> None:
        """The full list as CSV, then the counts as JSON."""
        with write_atomically(csv_path(workspace), "w", encoding="utf-8-sig", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["code", "date", "finding", "outcome", "detail"])
            for _, found in sorted(self.findings.items()):
                rows.writerows([one.code, one.date, one.finding, one.outcome, one.detail] for one in found)
        write_json(json_path(workspace), self.summary() | {"bars_by_code": dict(sorted(self.bars.items()))})

    @classmethod
    def read(cls, workspace: Workspace) -> "QualityReport":
        """The report of a workspace; an empty one when there is none that can be read."""
        report = cls()
        try:
            report.bars = dict(read_json(json_path(workspace))["bars_by_code"])
            with open(csv_path(workspace), encoding="utf-8-sig", newline="") as file:
                for row in csv.DictReader(file):
                    one = Finding(row["code"], row["date"], row["finding"], row["detail"])
                    if one.finding in FINDINGS:
                        report.findings.setdefault(one.code, []).append(one)
        except (OSError, KeyError, TypeError, ValueError, DamagedFile):
            # A report says what was found in the last judgement; without one there is nothing to say.
            return cls()
        return report


def json_path(workspace: Workspace) -> Path:
    return workspace.stock_data_dir / "quality.json"


def csv_path(workspace: Workspace) -> Path:
    return workspace.stock_data_dir / "quality.csv"
