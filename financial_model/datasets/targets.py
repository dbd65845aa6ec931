"""What is learned: where the price goes after the close of a session, as far as it is known.

Steps count the market's sessions, not a stock's own bars: a stock that is suspended at step h has no
close there, and its target is NaN instead of one that hides the days in between.
"""

import numpy as np
from numpy.typing import NDArray

from ..data.panel import Panel

Floats = NDArray[np.float32]


def rows_ahead(panel: Panel, steps: int) -> NDArray[np.int64]:
    """Row of the same stock `steps` sessions later, -1 where it has none; (N,)."""
    code = np.asarray(panel.code_index, np.int64)
    session = np.asarray(panel.session_index, np.int64)
    # One rising key a row (rows are sorted by code, then session), so that one search finds them all.
    width = len(panel.sessions) + steps
    key = code * width + session
    found = np.searchsorted(key, key + steps)
    inside = found < len(key)
    hit = np.zeros(len(key), bool)
    hit[inside] = key[found[inside]] == key[inside] + steps
    return np.where(hit, found, -1)


def forward_log_return(panel: Panel, start: int, stop: int) -> NDArray[np.float64]:
    """Log return of each row's stock from the close of t+start to the close of t+stop; NaN unknown, (N,).

    Prices are backward-adjusted, so dividends and bonus shares are in it.
    """
    log_close = np.append(np.log(np.asarray(panel.column("close"), float)), np.nan)
    # Row -1 of the extended column is the NaN that stands for "no such row".
    return log_close[rows_ahead(panel, stop)] - log_close[rows_ahead(panel, start)]


def target_path(panel: Panel, volatility: Floats, prediction_length: int) -> Floats:
    """(N, H) log return from the close of t to that of t+h over volatility * sqrt(h); NaN unknown."""
    path = np.empty((len(volatility), prediction_length), np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for step in range(1, prediction_length + 1):
            scale = volatility.astype(float) * np.sqrt(step)
            path[:, step - 1] = forward_log_return(panel, 0, step) / scale
    path[~np.isfinite(path)] = np.nan
    return path


def tradable_return(panel: Panel, holding: int) -> Floats:
    """(N,) return close t+1 -> close t+1+holding, what a forecast made at t can earn; NaN unknown."""
    return np.expm1(forward_log_return(panel, 1, 1 + holding)).astype(np.float32)
