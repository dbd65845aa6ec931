"""The panel: all stocks in one memory-mapped Arrow table, sorted by code, then session.

`panel.arrow` holds one record batch, so each column is one zero-copy view; DuckDB, Polars and pandas read
it as it is. Beside it lie, named by the panel's fingerprint, `.sessions.arrow` (per session the rows that
traded) and `.indices.arrow` (bars of the indices), and `panel.json`, which says what each stock was built
from. The fingerprint is a digest of every input, so equal inputs give an equal panel.

Rows of a session are known at its close: a later bar, action or fact changes no earlier row.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..base.config import ConditionSettings
from ..base.errors import BadSetting, CodeNotHeld, DamagedFile, NoPanel
from ..base.workspace import Workspace, read_json
from ..market.rules import closes_at_limit
from .source import BAR_COLUMNS, Bars

Array = npt.NDArray[Any]

FORMAT = "hermes-panel-2"
FLOAT_COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "raw_close",
    "volume",
    "amount",
    "factor",
    "reference_close",
    "limit_up",
    "limit_down",
    "float_shares",
    "total_shares",
)
FLAG_COLUMNS = ("is_st", "is_locked")  # is_locked: the close is a price limit of the session
CONDITIONS = (
    "industry",
    "style_size",
    "style_value",
    "style_volatility",
    "style_momentum",
    "style_liquidity",
    "regime",
)
UNKNOWN_ONLY = dict.fromkeys(CONDITIONS, ("unknown",))
REBUILD = "Build the panel again (build-panel --rebuild)."
OPEN_TRIES = 5  # while builds put one panel after another in place


class Panel:
    """What floors above read of the market; see docs/ARCHITECTURE.md for its members.

    Made by `Panel.open` (the map on disk), `Panel.from_columns` (arrays in memory), or cut from another
    panel by `truncated` and `subset`, whose columns are gathered when they are first asked for.
    """

    def __init__(
        self,
        *,
        codes: Sequence[str],
        offsets: Array,
        sessions: Array,
        load: Callable[[str], Array],
        column_names: Iterable[str],
        vocabularies: Mapping[str, Sequence[str]],
        indices: Mapping[str, Bars],
        fingerprint: str,
        is_simulated: bool,
        session_rows: tuple[Array, Array] | None = None,
        made_with: ConditionSettings | None = None,
    ) -> None:
        self.codes = list(codes)
        self.offsets = np.asarray(offsets, dtype=np.int64)
        self.sessions = np.asarray(sessions, dtype="datetime64[D]")
        self.column_names = tuple(column_names)
        self.fingerprint = fingerprint
        self.is_simulated = is_simulated
        self.made_with = made_with or ConditionSettings()
        self._load = load
        self._columns: dict[str, Array] = {}
        self._vocabularies = {name: tuple(words) for name, words in vocabularies.items()}
        self._indices = dict(indices)
        self._session_rows = session_rows
        self._position = {code: k for k, code in enumerate(self.codes)}

    def __len__(self) -> int:
        """The number of rows N."""
        return int(self.offsets[-1])

    def __repr__(self) -> str:
        span = f"{self.sessions[0]}..{self.sessions[-1]}" if len(self.sessions) else "empty"
        return f"<Panel of {len(self.codes)} stocks, {len(self)} rows, {span}>"

    @classmethod
    def open(cls, workspace: Workspace) -> Self:
        """The panel of a workspace, mapped; NoPanel when none was built, DamagedFile when it is torn."""
        path = workspace.panel_path
        for attempt in range(1, OPEN_TRIES + 1):
            if not path.is_file():
                raise NoPanel(path)
            try:
                opened = cls.map_file(path)
                opened._check_columns()
                return opened
            except (FileNotFoundError, _Replaced):
                # A build has just put a new panel in place of the one whose other parts we looked for.
                if attempt == OPEN_TRIES:
                    raise DamagedFile(path, "the files beside it are missing", REBUILD) from None
            except (LookupError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
                # A changed byte in the schema ends in whatever its reader stumbles over.
                reason = f"it is not what a build writes ({type(error).__name__}: {error!s:.80})"
                raise DamagedFile(path, reason, REBUILD) from error
        raise AssertionError("unreachable")

    @classmethod
    def map_file(
        cls,
        path: Path,
        beside: Path | None = None,
        with_conditions: bool = True,
        offsets: Array | None = None,
    ) -> Self:
        """The panel in one Arrow file; its side files lie beside `beside`, which is `path` unless given.

        While a panel is being built its condition columns hold nothing yet: they are left out then.
        offsets (C+1,): where each code begins, for who knows it; it is searched for otherwise.
        """
        batch, metadata = map_batch(path)
        if metadata.get("format") != FORMAT:
            raise DamagedFile(
                path, f"it is of the format {metadata.get('format')!r}, not {FORMAT!r}", REBUILD
            )
        fingerprint = metadata["fingerprint"]
        # Before the others, which a build takes away first: where they still lie this one was read.
        settings_path = conditions_path(beside or path, fingerprint)
        made_with = read_conditions(settings_path) if with_conditions else None
        by_session, _ = map_batch(sessions_path(beside or path, fingerprint))
        index_table, _ = map_batch(indices_path(beside or path, fingerprint))
        lists = by_session.column("rows")
        code_column = batch.column("code")
        code_index = view_of(code_column.indices)
        code_column.dictionary.validate(full=True)  # text with a torn offset would end the process
        codes = code_column.dictionary.to_pylist()
        row_count = batch.num_rows
        if offsets is None:
            offsets = _code_offsets(path, fingerprint)
        if offsets[-1] != row_count or len(lists.values) != row_count:
            raise DamagedFile(path, "its parts do not fit each other", REBUILD)
        vocabularies = json.loads(metadata["vocabularies"]) if with_conditions else {}
        hidden = ("code", "date", "session_index", *(() if with_conditions else CONDITIONS))
        columns = {name: k for k, name in enumerate(batch.schema.names)}

        def load(name: str) -> Array:
            if name == "code_index":
                return code_index
            return view_of(batch.column(columns[name]))

        return cls(
            codes=codes,
            offsets=offsets,
            sessions=view_of(by_session.column("date")),
            load=load,
            column_names=[name for name in columns if name not in hidden],
            vocabularies=vocabularies,
            indices=_index_bars(index_table),
            fingerprint=fingerprint,
            is_simulated=metadata.get("simulated") == "true",
            session_rows=(view_of(lists.values), view_of(lists.offsets)),
            made_with=made_with,
        )

    @classmethod
    def from_columns(
        cls,
        codes: Sequence[str],
        dates: Array,
        columns: Mapping[str, Array],
        *,
        vocabularies: Mapping[str, Sequence[str]] | None = None,
        indices: Mapping[str, Bars] | None = None,
        is_simulated: bool = False,
    ) -> Self:
        """A panel of arrays in memory. codes: (N,) one a row, dates: (N,); columns: at least `close`.

        What is missing is what one would assume: open, high, low and raw_close equal close, the factor is
        1, reference_close is the row's previous raw_close, volume and amount are 1, limits and shares
        unknown (NaN), conditions unknown. Rows are sorted by code, then date.

        >>> days = np.arange("2024-06-03", "2024-06-05", dtype="datetime64[D]")
        >>> Panel.from_columns(["SH600000"] * 2, days, {"close": np.array([1.0, 2.0])})
        <Panel of 1 stocks, 2 rows, 2024-06-03..2024-06-04>
        """
        code_of_row = np.asarray(codes, dtype=np.str_)
        days = np.asarray(dates, dtype="datetime64[D]")
        order = np.lexsort((days, code_of_row))
        unique, code_index = np.unique(code_of_row[order], return_inverse=True)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(code_index, minlength=len(unique)))])
        sessions, session_index = np.unique(days[order], return_inverse=True)
        made = {name: np.asarray(values)[order] for name, values in columns.items()}
        close = made["close"] = made["close"].astype(np.float64)
        for name in ("open", "high", "low", "raw_close"):
            made.setdefault(name, close)
        if "reference_close" not in made:
            made["reference_close"] = np.concatenate([[np.nan], made["raw_close"][:-1]])
            made["reference_close"][offsets[:-1]] = np.nan
        for name in ("factor", "volume", "amount"):
            made.setdefault(name, np.ones(len(close)))
        for name in FLOAT_COLUMNS:
            made.setdefault(name, np.full(len(close), np.nan))
        words = dict(UNKNOWN_ONLY) | dict(vocabularies or {})
        locked = closes_at_limit(made["raw_close"], made["limit_down"], made["limit_up"])
        made.setdefault("is_locked", locked)
        for name in (*FLAG_COLUMNS, *words):
            made[name] = np.asarray(made.get(name, np.zeros(len(close))), dtype=np.int8)
        made["code_index"] = code_index.astype(np.int32)
        made["session_index"] = session_index.astype(np.int32)
        return cls(
            codes=unique.tolist(),
            offsets=offsets,
            sessions=sessions,
            load=made.__getitem__,
            column_names=[name for name in made if name not in ("code_index", "session_index")],
            vocabularies=words,
            indices=indices or {},
            fingerprint="in-memory",
            is_simulated=is_simulated,
        )

    @property
    def code_index(self) -> npt.NDArray[np.int32]:
        """(N,) position of each row's code in `codes`."""
        return self._get("code_index")

    @property
    def session_index(self) -> npt.NDArray[np.int32]:
        """(N,) position of each row's session in `sessions`."""
        return self._get("session_index")

    @property
    def last_session(self) -> np.datetime64:
        return self.sessions[-1]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the condition columns."""
        return tuple(self._vocabularies)

    def column(self, name: str) -> Array:
        """One column (N,); a read-only view of the map where the panel is the one on disk."""
        if name == "date":
            return self.sessions[self.session_index]
        if name not in self.column_names:
            raise KeyError(f"the panel has no column {name!r}; it has {', '.join(self.column_names)}")
        return self._get(name)

    def _check_columns(self) -> None:
        """ValueError unless each column is there in its length; looks at no value."""
        for name in (*FLOAT_COLUMNS, *FLAG_COLUMNS, *CONDITIONS, "code_index", "session_index"):
            if self._get(name).shape != (len(self),):
                raise ValueError(f"column {name} is not of {len(self)} rows")

    def _get(self, name: str) -> Array:
        if name not in self._columns:
            self._columns[name] = self._load(name)
        return self._columns[name]

    def names(self, condition: str) -> tuple[str, ...]:
        """The vocabulary of a condition column: the word of each value."""
        return self._vocabularies[condition]

    def __contains__(self, code: str) -> bool:
        return code in self._position

    def rows_of(self, code: str) -> slice:
        """The rows of one code; CodeNotHeld when the panel has none."""
        if code not in self._position:
            raise CodeNotHeld(code, "the panel", "Check the code, or import its bars and build the panel.")
        k = self._position[code]
        return slice(int(self.offsets[k]), int(self.offsets[k + 1]))

    def rows_at(self, session_position: int) -> npt.NDArray[np.int64]:
        """The rows of one session, sorted by code."""
        rows, offsets = self.session_rows()
        position = range(len(self.sessions))[session_position]
        return rows[offsets[position] : offsets[position + 1]].astype(np.int64)

    def session_rows(self) -> tuple[Array, Array]:
        """(rows, offsets): rows (N,) sorted by session, then code; session s is offsets[s]:offsets[s+1]."""
        if self._session_rows is None:
            self._session_rows = group_by_session(self.session_index, len(self.sessions))
        return self._session_rows

    def position_of(self, date: Any) -> int:
        """The position of the last session on or before `date`; -1 when all are later."""
        return int(np.searchsorted(self.sessions, np.datetime64(date, "D"), side="right")) - 1

    def index_codes(self) -> list[str]:
        return sorted(self._indices)

    def index_bars(self, code: str) -> Bars:
        """The bars of an index; CodeNotHeld when the panel was built without it."""
        if code not in self._indices:
            raise CodeNotHeld(code, "the panel's indices", "Import its bars and build the panel again.")
        return self._indices[code]

    def truncated(self, date: Any) -> "Panel":
        """What was known at the close of `date`: no later row, session or index bar is in it."""
        session_count = self.position_of(date) + 1
        lengths = np.array(
            [
                np.searchsorted(self.session_index[start:stop], session_count)
                for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True)
            ],
            dtype=np.int64,
        )
        last = str(self.sessions[session_count - 1]) if session_count else "nothing"
        return self._cut(
            np.flatnonzero(lengths),
            lengths,
            sessions=self.sessions[:session_count],
            indices={code: bars.up_to(date) for code, bars in self._indices.items()},
            fingerprint=f"{self.fingerprint}@{last}",
        )

    def subset(self, codes: Iterable[str]) -> "Panel":
        """The panel of some of its codes; its sessions stay as they are. CodeNotHeld names one it lacks."""
        wanted = sorted(set(codes))
        for code in wanted:
            self.rows_of(code)
        return self._cut(
            np.array([self._position[code] for code in wanted], dtype=np.int64),
            np.diff(self.offsets),
            sessions=self.sessions,
            indices=self._indices,
            fingerprint=f"{self.fingerprint}[{','.join(wanted)}]",
        )

    def _cut(
        self,
        kept: Array,
        lengths: Array,
        *,
        sessions: Array,
        indices: Mapping[str, Bars],
        fingerprint: str,
    ) -> "Panel":
        """The first lengths[k] rows of each code k in `kept`, gathered column by column when asked for."""
        offsets = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)
        starts = self.offsets[:-1][kept]
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths[kept])
        code_index = np.repeat(np.arange(len(kept), dtype=np.int32), lengths[kept])

        def load(name: str) -> Array:
            return code_index if name == "code_index" else self._get(name)[rows]

        return Panel(
            codes=[self.codes[k] for k in kept],
            offsets=offsets,
            sessions=sessions,
            load=load,
            column_names=self.column_names,
            vocabularies=self._vocabularies,
            indices=indices,
            fingerprint=fingerprint,
            is_simulated=self.is_simulated,
            made_with=self.made_with,
        )


def group_by_session(session_index: Array, session_count: int) -> tuple[Array, Array]:
    """(rows, offsets) of rows grouped by session, in their own order within one."""
    dtype = np.uint16 if session_count < 2**16 else np.uint32  # numpy sorts 16-bit keys by radix
    rows = np.argsort(session_index.astype(dtype), kind="stable").astype(np.int32)
    counts = np.bincount(session_index, minlength=session_count)
    return rows, np.concatenate([[0], np.cumsum(counts)])


class _Replaced(Exception):
    """Another panel lies at the path than a moment before."""


def _code_offsets(path: Path, fingerprint: str) -> Array:
    """Where each code of a panel begins (C+1,): sorted by code, so a search and not a pass.

    It is made in a map of its own, with which the pages it touched are given back: of a large panel that is
    the whole column, which nobody may ask for again. Those of another panel would cut the rows of this one
    in the wrong places, so _Replaced where a build has come between.
    """
    batch, metadata = map_batch(path)
    if metadata.get("fingerprint") != fingerprint:
        raise _Replaced
    column = batch.column("code")
    code_index = view_of(column.indices)
    return np.searchsorted(code_index, np.arange(len(column.dictionary) + 1, dtype=code_index.dtype))


def sessions_path(panel_path: Path, fingerprint: str) -> Path:
    return panel_path.parent / f"panel-{fingerprint}.sessions.arrow"


def indices_path(panel_path: Path, fingerprint: str) -> Path:
    return panel_path.parent / f"panel-{fingerprint}.indices.arrow"


def conditions_path(panel_path: Path, fingerprint: str) -> Path:
    """Where the settings lie that a panel's conditions were made with."""
    return panel_path.parent / f"panel-{fingerprint}.conditions.json"


def read_conditions(path: Path) -> ConditionSettings:
    """The settings that a panel's conditions were made with; the defaults where none were kept."""
    if not path.is_file():
        return ConditionSettings()
    try:
        return ConditionSettings.from_json(read_json(path))
    except BadSetting as error:
        raise DamagedFile(path, str(error), REBUILD) from error


def map_batch(path: Path) -> tuple[pa.RecordBatch, dict[str, str]]:
    """The one record batch of an Arrow file as a view of its map, and the schema's metadata as text."""
    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(pa.BufferReader(file.read_buffer()))
            if reader.num_record_batches != 1:
                raise DamagedFile(
                    path, f"it holds {reader.num_record_batches} record batches, not 1", REBUILD
                )
            batch = reader.get_batch(0)
            batch.validate()  # lengths and buffers; a look at each value would read the whole map
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedFile(path, str(error).splitlines()[0], REBUILD) from error
    metadata = batch.schema.metadata or {}
    return batch, {key.decode(): value.decode() for key, value in metadata.items()}


def view_of(column: pa.Array) -> Array:
    """A column without nulls as a read-only numpy view; days as datetime64[D], which is a copy.

    Not `to_numpy`, which imports pandas: most of a second, to open a panel in a few milliseconds.
    """
    is_date = pa.types.is_date32(column.type)
    dtype = np.dtype(np.int32 if is_date else str(column.type).replace("double", "float64"))
    values = np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]
    return values.astype("datetime64[D]") if is_date else values


def _index_bars(batch: pa.RecordBatch) -> dict[str, Bars]:
    batch.column("code").validate(full=True)
    words = batch.column("code").dictionary_encode()  # bars of one index lie together
    word_of_row = view_of(words.indices)
    columns = {name: view_of(batch.column(name)) for name in BAR_COLUMNS}
    found = {}
    for k, code in enumerate(words.dictionary.to_pylist()):
        rows = slice(*np.searchsorted(word_of_row, [k, k + 1]).tolist())
        found[code] = Bars(code=code, **{name: values[rows] for name, values in columns.items()})
    return found


def remove_other_side_files(panel_path: Path, fingerprint: str) -> None:
    """Delete side files of former panels; on Windows one that is still read waits for the next build.

    While the panel is locked: a build that has come since has side files of its own.
    """
    for path in panel_path.parent.glob("panel-*"):
        if not path.name.startswith(f"panel-{fingerprint}."):
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)
