"""Batches of random numbers in the shapes that a network expects."""

import torch

from financial_model.datasets.loaders import Batch
from financial_model.models.interface import InputSizes

FULL = InputSizes(
    sequence=6,
    context_length=30,
    summary=9,
    market=4,
    conditions={"industry": 12, "style_size": 6, "regime": 5},
)
BARE = InputSizes(sequence=6, context_length=31)


def make_batch(sizes: InputSizes, size: int = 8, horizon: int = 5, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(size, *shape, generator=generator)

    indices = [torch.randint(0, count, (size,), generator=generator) for count in sizes.conditions.values()]
    return Batch(
        window=normal(sizes.context_length, sizes.sequence),
        summary=normal(sizes.summary),
        market=normal(sizes.market),
        conditions=torch.stack(indices, 1) if indices else torch.zeros(size, 0, dtype=torch.int64),
        volatility=0.02 * normal().exp(),
        target=normal(horizon),
        label=0.02 * normal(),
        session=torch.arange(size) // 4,
        row=torch.arange(size),
    )
