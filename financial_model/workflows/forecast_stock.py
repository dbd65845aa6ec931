"""Checkpoint -> forecast -> a file of quantiles per step."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ..base.config import ForecastSettings
from ..base.errors import BadSetting
from ..base.progress import Progress
from ..base.workspace import Workspace
from ..data.panel import Panel
from ..forecasting.conditional_inference import open_predictor
from ..forecasting.forecast import write_forecast
from ..market.codes import parse_code

# A result carries the forecasts themselves while a person could still read them.
TOLD_ROWS = 200


def forecast_stock(settings: ForecastSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Forecast some stocks or the whole universe, for one session or a range, and write the table."""
    if not settings.codes and not settings.all:
        raise BadSetting("codes", [], "stock codes, or --all")
    codes = None if settings.all else [parse_code(code) for code in settings.codes]
    checkpoint = workspace.inside(settings.checkpoint)
    out = Path(settings.out) if settings.out else workspace.inside(f"output/{checkpoint.stem}_forecast.csv")

    progress.stage("load", "loading the checkpoint and the panel")
    predictor = open_predictor(checkpoint, Panel.open(workspace))
    progress.check_stop("Nothing was written.")
    progress.stage("forecast", "forecasting")
    table = predictor.forecast(codes, settings.as_of, settings.first, settings.last)
    progress.check_stop("Nothing was written.")
    write_forecast(out, table)

    as_of = pc.min_max(table["as_of"]).as_py()
    result = {
        "out": str(out),
        "rows": table.num_rows,
        "stocks": len(pc.unique(table["code"])),
        "first": as_of["min"] and as_of["min"].isoformat(),
        "last": as_of["max"] and as_of["max"].isoformat(),
        "is_simulated": predictor.panel.is_simulated,
        "message": f"{table.num_rows:,} rows in {out}",
    }
    if table.num_rows <= TOLD_ROWS:
        rows = table.to_pylist()
        result["forecasts"] = [row | {"as_of": row["as_of"].isoformat()} for row in rows]
    return result
