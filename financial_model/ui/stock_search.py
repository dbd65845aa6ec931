"""Find a stock of the panel by its code or its name; read from small files, without torch."""

from pathlib import Path
from typing import Any

from ..base.errors import UnknownCode
from ..base.workspace import Workspace
from ..data.reference_store import ReferenceStore
from ..market.codes import parse_code
from .market_status import MarketStatus

MAX_FOUND = 50


class StockSearch:
    """The stocks of a workspace, with names where a source told them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._stamp: Any = None
        self._names: dict[str, str] = {}

    def names(self, market: MarketStatus) -> dict[str, str]:
        """code -> name, "" where unknown; read again when the file of names has changed."""
        path: Path = self.workspace.reference_path("stock_list")
        stamp = (path.stat().st_mtime_ns if path.is_file() else 0, market.stocks)
        if stamp != self._stamp:
            listed = ReferenceStore(self.workspace).read("stock_list")
            known = dict(zip(listed["code"].tolist(), listed["name"].tolist(), strict=True))
            # The metadata tell of indices too; a stock has its file of bars.
            held = {file.stem for file in self.workspace.bars_dir.glob("*.csv")}
            self._names = {code: str(known.get(code, "")) for code in sorted(held or known)}
            self._stamp = stamp
        return self._names

    def find(self, market: MarketStatus, text: str) -> list[tuple[str, str]]:
        """(label, code) of stocks whose code or name holds the text; those that begin with it first."""
        wanted = text.strip().casefold()
        found = [
            (f"{code} {name}".strip(), code)
            for code, name in self.names(market).items()
            if wanted in f"{code} {name}".casefold()
        ]
        found.sort(
            key=lambda entry: not (entry[1][2:].startswith(wanted) or entry[0].casefold().startswith(wanted))
        )
        return found[:MAX_FOUND]

    def resolve(self, market: MarketStatus, text: str) -> str:
        """The code that a person wrote or meant; UnknownCode where no stock fits."""
        names = self.names(market)
        first = text.split(" ")[0].strip()
        for one in (text.strip(), first):
            if one in names:
                return one
            try:
                code = parse_code(one)
            except UnknownCode:
                continue
            return code
        found = self.find(market, text)
        if not text.strip() or not found:
            raise UnknownCode(text)
        return found[0][1]
