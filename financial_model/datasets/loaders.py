"""Batches, and the order in which an epoch walks through its samples.

The order is a function of (seed, epoch) alone and is known before the first step, so a run that was
stopped in the middle of an epoch finds its place again, and every process of a distributed run computes
the same plan without a word to the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Samples on one device; a sample is one stock as of one session.

    window (B, T, F), summary (B, K), market (B, M), conditions (B, C) int64, volatility (B,) of daily log
    returns, target (B, H) standardised log return path and label (B,) tradable forward return (both NaN
    where unknown, the label also where t+1 closes locked at a limit, so that nobody could have bought),
    session (B,) and row (B,) int64, positions in the panel.
    """

    window: Tensor
    summary: Tensor
    market: Tensor
    conditions: Tensor
    volatility: Tensor
    target: Tensor
    label: Tensor
    session: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, keep: Tensor | slice) -> "Batch":
        """The batch of these samples (an index, a mask or a slice)."""
        return self._map(lambda tensor: tensor[keep])

    def to(self, device: torch.device | str) -> "Batch":
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(**{field.name: change(getattr(self, field.name)) for field in fields(self)})


class Plan(Sequence[Rows]):
    """The rows (B,) int64 of each batch of an epoch, made when a batch is asked for."""

    def __init__(self, batch_count: int, make: Callable[[int], NDArray[np.integer]]) -> None:
        self._batches, self._make = range(batch_count), make

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, place: int) -> Rows: ...
    @overload
    def __getitem__(self, place: slice) -> list[Rows]: ...
    def __getitem__(self, place: int | slice) -> Rows | list[Rows]:
        if isinstance(place, slice):
            return [self[k] for k in self._batches[place]]
        return self._make(self._batches[place]).astype(np.int64)


class SampleLoader:
    """Single samples in random order, for one or a few stocks."""

    def __init__(self, rows: NDArray[np.integer], batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed

    def plan(self, epoch: int) -> Plan:
        """The rows of each batch of an epoch, in order. The last batch may be smaller."""
        order = _generator(self.seed, epoch).permutation(len(self.rows))
        size = self.batch_size
        return Plan(-(-len(order) // size), lambda k: self.rows[order[k * size : (k + 1) * size]])


class SessionLoader:
    """Whole sessions in random order, as many to a batch as reach the batch size.

    A loss that looks across stocks sees each session complete. Rows of one session lie together: `counts`
    says how many rows belong to each session in turn.
    """

    def __init__(
        self, rows: NDArray[np.integer], counts: NDArray[np.integer], batch_size: int, seed: int
    ) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self._counts = counts[counts > 0]
        self._edges = np.concatenate([[0], np.cumsum(self._counts)])

    def plan(self, epoch: int) -> Plan:
        """The rows of each batch of an epoch, in order. The last batch may be smaller."""
        order = _generator(self.seed, epoch).permutation(len(self._counts))
        runs = _runs(self._counts[order], self.batch_size)
        return Plan(len(runs), lambda k: np.concatenate([self._session(j) for j in order[slice(*runs[k])]]))

    def in_order(self) -> Plan:
        """Whole sessions by date, for validation."""
        runs = _runs(self._counts, self.batch_size)
        return Plan(len(runs), lambda k: self.rows[self._edges[runs[k][0]] : self._edges[runs[k][1]]])

    def _session(self, position: int) -> NDArray[np.integer]:
        return self.rows[self._edges[position] : self._edges[position + 1]]


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


def _runs(counts: NDArray[np.integer], least: int) -> list[tuple[int, int]]:
    """Cut a row of counts into runs that each reach `least`, the last one whatever is left."""
    runs, first, total = [], 0, 0
    for position, count in enumerate(counts.tolist()):
        total += count
        if total >= least:
            runs.append((first, position + 1))
            first, total = position + 1, 0
    if first < len(counts):
        runs.append((first, len(counts)))
    return runs
