"""What the quote servers know, as the store wants it: the universe, and one stock with all about it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from operator import methodcaller

import numpy as np
import numpy.typing as npt

from ..market.codes import is_index, is_stock
from . import tdx_protocol as wire
from .quality import Judge, Judged
from .reference_store import Facts, facts_of_rows
from .source import Bars
from .tdx_client import ServerFault
from .tdx_history import OVERLAP_BARS, disagreement, fetch_history, to_bars
from .tdx_servers import QuoteSession

INDEX_CODES = ("SH000001", "SH000300", "SH000905", "SZ399001", "SZ399006")
LISTED_MARKETS = (0, 1)  # Beijing's list times out; its codes stand in zhb.zip
BLOCK_FILES = {"concept": "block_gn.dat", "style": "block_fg.dat", "index": "block_zs.dat"}
UNIVERSE_PARTS = 8  # lists and files that the universe is read from
RESTARTS = 6  # how often one code is begun again when its answers contradict each other
EMPTY_TAILS = 2  # so many empty answers say that a file has ended
SPARE_BARS = 5


@dataclass
class Universe:
    """The stocks that the servers name, and what their files say of them today."""

    names: dict[str, str] = field(default_factory=dict)
    """Name by code of what is listed now."""
    industries: dict[str, tuple[str, str]] = field(default_factory=dict)
    """(industry code, name of its broadest group) by code; also of stocks no longer listed."""
    blocks: list[tuple[str, str, str]] = field(default_factory=list)
    """(code, kind, block)."""
    missing: list[str] = field(default_factory=list)
    """Lists and files that could not be had."""

    @property
    def codes(self) -> list[str]:
        """Every stock that is listed or that the industry file still names, sorted."""
        return sorted(self.names.keys() | self.industries.keys())


def fetch_universe(
    session: QuoteSession, told: Callable[[str], None] = lambda part: None, with_blocks: bool = True
) -> Universe:
    """The universe from the servers' lists and files; what cannot be had is named in `missing`."""
    found = Universe()
    for market in LISTED_MARKETS:
        exchange = wire.EXCHANGE_OF_MARKET[market]
        told(f"list {exchange}")
        try:
            for line in fetch_names(session, market):
                if is_stock(exchange + line.digits):
                    found.names[exchange + line.digits] = line.name
        except (ServerFault, wire.BadAnswer):
            found.missing.append(f"list {exchange}")
    archive = _file(session, "zhb.zip", found, told)
    files: dict[str, bytes] = {}
    if archive:
        try:
            files = wire.decode_archive(archive)
        except wire.BadAnswer:
            found.missing.append("zhb.zip")
    beijing = wire.decode_beijing(files.get("tdxbjmore.cfg", b""))
    found.names |= {code: name for code, name in beijing.items() if is_stock(code)}
    names = wire.decode_industry_names(files.get("incon.dat") or _file(session, "incon.dat", found, told))
    for code, industry in wire.decode_industries(_file(session, "tdxhy.cfg", found, told)).items():
        if is_stock(code):
            found.industries[code] = (industry, wire.level_one_name(industry, names))
    if with_blocks:
        by_digits = {code[2:]: code for code in found.codes}
        for kind, name in BLOCK_FILES.items():
            data = _file(session, name, found, told)
            try:
                blocks = wire.decode_blocks(data) if data else []
            except wire.BadAnswer:
                found.missing.append(name)
                continue
            found.blocks += [
                (by_digits[digits], kind, block)
                for block, members in blocks
                for digits in members
                if digits in by_digits
            ]
    return found


def _file(session: QuoteSession, name: str, found: Universe, told: Callable[[str], None]) -> bytes:
    told(name)
    try:
        data = fetch_file(session, name)
    except (ServerFault, wire.BadAnswer):
        data = b""
    if not data:
        found.missing.append(name)
    return data


def fetch_names(session: QuoteSession, market: int) -> list[wire.Listed]:
    """One market's whole list; BadAnswer when it never has as many lines as the market says."""
    for _ in range(RESTARTS):
        count = session.ask(methodcaller("name_count", market))
        lines: list[wire.Listed] = []
        while len(lines) < count:
            page = session.ask(methodcaller("names", market, len(lines)))
            if not page:
                break
            lines += page
        if len(lines) == count and len({line.digits for line in lines}) == count and count:
            return lines
        session.distrust("a list without as many names as it says")
    raise wire.BadAnswer(f"the list of market {market} is never whole")


def fetch_file(session: QuoteSession, name: str) -> bytes:
    """A file of the servers, whole; empty where they do not have it.

    The pieces come from one server, since two need not have the same edition.
    """
    for _ in range(RESTARTS):
        data, empty = bytearray(), 0
        address = None
        while empty < EMPTY_TAILS and len(data) <= wire.MAX_FILE_BYTES:
            piece = session.ask(methodcaller("file_piece", name, len(data)))
            if data and session.address != address:
                break
            address = session.address
            data += piece
            empty = empty + 1 if not piece else 0
        else:
            return bytes(data)
    raise wire.BadAnswer(f"{name} never came whole from one server")


@dataclass(frozen=True)
class Plan:
    """What to fetch of one code.

    held: its bars in the store. is_complete: they reach back to `start`. told: the last session that the
    metadata speak of; what a killed run wrote beyond it was not reported.
    """

    code: str
    start: date
    newest: np.datetime64 | None
    held: Bars | None = None
    is_complete: bool = False
    told: np.datetime64 | None = None


@dataclass(frozen=True)
class Fetched:
    """Everything about one code. `bars`: all of it, ready to be written; None when the held ones stand.

    judged: what was served, judged beside the held bars. revised: sessions that were held and that the source
    tells differently now, with both versions.
    """

    code: str
    bars: Bars | None
    judged: Judged
    new_count: int
    server: str | None
    tries: int
    finance: wire.Finance | None = None
    actions: wire.Actions | None = None
    revised: tuple[Bars, Bars] | None = None


class NoHistory(wire.BadAnswer):
    """Servers that do serve bars have none of this code; or none that can be used, which `judged` tells."""

    kind = "no_bars"

    def __init__(self, reason: str, judged: Judged | None = None) -> None:
        super().__init__(reason)
        self.judged = judged


def fetch_code(session: QuoteSession, plan: Plan, judge: Judge) -> Fetched:
    """Bars and facts of one code, judged, and checked against each other; ServerFault or BadAnswer if not."""
    session.tries = 0
    finance = actions = None
    if not is_index(plan.code):
        finance = session.ask(methodcaller("finance", plan.code))
        actions = session.ask(methodcaller("actions", plan.code))
    listed = finance.list_date if finance else None
    judge = judge.knowing(_facts_of(plan.code, finance, actions))
    bars: Bars | None = None
    revised = None
    held = plan.held if plan.held is not None else Bars.empty(plan.code)
    if not len(held):
        judged = _served(session, plan, listed, judge, held)
        bars = judged.bars
    elif plan.is_complete:
        judged = _served(session, plan, listed, judge, held, is_update=True)
        if len(_odd_sessions(held, judged)):
            judged, bars, revised = _revised(session, plan, listed, judge, held)
        elif judged.bars.date[-1] > held.date[-1]:
            bars = held.followed_by(judged.bars.take(judged.bars.date > held.date[-1]))
    else:
        judged, bars, revised = _revised(session, plan, listed, judge, held)
    new_count = max(len(bars) - len(held), 0) if bars is not None else 0
    address = session.address
    session.between_stocks()
    return Fetched(plan.code, bars, judged, new_count, address, session.tries, finance, actions, revised)


def _facts_of(code: str, finance: wire.Finance | None, actions: wire.Actions | None) -> dict[str, Facts]:
    """The tables that judge a code's bars, where the servers told them, as the store will have them."""
    facts = {}
    if actions and actions.corporate_actions:
        facts["corporate_actions"] = facts_of_rows("corporate_actions", actions.corporate_actions)
    if finance and finance.list_date:
        facts["stock_list"] = facts_of_rows("stock_list", [{"code": code, "list_date": finance.list_date}])
    return facts


def _served(
    session: QuoteSession, plan: Plan, listed: date | None, judge: Judge, held: Bars, is_update: bool = False
) -> Judged:
    """What the servers hold of a code up to the newest settled session, judged beside the held bars.

    is_update: only what overlaps the end of the held bars, and what is later, is fetched.
    """
    code, until, count = plan.code, np.datetime64(plan.start), wire.PAGE_BARS
    if is_update:
        told = held.up_to(plan.told) if plan.told is not None else held
        until = told.date[-min(OVERLAP_BARS, len(told))] if len(told) else until
        if plan.newest is not None:
            span = int(np.busday_count(until, plan.newest)) + SPARE_BARS
            count = min(max(span, OVERLAP_BARS), wire.PAGE_BARS)
    problem = wire.BadAnswer("nothing")
    for _ in range(RESTARTS):
        try:
            history = fetch_history(
                lambda start, size: session.ask(methodcaller("bars", code, start, size, is_index(code))),
                until,
                listed,
                plan.newest,
                count,
            )
            if not len(history):
                raise NoHistory("no bars of this code")
            bars = to_bars(code, history)
            if plan.newest is not None:
                bars = bars.up_to(plan.newest)
            bars = bars.take(bars.date >= np.datetime64(plan.start))
            if is_update and len(bars) and bars.date[0] > held.date[-1]:
                raise wire.BadAnswer("a history that does not reach back to what is held")
            judged = (judge.learning(bars) if bars.is_index else judge).judge(bars, held)
            if not len(judged.bars):
                told_why = f"; {judged.first_reason}" if len(bars) else ""
                raise NoHistory(f"no usable bar of this code in the range asked for{told_why}", judged)
            return judged
        except NoHistory:
            raise
        except wire.BadAnswer as error:
            problem = error
            session.distrust(error.reason)
    raise problem


def _odd_sessions(held: Bars, judged: Judged) -> npt.NDArray[np.datetime64]:
    """Sessions that the servers tell otherwise than the store does."""
    odd = disagreement(held, judged.bars)
    return odd[~np.isin(odd, _unanswered(held, judged))]


def _unanswered(held: Bars, judged: Judged) -> npt.NDArray[np.datetime64]:
    """Held sessions of which the servers have only another row, one that cannot be right: it revises nothing.

    Where it is the row that is held, that one was never judged, and goes.
    """
    wrong = judged.set_aside.take(~np.isin(judged.set_aside.date, judged.bars.date))
    both, at, there = np.intersect1d(held.date, wrong.date, return_indices=True)
    mine, theirs = held.take(at), wrong.take(there)
    same = np.ones(len(both), dtype=bool)
    for name in ("open", "high", "low", "close", "volume"):
        same &= np.isclose(getattr(mine, name), getattr(theirs, name), equal_nan=True)
    return both[~same]


def _revised(
    session: QuoteSession, plan: Plan, listed: date | None, judge: Judge, held: Bars
) -> tuple[Judged, Bars | None, tuple[Bars, Bars] | None]:
    """The whole history as judged and joined to what is held, and both versions of what it tells otherwise.

    Asked for twice, the second time elsewhere where there is an elsewhere: one server's slip is no revision.
    Bars that only the store has, such as those from before a listing or of an import, stay.
    """
    for _ in range(RESTARTS):
        judged = _served(session, plan, listed, judge, held)
        bars = judged.bars
        odd = _odd_sessions(held, judged)
        if len(odd):
            session.close(avoid=True)
            is_outside = (held.date < bars.date[0]) | (held.date > bars.date[-1])
            outside = held.take(is_outside | np.isin(held.date, _unanswered(held, judged)))
            again = _served(session, plan, listed, judge, outside)
            if again.bars != bars:
                session.distrust("two histories that differ")
                continue
            old, new = held.take(np.isin(held.date, odd)), bars.take(np.isin(bars.date, odd))
            return again, again.all_bars, (old, new)
        joined = held.followed_by(bars.take(~np.isin(bars.date, held.date)))
        return judged, (None if joined == held else joined), None
    raise wire.BadAnswer("servers that disagree about this code")
