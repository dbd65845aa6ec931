"""What a download has brought and what it could not: the files it leaves, in the order that survives a kill.

A stock's bars are written first. Every few seconds follow the tables of facts, the report of quality, and
metadata.json last. What metadata does not speak of is fetched again after a kill, and gives the same files.
"""

import re
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.workspace import Workspace, write_atomically
from ..market.codes import is_index
from .bar_store import BarStore, describe
from .csv_source import table_text
from .intake import Intake
from .quality import Judged
from .reference_store import ReferenceStore, facts_of_rows, make_facts
from .source import BAR_COLUMNS, Bars
from .tdx_market import Fetched, Universe

SOURCE = "tdx"
INDUSTRY_SCHEME = "TDX"
FIRST_RETRY = timedelta(minutes=10)
LONGEST_RETRY = timedelta(days=1)
NO_BARS_RETRY = timedelta(days=7)
FLUSH_S = 2.0  # what a kill can cost: these stocks are asked again
FLUSH_SHARE = 10.0  # at most a tenth of the time goes into tables that are written whole
# What a person can do about each kind of failure; the page translates the key.
REMEDIES = {
    "no_bars": "import",
    "bad_answer": "other_server",
    "stub": "other_server",
    "empty": "other_server",
}
ST_NAME = re.compile(r"S?\*?ST")
BLOCK_COLUMNS = ("code", "kind", "block", "from", "to")


class Written(NamedTuple):
    """What the writing of one code took: the bytes of its file, and rows newly set aside."""

    bytes: int
    set_aside: int


class DownloadLedger:
    """The store, the facts and the metadata of one run; used by one thread."""

    def __init__(self, workspace: Workspace, now: datetime) -> None:
        self.workspace, self.now = workspace, now
        self.store, self.reference = BarStore(workspace), ReferenceStore(workspace)
        self.intake = Intake(self.store)
        metadata = self.store.metadata()
        self.entries: dict[str, dict[str, Any]] = dict(metadata["codes"])
        self.retries: dict[str, dict[str, Any]] = dict(metadata.get("retries", {}))
        self.servers: list[dict[str, Any]] = list(metadata.get("servers", []))
        self.choice: dict[str, Any] = dict(metadata.get("choice", {}))
        self._entries: dict[str, dict[str, Any]] = {}
        self._facts: list[Fetched] = []
        self._next_flush = time.monotonic() + FLUSH_S

    @property
    def today(self) -> date:
        """The day facts are learned on, in Shanghai."""
        return (self.now + timedelta(hours=8)).date()

    def is_current(self, code: str, start: date, newest: np.datetime64 | None) -> bool:
        """Whether a run up to `newest` has nothing to ask about a code."""
        entry = self.entries.get(code, {})
        return (
            newest is not None
            and entry.get("source") == SOURCE
            and entry.get("checked") == str(newest)
            and str(entry.get("asked_from", "9999")) <= start.isoformat()
            and code in self.store
            and code in self.intake.report.bars
        )

    def is_complete(self, code: str, start: date) -> bool:
        """Whether what is held was judged and reaches back as far as it can: then its end is fetched."""
        entry = self.entries.get(code)
        if entry is None or code not in self.intake.report.bars:
            return False
        return entry.get("source") != SOURCE or str(entry.get("asked_from", "9999")) <= start.isoformat()

    def write(self, fetched: Fetched) -> Written:
        """Write one code's bars, and first what they revise or lose. For any thread, each code once."""
        if fetched.revised is not None:
            self._keep_revision(fetched.revised)
        set_aside = self.intake.write(fetched.judged, fetched.bars)
        size = self.store.path_of(fetched.code).stat().st_size if fetched.bars is not None else 0
        return Written(size, set_aside)

    def keep(self, fetched: Fetched, set_aside: int, start: date, newest: np.datetime64 | None) -> None:
        """Note what was fetched of one code, once its bars are written."""
        self.intake.note(fetched.judged, set_aside)
        code = fetched.code
        bars = fetched.bars if fetched.bars is not None else self.store.read(code)
        old = self.entries.get(code, {})
        source, since = old.get("source", SOURCE), start.isoformat()
        others: dict[str, Any] = {
            "server": fetched.server,
            "checked": str(newest) if newest is not None else None,
            "asked_from": min(since, str(old.get("asked_from", since))),
        }
        revisions = int(old.get("revisions", 0)) + (fetched.revised is not None)
        if revisions:
            others["revisions"] = revisions
        entry = describe(bars, source, **others)
        self.entries[code] = self._entries[code] = entry
        self.retries.pop(code, None)
        if not is_index(code):
            self._facts.append(fetched)

    def keep_unusable(self, judged: Judged) -> None:
        """Note a code of which no bar can be used; what is held of it stays."""
        self.intake.note(judged, self.intake.write(judged, None))

    def fail(self, code: str, name: str, kind: str, reason: str, tries: int) -> dict[str, Any]:
        """Note that a code could not be had, and when it is worth another try."""
        before = self.retries.get(code, {})
        times = int(before.get("times", 0)) + 1
        wait = NO_BARS_RETRY if kind == "no_bars" else min(FIRST_RETRY * 2 ** (times - 1), LONGEST_RETRY)
        self.retries[code] = {
            "code": code,
            "name": name,
            "kind": kind,
            "reason": reason,
            "tries": int(before.get("tries", 0)) + tries,
            "times": times,
            "failed_at": self.now.isoformat(timespec="seconds"),
            "next_try": (self.now + wait).isoformat(timespec="seconds"),
            "remedy": REMEDIES.get(kind, "retry"),
        }
        return self.retries[code]

    def is_due(self, code: str) -> bool:
        """Whether a failed code is to be asked for again by a run that does not insist."""
        failure = self.retries.get(code)
        if failure is None or failure["kind"] != "no_bars":
            return True
        return str(failure["next_try"]) <= self.now.isoformat(timespec="seconds")

    def _keep_revision(self, revised: tuple[Bars, Bars]) -> None:
        """Append both versions of revised sessions to full_stock_data/revisions/CODE.csv."""
        old, new = revised
        path = self.revision_path(old.code)
        lines = path.read_bytes() if path.is_file() else b""
        for version, bars in (("held", old), ("served", new)):
            columns: dict[str, Any] = {
                "noticed": np.full(len(bars), self.today, dtype="M8[D]"),
                "version": np.full(len(bars), version),
            }
            text = table_text(columns | {name: getattr(bars, name) for name in BAR_COLUMNS})
            lines += text if not lines else text.split(b"\n", 1)[1]
        with write_atomically(path) as file:
            file.write(lines)

    def revision_path(self, code: str) -> Path:
        return self.workspace.stock_data_dir / "revisions" / f"{code}.csv"

    def sweep(self) -> None:
        """Remove what writes that were killed left beside their places; only under the store's lock."""
        for path in self.workspace.stock_data_dir.rglob(".*.part"):
            path.unlink(missing_ok=True)

    def flush_if_due(self) -> None:
        if time.monotonic() >= self._next_flush:
            self.flush()

    def flush(self) -> None:
        """Write the facts that came and the report, then the metadata of what is written."""
        began = time.monotonic()
        if self._facts:
            self._merge_facts(self._facts)
        self.intake.write_report()
        self.store.update_metadata(
            simulated=False,
            codes=self._entries,
            failures={code: failure["reason"] for code, failure in self.retries.items()},
            retries=dict(sorted(self.retries.items())),
            servers=self.servers,
            choice=self.choice,
        )
        self._entries, self._facts = {}, []
        spent = time.monotonic() - began
        self._next_flush = time.monotonic() + max(FLUSH_S, FLUSH_SHARE * spent)

    def _merge_facts(self, batch: list[Fetched]) -> None:
        for name in ("corporate_actions", "share_capital"):
            rows = [row for fetched in batch if fetched.actions for row in getattr(fetched.actions, name)]
            if rows:
                self.reference.merge(name, facts_of_rows(name, rows), {row["code"] for row in rows})
        self._merge_fundamentals(batch)
        dates = {
            fetched.code: fetched.finance.list_date
            for fetched in batch
            if fetched.finance and fetched.finance.list_date
        }
        if dates:
            self._merge_stock_list({}, dates)

    def _merge_fundamentals(self, batch: list[Fetched]) -> None:
        """Add the newest report of each stock; those learned before stay, each from its own day on."""
        known = [f.finance for f in batch if f.finance and f.finance.announced]
        if not known:
            return
        old = self.reference.read("fundamentals")
        columns: dict[str, Any] = {
            "code": [f.code for f in known],
            "announced": [f.announced for f in known],
            "period": [f.period for f in known],
            "eps_cny": [f.eps_cny for f in known],
            "book_value_per_share_cny": [f.book_value_per_share_cny for f in known],
            "total_shares": [f.total_shares for f in known],
            "float_shares": [f.float_shares for f in known],
            "months": [float(f.months) for f in known],
            "shareholders": [f.shareholders for f in known],
        }
        for name in known[0].money_cny:
            columns[name] = [f.money_cny[name] for f in known]
        days = {f.code: np.datetime64(str(f.announced)) for f in known}
        kept = np.array(
            [days.get(str(c), d) != d for c, d in zip(old["code"], old["announced"], strict=True)],
            dtype=bool,
        )
        mine = np.isin(old["code"], list(days)) & kept
        for name in set(columns) | set(old.columns) - {"known_from"}:
            fresh = columns.get(name, [np.nan] * len(known))
            before = old.columns[name][mine] if name in old.columns else np.full(int(mine.sum()), np.nan)
            if name in ("announced", "period"):
                fresh = np.array(fresh, dtype="M8[D]")
            columns[name] = list(before) + list(fresh)
        self.reference.merge("fundamentals", make_facts("fundamentals", columns), set(days))

    def learn_universe(self, universe: Universe) -> None:
        """Write names, ST spells, industries and blocks, each dated with the day it was learned."""
        self._merge_stock_list(universe.names, {})
        self._learn_st(universe.names)
        self._learn_industries(universe.industries)
        if universe.blocks:
            self._learn_blocks(universe.blocks)

    def _merge_stock_list(self, names: dict[str, str], dates: dict[str, date]) -> None:
        old = self.reference.read("stock_list")
        known: dict[str, tuple[str, Any, Any]] = {
            str(old["code"][k]): (str(old["name"][k]), old["list_date"][k], old["delist_date"][k])
            for k in range(len(old))
        }
        nothing = ("", np.datetime64("NaT", "D"), np.datetime64("NaT", "D"))
        for code in names.keys() | dates.keys():
            name, listed, delisted = known.get(code, nothing)
            listed = np.datetime64(dates[code]) if code in dates else listed
            known[code] = (names.get(code) or name, listed, delisted)
        codes = sorted(known)
        columns = {
            "code": codes,
            "name": [known[code][0] for code in codes],
            "list_date": np.array([known[code][1] for code in codes], dtype="M8[D]"),
            "delist_date": np.array([known[code][2] for code in codes], dtype="M8[D]"),
        }
        self.reference.write("stock_list", columns)

    def name_of(self, code: str) -> str:
        """The stock's name of today, "" unknown."""
        if not hasattr(self, "_names"):
            table = self.reference.read("stock_list")
            self._names = dict(zip(table["code"].tolist(), table["name"].tolist(), strict=True))
        return str(self._names.get(code, ""))

    def _learn_st(self, names: dict[str, str]) -> None:
        """Open a spell for a stock whose name says ST today, close it once the name no longer does."""
        old = self.reference.read("st_periods")
        rows = [[str(old["code"][k]), old["from"][k], old["to"][k]] for k in range(len(old))]
        opened = {row[0]: row for row in rows if np.isnat(row[2])}
        today = np.datetime64(self.today)
        for code, name in sorted(names.items()):
            is_st = ST_NAME.match(name.upper()) is not None
            if is_st and code not in opened:
                rows.append([code, today, np.datetime64("NaT", "D")])
            elif not is_st and name and code in opened:
                opened[code][2] = today
        self._write_rows("st_periods", ("code", "from", "to"), rows)

    def _learn_industries(self, industries: dict[str, tuple[str, str]]) -> None:
        """Add what the servers say today where it is new; dated rows of other schemes are better and stay."""
        old = self.reference.read("industries")
        names = ("code", "from", "to", "scheme", "industry", "source_code", "updated")
        rows = [[old[name][k] for name in names] for k in range(len(old))]
        opened = {str(row[0]): row for row in rows if np.isnat(row[2])}
        today, never = np.datetime64(self.today), np.datetime64("NaT", "D")
        for code, (industry, name) in sorted(industries.items()):
            row = opened.get(code)
            if row is not None and (row[3] != INDUSTRY_SCHEME or row[5] == industry):
                continue
            if not name:
                continue
            if row is not None:
                row[2] = today
            rows.append([code, today, never, INDUSTRY_SCHEME, name, industry, today])
        self._write_rows("industries", names, rows)

    def _write_rows(self, name: str, columns: tuple[str, ...], rows: list[list[Any]]) -> None:
        if rows:
            self.reference.write(name, {column: [row[k] for row in rows] for k, column in enumerate(columns)})

    def _learn_blocks(self, blocks: list[tuple[str, str, str]]) -> None:
        """blocks.csv: code, kind, block, from, to; memberships from the day they were learned."""
        path = self.workspace.reference_path("blocks")
        known: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]:
                code, kind, block, since, to = (part.strip('"') for part in line.split(","))
                known.setdefault((code, kind, block), []).append((since, to))
        today = self.today.isoformat()
        now = {(code, kind, block.replace(",", " ").replace('"', "")) for code, kind, block in blocks}
        kinds = {kind for _, kind, _ in now}
        for member, spells in known.items():
            if member[1] in kinds and not spells[-1][1] and member not in now:
                spells[-1] = (spells[-1][0], today)
        for member in now:
            spells = known.setdefault(member, [])
            if not spells or spells[-1][1]:
                spells.append((today, ""))
        rows = sorted((*member, *spell) for member, spells in known.items() for spell in spells)
        table = {name: np.array([row[k] for row in rows]) for k, name in enumerate(BLOCK_COLUMNS)}
        with write_atomically(path) as file:
            file.write(table_text(table))
