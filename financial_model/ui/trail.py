"""What a job has told: where it stands, in a few events, and the points of its curves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..base.progress import Event

MAX_POINTS = 600
MAX_NOTES = 50


@dataclass
class Trail:
    """Where a job stands, as its events tell it: kept of every job, so it is small."""

    stage: Event = field(default_factory=dict)
    progress: Event = field(default_factory=dict)
    step: Event = field(default_factory=dict)
    checkpoints: list[Event] = field(default_factory=list)
    notes: list[Event] = field(default_factory=list)
    end: Event = field(default_factory=dict)
    is_simulated: bool = False
    """Whether a training has said that its market is a practice one."""
    has_epochs: bool = False
    last_time: float = 0.0
    version: int = 0

    def add(self, event: Event) -> None:
        kind = event.get("kind")
        self.version += 1
        self.last_time = max(self.last_time, number(event.get("time")))
        if kind == "stage":
            self.stage, self.progress = event, {}
            self.is_simulated = event.get("is_simulated", self.is_simulated) is True
        elif kind == "progress":
            self.progress = event
        elif kind == "step":
            self.step = event
        elif kind == "epoch":
            self.has_epochs = True
        elif kind == "checkpoint":
            keep(self.checkpoints, event)
        elif kind in ("warning", "note"):
            self.notes = [*self.notes, event][-MAX_NOTES:]
        elif kind in ("result", "error", "stopped"):
            self.end = event


@dataclass
class Curves:
    """The points of a job's charts, bounded however long it runs. Those of a job that has ended are let go
    and read again where they are asked for: some hundred KiB each, and a workspace keeps many jobs."""

    epochs: list[Event] = field(default_factory=list)
    losses: list[tuple[float, float, float]] = field(default_factory=list)
    """(epochs done, loss, samples a second) of steps."""
    parts: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    """(epochs done, parts of the loss) of steps."""
    progress: list[Event] = field(default_factory=list)
    """What was told of a progress, each with its time."""

    def add(self, event: Event) -> None:
        kind = event.get("kind")
        if kind == "progress":
            keep(self.progress, event)
        elif kind == "step":
            at = round(_epochs_done(event), 4)
            keep(self.losses, (at, number(event.get("loss")), number(event.get("samples_per_s"))))
            if isinstance(event.get("parts"), dict):
                keep(self.parts, (at, {name: number(value) for name, value in event["parts"].items()}))
        elif kind == "epoch":
            keep_epoch(self.epochs, event)


def _epochs_done(step: Event) -> float:
    """Epochs until the end of a step, those of earlier members of an ensemble among them."""
    done = number(step.get("epoch")) - 1 + number(step.get("step")) / max(number(step.get("step_count")), 1.0)
    if step.get("member"):
        done += (number(step.get("member")) - 1) * number(step.get("epoch_count"))
    return done


def keep(points: list[Any], point: Any, spared: Callable[[Any], bool] = lambda _: False) -> None:
    """Append; when full, drop every second point of the older part, so that the whole stays in view."""
    points.append(point)
    if len(points) > MAX_POINTS:
        recent = MAX_POINTS // 3
        older = points[:-recent]
        points[:-recent] = [one for at, one in enumerate(older) if at % 2 == 0 or spared(one)]


def keep_epoch(epochs: list[Event], epoch: Event) -> None:
    """Append an epoch to those that are shown; the best one so far of each member is never dropped."""
    best = best_epochs([*epochs, epoch]) if len(epochs) >= MAX_POINTS else []
    keep(epochs, epoch, lambda one: any(one is other for other in best))


def best_epochs(epochs: Sequence[Event]) -> list[Event]:
    """The epoch that validation chose, of an ensemble that of each member; in their order."""
    chosen = {number(one.get("member")): one.get("best_epoch") for one in epochs}
    return [one for one in epochs if one.get("epoch") == chosen[number(one.get("member"))]]


JOINT = ("valid_rank_ic", "valid_rank_ic_se", "valid_loss")


def best_of(epochs: Sequence[Event], result: Any = None) -> Event:
    """What validation says of a run's best checkpoint, empty before the first epoch.

    That of an ensemble holds each member at its own best. What they score together, and what lies before a
    resume, stands in the result of the training that told these epochs, once there is one. Before that the
    figures of an ensemble are the means of the members'; so is the error, for all of them are judged on the
    same sessions. `epoch` is that of the newest member, `members` how many they are of, `is_joint` whether
    they score together.
    """
    best = best_epochs(epochs) or list(epochs[-1:])
    if not best:
        return {}
    chosen = result.get("best_epochs") if isinstance(result, dict) else None
    if isinstance(chosen, list) and chosen:
        figures = {name: result.get(name) for name in JOINT}
        members = len(chosen)
        return {**best[-1], **figures, "epoch": chosen[-1], "members": members, "is_joint": members > 1}
    told = {**best[-1], "members": len(best), "is_joint": False}
    for name in JOINT:
        known = [number(one[name]) for one in best if isinstance(one.get(name), (int, float))]
        told[name] = sum(known) / len(known) if len(known) == len(best) else None
    return told


def number(value: Any) -> float:
    """A finite number from what an event holds, else 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    try:
        return float(value) if math.isfinite(value) else 0.0
    except OverflowError:
        return 0.0
