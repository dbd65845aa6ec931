"""One stock on the screen: a predictor that is loaded once and kept, and what it says of a stock.

This is the one place where the page's own process loads torch, and only when a person asks for a forecast:
a job would pay for the start of a process and the loading of the panel at every click on a row.
"""

import threading
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.config import QUANTILE_LEVELS
from ..base.errors import FinancialModelError
from ..base.progress import Progress
from ..base.workspace import Workspace
from ..data.reference_store import ReferenceStore
from ..datasets.splits import first_unseen
from ..evaluation.notes import note_other_market, note_unlearned
from ..market.calendar import Calendar
from ..market.rules import limit_reached

if TYPE_CHECKING:
    from ..forecasting.inference import Predictor

Json = dict[str, Any]

HISTORY = 60
AT_LIMIT = ("raw_close", "limit_down", "limit_up")


class Forecaster:
    """Keeps the predictor of the last checkpoint; another checkpoint or panel replaces it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.last: Json | None = None
        self._lock = threading.Lock()
        self._key: Any = None
        self._panel_key: Any = None
        self._predictor: Predictor | None = None

    def is_loaded(self, checkpoint: str) -> bool:
        """Whether a forecast with this checkpoint would answer at once; what cannot be one is not loaded."""
        try:
            return self._predictor is not None and self._key == self._key_of(checkpoint)
        except FinancialModelError:
            return False

    def stock(self, checkpoint: str, code: str, as_of: date | None, samples: int) -> Json:
        """What is known and forecast of a stock as of a session; errors are those of the predictor."""
        with self._lock:
            start = time.perf_counter()
            predictor = self._open(checkpoint)
            loaded = time.perf_counter()
            told = tell_stock(predictor, ReferenceStore(self.workspace), code, as_of, samples)
            data, judged = predictor.checkpoint.data, predictor.panel.is_simulated
            told |= {
                "notes": note_other_market(Progress(), Path(checkpoint).stem, data, judged)
                + note_unlearned(Progress(), predictor.checkpoint.learned_codes, [code])[1],
                "checkpoint": checkpoint,
                "load_s": round(loaded - start, 3),
                "took_s": round(time.perf_counter() - loaded, 3),
            }
            self.last = told
            return told

    def _key_of(self, checkpoint: str) -> Any:
        from ..models.checkpoint import checkpoint_path

        path = checkpoint_path(self.workspace, checkpoint)
        return (path, _stamp(path), _stamp(self.workspace.panel_path))

    def _open(self, checkpoint: str) -> "Predictor":
        from ..data.panel import Panel
        from ..forecasting.conditional_inference import open_predictor

        key = self._key_of(checkpoint)
        if self._predictor is None or self._key != key:
            before, self._predictor = self._predictor, None
            options: Json = {}
            if before is not None and self._key[2] == key[2]:
                panel, options = before.panel, {"features": before.features}
            else:
                panel = Panel.open(self.workspace)
            self._predictor = open_predictor(key[0], panel, **options)
            self._key = key
        return self._predictor


def _stamp(path: Any) -> Any:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def tell_stock(
    predictor: "Predictor", reference: ReferenceStore, code: str, as_of: date | None, samples: int
) -> Json:
    """Bars up to the as-of session, the forecast from there, what came true since, and past forecasts.

    Prices are forward-adjusted: raw at the as-of session. `to_raw` turns those of earlier bars into raw ones.
    """
    panel = predictor.panel
    rows = predictor.rows([code], as_of)
    score, quantiles = predictor.forecast_rows(rows)
    row, position = int(rows[0]), int(panel.session_index[rows[0]])
    of_code = panel.rows_of(code)
    first = max(of_code.start, row - HISTORY + 1)
    shown = slice(first, row + 1)
    factor = panel.column("factor")
    scale = 1 / float(factor[row])
    steps = predictor.prediction_length
    future, announced = _future(panel.sessions, position, steps)
    listed = reference.read("stock_list")
    names = dict(zip(listed["code"].tolist(), listed["name"].tolist(), strict=True))
    raw_close = panel.column("raw_close")
    reference_close = float(panel.column("reference_close")[row])
    close = float(raw_close[row])
    return {
        "code": code,
        "name": names.get(code, "") or code,
        "industry": panel.names("industry")[int(panel.column("industry")[row])],
        "regime": panel.names("regime")[int(panel.column("regime")[row])],
        "as_of": str(panel.sessions[position]),
        "is_simulated": bool(panel.is_simulated),
        "close": close,
        "change": close / reference_close - 1 if np.isfinite(reference_close) else None,
        "limit": str(limit_reached(*(panel.column(name)[rows] for name in AT_LIMIT))[0]),
        "score": float(score[0]),
        "bars": {
            "date": panel.sessions[panel.session_index[shown]].astype(str).tolist(),
            **{
                name: (panel.column(name)[shown] * scale).round(4).tolist()
                for name in ("open", "high", "low", "close")
            },
            "volume": panel.column("volume")[shown].astype(float).round(0).tolist(),
        },
        "to_raw": (float(factor[row]) / factor[shown]).round(6).tolist(),
        "future": future,
        "announced": announced,
        "quantiles": quantiles[0].round(6).tolist(),
        "up": [chance_of_rise(step) for step in quantiles[0].tolist()],
        "actual": _actual(panel, of_code, position, steps, scale),
        "samples": past_forecasts(predictor, of_code, position, samples),
    }


def _future(sessions: Any, position: int, steps: int) -> tuple[list[str], int]:
    """The sessions of the forecast, of which the first so many are certain."""
    known = sessions[position + 1 : position + 1 + steps]
    missing = steps - len(known)
    if not missing:
        return known.astype(str).tolist(), steps
    days, announced = Calendar(learned=sessions).sessions_after(sessions[-1], missing)
    return [*known.astype(str).tolist(), *days.astype(str).tolist()], len(known) + announced


def _actual(panel: Any, of_code: slice, position: int, steps: int, scale: float) -> list[float | None]:
    """Closes of the sessions after the as-of one, in its prices; None where the stock did not trade."""
    session = panel.session_index[of_code]
    close = panel.column("close")[of_code]
    told: list[float | None] = []
    for wanted in range(position + 1, position + 1 + steps):
        at = int(np.searchsorted(session, wanted))
        is_there = at < len(session) and session[at] == wanted
        told.append(round(float(close[at]) * scale, 4) if is_there else None)
    return told


def past_forecasts(predictor: "Predictor", of_code: slice, position: int, count: int) -> Json:
    """Forecasts of the last `count` sessions whose outcome the as-of close knew, and that outcome.

    Log returns of the first and of the last step. `seen` marks sessions of training or validation.
    """
    panel = predictor.panel
    steps = predictor.prediction_length
    rows = np.arange(of_code.start, of_code.stop)
    sessions, closes = panel.session_index[of_code].astype(np.int64), panel.column("close")[of_code]
    session = sessions
    rows = rows[predictor.is_usable[rows] & (session <= position - steps)][-count:] if count else rows[:0]
    _, quantiles = predictor.forecast_rows(rows)
    unseen = np.datetime64(first_unseen(predictor.checkpoint.split, predictor.checkpoint.data))
    session = panel.session_index[rows].astype(np.int64)
    told: Json = {
        "date": panel.sessions[session].astype(str).tolist(),
        "seen": (panel.sessions[session] < unseen).tolist(),
        "horizon": steps,
    }
    for name, step in (("first", 0), ("last", steps - 1)):
        at = np.searchsorted(sessions, session + step + 1)
        there = at < len(sessions)
        there[there] = sessions[at[there]] == (session + step + 1)[there]
        actual = np.full(len(rows), np.nan)
        actual[there] = np.log(closes[at[there]] / closes[rows[there] - of_code.start])
        told[name] = {
            "quantiles": quantiles[:, step].round(6).tolist(),
            "actual": [round(float(value), 6) if np.isfinite(value) else None for value in actual],
        }
    return told


def chance_of_rise(quantiles: list[float]) -> float:
    """The chance of a return above zero, read between the quantiles; beyond the outer ones, their level.

    >>> round(chance_of_rise([-0.08, -0.02, 0.0, 0.02, 0.08]), 3), chance_of_rise([0.1, 0.2, 0.3, 0.4, 0.5])
    (0.5, 0.95)
    """
    return round(1 - float(np.interp(0.0, quantiles, QUANTILE_LEVELS)), 4)
