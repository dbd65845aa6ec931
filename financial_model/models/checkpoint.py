"""A checkpoint: everything a forecast needs, and what resuming a training needs, as tensors and plain values.

It is written whole or not at all, and read with `weights_only=True`: a file that holds anything but
tensors and JSON-like values is refused before any of it runs.
"""

import io
import math
import zipfile
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.config import ModelSettings, TrainSettings
from ..base.errors import DamagedCheckpoint, FinancialModelError, ForeignCheckpoint
from ..base.workspace import Workspace, user_path, write_atomically
from .ensemble import Ensemble
from .interface import InputSizes
from .registry import MODELS

KIND = "hermes-checkpoint"
VERSION = 1
# No input is wider, and no wider network is built because a file says so.
MAX_WIDTH = 10_000
RETRAIN = "Train again, or restore a copy."

Plain = dict[str, Any]
Weights = dict[str, Tensor]


@dataclass
class Checkpoint:
    """What a training leaves behind.

    members: one state dict a member; score_scales: standard deviation of each member's score within a
    session of the validation span. vocabulary: the names behind the integers of each condition.
    calibration: what `forecasting.calibration` fitted on the validation span, None before the first
    validation. training: optimizer and place in the run, None where resuming makes no sense.
    """

    settings: TrainSettings
    sizes: InputSizes
    levels: tuple[float, ...]
    members: list[Weights]
    score_scales: list[float]
    feature_names: dict[str, list[str]]
    vocabulary: dict[str, list[str]]
    split: Plain
    data: Plain
    metrics: Plain = field(default_factory=dict)
    calibration: Plain | None = None
    training: Plain | None = None

    @property
    def learned_codes(self) -> frozenset[str] | None:
        """The stocks whose history this model learned from; None where the file does not say."""
        codes = self.data.get("codes") or self.settings.codes
        return frozenset(codes) if codes else None

    @property
    def model(self) -> ModelSettings:
        return self.settings.model

    def build(self, device: torch.device | str = "cpu") -> Ensemble:
        """The networks with these weights, ready to forecast; ForeignCheckpoint when they do not fit."""
        try:
            ensemble = Ensemble(self.sizes, self.model, self.levels, self.score_scales)
            for member, weights in zip(ensemble.members, self.members, strict=True):
                member.load_state_dict(weights)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            reason = f"its weights do not fit the {self.model.model} model ({_first_lines(error)})"
            raise ForeignCheckpoint("The checkpoint", reason, RETRAIN) from error
        return ensemble.to(device).eval()


def checkpoint_path(workspace: Workspace, text: str) -> Path:
    """Where a checkpoint that a person named lies: at its absolute path, else inside the workspace."""
    path = user_path(text)
    return path if path.is_absolute() else workspace.inside(text)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside `path` and rename it over it; DiskFull leaves the old one untouched."""
    values = {one.name: getattr(checkpoint, one.name) for one in fields(checkpoint)}
    values |= {
        "kind": KIND,
        "version": VERSION,
        "settings": checkpoint.settings.to_json(),
        "sizes": {one.name: getattr(checkpoint.sizes, one.name) for one in fields(checkpoint.sizes)}
        | {"conditions": dict(checkpoint.sizes.conditions)},
        "levels": list(checkpoint.levels),
    }
    _check_plain(values, "checkpoint")
    # torch writes through a zip writer of its own, which reports a full disk as a plain RuntimeError.
    buffer = io.BytesIO()
    torch.save(values, buffer)
    with write_atomically(path) as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; DamagedCheckpoint when it is torn, ForeignCheckpoint when it is another's."""
    values = _read(path)
    if not isinstance(values, dict) or not _is(values.get("kind"), KIND):
        raise ForeignCheckpoint(
            path, "it is no checkpoint of this program", "Choose a .pt file that a training wrote."
        )
    if not _is(values.get("version"), VERSION):
        raise ForeignCheckpoint(
            path,
            f"it is of version {values.get('version')}, this program reads version {VERSION}",
            "Train again with this version.",
        )
    missing = [one.name for one in fields(Checkpoint) if one.name not in values]
    if missing:
        raise DamagedCheckpoint(path, f"it lacks {', '.join(missing)}", RETRAIN)
    try:
        values["settings"] = TrainSettings.from_json(values["settings"])
        values["sizes"] = InputSizes(**values["sizes"])
        values["levels"] = tuple(values["levels"])
        checkpoint = Checkpoint(**{one.name: values[one.name] for one in fields(Checkpoint)})
    except (FinancialModelError, TypeError, ValueError) as error:
        raise ForeignCheckpoint(path, f"its settings are not understood ({error})", RETRAIN) from error
    if wrong := _misshapen(checkpoint):
        raise DamagedCheckpoint(path, f"its {wrong} is not what a training writes", RETRAIN)
    if checkpoint.model.model not in MODELS:
        raise ForeignCheckpoint(path, f"its model {checkpoint.model.model!r} is not known here", RETRAIN)
    if not checkpoint.members or len(checkpoint.members) != len(checkpoint.score_scales):
        raise DamagedCheckpoint(path, "it holds no whole network", RETRAIN)
    return checkpoint


def _is(value: Any, wanted: int | str) -> bool:
    """Equal and of the same type: a tensor in its place would answer with a tensor."""
    return type(value) is type(wanted) and value == wanted


def _misshapen(checkpoint: Checkpoint) -> str | None:
    """The first part of a checkpoint that has another form than a training gives it, or None."""

    def is_words(value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(words, list) and all(isinstance(word, str) for word in words)
            for words in value.values()
        )

    def is_count(value: Any) -> bool:
        return type(value) is int and 0 <= value <= MAX_WIDTH

    def is_span(value: Any) -> bool:
        try:
            first, last = map(date.fromisoformat, value)
        except (TypeError, ValueError):
            return False
        return first <= last

    def is_history(value: Any) -> bool:
        """Epochs as a training tells them, which are written on into files of JSON."""
        return isinstance(value, list) and all(
            isinstance(epoch, dict)
            and {"epoch", "best_epoch", "valid_loss", "valid_rank_ic"} <= epoch.keys()
            and all(isinstance(name, str) and name.isidentifier() for name in epoch)
            and all(figure is None or is_figure(figure) for figure in epoch.values())
            for epoch in value
        )

    def is_figure(value: Any) -> bool:
        return type(value) in (int, float) and abs(value) < math.inf

    sizes, split = checkpoint.sizes, checkpoint.split
    widths = [sizes.sequence, sizes.context_length, sizes.summary, sizes.market]
    is_sound = {
        "sizes": all(map(is_count, widths))
        and isinstance(sizes.conditions, dict)
        and all(isinstance(name, str) and is_count(size) for name, size in sizes.conditions.items()),
        "levels": 0 < len(checkpoint.levels) < MAX_WIDTH
        and all(type(level) is float and 0 < level < 1 for level in checkpoint.levels),
        "members": isinstance(checkpoint.members, list)
        and all(
            isinstance(one, dict) and all(map(torch.is_tensor, one.values())) for one in checkpoint.members
        ),
        "score_scales": isinstance(checkpoint.score_scales, list)
        and all(type(one) is float and one > 0 for one in checkpoint.score_scales),
        "feature_names": is_words(checkpoint.feature_names),
        "vocabulary": is_words(checkpoint.vocabulary),
        "split": isinstance(split, dict)
        and type(split.get("purge")) is int
        and is_span(split.get("train"))
        and all(split.get(name, 0) is None or is_span(split.get(name)) for name in ("valid", "test")),
        "data": isinstance(checkpoint.data, dict)
        and isinstance(checkpoint.data.get("fingerprint"), str)
        and is_words({"codes": checkpoint.data.get("codes", [])}),
        "metrics": isinstance(checkpoint.metrics, dict) and is_history(checkpoint.metrics.get("history", [])),
        "calibration": checkpoint.calibration is None or isinstance(checkpoint.calibration, dict),
        "training": checkpoint.training is None or isinstance(checkpoint.training, dict),
    }
    return next((name for name, is_right in is_sound.items() if not is_right), None)


def _check_plain(value: Any, where: str) -> None:
    """TypeError where a value could be written and would then be refused by every load."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            _check_plain(item, f"{where}[{position}]")
    elif type(value) not in (type(None), bool, int, float, str) and not isinstance(value, Tensor):
        raise TypeError(f"{where} is of type {type(value).__name__}; a checkpoint holds plain values")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DamagedCheckpoint(path, "there is no such file", "Choose a .pt file under output/.")
    # What torch wrote before 1.6, a bare pickle, is none of ours either.
    if not zipfile.is_zipfile(path):
        raise DamagedCheckpoint(path, "it is torn or no checkpoint", RETRAIN)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A flipped bit ends in whatever the reader stumbles over: index, key, type, memory, unicode.
        if type(error).__name__ == "UnpicklingError":
            reason = "it holds something else than tensors and plain values, which is never run"
            raise DamagedCheckpoint(path, reason, "Choose a .pt file that a training wrote.") from error
        reason = f"it is torn or no checkpoint ({_first_lines(error)})"
        raise DamagedCheckpoint(path, reason, RETRAIN) from error


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
