"""What a workspace holds, read in moments from small files: no panel is opened, torch never imported."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.errors import DamagedFile
from ..base.workspace import Workspace, read_json


@dataclass(frozen=True)
class MarketStatus:
    """The market of a workspace: `stocks` files of bars, of which the panel (if there is one) was made."""

    stocks: int = 0
    first_session: str = ""
    last_session: str = ""
    bars: int = 0
    is_simulated: bool = False
    has_panel: bool = False
    metadata: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        return self.stocks == 0 and not self.has_panel


class MarketReader:
    """Reads the status again only when its files have changed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._stamp: tuple[Any, ...] = ()
        self._status = MarketStatus()

    def read(self) -> MarketStatus:
        paths = (self.workspace.metadata_path, self.workspace.panel_path, self.workspace.bars_dir)
        stamp = tuple(_stamp(path) for path in paths)
        if stamp != self._stamp:
            self._status = read_market(self.workspace)
            self._stamp = stamp
        return self._status


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def read_market(workspace: Workspace) -> MarketStatus:
    """The status from metadata.json; the files themselves are counted where it is missing or torn."""
    try:
        metadata = read_json(workspace.metadata_path)
    except (OSError, DamagedFile):
        metadata = {}
    if not isinstance(metadata, dict):
        metadata = {}
    try:
        stocks = sum(name.lower().endswith(".csv") for name in os.listdir(workspace.bars_dir))
    except OSError:
        stocks = 0
    return MarketStatus(
        stocks=stocks,
        is_simulated=metadata.get("simulated") is True,
        has_panel=workspace.panel_path.is_file(),
        metadata=metadata,
        **_span(metadata),
    )


def _span(metadata: dict[str, Any]) -> dict[str, Any]:
    """First and last session and the count of bars, over what the metadata tells of each code."""
    codes = metadata.get("codes")
    entries = (
        [entry for entry in codes.values() if isinstance(entry, dict)] if isinstance(codes, dict) else []
    )
    counts = [entry.get("count") for entry in entries]
    return {
        "first_session": min((str(entry["first"]) for entry in entries if entry.get("first")), default=""),
        "last_session": max((str(entry["last"]) for entry in entries if entry.get("last")), default=""),
        "bars": sum(count for count in counts if isinstance(count, int)),
    }
