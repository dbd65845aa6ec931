"""Checkpoint -> scores of a range it never saw -> orders under A-share rules, against the index."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ..base.config import DEFAULT_INDEX, BacktestSettings
from ..base.progress import Progress
from ..base.workspace import Workspace, output_path, write_atomically, write_json
from ..data.panel import Panel
from ..data.reference_store import ReferenceStore
from ..evaluation.backtest import Backtest, run_backtest
from ..evaluation.backtest_result import tell_backtest
from ..evaluation.notes import note
from ..evaluation.report import write_report
from ..market.codes import parse_code
from ..models.checkpoint import checkpoint_path
from .evaluate_model import allowed_range, forecasts_of_range, open_contenders, other_markets

Json = dict[str, Any]


def backtest_model(settings: BacktestSettings, workspace: Workspace, progress: Progress) -> Json:
    """Trade a checkpoint's scores over sessions it has not seen; the result's kind is "backtest".

    Writes the report (.html), the result (.json) and every trade (.csv) beside each other. SeenInTraining
    names the first session allowed.
    """
    stem = workspace.stem_of(checkpoint_path(workspace, settings.checkpoint), workspace.output_dir)
    default = workspace.result_path(stem, "backtest", settings.tags("checkpoint", "out"), ".html")
    out = output_path(settings.out or default, ".html", companions=(".json", ".csv"))
    progress.stage("load", "loading the panel and the checkpoint")
    panel = Panel.open(workspace)
    settings = replace(settings, index=parse_code(settings.index))
    notes = []
    if settings.index not in panel.index_codes():
        if settings.index != DEFAULT_INDEX:
            panel.index_bars(settings.index)  # what was asked for and is missing is said before the work
        held = ", ".join(panel.index_codes()) or "-"
        notes.append(note(progress, "no_index", index=settings.index, held=held))
    (one,) = open_contenders((settings.checkpoint,), panel, workspace, progress)
    notes += other_markets([one], panel, progress)
    first, last = allowed_range([one], panel, settings.first, settings.last)
    progress.check_stop("Nothing was written.")

    until = str(last or panel.last_session)
    progress.stage("forecast", f"forecasting {first} to {until}", first=str(first), last=until)
    forecasts = forecasts_of_range(one, panel, first, last)
    progress.check_stop("Nothing was written.")

    progress.stage("backtest", f"trading the top {settings.top}", top=settings.top)
    facts = ReferenceStore(workspace)
    run = run_backtest(
        forecasts, panel, settings, actions=facts.read("corporate_actions"), stocks=facts.read("stock_list")
    )
    checkpoint = one.predictor.checkpoint
    told = {"train": checkpoint.settings.to_json(), "split": checkpoint.split, "checkpoint": one.path.name}
    result = tell_backtest(run, panel, settings, one.name, told)
    result["notes"] = notes
    result["message"] = result["headline"]["en"]

    write_report(out, result)  # first: what lies beside it is known as ours by it
    write_json(out.with_suffix(".json"), result)
    write_trades(out.with_suffix(".csv"), run)
    return result | {"out": str(out)}


def write_trades(path: Path, run: Backtest) -> None:
    """Every filled order as CSV: date, code, shares (negative: sold), price, fees in CNY."""
    table = pa.table(
        {
            "date": pa.array(run.sessions[np.array([one.session for one in run.trades], int)]),
            "code": [run.codes[one.code] for one in run.trades],
            "shares": [one.shares for one in run.trades],
            "price": [round(one.price, 4) for one in run.trades],
            "commission": [round(one.commission, 2) for one in run.trades],
            "exchange_fees": [round(one.exchange_fees, 2) for one in run.trades],
            "dividend_tax": [round(one.dividend_tax, 2) for one in run.trades],
        }
    )
    with write_atomically(path) as file:
        file.write("\ufeff".encode())
        pa.csv.write_csv(table, file)
