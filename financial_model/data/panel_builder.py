"""Makes the panel from the store: per stock in parallel, straight into the columns of the final file.

The Arrow file is laid out first, its large buffers left as holes; each stock's columns are then written
where they belong. So no column is ever held whole, and memory does not grow with the universe. Stocks
whose inputs have not changed are copied from the panel before; where nothing has changed nothing is
written.
"""

import functools
import hashlib
import itertools
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from ..base.errors import BadConditions, DamagedFile, FinancialModelError, NoBarsFound, NothingUsable
from ..base.progress import Progress
from ..base.workspace import Workspace, locked, read_json, replace_when_done, write_json
from .bar_store import BarStore, read_store_csv, remove_leftovers
from .panel import (
    FLOAT_COLUMNS,
    FORMAT,
    Array,
    Panel,
    indices_path,
    remove_other_side_files,
    sessions_path,
)
from .quality import limits_of, usable_rows
from .reference_store import KINDS, Facts, ReferenceStore, value_as_of
from .source import BAR_COLUMNS, PRICE_COLUMNS, Bars

Conditions = Callable[[Panel], Mapping[str, Array]]

# Facts that enter a stock's own columns; the others reach the panel through the conditions alone.
STOCK_TABLES = ("corporate_actions", "st_periods", "share_capital", "stock_list")
HOLE_BYTES = 4096
DAY_COUNT = 100_000  # days since 1970 that a date may be, to 2243


@dataclass(frozen=True)
class StockInput:
    """What one stock is built from: its file as it was seen, and digests of the file and of its facts."""

    size: int
    mtime_ns: int
    digest: str
    facts: str
    row_count: int

    @property
    def key(self) -> str:
        return self.digest + self.facts


def build_panel(
    workspace: Workspace,
    conditions: Conditions,
    vocabularies: Mapping[str, Sequence[str]],
    *,
    conditions_key: str = "",
    rebuild: bool = False,
    progress: Progress | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Build `data_cache/panel.arrow` from the store, or find that it is up to date.

    conditions: given the panel without its condition columns, an int8 column (N,) per name of
    `vocabularies`. It is called once a name, so its mapping had better compute a column when that is asked
    for. conditions_key: text that changes whenever their settings or law do. Returns what was done: built,
    copied and dropped stocks, rows, sessions, what was wrong.
    """
    progress = progress or Progress()
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    with locked(workspace.cache_dir / ".lock", "build-panel", "The panel (data_cache)"):
        remove_leftovers(workspace.cache_dir)
        return _Builder(workspace, vocabularies, conditions_key, rebuild, progress, workers).build(conditions)


class _Builder:
    def __init__(
        self,
        workspace: Workspace,
        vocabularies: Mapping[str, Sequence[str]],
        conditions_key: str,
        rebuild: bool,
        progress: Progress,
        workers: int | None,
    ) -> None:
        self.workspace = workspace
        self.path = workspace.panel_path
        self.state_path = workspace.cache_dir / "panel.json"
        self.vocabularies = {name: tuple(words) for name, words in vocabularies.items()}
        self.conditions_key = conditions_key
        self.progress = progress
        self.workers = workers or min(8, os.cpu_count() or 1)
        self.store = BarStore(workspace)
        self.is_simulated = self.store.is_simulated
        self.state = {} if rebuild else self._old_state()
        self.failures: dict[str, str] = {}

    def _old_state(self) -> dict[str, Any]:
        """What the panel on disk was built from; empty when there is none that can be leaned on."""
        try:
            state = read_json(self.state_path)
            if state["format"] != FORMAT:
                return {}
            panel = Panel.map_file(self.path)
            if panel.fingerprint != state["fingerprint"] or self.path.stat().st_size != state["panel_bytes"]:
                return {}
            known = {code: StockInput(*values) for code, values in state["stocks"].items()}
            counts = {code: seen.row_count for code, seen in known.items() if seen.row_count}
            if counts != dict(zip(panel.codes, np.diff(panel.offsets).tolist(), strict=True)):
                return {}
            return state | {"stocks": known, "panel": panel}
        except (DamagedFile, OSError, KeyError, TypeError, ValueError):
            return {}

    def build(self, conditions: Conditions) -> dict[str, Any]:
        inputs = self._inputs()
        before, told = self.state.get("stocks", {}), self.state.get("failures", {})
        self.failures = {
            code: why
            for code, why in told.items()
            if code in inputs and before[code].digest == inputs[code].digest
        }
        tables = self._market_key()
        fingerprint = self._fingerprint(inputs, tables)
        if self.state and self.state["fingerprint"] == fingerprint:
            panel = self.state["panel"]
            self._write_state(inputs, tables, fingerprint, only_when_touched=True)
            return self._result(panel, built=0, copied=len(panel.codes), dropped=[], changed=False)
        indices = self._indices()
        while True:
            try:
                return self._write(inputs, tables, indices, conditions)
            except _RowsDiffer as error:
                # A file held blank or unusable rows, so the layout has to give it fewer.
                for code, count in error.counts.items():
                    inputs[code] = replace(inputs[code], row_count=count)

    # What goes in

    def _inputs(self) -> dict[str, StockInput]:
        """Each stock's file and facts; a file whose size and time are as before is not read again."""
        codes = self.store.codes()
        if not codes:
            raise NoBarsFound(self.workspace.bars_dir, "CSV files such as SH600000.csv (import or download)")
        before: dict[str, StockInput] = self.state.get("stocks", {})
        self.first_session = self._market_first_session()
        self.facts_key = [str(self.first_session), *map(self._file_key, STOCK_TABLES)]
        if self.state.get("facts_key") == self.facts_key and before.keys() >= set(codes):
            facts_digests = {code: before[code].facts for code in codes}
        else:
            facts_digests = self._facts_digests(codes)

        def look(code: str) -> StockInput:
            path = self.workspace.bars_dir / f"{code}.csv"
            seen, old = path.stat(), before.get(code)
            facts = facts_digests[code]
            if old and (old.size, old.mtime_ns) == (seen.st_size, seen.st_mtime_ns):
                return replace(old, facts=facts)
            data = path.read_bytes()
            digest = hashlib.blake2b(data, digest_size=12).hexdigest()
            if old and old.digest == digest:
                return replace(old, size=seen.st_size, mtime_ns=seen.st_mtime_ns, facts=facts)
            lines = data.count(b"\n") + (not data.endswith(b"\n")) - 1
            return StockInput(seen.st_size, seen.st_mtime_ns, digest, facts, max(lines, 0))

        with ThreadPoolExecutor(self.workers) as pool:
            return dict(zip(codes, pool.map(look, codes), strict=True))

    @functools.cached_property
    def facts(self) -> dict[str, Facts]:
        return {name: ReferenceStore(self.workspace).read(name) for name in STOCK_TABLES}

    def _file_key(self, name: str) -> list[int]:
        path = self.workspace.reference_path(name)
        seen = path.stat() if path.is_file() else None
        return [seen.st_size, seen.st_mtime_ns] if seen else []

    def _market_first_session(self) -> np.datetime64 | None:
        firsts = [
            values["first"]
            for code, values in self.store.metadata()["codes"].items()
            if isinstance(values, dict) and values.get("first")
        ]
        return np.datetime64(min(firsts), "D") if firsts else None

    def _facts_digests(self, codes: list[str]) -> dict[str, str]:
        hashes = {code: hashlib.blake2b(str(self.first_session).encode(), digest_size=8) for code in codes}
        for name, facts in self.facts.items():
            kind = KINDS[name]
            days = [facts[column].astype(np.int64) for column in kind.dates]
            numbers = [facts[column].view(np.int64) for column in kind.numbers]
            rows = np.ascontiguousarray(np.stack([*days, *numbers], axis=1)) if len(facts) else None
            if rows is None:
                continue
            edges = np.searchsorted(facts["code"], codes), np.searchsorted(facts["code"], codes, "right")
            for code, start, stop in zip(codes, *edges, strict=True):
                if stop > start:
                    hashes[code].update(name.encode() + rows[start:stop].tobytes())
        return {code: made.hexdigest() for code, made in hashes.items()}

    def _market_key(self) -> dict[str, list[Any]]:
        """Digests of the files that reach every stock: indices and the tables behind the conditions."""
        before = self.state.get("tables", {})
        paths = [self.workspace.index_dir / f"{code}.csv" for code in self.store.index_codes()]
        paths += [self.workspace.reference_path(name) for name in KINDS if name not in STOCK_TABLES]
        found = {}
        for path in paths:
            if path.is_file():
                name, seen = path.relative_to(self.workspace.root).as_posix(), path.stat()
                old = before.get(name)
                if old and old[:2] == [seen.st_size, seen.st_mtime_ns]:
                    found[name] = old
                else:
                    digest = hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()
                    found[name] = [seen.st_size, seen.st_mtime_ns, digest]
        return found

    def _fingerprint(self, inputs: Mapping[str, StockInput], tables: Mapping[str, list[Any]]) -> str:
        parts = {
            "format": FORMAT,
            "simulated": self.is_simulated,
            "conditions": [
                self.conditions_key,
                {name: list(words) for name, words in self.vocabularies.items()},
            ],
            "stocks": {code: stock.key for code, stock in inputs.items()},
            "tables": {name: values[2] for name, values in sorted(tables.items())},
        }
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=10).hexdigest()

    def _indices(self) -> list[Bars]:
        found = []
        for code in self.store.index_codes():
            try:
                bars = self.store.read(code)
                found.append(bars.take(usable_rows(bars)))
            except FinancialModelError as error:
                self.failures[code] = str(error)
        return found

    # What comes out

    def _write(
        self,
        inputs: dict[str, StockInput],
        tables: dict[str, list[Any]],
        indices: list[Bars],
        conditions: Conditions,
    ) -> dict[str, Any]:
        fingerprint = self._fingerprint(inputs, tables)
        codes = sorted(code for code in inputs if inputs[code].row_count)
        if not codes:
            raise NothingUsable("stocks", self.failures)
        offsets = np.concatenate([[0], np.cumsum([inputs[code].row_count for code in codes])])
        before: dict[str, StockInput] = self.state.get("stocks", {})
        kept = {code for code in codes if code in before and before[code].key == inputs[code].key}
        old_panel: Panel | None = self.state.get("panel")
        with replace_when_done(self.path) as part:
            layout = lay_out(part, codes, offsets, self.vocabularies, fingerprint, self.is_simulated)
            with _ColumnFile(part, layout) as file:
                if old_panel is not None:
                    self._copy(file, old_panel, codes, offsets, kept)
                self._compute(file, codes, offsets, kept, inputs)
            self._write_sessions(part, layout, codes, offsets, indices, fingerprint)
            self._write_indices(indices, fingerprint)
            self._write_conditions(part, layout, offsets, conditions)
            size = part.stat().st_size
        self.state = {}
        remove_other_side_files(self.path, fingerprint)
        self._write_state(inputs, tables, fingerprint, panel_bytes=size)
        panel = Panel.map_file(self.path)
        dropped = sorted(set(before) - set(codes))
        return self._result(
            panel, built=len(codes) - len(kept), copied=len(kept), dropped=dropped, changed=True
        )

    def _copy(
        self, file: "_ColumnFile", old: Panel, codes: list[str], offsets: Array, kept: set[str]
    ) -> None:
        """Columns of unchanged stocks from the panel before, runs of neighbours at once."""
        date = old.sessions.astype(np.int32)
        k = 0
        while k < len(codes):
            if codes[k] not in kept:
                k += 1
                continue
            stop = k + 1
            source = old.rows_of(codes[k])
            while stop < len(codes) and codes[stop] in kept and old.rows_of(codes[stop]).start == source.stop:
                source = slice(source.start, old.rows_of(codes[stop]).stop)
                stop += 1
            row = int(offsets[k])
            for name in (*FLOAT_COLUMNS, "is_st"):
                file.write(name, row, old.column(name)[source])
            file.write("date", row, date[old.session_index[source]])
            k = stop

    def _compute(
        self,
        file: "_ColumnFile",
        codes: list[str],
        offsets: Array,
        kept: set[str],
        inputs: Mapping[str, StockInput],
    ) -> None:
        todo = [k for k, code in enumerate(codes) if code not in kept]
        differing: dict[str, int] = {}

        def make(k: int) -> None:
            code, count = codes[k], int(offsets[k + 1] - offsets[k])
            try:
                bars = read_store_csv(self.workspace.bars_dir / f"{code}.csv", code)
            except FinancialModelError as error:
                self.failures[code] = str(error)
                differing[code] = 0
                return
            usable = usable_rows(bars)
            if not usable.all():
                self.failures[code] = f"{int((~usable).sum())} of {len(bars)} rows cannot be right; left out"
                bars = bars.take(usable)
            if len(bars) != count:
                differing[code] = len(bars)
                return
            for name, values in stock_columns(bars, self.facts, self.first_session).items():
                file.write(name, int(offsets[k]), values)

        with ThreadPoolExecutor(self.workers) as pool:
            for done, _ in enumerate(pool.map(make, todo), 1):
                self.progress.emit("progress", done=done, total=len(todo), unit="stocks")
                if done % 16 == 0:
                    self.progress.check_stop("The panel before is untouched.")
        if differing:
            raise _RowsDiffer(differing)

    def _write_sessions(
        self,
        part: Path,
        layout: "Layout",
        codes: list[str],
        offsets: Array,
        indices: list[Bars],
        fingerprint: str,
    ) -> None:
        """The sessions of the panel, each row's position among them, and the rows of each."""
        date = np.memmap(part, np.int32, "r", layout.offset_of["date"], (int(offsets[-1]),))
        traded = np.zeros(DAY_COUNT, dtype=bool)
        for start, stop in itertools.pairwise(offsets):
            traded[date[start:stop]] = True
        days = np.flatnonzero(traded)
        first, last = days[0], days[-1]
        for bars in indices:
            found = bars.date.astype(np.int64)
            traded[found[(found >= first) & (found <= last)]] = True
        days = np.flatnonzero(traded)
        position = np.full(DAY_COUNT, -1, dtype=np.int32)
        position[days] = np.arange(len(days), dtype=np.int32)
        counts = np.zeros(len(days), dtype=np.int64)
        with _ColumnFile(part, layout) as file:
            for start, stop in itertools.pairwise(offsets):
                index = position[date[start:stop]]
                counts[index] += 1
                file.write("session_index", int(start), index)
        edges = np.concatenate([[0], np.cumsum(counts)])
        following = edges[:-1].copy()
        rows = np.empty(int(edges[-1]), dtype=np.int32)
        for start, stop in itertools.pairwise(offsets):
            index = position[date[start:stop]]
            rows[following[index]] = np.arange(start, stop, dtype=np.int32)
            following[index] += 1
        lists = pa.ListArray.from_arrays(pa.array(edges.astype(np.int32)), pa.array(rows))
        dates = pa.array(days.astype(np.int32)).cast(pa.date32())
        batch = pa.record_batch([dates, lists], names=["date", "rows"])
        _write_batch(sessions_path(self.path, fingerprint), batch)
        del date

    def _write_indices(self, indices: list[Bars], fingerprint: str) -> None:
        columns: dict[str, Any] = {"code": [bars.code for bars in indices for _ in range(len(bars))]}
        empty = [Bars.empty("SH000001")]
        for name in BAR_COLUMNS:
            columns[name] = np.concatenate([getattr(bars, name) for bars in indices or empty])
        columns["code"] = pa.array(columns["code"], pa.string())
        _write_batch(indices_path(self.path, fingerprint), pa.record_batch(columns))

    def _write_conditions(self, part: Path, layout: "Layout", offsets: Array, conditions: Conditions) -> None:
        self.progress.stage("conditions", "Working out the conditions of every session")
        with _ColumnFile(part, layout) as file:
            for name, words in self.vocabularies.items():
                # A map of its own for each, so that the pages one has read are not resident for the next.
                panel = Panel.map_file(part, beside=self.path, with_conditions=False, offsets=offsets)
                made = conditions(panel)
                if name not in made:
                    raise BadConditions(name, "was not computed")
                values = np.asarray(made[name])
                if values.shape != (len(panel),):
                    raise BadConditions(
                        name, f"has the shape {values.shape}, the panel has {len(panel)} rows"
                    )
                if len(values) and not (int(values.min()) >= 0 and int(values.max()) < len(words)):
                    raise BadConditions(name, f"has values outside its {len(words)} words")
                file.write(name, 0, values.astype(np.int8, copy=False))

    def _write_state(
        self,
        inputs: Mapping[str, StockInput],
        tables: Mapping[str, list[Any]],
        fingerprint: str,
        panel_bytes: int | None = None,
        only_when_touched: bool = False,
    ) -> None:
        if (
            only_when_touched
            and self.state["stocks"] == dict(inputs)
            and self.state["tables"] == dict(tables)
            and self.state.get("facts_key") == self.facts_key
        ):
            return
        stocks = {
            code: [seen.size, seen.mtime_ns, seen.digest, seen.facts, seen.row_count]
            for code, seen in inputs.items()
        }
        size = panel_bytes if panel_bytes is not None else self.path.stat().st_size
        write_json(
            self.state_path,
            {
                "format": FORMAT,
                "fingerprint": fingerprint,
                "panel_bytes": size,
                "stocks": stocks,
                "failures": {code: why for code, why in self.failures.items() if code in inputs},
                "tables": dict(tables),
                "facts_key": self.facts_key,
            },
        )

    def _result(
        self, panel: Panel, *, built: int, copied: int, dropped: list[str], changed: bool
    ) -> dict[str, Any]:
        return {
            "panel": str(self.path.relative_to(self.workspace.root)),
            "fingerprint": panel.fingerprint,
            "simulated": panel.is_simulated,
            "changed": changed,
            "stocks": len(panel.codes),
            "rows": len(panel),
            "sessions": len(panel.sessions),
            "first": str(panel.sessions[0]),
            "last": str(panel.sessions[-1]),
            "indices": panel.index_codes(),
            "built": built,
            "copied": copied,
            "dropped": dropped,
            "failures": dict(sorted(self.failures.items())),
        }


class _RowsDiffer(Exception):
    """Files that hold another number of usable rows than their lines promised."""

    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__(f"{len(counts)} files")
        self.counts = counts


# One stock's columns


def stock_columns(
    bars: Bars, facts: Mapping[str, Facts], first_session: np.datetime64 | None
) -> dict[str, Array]:
    """All columns of one stock but those that need other stocks; arrays of the bars' length."""
    adjustment, limit_down, limit_up, is_st = limits_of(bars, facts, first_session)
    code = bars.code
    capital = facts["share_capital"].of(code)
    columns: dict[str, Array] = {name: getattr(bars, name) * adjustment.factor for name in PRICE_COLUMNS}
    return columns | {
        "date": bars.date.astype(np.int32),
        "raw_close": bars.close,
        "volume": bars.volume / adjustment.share_factor,
        "amount": bars.amount,
        "factor": adjustment.factor,
        "reference_close": adjustment.reference,
        "limit_up": limit_up,
        "limit_down": limit_down,
        "is_st": is_st.astype(np.int8),
        "float_shares": value_as_of(capital["date"], capital["float_shares"], bars.date),
        "total_shares": value_as_of(capital["date"], capital["total_shares"], bars.date),
    }


# The file's layout


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
    columns |= {name: hole(pa.int8()) for name in ("is_st", *vocabularies)}
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


class _ColumnFile:
    """Writes pieces of columns to their places, from any thread."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115
        self._layout = layout
        self._lock = threading.Lock()

    def __enter__(self) -> "_ColumnFile":
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


def _write_batch(path: Path, batch: pa.RecordBatch) -> None:
    with (
        replace_when_done(path) as part,
        pa.OSFile(str(part), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema) as writer,
    ):
        writer.write_batch(batch)
