"""Where a run stands, as its checkpoints hold it."""

import math
from dataclasses import dataclass, fields
from typing import Any, Self

MAX_COUNT = 10**12  # no run is longer, whatever a checkpoint says


@dataclass
class Place:
    """Where a run stands: complete epochs of a member, and steps done of the epoch in progress."""

    member: int = 0
    epoch: int = 0
    step: int = 0
    total_step: int = 0
    total_epoch: int = 0
    loss_sum: float = 0.0
    sample_count: int = 0
    best_epoch: int = 0
    best_value: float = -math.inf
    stale_epochs: int = 0
    elapsed_s: float = 0.0

    @classmethod
    def of(cls, saved: dict[str, Any]) -> Self:
        """The place that a checkpoint holds; TypeError or ValueError where a count is none.

        >>> Place.of({"epoch": 3}).epoch
        3
        """
        place = cls(**saved)
        for one in fields(cls):
            value = getattr(place, one.name)
            is_count = type(value) is int and 0 <= value <= MAX_COUNT
            is_figure = type(value) is float and (math.isfinite(value) or one.name == "best_value")
            if not (is_count if type(one.default) is int else is_figure):
                raise ValueError(f"its {one.name} is {str(value)[:40]}")
        return place
