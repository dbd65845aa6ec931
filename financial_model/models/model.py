"""Transformer and LSTM over the window alone: for Basic Training, and as other backbones under conditions.

Both read patches of a few sessions instead of single ones: attention costs the square of the sequence,
and an LSTM walks it step by step. Whatever else a batch holds (summaries, market, conditions) the head
fuses; where it holds nothing else, the window is all.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..base.config import ModelSettings
from .flash_attention_layer import FlashAttention
from .interface import InputSizes, Output
from .layers import ForecastHead, PatchEmbedding, RowNorm

if TYPE_CHECKING:
    from ..datasets.loaders import Batch

PATCH_SESSIONS = 4


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP, each added to its input: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = RowNorm(width)
        self.attention = FlashAttention(width, heads, dropout)
        self.mlp_norm = RowNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """A causal transformer over patches; the last patch's features go to the head."""

    def __init__(self, sizes: InputSizes, settings: ModelSettings, levels: Sequence[float]) -> None:
        super().__init__()
        width = settings.hidden_size
        self.patches = PatchEmbedding(sizes, width, PATCH_SESSIONS)
        self.position = nn.Parameter(torch.randn(self.patches.count, width) * 0.02)
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, settings.heads, settings.dropout) for _ in range(settings.layers))
        )
        self.norm = RowNorm(width)
        self.head = ForecastHead(width, sizes, settings, levels, depth=1)

    def forward(self, batch: "Batch") -> Output:
        return self.head(self.features(batch.window), batch)

    def features(self, window: Tensor) -> Tensor:
        """The last patch after all layers, (B, D), from windows (B, T, F)."""
        return self.norm(self.blocks(self.patches(window) + self.position)[:, -1])


class LSTM(nn.Module):
    """An LSTM over patches; its last state goes to the head."""

    def __init__(self, sizes: InputSizes, settings: ModelSettings, levels: Sequence[float]) -> None:
        super().__init__()
        width = settings.hidden_size
        self.patches = PatchEmbedding(sizes, width, PATCH_SESSIONS)
        # torch warns about dropout between the layers where there is only one.
        dropout = settings.dropout if settings.layers > 1 else 0.0
        self.lstm = nn.LSTM(width, width, settings.layers, batch_first=True, dropout=dropout)
        self.head = ForecastHead(width, sizes, settings, levels, depth=1)

    def forward(self, batch: "Batch") -> Output:
        return self.head(self.features(batch.window), batch)

    def features(self, window: Tensor) -> Tensor:
        """The state after the last patch, (B, D), from windows (B, T, F)."""
        return self.lstm(self.patches(window))[0][:, -1]
