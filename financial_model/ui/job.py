"""One job, read from its folder: its settings, its process and what it has told."""

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..base.config import SETTINGS_OF, Settings
from ..base.errors import DamagedFile
from ..base.progress import EVENT_FILE, RESULT_FILE, STOP_FILE, Event
from ..base.workspace import read_json
from . import processes
from .trail import Curves, Trail, number

SETTINGS_FILE, PROCESS_FILE, LOG_FILE = "settings.json", "process.json", "log.txt"

# Questions that are answered soon; every other command waits for those before it.
LIGHT = frozenset({"analyze", "doctor"})
# command -> (settings, whether it waits for other heavy ones)
COMMANDS: dict[str, tuple[type[Settings], bool]] = {
    command: (kind, command not in LIGHT) for command, kind in SETTINGS_OF.items()
}
ENDED = frozenset({"done", "stopped", "failed", "lost"})
MAX_LINE_BYTES = 4 << 20
# A start writes process.json before and after the spawn; this long between means the starter died.
START_GRACE_S = 30.0


@dataclass(frozen=True)
class Job:
    """One job as it stood when it was looked at."""

    id: str
    command: str
    settings: dict[str, Any]
    arguments: str
    queued_at: float
    state: str
    folder: Path
    trail: Trail
    after: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    pid: int | None = None
    identity: str | None = None
    live: Curves | None = field(default=None, repr=False)
    """Its curves while it may still tell more."""

    @property
    def curves(self) -> Curves:
        """The points of its charts; of a job that has ended they are read from its events again."""
        if self.live is not None:
            return self.live
        path = self.folder / EVENT_FILE
        try:
            return _read_curves(path, path.stat().st_size)
        except OSError:
            return Curves()

    @property
    def is_active(self) -> bool:
        return self.state not in ENDED

    @property
    def is_running(self) -> bool:
        return self.state in ("running", "stopping")

    @property
    def is_heavy(self) -> bool:
        return COMMANDS[self.command][1]

    def result(self) -> dict[str, Any] | None:
        """What the workflow returned, once it has."""
        path = self.folder / RESULT_FILE
        try:
            stat = path.stat()
        except OSError:
            return None
        return _read_result(path, stat.st_mtime_ns, stat.st_size)

    def log_tail(self, max_bytes: int = 8000) -> str:
        """The last lines of what the process printed."""
        return tail(self.folder / LOG_FILE, max_bytes)

    def share(self) -> float | None:
        """How much of the work is done, in 0..1, where the job has said so."""
        step = self.trail.step
        if self.command == "train" and step:
            per_epoch = max(number(step.get("step_count")), 1.0)
            done = number(step.get("epoch")) - 1 + number(step.get("step")) / per_epoch
            epochs = max(number(step.get("epoch_count")), 1.0)
            member, members = (
                max(number(step.get("member")), 1.0),
                max(number(step.get("member_count")), 1.0),
            )
            return min((member - 1 + done / epochs) / members, 1.0)
        total = number(self.trail.progress.get("total"))
        return min(number(self.trail.progress.get("done")) / total, 1.0) if total > 0 else None

    def left_s(self) -> float | None:
        """Seconds that are left, as the job estimates them, or from the pace of its progress."""
        latest = self.trail.step if self.command == "train" else self.trail.progress
        if latest.get("left_s") is not None:
            return number(latest["left_s"])
        history = self.curves.progress
        if self.command == "train" or len(history) < 3 or history[-1] is not self.trail.progress:
            return None
        first = next((event for event in history if event.get("total") == latest.get("total")), history[0])
        moved = number(latest.get("done")) - number(first.get("done"))
        took = number(latest.get("time")) - number(first.get("time"))
        if moved <= 0 or took < 2.0:
            return None
        return (number(latest.get("total")) - number(latest.get("done"))) * took / moved


def at_work(jobs: Iterable[Job]) -> Job | None:
    """Of jobs in the order they came the newest that runs, else the first that waits; None without either.

    What a page shows and what its Stop stops must be the same one: what was queued behind it waits for it.
    """
    active = [job for job in jobs if job.is_active]
    running = [job for job in active if job.is_running]
    return running[-1] if running else active[0] if active else None


@lru_cache(maxsize=8)
def _read_curves(path: Path, size: int) -> Curves:
    """The curves of an ended job, whose events then had that size."""
    curves = Curves()
    for event, _ in events_from(path, 0):
        curves.add(event)
    return curves


@lru_cache(maxsize=16)
def _read_result(path: Path, mtime_ns: int, size: int) -> dict[str, Any] | None:
    """A result as it stood at that time; live parts ask for it every second, so it is parsed once."""
    try:
        value = read_json(path)
    except (DamagedFile, OSError):
        return None
    return value if isinstance(value, dict) else None


class JobReader:
    """Reads one job's folder, each event once; an ended job is not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trail, self._curves = Trail(), Curves()
        self._offset = 0
        self._head: dict[str, Any] | None = None
        self._ended: Job | None = None

    def read(self) -> Job | None:
        if self._ended is not None:
            return self._ended
        head = self._read_head()
        if head is None:
            return None
        process = self._read_process()
        is_alive = self._is_alive(process)  # asked first: events written before its end are then all there
        self._read_events()
        state = self._state(process, is_alive)
        has_ended = state in ENDED and not is_alive
        job = Job(
            id=self.folder.name,
            command=head["command"],
            settings=head["settings"],
            arguments=str(head.get("arguments", "")),
            queued_at=number(head.get("queued_at")),
            state=state,
            folder=self.folder,
            trail=self._trail,
            after=_text(head.get("after")),
            started_at=number(process.get("started_at")) or None,
            ended_at=self._ended_at(process) if state in ENDED else None,
            exit_code=_whole(process.get("exit_code")),
            pid=_whole(process.get("pid")),
            identity=_text(process.get("identity")),
            live=None if has_ended else self._curves,
        )
        if has_ended:
            self._ended, self._curves = job, Curves()
        return job

    def _read_head(self) -> dict[str, Any] | None:
        if self._head is None:
            try:
                head = read_json(self.folder / SETTINGS_FILE)
            except (OSError, DamagedFile):
                return None
            if not isinstance(head, dict) or _text(head.get("command")) not in COMMANDS:
                return None
            if not isinstance(head.get("settings"), dict):
                return None
            self._head = head
        return self._head

    def _read_process(self) -> dict[str, Any]:
        return read_object(self.folder / PROCESS_FILE)

    @staticmethod
    def _is_alive(process: dict[str, Any]) -> bool:
        if not process or "exit_code" in process:
            return False
        pid, known = _whole(process.get("pid")), _text(process.get("identity"))
        if pid is None:
            return time.time() - number(process.get("started_at")) < START_GRACE_S
        return known is not None and processes.identity(pid) == known

    def _state(self, process: dict[str, Any], is_alive: bool) -> str:
        end = self._trail.end.get("kind")
        if end is not None:
            return {"result": "done", "error": "failed", "stopped": "stopped"}[end]
        is_stop_asked = (self.folder / STOP_FILE).exists()
        if not process:
            return "stopped" if is_stop_asked else "queued"
        if is_alive:
            return "stopping" if is_stop_asked else "running"
        return "stopped" if is_stop_asked else "lost"

    def _ended_at(self, process: dict[str, Any]) -> float:
        return number(self._trail.end.get("time") or process.get("ended_at") or self._trail.last_time)

    def _read_events(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for event, end in events_from(self.folder / EVENT_FILE, self._offset):
                self._trail.add(event)
                self._curves.add(event)
                self._offset = end


def events_from(path: Path, offset: int) -> Iterator[tuple[Event, int]]:
    """The events of a file from a line's start on, and where the line of each ends; {} for what is none.

    A last line that is torn, or still being written, is left for the next reading.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        while line := file.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                return
            offset += len(line)
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                event = {}
            yield event if isinstance(event, dict) else {}, offset


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none that can be read."""
    try:
        value = read_json(path)
    except (OSError, DamagedFile):
        return {}
    return value if isinstance(value, dict) else {}


def tail(path: Path, max_bytes: int) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            text = file.read(max_bytes).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    # A progress line is rewritten in place on a terminal; only its last form is worth reading.
    lines = [line.rpartition("\r")[2].replace("\x1b[K", "") for line in text.split("\n")]
    return "\n".join(lines[1:] if size > max_bytes else lines).strip()
