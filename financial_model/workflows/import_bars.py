"""Import: local bars and the facts beside them -> judged -> store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..base.config import ImportSettings, VolumeUnit
from ..base.errors import FinancialModelError, NoBarsFound, NoFileNamedByCode, NothingUsable, PathNotFound
from ..base.progress import Progress
from ..base.workspace import Workspace, user_path
from ..data.bar_store import BarStore, describe
from ..data.csv_source import VOLUME_UNITS, CsvSource
from ..data.intake import Intake
from ..data.quality import Judge
from ..data.reference_store import KINDS, ReferenceStore, read_facts
from ..data.source import Bars, BarSource
from ..data.tdx_files import TdxFiles, find_vipdoc
from ..market.codes import is_index

ASSUMED = "assumed shares"  # how a source tells that nothing told it the unit of a volume
OTHER_TABLES = frozenset([*KINDS, "calendar", "quality"])  # CSV files of ours that hold no bars
SAVE_EVERY = 200  # codes between two writings of what came in, so that a kill loses little


def import_bars(settings: ImportSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Take the bars of a folder or file into the store, and the dated facts beside them.

    A code's sessions that the source has replace those in the store, older and newer ones stay; a code whose
    bars cannot be used leaves the store as it was and is listed. Returns counts, `facts` (rows by table),
    `without_actions` (stocks of which no corporate action is known), `volume_units`, `quality` (findings by
    class) and `failures` (reason by code or file).
    """
    path = user_path(settings.path)
    source = open_source(path)
    codes = chosen_codes(source, settings.max_stocks)
    progress.stage(
        "import",
        f"Importing {len(codes)} codes from {path}",
        source=source.name,
        count=len(codes),
        path=str(path),
    )
    store = BarStore(workspace)
    with store.locked("import"):
        store.check_market(source.is_simulated)
        taken = _Taken(workspace, store, source, settings.volume_unit)
        taken.take_facts(path)
        indices = [bars for code in codes if is_index(code) if (bars := taken.fetch(code)) is not None]
        judge = Judge.of_workspace(workspace, indices)
        for done, bars in enumerate(_bars_of(indices, codes, taken), 1):
            if bars is not None:
                taken.keep(bars, judge)
            progress.emit("progress", done=done, total=len(codes), unit="codes")
            if done % SAVE_EVERY == 0 or progress.is_stop_requested():
                taken.save()
                progress.check_stop(f"{len(taken.entries)} of {len(codes)} codes are in the store.")
        taken.save()
    return taken.result(progress)


def open_source(path: Path) -> BarSource:
    """The source that lies at a path: a vipdoc folder, a folder of CSV files, or one CSV file."""
    if not (path.is_file() or path.is_dir()):
        raise PathNotFound(path)
    vipdoc = find_vipdoc(path) if path.is_dir() else None
    if vipdoc is not None:
        return TdxFiles(vipdoc)
    try:
        return CsvSource(path, OTHER_TABLES if path.is_dir() else ())
    except NoBarsFound:
        if path.is_file():
            raise NoFileNamedByCode(path.parent, [path.name]) from None
        files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in (".csv", ".txt")]
        if named := [file.name for file in files if file.stem not in OTHER_TABLES]:
            raise NoFileNamedByCode(path, named) from None
        expected = "CSV files named by their code, such as SH600000.csv, or the vipdoc of a 通达信 client"
        raise NoBarsFound(path, expected) from None


def chosen_codes(source: BarSource, max_stocks: int | None) -> list[str]:
    """All indices, then the first `max_stocks` stocks by code."""
    codes = source.codes()
    stocks = [code for code in codes if not is_index(code)]
    return [code for code in codes if is_index(code)] + stocks[:max_stocks]


def _bars_of(indices: list[Bars], codes: list[str], taken: "_Taken") -> Iterator[Bars | None]:
    """The indices, which were fetched first to learn the sessions, then each stock; None for a failed one."""
    yield from indices
    for code in codes:
        if not is_index(code):
            yield taken.fetch(code)


class _Taken:
    """What an import has taken in so far."""

    def __init__(
        self, workspace: Workspace, store: BarStore, source: BarSource, volume_unit: VolumeUnit | None
    ) -> None:
        self.workspace, self.store, self.source = workspace, store, source
        self.volume_unit = volume_unit
        self.units: dict[str, str] = getattr(source, "volume_units", {})
        self.intake = Intake(store)
        self.entries: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, str] = {}
        self.facts: dict[str, int] = {}
        self.bar_count = 0

    def take_facts(self, path: Path) -> None:
        """The CSVs of dated facts beside the bars, in `reference/` there or beside their folder.

        The nearest file of a table counts; a bad one is listed and left out.
        """
        reference = ReferenceStore(self.workspace)
        folder = (path if path.is_dir() else path.parent).resolve()
        places = (folder / "reference", folder, folder.parent / "reference")
        for name in KINDS:
            file = next((f for place in places if (f := place / f"{name}.csv").is_file()), None)
            if file is None:
                continue
            try:
                facts = read_facts(file, name)
                reference.merge(name, facts, set(facts["code"].tolist()))
                self.facts[name] = len(facts)
            except FinancialModelError as error:
                self.failures[file.name] = str(error)

    def fetch(self, code: str) -> Bars | None:
        try:
            bars = self.source.fetch_bars(code)
        except FinancialModelError as error:
            self.failures[code] = str(error)
            return None
        if self.units.get(code) == ASSUMED and self.volume_unit is not None:
            self.units[code] = self.volume_unit
            bars = replace(bars, volume=bars.volume * VOLUME_UNITS[self.volume_unit])
        return bars

    def keep(self, bars: Bars, judge: Judge) -> None:
        """Judge one code's bars beside those in the store, and put them there."""
        code = bars.code
        judged = judge.judge(bars, self.store.read(code) if code in self.store else None)
        is_usable = len(judged.bars) > 0
        self.intake.write(judged, judged.all_bars if is_usable else None)
        self.intake.note(judged, len(judged.set_aside))
        if not is_usable:
            self.failures[code] = (
                f"no row of {code} can be used; {judged.first_reason}. Correct the source and import again."
            )
            return
        self.entries[code] = describe(judged.all_bars, self.source.name)
        self.bar_count += len(judged.bars)

    def save(self) -> None:
        """The report and metadata.json, after the bars they speak of."""
        self.intake.write_report()
        self.store.update_metadata(
            simulated=self.source.is_simulated,
            codes=self.entries,
            failures=self.failures,
            tried=[f"{name}.csv" for name in KINDS],
        )

    def result(self, progress: Progress) -> dict[str, Any]:
        skipped = getattr(self.source, "skipped", {})
        failures = dict(sorted((self.failures | skipped).items()))
        if not self.entries:
            raise NothingUsable("codes", failures)
        units: dict[str, int] = {}
        for unit in self.units.values():
            units[unit] = units.get(unit, 0) + 1
        if units and not set(units) <= {"shares", ASSUMED}:
            told = ", ".join(f"{count} in {unit}" for unit, count in sorted(units.items()))
            progress.warn(f"Volumes were read as: {told}.", key="import.volume_units", units=units)
        if ASSUMED in units:
            progress.warn(
                f"{units[ASSUMED]} files hold no amounts to tell the unit of their volumes by, which were "
                "taken for shares. If they are in lots of 100 (as the vol of tushare is), import again with "
                "--volume-unit lots.",
                key="import.volume_assumed",
                count=units[ASSUMED],
            )
        stocks = [code for code in self.entries if not is_index(code)]
        acted = set(ReferenceStore(self.workspace).read("corporate_actions")["code"].tolist())
        unadjusted = sum(code not in acted for code in stocks)
        # Young stocks have paid nothing yet; when most have no actions, it is the table that is missing.
        if unadjusted > len(stocks) / 2:
            progress.warn(
                f"{unadjusted} of {len(stocks)} stocks came in without corporate actions: their prices stay "
                "unadjusted, and a dividend looks like a loss. Put corporate_actions.csv into reference/ "
                "beside the bars and import again.",
                key="import.unadjusted",
                count=unadjusted,
                stocks=len(stocks),
            )
        for name, reason in list(failures.items())[:20]:
            progress.warn(f"{name} was left out: {reason}", key="import.left_out", name=name)
        self.intake.warn(progress)
        return {
            "source": self.source.name,
            "stocks": len(stocks),
            "indices": len(self.entries) - len(stocks),
            "bars": self.bar_count,
            "first": min(entry["first"] for entry in self.entries.values()),
            "last": max(entry["last"] for entry in self.entries.values()),
            "facts": self.facts,
            "without_actions": unadjusted,
            "volume_units": units,
            **self.intake.result(),
            "failures": failures,
        }
