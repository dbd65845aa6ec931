"""Import: local bars and facts -> judged -> store."""

from pathlib import Path
from typing import Any

from ..base.config import ImportSettings
from ..base.errors import FinancialModelError, NoBarsFound, NothingUsable
from ..base.progress import Progress
from ..base.workspace import Workspace
from ..data.bar_store import BarStore, describe
from ..data.csv_source import CsvSource
from ..data.quality import usable_rows
from ..data.reference_store import KINDS, ReferenceStore, read_facts
from ..data.source import BarSource
from ..data.tdx_files import TdxFiles, find_vipdoc
from ..market.codes import is_index


def import_bars(settings: ImportSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Take the bars of a folder or file into the store; the facts beside them too.

    Returns what came in: stocks, indices, bars, facts, failures by code.
    """
    path = Path(settings.path).expanduser()
    source = open_source(path)
    store, reference = BarStore(workspace), ReferenceStore(workspace)
    codes = chosen_codes(source, settings.max_stocks)
    progress.stage("import", f"Importing {len(codes)} codes from {path}")
    entries: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    with store.locked("import"):
        store.check_market(source.is_simulated)
        for done, code in enumerate(codes, 1):
            try:
                bars = source.fetch_bars(code)
                bars = bars.take(usable_rows(bars))
                if not len(bars):
                    raise NoBarsFound(path, f"bars of {code}")
                store.write(bars)
                entries[code] = describe(bars, source.name)
            except FinancialModelError as error:
                failures[code] = str(error)
            progress.emit("progress", done=done, total=len(codes), unit="codes", detail=code)
            if progress.is_stop_requested():
                break
        facts = import_facts(path, reference)
        store.update_metadata(simulated=source.is_simulated, codes=entries, failures=failures)
    if not entries:
        raise NothingUsable("codes", failures)
    return {
        "source": source.name,
        "stocks": sum(not is_index(code) for code in entries),
        "indices": sum(is_index(code) for code in entries),
        "bars": sum(entry["count"] for entry in entries.values()),
        "facts": facts,
        "failures": failures,
    }


def open_source(path: Path) -> BarSource:
    """The source that lies at a path: a vipdoc folder, a folder of CSV files, or one CSV file."""
    if path.is_dir():
        vipdoc = find_vipdoc(path)
        if vipdoc is not None:
            return TdxFiles(vipdoc)
        return CsvSource(path)
    if path.is_file():
        return CsvSource(path)
    raise NoBarsFound(path, "a folder with CSV files or a vipdoc, or one CSV file")


def chosen_codes(source: BarSource, max_stocks: int | None) -> list[str]:
    """All indices and the first `max_stocks` stocks by code."""
    codes = source.codes()
    stocks = [code for code in codes if not is_index(code)]
    return [code for code in codes if is_index(code)] + stocks[:max_stocks]


def import_facts(path: Path, reference: ReferenceStore) -> dict[str, int]:
    """Take the CSVs of dated facts in `reference/` or beside the bars; rows taken by table."""
    taken = {}
    folder = path if path.is_dir() else path.parent
    for name in KINDS:
        for place in (folder / "reference", folder):
            file = place / f"{name}.csv"
            if file.is_file():
                facts = read_facts(file, name)
                reference.write(name, facts.columns)
                taken[name] = len(facts)
                break
    return taken
