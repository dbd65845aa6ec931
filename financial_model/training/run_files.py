"""The files of one run: NAME_YYYYMMDD_HHMMSS_{best,epochN,final}.pt, ..._run.json, ..._metrics.jsonl.

A stop leaves ..._epochN_stepM.pt: N epochs, and M steps of the next.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..base.errors import WorkspaceBusy
from ..base.workspace import Workspace, check_name, locked, remove_old_parts, write_atomically, write_json

# A stop in mid-epoch leaves epochN_stepM: N epochs, and M steps of the next.
WHICH = r"(?:best|final|epoch\d+(?:_step\d+)?)"


def own_files(stem: str) -> str:
    """A pattern of the names that the training of a run writes."""
    return rf"{re.escape(stem)}_(?:{WHICH}\.pt|run\.json|metrics\.jsonl)"


@contextlib.contextmanager
def hold_run(folder: Path, stem: str, owner: str = "train") -> Iterator[None]:
    """Have the files NAME_STAMP_... for ourselves; WorkspaceBusy names who has them."""
    with locked(folder / f".{stem}.lock", owner, f"The run {stem}", is_removed=True):
        # Nobody else writes these now, so what lies half written is of a training that was killed. Forecasts
        # and reports, whose names begin alike, are others' work.
        remove_old_parts(folder, 0.0, own_files(stem))
        yield


class RunFiles:
    """Names of one run in one folder of the workspace; nothing is created until something is written."""

    def __init__(self, workspace: Workspace, output: str, name: str, stamp: str | None = None) -> None:
        self.workspace = workspace
        self.folder = workspace.inside(output)
        self._name = check_name(name)
        self._is_new = not stamp
        # A stamp comes out of a checkpoint, which may be a stranger's.
        self.stamp = check_name(str(stamp)) if stamp else next(self._free_stamps())

    def _free_stamps(self) -> Iterator[str]:
        """The time of the start, and the seconds after it; without those that a run of this name has."""
        seconds = time.time()
        while True:
            stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(seconds))
            if not any(self.folder.glob(f"{self._name}_{stamp}_*")):
                yield stamp
            seconds += 1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have these files for ourselves; WorkspaceBusy where another process goes on with the same run.

        A new run takes the next second instead, where one that began with it was faster.
        """
        with contextlib.ExitStack() as stack:
            for stamp in self._free_stamps() if self._is_new else [self.stamp]:
                try:
                    stack.enter_context(hold_run(self.folder, f"{self._name}_{stamp}"))
                except WorkspaceBusy:
                    if not self._is_new:
                        raise
                    continue
                self.stamp = stamp
                # It may have come and gone between the look at its files and the lock.
                if not self._is_new or not any(self.folder.glob(f"{self._name}_{stamp}_*")):
                    break
                stack.close()
            yield

    def path(self, ending: str) -> Path:
        return self.folder / f"{self._name}_{self.stamp}_{ending}"

    def checkpoint(self, which: str) -> Path:
        """The checkpoint "best", "epoch5", "epoch5_step12" or "final"."""
        return self.path(f"{which}.pt")

    def told(self, path: Path) -> str:
        """A path as people pass it on: relative to the workspace, with forward slashes."""
        return path.relative_to(self.workspace.root).as_posix()

    def write_run(self, facts: dict[str, Any]) -> None:
        remove_old_parts(self.folder)
        write_json(self.path("run.json"), facts)

    def add_metrics(self, line: dict[str, Any]) -> None:
        path = self.path("metrics.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def cut_metrics(self, total_step: int) -> None:
        """Drop what was told after a step from which the run goes on, and a line torn by a kill."""
        path = self.path("metrics.jsonl")
        if not path.is_file():
            return
        kept = []
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line.get("total_step", 0) <= total_step:
                kept.append(text + "\n")
        with write_atomically(path, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(kept)
