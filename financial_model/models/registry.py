"""The table of networks. A new one is a file in this folder and a line here; menus are made from it."""

from collections.abc import Sequence

from torch import nn

from ..base.config import ModelSettings
from .conditional_model import ConditionalModel
from .interface import InputSizes, Output
from .model import LSTM, Transformer

__all__ = ["MODELS", "InputSizes", "Output", "build_model", "valid_heads"]

MODELS: dict[str, type[nn.Module]] = {
    "conditional": ConditionalModel,
    "transformer": Transformer,
    "lstm": LSTM,
}


def build_model(sizes: InputSizes, settings: ModelSettings, levels: Sequence[float]) -> nn.Module:
    """The network that the settings name, freshly initialised from torch's random state."""
    return MODELS[settings.model](sizes, settings, levels)


def valid_heads(hidden_size: int, most: int = 64) -> list[int]:
    """The head counts that a hidden size can be split into, for menus that offer valid pairs only.

    >>> valid_heads(96, most=16)
    [1, 2, 3, 4, 6, 8, 12, 16]
    """
    return [heads for heads in range(1, most + 1) if hidden_size % heads == 0]
