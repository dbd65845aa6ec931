"""A TDX quote server of our own on loopback, for tests alone: a made market, real frames, planted faults.

pytdx itself connects to it. Run as a program it serves until it is killed and prints its port first:
    python tests/data/fake_tdx_server.py --stocks 100 --sessions 2000 --delay 0.04
"""

import argparse
import asyncio
import contextlib
import io
import json
import random
import socket
import struct
import threading
import time
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

BARS, LIST, COUNT, ACTIONS, FINANCE, FILE = 0x052D, 0x0450, 0x044E, 0x000F, 0x0010, 0x06B9
INTRODUCTIONS = (0x000D, 0x0FDB)
PIECE = 30_000
INDICES = ("SH000001", "SH000300", "SH000905", "SZ399001", "SZ399006")
MARKETS = {"SZ": 0, "SH": 1, "BJ": 2}
PREFIXES = ("SH600", "SZ000", "SZ300", "SH601", "SZ002", "SH688", "BJ920")
FAULTS = (
    "close",
    "close_mid",
    "hang",
    "late",
    "duplicate",
    "stale",
    "bad_zlib",
    "short",
    "empty",
    "stub",
    "reset_setup",
    "refuse",
)
X_INDUSTRIES = {"X10": "煤炭", "X27": "电子", "X50": "银行", "X21": "食品饮料"}
SPARE_LINES = 30  # bonds and funds among the stocks of each list
# Turns of the loop from an accepted socket to its `_connection`, which closes it.
ACCEPTING_TURNS = 5
BAN_WINDOW_S = 10.0  # long, so that a client on a busy machine is hasty too


@dataclass
class FakeMarket:
    """Stocks with bars, names, actions and finance, the same for the same seed.

    prices: int 1/1000 CNY, volume in lots, amount in CNY, both float32. `through` is how many sessions have
    happened; a larger one later is a new day.
    """

    stock_count: int = 20
    session_count: int = 1000
    seed: int = 0
    through: int | None = None
    bars: dict = field(default_factory=dict, repr=False)
    hidden: set = field(default_factory=set)
    """Codes whose bars are withheld for now."""

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.through = self.through or self.session_count
        days = np.arange(np.datetime64("1999-01-04"), np.datetime64("2060-01-01"))
        self.sessions = days[np.is_busday(days)][: self.session_count]
        self.codes = [
            PREFIXES[k % len(PREFIXES)] + f"{k // len(PREFIXES) + 1:03d}" for k in range(self.stock_count)
        ]
        for k, code in enumerate([*INDICES, *self.codes]):
            self.bars[code] = self._draw(rng, code, k - len(INDICES))
        # Every eleventh stock is delisted: the lists leave it out, tdxhy.cfg still names it, its bars answer.
        self.delisted = self.codes[10::11]

    def _draw(self, rng, code, k):
        n = self.session_count
        first, last = 0, n
        if k >= 0:
            first = int(rng.integers(0, n // 2)) if k % 3 else 0
            last = int(n * 0.9) if k % 11 == 10 else n
        rows = np.arange(first, last)
        if k >= 0 and k % 4 == 1:  # suspended for a while
            rows = rows[(rows < first + 50) | (rows > first + 80)]
        close = np.maximum(np.exp(np.cumsum(rng.normal(0, 0.02, len(rows)))) * rng.uniform(3, 60), 1.0)
        close = np.round(close * 100).astype(np.int64) * 10
        open_ = np.maximum(close + rng.integers(-20, 21, len(rows)) * 10, 10)
        high = np.maximum(open_, close) + rng.integers(0, 30, len(rows)) * 10
        low = np.maximum(np.minimum(open_, close) - rng.integers(0, 30, len(rows)) * 10, 10)
        volume = np.round(rng.lognormal(8, 1.5, len(rows))) + 1  # lots, down to one
        amount = volume * 100 * (low + high + close) / 3 / 1000
        return {
            "row": rows,
            "date": self.sessions[rows],
            "open": open_,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume.astype(np.float32),
            "amount": amount.astype(np.float32),
        }

    def visible(self, code):
        """The bars that have happened, or None for a code that the market does not know."""
        if code not in self.bars:
            return None
        bars = self.bars[code]
        upto = int(np.searchsorted(bars["row"], self.through))
        return {name: column[:upto] for name, column in bars.items()}

    def revise(self, code, position, close):
        """Change one bar that was served before, as a source that corrects itself."""
        self.bars[code]["close"][position] = close
        self.bars[code]["high"][position] = max(close, self.bars[code]["high"][position])
        self.bars[code]["low"][position] = min(close, self.bars[code]["low"][position])
        encoded_page.cache_clear()

    def spoil(self, code, position, **values):
        """Serve one bar with other values, as no exchange would have it."""
        for name, value in values.items():
            self.bars[code][name][position] = value
        encoded_page.cache_clear()

    def list_date(self, code):
        """What finance says; unknown for every fifth stock."""
        bars = self.bars[code]
        return 0 if self.codes.index(code) % 5 == 4 or not len(bars["date"]) else as_number(bars["date"][0])

    def name(self, code):
        return ("*ST" if self.codes.index(code) % 7 == 3 else "") + "测试股份有限"[: 2 + int(code[2:]) % 4]

    def lines(self, market):
        """(digits, name bytes, close) of a market's list, stocks mixed with bonds, funds and indices."""
        exchange = {0: "SZ", 1: "SH"}[market]
        spare = {0: ("123", "159"), 1: ("110", "510")}[market]
        lines = [(f"{spare[k % 2]}{k:03d}", "某转债".encode("gbk"), 100.0) for k in range(SPARE_LINES)]
        lines += [(code[2:], "指数".encode("gbk"), 3000.0) for code in INDICES if code.startswith(exchange)]
        for code in self.codes:
            if code.startswith(exchange) and code not in self.delisted:
                # One byte of ASCII in front puts the cut of eight bytes through the middle of a character.
                lines.append((code[2:], ("A" + "截断名称股").encode("gbk")[:8], 1.0))
        return lines

    def files(self):
        hy = "".join(
            f"{MARKETS[code[:2]]}|{code[2:]}|T1001|||{list(X_INDUSTRIES)[k % 4]}0102\r\n"
            for k, code in enumerate(self.codes)
        )
        names = "#TDXNHY\r\nT10|金融\r\nT1001|银行\r\n######\r\n#TDXRSHY\r\n"
        names += "".join(f"{code}|{name}\r\n" for code, name in X_INDUSTRIES.items())
        beijing = "".join(f"44|{c[2:]}|2|京{c[2:]}|1|\r\n" for c in self.codes if c.startswith("BJ"))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(zipfile.ZipInfo("tdxbjmore.cfg"), beijing.encode("gbk"))
            file.writestr(zipfile.ZipInfo("incon.dat"), names.encode("gbk"))
        blocks = b"\0" * 384 + struct.pack("<H", 1)
        members = [code[2:].encode() + b"\0" for code in self.codes if not code.startswith("BJ")][:400]
        blocks += "通达信88".encode("gbk").ljust(9, b"\0") + struct.pack("<HH", len(members), 2)
        blocks += b"".join(members).ljust(2800, b"\0")
        return {
            "tdxhy.cfg": hy.encode("gbk"),
            "incon.dat": names.encode("gbk"),
            "zhb.zip": archive.getvalue(),
            "block_gn.dat": blocks,
            "block_fg.dat": blocks,
            "block_zs.dat": blocks,
        }

    def actions(self, code):
        """(date, category, four floats) of one stock."""
        bars = self.visible(code)
        if bars is None or len(bars["date"]) < 60:
            return []
        first, later = as_number(bars["date"][0]), as_number(bars["date"][40])
        return [
            (first, 5, (0.0, 0.0, 6000.0, 10000.0)),
            (later, 1, (0.2, 3.56, 4.0, 1.0)),
            (later, 5, (6000.0, 10000.0, 9000.0, 15000.0)),
        ]


def as_number(day):
    year, month, day = str(day).split("-")
    return int(year) * 10000 + int(month) * 100 + int(day)


def varints(values):
    """(bytes (N, 5), used (N, 5)) of TDX's signed integers, all at once."""
    size = np.abs(values)
    octets = np.zeros((len(values), 5), np.uint8)
    used = np.zeros((len(values), 5), bool)
    octets[:, 0] = (size & 0x3F) | np.where(values < 0, 0x40, 0)
    used[:, 0] = True
    rest = size >> 6
    for k in range(1, 5):
        more = rest > 0
        octets[more, k - 1] |= 0x80
        octets[:, k] = rest & 0x7F
        used[:, k] = more
        rest >>= 7
    return octets, used


def encode_bars(bars, is_index=False):
    """A body of bars, oldest first, from columns."""
    n = len(bars["date"])
    if n == 0:
        return b"\0\0"
    open_, close = bars["open"], bars["close"]
    before = np.concatenate([[0], close[:-1]])
    years = bars["date"].astype("M8[Y]").astype(int) + 1970
    months = bars["date"].astype("M8[M]").astype(int) % 12 + 1
    days = (bars["date"] - bars["date"].astype("M8[M]")).astype(int) + 1
    dates = (years * 10000 + months * 100 + days).astype("<u4")
    parts, used = [dates.view(np.uint8).reshape(n, 4)], [np.ones((n, 4), bool)]
    for values in (open_ - before, close - open_, bars["high"] - open_, bars["low"] - open_):
        octets, mask = varints(values)
        parts.append(octets)
        used.append(mask)
    floats = np.stack([bars["volume"], bars["amount"]], axis=1).astype("<f4")
    parts.append(floats.view(np.uint8).reshape(n, 8))
    used.append(np.ones((n, 8), bool))
    if is_index:
        parts.append(np.tile(np.array([200, 1, 50, 2], np.uint8), (n, 1)))
        used.append(np.ones((n, 4), bool))
    return struct.pack("<H", n) + np.concatenate(parts, axis=1)[np.concatenate(used, axis=1)].tobytes()


@lru_cache(maxsize=200_000)
def encoded_page(market_id, code, through, start, count, keep_first, keep_last):
    bars = _markets[market_id].visible(code)
    if bars is None:
        return pack(b"\0\0")
    n = len(bars["date"])
    high = max(n - start, 0)
    low = max(high - count, 0)
    low, high = low + keep_first, high - keep_last
    page = {name: column[low:high] for name, column in bars.items()}
    is_index = code in INDICES
    return pack(encode_bars(page, is_index))


_markets = {}


def pack(body):
    """(bytes on the wire, size unpacked): compressed where that helps, as the servers do."""
    packed = zlib.compress(body, 1) if len(body) > 100 else body
    return (packed, len(body)) if len(packed) < len(body) else (body, len(body))


@contextlib.contextmanager
def nobody():
    """An address at which nothing listens: bound all the while, so that no other process gets its port."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


class FakeTdxServer:
    """Serves a FakeMarket on 127.0.0.1 from a thread; `faults` is the rate of each fault by name.

    `ban_above`: more requests within BAN_WINDOW_S than this close every connection and refuse new ones for
    `ban_s`. `die_after`: so many requests until the server is gone for good. `mode`: "stub" or "empty"
    answers bars so always; `silent_numbers` does not repeat request numbers.
    """

    def __init__(
        self,
        market,
        faults=None,
        seed=0,
        delay_s=0.0,
        late_s=1.0,
        ban_above=None,
        ban_s=0.5,
        die_after=None,
        mode=None,
        silent_numbers=False,
        port=0,
    ):
        self.market = market
        _markets[id(market)] = market
        self.faults = dict(faults or {})
        self.random = random.Random(seed)
        self.delay_s, self.late_s, self.ban_above, self.ban_s = delay_s, late_s, ban_above, ban_s
        self.die_after, self.mode, self.silent_numbers = die_after, mode, silent_numbers
        self.requests, self.faulted, self.bans, self.most_connections = 0, {}, 0, 0
        self.asked_bars = []
        self._banned_until, self._recent, self._writers = 0.0, [], set()
        self._files = market.files()
        self._port = port
        self._loop = None
        self._ready = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60), "the server did not come up"
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(60)
        assert not self._thread.is_alive(), "the server did not end"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _run(self):
        asyncio.run(self.serve())

    async def serve(self):
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self._port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        await self._end()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _end(self):
        # A socket that was accepted and has no transport yet when asyncio closes its server is left to the
        # garbage collector, whose warning then fails whichever test is under way.
        for listener in self._server.sockets:
            with contextlib.suppress(NotImplementedError):  # on Windows there is no reader to remove
                self._loop.remove_reader(listener.fileno())
        for _ in range(ACCEPTING_TURNS):
            await asyncio.sleep(0)
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    def _draws(self, fault):
        rate = self.faults.get(fault, 0.0)
        if rate and self.random.random() < rate:
            self.faulted[fault] = self.faulted.get(fault, 0) + 1
            return True
        return False

    @staticmethod
    def _reset(writer):
        option = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        writer.transport.abort()

    async def _connection(self, reader, writer):
        self._writers.add(writer)
        self.most_connections = max(self.most_connections, len(self._writers))
        try:
            if time.monotonic() < self._banned_until or self._draws("refuse"):
                self._reset(writer)
                return
            previous = b""
            while True:
                head = await reader.readexactly(12)
                number, size = head[1:5], int.from_bytes(head[6:8], "little")
                payload = await reader.readexactly(size - 2)
                command = int.from_bytes(head[10:12], "little")
                if command in INTRODUCTIONS:
                    if self._draws("reset_setup"):
                        self._reset(writer)
                        return
                    writer.write(self._frame(number, command, (b"\0" * 10, 10)))
                    continue
                self.requests += 1
                if await self._over_the_limit():
                    return
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if not await self._answer(writer, number, command, payload, previous):
                    return
                previous = self._last
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _over_the_limit(self):
        now = time.monotonic()
        if self.die_after is not None and self.requests > self.die_after:
            await self._end()
            return True
        if self.ban_above is None:
            return False
        self._recent = [t for t in self._recent if t > now - BAN_WINDOW_S] + [now]
        if len(self._recent) > self.ban_above:
            self.bans += 1
            self._banned_until, self._recent = now + self.ban_s, []
            for writer in list(self._writers):
                self._reset(writer)
            return True
        return False

    def _frame(self, number, command, packed):
        body, size = packed
        if self.silent_numbers:
            number = b"\x01\x08\x64\x01"
        return b"\xb1\xcb\x74\x00\x0c" + number + b"\0" + struct.pack("<HHH", command, len(body), size) + body

    async def _answer(self, writer, number, command, payload, previous):
        packed = self._body(command, payload)
        frame = self._last = self._frame(number, command, packed)
        if self._draws("close"):
            return False
        if self._draws("close_mid"):
            writer.write(frame[: max(17, len(frame) // 2)] if len(frame) > 17 else frame[:8])
            await writer.drain()
            return False
        if self._draws("hang"):
            await asyncio.sleep(60)
            return False
        if self._draws("late"):
            await asyncio.sleep(self.late_s)
        if self._draws("bad_zlib"):
            frame = self._frame(number, command, (b"\x78\x9c" + b"\xff" * 40, 900))
        if previous and self._draws("stale"):
            frame = previous + frame
        if self._draws("duplicate"):
            frame = frame + frame
        writer.write(frame)
        await writer.drain()
        return True

    def _body(self, command, payload):
        if command == BARS:
            market, digits, _, _, start, count = struct.unpack("<H6sHHHH", payload[:16])
            code = {0: "SZ", 1: "SH", 2: "BJ"}[market] + digits.decode()
            self.asked_bars.append((code, start, count))
            return self._bars(code, start, count)
        if command == COUNT:
            return pack(struct.pack("<H", len(self.market.lines(struct.unpack("<H", payload[:2])[0]))))
        if command == LIST:
            market, start = struct.unpack("<HH", payload[:4])
            lines = self.market.lines(market)[start : start + 1000]
            rows = [
                struct.pack("<6sH8s4sBf4s", d.encode(), 100, name, b"\0" * 4, 2, close, b"\0" * 4)
                for d, name, close in lines
            ]
            return pack(struct.pack("<H", len(rows)) + b"".join(rows))
        if command == ACTIONS:
            market, digits = payload[2], payload[3:9]
            code = {0: "SZ", 1: "SH", 2: "BJ"}[market] + digits.decode()
            rows = [
                struct.pack("<B6sxIB4f", market, digits, date, category, *values)
                for date, category, values in self.market.actions(code)
            ]
            head = struct.pack("<HB6sH", 1, market, digits, len(rows))
            return pack(head + b"".join(rows))
        if command == FINANCE:
            return pack(self._finance(payload[2], payload[3:9]))
        if command == FILE:
            offset, size, name = struct.unpack("<II100s", payload[:108])
            data = self._files.get(name.split(b"\0")[0].decode(), b"")[offset : offset + min(size, PIECE)]
            return pack(struct.pack("<I", len(data)) + data)
        return pack(b"\0\0")

    def _bars(self, code, start, count):
        if self.mode == "stub" or self._draws("stub"):
            return pack(struct.pack("<H", 800))
        if self.mode == "empty" or self._draws("empty"):
            return pack(b"\0\0")
        if code in self.market.hidden:
            return pack(b"\0\0")
        first = last = 0
        if count > 1 and self._draws("short"):
            cut = self.random.randrange(1, count)
            first, last = (cut, 0) if self.random.random() < 0.5 else (0, cut)
        return encoded_page(id(self.market), code, self.market.through, start, count, first, last)

    def _finance(self, market, digits):
        code = {0: "SZ", 1: "SH", 2: "BJ"}[market] + digits.decode()
        if code not in self.market.codes:
            return b"\0\0"
        values = [15000.0, *[0.0] * 29]
        values[6], values[15], values[26], values[28], values[29] = 0.31, 207739008.0, 6214000.0, 10.94, 3.0
        dates = (20170428, self.market.list_date(code))
        return struct.pack("<HB6sfHHII30f", 1, market, digits, 9000.0, 18, 1, *dates, *values)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stocks", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--late", type=float, default=1.0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--faults", default="{}")
    options = parser.parse_args()
    market = FakeMarket(options.stocks, options.sessions, options.seed)
    server = FakeTdxServer(
        market,
        json.loads(options.faults),
        delay_s=options.delay,
        late_s=options.late,
        port=options.port,
    )

    async def serve():
        task = asyncio.create_task(server.serve())
        while not server._ready.is_set():
            await asyncio.sleep(0.01)
        print(server.port, flush=True)
        await task

    asyncio.run(serve())


if __name__ == "__main__":
    main()
