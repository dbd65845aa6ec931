"""The learning rate along a run."""

import math

WARM_UP_SHARE = 0.05
LAST_RATE_SHARE = 0.01


def rate_share(share: float) -> float:
    """Share of the highest learning rate after this share of the steps: linear warm-up, then a cosine.

    >>> [round(rate_share(share), 3) for share in (0.025, 0.05, 0.525, 1.0)]
    [0.5, 1.0, 0.505, 0.01]
    """
    if share < WARM_UP_SHARE:
        return share / WARM_UP_SHARE
    swing = (1 + math.cos(math.pi * (share - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))) / 2
    return LAST_RATE_SHARE + (1 - LAST_RATE_SHARE) * swing
