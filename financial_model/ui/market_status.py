"""What a workspace holds, read in moments from small files: no panel is opened, torch never imported."""

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..base.errors import DamagedFile
from ..base.workspace import Workspace, read_json

MAX_YEARS = 200


@dataclass(frozen=True)
class MarketStatus:
    """The market of a workspace: `stocks` files of bars, of which the panel (if there is one) was made."""

    stocks: int = 0
    first_session: str = ""
    last_session: str = ""
    bars: int = 0
    by_year: dict[int, int] = field(default_factory=dict)
    is_simulated: bool = False
    has_panel: bool = False
    metadata: dict[str, Any] | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    stamp: tuple[Any, ...] = ()

    @property
    def is_empty(self) -> bool:
        return self.stocks == 0 and not self.has_panel

    @property
    def asked_from(self) -> str | None:
        """The date from which most codes were downloaded, None where none was.

        To ask for less is an update of their ends; to ask for more fetches the whole of each again.
        """
        codes = (self.metadata or {}).get("codes")
        entries = codes.values() if isinstance(codes, dict) else ()
        starts = [one.get("asked_from") for one in entries if isinstance(one, dict)]
        most = Counter(start for start in starts if isinstance(start, str)).most_common(1)
        return most[0][0] if most else None

    @property
    def asked_stocks(self) -> int | None:
        """How many stocks were asked for when they were chosen by number, None where they never were."""
        choice = (self.metadata or {}).get("choice")
        count = choice.get("stocks") if isinstance(choice, dict) else None
        return count if isinstance(count, int) else None


class MarketReader:
    """Reads the status again only when its files have changed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._stamp: tuple[Any, ...] = ()
        self._status = MarketStatus()

    def read(self) -> MarketStatus:
        paths = (
            self.workspace.metadata_path,
            self.workspace.panel_path,
            self.workspace.bars_dir,
            _quality_path(self.workspace),
        )
        stamp = tuple(stamp_of(path) for path in paths)
        if stamp != self._stamp:
            self._status = replace(read_market(self.workspace), stamp=stamp)
            self._stamp = stamp
        return self._status


def _quality_path(workspace: Workspace) -> Path:
    return workspace.stock_data_dir / "quality.json"


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none that can be read."""
    try:
        value = read_json(path)
    except (OSError, DamagedFile):
        return {}
    return value if isinstance(value, dict) else {}


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written, or when something is put into a folder or taken out of it."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def read_market(workspace: Workspace) -> MarketStatus:
    """The status from metadata.json; the files themselves are counted where it is missing or torn."""
    metadata = _read(workspace.metadata_path)
    try:
        stocks = {name[:-4] for name in os.listdir(workspace.bars_dir) if name.lower().endswith(".csv")}
    except OSError:
        stocks = set()
    return MarketStatus(
        stocks=len(stocks),
        is_simulated=metadata.get("simulated") is True,
        has_panel=workspace.panel_path.is_file(),
        metadata=metadata,
        quality=_read(_quality_path(workspace)),
        **_span(metadata, stocks),
    )


def _span(metadata: dict[str, Any], stocks: set[str]) -> dict[str, Any]:
    """First and last session, bars, and stocks by year, over what the metadata tells of each stock."""
    codes = metadata.get("codes")
    known = codes.items() if isinstance(codes, dict) else ()
    entries = [entry for code, entry in known if code in stocks and isinstance(entry, dict)]
    counts = [entry.get("count") for entry in entries]
    by_year: Counter[int] = Counter()
    for entry in entries:
        first, last = str(entry.get("first") or "")[:4], str(entry.get("last") or "")[:4]
        if first.isdigit() and last.isdigit() and int(last) - int(first) < MAX_YEARS:
            by_year.update(range(int(first), int(last) + 1))
    return {
        "first_session": min((str(entry["first"]) for entry in entries if entry.get("first")), default=""),
        "last_session": max((str(entry["last"]) for entry in entries if entry.get("last")), default=""),
        "bars": sum(count for count in counts if isinstance(count, int)),
        "by_year": dict(sorted(by_year.items())),
    }
