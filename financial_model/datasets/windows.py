"""Windows and everything beside them, gathered on the device from matrices that lie there once.

No window is ever materialised ahead: a batch is a vector of rows, and one gather reads the context of
each row out of the feature matrix. Training and forecasting go through this same code.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.panel import CONDITIONS, Panel
from ..kernels.triton_optimized_model import gather_windows
from .features import Features
from .loaders import Batch
from .targets import target_path, tradable_return


@dataclass(frozen=True)
class MarketMatrices:
    """The panel as a network reads it, on one device; N rows of the panel, S sessions.

    sequence (N, F), summary (N, K), market (S, M), conditions (N, C) uint8, volatility (N,), target (N, H),
    label (N,), session (N,), first_row (N,): the first row of the row's stock.
    """

    sequence: Tensor
    summary: Tensor
    market: Tensor
    conditions: Tensor
    volatility: Tensor
    target: Tensor
    label: Tensor
    session: Tensor
    first_row: Tensor
    context_length: int

    @property
    def device(self) -> torch.device:
        return self.sequence.device

    def gather(self, rows: Tensor) -> Batch:
        """The batch of these rows (B,) int64 on the same device; each must have a whole context behind it."""
        window = gather_windows(self.sequence, rows, self.first_row[rows], self.context_length)
        return self._batch(window, rows)

    def gather_labels(self, rows: Tensor) -> Batch:
        """Like gather with empty windows (B, 0, F): what a loss needs of samples whose outputs are known."""
        return self._batch(self.sequence.new_empty((len(rows), 0, self.sequence.shape[1])), rows)

    def _batch(self, window: Tensor, rows: Tensor) -> Batch:
        session = self.session[rows]
        return Batch(
            window=window,
            summary=self.summary[rows].to(window.dtype),
            market=self.market[session],
            conditions=self.conditions[rows].long(),
            volatility=self.volatility[rows],
            target=self.target[rows],
            label=self.label[rows],
            session=session,
            row=rows,
        )


def market_matrices(
    panel: Panel,
    features: Features,
    context_length: int,
    prediction_length: int,
    holding: int,
    device: torch.device | str = "cpu",
) -> MarketMatrices:
    """The panel's features, conditions and targets, placed on a device."""

    def place(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    # Columns of `Batch.conditions` come in the order of CONDITIONS.
    conditions = np.stack([panel.column(name) for name in CONDITIONS], axis=1).astype(np.uint8)
    return MarketMatrices(
        sequence=place(features.sequence),
        summary=place(features.summary),
        market=place(features.market),
        conditions=place(conditions),
        volatility=place(features.volatility),
        target=place(target_path(panel, features.volatility, prediction_length)),
        label=place(tradable_return(panel, holding)),
        session=place(panel.session_index.astype(np.int64)),
        first_row=place(first_rows(panel)),
        context_length=context_length,
    )


def first_rows(panel: Panel) -> NDArray[np.int64]:
    """The first row of each row's stock, (N,)."""
    return np.repeat(panel.offsets[:-1], np.diff(panel.offsets)).astype(np.int64)


def usable_rows(panel: Panel, volatility: NDArray[np.float32], context_length: int) -> NDArray[np.bool_]:
    """Which rows (N,) can be an as-of row: a whole context of the stock's own bars, and a volatility."""
    history = np.arange(len(panel.session_index)) - first_rows(panel) + 1
    return (history >= context_length) & np.isfinite(volatility) & (volatility > 0)
