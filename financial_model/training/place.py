"""Where a run stands, as its checkpoints hold it."""

import math
from dataclasses import dataclass


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
