"""The newest result of each kind of job, parsed once, and what was drawn from it, drawn once.

The page looks at everything that is alive every second; a result of five thousand stocks must not be read,
or its pictures made, more than once for that.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from ..base.workspace import Workspace
from .job import Job
from .view import View

Json = dict[str, Any]
KEPT_RESULTS, KEPT_DRAWINGS = 8, 64


class ResultReader:
    """Results of ended jobs by job, and drawings by what they show."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Json | None] = OrderedDict()
        self._drawings: OrderedDict[Hashable, Any] = OrderedDict()

    def newest(
        self, view: View, *commands: str, where: Callable[[Job], bool] = lambda job: True
    ) -> tuple[Job | None, Json | None]:
        """The newest job of these commands that ended well, and its result."""
        for job in reversed(view.jobs):
            if job.command in commands and job.state == "done" and where(job):
                result = self.of(job)
                if result is not None:
                    return job, result
        return None, None

    def of(self, job: Job) -> Json | None:
        """The result of an ended job."""
        if job.id not in self._results:
            _keep(self._results, job.id, job.result(), KEPT_RESULTS)
        return self._results[job.id]

    def drawn(self, key: Hashable, draw: Callable[[], Any]) -> Any:
        """What `draw` makes of the thing named by `key`, made once."""
        if key not in self._drawings:
            _keep(self._drawings, key, draw(), KEPT_DRAWINGS)
        return self._drawings[key]


def _keep(cache: OrderedDict[Any, Any], key: Hashable, value: Any, most: int) -> None:
    cache[key] = value
    while len(cache) > most:
        cache.popitem(last=False)


def is_outdated(workspace: Workspace, job: Job | None) -> bool:
    """Whether the panel was built anew after a job had looked at it."""
    if job is None or job.ended_at is None:
        return False
    try:
        return workspace.panel_path.stat().st_mtime > job.ended_at
    except OSError:
        return False
