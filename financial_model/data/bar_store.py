"""The raw bars of one workspace: a CSV a code that any program reads, and metadata.json beside them.

Writers hold `BarStore.locked`; each file is written whole and renamed, and metadata is written after the
bars it speaks of. Practice bars and real ones never lie in one store.
"""

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..base.errors import CodeNotHeld, DamagedFile, MixedMarkets, UnknownCode
from ..base.workspace import Workspace, locked, read_json, write_atomically, write_json
from ..market.codes import is_index, parse_code
from .csv_source import table_text
from .source import Bars
from .store_csv import read_store_csv

# metadata.json: table, its type, the type of its entries
METADATA_SHAPE: tuple[tuple[str, type, type], ...] = (
    ("codes", dict, dict),
    ("failures", dict, str),
    ("retries", dict, dict),
    ("servers", list, dict),
    ("choice", dict, object),
)
RESTORE = "Restore a copy, or delete it and import or download again: the bars stay."


class BarStore:
    """Raw bars by code under `full_stock_data/`."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @contextlib.contextmanager
    def locked(self, owner: str) -> Iterator[None]:
        """Hold the store, for writing or so that nobody writes; WorkspaceBusy names who has it."""
        path = self.workspace.stock_data_dir / ".lock"
        with locked(path, owner, "The store of bars (full_stock_data)"):
            for folder in (self.workspace.stock_data_dir, self.workspace.bars_dir, self.workspace.index_dir):
                remove_leftovers(folder)
            yield

    def path_of(self, code: str) -> Path:
        folder = self.workspace.index_dir if is_index(code) else self.workspace.bars_dir
        return folder / f"{code}.csv"

    def codes(self) -> list[str]:
        """Codes of the stocks whose bars lie here, sorted."""
        return _codes_in(self.workspace.bars_dir)

    def index_codes(self) -> list[str]:
        return _codes_in(self.workspace.index_dir)

    def __contains__(self, code: str) -> bool:
        return self.path_of(code).is_file()

    def read(self, code: str) -> Bars:
        """All raw bars of one code; CodeNotHeld when there are none, BadTable when it is no table of bars."""
        path = self.path_of(code)
        if not path.is_file():
            raise CodeNotHeld(code, "the store", "Download or import its bars first.")
        return read_store_csv(path, code)

    def write(self, bars: Bars) -> None:
        """Put one code's bars in place of what lay there, whole or not at all."""
        with write_atomically(self.path_of(bars.code)) as file:
            file.write(table_text(bars.columns()))

    def set_aside_path(self, code: str) -> Path:
        """Where rows lie that cannot be right; see `quality`."""
        return self.workspace.stock_data_dir / "set_aside" / f"{code}.csv"

    def set_aside(self, bars: Bars) -> int:
        """Add rows that cannot be right to the file of such rows of their code; how many it did not have."""
        path = self.set_aside_path(bars.code)
        lines = table_text(bars.columns()).decode().splitlines()
        before = path.read_text(encoding="utf-8").splitlines() if path.is_file() else lines[:1]
        known = set(before)
        new = [line for line in dict.fromkeys(lines[1:]) if line not in known]
        if new:
            with write_atomically(path) as file:
                file.write(("\n".join(before + new) + "\n").encode())
        return len(new)

    def metadata(self) -> dict[str, Any]:
        """What metadata.json says; empty tables when nothing was written yet, DamagedFile when it is none."""
        path = self.workspace.metadata_path
        found: Any = read_json(path) if path.is_file() else {}
        if not isinstance(found, dict):
            raise DamagedFile(path, "it is no JSON object", RESTORE)
        found = {"simulated": False, "codes": {}, "failures": {}} | found
        for name, kind, inner in METADATA_SHAPE:
            value = found.get(name, kind())
            items = value.values() if isinstance(value, dict) else value
            if not isinstance(value, kind) or not all(isinstance(item, inner) for item in items):
                raise DamagedFile(path, f"its {name} are not what a download or an import writes", RESTORE)
        return found

    @property
    def is_simulated(self) -> bool:
        return bool(self.metadata()["simulated"])

    def check_market(self, simulated: bool) -> None:
        """Raise MixedMarkets when bars of the other kind, practice or real, already lie here."""
        if not (self.codes() or self.index_codes()):
            return
        if self.is_simulated != simulated:
            words = {True: "practice (simulated)", False: "real"}
            raise MixedMarkets(words[self.is_simulated], words[simulated])

    def update_metadata(
        self,
        *,
        simulated: bool,
        codes: dict[str, dict[str, Any]],
        failures: dict[str, str] | None = None,
        tried: Iterable[str] = (),
        **others: Any,
    ) -> None:
        """Merge what a writer has done into metadata.json.

        codes: per code what `describe` returns, added to or replacing older ones. failures: reason by code or
        file. tried: what failed only if it is among them; so is a code that came in. Other keywords are kept
        as they are.
        """
        old = self.metadata()
        mended = codes.keys() | set(tried)
        failed = {name: why for name, why in old["failures"].items() if name not in mended} | (failures or {})
        merged = dict(sorted((old["codes"] | codes).items()))
        new = old | others | {"simulated": simulated, "updated": _now(), "codes": merged, "failures": failed}
        write_json(self.workspace.metadata_path, new)


def describe(bars: Bars, source: str, **others: Any) -> dict[str, Any]:
    """One code's entry in metadata.json."""
    first, last = (str(bars.date[0]), str(bars.date[-1])) if len(bars) else (None, None)
    return {"first": first, "last": last, "count": len(bars), "source": source, "updated": _now()} | others


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files of writers that were killed; call it while holding the folder's lock.

    Unfinished folders are of features, whose writers hold no lock; they are swept when they are old.
    """
    for path in folder.glob(".*.part"):
        if not path.is_dir():
            path.unlink(missing_ok=True)


def _codes_in(folder: Path) -> list[str]:
    found = []
    if folder.is_dir():
        for path in folder.iterdir():
            with contextlib.suppress(UnknownCode):
                if path.suffix == ".csv" and not path.name.startswith("."):
                    code = parse_code(path.stem)
                    if code == path.stem:
                        found.append(code)
    return sorted(found)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
