"""Several networks that forecast as one: quantiles averaged level by level, scores in a common unit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..base.config import ModelSettings
from .interface import InputSizes, Output
from .registry import build_model

if TYPE_CHECKING:
    from ..datasets.loaders import Batch


class Ensemble(nn.Module):
    """Members of one architecture; a single network is an ensemble of one.

    A member's score means something only beside others of its session, so before the mean it is divided
    by its spread within a session. That spread is measured once, on the validation span: the score of a
    stock then does not depend on which other stocks are forecast with it.
    """

    def __init__(
        self,
        sizes: InputSizes,
        settings: ModelSettings,
        levels: Sequence[float],
        score_scales: Sequence[float],
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(build_model(sizes, settings, levels) for _ in score_scales)
        self.score_scales = tuple(score_scales)

    def forward(self, batch: "Batch") -> Output:
        """Quantiles (B, H, Q) and score (B,), both in float32."""
        return average([member(batch) for member in self.members], self.score_scales)


def average(outputs: Sequence[Output], score_scales: Sequence[float]) -> Output:
    """The mean of members' outputs, their scores divided by `score_scales` first."""
    quantiles = torch.stack([output.quantiles.float() for output in outputs]).mean(dim=0)
    scores = [output.score.float() / scale for output, scale in zip(outputs, score_scales, strict=True)]
    return Output(quantiles, torch.stack(scores).mean(dim=0))


def score_scale(score: Tensor, session: Tensor) -> float:
    """Standard deviation of a score within its sessions, pooled; (B,), (B,) -> 1.0 where it has none."""
    _, group = session.unique(return_inverse=True)
    count = group.bincount().clamp(min=1)
    mean = torch.zeros(len(count), dtype=torch.float64).index_add_(0, group, score.double()) / count
    spread = float((score.double() - mean[group]).square().mean().sqrt()) if len(score) else 0.0
    if spread > 1e-12:
        return spread
    # One stock a session: the only spread there is lies across sessions.
    spread = float(score.double().std(correction=0)) if len(score) else 0.0
    return spread if spread > 1e-12 else 1.0
