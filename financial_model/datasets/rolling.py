"""Trailing windows of many series at once: (L, B) arrays, time along the first axis, a series a column.

Sums run in order from the first bar, so a row depends on rows of its past alone, to the last bit, and is the
same however many series are worked out at once.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def lag(x: Array, k: int) -> Array:
    """x of k bars ago; the first bar stands for what lies before it."""
    out = np.empty_like(x)
    out[k:] = x[: max(len(x) - k, 0)]
    out[:k] = x[0]
    return out


def rolling_sum(x: Array, window: int) -> Array:
    """Sum over the last `window` bars, fewer at the start. The running total is sequential: prefix-stable.

    NaN while a bar that is unknown lies in the window, and no longer.
    """
    total = np.cumsum(x, axis=0)
    if len(total) and not np.isfinite(total[-1]).all():  # else the total would carry the hole to the end
        hole = ~np.isfinite(x)
        out = rolling_sum(np.where(hole, 0.0, x), window)
        out[rolling_sum(hole.astype(np.float64), window) > 0.5] = np.nan
        return out
    out = np.empty_like(total)
    out[:window] = total[:window]
    np.subtract(total[window:], total[:-window], out=out[window:])
    return out


def bar_count(length: int, window: int) -> Array:
    return np.minimum(np.arange(1, length + 1), window)[:, None].astype(np.float64)


def rolling_mean(x: Array, window: int) -> Array:
    return rolling_sum(x, window) / bar_count(len(x), window)


def rolling_deviation(x: Array, window: int) -> Array:
    """Standard deviation over the last `window` bars."""
    return np.sqrt(np.maximum(rolling_mean(x * x, window) - rolling_mean(x, window) ** 2, 0.0))


def rolling_correlation(x: Array, y: Array, window: int) -> Array:
    mean_x, mean_y = rolling_mean(x, window), rolling_mean(y, window)
    covariance = rolling_mean(x * y, window) - mean_x * mean_y
    variance = (rolling_mean(x * x, window) - mean_x**2) * (rolling_mean(y * y, window) - mean_y**2)
    return covariance / np.sqrt(np.maximum(variance, 1e-14))


def rolling_extreme(x: Array, window: int, choose: np.ufunc) -> Array:
    """Running maximum or minimum by doubling: log2(window) passes, exact."""
    out, reach = x.copy(), 1
    while reach < window:
        step = min(reach, window - reach)
        later = out.copy()
        later[step:] = choose(out[step:], out[:-step])
        out, reach = later, reach + step
    return out


def exponential_mean(x: Array, span: float, start: Array | float | None = None) -> Array:
    """Exponential mean along the first axis, a plain recursion from `start` (the first value when None)."""
    weight = 2.0 / (span + 1.0)
    out = np.empty_like(x)
    state = x[0] if start is None else start + weight * (x[0] - start)
    out[0] = state
    for i in range(1, len(x)):
        state = state + weight * (x[i] - state)
        out[i] = state
    return out
