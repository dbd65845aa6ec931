"""What a run has made of a member of its ensemble, at one moment and at its end."""

from dataclasses import dataclass

from torch import Tensor

from ..models.interface import Output

Weights = dict[str, Tensor]


@dataclass
class Trained:
    """A member's weights at one moment, the spread of its score, its outputs on the validation span."""

    weights: Weights
    scale: float
    output: Output | None = None


@dataclass
class Finished:
    """What a member leaves to the ensemble: its best weights, and its last."""

    best: Trained
    last: Trained
