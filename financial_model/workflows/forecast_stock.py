"""Checkpoint -> forecast -> a file of quantiles per step."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ..base.config import ForecastSettings
from ..base.errors import BadSetting, NoBarsFound, UnknownCode
from ..base.progress import Progress
from ..base.workspace import Workspace, output_path, user_path
from ..data.csv_source import read_bars_csv
from ..data.panel import Panel
from ..data.quality import usable_rows
from ..data.reference_store import ReferenceStore, actions_of
from ..data.source import Bars
from ..datasets.feature_cache import load_features
from ..evaluation.notes import note, note_other_market, note_unlearned
from ..forecasting.conditional_inference import open_predictor
from ..forecasting.forecast import FORECAST_SUFFIXES, write_forecast
from ..forecasting.own_stock import match_prices, with_stock
from ..market.codes import parse_code
from ..models.checkpoint import checkpoint_path

# A result carries the forecasts themselves while a person could still read them.
TOLD_ROWS = 200


def forecast_stock(settings: ForecastSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Forecast some stocks or the whole universe, for one session or a range, and write the table."""
    checkpoint = checkpoint_path(workspace, settings.checkpoint)
    tags = settings.tags("checkpoint", "all", "bars", "out")
    if settings.bars is not None:
        tags.insert(0, f"bars-{workspace.stem_of(user_path(settings.bars), workspace.root)}")
    stem = workspace.stem_of(checkpoint, workspace.output_dir)
    default = workspace.result_path(stem, "forecast", tags, ".csv")
    out = output_path(settings.out or default, *FORECAST_SUFFIXES)
    progress.stage("load", "loading the checkpoint and the panel")
    panel = Panel.open(workspace)
    codes: list[str] | None = ReferenceStore(workspace).codes_meant(settings.codes)
    if settings.bars is not None:
        own, units = read_own_bars(Path(settings.bars))
        until = settings.as_of or settings.last
        kind = match_prices(panel, own, None if until is None else np.datetime64(until, "D"))
        actions = actions_of(ReferenceStore(workspace).read("corporate_actions"), own.code)
        panel, codes = with_stock(panel, own, kind, actions), [own.code]
    elif settings.all:
        codes = None
    elif not codes:
        raise BadSetting("codes", [], "stock codes, or --all")
    features = load_features(panel, workspace, progress) if settings.bars is None else None
    predictor = open_predictor(checkpoint, panel, features=features)
    notes = note_other_market(progress, checkpoint.stem, predictor.checkpoint.data, panel.is_simulated)
    if settings.bars is not None:
        told = {"file": Path(settings.bars).name, "code": own.code, "units": units}
        inside = int(np.sum((actions.date > own.date[0]) & (actions.date <= own.date[-1])))
        notes.append(note(progress, f"own_bars_{kind}", **told, actions=inside))
    progress.check_stop("Nothing was written.")

    progress.stage("forecast", "forecasting")
    table = predictor.forecast(codes, settings.as_of, settings.first, settings.last)
    progress.check_stop("Nothing was written.")
    if not table.num_rows:
        asked = (
            settings.as_of
            or f"{settings.first or panel.sessions[0]} to {settings.last or panel.last_session}"
        )
        needed, first = predictor.checkpoint.model.context_length, panel.sessions[0]
        expected = f"a session of {first} to {panel.last_session} that can be forecast: {needed} up to it"
        raise BadSetting("as_of" if settings.as_of else "first", str(asked), expected)
    write_forecast(out, table)

    forecast_codes = pc.unique(table["code"]).to_pylist()
    unlearned, told_unlearned = note_unlearned(progress, predictor.checkpoint.learned_codes, forecast_codes)
    as_of = pc.min_max(table["as_of"]).as_py()
    result = {
        "out": str(out),
        "rows": table.num_rows,
        "stocks": len(forecast_codes),
        "stocks_not_trained_on": unlearned,
        "first": as_of["min"].isoformat(),
        "last": as_of["max"].isoformat(),
        "is_simulated": panel.is_simulated,
        "notes": notes + told_unlearned,
        "message": f"{table.num_rows:,} rows in {out}",
    }
    if table.num_rows <= TOLD_ROWS:
        rows = table.to_pylist()
        result["forecasts"] = [row | {"as_of": row["as_of"].isoformat()} for row in rows]
    return result


def read_own_bars(path: Path) -> tuple[Bars, str]:
    """The bars of a CSV of the user's own, under the code in its name or else its name, and their units."""
    if not path.is_file():
        raise NoBarsFound(path, "a CSV file")
    bars, units = read_bars_csv(path, own_code(path.stem))
    bars = bars.take(np.argsort(bars.date, kind="stable"))  # many exports have the newest first
    bars = bars.take(usable_rows(bars))
    if not len(bars):
        raise NoBarsFound(path, f"bars of {bars.code}")
    return bars, units


def own_code(stem: str) -> str:
    """The code that a file name writes, or the name itself.

    >>> own_code("600519"), own_code("my_stock")
    ('SH600519', 'my_stock')
    """
    try:
        return parse_code(stem)
    except UnknownCode:
        return stem
