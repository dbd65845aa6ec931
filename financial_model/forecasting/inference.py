"""Forecasts from a checkpoint: the same features, windows and network code as in training."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from ..base.errors import (
    CheckpointError,
    CheckpointMismatch,
    DamagedCheckpoint,
    ForeignCheckpoint,
    NotTraded,
    TooFewSessions,
)
from ..data.panel import CONDITIONS, Panel
from ..datasets.features import Features, compute_features
from ..datasets.windows import MarketMatrices, market_matrices, usable_rows
from ..models.checkpoint import RETRAIN, Checkpoint, load_checkpoint
from ..models.interface import InputSizes
from .calibration import Calibration
from .forecast import forecast_table
from .steering import Steering

CHUNK = 2048

Rows = NDArray[np.int64]


class Predictor:
    """A checkpoint on a panel, ready to forecast any of its stocks as of any of its sessions.

    Forecasts of a session read nothing after its close, and are the same whatever else is asked for: their
    calibration is steered by the outcomes known at that close (`steering`).
    """

    # The models that this predictor serves; None means all.
    models: tuple[str, ...] | None = None

    def __init__(
        self,
        checkpoint: Checkpoint,
        panel: Panel,
        path: Path | str = "The checkpoint",
        features: Features | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if self.models is not None and checkpoint.model.model not in self.models:
            raise ForeignCheckpoint(
                path,
                f"it holds a {checkpoint.model.model} model",
                f"Choose one of: {', '.join(self.models)}.",
            )
        if checkpoint.calibration is None:
            raise CheckpointError(
                path, "its training was stopped before the first validation", "Resume the training first."
            )
        self.checkpoint, self.panel = checkpoint, panel
        features = features or compute_features(panel, panel.made_with.index)
        _check_inputs(checkpoint, panel, features, path)
        model = checkpoint.model
        self.features = features
        self.matrices: MarketMatrices = market_matrices(
            panel,
            features,
            model.context_length,
            model.prediction_length,
            checkpoint.settings.holding,
            device,
            model.with_conditions,
        )
        self._check_sizes(path)
        self.is_usable = usable_rows(panel, features.volatility, model.context_length)
        self.network = checkpoint.build(device)
        self.calibration = Calibration.from_plain(checkpoint.calibration)
        if not self.calibration.fits(model.prediction_length, len(checkpoint.levels)):
            raise DamagedCheckpoint(path, "its calibration is that of another network", RETRAIN)
        last_seen = (checkpoint.split["valid"] or checkpoint.split["train"])[1]
        first_unseen = panel.position_of(last_seen) + 1
        self._steering = Steering(self.calibration, panel, self.is_usable, first_unseen, self._outcomes)

    def _check_sizes(self, path: Path | str) -> None:
        """DamagedCheckpoint where the network was told of other inputs than its settings and names say."""
        matrices, sizes = self.matrices, self.checkpoint.sizes
        wanted = InputSizes(
            sequence=matrices.sequence.shape[1],
            context_length=self.checkpoint.model.context_length,
            summary=matrices.summary.shape[1],
            market=matrices.market.shape[1],
            conditions={name: len(self.panel.names(name)) for name in CONDITIONS},
        )
        if sizes != wanted:
            raise DamagedCheckpoint(path, "its sizes are not those of its inputs", RETRAIN)

    @classmethod
    def open(cls, path: Path, panel: Panel, **options: Any) -> Self:
        """The predictor of a checkpoint file; CheckpointError says why it cannot be used."""
        return cls(load_checkpoint(path), panel, path, **options)

    @property
    def prediction_length(self) -> int:
        return self.checkpoint.model.prediction_length

    def forecast(
        self,
        codes: Sequence[str] | None = None,
        as_of: date | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> pa.Table:
        """The forecast table (DESIGN.md) of some stocks, or of all that traded, for a session or a range.

        `as_of` is the last session on or before that date, the panel's last when nothing is given. A code
        that is named and cannot be forecast is an error for a single session, and left out of a range.
        """
        rows = self.rows(codes, as_of, first, last)
        score, quantiles = self.forecast_rows(rows)
        return forecast_table(self.panel, rows, quantiles, score)

    def rows(
        self,
        codes: Sequence[str] | None = None,
        as_of: date | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Rows:
        """The panel's rows that such a forecast is made for, sorted by session, then code."""
        panel = self.panel
        if first is None and last is None:
            begin = end = self.session_position(as_of)
        else:
            begin = 0 if first is None else panel.position_of(first - _DAY) + 1
            end = len(panel.sessions) - 1 if last is None else panel.position_of(last)
        if codes is None:
            by_session, offsets = panel.session_rows()
            rows = np.asarray(by_session[offsets[begin] : offsets[max(end + 1, begin)]], np.int64)
            return rows[self.is_usable[rows]]
        found = []
        for code in codes:
            rows_of = panel.rows_of(code)
            of_code = np.arange(rows_of.start, rows_of.stop)
            session = panel.session_index[rows_of]
            in_range = of_code[(session >= begin) & (session <= end)]
            if begin == end:
                self._check_single(code, of_code, session, begin)
            found.append(in_range[self.is_usable[in_range]])
        rows = np.concatenate(found) if found else np.empty(0, np.int64)
        return rows[np.argsort(panel.session_index[rows], kind="stable")]

    def session_position(self, as_of: date | None) -> int:
        """Position of the last session on or before a date."""
        panel = self.panel
        if as_of is None:
            return len(panel.sessions) - 1
        position = panel.position_of(as_of)
        if position < 0:
            raise TooFewSessions("The panel", 0, 1, f"Its first session is {panel.sessions[0]}.")
        return position

    def _check_single(self, code: str, rows: Rows, session: NDArray[np.integer], position: int) -> None:
        """Raise what keeps one stock from being forecast as of one session."""
        sessions = self.panel.sessions
        at = rows[session == position]
        if not len(at):
            usable = session[self.is_usable[rows]]
            nearest = usable[np.argmin(np.abs(usable - position))] if len(usable) else None
            raise NotTraded(
                code, sessions[position].item(), None if nearest is None else sessions[nearest].item()
            )
        if not self.is_usable[at[0]]:
            needed = self.checkpoint.model.context_length
            raise TooFewSessions(
                f"{code} up to {sessions[position]}",
                int((session <= position).sum()),
                needed,
                f"Import earlier history, or choose a model with a context of fewer than {needed} sessions.",
            )

    def forecast_rows(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Score (N,) and calibrated quantiles (N, H, Q) as log returns, of rows in any order."""
        score, standardised = self.raw_forecast(rows)
        session = self.panel.session_index[rows].astype(np.int64)
        quantiles = self.calibration.apply(standardised, self._steering.asked(session))
        steps = np.sqrt(np.arange(1, self.prediction_length + 1))
        scale = self.features.volatility[rows].astype(np.float64)[:, None] * steps  # (N, H)
        return score, quantiles * scale[:, :, None]

    def raw_forecast(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Score (N,) and the quantiles of the network (N, H, levels): standardised, uncalibrated."""
        return self._run(rows, self.batch)

    def _outcomes(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The network's quantiles of these rows under their own conditions, and what came of them."""
        _, quantiles = self._run(rows, self.matrices.gather)
        target, _ = self.matrices.targets(torch.from_numpy(rows).to(self.matrices.device))
        return quantiles, target.double().cpu().numpy()

    def _run(
        self, rows: Rows, batch: Callable[[torch.Tensor], Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        scores, quantiles = [], []
        with torch.inference_mode():
            for chunk in torch.from_numpy(rows).split(CHUNK) if len(rows) else ():
                output = self.network(batch(chunk.to(self.matrices.device)))
                scores.append(output.score.cpu().numpy())
                quantiles.append(output.quantiles.double().cpu().numpy())
        if not scores:
            levels = len(self.checkpoint.levels)
            return np.empty(0, np.float32), np.empty((0, self.prediction_length, levels))
        return np.concatenate(scores), np.concatenate(quantiles)

    def batch(self, rows: torch.Tensor) -> Any:
        """The batch of these rows, as the network is shown it."""
        return self.matrices.gather(rows)


_DAY = np.timedelta64(1, "D").item()


def _check_inputs(checkpoint: Checkpoint, panel: Panel, features: Features, path: Path | str) -> None:
    """CheckpointMismatch when this panel's features or vocabularies are not those the network learned."""
    now = {
        "sequence": list(features.sequence_names),
        "summary": list(features.summary_names),
        "market": list(features.market_names),
    }
    for kind, names in now.items():
        if checkpoint.feature_names.get(kind) != names:
            raise CheckpointMismatch(
                path, f"its {kind} features are not those of this program's version", "Train again."
            )
    for name in CONDITIONS:
        learned = checkpoint.vocabulary.get(name, [])
        if learned != list(panel.names(name)):
            raise CheckpointMismatch(
                path,
                f"it knows {name} as {', '.join(learned)}; the panel has {', '.join(panel.names(name))}",
                "Train again on this panel.",
            )
