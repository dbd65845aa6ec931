"""How the CSV files of the store are read: fast where they are ours, patient where a user put them there.

Many files are read as one text, since a parse costs more before its first row than all rows of a short file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from ..base.errors import FinancialModelError
from .csv_source import read_bars_csv
from .source import BAR_COLUMNS, Bars

HEADER = ("\ufeff" + ",".join(BAR_COLUMNS) + "\n").encode()  # as `table_text` writes it
NEWLINE = ord("\n")
_ALONE = pa.csv.ReadOptions(use_threads=False)
# Each line is a row or an error: nothing that one file holds can shift the rows of the next.
_STRICT = pa.csv.ParseOptions(quote_char=False, ignore_empty_lines=False)
_CONVERT = pa.csv.ConvertOptions(
    column_types={"date": pa.date32()} | dict.fromkeys(BAR_COLUMNS[1:], pa.float64()),
    include_columns=list(BAR_COLUMNS),
    include_missing_columns=True,
)


def read_store_csv(path: Path, code: str) -> Bars:
    """The bars of one file; BadTable when it is no table of bars."""
    try:
        # Its bytes at once: Arrow's own reading of a path costs a tenth of the parsing.
        data = pa.BufferReader(read_whole(path))
        table = pa.csv.read_csv(data, read_options=_ALONE, convert_options=_CONVERT)
    except pa.ArrowInvalid:
        return read_bars_csv(path, code)[0]
    if _has_holes(table):
        return read_bars_csv(path, code)[0]
    return Bars(code=code, **{name: _numbers(table[name]) for name in BAR_COLUMNS})


def read_store_csvs(folder: Path, codes: Sequence[str]) -> list[Bars | FinancialModelError]:
    """The bars of each code's file as `read_store_csv` reads it, or the error in which that ends."""
    texts = {code: read_whole(folder / f"{code}.csv") for code in codes}
    found = _read_as_one({code: text for code, text in texts.items() if text.startswith(HEADER)})

    def alone(code: str) -> Bars | FinancialModelError:
        try:
            return read_store_csv(folder / f"{code}.csv", code)
        except FinancialModelError as error:
            return error

    return [found[code] if code in found else alone(code) for code in codes]


def read_whole(path: Path | str) -> bytes:
    """A file's bytes, without the buffer that `Path.read_bytes` puts between and fills anew for each file."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def count_lines(text: bytes) -> int:
    """The lines of a text, the last of which need not end.

    >>> count_lines(b"date\\n2024-06-03\\n2024-06-04")
    3
    """
    # By numpy, which leaves the interpreter to the other threads; `bytes.count` does not.
    ended = int(np.count_nonzero(np.frombuffer(text, np.uint8) == NEWLINE)) if text else 0
    return ended + (bool(text) and not text.endswith(b"\n"))


def _read_as_one(texts: dict[str, bytes]) -> dict[str, Bars]:
    """The bars by code of texts that begin with HEADER; none at all where one is not as a store writes it."""
    counts = [count_lines(text) - 1 for text in texts.values()]
    pieces: list[bytes | memoryview] = [HEADER]
    for text in texts.values():
        pieces += [memoryview(text)[len(HEADER) :], b"" if text.endswith(b"\n") else b"\n"]
    try:
        whole = b"".join(pieces)
        # One block and no threads of Arrow's: columns come in one piece, and other texts are read meanwhile.
        options = pa.csv.ReadOptions(use_threads=False, block_size=len(whole))
        pool = pa.system_memory_pool()  # of Arrow's pools the one that threads share best while it is new
        table = pa.csv.read_csv(pa.BufferReader(whole), options, _STRICT, _CONVERT, memory_pool=pool)
    except (pa.ArrowInvalid, OverflowError):  # the latter where the text is longer than a block can be, 2 GiB
        return {}
    if table.num_rows != sum(counts) or _has_holes(table):
        return {}
    columns = {name: _numbers(table[name]) for name in BAR_COLUMNS}
    found, start = {}, 0
    for code, count in zip(texts, counts, strict=True):
        rows = slice(start, start + count)
        found[code] = Bars(code=code, **{name: values[rows] for name, values in columns.items()})
        start += count
    return found


def _has_holes(table: pa.Table) -> bool:
    """A number is missing that only the amount may be."""
    return any(table[name].null_count for name in BAR_COLUMNS[:-1])


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column as numpy, missing numbers as NaN; a view where the text was one block.

    Not `to_numpy`, which imports pandas: half a second.
    """
    if column.null_count:
        column = column.fill_null(np.nan)
    is_date = pa.types.is_date32(column.type)
    chunks = [
        np.frombuffer(chunk.buffers()[1], np.int32 if is_date else np.float64)[
            chunk.offset : chunk.offset + len(chunk)
        ]
        for chunk in column.chunks
        if len(chunk)
    ]
    if len(chunks) == 1:
        values = chunks[0]
    else:
        values = np.concatenate(chunks) if chunks else np.empty(0)
    return values.astype("datetime64[D]") if is_date else values
