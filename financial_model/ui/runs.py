"""The trainings of a workspace as their files tell them; no checkpoint is opened, torch never imported."""

import contextlib
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..base.config import TrainSettings
from ..base.errors import BadSetting, DamagedFile, FinancialModelError, NoSuchRun, WorkspaceBusy
from ..base.workspace import Workspace, check_name, read_json, write_json
from ..training.run_files import WHICH, hold_run, own_files
from .job import Job
from .trail import best_epochs, best_of, keep_epoch, number

RUN_FILE = re.compile(r"(?P<stem>(?P<name>.+)_(?P<stamp>\d{8}_\d{6}))_run\.json")
CHECKPOINT_FILE = re.compile(rf"(?P<stem>.+_\d{{8}}_\d{{6}})_(?P<which>{WHICH})\.pt")
BOARD_EVENTS = "events.out.tfevents."
LABELS_FILE = "run_labels.json"
MAX_RUNS = 500
MAX_METRICS_BYTES = 32 << 20


@dataclass(frozen=True)
class Run:
    """One training: its settings, its epochs, its checkpoints."""

    id: str
    """Path of the run without its ending, relative to the workspace: output/first_20180101_120000."""
    stem: str
    stamp: str
    label: str
    facts: dict[str, Any] = field(repr=False)
    history: tuple[dict[str, Any], ...] = field(repr=False)
    """Its epochs, of a long run every second, fourth and so on, the bests and the newest among them."""
    last_epochs: tuple[int, ...] = ()
    """How far it has come, of an ensemble each of the members that have begun."""
    checkpoints: tuple[str, ...] = ()
    """Relative to the workspace, the newest first."""

    @property
    def settings(self) -> dict[str, Any]:
        value = self.facts.get("settings")
        return value if isinstance(value, dict) else {}

    @property
    def model(self) -> str:
        model = self.settings.get("model")
        return str(model.get("model", "")) if isinstance(model, dict) else ""

    @property
    def is_simulated(self) -> bool:
        data = self.facts.get("data")
        return isinstance(data, dict) and data.get("is_simulated") is True

    @property
    def member_count(self) -> int:
        count = self.settings.get("ensemble")
        return count if isinstance(count, int) else 1

    @cached_property
    def best(self) -> dict[str, Any]:
        """What validation says of its best checkpoint (`trail.best_of`), empty when no epoch is done."""
        result = self.facts.get("result")
        chosen = [one.get("epoch") for one in best_epochs(self.history)]
        # The result of an earlier stop tells nothing of what has been trained since.
        is_of_all = isinstance(result, dict) and result.get("best_epochs") == chosen
        return best_of(self.history, result if is_of_all else None)

    def measured(self, which: str) -> dict[str, Any]:
        """What validation says of the checkpoint "best", "final" or "epoch5", empty where it says nothing."""
        if which == "best":
            return self.best
        if self.member_count > 1 or not self.history:
            return {}
        epoch = self.history[-1].get("epoch") if which == "final" else which.removeprefix("epoch")
        return next((one for one in self.history if str(one.get("epoch")) == str(epoch)), {})

    @property
    def epochs(self) -> tuple[int, int]:
        """Epochs done and epochs asked for, of an ensemble those of all its members."""
        asked, done = self.settings.get("epochs"), sum(self.last_epochs)
        return done, asked * self.member_count if isinstance(asked, int) else done

    def span(self, part: str) -> tuple[str, str] | None:
        """First and last session of "train", "valid" or "test"."""
        split = self.facts.get("split")
        span = split.get(part) if isinstance(split, dict) else None
        return (str(span[0]), str(span[1])) if isinstance(span, list) and len(span) == 2 else None


class RunReader:
    """The runs of a workspace; a file is read again only when it has changed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._known: dict[Path, tuple[Any, Run]] = {}

    def all(self, jobs: list[Job]) -> list[Run]:
        """Every run, newest first; `jobs` name the output folders beside the usual one."""
        found: dict[Path, Run] = {}
        for folder in self._folders(jobs):
            names = _names_in(folder)
            labels = _labels(folder)
            runs = [match for name in names if (match := RUN_FILE.fullmatch(name))]
            shared = Counter(match["name"] for match in runs)
            checkpoints: dict[str, list[Path]] = {}
            for name in names:
                if match := CHECKPOINT_FILE.fullmatch(name):
                    checkpoints.setdefault(match["stem"], []).append(folder / name)
            for match in runs[: MAX_RUNS - len(found)]:
                stem = match["stem"]
                # A name that no other run has needs no date behind it.
                label = str(labels.get(stem) or (match["name"] if shared[match["name"]] == 1 else stem))
                run = self._read(folder, stem, match["stamp"], label, checkpoints.get(stem, []))
                if run is not None:
                    found[folder / match.string] = run
        self._known = {path: known for path, known in self._known.items() if path in found}
        return sorted(found.values(), key=lambda run: (run.stamp, run.id), reverse=True)

    def get(self, run_id: str, jobs: list[Job]) -> Run:
        """One run; NoSuchRun when there is none of that id."""
        for run in self.all(jobs):
            if run.id == run_id:
                return run
        raise NoSuchRun(run_id)

    def _folders(self, jobs: list[Job]) -> list[Path]:
        folders = {self.workspace.output_dir}
        for job in jobs:
            if job.command == "train":
                with contextlib.suppress(FinancialModelError):
                    folders.add(self.workspace.inside(str(job.settings.get("output") or "output")))
        return sorted(folders)

    def _read(self, folder: Path, stem: str, stamp: str, label: str, checkpoints: list[Path]) -> Run | None:
        path, metrics = folder / f"{stem}_run.json", folder / f"{stem}_metrics.jsonl"
        seen = (
            _stamp(path),
            _stamp(metrics),
            label,
            tuple(sorted((p.name, _stamp(p)) for p in checkpoints)),
        )
        known = self._known.get(path)
        if known is not None and known[0] == seen:
            return known[1]
        try:
            facts = read_json(path)
        except (OSError, DamagedFile):
            return None
        if not isinstance(facts, dict):
            return None
        history = facts.pop("history", None)
        epochs = [e for e in history if isinstance(e, dict)] if isinstance(history, list) else []
        # A run that goes on, or was cut off, has told its epochs only to the metrics.
        told = _epochs_of(metrics)
        epochs = told if len(told) > len(epochs) else epochs
        newest = sorted(checkpoints, key=lambda p: (_stamp(p) or (0, 0), p.name), reverse=True)
        root = self.workspace.root
        run = Run(
            id=(folder / stem).relative_to(root).as_posix(),
            stem=stem,
            stamp=stamp,
            label=label,
            facts=facts,
            history=_shown(epochs),
            last_epochs=_last_epochs(epochs),
            checkpoints=tuple(p.relative_to(root).as_posix() for p in newest),
        )
        self._known[path] = (seen, run)
        return run


def rename(workspace: Workspace, run: Run, label: str) -> None:
    """Give a run a name to be shown; its files keep theirs, so that resuming and scripts still find them."""
    folder = workspace.inside(run.id).parent
    labels = _labels(folder) | {run.stem: check_name(label.strip())}
    write_json(folder / LABELS_FILE, labels)


def delete(workspace: Workspace, run: Run, jobs: list[Job]) -> int:
    """Remove all files of a run and say how many; WorkspaceBusy while it is trained, here or from a shell."""
    if training_of(run, jobs) is not None:
        raise WorkspaceBusy(f"The run {run.stem}", "a training that goes on")
    folder = workspace.inside(run.id).parent
    with hold_run(folder, run.stem, "delete"):
        paths = files_of(workspace, run)
        # The run's own record goes last: a kill half way leaves something that can be deleted again.
        for path in sorted(paths, key=lambda p: p.name.endswith("_run.json")):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or a person keeps something in it
            _board_of(folder, run).rmdir()
    labels = _labels(folder)
    if labels.pop(run.stem, None) is not None:
        write_json(folder / LABELS_FILE, labels)
    return len(paths)


def files_of(workspace: Workspace, run: Run) -> list[Path]:
    """What belongs to a run: checkpoints, record, metrics, TensorBoard's events."""
    folder = workspace.inside(run.id).parent
    own = re.compile(own_files(run.stem))
    board = _board_of(folder, run)
    events = [] if board.is_symlink() else _names_in(board)
    return [
        *(folder / name for name in _names_in(folder) if own.fullmatch(name)),
        *(board / name for name in events if name.startswith(BOARD_EVENTS)),
    ]


def _board_of(folder: Path, run: Run) -> Path:
    return folder / f"{run.stem}_tensorboard"


def training_of(run: Run, jobs: list[Job]) -> Job | None:
    """The job that trains this run right now, if there is one."""
    for job in jobs:
        if job.command != "train" or not job.is_active:
            continue
        told = [str(event.get("path", "")) for event in job.trail.checkpoints]
        resumed = str(job.settings.get("resume") or "")
        if any(path.startswith(f"{run.id}_") for path in [*told, resumed]):
            return job
        started = job.started_at or 0.0
        if not told and not resumed and job.settings.get("name") == run.settings.get("name") and started:
            # Before its first checkpoint a job is known by its name and the second it began in.
            import time

            if run.stamp >= time.strftime("%Y%m%d_%H%M%S", time.localtime(started)):
                return job
    return None


def resume_settings(run: Run) -> TrainSettings:
    """Settings that go on with a run from its newest checkpoint; BadSetting when nothing is left to do."""
    done, asked = run.epochs
    if not run.checkpoints:
        raise BadSetting("resume", run.label, "a run with a checkpoint")
    if any(path.endswith("_final.pt") for path in run.checkpoints):
        raise BadSetting(
            "resume", run.label, f"a run that is not finished (this one is, {done} of {asked} epochs)"
        )
    return TrainSettings.from_json({**run.settings, "resume": run.checkpoints[0]})


def differing_settings(runs: list[Run]) -> list[tuple[str, list[Any]]]:
    """The settings that are not the same in all runs: name, and the value of each."""
    flat = [_flatten(run.settings) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = [
        (name, [settings.get(name) for settings in flat]) for name in names if name not in ("name", "resume")
    ]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]


def _flatten(settings: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def _epochs_of(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > MAX_METRICS_BYTES:
            return []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    epochs = []
    for line in lines:
        # Steps are many and epochs few: parse only what can be one.
        if '"kind": "epoch"' in line:
            with contextlib.suppress(ValueError):
                epochs.append(json.loads(line))
    return [epoch for epoch in epochs if isinstance(epoch, dict)]


def _shown(epochs: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    shown: list[dict[str, Any]] = []
    for epoch in epochs:
        keep_epoch(shown, epoch)
    return tuple(shown)


def _last_epochs(epochs: list[dict[str, Any]]) -> tuple[int, ...]:
    last = {number(one.get("member") or 1): int(number(one.get("epoch"))) for one in epochs}
    return tuple(last.values())


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _labels(folder: Path) -> dict[str, Any]:
    try:
        labels = read_json(folder / LABELS_FILE)
    except (OSError, DamagedFile):
        return {}
    return labels if isinstance(labels, dict) else {}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
