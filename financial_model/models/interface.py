"""What every network is told before it is built, and what every network answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class InputSizes:
    """The widths of a batch: sequence features, sessions, summaries, market features, condition counts.

    A width of zero, or no conditions, means that the input is absent; every network then does without it.
    """

    sequence: int
    context_length: int
    summary: int = 0
    market: int = 0
    conditions: Mapping[str, int] = field(default_factory=dict)


class Output(NamedTuple):
    """quantiles (B, H, Q): rising along Q, of the log return to each step over volatility * sqrt(step).

    score (B,): higher is better within a session; its scale means nothing.
    """

    quantiles: Tensor
    score: Tensor
