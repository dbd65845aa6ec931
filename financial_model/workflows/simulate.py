"""Write a practice market into the workspace, exactly as a real source would, with its oracle beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ..base.config import SimulateSettings
from ..base.progress import Progress
from ..base.workspace import Workspace, replace_when_done
from ..data.bar_store import BarStore, describe
from ..data.reference_store import ReferenceStore
from ..data.simulated_market import SimulatedMarket, SimulatedSource, simulate_market


def simulate(settings: SimulateSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Draw a practice market and store its bars, facts and oracle; an older practice market makes room.

    Raises MixedMarkets when real bars lie in the workspace, and StopRequested between stocks.
    """
    bars, facts = BarStore(workspace), ReferenceStore(workspace)
    with bars.locked("simulate"):
        bars.check_market(simulated=True)
        progress.stage(
            "simulate",
            f"Drawing {settings.stocks} stocks over {settings.sessions} sessions",
            stocks=settings.stocks,
            sessions=settings.sessions,
        )
        market = simulate_market(settings)
        remove_old_market(bars)
        store_bars(market, bars, progress)
        for name, columns in market.facts.items():
            facts.write(name, columns)
        path = write_oracle(market, workspace)
    return {
        "simulated": True,
        "settings": settings.to_json(),
        "codes": len(market.codes),
        "indices": sorted(market.indices),
        "bars": int(np.isfinite(market.close).sum()),
        "first": str(market.sessions[0]),
        "last": str(market.sessions[-1]),
        "delisted": sum(1 for day in market.facts["stock_list"]["delist_date"] if day),
        "corporate_actions": len(market.facts["corporate_actions"]["code"]),
        "oracle": str(path.relative_to(workspace.root)),
    }


def remove_old_market(bars: BarStore) -> None:
    """Take away the practice bars of an earlier run: two markets in one store would be neither."""
    for code in [*bars.codes(), *bars.index_codes()]:
        bars.path_of(code).unlink()
    bars.workspace.metadata_path.unlink(missing_ok=True)


def store_bars(market: SimulatedMarket, bars: BarStore, progress: Progress) -> None:
    """Write each code's bars, then the metadata that speaks of them."""
    source = SimulatedSource(market)
    described = {}
    codes = source.codes()
    # Said before the first bar: a run that dies half way has still left a practice market.
    bars.update_metadata(simulated=True, codes={}, simulation=market.settings.to_json())
    for done, code in enumerate(codes, start=1):
        progress.check_stop("The practice market is incomplete; simulate again.")
        found = source.fetch_bars(code)
        bars.write(found)
        described[code] = describe(found, source.name)
        progress.emit("progress", done=done, total=len(codes), unit="stocks", detail=code)
    bars.update_metadata(simulated=True, codes=described)


def write_oracle(market: SimulatedMarket, workspace: Workspace) -> Path:
    """oracle.parquet (code, as_of, score): what one who knows the law expects; never read by training."""
    rows, columns = np.nonzero(np.isfinite(market.oracle))
    table = pa.table(
        {
            "code": pa.DictionaryArray.from_arrays(rows.astype(np.int32), market.codes).cast(pa.string()),
            "as_of": pa.array(market.sessions[columns]),
            "score": market.oracle[rows, columns],
        }
    )
    path = workspace.stock_data_dir / "oracle.parquet"
    with replace_when_done(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
    return path
