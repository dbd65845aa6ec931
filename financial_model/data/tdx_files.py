"""Bars from the day files of a 通达信 client: the fastest source there is, without a network.

`vipdoc/{sh,sz,bj}/lday/sh600000.day` holds records of 32 bytes, little-endian: date as YYYYMMDD, open,
high, low, close in 0.01 CNY, amount as float32 CNY, volume (shares; for an index lots of 100), a reserved
field. A whole file is one view of its bytes.
"""

from pathlib import Path

import numpy as np

from ..base.errors import BadTable, CodeNotHeld, NoBarsFound
from ..market.codes import is_index, is_stock
from .csv_source import LOT, dates_of
from .source import Bars

RECORD = np.dtype(
    [
        ("date", "<u4"),
        ("open", "<u4"),
        ("high", "<u4"),
        ("low", "<u4"),
        ("close", "<u4"),
        ("amount", "<f4"),
        ("volume", "<u4"),
        ("reserved", "<u4"),
    ]
)
TICK_COUNT = 100.0  # prices are counted in 0.01 CNY


def find_vipdoc(path: Path) -> Path | None:
    """The vipdoc folder that `path` is or holds; None when there is none.

    A client's own folder holds one, whatever the case of its letters.
    """
    for folder in (path, *sorted(p for p in path.iterdir() if p.is_dir() and p.name.lower() == "vipdoc")):
        if any((folder / exchange / "lday").is_dir() for exchange in ("sh", "sz", "bj", "SH", "SZ", "BJ")):
            return folder
    return None


class TdxFiles:
    """The day files under one vipdoc folder; funds, bonds and B shares beside the stocks are left out."""

    name = "tdx_files"
    is_simulated = False

    def __init__(self, vipdoc: Path) -> None:
        self._paths: dict[str, Path] = {}
        for path in sorted(vipdoc.glob("*/lday/*.[dD][aA][yY]")):
            code = path.stem.upper()
            # A pipe or a device of that name would be waited for, or read, without end.
            if (is_stock(code) or is_index(code)) and path.is_file():
                self._paths[code] = path
        if not self._paths:
            raise NoBarsFound(vipdoc, "day files such as sh/lday/sh600000.day")

    def codes(self) -> list[str]:
        return sorted(self._paths)

    def fetch_bars(self, code: str) -> Bars:
        if code not in self._paths:
            raise CodeNotHeld(code, "this vipdoc folder", "Check the code, or choose another folder.")
        return read_day_file(self._paths[code], code)


def read_day_file(path: Path, code: str) -> Bars:
    """The bars of one day file in its own order; BadTable when it is no whole number of dated records."""
    return decode_day_records(path.read_bytes(), code, path)


def decode_day_records(data: bytes, code: str, path: Path) -> Bars:
    """Bars from a day file's bytes; `path` is named in errors."""
    if len(data) % RECORD.itemsize:
        raise BadTable(
            path, "the end", f"{len(data)} bytes", f"a whole number of records of {RECORD.itemsize} bytes"
        )
    records = np.frombuffer(data, dtype=RECORD)
    written = records["date"].astype(np.int64)
    dates = dates_of(written // 10_000, written // 100 % 100, written % 100)
    if np.isnat(dates).any():
        row = int(np.flatnonzero(np.isnat(dates))[0])
        raise BadTable(path, f"record {row + 1}", int(written[row]), "a date as YYYYMMDD")
    with np.errstate(invalid="ignore"):  # a torn amount may be a NaN of the kind that warns
        amount = records["amount"].astype(np.float64)
    return Bars(
        code=code,
        date=dates,
        **{name: records[name] / TICK_COUNT for name in ("open", "high", "low", "close")},
        volume=records["volume"] * (LOT if is_index(code) else 1.0),
        amount=np.where(np.isfinite(amount), amount, np.nan),
    )
