"""The losses, one table. Each names the quantile levels its head must have, and returns its parts.

All of them see the same two answers of a network (`models.interface.Output`): quantiles of the return path
in standardised units, and a score that ranks a session. Each trains the path in its own way. The score is
always trained by its correlation with the labels of its session, since that is what it is used for and
judged by.

Forecasts of returns are small, and should be: under a squared error the best forecast has a standard
deviation of IC times that of the target, 0.05 where the target has 1. `ValidationSpan.spread_ratio` measures
it. What must not be flat is the ranking within a session and the width of the quantiles.

Sizes: B batch, H horizon, Q quantile levels. A NaN in target or label does not count; a batch without a
single known value has no gradient. Asking whether one is there would make a GPU wait.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ..base.config import QUANTILE_LEVELS
from ..models.interface import Output

if TYPE_CHECKING:
    from ..datasets.loaders import Batch

# A correlation over fewer labels says nothing; such sessions are pooled.
LEAST_LABELS = 5
LABEL_CLIP = 3.0
TARGET_CLIP = 3.0

Terms = dict[str, Tensor]


class Loss(Protocol):
    """What the table holds: `levels` sizes the head, a call gives (loss, detached parts)."""

    levels: ClassVar[tuple[float, ...]]

    def __call__(self, output: Output, batch: "Batch") -> tuple[Tensor, Terms]: ...


@dataclass(frozen=True)
class _PathAndRank:
    """The frame of every loss: weighted terms of the path, plus the rank term of the score.

    `ranked` puts the label's rank within its session, as a normal score, in place of its clipped z-score.
    """

    rank: float = 1.0
    ranked: bool = False
    levels: ClassVar[tuple[float, ...]] = (0.5,)

    def __call__(self, output: Output, batch: "Batch") -> tuple[Tensor, Terms]:
        quantiles, score = (_at_least_single(x) for x in output)
        target = batch.target.to(quantiles.dtype)
        terms = self.path_terms(quantiles, target, batch)
        terms["rank"] = self.rank * rank_loss(score, batch.label, batch.session, self.ranked)
        return torch.stack(list(terms.values())).sum(), {name: term.detach() for name, term in terms.items()}

    def path_terms(self, quantiles: Tensor, target: Tensor, batch: "Batch") -> Terms:
        raise NotImplementedError


@dataclass(frozen=True)
class MeanSquaredError(_PathAndRank):
    """The mean squared error of the standardised return path."""

    regression: float = 1.0

    def path_terms(self, quantiles: Tensor, target: Tensor, batch: "Batch") -> Terms:
        return {"regression": self.regression * squared_error(quantiles[..., 0], target)}


@dataclass(frozen=True)
class HuberTrend(_PathAndRank):
    """Squared error near zero, absolute beyond one standard deviation: limit days pull less."""

    regression: float = 2.0
    delta: float = 1.0

    def path_terms(self, quantiles: Tensor, target: Tensor, batch: "Batch") -> Terms:
        return {"regression": self.regression * huber_error(quantiles[..., 0], target, self.delta)}


@dataclass(frozen=True)
class Directional(_PathAndRank):
    """The logistic loss of the sign, weighted by the size of the move, anchored by a small squared error."""

    direction: float = 1.0
    anchor: float = 0.25
    tau: float = 0.5

    def path_terms(self, quantiles: Tensor, target: Tensor, batch: "Batch") -> Terms:
        return {
            "direction": self.direction * direction_error(quantiles[..., 0], target, self.tau),
            "anchor": self.anchor * squared_error(quantiles[..., 0], target),
        }


@dataclass(frozen=True)
class Quantile(_PathAndRank):
    """Pinball on all levels."""

    quantile: float = 2.0
    levels: ClassVar[tuple[float, ...]] = QUANTILE_LEVELS

    def path_terms(self, quantiles: Tensor, target: Tensor, batch: "Batch") -> Terms:
        return {"quantile": self.quantile * pinball_error(quantiles, target, self.levels)}


@dataclass(frozen=True)
class InformationCoefficient(_PathAndRank):
    """1 - correlation within a session, of the score and of each step of the path.

    A correlation knows no unit, so a small squared error holds the path to that of its target.
    """

    correlation: float = 0.5
    anchor: float = 0.25

    def path_terms(self, quantiles: Tensor, target: Tensor, batch: "Batch") -> Terms:
        path = quantiles[..., 0]
        steps = [rank_loss(path[:, h], target[:, h], batch.session) for h in range(path.shape[1])]
        return {
            "correlation": self.correlation * torch.stack(steps).mean(),
            "anchor": self.anchor * squared_error(path, target),
        }


@dataclass(frozen=True)
class TrendAware(_PathAndRank):
    """The default: where a path goes beside its session, how far, how surely, and who leads the session.

    | term | holds |
    | --- | --- |
    | regression | the median to the target less its session's mean, Huber |
    | direction | the sign of the same, by size of the move |
    | magnitude | half the distance of the middle quantiles to the size of the move |
    | quantile | the levels around the median to the target, pinball; the head cannot cross them |
    | rank | the score to the label, correlation within the session |

    The stocks of a session move together, so a median that is held to their returns learns the dates of
    the training span by heart: where a market goes it has some hundred independent samples of, against
    hundreds of thousands of how stocks differ. What it made of the market cost 2 % of the pinball loss.
    """

    regression: float = 0.5
    direction: float = 0.5
    magnitude: float = 0.25
    quantile: float = 1.0
    tau: float = 0.5
    levels: ClassVar[tuple[float, ...]] = QUANTILE_LEVELS

    def path_terms(self, quantiles: Tensor, target: Tensor, batch: "Batch") -> Terms:
        low, middle, high = (self.levels.index(level) for level in (0.25, 0.5, 0.75))
        median = quantiles[..., middle]
        half_width = (quantiles[..., high] - quantiles[..., low]) / 2
        apart = beside_session(target, batch.session)
        around = quantiles - median.unsqueeze(-1)
        return {
            "regression": self.regression * huber_error(median, apart),
            "direction": self.direction * direction_error(median, apart, self.tau),
            "magnitude": self.magnitude * absolute_error(half_width, target.abs()),
            "quantile": self.quantile * pinball_error(around, target, self.levels),
        }


LOSSES: dict[str, type[Loss]] = {
    "trend_aware": TrendAware,
    "mse": MeanSquaredError,
    "huber_trend": HuberTrend,
    "directional": Directional,
    "quantile": Quantile,
    "ic": InformationCoefficient,
}


def squared_error(forecast: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the known targets, both (B, H); a scalar.

    >>> squared_error(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, float("nan")]])).item()
    4.0
    """
    known, filled = _split_known(target)
    return _mean((forecast - filled).square(), known)


def absolute_error(forecast: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over the known targets; its best constant is their median."""
    known, filled = _split_known(target)
    return _mean((forecast - filled).abs(), known)


def huber_error(forecast: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """Mean of e^2 / 2 up to |e| = delta, of delta (|e| - delta / 2) beyond.

    >>> huber_error(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 3.0]])).item()
    1.5
    """
    known, filled = _split_known(target)
    return _mean(functional.huber_loss(forecast, filled, reduction="none", delta=delta), known)


def direction_error(forecast: Tensor, target: Tensor, tau: float = 0.5) -> Tensor:
    """Mean of softplus(-z z_hat / tau) / log 2, z clipped at 3: the sign, weighted by the size of the move.

    Counting right signs has no gradient; this has, and is 1 at a forecast of zero. For small forecasts its
    minimum lies at 2 tau E[z] / E[z^2], so that tau = 1/2 agrees with the conditional mean of standardised
    targets and does not work against the regression beside it.
    """
    known, filled = _split_known(target)
    z = filled.clamp(-TARGET_CLIP, TARGET_CLIP)
    return _mean(functional.softplus(-z * forecast / tau), known) / math.log(2)


def pinball_error(quantiles: Tensor, target: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Mean pinball loss over known targets and levels. quantiles (B, H, Q), target (B, H).

    >>> round(pinball_error(torch.tensor([[[9.0]]]), torch.tensor([[10.0]]), (0.9,)).item(), 6)
    0.9
    """
    known, filled = _split_known(target)
    error = filled.unsqueeze(-1) - quantiles  # (B, H, Q)
    level = error.new_tensor(levels)
    return _mean(torch.maximum(level * error, (level - 1) * error).mean(-1), known)


def beside_session(target: Tensor, session: Tensor) -> Tensor:
    """Targets (B, H) less the mean of their session (B,) at each step; NaN stays unknown.

    Sessions of fewer than 5 samples are pooled as in `rank_loss`.

    >>> target = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> beside_session(target, torch.zeros(5, dtype=torch.int64)).flatten().tolist()
    [-2.0, -1.0, 0.0, 1.0, 2.0]
    """
    known, filled = _split_known(target)
    groups = session_groups(session, known.any(dim=1))
    count = _sum_within(known.to(target.dtype), groups).clamp(min=1)
    return target - (_sum_within(filled, groups) / count)[groups]


def rank_loss(score: Tensor, label: Tensor, session: Tensor, ranked: bool = False) -> Tensor:
    """1 - correlation of score and standardised label within each session, averaged by labels; all (B,).

    Sessions with fewer than 5 known labels are pooled into one group, which is what a batch of one stock
    through time comes down to. 1 where nothing is known.

    >>> session = torch.zeros(5, dtype=torch.int64)
    >>> up = torch.arange(5.0)
    >>> rank_loss(up, 0.01 * up, session).item() < 1e-3, rank_loss(-up, up, session).item() > 1.999
    (True, True)
    """
    known, filled = _split_known(label.to(score.dtype))
    groups = session_groups(session, known)
    if ranked:
        label = normal_scores_within(filled, known, groups)
    else:
        label = standardise_within(filled, known, groups).clamp(-LABEL_CLIP, LABEL_CLIP)
    product = standardise_within(score, known, groups) * standardise_within(label, known, groups)
    return 1 - _mean(product, known)


def session_groups(session: Tensor, known: Tensor, least: int = LEAST_LABELS) -> Tensor:
    """A group for each sample, in 0..B: its session's, or B for all sessions with fewer than `least` known.

    The count of groups is bounded by the batch and never asked for, so that nothing here depends on the
    data for its shape: a compiled step stays one graph, a GPU does not wait.

    >>> session_groups(torch.tensor([7, 3, 7]), torch.ones(3, dtype=torch.bool), least=2).tolist()
    [1, 3, 1]
    """
    ordered, order = session.sort(stable=True)
    starts = functional.pad((ordered[1:] != ordered[:-1]).long(), (1, 0)).cumsum(0)
    groups = torch.empty_like(starts).scatter(0, order, starts)
    count = _sum_within(known.to(torch.get_default_dtype()), groups)[groups]
    return torch.where(count < least, len(session), groups)


def standardise_within(x: Tensor, known: Tensor, groups: Tensor) -> Tensor:
    """x less its group's mean over its group's standard deviation, over known samples; 0 elsewhere."""
    weight = known.to(x.dtype)
    count = _sum_within(weight, groups).clamp(min=1)
    centred = (x - (_sum_within(x * weight, groups) / count)[groups]) * weight
    variance = _sum_within(centred.square(), groups) / count
    return centred * (variance + 1e-8).rsqrt()[groups]


def normal_scores_within(x: Tensor, known: Tensor, groups: Tensor) -> Tensor:
    """The normal quantile of (rank + 1/2) / n of each known sample within its group; 0 elsewhere.

    >>> x, groups = torch.tensor([30.0, 10.0, 20.0]), torch.zeros(3, dtype=torch.int64)
    >>> normal_scores_within(x, torch.ones(3, dtype=torch.bool), groups)
    tensor([ 0.9674, -0.9674,  0.0000])
    """
    groups = torch.where(known, groups, len(x) + 1)  # the unknown last, in a group of their own
    by_value = x.argsort(stable=True)
    order = by_value[groups[by_value].argsort(stable=True)]
    count = x.new_zeros(len(x) + 2).index_add(0, groups, torch.ones_like(x))
    first = count.cumsum(0) - count
    rank = torch.empty_like(x).scatter(0, order, torch.arange(len(x), device=x.device).to(x.dtype))
    share = (rank - first[groups] + 0.5) / count[groups]
    return torch.where(known, math.sqrt(2) * torch.erfinv(2 * share - 1), 0.0)


def _at_least_single(x: Tensor) -> Tensor:
    """Half precision has three digits, too few to sum errors in."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _split_known(target: Tensor) -> tuple[Tensor, Tensor]:
    """Which targets are known, and the targets with 0 for the unknown: NaN times zero would still be NaN."""
    known = ~target.isnan()
    return known, torch.where(known, target, 0.0)


def _mean(x: Tensor, known: Tensor) -> Tensor:
    weight = known.to(x.dtype)
    return (x * weight).sum() / weight.sum().clamp(min=1)


def _sum_within(x: Tensor, groups: Tensor) -> Tensor:
    """(B + 1, ...): the sum of x (B, ...) over each group."""
    return x.new_zeros(len(x) + 1, *x.shape[1:]).index_add(0, groups, x)
