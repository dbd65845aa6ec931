"""Which quote servers are worth asking: probing with a real bar, resting, failing over.

A server that accepts a connection proves nothing: many answer everything but bars. So health is a bar of a
stock that has traded since 1999, decoded and plausible. A server that fails several times in a row rests,
twice as long each time, and the work goes on elsewhere.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from ..base.config import check_range
from ..base.errors import BadSetting, NoServerAnswers
from .tdx_client import Patience, QuoteClient, ServerFault, shipped_servers

T = TypeVar("T")

PROBE_CODE = "SH600000"
PROBE_INDEX = "SH000001"
PROBE_THREADS = 32
ENOUGH_SERVERS = 8
OWN_SERVER_TRIES = 4
DEFAULT_PORT = 7709
SLOW_MS = 300.0
# State of a server: what its probe said, then what the run made of it.
OK, SLOW, RESTING = "ok", "slow", "resting"
NO_BARS = ("empty", "stub")


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT or HOST; BadSetting otherwise.

    >>> parse_address("59.36.5.11"), parse_address("quotes.example:7711")
    (('59.36.5.11', 7709), ('quotes.example', 7711))
    """
    host, colon, port = str(text).strip().rpartition(":")
    if not colon:
        host, port = port, str(DEFAULT_PORT)
    allowed = host.isascii() and all(c.isalnum() or c in ".-" for c in host)
    if not host or not allowed or len(host) > 253 or not port.isdigit() or len(port) > 5:
        raise BadSetting("server", str(text)[:80], "HOST:PORT, such as 59.36.5.11:7709")
    check_range("server port", int(port), 1, 65535)
    return host, int(port)


@dataclass
class Server:
    """One server and what is known of it."""

    address: str
    name: str = ""
    state: str = "unknown"
    reason: str = ""
    latency_ms: float | None = None
    bars: int = 0
    answers: int = 0
    faults: int = 0
    last_bar: str | None = None
    faults_in_a_row: int = 0
    rests: int = 0
    rests_until: float = 0.0
    pause_s: float = 0.0
    users: int = 0

    @property
    def serves_bars(self) -> bool:
        return self.state in (OK, SLOW, RESTING)

    def row(self) -> dict[str, Any]:
        """What the page and metadata.json show."""
        left_s = self.rests_until - time.monotonic()
        return {
            "address": self.address,
            "name": self.name,
            "state": RESTING if self.serves_bars and left_s > 0 else self.state,
            "reason": self.reason,
            "latency_ms": None if self.latency_ms is None else round(self.latency_ms, 1),
            "bars": self.bars,
            "answers": self.answers,
            "faults": self.faults,
            "last_bar": self.last_bar,
            "rests_s": round(max(left_s, 0.0), 1),
        }


def probe(server: Server, patience: Patience) -> Server:
    """Ask one server for real bars and note what came: state, reason, latency of the answer."""
    host, port = parse_address(server.address)
    try:
        with QuoteClient(host, port, patience) as client:
            started = time.monotonic()
            bars = client.bars(PROBE_CODE, 0, 5, is_index=False)
            server.latency_ms = 1e3 * (time.monotonic() - started)
            if not len(bars):
                # This one stock may be missing; an index is not.
                bars = client.bars(PROBE_INDEX, 0, 5, is_index=True)
    except ServerFault as fault:
        server.state, server.reason = fault.kind, fault.reason
        return server
    if not len(bars) or (bars.close <= 0).any():
        server.state, server.reason = "empty", "it answers, and holds no bars"
        return server
    server.state = SLOW if server.latency_ms > SLOW_MS else OK
    server.reason, server.last_bar = "", str(bars.date[-1])
    return server


def probe_all(
    servers: Iterable[Server],
    patience: Patience,
    told: Callable[[list[Server], int], None] = lambda done, total: None,
    enough: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Server]:
    """Probe servers side by side, as they answer; stop early once `enough` of them serve bars."""
    waiting = list(servers)
    done: list[Server] = []
    pool = ThreadPoolExecutor(
        max_workers=min(PROBE_THREADS, max(len(waiting), 1)), thread_name_prefix="probe"
    )
    try:
        for future in as_completed([pool.submit(probe, server, patience) for server in waiting]):
            done.append(future.result())
            told(done, len(waiting))
            if stopped() or (enough and sum(server.serves_bars for server in done) >= enough):
                break
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return done


class ServerPool:
    """The servers of one run, shared by its threads: who is asked next, who rests."""

    def __init__(
        self, servers: list[Server], patience: Patience, clock: Callable[[], float] = time.monotonic
    ):
        self.servers = servers
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._last_answer = clock()

    def rows(self) -> list[dict[str, Any]]:
        """A row a server, those that served most first."""
        with self._lock:
            return [server.row() for server in sorted(self.servers, key=lambda s: (-s.bars, s.address))]

    def choose(self, avoid: str | None = None) -> tuple[Server | None, float]:
        """The server with the shortest queue for its speed, or None and the seconds until one may be asked.

        `avoid`: the address that just failed; taken all the same when no other is awake.
        """
        with self._lock:
            now = self._clock()
            if now - self._last_answer > self._patience.give_up_s:
                raise NoServerAnswers(
                    [server.address for server in self.servers], "all have stopped answering"
                )
            awake = [server for server in self.servers if server.rests_until <= now]
            others = [server for server in awake if server.address != avoid] or awake
            if not others:
                return None, min(server.rests_until for server in self.servers) - now
            best = min(others, key=lambda s: ((s.users + 1) * max(s.latency_ms or 50.0, 20.0), s.address))
            best.users += 1
            return best, 0.0

    def left(self, server: Server) -> None:
        with self._lock:
            server.users -= 1

    def answered(self, server: Server, bars: int = 0) -> None:
        with self._lock:
            server.answers += 1
            server.bars += bars
            server.faults_in_a_row = 0
            if server.rests and server.answers % 50 == 0:
                server.pause_s *= 0.7
                server.rests -= 1
            self._last_answer = self._clock()

    def failed(self, server: Server, fault: ServerFault) -> None:
        """Note a fault; several in a row, or history withheld, send the server to rest."""
        with self._lock:
            server.faults += 1
            server.faults_in_a_row += 1
            server.reason = fault.reason
            if server.faults_in_a_row >= self._patience.faults_in_a_row:
                rest_s = min(self._patience.rest_s * 2**server.rests, self._patience.longest_rest_s)
                server.rests += 1
                server.faults_in_a_row = 0
                server.rests_until = self._clock() + rest_s * random.uniform(0.75, 1.25)
                # A server that threw us out is asked more slowly when it takes us back.
                server.pause_s = min(max(2 * server.pause_s, 0.005), 0.5)


class QuoteSession:
    """One thread's way to the pool: a client while it works, another one after each fault, pauses between."""

    def __init__(self, pool: ServerPool, patience: Patience, stop: threading.Event) -> None:
        self._pool, self._patience, self._stop = pool, patience, stop
        self._client: QuoteClient | None = None
        self._server: Server | None = None
        self._avoid: str | None = None
        self.tries = 0
        """Faults met since the caller set this to zero."""

    @property
    def address(self) -> str | None:
        return self._server.address if self._server else None

    def close(self, avoid: bool = False) -> None:
        """Drop the connection; with `avoid` the next one goes to another server where there is one."""
        if self._client is not None:
            self._client.close()
        if self._server is not None:
            if avoid:
                self._avoid = self._server.address
            self._pool.left(self._server)
        self._client = self._server = None

    def between_stocks(self) -> None:
        """Called after each stock: a server that does not number its answers gets a new connection."""
        if self._client is not None and not self._client.repeats_numbers:
            self.close()

    def distrust(self, reason: str) -> None:
        """Count answers that contradict each other as a fault of who gave the last, and go elsewhere."""
        self.tries += 1
        if self._server is not None:
            self._pool.failed(self._server, ServerFault(self._server.address, "bad_answer", reason))
        self.close(avoid=True)

    def ask(self, question: Callable[[QuoteClient], T]) -> T:
        """The answer to one question; the last ServerFault when patience has run out."""
        retrying = Retrying(
            retry=retry_if_exception_type(ServerFault),
            stop=stop_after_attempt(self._patience.tries),
            wait=wait_random_exponential(
                multiplier=self._patience.backoff_s, max=self._patience.longest_backoff_s
            ),
            sleep=self._sleep,
            before_sleep=self._count,
            reraise=True,
        )
        return retrying(self._ask_once, question)

    def _count(self, _: RetryCallState) -> None:
        self.tries += 1

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Interrupted

    def _ask_once(self, question: Callable[[QuoteClient], T]) -> T:
        if self._stop.is_set():
            raise Interrupted
        server = self._server or self._take_server()
        try:
            if server.pause_s:
                self._sleep(server.pause_s)
            if self._client is None:
                host, port = parse_address(server.address)
                self._client = QuoteClient(host, port, self._patience)
            answer = question(self._client)
        except ServerFault as fault:
            self._pool.failed(server, fault)
            self.close(avoid=True)
            raise
        self._pool.answered(server, len(answer) if hasattr(answer, "amount") else 0)  # type: ignore[arg-type]
        return answer

    def _take_server(self) -> Server:
        while True:
            server, wait_s = self._pool.choose(self._avoid)
            if server is not None:
                self._server, self._avoid = server, None
                return server
            self._sleep(min(wait_s, 1.0))


class Interrupted(Exception):
    """A worker was told to end; raised inside threads and caught there."""


def find_servers(
    wanted: tuple[str, ...],
    remembered: list[str],
    patience: Patience,
    told: Callable[[list[Server], int], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Server]:
    """Servers that gave a real bar just now, fastest first; NoServerAnswers when there are none.

    wanted: the user's own, and then only these. Otherwise those that served last time are tried first, and
    the shipped list when fewer than two of them still do.
    """
    if wanted:
        addresses = dict.fromkeys("{}:{}".format(*parse_address(text)) for text in wanted)
        done = probe_all([Server(address) for address in addresses], patience, told, stopped=stopped)
        for _ in range(OWN_SERVER_TRIES):
            # One slip of the only server there is should not end the run.
            if stopped() or any(server.serves_bars for server in done):
                break
            time.sleep(patience.backoff_s)
            done = probe_all(done, patience, told, stopped=stopped)
    else:
        names = shipped_servers()
        done = probe_all([Server(a, names.get(a, "")) for a in remembered], patience, told, stopped=stopped)
        if sum(server.serves_bars for server in done) < 2 and not stopped():
            tried = {server.address for server in done}
            rest = [Server(address, name) for address, name in names.items() if address not in tried]
            done += probe_all(rest, patience, told, ENOUGH_SERVERS, stopped)
    good = sorted((s for s in done if s.serves_bars), key=lambda s: s.latency_ms or 0.0)
    if not good and not stopped():
        raise NoServerAnswers([s.address for s in done], _summary(done), own=bool(wanted))
    return good


def _summary(servers: list[Server]) -> str:
    """How many of the servers failed in which way.

    >>> _summary([Server("a:1", state="empty"), Server("b:1", state="stub"), Server("c:1", state="timeout")])
    '2 answer without bars, 1 did not answer in time'
    """
    words = {
        "unreachable": "could not be reached",
        "timeout": "did not answer in time",
        "closed": "closed the connection",
        "bars": "answer without bars",
        "bad_answer": "answer, but not as quote servers do (a proxy or firewall in between?)",
        "mixed_up": "answer out of turn",
    }
    counts: dict[str, int] = {}
    for server in servers:
        word = words["bars"] if server.state in NO_BARS else words.get(server.state, server.state)
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items(), key=lambda item: -item[1]))
