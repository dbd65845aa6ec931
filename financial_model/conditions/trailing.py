"""Trailing windows whose past does not change when the future is cut off, to the last bit.

Each is a difference of running sums added one after the other from the first value; a prefix of the input
gives the prefix of the output. (numpy's own sums add in an order that depends on the length.)

`values` (..., N) run along their last axis: one series, or a table of a line each.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def trailing_sum(values: FloatArray, window: int) -> FloatArray:
    """Sum of the last `window` values up to each, of all there are at the beginning.

    >>> trailing_sum(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [1.0, 3.0, 5.0]
    """
    total = np.cumsum(values, axis=-1)
    inside = np.empty_like(total)
    inside[..., :window] = total[..., :window]
    np.subtract(total[..., window:], total[..., :-window], out=inside[..., window:])
    return inside


def trailing_mean(values: FloatArray, window: int) -> FloatArray:
    """Mean of the last `window` values; NaN while there are fewer."""
    mean = trailing_sum(values, window) / window
    mean[..., : window - 1] = np.nan
    return mean


def trailing_deviation(values: FloatArray, window: int, least: int | None = None) -> FloatArray:
    """Standard deviation (n - 1) of the last `window` values; NaN where there are fewer than `least`."""
    count = np.minimum(np.arange(1.0, values.shape[-1] + 1), window)
    first, second = trailing_sum(values, window), trailing_sum(values * values, window)
    first *= first  # in place, here and below: a market's tables do not fit the cache more than a few times
    first /= count
    second -= first
    np.maximum(second, 0.0, out=second)
    second /= np.maximum(count - 1, 1)
    np.sqrt(second, out=second)
    second[..., : (window if least is None else least) - 1] = np.nan
    return second
