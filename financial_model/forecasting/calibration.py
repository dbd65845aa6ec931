"""Conformal calibration: intervals that hold as often as they say.

For each step and interval the outcomes of the validation span (distance from the median over the network's
half-width on that side, all in units of the stock's trailing volatility times sqrt(step)) say by how much an
interval must be stretched to hold. The coverage asked of that table is then steered along a range of as-of
sessions: where too few outcomes fell inside it rises, by GAMMA times the miss of each session (adaptive
conformal inference, Gibbs and Candès 2021). A session's outcome at step h is known h sessions later and
steers nothing before.

What is steered is the width alone. The stocks of one session move together, so levels steered one by one
chase the market's last days with the median; that cost 2 % of the pinball loss and gained nothing
(docs/LOG.md). The median is the network's, drawn towards zero as far as the validation span says.

A network with a point alone gets its intervals here, from those of the standard normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.config import QUANTILE_LEVELS
from ..base.errors import DamagedCheckpoint
from ..models.checkpoint import RETRAIN
from ..models.interface import Output

GRID = np.linspace(0.0025, 0.9975, 200)
MIDDLE = QUANTILE_LEVELS.index(0.5)
# Positions of the ends of each interval among QUANTILE_LEVELS, and what they hold: .90, then .50.
LOW, HIGH = np.array([0, 1]), np.array([4, 3])
WANTED = np.array([QUANTILE_LEVELS[high] - QUANTILE_LEVELS[low] for low, high in zip(LOW, HIGH, strict=True)])
# The share of a session's miss that is made good, of each interval.
GAMMA = np.array([0.02, 0.05])
LEAST_WIDTH = 1e-3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """stretch (H, I, G): quantile function, on GRID, of distance / half-width over the validation span.
    asked (H, I): the coverage asked of it after the validation span. kept: the share of the network's median
    that is kept, 0 to 1. source (Q,): which of the network's levels serves each of QUANTILE_LEVELS."""

    stretch: Floats
    asked: Floats
    kept: float
    source: tuple[int, ...]

    @classmethod
    def fit(
        cls, quantiles: Floats, target: Floats, session: NDArray[np.integer], levels: Sequence[float]
    ) -> Self:
        """From validation forecasts (N, H, levels), targets (N, H) NaN unknown, session (N,) ascending."""
        source = tuple(
            min(range(len(levels)), key=lambda q: abs(levels[q] - level)) for level in QUANTILE_LEVELS
        )
        steps = target.shape[1]
        asked = np.tile(WANTED, (steps, 1))
        kept = _slope(quantiles[:, :, source[MIDDLE]], target)
        plain = cls(np.ones((steps, len(WANTED), len(GRID))), asked, kept, source)
        distance = plain._distance(quantiles, target)  # (N, H, I)
        stretch = plain.stretch.copy()
        for step in range(steps):
            known = distance[np.isfinite(target[:, step]), step]
            if len(known):
                stretch[step] = np.quantile(known, GRID, axis=0).T
        start = cls(stretch, asked, kept, source)
        *_, asked = start.walk(quantiles, target, session)
        return cls(stretch, asked, kept, source)

    def fits(self, steps: int, levels: int) -> bool:
        """Whether this moves the quantiles of a network of so many steps and levels."""
        return len(self.asked) == steps and all(0 <= level < levels for level in self.source)

    def apply(self, quantiles: Floats, asked: Floats | None = None) -> Floats:
        """Forecast quantiles (N, H, levels) stretched so that they hold: (N, H, Q), rising along Q.

        asked is (H, I), or (N, H, I) where it differs between samples; that after validation if not given.
        """
        factor = self._factor(self.asked if asked is None else asked)
        median, below, above = self._shape(quantiles)
        out = np.empty((*median.shape, len(QUANTILE_LEVELS)))
        out[..., MIDDLE] = median
        out[..., LOW] = median[..., None] - factor * below
        out[..., HIGH] = median[..., None] + factor * above
        return np.sort(out, axis=2)

    def _factor(self, asked: Floats) -> Floats:
        """The stretch of each step and interval, shaped as `asked` (..., H, I)."""
        factor = np.empty(asked.shape)
        for step, interval in np.ndindex(*asked.shape[-2:]):
            factor[..., step, interval] = np.interp(
                asked[..., step, interval], GRID, self.stretch[step, interval]
            )
        return factor

    def _shape(self, quantiles: Floats) -> tuple[Floats, Floats, Floats]:
        """Median (N, H), half-widths below and above it (N, H, I); the normal's where a network has none."""
        source = np.array(self.source)
        middle = quantiles[:, :, source[MIDDLE], None]
        normal = np.array([NormalDist().inv_cdf(QUANTILE_LEVELS[high]) for high in HIGH])

        def width(ends: NDArray[np.integer], sign: int) -> Floats:
            network = np.maximum(sign * (quantiles[:, :, source[ends]] - middle), LEAST_WIDTH)
            return np.where(source[ends] == source[MIDDLE], normal, network)

        return self.kept * middle[..., 0], width(LOW, -1), width(HIGH, 1)

    def _distance(self, quantiles: Floats, target: Floats) -> Floats:
        """How far (N, H, I) each outcome lies from the median, in half-widths of its side; NaN unknown."""
        median, below, above = self._shape(quantiles)
        gap = (target - median)[..., None]
        return np.where(gap < 0, -gap / below, gap / above)

    def walk(
        self, quantiles: Floats, target: Floats, session: NDArray[np.integer]
    ) -> tuple[NDArray[np.integer], Floats, Floats]:
        """Along a range, each session steered by the outcomes known at its close.

        quantiles (N, H, levels) are the network's, target (N, H) holds NaN where it is unknown, session (N,)
        are ascending positions. Returns the sessions (S,), the coverages asked at each close (S, H, I), and
        those after the last of them (H, I).
        """
        distance = self._distance(quantiles, target)  # (N, H, I)
        is_known = np.isfinite(distance)
        sessions, starts = np.unique(session, return_index=True)
        stops = np.append(starts[1:], len(session))
        asked = self.asked.copy()
        trail = np.empty((len(sessions), *asked.shape))
        inside = np.full(trail.shape, np.nan)
        waiting = [0] * target.shape[1]  # per step: the first session whose outcome has not steered yet
        for position, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            for step in range(target.shape[1]):
                while sessions[waiting[step]] + step + 1 <= sessions[position] and waiting[step] < position:
                    share = inside[waiting[step], step]
                    asked[step] += GAMMA * np.where(np.isfinite(share), WANTED - share, 0.0)
                    waiting[step] += 1
            asked = np.clip(asked, GRID[0], GRID[-1])
            trail[position] = asked
            hits = distance[start:stop] <= self._factor(asked)
            count = is_known[start:stop].sum(axis=0)
            inside[position] = np.where(count > 0, hits.sum(axis=0) / np.maximum(count, 1), np.nan)
        return sessions, trail, asked

    def to_plain(self) -> dict[str, Any]:
        """Tensors and plain values, as a checkpoint holds them."""
        return {
            "stretch": torch.from_numpy(self.stretch.copy()),
            "asked": torch.from_numpy(self.asked.copy()),
            "kept": float(self.kept),
            "source": list(self.source),
        }

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """The calibration of a checkpoint; DamagedCheckpoint where the values are none."""
        try:
            stretch, asked = values["stretch"].numpy(), values["asked"].numpy()
            kept = float(values["kept"])
            source = tuple(int(level) for level in values["source"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DamagedCheckpoint("The checkpoint", "its calibration cannot be read", RETRAIN) from error
        is_sound = asked.ndim == 2 and asked.shape[1] == len(WANTED) and len(source) == len(QUANTILE_LEVELS)
        if not is_sound or stretch.shape != (*asked.shape, len(GRID)):
            raise DamagedCheckpoint("The checkpoint", "its calibration has another shape", RETRAIN)
        return cls(stretch, asked, kept, source)


def _slope(median: Floats, target: Floats) -> float:
    """The share of the medians (N, H) that brings them nearest to the targets, from 0 to 1."""
    known = np.isfinite(target)
    x, y = median[known], target[known]
    power = float(x @ x)
    return min(max(float(x @ y) / power, 0.0), 1.0) if power > 0 else 1.0


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
