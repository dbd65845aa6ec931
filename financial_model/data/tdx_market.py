"""What the quote servers know, as the store wants it: the universe, and one stock with all about it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from operator import methodcaller

import numpy as np

from ..market.codes import is_index, is_stock
from . import tdx_protocol as wire
from .quality import usable_rows
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
    """What to fetch of one code. `held`: its bars in the store; `is_complete`: they reach back to `start`."""

    code: str
    start: date
    newest: np.datetime64 | None
    held: Bars | None = None
    is_complete: bool = False


@dataclass(frozen=True)
class Fetched:
    """Everything about one code. `bars`: all of it, ready to be written; None when the held ones stand.

    revised: sessions that were held and that the source tells differently now, with both versions.
    """

    code: str
    bars: Bars | None
    new_count: int
    server: str | None
    tries: int
    dropped: int = 0
    finance: wire.Finance | None = None
    actions: wire.Actions | None = None
    revised: tuple[Bars, Bars] | None = None


class NoHistory(wire.BadAnswer):
    """Servers that do serve bars have none of this code."""

    kind = "no_bars"


def fetch_code(session: QuoteSession, plan: Plan) -> Fetched:
    """Bars and facts of one code, checked against each other; ServerFault or BadAnswer when it cannot be."""
    session.tries = 0
    finance = actions = None
    if not is_index(plan.code):
        finance = session.ask(methodcaller("finance", plan.code))
        actions = session.ask(methodcaller("actions", plan.code))
    listed = finance.list_date if finance else None
    bars, new_count, dropped, revised = None, 0, 0, None
    if plan.held is not None and len(plan.held) and plan.is_complete:
        served, dropped = _served(session, plan, listed, recent=plan.held)
        if len(disagreement(plan.held, served)):
            bars, dropped, revised = _revised(session, plan, listed)
        elif served.date[-1] > plan.held.date[-1]:
            bars = plan.held.followed_by(served.take(served.date > plan.held.date[-1]))
    else:
        bars, dropped = _served(session, plan, listed)
        if plan.held is not None and len(plan.held):
            bars, dropped, revised = _revised(session, plan, listed)
    if bars is not None:
        new_count = len(bars) - (len(plan.held) if plan.held is not None else 0)
    address = session.address
    session.between_stocks()
    return Fetched(
        plan.code, bars, max(new_count, 0), address, session.tries, dropped, finance, actions, revised
    )


def _served(
    session: QuoteSession, plan: Plan, listed: date | None, recent: Bars | None = None
) -> tuple[Bars, int]:
    """What the servers hold of a code up to the newest settled session, and how many bars were unusable.

    recent: bars held already; only what overlaps their end, and what is later, is fetched.
    """
    code, until, count = plan.code, np.datetime64(plan.start), wire.PAGE_BARS
    if recent is not None:
        until = recent.date[-min(OVERLAP_BARS, len(recent))]
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
            usable = usable_rows(bars)
            if not usable.any():
                raise NoHistory("no usable bar of this code in the range asked for")
            if recent is not None and bars.date[0] > recent.date[-1]:
                raise wire.BadAnswer("a history that does not reach back to what is held")
            return bars.take(usable), int((~usable).sum())
        except NoHistory:
            raise
        except wire.BadAnswer as error:
            problem = error
            session.distrust(error.reason)
    raise problem


def _revised(
    session: QuoteSession, plan: Plan, listed: date | None
) -> tuple[Bars | None, int, tuple[Bars, Bars] | None]:
    """The whole history, and both versions of what it tells otherwise than the store does.

    Asked for twice, the second time elsewhere where there is an elsewhere: one server's slip is no revision.
    Bars that only the store has, such as those from before a listing or of an import, stay.
    """
    assert plan.held is not None
    for _ in range(RESTARTS):
        bars, dropped = _served(session, plan, listed)
        odd = disagreement(plan.held, bars)
        if len(odd):
            session.close(avoid=True)
            again, _ = _served(session, plan, listed)
            if again != bars:
                session.distrust("two histories that differ")
                continue
            old = plan.held.take(np.isin(plan.held.date, odd))
            new = bars.take(np.isin(bars.date, odd))
            outside = (plan.held.date < bars.date[0]) | (plan.held.date > bars.date[-1])
            return plan.held.take(outside).followed_by(bars), dropped, (old, new)
        joined = plan.held.followed_by(bars.take(~np.isin(bars.date, plan.held.date)))
        return (None if joined == plan.held else joined), dropped, None
    raise wire.BadAnswer("servers that disagree about this code")
