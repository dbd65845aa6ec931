"""Features in the manner of qlib's Alpha158, for the baselines: what a careful person does without a network.

Nine of the bar, three prices, and 27 rolling ones over 5, 10, 20, 30 and 60 bars (of the 29 the two that are
one minus another are left out, and so is VWAP). Windows count a stock's own bars, as qlib does, and a window
that is not yet full is NaN. Every value is a ratio, so prices need no scale, and depends on bars up to its
own alone, bit for bit.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..data.panel import Panel

Floats = NDArray[np.float64]

WINDOWS = (5, 10, 20, 30, 60)
BLOCK_CODES = 16  # stocks at once: the windows of a block stay within some hundred megabytes
BAR_NAMES = ("kmid", "klen", "kmid2", "kup", "kup2", "klow", "klow2", "ksft", "ksft2", "open", "high", "low")
ROLLING_NAMES = (
    "roc",
    "ma",
    "std",
    "beta",
    "rsqr",
    "resi",
    "max",
    "min",
    "qtlu",
    "qtld",
    "rank",
    "rsv",
    "imax",
    "imin",
    "imxd",
    "corr",
    "cord",
    "cntp",
    "cntn",
    "cntd",
    "sump",
    "sumd",
    "vma",
    "vstd",
    "wvma",
    "vsump",
    "vsumd",
)
NAMES = BAR_NAMES + tuple(f"{name}{window}" for window in WINDOWS for name in ROLLING_NAMES)
TINY = 1e-12
LOOK_BACK = max(WINDOWS) + 1  # bars before a row that its features read


def alpha_features(panel: "Panel", rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features (len(rows), K) of the given panel rows, in the order of NAMES; rows must rise."""
    result = np.empty((len(rows), len(NAMES)), np.float32)
    columns = [panel.column(name) for name in ("open", "high", "low", "close", "volume")]
    for first in range(0, len(panel.codes), BLOCK_CODES):
        bounds = panel.offsets[first : first + BLOCK_CODES + 1]
        begin, end = np.searchsorted(rows, [bounds[0], bounds[-1]])
        if begin == end:
            continue
        code = panel.code_index[rows[begin:end]] - first
        # Each stock from the bars its first wanted row looks back on to its last wanted row, no further.
        wanted = rows[begin:end]
        start, stop = bounds[:-1].copy(), bounds[:-1].copy()
        has_any, earliest = np.unique(code, return_index=True)
        latest = np.r_[earliest[1:], len(wanted)] - 1
        start[has_any] = np.maximum(bounds[has_any], wanted[earliest] - LOOK_BACK)
        stop[has_any] = wanted[latest] + 1
        block = _padded(columns, start, stop)
        with np.errstate(invalid="ignore", divide="ignore"):
            for number, feature in enumerate(_features(*block)):
                result[begin:end, number] = feature[code, wanted - start[code]]
    result[~np.isfinite(result)] = np.nan
    return result


def _padded(columns: list[Floats], start: NDArray[np.int64], stop: NDArray[np.int64]) -> list[Floats]:
    """Each column as (stocks, bars): rows start[k]:stop[k] from the left, NaN behind a shorter stock."""
    lengths = stop - start
    code = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    blocks = []
    for column in columns:
        block = np.full((len(lengths), lengths.max()), np.nan)
        block[code, place] = column[start[code] + place]
        blocks.append(block)
    return blocks


def _features(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats) -> list[Floats]:
    """All features of a block, each (stocks, bars), in the order of NAMES."""
    bars = close.shape[1]
    spread = high - low + TINY
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    features = [
        (close - open_) / open_,
        (high - low) / open_,
        (close - open_) / spread,
        (high - top) / open_,
        (high - top) / spread,
        (bottom - low) / open_,
        (bottom - low) / spread,
        (2 * close - high - low) / open_,
        (2 * close - high - low) / spread,
        open_ / close,
        high / close,
        low / close,
    ]
    log_volume = np.log(np.maximum(volume, 0) + 1)
    change, volume_change = _difference(close), _difference(volume)
    log_return, log_volume_change = _difference(np.log(close)), _difference(log_volume)
    weighted = np.abs(change / _before(close)) * volume
    for window in WINDOWS:
        mean, spread_close = _mean(close, window), _spread(close, window)
        slope, explained, residual = _trend(close, window)
        highest, lowest = _windows(high, window), _windows(low, window)
        closes = _windows(close, window)
        top, bottom = _full(highest.max(axis=-1), bars), _full(lowest.min(axis=-1), bars)
        # argmax takes a NaN for the largest: such windows are NaN in `top` already.
        at_top = np.where(np.isfinite(top), _full(highest.argmax(axis=-1) + 1.0, bars), np.nan)
        at_bottom = np.where(np.isfinite(bottom), _full(lowest.argmin(axis=-1) + 1.0, bars), np.nan)
        upper, lower = _quantiles(close, window, (0.8, 0.2))
        rising, falling = _mean((change > 0) + 0 * change, window), _mean((change < 0) + 0 * change, window)
        gain, moved = _mean(np.maximum(change, 0), window), _mean(np.abs(change), window)
        volume_gain = _mean(np.maximum(volume_change, 0), window)
        volume_moved = _mean(np.abs(volume_change), window)
        features += [
            _before(close, window) / close,
            mean / close,
            spread_close / close,
            slope / close,
            explained,
            residual / close,
            top / close,
            bottom / close,
            upper / close,
            lower / close,
            np.where(np.isfinite(mean), _full((closes <= closes[..., -1:]).mean(axis=-1), bars), np.nan),
            (close - bottom) / (top - bottom + TINY),
            at_top / window,
            at_bottom / window,
            (at_top - at_bottom) / window,
            _correlation(close, log_volume, window),
            _correlation(log_return, log_volume_change, window),
            rising,
            falling,
            rising - falling,
            gain / (moved + TINY),
            (2 * gain - moved) / (moved + TINY),
            _mean(volume, window) / (volume + TINY),
            _spread(volume, window) / (volume + TINY),
            _spread(weighted, window) / (_mean(weighted, window) + TINY),
            volume_gain / (volume_moved + TINY),
            (2 * volume_gain - volume_moved) / (volume_moved + TINY),
        ]
    return features


def _before(values: Floats, bars: int = 1) -> Floats:
    shifted = np.full_like(values, np.nan)
    shifted[:, bars:] = values[:, :-bars] if bars < values.shape[1] else values[:, :0]
    return shifted


def _difference(values: Floats) -> Floats:
    return values - _before(values)


def _windows(values: Floats, window: int) -> Floats:
    """View (stocks, bars - window + 1, window); a history shorter than the window gives no column."""
    if values.shape[1] < window:
        return np.empty((len(values), 0, window))
    return sliding_window_view(values, window, axis=1)


def _full(values: Floats, bars: int) -> Floats:
    """Back to (stocks, bars): NaN while the window is not yet full."""
    return np.concatenate([np.full((len(values), bars - values.shape[1]), np.nan), values], axis=1)


def _mean(values: Floats, window: int) -> Floats:
    return _full(_windows(values, window).mean(axis=-1), values.shape[1])


def _spread(values: Floats, window: int) -> Floats:
    # Sums of each window by itself: running sums over ten years would lose the digits of a quiet week.
    view = _windows(values, window)
    mean = view.mean(axis=-1)
    square = np.einsum("csw,csw->cs", view, view) / window - mean**2
    return _full(np.sqrt(np.maximum(square, 0) * window / (window - 1)), values.shape[1])


def _trend(values: Floats, window: int) -> tuple[Floats, Floats, Floats]:
    """Slope, R squared and last residual of a line through each window."""
    x = np.arange(window) - (window - 1) / 2
    view = _windows(values, window)
    mean = view.mean(axis=-1)
    slope = view @ x / (x @ x)
    total = np.einsum("csw,csw->cs", view, view) - window * mean**2
    explained = np.where(total > TINY, slope**2 * (x @ x) / np.maximum(total, TINY), np.nan)
    residual = view[..., -1] - mean - slope * x[-1]
    return (
        _full(slope, values.shape[1]),
        _full(np.minimum(explained, 1.0), values.shape[1]),
        _full(residual, values.shape[1]),
    )


def _correlation(first: Floats, second: Floats, window: int) -> Floats:
    one, two = _windows(first, window), _windows(second, window)
    mean_one, mean_two = one.mean(axis=-1), two.mean(axis=-1)
    both = np.einsum("csw,csw->cs", one, two) / window - mean_one * mean_two
    square_one = np.einsum("csw,csw->cs", one, one) / window - mean_one**2
    square_two = np.einsum("csw,csw->cs", two, two) / window - mean_two**2
    flat = (square_one <= 1e-10 * mean_one**2 + TINY**2) | (square_two <= 1e-10 * mean_two**2 + TINY**2)
    correlation = np.where(flat, np.nan, both / np.sqrt(np.where(flat, 1.0, square_one * square_two)))
    return _full(correlation, first.shape[1])


def _quantiles(values: Floats, window: int, levels: tuple[float, float]) -> tuple[Floats, Floats]:
    """Linear quantiles of each window, of one sort."""
    ordered = np.sort(_windows(values, window), axis=-1)
    results = []
    for level in levels:
        place = level * (window - 1)
        below = int(place)
        share = place - below
        upper = ordered[..., min(below + 1, window - 1)]
        value = ordered[..., below] * (1 - share) + upper * share
        # A sort moves NaN to the end: a window that holds one is no quantile.
        results.append(_full(np.where(np.isfinite(ordered[..., -1]), value, np.nan), values.shape[1]))
    return results[0], results[1]
