"""One connection to one TDX quote server: pytdx connects and words the requests, the answers are ours.

pytdx reads an answer without asking whose it is, so a late one puts one stock's bars under another's name.
Here each request carries a number of its own, which real servers repeat in the header; one request is under
way at a time; every call has one deadline for all of its bytes; and the first oddity of any kind closes the
connection for good. A caller that gets a `ServerFault` makes a new client.
"""

import contextlib
import random
import select
import socket
import time
import warnings
from dataclasses import dataclass
from typing import Any

from ..base.errors import FinancialModelError
from . import tdx_protocol as wire

with warnings.catch_warnings():
    # pytdx compares with `is ''`, which Python warns of when it compiles the file.
    warnings.simplefilter("ignore")
    from pytdx.config.hosts import hq_hosts
    from pytdx.hq import TdxHq_API
    from pytdx.parser.get_finance_info import GetFinanceInfo
    from pytdx.parser.get_report_file import GetReportFile
    from pytdx.parser.get_security_bars import GetSecurityBarsCmd
    from pytdx.parser.get_security_count import GetSecurityCountCmd
    from pytdx.parser.get_security_list import GetSecurityList
    from pytdx.parser.get_xdxr_info import GetXdXrInfo
    from pytdx.parser.setup_commands import SetupCmd1, SetupCmd2, SetupCmd3

# Reported to serve bars in 2026, when many others answer everything but bars.
KNOWN_GOOD = ("59.36.5.11", *(f"117.34.114.{k}" for k in (14, 15, 16, 17, 18, 20, 27)))
SEQUENCE_AT, COMMAND_AT = slice(1, 5), slice(10, 12)


class ServerFault(FinancialModelError):
    """A connection that failed; `kind` says how. Another try, perhaps elsewhere, is the remedy."""

    def __init__(self, address: str, kind: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}.", address=address, kind=kind, reason=reason)
        self.address, self.kind, self.reason = address, kind, reason


@dataclass(frozen=True)
class Patience:
    """How long to wait, how often to try, when to let a server rest. Times in seconds.

    The defaults are for the public servers: few connections, growing random pauses, never hammering.
    """

    connect_s: float = 3.0
    call_s: float = 8.0
    tries: int = 8
    """Tries of one request, over all servers."""
    rounds: int = 3
    """How often one run comes back to a stock that failed."""
    backoff_s: float = 0.2
    longest_backoff_s: float = 5.0
    faults_in_a_row: int = 4
    """After so many a server rests."""
    rest_s: float = 5.0
    """The first rest; each further one is twice as long."""
    longest_rest_s: float = 300.0
    give_up_s: float = 120.0
    """With every server at rest and no answer for so long the run ends."""


def shipped_servers() -> dict[str, str]:
    """Name by address of the servers tried when the user names none, those reported good first."""
    names = {f"{host}:{port}": name for name, host, port in hq_hosts}
    good = {f"{host}:7709": names.get(f"{host}:7709", host) for host in KNOWN_GOOD}
    return good | {address: name for address, name in names.items() if address not in good}


class QuoteClient:
    """A connection that answers questions until its first fault. Not to be shared by threads."""

    def __init__(self, host: str, port: int, patience: Patience) -> None:
        """Connect and introduce ourselves; ServerFault when the server does not play along."""
        self.address = f"{host}:{port}"
        self.repeats_numbers = True
        """Whether the server repeats our request numbers. One that does not serves one stock a connection."""
        self._patience = patience
        self._number = random.getrandbits(31)
        self._socket: socket.socket | None = None
        api = TdxHq_API(raise_exception=False)
        api.need_setup = False
        started = time.monotonic()
        try:
            connected = api.connect(host, port, time_out=patience.connect_s)
        except (OSError, ValueError, OverflowError) as error:
            connected = None
            reason = str(error)
        else:
            reason = "no connection (refused, or nothing there)"
        self._socket = api.client
        if not connected:
            self.close()
            waited = time.monotonic() - started
            if waited >= patience.connect_s * 0.95:
                reason = f"no connection within {patience.connect_s:g} s"
            raise ServerFault(self.address, "unreachable", reason)
        with contextlib.suppress(OSError):
            api.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for command in (SetupCmd1, SetupCmd2, SetupCmd3):
            greeting = command(None)
            greeting.setup()
            self._exchange(bytes(greeting.send_pkg), introduction=True)

    def __enter__(self) -> "QuoteClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        """Close at once; pytdx's own way leaves the socket open when the other side has gone."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def bars(self, code: str, start: int, count: int, is_index: bool) -> wire.WireBars:
        """`count` (at most 800) daily bars of one code, those that end `start` bars before its newest."""
        body = self._ask(
            GetSecurityBarsCmd, wire.CATEGORY_DAY, wire.MARKETS[code[:2]], code[2:], start, count
        )
        bars = self._decoded(wire.decode_bars, body, is_index)
        if len(bars) > count:
            self._fail("bad_answer", f"{len(bars)} bars where {count} were asked for")
        return bars

    def actions(self, code: str) -> wire.Actions:
        """Corporate actions and share capital of one code."""
        return self._decoded(
            wire.decode_actions, self._ask(GetXdXrInfo, wire.MARKETS[code[:2]], code[2:]), code
        )

    def finance(self, code: str) -> wire.Finance | None:
        """The latest finance facts of one code; None where the server has none."""
        return self._decoded(
            wire.decode_finance, self._ask(GetFinanceInfo, wire.MARKETS[code[:2]], code[2:]), code
        )

    def name_count(self, market: int) -> int:
        """How many names a market's list has."""
        return self._decoded(wire.decode_count, self._ask(GetSecurityCountCmd, market))

    def names(self, market: int, start: int) -> list[wire.Listed]:
        """The names of a market's list from `start` on, at most 1,000."""
        return self._decoded(wire.decode_list, self._ask(GetSecurityList, market, start))

    def file_piece(self, name: str, offset: int) -> bytes:
        """The bytes of a file of the server from `offset` on, at most 30,000; none past its end."""
        return self._decoded(wire.decode_chunk, self._ask(GetReportFile, name, offset))

    def _ask(self, command: Any, *parameters: Any) -> bytes:
        request = command(None)
        request.setParams(*parameters)
        return self._exchange(bytes(request.send_pkg))

    def _decoded(self, decode: Any, *arguments: Any) -> Any:
        try:
            return decode(*arguments)
        except wire.BadAnswer as error:
            self._fail(error.kind, error.reason)

    def _fail(self, kind: str, reason: str) -> Any:
        self.close()
        raise ServerFault(self.address, kind, reason)

    def _exchange(self, package: bytes, introduction: bool = False) -> bytes:
        """Send one request and give the body of its own answer, all within one deadline."""
        if self._socket is None:
            raise ServerFault(self.address, "closed", "the connection is closed")
        self._number = (self._number + 1) & 0xFFFFFFFF
        request = bytearray(package)
        request[SEQUENCE_AT] = self._number.to_bytes(4, "little")
        command = int.from_bytes(request[COMMAND_AT], "little")
        deadline = time.monotonic() + self._patience.call_s
        try:
            if select.select([self._socket], [], [], 0)[0]:
                # Readable with nothing to read is how a connection tells that it was closed.
                if not self._socket.recv(1, socket.MSG_PEEK):
                    self._fail("closed", "the server closed the connection")
                self._fail("mixed_up", "it spoke without being asked")
            self._socket.settimeout(self._patience.call_s)
            self._socket.sendall(request)
            header = wire.read_header(self._receive(wire.HEADER_SIZE, deadline))
            if introduction and header.sequence != self._number:
                self.repeats_numbers = False
            if header.command != command or (self.repeats_numbers and header.sequence != self._number):
                self._fail("mixed_up", "an answer to another question")
            return wire.unpack_body(header, self._receive(header.packed_size, deadline))
        except TimeoutError:
            return self._fail("timeout", f"no answer within {self._patience.call_s:g} s")
        except OSError as error:
            return self._fail("closed", f"the connection broke ({error.strerror or error})")
        except wire.BadAnswer as error:
            return self._fail(error.kind, error.reason)

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self._socket is not None
        pieces = bytearray()
        while len(pieces) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            piece = self._socket.recv(size - len(pieces))
            if not piece:
                self._fail("closed", "it closed the connection")
            pieces += piece
        return bytes(pieces)
