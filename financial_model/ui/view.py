"""What the page shows at one moment: the jobs, the market and the machine, in one language."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..base.workspace import Workspace
from .job import Job, at_work
from .market_status import MarketStatus, stamp_of
from .translations import Translate

# A page where nothing seems to happen looks again after so long: a shell may have written what no job tells.
LOOK_AGAIN_S = 20
TAB_OF_COMMAND = {
    "simulate": "download",
    "download": "download",
    "import": "download",
    "build-panel": "download",
    "analyze": "universe",
    "forecast": "inference",
    "scan": "inference",
    "evaluate": "evaluation",
    "backtest": "evaluation",
    "walk-forward": "evaluation",
    "doctor": "system",
}


@dataclass
class View:
    """What one tick shows: the work as it stands, in one language."""

    t: Translate
    jobs: list[Job]
    market: MarketStatus
    workspace: Workspace
    gpu: str | None = None

    @cached_property
    def running(self) -> Job | None:
        """The heavy job that runs, else a light one."""
        running = [job for job in self.jobs if job.is_running]
        return next((job for job in running if job.is_heavy), running[0] if running else None)

    @cached_property
    def queued(self) -> list[Job]:
        return [job for job in self.jobs if job.state == "queued"]

    def latest(self, *commands: str, where: Callable[[Job], bool] = lambda job: True) -> Job | None:
        """The job to show for these commands: at work, else the newest that ever started."""
        mine = [job for job in self.jobs if job.command in commands and where(job)]
        # What left the queue says nothing of its own: who took it out was told, or what it waited for failed.
        return at_work(mine) or next((job for job in reversed(mine) if job.started_at is not None), None)

    def mark(self) -> str:
        """What changes whenever something may have to be shown anew: each second while a job is at work."""
        every = LOOK_AGAIN_S if self.running is None else 1
        return mark_of(
            [
                [(job.id, job.state, job.trail.version) for job in self.jobs],
                [self.market.stamp, self.gpu, stamp_of(self.workspace.output_dir)],
                int(time.time()) // every,
            ]
        )

    def ahead(self, job: Job | None) -> list[Job]:
        """The jobs that run or wait before this one, what runs first."""
        if job is None or job.state != "queued":
            return []
        heavy = [other for other in self.jobs if other.is_heavy and other.id != job.id]
        waiting = [other for other in heavy if other.state == "queued" and other.id < job.id]
        return [*(other for other in heavy if other.is_running), *waiting]


def tab_of(job: Job) -> str:
    """The name of the tab that shows a job."""
    if job.command == "train":
        model = job.settings.get("model")
        name = model.get("model") if isinstance(model, dict) else None
        return "multi" if name == "conditional" else "basic"
    return TAB_OF_COMMAND[job.command]


def mark_of(content: Any) -> str:
    """A short mark of a value, by which it is known to be the same."""
    text = content if isinstance(content, str) else json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
