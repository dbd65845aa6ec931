"""Dated facts about stocks, each with the day from which it could be known.

Corporate actions, ST spells, industries, share capital, fundamentals, the stock list: one CSV each under
`full_stock_data/`. Every row carries `known_from`; `as_of(name, t)` hands out what was known at the close
of t and nothing later: rows of a later day are gone, and an end that lies after t is not yet told.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..base.errors import BadTable, UnknownCode
from ..base.workspace import Workspace, write_atomically
from ..market.codes import parse_code
from .adjust import NO_ACTIONS, Actions, DateArray, FloatArray
from .csv_source import NULLS, decode, parse_dates, table_text

FAR_PAST = np.datetime64("0001-01-01", "D")


@dataclass(frozen=True)
class Kind:
    """What one table of facts holds."""

    dates: tuple[str, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    known: tuple[str, ...]
    """The date columns of which the latest says when a row could be known."""
    ends: tuple[str, ...] = ()
    """Date columns that are known only once they have come."""
    hindsight: tuple[str, ...] = ()
    """Text of today, of which nobody says since when it holds."""
    required: tuple[str, ...] = ()


KINDS = {
    "corporate_actions": Kind(
        dates=("date",),
        numbers=("cash_per_10", "bonus_per_10", "rights_per_10", "rights_price"),
        texts=(),
        known=("date",),
        required=("date",),
    ),
    "stock_list": Kind(
        dates=("list_date", "delist_date"),
        numbers=(),
        texts=("name",),
        known=("list_date",),
        ends=("delist_date",),
        hindsight=("name",),
    ),
    "st_periods": Kind(
        dates=("from", "to"), numbers=(), texts=(), known=("from",), ends=("to",), required=("from",)
    ),
    "industries": Kind(
        dates=("from", "to", "updated"),
        numbers=(),
        texts=("scheme", "industry", "source_code"),
        known=("from", "updated"),
        ends=("to",),
        required=("from", "industry"),
    ),
    "share_capital": Kind(
        dates=("date",),
        numbers=("total_shares", "float_shares"),
        texts=(),
        known=("date",),
        required=("date",),
    ),
    "fundamentals": Kind(
        dates=("announced", "period"),
        numbers=("eps_cny", "book_value_per_share_cny"),
        texts=(),
        known=("announced",),
        required=("announced",),
    ),
}
OPTIONAL_COLUMNS = ("updated", "source_code")


@dataclass(frozen=True, eq=False)
class Facts:
    """One table of facts, sorted by code, then by the day a row could be known.

    Columns: code as text, dates as datetime64[D] (NaT unknown), numbers as float64 (NaN unknown), texts as
    text ("" unknown), and `known_from`.
    """

    name: str
    columns: dict[str, npt.NDArray[Any]]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        return self.columns[column]

    def __len__(self) -> int:
        return len(self.columns["code"])

    def take(self, rows: Any) -> "Facts":
        return Facts(self.name, {name: values[rows] for name, values in self.columns.items()})

    @functools.cached_property
    def _rows(self) -> dict[str, slice]:
        codes = self.columns["code"]
        edges = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
        spans = itertools.pairwise(edges)
        return {str(codes[start]): slice(start, stop) for start, stop in spans if start < stop}

    def rows_of(self, code: str) -> slice:
        """The rows of one code; an empty slice where there are none."""
        return self._rows.get(code, slice(0, 0))

    def of(self, code: str) -> "Facts":
        """The rows of one code, oldest first."""
        return self.take(self.rows_of(code))


class ReferenceStore:
    """The tables of dated facts of one workspace; one that was never written is an empty one."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def read(self, name: str) -> Facts:
        """All rows of one table."""
        path = self.workspace.reference_path(name)
        return read_facts(path, name) if path.is_file() else make_facts(name, {"code": []})

    def as_of(self, name: str, date: Any) -> Facts:
        """The rows that could be known at the close of `date`, ends that had not come yet taken off.

        Texts of today (a stock's present name) have no date of their own and come back empty.
        """
        day = np.datetime64(date, "D")
        kind = KINDS[name]
        facts = self.read(name)
        known = facts.take(facts["known_from"] <= day)
        for column in kind.ends:
            ends = known.columns[column]
            known.columns[column] = np.where(ends > day, np.datetime64("NaT", "D"), ends)
        for column in kind.hindsight:
            known.columns[column] = np.full(len(known), "")
        return known

    def codes_meant(self, texts: Iterable[str]) -> list[str]:
        """The code that each text writes, or whose stock it names; each once, in the order of the texts.

        A name counts as it is listed today, blanks aside; UnknownCode where no stock or several bear it.
        """
        meant: dict[str, None] = {}
        named: dict[str, list[str]] | None = None
        for text in texts:
            try:
                meant[parse_code(text)] = None
                continue
            except UnknownCode:
                if named is None:
                    named = self._codes_by_name()
                bearers = named.get("".join(text.split()), [])
                if len(bearers) != 1:
                    raise
            meant[bearers[0]] = None
        return list(meant)

    def _codes_by_name(self) -> dict[str, list[str]]:
        listed = self.read("stock_list")
        named: dict[str, list[str]] = {}
        for code, name in zip(listed["code"].tolist(), listed["name"].tolist(), strict=True):
            if name and code not in named.setdefault("".join(name.split()), []):
                named["".join(name.split())].append(code)
        return named

    def calendar_overrides(self) -> dict[np.datetime64, bool]:
        """Days of `calendar.csv` that decide over the calendar: date, and is_session (1 when left out)."""
        path = self.workspace.reference_path("calendar")
        if not path.is_file():
            return {}
        columns = _read_text_columns(path)
        if "date" not in columns:
            raise BadTable(path, "the header", ", ".join(columns)[:60], "a column date")
        days = parse_dates(path, columns["date"])
        told = columns.get("is_session")
        is_open = (
            [True] * len(days)
            if told is None
            else [text not in ("0", "false", "no") for text in told.to_pylist()]
        )
        return dict(zip(days, is_open, strict=True))

    def write(self, name: str, columns: Mapping[str, Any]) -> None:
        """Put a table in place of the old one, whole or not at all. `columns`: any sequences by name."""
        facts = make_facts(name, columns)
        shown = {
            column: values
            for column, values in facts.columns.items()
            if column != "known_from" and not (column in OPTIONAL_COLUMNS and column not in columns)
        }
        with write_atomically(self.workspace.reference_path(name)) as file:
            file.write(table_text(shown))

    def merge(self, name: str, facts: Facts, codes: set[str]) -> None:
        """Put `facts` in place of all rows of `codes`; rows of other codes stay."""
        old = self.read(name)
        kept = old.take(~np.isin(old["code"], sorted(codes)) if len(old) else slice(0, 0))
        names = [n for n in facts.columns if n != "known_from"]
        names += [n for n in old.columns if n not in (*names, "known_from")]
        joined = {}
        for column in names:
            parts = [table.columns.get(column, _unknown(column, name, len(table))) for table in (kept, facts)]
            joined[column] = np.concatenate(parts)
        self.write(name, joined)


def facts_of_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> Facts:
    """One table from rows that all have the same columns; none gives an empty one."""
    columns = {column: [row[column] for row in rows] for column in (rows[0] if rows else ("code",))}
    return make_facts(name, columns)


def read_facts(path: Path, name: str) -> Facts:
    """One CSV of facts; BadTable names the row and column that cannot be read."""
    kind = KINDS[name]
    texts = _read_text_columns(path)
    if missing := [column for column in ("code", *kind.required) if column not in texts]:
        raise BadTable(path, "the header", ", ".join(texts)[:60], f"a column {missing[0]}")
    columns: dict[str, Any] = {}
    for column, text in texts.items():
        if column in kind.dates:
            columns[column] = _optional_dates(path, text)
        elif column in kind.numbers or (name == "fundamentals" and column != "code"):
            try:
                columns[column] = text.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
            except pa.ArrowInvalid as error:
                raise BadTable(path, f"column {column}", str(error).splitlines()[0], "numbers") from None
        else:
            # By its distinct words: a table names the same few thousand codes again and again.
            words = pc.fill_null(text, "").dictionary_encode()
            distinct = np.array(words.dictionary.to_pylist(), dtype=np.str_)
            columns[column] = distinct[words.indices.to_numpy()]
    return make_facts(name, columns, path)


def _read_text_columns(path: Path) -> dict[str, pa.Array]:
    """The columns of a CSV as text, names in lower case."""
    data = decode(path)
    header = data.split(b"\n", 1)[0].decode("utf-8", "replace").strip("\r")
    names = [text.strip().strip('"').lower() for text in header.split(",")]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadTable(path, "the header", f"{twice[0]!r:.60} twice", "a name of its own for each column")
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(column_names=names, skip_rows=1, use_threads=False),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=NULLS, strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadTable(path, "the rows", str(error).splitlines()[0], f"{len(names)} columns a row") from None
    return {name: table[name].combine_chunks() for name in names}


def make_facts(name: str, columns: Mapping[str, Any], path: Path | None = None) -> Facts:
    """Facts from any sequences: codes parsed, missing columns unknown, sorted, `known_from` worked out."""
    kind = KINDS[name]
    written = np.asarray(columns["code"], dtype=np.str_)
    unique, inverse = np.unique(written, return_inverse=True)
    try:
        codes = np.array([parse_code(text) for text in unique], dtype="U8")
    except UnknownCode as error:
        raise BadTable(
            path or Path(f"{name}.csv"), "column code", error.fields["seen"], "a code such as SH600519"
        ) from None
    made: dict[str, Any] = {"code": codes[inverse] if len(codes) else np.empty(0, "U8")}
    count = len(written)
    for column in (*kind.dates, *kind.numbers, *kind.texts, *columns):
        if column in made or column == "known_from":
            continue
        values = columns.get(column)
        if values is None:
            made[column] = _unknown(column, name, count)
        elif column in kind.dates:
            made[column] = np.asarray(values, dtype="datetime64[D]")
        elif column in kind.numbers:
            made[column] = np.asarray(values, dtype=np.float64)
        else:
            made[column] = np.asarray(values) if name == "fundamentals" else np.asarray(values, dtype=np.str_)
    known = np.full(count, FAR_PAST)
    for column in kind.known:
        known = np.where(np.isnat(made[column]), known, np.maximum(known, made[column]))
    for column in kind.required:
        # Without its own date nobody can say since when a row was known: it never counts, and sorts last.
        if column in kind.dates:
            known[np.isnat(made[column])] = np.datetime64("NaT")
    made["known_from"] = known
    order = np.lexsort((made[kind.dates[0]], known, made["code"]))
    return Facts(name, {column: values[order] for column, values in made.items()})


def actions_of(table: Facts, code: str) -> Actions:
    """The corporate actions of one code, per share."""
    facts = table.of(code)
    if not len(facts):
        return NO_ACTIONS
    return Actions.per_10(
        facts["date"],
        facts["cash_per_10"],
        facts["bonus_per_10"],
        facts["rights_per_10"],
        facts["rights_price"],
    )


def holds_at(spells: Facts, dates: DateArray) -> npt.NDArray[np.bool_]:
    """Whether any spell [from, to) holds at each date; a spell without an end goes on."""
    held = np.zeros(len(dates), dtype=bool)
    for start, stop in zip(spells["from"], spells["to"], strict=True):
        held |= (dates >= start) & (np.isnat(stop) | (dates < stop))
    return held


def value_as_of(fact_dates: DateArray, values: FloatArray, dates: DateArray) -> FloatArray:
    """The latest value dated on or before each date, NaN before the first. Both kinds of dates rise."""
    return hold_from(np.searchsorted(dates, fact_dates), values, len(dates), np.nan)


def hold_from(
    first: npt.NDArray[np.intp], values: npt.NDArray[Any], count: int, before: Any
) -> npt.NDArray[Any]:
    """(count,) rows, of which those from first[k] on hold values[k], up to where the next begins.

    first: (K,) rising; of equal ones the last holds. before: what the rows ahead of all hold.

    >>> hold_from(np.array([1, 3]), np.array([5.0, 7.0]), 4, np.nan).tolist()
    [nan, 5.0, 5.0, 7.0]
    """
    edges = np.concatenate(([0], first, [count]))
    return np.repeat(np.concatenate(([before], values)), edges[1:] - edges[:-1])


def _unknown(column: str, name: str, count: int) -> npt.NDArray[Any]:
    kind = KINDS[name]
    if column in kind.dates:
        return np.full(count, np.datetime64("NaT", "D"))
    if column in kind.texts:
        return np.full(count, "", dtype="U1")
    return np.full(count, np.nan)


def _optional_dates(path: Path, text: pa.Array) -> npt.NDArray[np.datetime64]:
    known = pc.is_valid(text).to_numpy(zero_copy_only=False)
    dates = np.full(len(text), np.datetime64("NaT", "D"))
    if known.any():
        dates[known] = parse_dates(path, text.filter(pa.array(known)))
    return dates
