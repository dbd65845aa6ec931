"""What a network is judged by while it is trained: the rows of the validation span and their outcomes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..datasets.dataset import StockDataset
from ..models.interface import Output
from .improved_loss import Loss
from .member import Trained
from .validation import RankFigures, rank_figures

VALID_BATCH = 4096


@dataclass
class Validation:
    """The figures of one validation."""

    loss: float
    rank: RankFigures | None
    trained: Trained

    @property
    def value(self) -> float:
        """What early stopping makes as large as it can."""
        return -self.loss if self.rank is None else self.rank.rank_ic


def told(loss: float, rank: RankFigures | None) -> dict[str, float | None]:
    """A validation as events and results tell it; None where nothing is ranked, or an error is not known."""
    return {
        "valid_loss": loss,
        "valid_rank_ic": rank.rank_ic if rank else None,
        "valid_rank_ic_se": rank.rank_ic_se if rank and math.isfinite(rank.rank_ic_se) else None,
        "valid_ic": rank.ic if rank else None,
    }


class ValidationSpan:
    """The validation rows of a dataset: `batches` of whole sessions by date, and `rows`, all of them."""

    def __init__(self, dataset: StockDataset) -> None:
        self.dataset = dataset
        self.batches = [torch.from_numpy(rows) for rows in dataset.valid_batches(VALID_BATCH)]
        self.rows = torch.cat(self.batches)

    @cached_property
    def outcomes(self) -> tuple[Tensor, Tensor, Tensor]:
        """(target, label, session) of the rows, on the CPU."""
        matrices = self.dataset.matrices
        rows = self.rows.to(matrices.device)
        target, label = matrices.targets(rows)
        return target.cpu(), label.cpu(), matrices.session[rows].long().cpu()

    def rank_figures(self, score: Tensor) -> RankFigures | None:
        """IC and RankIC of a score (N,); None where the sessions hold too few stocks to rank."""
        if not self.dataset.looks_across_stocks:
            return None
        _, label, session = self.outcomes
        return rank_figures(score.double().numpy(), label.double().numpy(), session.numpy())

    def judge(self, output: Output, loss: Loss) -> tuple[float, RankFigures | None]:
        """(loss, rank figures) of outputs that are known for all rows, such as an ensemble's."""
        matrices, total, start = self.dataset.matrices, 0.0, 0
        for rows in self.batches:
            part = slice(start, start := start + len(rows))
            here = Output(*(values[part].to(matrices.device) for values in output))
            total += float(loss(here, matrices.gather_labels(rows.to(matrices.device)))[0]) * len(rows)
        return total / len(self.rows), self.rank_figures(output.score)

    def spread_ratio(self, output: Output | None, levels: Sequence[float]) -> float | None:
        """sd(forecast) / sd(target) of the last step's middle quantile: small is right, zero is flat."""
        if output is None:
            return None
        middle = min(range(len(levels)), key=lambda q: abs(levels[q] - 0.5))
        target = self.outcomes[0][:, -1]
        known = ~target.isnan()
        spread = target[known].std(correction=0)
        ratio = float(output.quantiles[known, -1, middle].std(correction=0) / spread)
        return ratio if math.isfinite(ratio) else None
