"""The checkpoints of a workspace as a choice, each with its validation RankIC where that is known."""

import re
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..base.errors import FinancialModelError
from ..base.workspace import Workspace, user_path
from .runs import CHECKPOINT_FILE, Run, RunReader
from .translations import Translate, figure
from .view import View

if TYPE_CHECKING:
    from .frame import Page

# How many checkpoints within runs are listed behind the best and the final one of each.
MAX_WITHIN = 60
ORDER = {"best": 0, "final": 1}


def checkpoint_menu(page: "Page", key: str, width: str, is_many: bool = False) -> gr.Dropdown:
    """An empty menu of checkpoints in a toolbar; the tab's live part fills it by `choose_checkpoint`."""
    return page.make(
        gr.Dropdown,
        key,
        value=[] if is_many else None,
        multiselect=is_many or None,
        # The page's own check of choices would stop the whole timer while the list is renewed.
        allow_custom_value=True,
        scale=0,
        min_width=260,
        elem_classes=["folded", width],
    )


def listed_checkpoints(runs: list[Run], t: Translate) -> list[tuple[str, str]]:
    """(label, path relative to the workspace): of every run, the newest first, its best and its final one.

    Behind them stand those within runs, by number and not all where they are many. What a stop left of a run
    that has neither stands with the first.
    """
    ends: list[tuple[Run, str]] = []
    within: list[tuple[Run, str]] = []
    for run in runs:
        ordered = sorted(run.checkpoints, key=_place)
        known = [path for path in ordered if _which(path) in ORDER] or ordered[-1:]
        ends += [(run, path) for path in known]
        within += [(run, path) for path in ordered if path not in known]
    return [(_label(t, run, path), path) for run, path in [*ends, *within[:MAX_WITHIN]]]


def _which(path: str) -> str:
    match = CHECKPOINT_FILE.fullmatch(path.rpartition("/")[2])
    return match["which"] if match else ""


def _place(path: str) -> tuple[int, list[int]]:
    """Best, final, then by epochs and steps as numbers: epoch 5 before epoch 10."""
    which = _which(path)
    return ORDER.get(which, len(ORDER)), [int(digits) for digits in re.findall(r"\d+", which)]


def _label(t: Translate, run: Run, path: str) -> str:
    which = _which(path)
    word = t(f"checkpoint.{which}") if which in ORDER else which
    if numbers := re.findall(r"\d+", which):
        words = dict(zip(("epoch", "step"), numbers, strict=False))
        word = t("checkpoint.step" if "step" in words else "checkpoint.epoch", **words)
    rank_ic = run.measured(which).get("valid_rank_ic")
    score = f" · RankIC {figure(rank_ic, 3)}" if isinstance(rank_ic, (int, float)) else ""
    return f"{run.label} · {word}{score}"


def choose_checkpoint(reader: RunReader, view: View, chosen: Any, is_many: bool = False) -> dict[str, Any]:
    """The update of a menu of checkpoints: the newest best one where none is chosen that is still there."""
    runs = reader.all(view.jobs)
    entries = listed_checkpoints(runs, view.t)
    # A run that was stopped early has no best one yet: what it left is chosen where there is nothing else.
    paths = [path for _, path in entries]
    first = next((path for path in paths if path.endswith("_best.pt")), paths[0] if paths else None)
    wanted = (chosen or []) if is_many else [chosen] if chosen else []
    kept = [path for path in wanted if path in paths or _is_there(view.workspace, path)]
    for path in kept:
        if path not in paths:
            run = run_of(runs, path)
            entries.append((_label(view.t, run, path) if run else path, path))
    update: dict[str, Any] = {"choices": entries}
    if kept != wanted or not kept:
        update["value"] = (kept or ([first] if first else [])) if is_many else first
    return update


def _is_there(workspace: Workspace, checkpoint: Any) -> bool:
    """Whether a path that is not listed, or that a person wrote, leads to a file for a forecast to read."""
    if not isinstance(checkpoint, str) or not checkpoint.endswith(".pt"):
        return False
    try:
        path = user_path(checkpoint)
        return (path if path.is_absolute() else workspace.inside(checkpoint)).is_file()
    except (FinancialModelError, OSError):
        return False


def run_of(runs: list[Run], checkpoint: str | None) -> Run | None:
    """The run a checkpoint belongs to."""
    return next((run for run in runs if checkpoint in run.checkpoints), None)
