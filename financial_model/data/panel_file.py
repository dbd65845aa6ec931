"""The panel's Arrow file as it is written: laid out first, its large buffers left as holes, then filled.

Each piece of a column goes straight to its place, from any thread, so no column is ever held whole.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from ..base.workspace import replace_when_done, sync_file
from .panel import FLAG_COLUMNS, FLOAT_COLUMNS, FORMAT, Array

HOLE_BYTES = 4096


@dataclass(frozen=True)
class Layout:
    """Where each column's values begin in the file, and their type."""

    offset_of: dict[str, int]
    dtype_of: dict[str, np.dtype[Any]]


def lay_out(
    path: Path,
    codes: Sequence[str],
    offsets: Array,
    vocabularies: Mapping[str, Sequence[str]],
    fingerprint: str,
    is_simulated: bool,
) -> Layout:
    """Write an Arrow file of the right shape whose columns are holes, and say where they lie.

    All of Arrow's own framing is written by Arrow; only the column buffers are skipped, which a file
    system keeps as holes until they are filled.
    """
    row_count = int(offsets[-1])
    # Never touched: the pages of a fresh allocation cost nothing until they are read or written.
    zeros = pa.py_buffer(np.zeros(max(row_count, 1), dtype=np.float64))

    def hole(kind: pa.DataType) -> pa.Array:
        width = kind.bit_width // 8
        return pa.Array.from_buffers(kind, row_count, [None, zeros.slice(0, row_count * width)], null_count=0)

    words = pa.array(list(codes), pa.string())
    indices = pa.array(np.repeat(np.arange(len(codes), dtype=np.int32), np.diff(offsets)))
    columns: dict[str, pa.Array] = {"code": pa.DictionaryArray.from_arrays(indices, words)}
    columns["date"] = hole(pa.date32())
    columns["session_index"] = hole(pa.int32())
    columns |= {name: hole(pa.float64()) for name in FLOAT_COLUMNS}
    columns |= {name: hole(pa.int8()) for name in (*FLAG_COLUMNS, *vocabularies)}
    metadata = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "simulated": "true" if is_simulated else "false",
        "vocabularies": json.dumps({name: list(names) for name, names in vocabularies.items()}),
    }
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    batch = batch.replace_schema_metadata(metadata)
    with open(path, "wb") as file, pa.PythonFile(_HoleSink(file, zeros), mode="w") as sink:
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        file.truncate()
    with pa.memory_map(str(path)) as file:
        whole = file.read_buffer()
        written = pa.ipc.open_file(pa.BufferReader(whole)).get_batch(0)
        offset_of = {
            name: written.column(name).buffers()[1].address - whole.address
            for name in columns
            if name != "code"
        }
        dtype_of = {
            name: np.dtype(np.int32)
            if name in ("date", "session_index")
            else np.dtype(columns[name].type.to_pandas_dtype())
            for name in offset_of
        }
    return Layout(offset_of, dtype_of)


class _HoleSink:
    """A file that seeks over the zeros of a buffer instead of writing them."""

    def __init__(self, file: BinaryIO, zeros: pa.Buffer) -> None:
        self._file = file
        self._zeros = range(zeros.address, zeros.address + zeros.size)
        self.closed = False

    def write(self, data: Any) -> int:
        if isinstance(data, pa.Buffer):
            if data.size > HOLE_BYTES and data.address in self._zeros:
                self._file.seek(data.size, os.SEEK_CUR)
            else:
                self._file.write(memoryview(data))
            return data.size
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class ColumnFile:
    """Writes pieces of columns to their places, from any thread."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115
        self._layout = layout
        self._lock = threading.Lock()

    def __enter__(self) -> "ColumnFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, name: str, row: int, values: Array) -> None:
        dtype = self._layout.dtype_of[name]
        data = memoryview(np.ascontiguousarray(values, dtype=dtype).view(np.uint8).data)
        place = self._layout.offset_of[name] + row * dtype.itemsize
        while data:
            if hasattr(os, "pwrite"):
                written = os.pwrite(self._file.fileno(), data, place)
            else:
                with self._lock:
                    self._file.seek(place)
                    written = self._file.write(data) or 0
            data, place = data[written:], place + written


@contextlib.contextmanager
def going_to_disk(path: Path) -> Iterator[None]:
    """What the file holds goes to the disk while the block works, so that its end has little to wait for."""
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(sync_file, path)
        yield
    going.result()


def write_batch(path: Path, batch: pa.RecordBatch) -> None:
    with (
        replace_when_done(path) as part,
        pa.OSFile(str(part), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema) as writer,
    ):
        writer.write_batch(batch)
