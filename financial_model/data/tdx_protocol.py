"""What TDX quote servers put on the wire, and how it is read: frames, bars, lists, actions, finance.

Pure functions from bytes to numbers, without sockets. pytdx's own parsers lose volumes below 128, whole
list pages whose names are cut in the middle of a character, and cost 7 us a bar under the interpreter lock;
these read a page of 800 bars in a few numpy calls.

Every decoder either gives the whole answer or raises `BadAnswer`; none guesses.
"""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..base.errors import FinancialModelError

HEADER = struct.Struct("<4sBIBHHH")  # magic, flags, sequence, 0, command, size on the wire, size unpacked
HEADER_SIZE = HEADER.size
MAGIC = b"\xb1\xcb\x74\x00"
PAGE_BARS = 800  # at most so many bars an answer
PAGE_NAMES = 1000
CATEGORY_DAY = 9  # daily bars with stock volume in lots; category 4 gives shares
LOT_SHARES = 100.0
INDEX_VOLUME_SHARES = 1e4
PRICE_SCALE = 1000.0
MARKETS = {"SZ": 0, "SH": 1, "BJ": 2}
EXCHANGE_OF_MARKET = {market: exchange for exchange, market in MARKETS.items()}
MARKET_OF_OTHER_BOARDS = "44"  # how zhb.zip writes Beijing
MAX_VARINT_BYTES = 6
MAX_FILE_BYTES = 64 << 20


class BadAnswer(FinancialModelError):
    """An answer that cannot be the one that was asked for; the connection it came over is thrown away."""

    kind = "bad_answer"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The quote server's answer cannot be used: {reason}.", reason=reason)
        self.reason = reason


class StubAnswer(BadAnswer):
    """A count of bars without any bar: what servers send that no longer serve history."""

    kind = "stub"


@dataclass(frozen=True)
class Header:
    """The 16 bytes before a body."""

    sequence: int
    command: int
    packed_size: int
    size: int


def read_header(data: bytes) -> Header:
    """The header of an answer; BadAnswer when the bytes are not one."""
    if len(data) != HEADER_SIZE:
        raise BadAnswer(f"a header of {len(data)} bytes")
    magic, _, sequence, _, command, packed_size, size = HEADER.unpack(data)
    if magic == b"HTTP":
        raise BadAnswer("a web server's words: a proxy or firewall stands in between")
    if magic != MAGIC:
        raise BadAnswer(f"it starts with {magic.hex()}")
    return Header(sequence, command, packed_size, size)


def unpack_body(header: Header, body: bytes) -> bytes:
    """The body as the server meant it: inflated where the header says so, of exactly the stated size."""
    if header.packed_size != header.size:
        inflater = zlib.decompressobj()
        try:
            body = inflater.decompress(body, header.size + 1)
        except zlib.error as error:
            raise BadAnswer(f"damaged compression ({error})") from None
        if not inflater.eof:
            raise BadAnswer("compression that ends early or holds more than it says")
    if len(body) != header.size:
        raise BadAnswer(f"{len(body)} bytes where the header says {header.size}")
    return body


@dataclass(frozen=True, eq=False)
class WireBars:
    """Bars as they lie on the wire: prices in 1/1000 CNY (int64), volume in the unit of the category."""

    date: npt.NDArray[np.datetime64]
    open: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    close: npt.NDArray[np.int64]
    volume: npt.NDArray[np.float32]
    amount: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.date)

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return self.date, self.open, self.high, self.low, self.close, self.volume, self.amount

    def take(self, rows: Any) -> Self:
        return type(self)(*(column[rows] for column in self._columns()))

    def before(self, later: "WireBars") -> Self:
        """These bars followed by those of `later` that are not among them."""
        cut = int(np.searchsorted(later.date, self.date[-1], side="right")) if len(self) else 0
        pairs = zip(self._columns(), later._columns(), strict=True)
        return type(self)(*(np.concatenate([mine, theirs[cut:]]) for mine, theirs in pairs))

    def same_rows(self, other: "WireBars") -> bool:
        """Whether both hold the same bars, to the bit."""
        return len(self) == len(other) and all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(self._columns(), other._columns(), strict=True)
        )


def decode_bars(body: bytes, is_index: bool = False, relative: bool = True) -> WireBars:
    """The bars of one answer, oldest first; none for a count of zero.

    A bar is a date (uint32 YYYYMMDD), four integers of varying length (open against the previous close,
    close, high, low against that open, in 1/1000 CNY), volume and amount (float32), and for an index two
    counts more. `relative` is False for the newer message 0x0523, which states all four prices in full.

    Where one bar ends is only known once its integers are read. The integers' last bytes are those below
    128, so the next start follows from the position alone, and only that chain is walked one by one.
    """
    if len(body) < 2:
        raise BadAnswer(f"{len(body)} bytes of bars")
    count = int.from_bytes(body[:2], "little")
    if count and len(body) == 2:
        raise StubAnswer(f"it promises {count} bars and holds none")
    if count > PAGE_BARS:
        raise BadAnswer(f"{count} bars in one answer")
    tail = 12 if is_index else 8
    octets = np.frombuffer(body, dtype=np.uint8)
    is_last = octets < 128
    lasts = np.flatnonzero(is_last)
    passed = np.zeros(len(octets) + 1, dtype=np.int64)
    np.cumsum(is_last, out=passed[1:])
    # Plain views: reading one element of an array costs three times as much.
    lasts_view, passed_view = lasts.data, passed.data
    starts = []
    position = 2
    try:
        for _ in range(count):
            starts.append(position)
            position = lasts_view[passed_view[position + 4] + 3] + 1 + tail
    except IndexError:
        raise BadAnswer("bars that end early") from None
    if position != len(body):
        raise BadAnswer(f"{len(body)} bytes where {count} bars take {position}")
    if not count:
        return WireBars(*(np.empty(0, kind) for kind in ("M8[D]", *["i8"] * 4, "f4", "f4")))

    start = np.array(starts, dtype=np.int64)
    first_last = passed[start + 4]
    lasts4 = lasts[first_last[:, None] + np.arange(4)]  # (N, 4)
    firsts4 = np.concatenate([(start + 4)[:, None], lasts4[:, :3] + 1], axis=1)
    open_, close, high, low = _integers(octets, firsts4, lasts4).T
    if relative:
        close = np.cumsum(open_ + close)
        open_ = open_ + np.concatenate([[0], close[:-1]])
        high, low = open_ + high, open_ + low
    floats = octets[(lasts4[:, 3] + 1)[:, None] + np.arange(8)].view("<f4")
    dates = _dates(octets[start[:, None] + np.arange(4)].view("<u4")[:, 0])
    if (np.diff(dates) <= np.timedelta64(0, "D")).any():
        raise BadAnswer("bars that are not in the order of their dates")
    if not np.isfinite(floats).all() or (floats < 0).any():
        raise BadAnswer("a volume or an amount that is no number")
    return WireBars(dates, open_, high, low, close, floats[:, 0].copy(), floats[:, 1].copy())


def _integers(
    octets: npt.NDArray[np.uint8], firsts: npt.NDArray[np.int64], lasts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """TDX's signed integers: six bits and the sign (bit 6) in the first byte, seven in each that follows."""
    extra = lasts - firsts
    longest = int(extra.max())
    if longest >= MAX_VARINT_BYTES:
        raise BadAnswer("a price of more than 40 bits")
    head = octets[firsts]
    value = (head & 0x3F).astype(np.int64)
    for byte in range(1, longest + 1):
        more = octets[np.minimum(firsts + byte, lasts)].astype(np.int64) & 0x7F
        value += np.where(extra >= byte, more << (7 * byte - 1), 0)
    return np.where(head & 0x40, -value, value)


def _dates(numbers: npt.NDArray[Any]) -> npt.NDArray[np.datetime64]:
    """Dates from YYYYMMDD; BadAnswer when one of them is no day of the calendar."""
    years, months, days = numbers // 10000, numbers // 100 % 100, numbers % 100
    if not ((years >= 1980) & (years <= 2200) & (months >= 1) & (months <= 12) & (days >= 1)).all():
        raise BadAnswer("a date that is none")
    month = (years.astype(np.int64) * 12 + months - 1 - 1970 * 12).astype("M8[M]")
    dates = month.astype("M8[D]") + (days.astype(np.int64) - 1)
    if (dates.astype("M8[M]") != month).any():
        raise BadAnswer("a date that is none")
    return dates


def as_date(number: int) -> date | None:
    """The date of YYYYMMDD; None where it is none (0 where the server knows nothing)."""
    try:
        return date(number // 10000, number // 100 % 100, number % 100)
    except ValueError:
        return None


def plain(value: Any) -> float:
    """A float32 as the decimal number that a person wrote into it.

    >>> plain(np.float32(3.56)), float(np.float32(3.56))
    (3.56, 3.559999942779541)
    """
    return float(str(np.float32(value)))


def volume_unit(bars: WireBars, is_index: bool) -> float:
    """Shares in one unit of the answer's volume.

    Category 9 counts lots; there are servers and boards that count shares all the same. Amount over volume
    is a price, so the unit that puts the median of it beside the close is the one that was used.
    """
    if is_index:
        return INDEX_VOLUME_SHARES
    traded = (bars.volume > 0) & (bars.amount > 0) & (bars.close > 0)
    if not traded.any():
        return LOT_SHARES
    price = bars.amount[traded].astype(np.float64) / bars.volume[traded]
    ratio = float(np.median(price / (bars.close[traded] / PRICE_SCALE)))
    return LOT_SHARES if ratio > 10.0 else 1.0


LISTED = np.dtype(
    [
        ("code", "S6"),
        ("lot", "<u2"),
        ("name", "V8"),
        ("_", "V4"),
        ("decimals", "u1"),
        ("close", "<f4"),
        ("__", "V4"),
    ]
)


@dataclass(frozen=True)
class Listed:
    """One line of a server's list: digits, name as far as it fits into eight bytes, previous close in CNY."""

    digits: str
    name: str
    previous_close: float


def decode_list(body: bytes) -> list[Listed]:
    """The lines of one page of a market's list: stocks, bonds, funds and indices, mixed."""
    rows = _records(body, 2, int.from_bytes(body[:2], "little"), LISTED, "names")
    return [
        Listed(_digits(bytes(row["code"])), clean_name(row["name"].tobytes()), plain(row["close"]))
        for row in rows
    ]


def clean_name(data: bytes) -> str:
    """A name of eight GBK bytes; a character cut in half at the end is dropped, not the page.

    >>> clean_name("首创环保".encode("gbk")[:7])
    '首创环'
    """
    return data.split(b"\0")[0].decode("gbk", errors="ignore").strip()


def _digits(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise BadAnswer(f"a code that is none ({data.hex()})") from None


def _records(body: bytes, offset: int, count: int, dtype: np.dtype[Any], what: str) -> npt.NDArray[Any]:
    if len(body) != offset + count * dtype.itemsize:
        raise BadAnswer(f"{len(body)} bytes where {count} {what} take {offset + count * dtype.itemsize}")
    return np.frombuffer(body, dtype=dtype, count=count, offset=offset)


def decode_count(body: bytes) -> int:
    """How many lines a market's list has."""
    if len(body) != 2:
        raise BadAnswer(f"a count of {len(body)} bytes")
    return int.from_bytes(body, "little")


ACTION = np.dtype(
    [("market", "u1"), ("code", "S6"), ("_", "V1"), ("date", "<u4"), ("category", "u1"), ("values", "<f4", 4)]
)
CAPITAL_UNIT = 1e4  # shares
DIVIDEND, CONSOLIDATION = 1, 11
CAPITAL_CATEGORIES = (2, 3, 4, 5, 7, 8, 9, 10)


@dataclass(frozen=True)
class Actions:
    """What the server knows of a stock's corporate actions and share capital, as rows of the store."""

    corporate_actions: list[dict[str, Any]]
    share_capital: list[dict[str, Any]]


def decode_actions(body: bytes, code: str) -> Actions:
    """Corporate actions (per ten shares, CNY) and share capital (shares) of one code.

    BadAnswer when the answer speaks of another code. A consolidation (category 11: every share becomes so
    many) is written as the bonus that has the same effect; warrants and the shrinking of shares that do not
    trade have none on the price and are left out.
    """
    if len(body) < 11:
        return Actions([], [])
    count = int.from_bytes(body[9:11], "little")
    records = _records(body, 11, count, ACTION, "actions")
    _check_code(body[2:9], code)
    corporate, capital = [], []
    for record in records:
        when = as_date(int(record["date"]))
        if when is None:
            raise BadAnswer("a corporate action whose date is none")
        category, values = int(record["category"]), record["values"]
        if not np.isfinite(values).all():
            raise BadAnswer("a corporate action that is no number")
        if category == DIVIDEND:
            cash, price, bonus, rights = map(plain, values)
            corporate.append(_action(code, when, cash, bonus, rights, price))
        elif category == CONSOLIDATION and values[2] > 0:
            corporate.append(_action(code, when, 0.0, round((plain(values[2]) - 1) * 10, 6), 0.0, 0.0))
        elif category in CAPITAL_CATEGORIES:
            _, _, floating, total = values.astype(np.float64)
            capital.append(
                {
                    "code": code,
                    "date": when.isoformat(),
                    "total_shares": round(total * CAPITAL_UNIT),
                    "float_shares": round(floating * CAPITAL_UNIT),
                }
            )
    return Actions(corporate, capital)


def _action(
    code: str, when: date, cash: float, bonus: float, rights: float, rights_price: float
) -> dict[str, Any]:
    return {
        "code": code,
        "date": when.isoformat(),
        "cash_per_10": cash,
        "bonus_per_10": bonus,
        "rights_per_10": rights,
        "rights_price": rights_price,
    }


def _check_code(data: bytes, code: str) -> None:
    seen = (
        EXCHANGE_OF_MARKET.get(data[0], "?") + data[1:7].decode("ascii", errors="replace") if data else code
    )
    if seen != code:
        raise BadAnswer(f"it speaks of {seen} where {code} was asked for")


FINANCE = struct.Struct("<B6sfHHII30f")
# Positions among the 30 floats: total shares, then capital by holder, then the balance sheet and the result.
TOTAL_SHARES, EPS, TOTAL_ASSETS, HOLDERS, NET_ASSETS = 0, 6, 7, 11, 15
REVENUE, OPERATING_COST, OPERATING_PROFIT, CASH_FLOW = 16, 17, 19, 21
NET_PROFIT, BOOK_VALUE, MONTHS = 26, 28, 29
MONEY_UNIT = 1e3  # pytdx multiplies by 10^4, which makes every money field ten times too large


@dataclass(frozen=True)
class Finance:
    """The latest finance facts of one stock: shares, CNY, CNY a share; `announced` is when they counted."""

    code: str
    announced: date | None
    list_date: date | None
    total_shares: float
    float_shares: float
    months: int
    eps_cny: float
    book_value_per_share_cny: float
    money_cny: dict[str, float]
    shareholders: float

    @property
    def period(self) -> date | None:
        """The last day of the report: the latest quarter of `months` months that ended by `announced`."""
        if self.announced is None or self.months not in QUARTER_ENDS:
            return None
        month, day = QUARTER_ENDS[self.months]
        ends = (date(self.announced.year - back, month, day) for back in (0, 1))
        return next(end for end in ends if end <= self.announced)


QUARTER_ENDS = {3: (3, 31), 6: (6, 30), 9: (9, 30), 12: (12, 31)}


def decode_finance(body: bytes, code: str) -> Finance | None:
    """Finance facts of one code; None where the server has none. BadAnswer when it speaks of another code."""
    if len(body) < 2 or body[:2] == b"\0\0":
        return None
    if len(body) != 2 + FINANCE.size:
        raise BadAnswer(f"finance facts of {len(body)} bytes")
    _check_code(body[2:9], code)
    _, _, floating, _, _, announced, listed, *values = FINANCE.unpack(body[2:])
    if not np.isfinite([floating, *values]).all():
        raise BadAnswer("finance facts that are no numbers")
    money = {
        "total_assets_cny": TOTAL_ASSETS,
        "net_assets_cny": NET_ASSETS,
        "revenue_cny": REVENUE,
        "operating_cost_cny": OPERATING_COST,
        "operating_profit_cny": OPERATING_PROFIT,
        "operating_cash_flow_cny": CASH_FLOW,
        "net_profit_cny": NET_PROFIT,
    }
    return Finance(
        code=code,
        announced=as_date(announced),
        list_date=as_date(listed),
        total_shares=values[TOTAL_SHARES] * CAPITAL_UNIT,
        float_shares=floating * CAPITAL_UNIT,
        months=int(values[MONTHS]),
        eps_cny=plain(values[EPS]),
        book_value_per_share_cny=plain(values[BOOK_VALUE]),
        money_cny={name: values[at] * MONEY_UNIT for name, at in money.items()},
        shareholders=float(values[HOLDERS]),
    )


def decode_chunk(body: bytes) -> bytes:
    """A piece of a file; empty past its end."""
    if len(body) < 4:
        raise BadAnswer(f"a piece of a file of {len(body)} bytes")
    size = int.from_bytes(body[:4], "little")
    if size != len(body) - 4:
        raise BadAnswer(f"{len(body) - 4} bytes of a file where it says {size}")
    return body[4:]


def decode_industries(text_file: bytes) -> dict[str, str]:
    """Industry code by code from tdxhy.cfg, `market|code|T-code|||X-code`: the X-code, else the T-code.

    >>> decode_industries(b"0|000001|T1001|||X500102")
    {'SZ000001': 'X500102'}
    """
    found = {}
    for line in text_file.decode("gb18030", errors="replace").splitlines():
        parts = line.strip().split("|")
        if len(parts) >= 3 and parts[0].isdigit() and int(parts[0]) in EXCHANGE_OF_MARKET:
            industry = (parts[5] if len(parts) > 5 else "") or parts[2]
            if industry and len(parts[1]) == 6:
                found[EXCHANGE_OF_MARKET[int(parts[0])] + parts[1]] = industry
    return found


def decode_industry_names(text_file: bytes) -> dict[str, str]:
    """Names of T- and X-codes from incon.dat, whose sections (`#TDXNHY`, `#TDXRSHY`) hold `code|name`."""
    names: dict[str, str] = {}
    for line in text_file.decode("gb18030", errors="replace").splitlines():
        code, _, name = line.strip().partition("|")
        name = name.split("|")[0].strip()
        if name and code[:1] in ("T", "X") and code[1:].isdigit():
            names.setdefault(code, name)
    return names


def level_one_name(industry: str, names: dict[str, str]) -> str:
    """The name of the broadest industry above a code (X50 of X500102), else of the code; "" unknown."""
    return names.get(industry[:3]) or names.get(industry) or ""


def decode_archive(data: bytes) -> dict[str, bytes]:
    """The small files of zhb.zip by their lower-case names."""
    files = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if not info.is_dir() and info.file_size <= MAX_FILE_BYTES:
                    files[info.filename.replace("\\", "/").rsplit("/", 1)[-1].lower()] = archive.read(info)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
    ) as error:
        raise BadAnswer(f"zhb.zip cannot be opened ({error})") from None
    return files


def decode_beijing(text_file: bytes) -> dict[str, str]:
    """Name by code of the Beijing stocks in tdxbjmore.cfg, `44|920000|2|name|flag|`.

    >>> decode_beijing("44|920000|2|安徽凤凰|1|".encode("gbk"))
    {'BJ920000': '安徽凤凰'}
    """
    found = {}
    for line in text_file.decode("gb18030", errors="replace").splitlines():
        parts = line.strip().split("|")
        if len(parts) >= 4 and parts[0] in (MARKET_OF_OTHER_BOARDS, "2") and len(parts[1]) == 6:
            found["BJ" + parts[1]] = parts[3].strip()
    return found


BLOCKS_AT, BLOCK_NAME_SIZE, BLOCK_SIZE, BLOCK_CODE_SIZE = 384, 9, 2800, 7


def decode_blocks(data: bytes) -> list[tuple[str, list[str]]]:
    """(name, digits of the members) of each block in a block_*.dat file."""
    if len(data) < BLOCKS_AT + 2:
        raise BadAnswer(f"a block file of {len(data)} bytes")
    count = int.from_bytes(data[BLOCKS_AT : BLOCKS_AT + 2], "little")
    size = BLOCK_NAME_SIZE + 4 + BLOCK_SIZE
    if len(data) < BLOCKS_AT + 2 + count * size:
        raise BadAnswer("a block file that ends early")
    blocks = []
    for at in range(BLOCKS_AT + 2, BLOCKS_AT + 2 + count * size, size):
        name = clean_name(data[at : at + BLOCK_NAME_SIZE])
        members = int.from_bytes(data[at + BLOCK_NAME_SIZE : at + BLOCK_NAME_SIZE + 2], "little")
        if members * BLOCK_CODE_SIZE > BLOCK_SIZE:
            raise BadAnswer(f"a block of {members} members")
        first = at + BLOCK_NAME_SIZE + 4
        codes = [data[p : p + 7] for p in range(first, first + members * BLOCK_CODE_SIZE, BLOCK_CODE_SIZE)]
        blocks.append((name, [_digits(code.split(b"\0")[0]) for code in codes]))
    return blocks
