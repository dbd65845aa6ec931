"""Windows and everything beside them, gathered on the device from matrices that lie there once.

No window is ever materialised ahead: a batch is a vector of rows, and one gather reads the context of
each row out of the feature matrix. Training and forecasting go through this same code.
"""

import mmap
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.panel import CONDITIONS, Panel
from ..kernels.triton_optimized_model import gather_windows
from .features import Features, without_surroundings
from .loaders import Batch

# Features of more bytes do not stay in memory once a batch has read them: the system maps 64 KB around each
# row, so that some whole sessions of a large market would hold all of it.
RESIDENT_BYTES = 2**30
ROWS_AT_ONCE = 1024  # of such features, some 200 MB of pages


@dataclass(frozen=True)
class MarketMatrices:
    """The panel as a network reads it, on one device; N rows of the panel, S sessions, C codes.

    sequence (N, F), summary (N, K), market (S, M), conditions: an int8 (N,) each, in the order of CONDITIONS,
    volatility (N,), close (N,) float64 backward-adjusted, session (N,), offsets (C+1,): rows of code i are
    offsets[i]:offsets[i+1]. is_locked: int8 (N,), closes at a price limit; for who learns from labels, None
    leaves the label of every sample.
    hidden: which columns of sequence (F,) and summary (K,) a batch shows as zero; None shows all.

    On the CPU all of it are views of the files on disk, so that opening the largest panel reads nothing.
    maps: those of the files whose pages are given back after each gather.
    """

    sequence: Tensor
    summary: Tensor
    market: Tensor
    conditions: tuple[Tensor, ...]
    volatility: Tensor
    close: Tensor
    session: Tensor
    offsets: Tensor
    context_length: int
    prediction_length: int
    holding: int
    is_locked: Tensor | None = None
    maps: tuple[mmap.mmap, ...] = ()
    hidden: tuple[Tensor, Tensor] | None = None

    @property
    def device(self) -> torch.device:
        return self.sequence.device

    def gather(self, rows: Tensor) -> Batch:
        """The batch of these rows (B,) int64 on the same device; each must have a whole context behind it."""
        if not self.maps:
            return self._gather(rows)
        parts = []
        for some in rows.split(ROWS_AT_ONCE):
            parts.append(self._gather(some))
            for one in self.maps:
                one.madvise(mmap.MADV_DONTNEED)
        return Batch.joined(parts)

    def _gather(self, rows: Tensor) -> Batch:
        first_row = self.offsets[self._stock(rows)]
        window = gather_windows(self.sequence, rows, first_row, self.context_length)
        if self.hidden is not None:
            window = window.masked_fill(self.hidden[0], 0)
        return self._batch(window, rows)

    def _stock(self, rows: Tensor) -> Tensor:
        """The stock of each row; searched for, as a column of it would be read from end to end."""
        return torch.searchsorted(self.offsets, rows, right=True) - 1

    def gather_labels(self, rows: Tensor) -> Batch:
        """Like gather with empty windows (B, 0, F): what a loss needs of samples whose outputs are known."""
        return self._batch(self.sequence.new_empty((len(rows), 0, self.sequence.shape[1])), rows)

    def _batch(self, window: Tensor, rows: Tensor) -> Batch:
        session = self.session[rows].long()
        target, label = self.targets(rows)
        summary = self.summary[rows].to(window.dtype)
        if self.hidden is not None:
            summary = summary.masked_fill(self.hidden[1], 0)
        if self.is_locked is not None:
            # Entered at the close of the stock's next bar, which may be later than t+1.
            entry = (rows + 1).clamp(max=len(self.session) - 1)
            label = label.masked_fill(self.is_locked[entry] != 0, torch.nan)
        return Batch(
            window=window,
            summary=summary,
            market=self.market[session],
            conditions=torch.stack([column[rows] for column in self.conditions], dim=1).long(),
            volatility=self.volatility[rows],
            target=target,
            label=label,
            session=session,
            row=rows,
        )

    def targets(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(target (B, H), label (B,)) of these rows, the same as `datasets.targets` gives.

        What a forecast is judged by: a `Batch` has no label where nobody could have bought.
        """
        path = self._log_return_path(rows, max(self.prediction_length, 1 + self.holding))
        steps = torch.arange(1, self.prediction_length + 1, dtype=torch.float64, device=self.device)
        target = path[:, : len(steps)] / (self.volatility[rows].double()[:, None] * steps.sqrt())
        target = torch.where(target.isfinite(), target, torch.nan)
        return target.float(), torch.expm1(path[:, self.holding] - path[:, 0]).float()

    def _log_return_path(self, rows: Tensor, reach: int) -> Tensor:
        """Log returns (B, reach) from the close of each row to those of the next sessions, NaN unknown.

        A stock has one row a session at most, so what lies within reach is among its next `reach` rows.
        """
        near = rows[:, None] + torch.arange(1, reach + 1, device=self.device)  # (B, reach)
        inside = near < self.offsets[self._stock(rows) + 1][:, None]
        near = near.clamp(max=len(self.session) - 1)
        ahead = (self.session[near] - self.session[rows][:, None]).long()
        change = (self.close[near].log() - self.close[rows].log()[:, None]).where(inside, torch.nan)
        # What lies further ahead goes to a last column that is dropped.
        place = torch.where(inside & (ahead <= reach), ahead - 1, reach)
        path = torch.full((len(rows), reach + 1), torch.nan, dtype=change.dtype, device=self.device)
        return path.scatter_(1, place, change)[:, :reach]


def market_matrices(
    panel: Panel,
    features: Features,
    context_length: int,
    prediction_length: int,
    holding: int,
    device: torch.device | str = "cpu",
    with_conditions: bool = True,
    leaves_out_locked: bool = False,
) -> MarketMatrices:
    """The panel's features, conditions and closes, on a device; views of what is mapped on the CPU.

    Without conditions they are all zero, and so is what features tell of market and industry.
    """

    def place(values: NDArray[Any]) -> Tensor:
        with warnings.catch_warnings():
            # torch warns of arrays that must not be written to, as columns of a map are; nobody does.
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    conditions = [place(panel.column(name)) for name in CONDITIONS]
    market, hidden = place(features.market), None
    if not with_conditions:
        # Hidden in each batch: the tables themselves stay the ones on disk.
        kept = without_surroundings(_row_of_ones(features))
        market, hidden = torch.zeros_like(market), (place(kept.sequence[0] == 0), place(kept.summary[0] == 0))
        conditions = [torch.zeros(1, dtype=one.dtype, device=device).expand(len(one)) for one in conditions]
    return MarketMatrices(
        sequence=place(features.sequence),
        summary=place(features.summary),
        market=market,
        conditions=tuple(conditions),
        volatility=place(features.volatility),
        close=place(panel.column("close")),
        session=place(panel.session_index),
        offsets=place(np.asarray(panel.offsets, np.int64)),
        context_length=context_length,
        prediction_length=prediction_length,
        holding=holding,
        is_locked=place(panel.column("is_locked")) if leaves_out_locked else None,
        maps=_maps_to_give_back(features) if torch.device(device).type == "cpu" else (),
        hidden=hidden,
    )


def _row_of_ones(features: Features) -> Features:
    """Tables of one row of ones with the same columns."""
    ones = {name: np.ones_like(getattr(features, name)[:1]) for name in ("sequence", "summary", "market")}
    return replace(features, **ones)


def _maps_to_give_back(features: Features) -> tuple[mmap.mmap, ...]:
    """The maps of features that are too large to stay in memory; none where the system cannot let go."""
    tables: list[NDArray[Any]] = [features.sequence, features.summary, features.volatility]
    if sum(table.nbytes for table in tables) <= RESIDENT_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
        return ()
    bases: list[Any] = [table.base for table in tables]
    return tuple(base for base in bases if isinstance(base, mmap.mmap))


def usable_rows(panel: Panel, volatility: NDArray[np.float32], context_length: int) -> NDArray[np.bool_]:
    """Which rows (N,) can be an as-of row: a whole context of the stock's own bars, and a volatility."""
    is_usable = np.isfinite(volatility) & (volatility > 0)
    for start, stop in pairwise(panel.offsets):
        is_usable[start : min(start + context_length - 1, stop)] = False
    return is_usable


def rows_with_future(panel: Panel, reach: int) -> NDArray[np.bool_]:
    """Which rows (N,) have a later bar of their stock within the next `reach` sessions."""
    has_future = np.zeros(len(panel), bool)
    for start, stop in pairwise(panel.offsets):
        has_future[start : stop - 1] = np.diff(panel.session_index[start:stop]) <= reach
    return has_future
