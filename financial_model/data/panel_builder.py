"""Makes the panel from the store: per stock in parallel, straight into the columns of the final file.

The Arrow file is laid out first, its large buffers left as holes; each stock's columns are then written
where they belong. So no column is ever held whole, and memory does not grow with the universe. Stocks
whose inputs have not changed are copied from the panel before; where nothing has changed nothing is
written.
"""

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..base.errors import BadConditions, DamagedFile, FinancialModelError, NothingUsable
from ..base.progress import Progress
from ..base.threads import CORES, made_ahead
from ..base.workspace import (
    Workspace,
    freeing_apart,
    locked,
    make_folder,
    read_json,
    replace_when_done,
    write_json,
)
from ..market.rules import closes_at_limit
from .bar_store import BarStore, remove_leftovers
from .panel import (
    FLAG_COLUMNS,
    FLOAT_COLUMNS,
    FORMAT,
    Array,
    Panel,
    indices_path,
    remove_other_side_files,
    sessions_path,
)
from .panel_file import ColumnFile, Layout, going_to_disk, lay_out, write_batch
from .panel_inputs import PanelInputs, StockInput
from .quality import limits_of, usable_rows
from .reference_store import Facts, value_as_of
from .source import BAR_COLUMNS, PRICE_COLUMNS, Bars
from .store_csv import read_store_csvs

Conditions = Callable[[Panel], Mapping[str, Array]]

BATCH_BYTES = 2**21
DAY_COUNT = 100_000  # days since 1970 that a date may be, to 2243


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
    make_folder(workspace.cache_dir)
    with (
        locked(workspace.cache_dir / ".lock", "build-panel", "The panel (data_cache)"),
        _store_at_rest(workspace),
    ):
        remove_leftovers(workspace.cache_dir)
        return _Builder(workspace, vocabularies, conditions_key, rebuild, progress, workers).build(conditions)


def _store_at_rest(workspace: Workspace) -> contextlib.AbstractContextManager[None]:
    """Nobody writes bars or facts meanwhile: of some stocks the old and of some the new would be built in."""
    if workspace.stock_data_dir.is_dir():
        return BarStore(workspace).locked("build-panel")
    return contextlib.nullcontext()  # nothing lies there, and no folder is made to say so


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
        self.workers = workers or CORES
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
        inputs = PanelInputs(self.workspace, self.state)
        before, told = self.state.get("stocks", {}), self.state.get("failures", {})
        self.failures = {
            code: why
            for code, why in told.items()
            if code in inputs.stocks and before[code].digest == inputs.stocks[code].digest
        }
        fingerprint = self._fingerprint(inputs)
        if self.state and self.state["fingerprint"] == fingerprint:
            panel = self.state["panel"]
            self._write_state(inputs, fingerprint, only_when_touched=True)
            return self._result(panel, built=0, copied=len(panel.codes), dropped=[], changed=False)
        indices = self._indices(inputs.store)
        while True:
            try:
                return self._write(inputs, indices, conditions)
            except _RowsDiffer as error:
                # A file held blank or unusable rows, so the layout has to give it fewer.
                for code, count in error.counts.items():
                    inputs.stocks[code] = replace(inputs.stocks[code], row_count=count)

    def _fingerprint(self, inputs: PanelInputs) -> str:
        words = {name: list(words) for name, words in self.vocabularies.items()}
        return inputs.fingerprint([self.conditions_key, words])

    def _indices(self, store: BarStore) -> list[Bars]:
        found = []
        for code in store.index_codes():
            try:
                bars = store.read(code)
                found.append(bars.take(usable_rows(bars)))
            except FinancialModelError as error:
                self.failures[code] = str(error)
        return found

    def _write(self, inputs: PanelInputs, indices: list[Bars], conditions: Conditions) -> dict[str, Any]:
        fingerprint, stocks = self._fingerprint(inputs), inputs.stocks
        codes = sorted(code for code in stocks if stocks[code].row_count)
        if not codes:
            raise NothingUsable("stocks", self.failures)
        offsets = np.concatenate([[0], np.cumsum([stocks[code].row_count for code in codes])])
        before: dict[str, StockInput] = self.state.get("stocks", {})
        kept = {code for code in codes if code in before and before[code].key == stocks[code].key}
        old_panel: Panel | None = self.state.get("panel")
        with freeing_apart(self.path), replace_when_done(self.path) as part:
            layout = lay_out(part, codes, offsets, self.vocabularies, fingerprint, inputs.is_simulated)
            with ColumnFile(part, layout) as file:
                if old_panel is not None:
                    self._copy(file, old_panel, codes, offsets, kept)
                self._compute(file, codes, offsets, kept, inputs)
            self._write_sessions(part, layout, codes, offsets, indices, fingerprint)
            self._write_indices(indices, fingerprint)
            with going_to_disk(part):
                self._write_conditions(part, layout, offsets, conditions)
            size = part.stat().st_size
        self.state = {}
        remove_other_side_files(self.path, fingerprint)
        self._write_state(inputs, fingerprint, panel_bytes=size)
        panel = Panel.map_file(self.path)
        dropped = sorted(set(before) - set(codes))
        return self._result(
            panel, built=len(codes) - len(kept), copied=len(kept), dropped=dropped, changed=True
        )

    def _copy(self, file: ColumnFile, old: Panel, codes: list[str], offsets: Array, kept: set[str]) -> None:
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
            for name in (*FLOAT_COLUMNS, *FLAG_COLUMNS):
                file.write(name, row, old.column(name)[source])
            file.write("date", row, date[old.session_index[source]])
            k = stop

    def _compute(
        self,
        file: ColumnFile,
        codes: list[str],
        offsets: Array,
        kept: set[str],
        inputs: PanelInputs,
    ) -> None:
        todo = [k for k, code in enumerate(codes) if code not in kept]
        differing: dict[str, int] = {}

        def place(k: int, bars: Bars | FinancialModelError) -> None:
            code, count = codes[k], int(offsets[k + 1] - offsets[k])
            if isinstance(bars, FinancialModelError):
                self.failures[code] = str(bars)
                differing[code] = 0
                return
            days = bars.date.astype(np.int64)
            usable = usable_rows(bars) & (days >= 0) & (days < DAY_COUNT)
            if not usable.all():
                self.failures[code] = f"{int((~usable).sum())} of {len(bars)} rows cannot be right; left out"
                bars = bars.take(usable)
            if len(bars) != count:
                differing[code] = len(bars)
                return
            for name, values in stock_columns(bars, inputs.facts, inputs.first_session).items():
                file.write(name, int(offsets[k]), values)

        def read(batch: Array) -> list[Bars | FinancialModelError]:
            return read_store_csvs(self.workspace.bars_dir, [codes[k] for k in batch])

        # Numbers are read in threads and worked on in this one: each of a stock's operations is so short that
        # two threads would hand the interpreter to and fro.
        batches = _batches(todo, [inputs.stocks[codes[k]].size for k in todo])
        done = 0
        with contextlib.closing(made_ahead(read, batches, self.workers)) as coming:
            for batch, found in zip(batches, coming, strict=True):
                for k, bars in zip(batch, found, strict=True):
                    place(k, bars)
                done += len(batch)
                self.progress.emit("progress", done=done, total=len(todo), unit="stocks")
                self.progress.check_stop("The panel before is untouched.")
        if differing:
            raise _RowsDiffer(differing)

    def _write_sessions(
        self,
        part: Path,
        layout: Layout,
        codes: list[str],
        offsets: Array,
        indices: list[Bars],
        fingerprint: str,
    ) -> None:
        """The sessions of the panel, each row's position among them, and the rows of each."""
        date = np.memmap(part, np.int32, "r", layout.offset_of["date"], (int(offsets[-1]),))
        traded = np.zeros(DAY_COUNT, dtype=bool)
        for start, stop in itertools.pairwise(offsets):
            traded[date[start:stop].astype(np.intp)] = True  # what numpy indexes by: else it casts, slower
        days = np.flatnonzero(traded)
        first, last = days[0], days[-1]
        for bars in indices:
            found = bars.date.astype(np.int64)
            traded[found[(found >= first) & (found <= last)]] = True
        days = np.flatnonzero(traded)
        position = np.full(DAY_COUNT, -1, dtype=np.int32)
        position[days] = np.arange(len(days), dtype=np.int32)
        counts = np.zeros(len(days), dtype=np.int64)
        with ColumnFile(part, layout) as file:
            for start, stop in itertools.pairwise(offsets):
                index = position[date[start:stop].astype(np.intp)]
                counts += np.bincount(index, minlength=len(days))
                file.write("session_index", int(start), index)
        edges = np.concatenate([[0], np.cumsum(counts)])
        following = edges[:-1].copy()
        rows = np.empty(int(edges[-1]), dtype=np.int32)
        for start, stop in itertools.pairwise(offsets):
            index = position[date[start:stop].astype(np.intp)].astype(np.intp)
            place = following[index]
            rows[place] = np.arange(start, stop, dtype=np.int32)
            following[index] = place + 1
        lists = pa.ListArray.from_arrays(pa.array(edges.astype(np.int32)), pa.array(rows))
        dates = pa.array(days.astype(np.int32)).cast(pa.date32())
        batch = pa.record_batch([dates, lists], names=["date", "rows"])
        write_batch(sessions_path(self.path, fingerprint), batch)
        del date

    def _write_indices(self, indices: list[Bars], fingerprint: str) -> None:
        columns: dict[str, Any] = {"code": [bars.code for bars in indices for _ in range(len(bars))]}
        empty = [Bars.empty("SH000001")]
        for name in BAR_COLUMNS:
            columns[name] = np.concatenate([getattr(bars, name) for bars in indices or empty])
        columns["code"] = pa.array(columns["code"], pa.string())
        write_batch(indices_path(self.path, fingerprint), pa.record_batch(columns))

    def _write_conditions(self, part: Path, layout: Layout, offsets: Array, conditions: Conditions) -> None:
        self.progress.stage("conditions", "Working out the conditions of every session")
        with ColumnFile(part, layout) as file:
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
        inputs: PanelInputs,
        fingerprint: str,
        panel_bytes: int | None = None,
        only_when_touched: bool = False,
    ) -> None:
        if (
            only_when_touched
            and self.state["stocks"] == inputs.stocks
            and self.state["tables"] == inputs.tables
            and self.state.get("facts_key") == inputs.facts_key
        ):
            return
        stocks = {
            code: [seen.size, seen.mtime_ns, seen.digest, seen.facts, seen.row_count]
            for code, seen in inputs.stocks.items()
        }
        size = panel_bytes if panel_bytes is not None else self.path.stat().st_size
        write_json(
            self.state_path,
            {
                "format": FORMAT,
                "fingerprint": fingerprint,
                "panel_bytes": size,
                "stocks": stocks,
                "failures": {code: why for code, why in self.failures.items() if code in inputs.stocks},
                "tables": inputs.tables,
                "facts_key": inputs.facts_key,
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


def _batches(todo: Sequence[int], sizes: Sequence[int]) -> list[Array]:
    """Neighbours of `todo` whose files, of these sizes in bytes, are read as one text of some BATCH_BYTES."""
    number = np.cumsum(sizes) // BATCH_BYTES
    return [batch for batch in np.split(np.array(todo), np.flatnonzero(np.diff(number)) + 1) if len(batch)]


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
        "is_locked": closes_at_limit(bars.close, limit_down, limit_up).astype(np.int8),
        "float_shares": value_as_of(capital["date"], capital["float_shares"], bars.date),
        "total_shares": value_as_of(capital["date"], capital["total_shares"], bars.date),
    }
