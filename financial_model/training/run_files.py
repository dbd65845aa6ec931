"""The files of one run: NAME_YYYYMMDD_HHMMSS_{best,epochN,final}.pt, ..._run.json, ..._metrics.jsonl.

A stop leaves ..._epochN_stepM.pt: N epochs, and M steps of the next.
"""

import json
import time
from pathlib import Path
from typing import Any

from ..base.workspace import Workspace, check_name, remove_old_parts, write_atomically, write_json


class RunFiles:
    """Names of one run in one folder of the workspace; nothing is created until something is written."""

    def __init__(self, workspace: Workspace, output: str, name: str, stamp: str | None = None) -> None:
        self.workspace = workspace
        self.folder = workspace.inside(output)
        self._name = check_name(name)
        # A stamp comes out of a checkpoint, which may be a stranger's.
        self.stamp = check_name(str(stamp)) if stamp else self._free_stamp()

    def _free_stamp(self) -> str:
        """The time of the start, moved on while another run of this name holds the second."""
        seconds = time.time()
        while True:
            stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(seconds))
            if not any(self.folder.glob(f"{self._name}_{stamp}_*")):
                return stamp
            seconds += 1

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
