"""Is a bar possible, and is it likely?"""

import numpy as np
import numpy.typing as npt

from .source import PRICE_COLUMNS, Bars


def usable_rows(bars: Bars) -> npt.NDArray[np.bool_]:
    """Rows (N,) whose prices are positive numbers, in rising order of date, none twice."""
    prices = np.stack([getattr(bars, name) for name in PRICE_COLUMNS])
    usable = (np.isfinite(prices) & (prices > 0)).all(axis=0) & (bars.volume >= 0) & np.isfinite(bars.volume)
    if len(bars) > 1:
        later = bars.date[1:] > np.maximum.accumulate(bars.date)[:-1]
        usable[1:] &= later
    return usable
