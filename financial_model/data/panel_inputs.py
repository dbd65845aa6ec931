"""What a panel is built from: each stock's file and facts, and the tables that reach all of them.

A file whose size and time are as they were at the build before is not read again; its digest stands.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..base.errors import NoBarsFound
from ..base.threads import on_all_cores
from ..base.workspace import Workspace
from .bar_store import BarStore
from .panel import FORMAT
from .reference_store import KINDS, Facts, ReferenceStore
from .store_csv import HEADER, count_lines, read_whole

# Facts that enter a stock's own columns; the others reach the panel through the conditions alone.
STOCK_TABLES = ("corporate_actions", "st_periods", "share_capital", "stock_list")


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


NOT_SEEN = StockInput(0, 0, "", "", 0)


class PanelInputs:
    """The inputs of one build as they lie in the store, `before` being the state of the build before.

    stocks: by code; tables: size, time and digest of the files that reach every stock, by their path.
    """

    def __init__(self, workspace: Workspace, before: Mapping[str, Any]) -> None:
        self.workspace = workspace
        self.store = BarStore(workspace)
        self.is_simulated = self.store.is_simulated
        self.first_session = self._market_first_session()
        self.facts_key = [str(self.first_session), *map(self._file_key, STOCK_TABLES)]
        self.stocks = self._stocks(before)
        self.tables = self._tables(before)

    @functools.cached_property
    def facts(self) -> dict[str, Facts]:
        """The tables of STOCK_TABLES by name."""
        return {name: ReferenceStore(self.workspace).read(name) for name in STOCK_TABLES}

    def fingerprint(self, conditions: Any) -> str:
        """A digest of all inputs; conditions: JSON-like, what their columns depend on beside them."""
        parts = {
            "format": FORMAT,
            "simulated": self.is_simulated,
            "conditions": conditions,
            "stocks": {code: stock.key for code, stock in self.stocks.items()},
            "tables": {name: values[2] for name, values in sorted(self.tables.items())},
        }
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=10).hexdigest()

    def _stocks(self, before: Mapping[str, Any]) -> dict[str, StockInput]:
        codes = self.store.codes()
        if not codes:
            raise NoBarsFound(self.workspace.bars_dir, "CSV files such as SH600000.csv (import or download)")
        known: dict[str, StockInput] = before.get("stocks", {})
        if before.get("facts_key") == self.facts_key and known.keys() >= set(codes):
            facts = {code: known[code].facts for code in codes}
        else:
            facts = self._facts_digests(codes)
        folder, found = str(self.workspace.bars_dir), dict.fromkeys(codes, NOT_SEEN)

        def look(code: str) -> None:
            found[code] = _look(os.path.join(folder, f"{code}.csv"), facts[code], known.get(code))

        on_all_cores(look, codes)
        return found

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

    def _tables(self, before: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Digests of the files that reach every stock: indices and the tables behind the conditions."""
        known = before.get("tables", {})
        paths = [self.workspace.index_dir / f"{code}.csv" for code in self.store.index_codes()]
        paths += [self.workspace.reference_path(name) for name in KINDS if name not in STOCK_TABLES]
        found = {}
        for path in paths:
            if path.is_file():
                name, seen = path.relative_to(self.workspace.root).as_posix(), path.stat()
                old = known.get(name)
                if old and old[:2] == [seen.st_size, seen.st_mtime_ns]:
                    found[name] = old
                else:
                    digest = hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()
                    found[name] = [seen.st_size, seen.st_mtime_ns, digest]
        return found


def _look(path: str, facts: str, old: StockInput | None) -> StockInput:
    """A stock's file as it lies there, read only where it is not as it was.

    Few steps of the interpreter, since threads that read and digest side by side wait for it.
    """
    seen = os.stat(path)
    if old and (old.size, old.mtime_ns) == (seen.st_size, seen.st_mtime_ns):
        return old if old.facts == facts else replace(old, facts=facts)
    data = read_whole(path)
    # One row where its lines promise none: so it is read, and told where it is no table.
    row_count = max(count_lines(data) - 1, int(data != HEADER))
    digest = hashlib.blake2b(data, digest_size=12).hexdigest()
    if old and old.digest == digest:
        row_count = old.row_count  # of which some may have been found blank or unusable
    return StockInput(seen.st_size, seen.st_mtime_ns, digest, facts, row_count)
