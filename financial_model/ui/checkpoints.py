"""The checkpoints of a workspace as a choice, the newest run first, each with its validation RankIC."""

import re
from typing import Any

from .runs import CHECKPOINT_FILE, Run, RunReader
from .translations import Translate, figure
from .view import View

MAX_LISTED = 60
ORDER = {"best": 0, "final": 1}


def listed_checkpoints(runs: list[Run], t: Translate) -> list[tuple[str, str]]:
    """(label, path relative to the workspace), the newest run first, its best before its final one."""
    entries = []
    for run in runs:
        known = []
        for path in run.checkpoints:
            match = CHECKPOINT_FILE.fullmatch(path.rpartition("/")[2])
            which = match["which"] if match else ""
            known.append((ORDER.get(which, 2), which, path))
        for _, which, path in sorted(known):
            entries.append((_label(t, run, which), path))
    return entries[:MAX_LISTED]


def _label(t: Translate, run: Run, which: str) -> str:
    word = t(f"checkpoint.{which}") if which in ORDER else which
    if numbers := re.findall(r"\d+", which):
        words = dict(zip(("epoch", "step"), numbers, strict=False))
        word = t("checkpoint.step" if "step" in words else "checkpoint.epoch", **words)
    rank_ic = run.measured(which).get("valid_rank_ic")
    score = f" · RankIC {figure(rank_ic, 3)}" if isinstance(rank_ic, (int, float)) else ""
    return f"{run.label} · {word}{score}"


def choose_checkpoint(reader: RunReader, view: View, chosen: Any, is_many: bool = False) -> dict[str, Any]:
    """The update of a menu of checkpoints: all there are, and the newest best one where none is chosen."""
    entries = listed_checkpoints(reader.all(view.jobs), view.t)
    paths = [path for _, path in entries]
    # A run that was stopped early has no best one yet: what it left is chosen where there is nothing else.
    first = next((path for path in paths if path.endswith("_best.pt")), paths[0] if paths else None)
    update: dict[str, Any] = {"choices": entries}
    if is_many:
        kept = [one for one in chosen or [] if one in paths]
        if kept != (chosen or []) or not kept:
            update["value"] = kept or ([first] if first else [])
    elif chosen not in paths:
        update["value"] = first
    return update


def run_of(runs: list[Run], checkpoint: str | None) -> Run | None:
    """The run a checkpoint belongs to."""
    return next((run for run in runs if checkpoint in run.checkpoints), None)
