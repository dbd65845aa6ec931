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
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..base.config import Settings
from ..base.errors import FinancialModelError, NoSuchJob, QueueFull, UnsafePath, WorkspaceBusy
from ..base.progress import EVENT_FILE, STOP_FILE, Event
from ..base.workspace import Workspace, locked, write_json
from . import processes
from .before_gradio import ARROW_POOL
from .command_line import command_line
from .job import COMMANDS, ENDED, LOG_FILE, PROCESS_FILE, SETTINGS_FILE, Job, JobReader, read_object, tail

REPOSITORY = Path(__file__).resolve().parents[2]
INPUT_FILE = "input.json"
AT_ONCE = "at once"
JOB_ID = re.compile(r"\d{8}_\d{6}_[a-z-]{1,20}_[0-9a-f]{4}")
MAX_WAITING = 20
MAX_KEPT = 200
MAX_LOG_BYTES, KEPT_LOG_BYTES = 8 << 20, 1 << 20


class Jobs:
    """The jobs of one workspace."""

    def __init__(self, workspace: Workspace, command: Callable[[Job], list[str]] | None = None) -> None:
        self.workspace = workspace
        self._command = command or self._default_command
        self._guard = threading.RLock()
        self._readers: dict[str, JobReader] = {}
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
                    reader = self._readers[name] = JobReader(self.workspace.jobs_dir / name)
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
            **{name: value for name, value in os.environ.items() if name != ARROW_POOL},
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
        if tail(job.folder / STOP_FILE, 100) == AT_ONCE and record["identity"] is not None:
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
                    write_json(path, {**read_object(path), **ended})

    def _prune(self, jobs: list[Job]) -> None:
        for job in [job for job in jobs if not job.is_active][: max(0, len(jobs) - MAX_KEPT)]:
            _remove_folder(job.folder)


def _append_event(folder: Path, event: Event) -> None:
    with open(folder / EVENT_FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=False) + "\n")


def _remove_folder(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


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
