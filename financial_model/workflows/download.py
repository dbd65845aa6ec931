"""Download: quote servers -> checked bars and dated facts -> store, to be repeated and cut off at will."""

import contextlib
import hashlib
import itertools
import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ..base.config import DownloadSettings
from ..base.errors import FinancialModelError, NothingToRetry
from ..base.progress import Progress
from ..base.workspace import Workspace
from ..data.download_ledger import DownloadLedger
from ..data.quality import Judge
from ..data.source import Bars
from ..data.tdx_client import Patience, ServerFault, shipped_servers
from ..data.tdx_market import (
    INDEX_CODES,
    UNIVERSE_PARTS,
    Fetched,
    NoHistory,
    Plan,
    fetch_code,
    fetch_universe,
)
from ..data.tdx_protocol import BadAnswer
from ..data.tdx_servers import (
    Interrupted,
    QuoteSession,
    Server,
    ServerPool,
    find_servers,
    parse_address,
    probe_all,
)
from ..market.codes import is_index, parse_code

CHOICE_RULE = "the stocks whose code has the smallest SHA-256, so that N is part of any larger N"
SETTLED_AT = timedelta(hours=15, minutes=30)  # Shanghai; before it the session's bar still moves
SHANGHAI = timedelta(hours=8)
TICK_S = 0.25  # between two reports of progress
SPEED_WINDOW_S = 20.0
WRITERS = 2
# What an answer costs us, so that a server a few times slower leaves room for as many connections. One more
# only makes threads wait for each other: on loopback four took twice the processor time of one.
ANSWER_COST_MS = 3.0
WAITING_RESULTS = 32  # fetched stocks that may wait for the disk


def download(
    settings: DownloadSettings,
    workspace: Workspace,
    progress: Progress,
    patience: Patience | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Bring history and facts of the chosen stocks up to the last settled session.

    Every bar is judged beside what is held of its code; what cannot be right is set aside and told. Returns
    counts (stocks, new, updated, current, failed, bars, set_aside), `quality` (findings by class in the codes
    that were fetched), `failures` with reason, tries, next try and remedy, `revisions`, `servers`, `choice`.
    NoServerAnswers when no server gives a bar; StopRequested when
    the user asked to stop, with everything fetched so far in the store.
    """
    patience, now = patience or Patience(), now or datetime.now(UTC)
    ledger = DownloadLedger(workspace, now)
    with ledger.store.locked("download"):
        ledger.store.check_market(simulated=False)
        ledger.sweep()
        retried = _failed_codes(ledger, settings) if settings.retry_failed else None
        judge = Judge.of_workspace(workspace)  # a table that cannot be read is told before servers are asked
        progress.stage("find_servers", "Asking quote servers for a real bar")
        pool = ServerPool(_servers(ledger, settings, patience, progress), patience)
        run = _Run(settings, ledger, judge, pool, patience, progress)
        try:
            newest = run.fetch_calendar()
            if retried is None:
                codes = run.choose_codes()
            else:
                codes = retried
            run.fetch_all([code for code in INDEX_CODES if code != INDEX_CODES[0]], newest, "fetch_indices")
            run.meet_stocks()
            run.fetch_all(codes, newest, "fetch_stocks")
        finally:
            run.close()
        progress.check_stop(f"{run.stock_count} of {len(codes)} stocks are up to date; start again to go on.")
        return run.result(codes, newest)


def server_health(
    servers: tuple[str, ...] = (), progress: Progress | None = None, patience: Patience | None = None
) -> list[dict[str, Any]]:
    """A row a server after asking all of them for a real bar at once: those that serve first, fastest first.

    servers: the user's own, else the shipped list. Rows: address, name, state ("ok", "slow", "empty", "stub",
    "unreachable", "timeout", "closed", "bad_answer", "mixed_up"), reason, latency_ms, last_bar.
    """
    progress = progress or Progress()
    named = {"{}:{}".format(*parse_address(text)): "" for text in servers} or shipped_servers()

    def told(done: list[Server], total: int) -> None:
        progress.emit("progress", done=len(done), total=total, unit="servers", detail=done[-1].address)

    done = probe_all(
        [Server(address, name) for address, name in named.items()],
        patience or Patience(),
        told,
        stopped=progress.is_stop_requested,
    )
    done.sort(key=lambda server: (not server.serves_bars, server.latency_ms or 0.0, server.address))
    return [server.row() for server in done]


def _servers(
    ledger: DownloadLedger, settings: DownloadSettings, patience: Patience, progress: Progress
) -> list[Server]:
    def told(done: list[Server], total: int) -> None:
        rows = [server.row() for server in done]
        progress.emit(
            "progress", done=len(done), total=total, unit="servers", detail=done[-1].address, servers=rows
        )

    remembered = [row["address"] for row in ledger.servers if row.get("state") in ("ok", "slow")]
    found = find_servers(settings.servers, remembered, patience, told, progress.is_stop_requested)
    progress.check_stop("Nothing had been fetched yet.")
    fastest_ms = round(found[0].latency_ms or 0.0)
    message = f"Quote servers that serve bars: {len(found)}; the fastest answers in {fastest_ms} ms"
    progress.emit(
        "note", message=message, key="download.servers_found", count=len(found), latency_ms=fastest_ms
    )
    if found[0].state == "slow":
        progress.warn(
            f"The servers are slow ({fastest_ms} ms an answer, ten answers a stock). More connections "
            "(--connections) or a nearer server (--server HOST:PORT) help; what came stays when you stop.",
            key="download.servers_slow",
            latency_ms=fastest_ms,
        )
    return found


def _failed_codes(ledger: DownloadLedger, settings: DownloadSettings) -> list[str]:
    """The codes to retry: all that failed, or those of them that were named."""
    wanted = [parse_code(text) for text in settings.codes]
    codes = [code for code in sorted(ledger.retries) if not is_index(code) and (not wanted or code in wanted)]
    if not codes:
        raise NothingToRetry(wanted)
    return codes


def chosen_stocks(codes: list[str], count: int) -> list[str]:
    """`count` of the codes, always the same ones, spread over all boards; see CHOICE_RULE.

    >>> chosen_stocks(["SH600000", "SZ000001", "SZ000002"], 2)
    ['SH600000', 'SZ000002']
    """
    ranked = sorted(codes, key=lambda code: hashlib.sha256(code.encode()).digest())
    return sorted(ranked[:count])


def useful_connections(latency_ms: float) -> int:
    """How many connections the delay of an answer leaves room for.

    >>> [useful_connections(latency_ms) for latency_ms in (0.5, 10.0, 40.0)]
    [1, 4, 14]
    """
    return 1 + int(latency_ms / ANSWER_COST_MS)


class _Run:
    """The moving parts of one download: threads that fetch, this thread that writes and tells."""

    def __init__(
        self,
        settings: DownloadSettings,
        ledger: DownloadLedger,
        judge: Judge,
        pool: ServerPool,
        patience: Patience,
        progress: Progress,
    ) -> None:
        self.settings, self.ledger, self.judge, self.pool = settings, ledger, judge, pool
        self.patience, self.progress = patience, progress
        self.stop = threading.Event()
        self.writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="quotes-writer")
        self.session = QuoteSession(pool, patience, self.stop)
        self.counts = dict.fromkeys(("new", "updated", "current", "failed"), 0)
        self.failures: dict[str, dict[str, Any]] = {}
        self.revisions: list[dict[str, Any]] = []
        self.bars = self.bytes = 0
        self.stock_count = 0
        self.unlisted: list[str] = []
        self.started = time.monotonic()
        self._recent: deque[tuple[float, int, int]] = deque()
        self._last_tick = 0.0

    def close(self) -> None:
        """End the connections and write what is known, whatever happened."""
        self.stop.set()
        self.session.close()
        self.writers.shutdown(wait=True)
        self.ledger.servers = self._remembered()
        self.ledger.flush()

    def _remembered(self) -> list[dict[str, Any]]:
        """The servers of this run, and those of earlier ones that it did not meet."""
        mine = self.pool.rows()
        met = {row["address"] for row in mine}
        return mine + [row for row in self.ledger.servers if row.get("address") not in met][:20]

    def fetch_calendar(self) -> np.datetime64:
        """The last settled session, from the Shanghai composite, which is written as well."""
        self.progress.stage("fetch_calendar", "Reading the trading calendar from the Shanghai composite")
        code = INDEX_CODES[0]
        shanghai = self.ledger.now + SHANGHAI
        settled = np.datetime64((shanghai - SETTLED_AT).date(), "D")
        plan = self._plan(code, settled)
        for turn in range(self.patience.rounds):
            try:
                fetched = fetch_code(self.session, plan, self.judge)
                break
            except (ServerFault, BadAnswer):
                if turn == self.patience.rounds - 1:
                    raise
        bars = fetched.bars if fetched.bars is not None else plan.held
        assert bars is not None
        newest: np.datetime64 = bars.date[-1]
        self.judge = self.judge.learning(bars)
        written = self.ledger.write(fetched)
        self.bytes += written.bytes
        self.ledger.keep(fetched, written.set_aside, self.settings.start, newest)
        self.bars += fetched.new_count
        return newest

    def meet_stocks(self) -> None:
        """Judge from here on by the sessions of all indices held, and by what the lists have told."""
        indices = []
        for code in INDEX_CODES:
            with contextlib.suppress(FinancialModelError):  # one that cannot be read is fetched anew
                if code in self.ledger.store:
                    indices.append(self.ledger.store.read(code))
        self.judge = Judge.of_workspace(self.ledger.workspace, indices)

    def choose_codes(self) -> list[str]:
        """The stocks of this run, in order; the universe is learned on the way."""
        wanted = sorted({parse_code(text) for text in self.settings.codes})
        if wanted and all(self.ledger.name_of(code) for code in wanted if not is_index(code)):
            return [code for code in wanted if not is_index(code)]
        self.progress.stage("fetch_universe", "Reading the lists of stocks, their names and industries")
        parts = itertools.count(1)
        universe = fetch_universe(self.session, lambda part: self._tell_part(next(parts), part))
        if universe.missing:
            self.progress.warn(
                f"The servers did not give: {', '.join(universe.missing)}. What was learned earlier stays.",
                key="download.universe_missing",
                missing=universe.missing,
            )
        self.ledger.learn_universe(universe)
        everything = sorted(
            set(universe.codes) | set(self.ledger.reference.read("stock_list")["code"].tolist())
        )
        self.unlisted = sorted(set(everything) - universe.names.keys())
        if wanted:
            return [code for code in wanted if not is_index(code)]
        codes = chosen_stocks(everything, self.settings.stocks)
        self.ledger.choice = {"stocks": len(codes), "of": len(everything), "rule": CHOICE_RULE}
        return codes

    def _tell_part(self, done: int, part: str) -> None:
        self.progress.check_stop("No stock had been fetched yet.")
        self.progress.emit("progress", done=done, total=UNIVERSE_PARTS, unit="lists", detail=part)

    def _plan(self, code: str, newest: np.datetime64 | None) -> Plan:
        held: Bars | None = None
        if code in self.ledger.store:
            try:
                held = self.ledger.store.read(code)
            except FinancialModelError:
                held = None  # a file that cannot be read is fetched anew
        complete = self.ledger.is_complete(code, self.settings.start)
        told = self.ledger.entries.get(code, {}).get("last")
        last_told = np.datetime64(told, "D") if told else None
        return Plan(code, self.settings.start, newest, held, complete, last_told)

    def fetch_all(self, codes: list[str], newest: np.datetime64, stage: str) -> None:
        """Fetch every code that is not up to date, coming back to failures as patience allows."""
        is_stock_run = stage == "fetch_stocks"
        due, current = [], 0
        for code in codes:
            if self.ledger.is_current(code, self.settings.start, newest):
                current += 1
            elif self.settings.retry_failed or self.ledger.is_due(code):
                due.append(code)
            else:
                self.failures[code] = self.ledger.retries[code]
        if is_stock_run:
            self.counts["current"] += current
            self.counts["failed"] = len(self.failures)
            self.stock_count += current
        self.progress.stage(
            stage,
            f"Fetching {len(due)} of {len(codes)} codes, {current} are up to date",
            due=len(due),
            codes=len(codes),
            current=current,
        )
        done = len(codes) - len(due)
        for turn in range(self.patience.rounds):
            is_last = turn == self.patience.rounds - 1
            failed = []
            for code, outcome, tries in self._fetched(due, newest):
                if isinstance(outcome, tuple):
                    fetched, writing = outcome
                    written = writing.result()
                    self.bytes += written.bytes
                    self._keep(fetched, written.set_aside, newest, is_stock_run)
                    done += 1
                elif is_last or _is_final(outcome):
                    self._fail(code, outcome, tries, is_stock_run)
                    done += 1
                else:
                    failed.append(code)
                self.ledger.flush_if_due()
                self._tell(done, len(codes), code, is_stock_run)
            due = failed
            if not due or self.progress.is_stop_requested():
                break
        self._tell(done, len(codes), codes[-1] if codes else "", is_stock_run, always=True)

    def _fetched(self, codes: list[str], newest: np.datetime64) -> Any:
        """(code, (Fetched, its writing) or its error, tries) as threads bring them; ends early on a stop."""
        todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        for code in codes:
            todo.put(code)
        done: queue.Queue[tuple[str, Any, int]] = queue.Queue(WAITING_RESULTS)
        most = min(self.settings.connections, len(codes))
        threads: list[threading.Thread] = []

        def connect() -> None:
            name = f"quotes-{len(threads)}"
            threads.append(
                threading.Thread(target=self._work, args=(todo, done, newest), name=name, daemon=True)
            )
            threads[-1].start()

        slowest_ms = max(server.latency_ms or 0.0 for server in self.pool.servers)
        for _ in range(min(most, useful_connections(slowest_ms))):
            connect()
        left = len(codes)
        try:
            while left:
                if self.progress.is_stop_requested():
                    return
                try:
                    code, outcome, tries = done.get(timeout=TICK_S)
                except queue.Empty:
                    if len(threads) < most:
                        connect()  # nothing within a tick: the servers are slower than they were
                    continue
                if isinstance(outcome, BaseException) and not isinstance(outcome, (ServerFault, BadAnswer)):
                    raise outcome
                left -= 1
                yield code, outcome, tries
        finally:
            if left:
                self.stop.set()
            while any(thread.is_alive() for thread in threads):
                # A full queue would keep a thread from seeing that it may go.
                try:
                    done.get(timeout=0.02)
                except queue.Empty:
                    continue

    def _work(self, todo: Any, done: Any, newest: np.datetime64) -> None:
        session = QuoteSession(self.pool, self.patience, self.stop)
        try:
            while not self.stop.is_set():
                try:
                    code = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    fetched = fetch_code(session, self._plan(code, newest), self.judge)
                    # The connection asks for the next code while the disk takes this one.
                    outcome: Any = fetched, self.writers.submit(self.ledger.write, fetched)
                except Interrupted:
                    return
                except Exception as error:
                    # The main thread tells a fault of a server from one of ours.
                    outcome = error
                done.put((code, outcome, session.tries + 1))
        finally:
            session.close()

    def _keep(self, fetched: Fetched, set_aside: int, newest: np.datetime64, is_stock_run: bool) -> None:
        is_new = fetched.code not in self.ledger.entries
        self.ledger.keep(fetched, set_aside, self.settings.start, newest)
        self.bars += fetched.new_count
        self._recent.append((time.monotonic(), fetched.new_count, int(is_stock_run)))
        if is_stock_run:
            self.counts["new" if is_new else "updated"] += 1
            self.stock_count += 1
        if fetched.revised is not None:
            old, _ = fetched.revised
            revision = {
                "code": fetched.code,
                "sessions": len(old),
                "first": str(old.date[0]) if len(old) else None,
                "file": str(self.ledger.revision_path(fetched.code).relative_to(self.ledger.workspace.root)),
            }
            self.revisions.append(revision)
            self.progress.warn(
                f"{fetched.code}: the source tells {len(old)} earlier sessions differently now; "
                f"both versions are in {revision['file']}.",
                key="download.revision",
                **revision,
            )

    def _fail(self, code: str, error: ServerFault | BadAnswer, tries: int, is_stock_run: bool) -> None:
        reason = error.reason
        if error.kind == "no_bars" and code in self.unlisted:
            reason = "0 bars, and no longer in the servers' list (delisted)"
        if isinstance(error, NoHistory) and error.judged is not None:
            self.ledger.keep_unusable(error.judged)
        failure = self.ledger.fail(code, self.ledger.name_of(code), error.kind, reason, tries)
        self.failures[code] = failure
        if is_stock_run:
            self.counts["failed"] = sum(not is_index(code) for code in self.failures)

    def _tell(self, done: int, total: int, code: str, is_stock_run: bool, always: bool = False) -> None:
        now = time.monotonic()
        if not always and now - self._last_tick < TICK_S:
            return
        self._last_tick = now
        recent = self._recent
        while len(recent) > 1 and recent[0][0] < now - SPEED_WINDOW_S:
            recent.popleft()
        window_s = max(now - recent[0][0], TICK_S) if recent else TICK_S
        stocks_per_s = len(recent) / window_s
        bars_per_s = sum(bars for _, bars, _ in recent) / window_s
        self.progress.emit(
            "progress",
            done=done,
            total=total,
            unit="stocks" if is_stock_run else "indices",
            detail=code,
            bars=self.bars,
            bytes=self.bytes,
            megabytes=round(self.bytes / 1e6, 1),
            bars_per_s=round(bars_per_s),
            speed=round(stocks_per_s, 2),
            left_s=round((total - done) / stocks_per_s, 1) if stocks_per_s else None,
            **self.counts,
            servers=self.pool.rows(),
        )

    def result(self, codes: list[str], newest: np.datetime64) -> dict[str, Any]:
        self.ledger.intake.warn(self.progress)
        return {
            "source": "tdx",
            "stocks": len(codes),
            **self.counts,
            "bars": self.bars,
            "bytes": self.bytes,
            "seconds": round(time.monotonic() - self.started, 2),
            "last_session": str(newest),
            "start": self.settings.start.isoformat(),
            "choice": self.ledger.choice,
            **self.ledger.intake.result(),
            "indices": [code for code in INDEX_CODES if code in self.ledger.store],
            "failures": list(self.failures.values()),
            "revisions": self.revisions,
            "servers": self.pool.rows(),
        }


def _is_final(error: ServerFault | BadAnswer) -> bool:
    """Whether coming back in the same run is of no use: the servers answer, and have nothing."""
    return error.kind == "no_bars"
