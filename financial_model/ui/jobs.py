"""Jobs: start, queue, follow and stop child processes whose whole state lies in `jobs/`.

A job is `python -m financial_model COMMAND --job jobs/ID`. Nothing about it lives in this process alone,
so a reload, a second browser or a new start of the page finds it where it is:

| file | written by | holds |
| --- | --- | --- |
| settings.json | who queues it | command, settings, arguments, queued_at, after |
| input.json | who queues it | what was asked for, read by the command |
| process.json | who starts it | pid, identity, started_at; then exit_code |
| events.jsonl, result.json, log.txt | the job | see base/progress |
| stop | who stops it | nothing, or that it ends at once; its presence asks |

One heavy job runs at a time and the others wait in the order they came; light ones run beside it.
"""

import contextlib
import json
import math
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..base.config import (
    AnalyzeSettings,
    BacktestSettings,
    DoctorSettings,
    DownloadSettings,
    EvaluateSettings,
    ForecastSettings,
    ImportSettings,
    PanelSettings,
    Settings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from ..base.errors import (
    DamagedFile,
    FinancialModelError,
    NoSuchJob,
    QueueFull,
    UnsafePath,
    WorkspaceBusy,
)
from ..base.progress import EVENT_FILE, RESULT_FILE, STOP_FILE, Event
from ..base.workspace import Workspace, locked, read_json, write_json
from . import processes
from .command_line import command_line

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS_FILE, INPUT_FILE, PROCESS_FILE, LOG_FILE = "settings.json", "input.json", "process.json", "log.txt"
AT_ONCE = "at once"
JOB_ID = re.compile(r"\d{8}_\d{6}_[a-z-]{1,20}_[0-9a-f]{4}")

# command -> (settings, whether it waits for other heavy ones)
COMMANDS: dict[str, tuple[type[Settings], bool]] = {
    "simulate": (SimulateSettings, True),
    "download": (DownloadSettings, True),
    "import": (ImportSettings, True),
    "build-panel": (PanelSettings, True),
    "analyze": (AnalyzeSettings, False),
    "train": (TrainSettings, True),
    "forecast": (ForecastSettings, True),
    "scan": (ForecastSettings, True),
    "evaluate": (EvaluateSettings, True),
    "backtest": (BacktestSettings, True),
    "walk-forward": (WalkForwardSettings, True),
    "doctor": (DoctorSettings, False),
}
ENDED = frozenset({"done", "stopped", "failed", "lost"})
MAX_WAITING = 20
MAX_KEPT = 200
MAX_POINTS = 600
MAX_NOTES = 50
MAX_LOG_BYTES, KEPT_LOG_BYTES = 8 << 20, 1 << 20
MAX_LINE_BYTES = 4 << 20
# A start writes process.json before and after the spawn; this long between means the starter died.
START_GRACE_S = 30.0


@dataclass
class Trail:
    """What a job has told so far, bounded however long it runs."""

    stage: Event = field(default_factory=dict)
    progress: Event = field(default_factory=dict)
    step: Event = field(default_factory=dict)
    epochs: list[Event] = field(default_factory=list)
    losses: list[tuple[float, float, float]] = field(default_factory=list)
    """(epochs done, loss, samples a second) of steps."""
    parts: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    """(epochs done, parts of the loss) of steps."""
    history: list[Event] = field(default_factory=list)
    checkpoints: list[Event] = field(default_factory=list)
    notes: list[Event] = field(default_factory=list)
    end: Event = field(default_factory=dict)
    is_simulated: bool = False
    """Whether a training has said that its market is a practice one."""
    last_time: float = 0.0
    version: int = 0

    def add(self, event: Event) -> None:
        kind = event.get("kind")
        self.version += 1
        self.last_time = max(self.last_time, _number(event.get("time")))
        if kind == "stage":
            self.stage, self.progress = event, {}
            self.is_simulated = event.get("is_simulated", self.is_simulated) is True
        elif kind == "progress":
            self.progress = event
            keep(self.history, event)
        elif kind == "step":
            self.step = event
            steps = max(_number(event.get("step_count")), 1.0)
            at = _number(event.get("epoch")) - 1 + _number(event.get("step")) / steps
            at += (
                (_number(event.get("member")) - 1) * _number(event.get("epoch_count"))
                if event.get("member")
                else 0
            )
            speed = _number(event.get("samples_per_s"))
            keep(self.losses, (round(at, 4), _number(event.get("loss")), speed))
            if isinstance(event.get("parts"), dict):
                keep(self.parts, (round(at, 4), {k: _number(v) for k, v in event["parts"].items()}))
        elif kind == "epoch":
            keep_epoch(self.epochs, event)
        elif kind == "checkpoint":
            keep(self.checkpoints, event)
        elif kind in ("warning", "note"):
            self.notes = [*self.notes, event][-MAX_NOTES:]
        elif kind in ("result", "error", "stopped"):
            self.end = event


def keep(points: list[Any], point: Any, spared: Callable[[Any], bool] = lambda _: False) -> None:
    """Append; when full, drop every second point of the older part, so that the whole stays in view."""
    points.append(point)
    if len(points) > MAX_POINTS:
        recent = MAX_POINTS // 3
        older = points[:-recent]
        points[:-recent] = [one for at, one in enumerate(older) if at % 2 == 0 or spared(one)]


def keep_epoch(epochs: list[Event], epoch: Event) -> None:
    """Append an epoch to those that are shown; the best one so far is never dropped."""
    best = epoch.get("member"), epoch.get("best_epoch")
    keep(epochs, epoch, lambda one: (one.get("member"), one.get("epoch")) == best)


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
        return _tail(self.folder / LOG_FILE, max_bytes)

    def share(self) -> float | None:
        """How much of the work is done, in 0..1, where the job has said so."""
        step = self.trail.step
        if self.command == "train" and step:
            per_epoch = max(_number(step.get("step_count")), 1.0)
            done = _number(step.get("epoch")) - 1 + _number(step.get("step")) / per_epoch
            epochs = max(_number(step.get("epoch_count")), 1.0)
            member, members = (
                max(_number(step.get("member")), 1.0),
                max(_number(step.get("member_count")), 1.0),
            )
            return min((member - 1 + done / epochs) / members, 1.0)
        total = _number(self.trail.progress.get("total"))
        return min(_number(self.trail.progress.get("done")) / total, 1.0) if total > 0 else None

    def left_s(self) -> float | None:
        """Seconds that are left, as the job estimates them, or from the pace of its progress."""
        latest = self.trail.step if self.command == "train" else self.trail.progress
        if latest.get("left_s") is not None:
            return _number(latest["left_s"])
        history = self.trail.history
        if self.command == "train" or len(history) < 3 or history[-1] is not self.trail.progress:
            return None
        first = next((event for event in history if event.get("total") == latest.get("total")), history[0])
        moved = _number(latest.get("done")) - _number(first.get("done"))
        took = _number(latest.get("time")) - _number(first.get("time"))
        if moved <= 0 or took < 2.0:
            return None
        return (_number(latest.get("total")) - _number(latest.get("done"))) * took / moved


class Jobs:
    """The jobs of one workspace."""

    def __init__(self, workspace: Workspace, command: Callable[[Job], list[str]] | None = None) -> None:
        self.workspace = workspace
        self._command = command or self._default_command
        self._guard = threading.RLock()
        self._readers: dict[str, _Reader] = {}
        self._children: dict[str, Any] = {}
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------ looking

    def all(self) -> list[Job]:
        """Every job, oldest first."""
        with self._guard:
            self._reap()
            names = self._names()
            for gone in set(self._readers) - set(names):
                del self._readers[gone]
            jobs: dict[str, Job] = {}
            for name in names:
                reader = self._readers.get(name)
                if reader is None:
                    reader = self._readers[name] = _Reader(self.workspace.jobs_dir / name)
                job = reader.read()
                if job is not None:
                    jobs[name] = job
            return [self._with_forerunner(job, jobs) for job in jobs.values()]

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.workspace.jobs_dir) if JOB_ID.fullmatch(name))
        except FileNotFoundError:
            return []

    @staticmethod
    def _with_forerunner(job: Job, jobs: dict[str, Job]) -> Job:
        """A job that waits for one which did not succeed never starts."""
        if job.state == "queued" and job.after is not None:
            forerunner = jobs.get(job.after)
            if forerunner is not None and forerunner.state in ENDED and forerunner.state != "done":
                return replace(job, state="stopped", ended_at=forerunner.ended_at)
        return job

    def get(self, job_id: str) -> Job:
        """One job; NoSuchJob when there is none of that name."""
        for job in self.all():
            if job.id == job_id:
                return job
        raise NoSuchJob(job_id)

    def latest(self, *commands: str) -> Job | None:
        """The job to show for these commands: a running one, else the newest that has started or ended."""
        mine = [job for job in self.all() if job.command in commands]
        running = [job for job in mine if job.is_running]
        return (running or mine or [None])[-1]  # type: ignore[list-item]

    # ------------------------------------------------------------------ acting

    def start(self, command: str, settings: Settings, after: str | None = None) -> Job:
        """Queue a job; it starts at once when nothing heavy is in its way. QueueFull beyond twenty waiting.

        after: the id of a job that must end well before this one starts; NoSuchJob for what can be none.
        """
        if after is not None and not (isinstance(after, str) and JOB_ID.fullmatch(after)):
            raise NoSuchJob(after)
        kind, _ = COMMANDS[command]
        if not isinstance(settings, kind):
            raise TypeError(f"{command} takes {kind.__name__}, not {type(settings).__name__}")
        self._check_out(getattr(settings, "out", None))
        with self._guard:
            waiting = sum(job.state == "queued" for job in self.all())
            if waiting >= MAX_WAITING:
                raise QueueFull(waiting)
            stamp = time.strftime("%Y%m%d_%H%M%S")
            folder = self._new_folder(stamp, command)
            # Not all of them: what is resumed goes on with its own settings where nobody asked for others.
            write_json(folder / INPUT_FILE, settings.asked())
            write_json(
                folder / SETTINGS_FILE,
                {
                    "command": command,
                    "settings": settings.to_json(),
                    "arguments": command_line(command, settings),
                    "queued_at": round(time.time(), 3),
                    "after": after,
                },
            )
        self._wake.set()
        return self.get(folder.name)

    def _check_out(self, out: str | None) -> None:
        """UnsafePath where a job would write its result outside the workspace, or over its data."""
        if not out:
            return
        root = self.workspace.root
        try:
            path = (root / out).resolve() if "\0" not in out else root
        except (OSError, RuntimeError):
            path = root
        if path == root or not path.is_relative_to(root):
            raise UnsafePath(out[:200], "a job of the page writes inside the workspace")
        for folder in (self.workspace.stock_data_dir, self.workspace.cache_dir, self.workspace.jobs_dir):
            if path.is_relative_to(folder):
                raise UnsafePath(out[:200], f"{folder.name} holds what the program needs")

    def _new_folder(self, stamp: str, command: str) -> Path:
        # A later job sorts behind an earlier one of the same second: names are compared as text.
        # A folder from a far future, or one that no clock has named, says nothing of the order.
        horizon = time.strftime("%Y%m%d_%H%M%S", time.localtime(time.time() + 86_400))
        last = max((name[:15] for name in self._names() if name[:15] < horizon), default="")
        if stamp <= last:
            with contextlib.suppress(ValueError):
                moment = time.mktime(time.strptime(last, "%Y%m%d_%H%M%S")) + 1
                stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(moment))
        folder = self.workspace.jobs_dir / f"{stamp}_{command}_{secrets.token_hex(2)}"
        folder.mkdir(parents=True)
        return folder

    def stop(self, job_id: str, *, at_once: bool = False) -> Job:
        """Ask a job to stop at its next step and save; a waiting one never starts.

        at_once: end the process now; what it saved before stands.
        """
        job = self.get(job_id)
        if job.is_active:
            # Who is starting it just now knows its pid before we do, and ends it if that stands here.
            (job.folder / STOP_FILE).write_text(AT_ONCE if at_once else "", encoding="utf-8")
            job = self.get(job_id)  # looked at again: the start may have ended before the file stood there
            if at_once and job.pid is not None and job.identity is not None:
                processes.end_at_once(job.pid, job.identity)
        self._wake.set()
        return self.get(job_id)

    def delete(self, job_id: str) -> None:
        """Forget an ended job: its folder goes."""
        job = self.get(job_id)
        if not job.is_active:
            _remove_folder(job.folder)

    # ------------------------------------------------------------------ keeping the queue moving

    def open(self) -> "Jobs":
        """Start the thread that starts waiting jobs and reaps ended ones."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._supervise, name="jobs", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """End the thread. Running jobs go on."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def _supervise(self) -> None:
        while not self._closed.is_set():
            # A drive that is away for a moment, or full, must not end the queue for good.
            with contextlib.suppress(OSError, FinancialModelError):
                self.advance()
            self._wake.wait(0.5)
            self._wake.clear()

    def advance(self) -> None:
        """One look at the queue: start what may start, keep logs and folders bounded."""
        jobs = self.all()
        for job in jobs:
            if job.is_running:
                _bound_log(job.folder / LOG_FILE)
        if any(job.state == "queued" for job in jobs):
            # Two pages on one workspace: whoever holds the lock starts, the other looks again later.
            with contextlib.suppress(WorkspaceBusy), self._starting():
                self._start_waiting()
        self._prune(jobs)

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        with locked(self.workspace.jobs_dir / ".queue.lock", "the page", "the queue"):
            yield

    def _start_waiting(self) -> None:
        jobs = self.all()
        is_heavy_running = any(job.is_running and job.is_heavy for job in jobs)
        ended_well = {job.id for job in jobs if job.state == "done"}
        known = {job.id for job in jobs}
        for job in jobs:
            if job.state != "queued" or (job.is_heavy and is_heavy_running):
                continue
            if job.after is not None and job.after in known and job.after not in ended_well:
                continue
            self._spawn(job)
            is_heavy_running = is_heavy_running or job.is_heavy

    def _spawn(self, job: Job) -> None:
        record: dict[str, Any] = {"pid": None, "identity": None, "started_at": round(time.time(), 3)}
        write_json(job.folder / PROCESS_FILE, record)
        environment = {
            **os.environ,
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        }
        try:
            child = processes.spawn(
                self._command(job), self.workspace.root, job.folder / LOG_FILE, environment
            )
        except OSError as error:
            message = f"The process could not be started: {error}"
            _append_event(
                job.folder, {"kind": "error", "error": "InternalError", "message": message, "fields": {}}
            )
            return
        self._children[job.id] = child
        record |= {"pid": child.pid, "identity": processes.identity(child.pid)}
        write_json(job.folder / PROCESS_FILE, record)
        if _tail(job.folder / STOP_FILE, 100) == AT_ONCE and record["identity"] is not None:
            processes.end_at_once(child.pid, record["identity"])

    def _default_command(self, job: Job) -> list[str]:
        return [
            *(sys.executable, "-m", "financial_model", job.command),
            *("--settings", str(job.folder / INPUT_FILE)),
            *("--workspace", str(self.workspace.root)),
            *("--job", str(job.folder)),
        ]

    def _reap(self) -> None:
        """Collect the exit codes of our own children; one of an earlier page is known by its identity."""
        for job_id, child in list(self._children.items()):
            exit_code = child.poll()
            if exit_code is None:
                continue
            del self._children[job_id]
            path = self.workspace.jobs_dir / job_id / PROCESS_FILE
            if path.is_file():
                ended = {"exit_code": exit_code, "ended_at": round(time.time(), 3)}
                # On a full disk the process is known to be gone by its identity all the same.
                with contextlib.suppress(OSError, FinancialModelError):
                    write_json(path, {**_read_object(path), **ended})

    def _prune(self, jobs: list[Job]) -> None:
        for job in [job for job in jobs if not job.is_active][: max(0, len(jobs) - MAX_KEPT)]:
            _remove_folder(job.folder)


@lru_cache(maxsize=16)
def _read_result(path: Path, mtime_ns: int, size: int) -> dict[str, Any] | None:
    """A result as it stood at that time; live parts ask for it every second, so it is parsed once."""
    try:
        value = read_json(path)
    except (DamagedFile, OSError):
        return None
    return value if isinstance(value, dict) else None


class _Reader:
    """Reads one job's folder, each event once; an ended job is not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trail = Trail()
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
        job = Job(
            id=self.folder.name,
            command=head["command"],
            settings=head["settings"],
            arguments=str(head.get("arguments", "")),
            queued_at=_number(head.get("queued_at")),
            state=state,
            folder=self.folder,
            trail=self._trail,
            after=_text(head.get("after")),
            started_at=_number(process.get("started_at")) or None,
            ended_at=self._ended_at(process) if state in ENDED else None,
            exit_code=_whole(process.get("exit_code")),
            pid=_whole(process.get("pid")),
            identity=_text(process.get("identity")),
        )
        if state in ENDED and not is_alive:
            self._ended = job
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
        return _read_object(self.folder / PROCESS_FILE)

    @staticmethod
    def _is_alive(process: dict[str, Any]) -> bool:
        if not process or "exit_code" in process:
            return False
        pid, known = _whole(process.get("pid")), _text(process.get("identity"))
        if pid is None:
            return time.time() - _number(process.get("started_at")) < START_GRACE_S
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
        return _number(self._trail.end.get("time") or process.get("ended_at") or self._trail.last_time)

    def _read_events(self) -> None:
        path = self.folder / EVENT_FILE
        try:
            with open(path, "rb") as file:
                file.seek(self._offset)
                while line := file.readline(MAX_LINE_BYTES):
                    if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                        return  # torn, or still being written: read again from its start
                    self._offset += len(line)
                    try:
                        event = json.loads(line)
                    except (ValueError, RecursionError):
                        continue
                    if isinstance(event, dict):
                        self._trail.add(event)
        except FileNotFoundError:
            return


def _append_event(folder: Path, event: Event) -> None:
    with open(folder / EVENT_FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=False) + "\n")


def _remove_folder(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _number(value: Any) -> float:
    """A finite number from what an event holds, else 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    try:
        return float(value) if math.isfinite(value) else 0.0
    except OverflowError:
        return 0.0


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none that can be read."""
    try:
        value = read_json(path)
    except (OSError, DamagedFile):
        return {}
    return value if isinstance(value, dict) else {}


def _tail(path: Path, max_bytes: int) -> str:
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


def _bound_log(path: Path) -> None:
    """Cut a log that grew too long to its last part; the writer appends, so it goes on at the new end."""
    try:
        if path.stat().st_size <= MAX_LOG_BYTES:
            return
        with open(path, "rb") as file:
            file.seek(-KEPT_LOG_BYTES, os.SEEK_END)
            kept = file.read()
        os.truncate(path, 0)
        with open(path, "ab") as file:
            file.write(b"(the older part was dropped)\n" + kept.partition(b"\n")[2])
    except OSError:
        return
