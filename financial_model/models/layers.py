"""The parts that the networks share, each small enough to be read at once.

Shapes: B batch, T context, H horizon, F feature, Q quantile, D the width of hidden features.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..base.config import ModelSettings
from ..kernels.triton_optimized_model import TableLayout, embed_conditions, normalise_rows
from .factor_path import FactorPath
from .interface import InputSizes, Output

if TYPE_CHECKING:
    from ..datasets.loaders import Batch


class ConditionEmbedding(nn.Module):
    """One table a condition, all rows of a sample side by side: (B, C) indices -> (B, width).

    The tables lie in one parameter, so that one kernel gathers from all of them.
    """

    def __init__(self, counts: Mapping[str, int], widths: Sequence[int]) -> None:
        super().__init__()
        self.layout = TableLayout(list(counts.values()), widths)
        self.width = self.layout.width
        self.tables = nn.Parameter(torch.randn(self.layout.size))

    def forward(self, indices: Tensor) -> Tensor:
        return embed_conditions(indices, self.tables, self.layout)


class RowNorm(nn.LayerNorm):
    """Layer norm on the fused kernel where there is one."""

    def forward(self, x: Tensor) -> Tensor:
        return normalise_rows(x, self.weight, self.bias, epsilon=self.eps)


def condition_widths(counts: Mapping[str, int], settings: ModelSettings) -> list[int]:
    """The width of each condition's table: industry, regime and styles have a setting of their own."""
    sizes = {"industry": settings.industry_embedding, "regime": settings.regime_embedding}
    return [sizes.get(name, settings.style_embedding) for name in counts]


class ContextEncoder(nn.Module):
    """What holds for a stock beside its own bars: its conditions and the state of the market, (B, width).

    `width` is 0 where the data has neither; callers then leave out what they would condition on it.
    """

    def __init__(self, sizes: InputSizes, settings: ModelSettings) -> None:
        super().__init__()
        self.embedding = (
            ConditionEmbedding(sizes.conditions, condition_widths(sizes.conditions, settings))
            if sizes.conditions
            else None
        )
        self.market = sizes.market
        self.width = sizes.market + (self.embedding.width if self.embedding else 0)

    def forward(self, batch: "Batch") -> Tensor:
        parts = []
        if self.embedding is not None:
            parts.append(self.embedding(batch.conditions))
        if self.market:
            parts.append(batch.market)
        return torch.cat(parts, dim=1) if parts else batch.window.new_zeros(len(batch.window), 0)


class PatchEmbedding(nn.Module):
    """Every `patch` sessions as one vector, the last ending at the last session: (B, T, F) -> (B, count, D).

    A window that is no whole number of patches long is filled with zeros, the mean of a normalised
    window, before its first session.
    """

    def __init__(self, sizes: InputSizes, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.count = -(-sizes.context_length // patch)
        self.missing = self.count * patch - sizes.context_length
        self.linear = nn.Linear(patch * sizes.sequence, width)

    def forward(self, window: Tensor) -> Tensor:
        window = functional.pad(window, (0, 0, self.missing, 0))
        return functional.gelu(self.linear(window.unflatten(1, (self.count, self.patch)).flatten(2)))


class FiLM(nn.Module):
    """Scale and shift features by the context (feature-wise linear modulation); starts as the identity."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(context_width, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.modulation(context).chunk(2, dim=-1)
        return x * (1 + scale) + shift


class FusionBlock(nn.Module):
    """A residual MLP whose input is normalised, then modulated by the context where there is one."""

    def __init__(self, width: int, context_width: int, dropout: float, expansion: int = 4) -> None:
        super().__init__()
        self.norm = RowNorm(width)
        self.film = FiLM(width, context_width) if context_width else None
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(expansion * width, width),
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.norm(x)
        if self.film is not None:
            h = self.film(h, context)
        return x + self.mlp(h)


class QuantileHead(nn.Module):
    """Quantiles per step that cannot cross: a middle one, and softplus gaps that add up away from it.

    The gaps start at those of the standard normal, which is what standardised returns look like, and the
    middle at zero, so an untrained network already forecasts a calibrated "nothing known".
    """

    def __init__(self, width: int, steps: int, levels: Sequence[float]) -> None:
        super().__init__()
        self.steps, self.levels = steps, tuple(levels)
        self.middle = min(range(len(self.levels)), key=lambda q: abs(self.levels[q] - 0.5))
        self.linear = nn.Linear(width, steps * len(self.levels))
        nn.init.normal_(self.linear.weight, std=0.02 / width**0.5)
        normal = [NormalDist().inv_cdf(level) for level in self.levels]
        start = [
            0.0
            if q == self.middle
            else _inverse_softplus(abs(z - normal[q + (1 if q < self.middle else -1)]))
            for q, z in enumerate(normal)
        ]
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor(start).repeat(steps))

    def forward(self, x: Tensor) -> Tensor:
        raw = self.linear(x).unflatten(-1, (self.steps, len(self.levels)))  # (B, H, Q)
        middle = raw[..., self.middle : self.middle + 1]
        below = functional.softplus(raw[..., : self.middle]).flip(-1).cumsum(-1).flip(-1)
        above = functional.softplus(raw[..., self.middle + 1 :]).cumsum(-1)
        return torch.cat([middle - below, middle, middle + above], dim=-1)


def _inverse_softplus(y: float) -> float:
    return float(torch.tensor(y, dtype=torch.float64).expm1().log())


class ForecastHead(nn.Module):
    """Features of a window, fused with summaries under the context, to quantiles and score.

    The score starts as that of the factor path alone; the network adds to it what it finds beyond. Dropout
    falls on what comes in: a network that sees the whole state of the market soon knows sessions by heart.
    """

    def __init__(
        self, width: int, sizes: InputSizes, settings: ModelSettings, levels: Sequence[float], depth: int
    ) -> None:
        super().__init__()
        self.context = ContextEncoder(sizes, settings)
        self.summary = sizes.summary
        self.dropout = nn.Dropout(settings.dropout)
        self.entry = nn.Linear(width + sizes.summary, settings.hidden_size)
        self.blocks = nn.ModuleList(
            FusionBlock(settings.hidden_size, self.context.width, settings.dropout) for _ in range(depth)
        )
        self.norm = RowNorm(settings.hidden_size)
        self.quantiles = QuantileHead(settings.hidden_size, settings.prediction_length, levels)
        self.score = nn.Linear(settings.hidden_size, 1)
        nn.init.normal_(self.score.weight, std=0.02 / settings.hidden_size**0.5)
        self.factor_path = FactorPath(sizes, settings.dropout) if sizes.summary else None

    def forward(self, features: Tensor, batch: "Batch") -> Output:
        context = self.dropout(self.context(batch))
        x = torch.cat([features, batch.summary], dim=1) if self.summary else features
        x = self.entry(self.dropout(x))
        for block in self.blocks:
            x = block(x, context)
        x = self.norm(x)
        score = self.score(x).squeeze(1)
        if self.factor_path is not None:
            score = score + self.factor_path(batch)
        return Output(self.quantiles(x), score)
