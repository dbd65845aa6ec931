"""Forecast fans to look at beside what came, chosen by rule and not by beauty."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.config import QUANTILE_LEVELS
from .metrics import pinball
from .reliability import trailing_volatility
from .samples import Samples

if TYPE_CHECKING:
    from ..data.panel import Panel

Json = dict[str, Any]

LEVELS = np.array(QUANTILE_LEVELS)
# At these places of the test range, the samples at these percentiles of the session's loss.
FAN_PLACES, FAN_PERCENTILES, FAN_HISTORY = (1 / 3, 2 / 3), (10, 50, 90), 40


def choose_fans(samples: Samples, panel: "Panel") -> list[Json]:
    """Forecasts to look at, chosen by rule and not by beauty: see FAN_PLACES and FAN_PERCENTILES."""
    if samples.quantiles is None or samples.actual is None:
        return []
    whole = np.isfinite(samples.actual).all(axis=1)
    if not whole.any():
        return []
    loss = (
        pinball(samples.quantiles, samples.actual, LEVELS).mean(axis=1)
        / trailing_volatility(panel)[samples.row]
    )
    usable = whole & np.isfinite(loss)
    sessions = np.unique(samples.session[usable])
    if not len(sessions):
        return []
    fans = []
    for place in FAN_PLACES:
        session = sessions[int(place * (len(sessions) - 1))]
        mine = np.flatnonzero(usable & (samples.session == session))
        ordered = mine[np.argsort(loss[mine], kind="stable")]
        for percentile in FAN_PERCENTILES:
            chosen = ordered[round(percentile / 100 * (len(ordered) - 1))]
            fans.append(
                _fan(int(chosen), samples, panel) | {"place": round(place, 3), "percentile": percentile}
            )
    return fans


def _fan(sample: int, samples: Samples, panel: "Panel") -> Json:
    assert samples.quantiles is not None
    assert samples.actual is not None
    row = int(samples.row[sample])
    start = int(panel.offsets[panel.code_index[row]])
    history = np.arange(max(start, row - FAN_HISTORY + 1), row + 1)
    # Prices in the money of the as-of session: adjusted closes over the factor of that day.
    to_price = 1 / float(panel.column("factor")[row])
    close = panel.column("close").astype(np.float64)
    session = int(samples.session[sample])
    horizon = samples.actual.shape[1]
    return {
        "code": panel.codes[int(panel.code_index[row])],
        "as_of": str(panel.sessions[session]),
        "history_session": [str(day) for day in panel.sessions[panel.session_index[history]]],
        "history_close": (close[history] * to_price).round(3).tolist(),
        "session": [str(day) for day in panel.sessions[session + 1 : session + 1 + horizon]],
        "quantiles": (close[row] * to_price * np.exp(samples.quantiles[sample])).round(3).tolist(),
        "actual": (close[row] * to_price * np.exp(samples.actual[sample])).round(3).tolist(),
    }
