"""Bars from CSV files, as people and other programs write them.

Encodings utf-8 (with or without a mark) and gb18030; column names in English or Chinese; dates as
2018-06-29, 2018/6/29 or 20180629; separators comma, semicolon, tab. Only date, open, high, low, close and
volume are required. Volume comes in shares or in lots of 100, amount in CNY, thousands or ten thousands of
CNY: amount / volume has to lie within low..high, which it does for one pair of units alone. A header that
names a unit, such as 成交额(万元), narrows the choice. Where a file has no amount, shares are assumed, which
is the documented unit; `volume_units` says what was found so that the user can be told.
"""

import contextlib
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..base.errors import BadTable, CodeNotHeld, NoBarsFound, UnknownCode
from ..market.codes import is_index, parse_code
from .source import BAR_COLUMNS, Bars

# What other programs call our columns; compared in lower case, without blanks and units in brackets.
COLUMN_ALIASES = {
    "date": (
        "date",
        "日期",
        "交易日期",
        "时间",
        "trade_date",
        "tradedate",
        "trading_date",
        "datetime",
        "time",
        "day",
    ),
    "open": ("open", "开盘", "开盘价", "开", "今开"),
    "high": ("high", "最高", "最高价", "高"),
    "low": ("low", "最低", "最低价", "低"),
    "close": ("close", "收盘", "收盘价", "收"),
    "volume": ("volume", "vol", "成交量", "总手", "volume_shares"),
    "amount": ("amount", "成交额", "成交金额", "金额", "money", "amount_cny"),
}
CODE_COLUMNS = ("code", "ts_code", "symbol", "股票代码", "证券代码", "代码")
REQUIRED = ("date", "open", "high", "low", "close", "volume")
_NAME_OF = {alias: name for name, aliases in COLUMN_ALIASES.items() for alias in aliases}
_NAME_OF |= dict.fromkeys(CODE_COLUMNS, "code")
_UNIT = re.compile(r"[(\[（【](.*?)[)\]）】]")
NULLS = ["", "nan", "NaN", "NAN", "null", "NULL", "None", "none", "--", "-", "N/A", "#N/A"]
LOT = 100.0
# What one of each unit is in shares and in CNY, and how headers name it. No two pairs share a quotient, so
# a mean price tells both.
VOLUME_UNITS = {"shares": 1.0, "lots": LOT}
AMOUNT_UNITS = {"CNY": 1.0, "thousand CNY": 1e3, "ten thousand CNY": 1e4}
_WORDS = {
    "volume": {"股": "shares", "shares": "shares", "手": "lots", "lots": "lots"},
    "amount": {
        "元": "CNY",
        "cny": "CNY",
        "千元": "thousand CNY",
        "万元": "ten thousand CNY",
        "万": "ten thousand CNY",
    },
}
# Names that say a unit themselves, without brackets.
_UNIT_OF_NAME = {"总手": "lots", "volume_shares": "shares", "amount_cny": "CNY"}
# amount / volume is a mean price: it lies within low..high up to rounding of the amount.
UNIT_TOLERANCE = 0.02
THOUSANDS = r"^-?\d{1,3}(,\d{3})+(\.\d+)?$"
FIRST_DAY, LAST_DAY = np.array(["1900-01-01", "2199-12-31"], dtype="datetime64[D]").astype(int)
DATE_EXPECTED = "a date such as 2018-06-29, 2018/6/29 or 20180629"


class CsvSource:
    """Text files of bars, one code a file, the code being the file's name (SH600000.csv, SH#600000.txt).

    Files named in `others` hold something else and are passed over; any other name is told in `skipped`.
    """

    is_simulated = False

    def __init__(self, path: Path, others: Collection[str] = ()) -> None:
        self.name = "csv"
        self.volume_units: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self._paths: dict[str, Path] = {}
        files = (
            [path]
            if path.is_file()
            else sorted(p for p in path.iterdir() if p.suffix.lower() in (".csv", ".txt") and p.is_file())
        )
        for file in files:
            if file.name.startswith(".") or file.stem in others:
                continue
            try:
                code = parse_code(file.stem)
            except UnknownCode as error:
                self.skipped[file.name] = str(error)
                continue
            if code in self._paths:
                self.skipped[file.name] = f"{code} was already taken from {self._paths[code].name}"
            else:
                self._paths[code] = file
        if not self._paths:
            raise NoBarsFound(path, "CSV files named by their code, such as SH600000.csv")

    def codes(self) -> list[str]:
        return sorted(self._paths)

    def fetch_bars(self, code: str) -> Bars:
        if code not in self._paths:
            raise CodeNotHeld(code, "this folder", "Check the code, or choose another folder.")
        bars, unit = read_bars_csv(self._paths[code], code)
        self.volume_units[code] = unit
        return bars


def read_bars_csv(path: Path, code: str) -> tuple[Bars, str]:
    """The bars of one CSV file in shares and CNY, and the units they were in as `units_of` tells them.

    Rows stay as they are and in their order, holes as NaN: judging them is `quality`'s part. BadTable
    names the row or column that cannot be read.
    """
    data = _body(path, decode(path))
    separator = _separator(data)
    header = data[: data.find(b"\n")] if b"\n" in data else data
    names, said = _columns(path, header.decode("utf-8", "replace"), separator)
    table = _read_table(path, data, separator, names)
    _check_code(path, table, code)
    columns: dict[str, npt.NDArray[Any]] = {"date": parse_dates(path, table["date"])}
    for name in BAR_COLUMNS[1:]:
        if name in table:
            columns[name] = _numbers(path, name, table[name])
    bars = Bars.of(code, **columns)
    if is_index(code):  # its volume counts shares of many prices, so no mean price tells its units
        volume, amount, told = said.get("volume", "shares"), said.get("amount", "CNY"), ""
    else:
        volume, amount, told = units_of(bars, said)
    bars = replace(bars, volume=bars.volume * VOLUME_UNITS[volume], amount=bars.amount * AMOUNT_UNITS[amount])
    return bars, told or volume


def decode(path: Path) -> bytes:
    """A text file's content as utf-8 without a mark, read as utf-8, else gb18030 (which GBK is part of)."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16").encode("utf-8")
        except UnicodeDecodeError:
            raise BadTable(path, "the text", "broken UTF-16", "a CSV file in UTF-8 or GB18030") from None
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.isascii():
        return data
    try:
        data.decode("utf-8")
        return data
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("gb18030").encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadTable(
            path, f"byte {error.start}", data[error.start : error.start + 8], "a CSV file in UTF-8 or GB18030"
        ) from None


def _body(path: Path, data: bytes) -> bytes:
    """The header and the rows, without the title and the last line that a 通达信 client writes around them.

    BadTable when the title says that prices are adjusted: the store holds raw ones.
    """
    title, _, rest = data.partition(b"\n")
    text = title.decode("utf-8", "replace")
    if not any(plain in text.lower() for plain in COLUMN_ALIASES["date"]) and "日线" in text:
        for word in ("前复权", "后复权"):
            if word in text:
                raise BadTable(path, "the title", word, "raw prices: export with 不复权")
        data = rest
    kept = data.rstrip()
    last = kept[kept.rfind(b"\n") + 1 :].decode("utf-8", "replace")
    return kept[: len(kept) - len(last.encode())] if last.lstrip("#").startswith("数据来源") else data


def _check_code(path: Path, table: Mapping[str, pa.Array], code: str) -> None:
    """BadTable where a column of codes speaks of other stocks than the file's name does."""
    written = pc.unique(table["code"].drop_null()).to_pylist() if "code" in table else []
    digits = {"".join(re.findall(r"\d", text))[-6:].zfill(6) for text in written}
    if len(digits) > 1:
        seen = ", ".join(written[:3])
        raise BadTable(path, "the column of codes", f"{seen} ...", "one stock a file, named by its code")
    if digits and code[2:].isdigit() and digits != {code[2:]}:
        raise BadTable(path, "the column of codes", written[0], f"{code}, which the file's name says")


def _separator(data: bytes) -> str:
    first = data.split(b"\n", 1)[0]
    return max((",", ";", "\t"), key=lambda separator: first.count(separator.encode()))


def _columns(path: Path, header: str, separator: str) -> tuple[list[str], dict[str, str]]:
    """Our names of a header's columns ("" for others), and the units of volume and amount that it names."""
    names: list[str] = []
    units: dict[str, str] = {}
    for text in header.strip("\r\n").split(separator):
        text = text.strip().strip('"').strip()
        plain = _UNIT.sub("", text).replace(" ", "").lower()
        name = _NAME_OF.get(plain, "")
        if name in _WORDS and name not in names:
            said = _UNIT.search(text)
            unit = _WORDS[name].get(said[1].strip().lower()) if said else _UNIT_OF_NAME.get(plain)
            if said and unit is None:
                expected = f"one of {', '.join(_WORDS[name])}, or no unit"
                raise BadTable(path, f"the header, unit of {name}", said[1], expected)
            if unit is not None:
                units[name] = unit
        names.append("" if name in names else name)
    if missing := [name for name in REQUIRED if name not in names]:
        raise BadTable(
            path,
            "the header",
            header.strip()[:60],
            f"the columns {', '.join(REQUIRED)} ({' and '.join(missing)} not found)",
        )
    return names, units


def _read_table(path: Path, data: bytes, separator: str, names: list[str]) -> dict[str, pa.Array]:
    unique = [name or f"_{k}" for k, name in enumerate(names)]
    wanted = [name for name in names if name]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(column_names=unique, skip_rows=1, use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=separator),
            convert_options=pa.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=NULLS,
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadTable(path, "the rows", str(error).splitlines()[0], f"{len(names)} columns a row") from None
    columns = {name: table[name].combine_chunks() for name in wanted}
    count = table.num_rows  # without the empty rows that spreadsheets leave at the end
    while count and not any(column[count - 1].is_valid for column in columns.values()):
        count -= 1
    return {name: column[:count] for name, column in columns.items()}


def _numbers(path: Path, name: str, text: pa.Array) -> npt.NDArray[np.float64]:
    text = pc.utf8_trim_whitespace(text)
    try:
        values = text.cast(pa.float64())
    except pa.ArrowInvalid:
        values = _grouped_numbers(path, name, text)
    return values.to_numpy(zero_copy_only=False).astype(np.float64)


def _grouped_numbers(path: Path, name: str, text: pa.Array) -> pa.Array:
    """Numbers of which some group their thousands, as in 794,200; BadTable names the first that is none."""
    is_grouped = pc.match_substring_regex(text, THOUSANDS)
    plain = pc.if_else(is_grouped, pc.replace_substring(text, ",", ""), text)
    try:
        return plain.cast(pa.float64())
    except pa.ArrowInvalid:
        for row, cell in enumerate(plain.to_pylist()):
            try:
                float(cell or "nan")
            except ValueError:
                raise BadTable(path, f"line {row + 2}, column {name}", cell, "a number") from None
        raise BadTable(path, f"column {name}", "odd numbers", "plain numbers such as 12.34") from None


def parse_dates(path: Path, text: pa.Array) -> npt.NDArray[np.datetime64]:
    """datetime64[D] of written dates; BadTable names the first that is none.

    >>> parse_dates(Path("x.csv"), pa.array(["2018-06-29", "2018/6/2", "20180603"])).astype(str).tolist()
    ['2018-06-29', '2018-06-02', '2018-06-03']
    """
    if not text.null_count:
        with contextlib.suppress(pa.ArrowInvalid):  # not all 2018-06-29: the pattern below reads the others
            cast = text.cast(pa.date32())
            days = np.frombuffer(cast.buffers()[1], np.int32)[cast.offset : cast.offset + len(cast)]
            if len(days) and days.min() >= FIRST_DAY and days.max() <= LAST_DAY:
                return days.astype("datetime64[D]")
    pattern = (
        r"^\s*(?P<y>\d{4})(?:[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})|(?P<n>\d{2})(?P<e>\d{2}))(?:[ T].*)?\s*$"
    )
    parts = pc.extract_regex(text, pattern)

    def number(*names: str) -> npt.NDArray[np.int64]:
        joined = pc.struct_field(parts, names[0])
        for name in names[1:]:
            joined = pc.binary_join_element_wise(joined, pc.struct_field(parts, name), "")
        filled = pc.fill_null(joined, "0")
        return pc.if_else(pc.equal(filled, ""), "0", filled).cast(pa.int64()).to_numpy(zero_copy_only=False)

    year, month, day = number("y"), number("m", "n"), number("d", "e")
    dates = dates_of(year, month, day)
    if np.isnat(dates).any():
        row = int(np.flatnonzero(np.isnat(dates))[0])
        raise BadTable(path, f"line {row + 2}, column date", text[row].as_py() or "", DATE_EXPECTED)
    return dates


def dates_of(
    year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day: npt.NDArray[np.int64]
) -> npt.NDArray[np.datetime64]:
    """datetime64[D] of year, month, day; NaT where there is no such day.

    >>> dates_of(np.array([2016, 2015]), np.array([2, 2]), np.array([29, 29])).astype(str).tolist()
    ['2016-02-29', 'NaT']
    """
    possible = (year >= 1900) & (year <= 2199) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = (np.where(possible, (year - 1970) * 12 + month - 1, 0)).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + np.where(possible, day - 1, 0).astype("timedelta64[D]")
    # The 31st of a short month has run over into the next.
    possible &= dates.astype("datetime64[M]") == months
    return np.where(possible, dates, np.datetime64("NaT", "D"))


def units_of(bars: Bars, said: Mapping[str, str]) -> tuple[str, str, str]:
    """(unit of volume, unit of amount, how to tell them), of which amount / volume lies within low..high.

    `said` holds what the header names. Told is "shares" for shares and CNY, "assumed shares" where
    amounts are missing, "unclear units" where no pair fits half of the sessions: those stay as the header
    names them, or shares and CNY.
    """
    volume, amount = said.get("volume", "shares"), said.get("amount", "CNY")
    told = (bars.volume > 0) & (bars.amount > 0) & (bars.low > 0) & (bars.high >= bars.low)
    if not told.any():
        return volume, amount, volume if "volume" in said else "assumed shares"
    price = bars.amount[told] / bars.volume[told]
    low, high = bars.low[told] * (1 - UNIT_TOLERANCE), bars.high[told] * (1 + UNIT_TOLERANCE)
    pairs = [
        (one, other)
        for one in VOLUME_UNITS
        for other in AMOUNT_UNITS
        if said.get("volume", one) == one and said.get("amount", other) == other
    ]

    def fit(pair: tuple[str, str]) -> float:
        """Share of the sessions whose mean price is right in these units."""
        mean = price * (AMOUNT_UNITS[pair[1]] / VOLUME_UNITS[pair[0]])
        return float(np.mean((mean >= low) & (mean <= high)))

    best = max(pairs, key=fit)
    if fit(best) < 0.5:
        return volume, amount, "unclear units"
    volume, amount = best
    return volume, amount, volume if amount == "CNY" else f"{volume} with amounts in {amount}"


def table_text(columns: dict[str, npt.NDArray[Any]]) -> bytes:
    """Columns as CSV in utf-8 with a mark, numbers in their shortest exact form, NaN and NaT as nothing."""
    arrays = []
    for values in columns.values():
        if values.dtype.kind == "M":
            arrays.append(pa.array(values.astype("datetime64[D]"), from_pandas=True))
        elif values.dtype.kind == "f":
            known = values[np.isfinite(values)]
            if (
                len(known) == len(values)
                and (np.abs(known) < 2**53).all()
                and (known == np.floor(known)).all()
            ):
                arrays.append(pa.array(values.astype(np.int64)))
            else:
                arrays.append(pa.array(values, from_pandas=True))
        else:
            arrays.append(pa.array(values.tolist() if values.dtype.kind in "OU" else values))
    sink = io.BytesIO()
    sink.write("﻿".encode())
    sink.write((",".join(columns) + "\n").encode())
    table = pa.table(arrays, names=list(columns))
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    pa.csv.write_csv(table, sink, options)
    return sink.getvalue()
