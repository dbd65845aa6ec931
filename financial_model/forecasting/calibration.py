"""Conformal calibration: quantiles that hold as often as they say.

For each step and level the errors of the validation span (target minus forecast quantile, both in units of
the stock's trailing volatility times sqrt(step)) say how far a quantile must be moved to hold. A level is
then steered along a range of as-of sessions: where too few outcomes fell below it the level asked of that
table rises, by gamma times the miss of each session (adaptive conformal inference, Gibbs and Candès 2021).
A session's outcome at step h is known h sessions later and steers nothing before.

A network with a point alone gets all its quantiles here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.config import QUANTILE_LEVELS
from ..base.errors import DamagedCheckpoint
from ..models.checkpoint import RETRAIN
from ..models.interface import Output

# One step a level of QUANTILE_LEVELS. Outcomes of later steps come late, and a large step in the tails then
# overshoots: 90 % intervals of step 5 held 0.88 with 0.05 throughout (docs/LOG.md).
GAMMA = np.array([0.02, 0.05, 0.05, 0.05, 0.02])
GRID = np.linspace(0.0025, 0.9975, 200)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """offsets (H, Q, G): quantile function, on GRID, of target - quantile over the validation span.
    asked (H, Q): the levels asked of it after the validation span. source (Q,): which of the network's
    levels serves each of QUANTILE_LEVELS."""

    offsets: Floats
    asked: Floats
    source: tuple[int, ...]

    @classmethod
    def fit(
        cls, quantiles: Floats, target: Floats, session: NDArray[np.integer], levels: Sequence[float]
    ) -> Self:
        """From validation forecasts (N, H, levels), targets (N, H) NaN unknown, session (N,) ascending."""
        source = tuple(
            min(range(len(levels)), key=lambda q: abs(levels[q] - level)) for level in QUANTILE_LEVELS
        )
        error = target[:, :, None] - quantiles[:, :, list(source)]  # (N, H, Q)
        offsets = np.zeros((target.shape[1], len(QUANTILE_LEVELS), len(GRID)))
        for step in range(target.shape[1]):
            known = error[np.isfinite(target[:, step]), step]
            if len(known):
                offsets[step] = np.quantile(known, GRID, axis=0).T
        asked = np.tile(np.asarray(QUANTILE_LEVELS), (target.shape[1], 1))
        start = cls(offsets, asked, source)
        _, asked = start.adapt(quantiles, target, session)
        return cls(offsets, asked, source)

    def fits(self, steps: int, levels: int) -> bool:
        """Whether this moves the quantiles of a network of so many steps and levels."""
        return len(self.asked) == steps and all(0 <= level < levels for level in self.source)

    def apply(self, quantiles: Floats, asked: Floats | None = None) -> Floats:
        """Forecast quantiles (N, H, levels) moved so that they hold: (N, H, Q), rising along Q."""
        asked = self.asked if asked is None else asked
        moved = quantiles[:, :, list(self.source)] + self._offset(asked)
        return np.sort(moved, axis=2)

    def _offset(self, asked: Floats) -> Floats:
        """The move of each step and level, (H, Q)."""
        offset = np.empty(asked.shape)
        for step, level in np.ndindex(*asked.shape):
            offset[step, level] = np.interp(asked[step, level], GRID, self.offsets[step, level])
        return offset

    def adapt(self, quantiles: Floats, target: Floats, session: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Calibrated quantiles (N, H, Q) of a range, each session steered by outcomes known at its close.

        target (N, H) holds NaN where it is unknown; session (N,) are ascending positions. Also returns the
        levels asked (H, Q) once the last session's close is known.
        """
        calibrated = np.empty((*target.shape, len(QUANTILE_LEVELS)))
        asked = self.asked.copy()
        sessions, starts = np.unique(session, return_index=True)
        stops = np.append(starts[1:], len(session))
        wanted = np.asarray(QUANTILE_LEVELS)
        below = np.full((len(sessions), target.shape[1], len(wanted)), np.nan)
        waiting = [0] * target.shape[1]  # per step: the first session whose outcome has not steered yet
        for position, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            for step in range(target.shape[1]):
                while sessions[waiting[step]] + step + 1 <= sessions[position] and waiting[step] < position:
                    share = below[waiting[step], step]
                    asked[step] += GAMMA * np.where(np.isfinite(share), wanted - share, 0.0)
                    waiting[step] += 1
            asked = np.clip(asked, GRID[0], GRID[-1])
            calibrated[start:stop] = self.apply(quantiles[start:stop], asked)
            known = np.isfinite(target[start:stop])[:, :, None]
            hits = (target[start:stop, :, None] <= calibrated[start:stop]) & known
            count = known.sum(axis=0)
            below[position] = np.where(count > 0, hits.sum(axis=0) / np.maximum(count, 1), np.nan)
        return calibrated, asked

    def to_plain(self) -> dict[str, Any]:
        """Tensors and plain values, as a checkpoint holds them."""
        return {
            "offsets": torch.from_numpy(self.offsets.copy()),
            "asked": torch.from_numpy(self.asked.copy()),
            "source": list(self.source),
        }

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """The calibration of a checkpoint; DamagedCheckpoint where the values are none."""
        try:
            offsets, asked = values["offsets"].numpy(), values["asked"].numpy()
            source = tuple(int(level) for level in values["source"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DamagedCheckpoint("The checkpoint", "its calibration cannot be read", RETRAIN) from error
        count = len(QUANTILE_LEVELS)
        is_sound = asked.ndim == 2 and asked.shape[1] == len(source) == count
        if not is_sound or offsets.shape != (*asked.shape, len(GRID)):
            raise DamagedCheckpoint("The checkpoint", "its calibration has another shape", RETRAIN)
        return cls(offsets, asked, source)


def fit_calibration(
    output: Output, target: Tensor, session: Tensor, levels: tuple[float, ...]
) -> dict[str, Any]:
    """What a Trainer puts into its checkpoints; all tensors on the CPU, samples in any order."""
    order = torch.argsort(session, stable=True)
    return Calibration.fit(
        output.quantiles[order].double().numpy(),
        target[order].double().numpy(),
        session[order].numpy(),
        levels,
    ).to_plain()
