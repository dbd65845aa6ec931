"""Forecasts under conditions: those a stock has as of a session, or those one wants to ask about."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..base.errors import BadSetting
from ..data.panel import CONDITIONS, Panel
from ..datasets.loaders import Batch
from ..models.checkpoint import load_checkpoint
from .inference import Predictor, Rows


class ConditionalPredictor(Predictor):
    """A conditional model on a panel: forecasts the universe, tells conditions, and answers "what if"."""

    models = ("conditional",)
    _assumed: Mapping[int, int] = {}

    def conditions_of(self, rows: Rows) -> dict[str, list[str]]:
        """The words of each condition of these rows, as known at their close."""
        told = {}
        for name in CONDITIONS:
            words = np.asarray(self.panel.names(name), dtype=object)
            told[name] = words[self.panel.column(name)[rows]].tolist()
        return told

    @contextmanager
    def assuming(self, **conditions: str) -> Iterator[None]:
        """Within the block forecasts take these conditions for granted, such as regime="bear".

        Only the condition itself is exchanged: prices, summaries and the market's state stay as they were,
        so the answer tells what the network makes of the condition, not what such a market would bring.
        """
        assumed = {}
        for name, word in conditions.items():
            if name not in CONDITIONS:
                raise BadSetting("condition", name, f"one of {', '.join(CONDITIONS)}")
            words = self.panel.names(name)
            if word not in words:
                raise BadSetting(name, word, f"one of {', '.join(words)}")
            assumed[CONDITIONS.index(name)] = words.index(word)
        self._assumed = assumed
        try:
            yield
        finally:
            self._assumed = {}

    def batch(self, rows: torch.Tensor) -> Batch:
        batch = self.matrices.gather(rows)
        if not self._assumed:
            return batch
        conditions = batch.conditions.clone()
        for column, value in self._assumed.items():
            conditions[:, column] = value
        return replace(batch, conditions=conditions)


def open_predictor(path: Path, panel: Panel, **options: Any) -> Predictor:
    """The predictor that fits a checkpoint's model."""
    checkpoint = load_checkpoint(path)
    kind = ConditionalPredictor if checkpoint.model.model in ConditionalPredictor.models else Predictor
    return kind(checkpoint, panel, path, **options)
