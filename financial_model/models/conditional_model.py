"""The default network: CNN, then LSTM over the window, fused with the conditions of the stock.

A strided CNN turns every few sessions into one step before the LSTM walks over them: an LSTM's steps run
one after the other, so a sequence a sixth as long is several times faster on any device.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..base.config import ModelSettings
from .interface import InputSizes, Output
from .layers import ForecastHead

if TYPE_CHECKING:
    from ..datasets.loaders import Batch


class ConditionalModel(nn.Module):
    """OHLCV window -> CNN -> LSTM -> features, fused with conditions, summaries, market -> forecast."""

    def __init__(self, sizes: InputSizes, settings: ModelSettings, levels: Sequence[float]) -> None:
        super().__init__()
        width = max(settings.hidden_size // 2, 4)
        self.cnn = nn.Sequential(
            nn.Conv1d(sizes.sequence, width // 2, kernel_size=5, stride=3, padding=2),
            nn.GELU(),
            nn.Conv1d(width // 2, width, kernel_size=3, stride=2, padding=1),
            nn.GELU(),
        )
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = ForecastHead(width, sizes, settings, levels, depth=settings.layers)

    def forward(self, batch: "Batch") -> Output:
        return self.head(self.features(batch.window), batch)

    def features(self, window: Tensor) -> Tensor:
        """The last state of the LSTM, (B, D), from windows (B, T, F)."""
        steps = self.cnn(window.transpose(1, 2)).transpose(1, 2)  # (B, T / 6, D)
        return self.lstm(steps)[0][:, -1]
