"""The universe under its conditions: whole sessions of all stocks, or of one industry, as batches."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..base.config import TrainSettings
from ..base.errors import BadSetting
from ..data.panel import Panel
from .dataset import LEAST_CROSS_SECTION, StockDataset, rows_of_codes
from .features import Features
from .loaders import SessionLoader


class MultiDimDataset(StockDataset):
    """Samples of the whole universe (`unified`) or of one industry as of each session (`industry`)."""

    looks_across_stocks = True

    @classmethod
    def choose(cls, panel: Panel, settings: TrainSettings) -> NDArray[np.bool_]:
        """Which rows (N,) take part: by code, by number of stocks, by industry as of the session."""
        is_chosen = np.ones(len(panel.session_index), bool)
        if settings.codes:
            is_chosen &= rows_of_codes(panel, settings.codes)
        if settings.max_stocks is not None:
            is_chosen &= panel.code_index < settings.max_stocks
        if settings.mode == "industry":
            names = list(panel.names("industry"))
            present = sorted({names[value] for value in np.unique(panel.column("industry"))})
            if settings.industry not in present:
                raise BadSetting(
                    "industry", settings.industry, f"one that the panel has: {', '.join(present)}"
                )
            is_chosen &= panel.column("industry") == names.index(str(settings.industry))
        return is_chosen

    def train_loader(self, batch_size: int, seed: int) -> SessionLoader:
        return SessionLoader(*self._train, batch_size, seed)


def open_dataset(
    panel: Panel,
    settings: TrainSettings,
    device: torch.device | str = "cpu",
    features: Features | None = None,
) -> StockDataset:
    """Whole sessions where there are enough stocks to rank, plain samples of a few stocks otherwise."""
    count = len(set(settings.codes)) if settings.codes else len(panel.codes)
    if settings.max_stocks is not None:
        count = min(count, settings.max_stocks)
    if count >= LEAST_CROSS_SECTION:
        return MultiDimDataset.open(panel, settings, device, features)
    if settings.loss == "ic":
        raise BadSetting("loss", "ic", f"another loss: a ranking needs {LEAST_CROSS_SECTION} stocks or more")
    if not settings.codes:
        settings = replace(settings, codes=tuple(panel.codes[:count]))
    return StockDataset.open(panel, settings, device, features)
