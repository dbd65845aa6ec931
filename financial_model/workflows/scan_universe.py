"""Checkpoint -> forecast of every stock of a session -> a ranking with names, conditions and limit tags."""

from typing import Any

import numpy as np
import pyarrow as pa

from ..base.config import ForecastSettings
from ..base.progress import Progress
from ..base.workspace import Workspace, output_path
from ..data.panel import CONDITIONS, Panel
from ..data.reference_store import ReferenceStore
from ..datasets.feature_cache import load_features
from ..evaluation.notes import note_other_market, note_unlearned
from ..forecasting.conditional_inference import open_predictor
from ..forecasting.forecast import FORECAST_SUFFIXES, QUANTILE_NAMES, write_forecast
from ..forecasting.inference import Predictor
from ..market.rules import limit_reached
from ..models.checkpoint import checkpoint_path


def scan_universe(settings: ForecastSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Rank the whole universe as of a session; the best score first. `out` takes the ranking as a file."""
    out = output_path(settings.out, *FORECAST_SUFFIXES) if settings.out else None
    progress.stage("load", "loading the checkpoint and the panel")
    panel = Panel.open(workspace)
    features = load_features(panel, workspace, progress)
    checkpoint = checkpoint_path(workspace, settings.checkpoint)
    predictor = open_predictor(checkpoint, panel, features=features)
    notes = note_other_market(progress, checkpoint.stem, predictor.checkpoint.data, panel.is_simulated)
    progress.check_stop("Nothing was written.")
    progress.stage("scan", "ranking the universe")
    ranking = rank_universe(predictor, ReferenceStore(workspace), settings.as_of)
    if out is not None:
        write_forecast(out, ranking)
    rows = ranking.to_pylist()
    ranked = [row["code"] for row in rows]
    unlearned, told = note_unlearned(progress, predictor.checkpoint.learned_codes, ranked)
    as_of = str(predictor.panel.sessions[predictor.session_position(settings.as_of)])
    return {
        "as_of": as_of,
        "stocks": len(rows),
        "stocks_not_trained_on": unlearned,
        "is_simulated": predictor.panel.is_simulated,
        "notes": notes + told,
        "out": settings.out,
        "message": f"{len(rows):,} stocks ranked as of {as_of}",
        "ranking": rows,
    }


def rank_universe(predictor: Predictor, reference: ReferenceStore, as_of: Any = None) -> pa.Table:
    """One row a stock, best first: rank, code, name, conditions, close, limit, score, quantiles of the last
    step. `limit` is "up" or "down" where the stock closed locked at its limit, else empty."""
    panel = predictor.panel
    rows = predictor.rows(None, as_of)
    score, quantiles = predictor.forecast_rows(rows)
    order = np.argsort(-score, kind="stable")
    rows, score, last_step = rows[order], score[order], quantiles[order, -1]
    codes = [panel.codes[position] for position in panel.code_index[rows]]
    listed = reference.read("stock_list")
    names = dict(zip(listed["code"].tolist(), listed["name"].tolist(), strict=True))
    prices = ("raw_close", "limit_down", "limit_up")
    close, limit_down, limit_up = (panel.column(name)[rows] for name in prices)
    columns: dict[str, Any] = {
        "rank": np.arange(1, len(rows) + 1, dtype=np.int32),
        "code": codes,
        "name": [names.get(code, "") for code in codes],
        "close": close.astype(np.float64),
        "limit": limit_reached(close, limit_down, limit_up).tolist(),
        "is_st": panel.column("is_st")[rows].astype(bool),
        "score": score.astype(np.float64),
    }
    for name in CONDITIONS:
        words = np.asarray(panel.names(name), dtype=object)
        columns[name] = words[panel.column(name)[rows]].tolist()
    columns |= {name: last_step[:, position] for position, name in enumerate(QUANTILE_NAMES)}
    return pa.table(columns)
