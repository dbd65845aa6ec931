"""The page and its jobs for half an hour: does memory stay flat, is nothing left behind?

    python benchmarks/soak.py --minutes 30
    python benchmarks/soak.py --brief --workspace FOLDER    one training killed and resumed, on a built panel

A page runs on a workspace of its own. A reader polls it as a browser does (the timer's question once a
second, a reload every ten, the other language every seven), while a worker starts trainings through the
interface for programs, stops them, kills every third, resumes them and forecasts. Printed at the end: the
slope of the page's memory (least squares, after the first fifth), its file handles and threads, memory of the
jobs, size of the event files, and every process that is left. Exit status 1 where a bound is broken.

Reads /proc, so it runs on Linux alone.
"""

import argparse
import http.client
import itertools
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measure import describe_machine, print_table

REPOSITORY = Path(__file__).resolve().parents[1]
NETWORK = {"model": "lstm", "context_length": 12, "hidden_size": 16, "layers": 1, "heads": 2}
TRAINING = {"name": "soak", "batch_size": 1024, "patience": 10_000, "save_interval": 5, "model": NETWORK}
ANSWER_S = 60.0  # the longest that an answer of the page may take; --answer-s for a machine with other work
JOB_S, BRIEF_JOB_S = 900.0, 180.0  # the longest that a job may take to what is waited for
SAMPLE_S = 2.0
KEPT_SESSIONS = 130  # a few more than MAX_SESSIONS of ui/sessions.py
BELL = "Hermes.bell("  # in the script of the components whose click asks for news of one tab
MAX_HANDLE_GROWTH, MAX_SLOPE_MIB_PER_H, MAX_EXIT_S, MAX_RSS_MIB = 16, 60.0, 30.0, 512.0
KILLED_ROUND = 2  # of every three
ENDED = ("done", "stopped", "failed", "lost")


class Server:
    """The page's HTTP side, spoken as a browser and as a program speak it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=ANSWER_S) as answer:
            return answer.read()

    def stream(self, path: str, question: str) -> Iterator[tuple[str, Any]]:
        """(event, data) as the page sends them. TimeoutError names the question that has no answer in time:
        a stream never falls silent, since Gradio sends a heartbeat on it for as long as it is open."""
        deadline = time.monotonic() + ANSWER_S
        kind = ""
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=ANSWER_S) as answer:
            for line in answer:
                if line.startswith(b"event:"):
                    kind = line.removeprefix(b"event:").strip().decode()
                elif line.startswith(b"data:"):
                    yield kind, json.loads(line.removeprefix(b"data:"))
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{question} was not answered within {ANSWER_S:g} s")
        raise RuntimeError(f"{question} was not answered: the stream ended")

    def post(self, path: str, value: Any) -> Any:
        body = json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}/{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return json.loads(answer.read())

    def call(self, name: str, *values: Any) -> Any:
        """One of the public functions."""
        event = self.post(f"gradio_api/call/{name}", {"data": list(values)})["event_id"]
        for kind, told in self.stream(f"gradio_api/call/{name}/{event}", name):
            if kind == "complete":
                return told[0]
            if kind == "error":
                raise RuntimeError(f"{name}: {told}")
        raise RuntimeError(f"{name} was not answered")


@dataclass(frozen=True)
class Pace:
    """Seconds between what a reader does."""

    poll_s: float = 1.0
    reload_s: float = 10.0
    language_s: float = 7.0


BRISK = Pace(0.3, 2.0, 1.5)


class Reader:
    """A browser's questions without a browser: it opens the page, then asks what is new each second."""

    def __init__(self, server: Server, pace: Pace) -> None:
        self.server, self.pace = server, pace
        self.language = "zh"
        self.polls = self.news = self.reloads = self.switches = 0
        self.worst_s = 0.0
        self.faults: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.open()

    def open(self) -> None:
        """What a reload asks for: the page, its configuration, a session of its own."""
        self.server.get("")
        config = json.loads(self.server.get("config"))
        self.values = {one["id"]: one.get("props", {}).get("value") for one in config["components"]}
        self.states = {one["id"] for one in config["components"] if one["type"] == "state"}
        # What a bell asks for: the header first, then the tabs, each with the state of what was seen.
        bells = [
            one["id"] for one in config["components"] if BELL in str(one.get("props", {}).get("js_on_load"))
        ]
        self.header, *self.tabs = (_asked_by(config, bell, "click") for bell in bells)
        # What opens the page, and what each tab asks for when it is first shown.
        self.opening = next(d for d in config["dependencies"] if d["backend_fn"] and _is_load(d))
        self.first_shown = [_asked_by(config, bell, "select") for bell in bells[1:]]
        self.mark: Any = None
        self.switch = _asked_by(config, self.header["inputs"][0], "input")
        self.session = secrets.token_hex(6)
        self.reloads += 1

    def fill(self, sessions: int = KEPT_SESSIONS) -> None:
        """Open the page as often as its server keeps openings, so that what grows after that grows on."""
        for _ in range(sessions):
            self.open()
            self._ask(self.opening)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join(timeout=3 * ANSWER_S)  # a switch and two bells
        if self._thread.is_alive():
            self.faults.append("the reader did not end")

    def _read(self) -> None:
        begun, pace = time.monotonic(), self.pace
        next_reload, next_switch = begun + pace.reload_s, begun + pace.language_s
        while not self._end.wait(pace.poll_s):
            now = time.monotonic()
            try:
                if now > next_reload:
                    self.open()
                    self._ask(self.opening)
                    self._ask(self.first_shown[self.reloads % len(self.first_shown)])
                    next_reload = now + pace.reload_s
                if now > next_switch:
                    self.language = {"zh": "en", "en": "zh"}[self.language]
                    self._ask(self.switch)
                    self.switches += 1
                    next_switch = now + pace.language_s
                self._ask_for_news()
                self.polls += 1
                self.worst_s = max(self.worst_s, time.monotonic() - now)
            except (OSError, http.client.HTTPException, RuntimeError, ValueError, LookupError) as error:
                self.faults.append(f"{type(error).__name__}: {error}"[:300])

    def _ask_for_news(self) -> None:
        """As a browser does each second: where the mark has changed, what header and shown tab show."""
        mark = self.server.get("hermes/mark")
        if mark != self.mark:
            self.mark = mark
            self.news += 1
            self._ask(self.header)
            self._ask(self.tabs[self.polls % len(self.tabs)])

    def _ask(self, dependency: dict[str, Any]) -> None:
        data = [None if one in self.states else self.values.get(one) for one in dependency["inputs"]]
        data[0] = self.language  # the first input of all that is asked
        question = {"data": data, "fn_index": dependency["id"], "session_hash": self.session}
        event_id = self.server.post("gradio_api/queue/join", question)["event_id"]
        name = f"event {dependency['id']} in session {self.session}"
        for _, told in self.server.stream(f"gradio_api/queue/data?session_hash={self.session}", name):
            if told.get("event_id") not in (event_id, None):
                continue  # of a question that was given up
            if told.get("msg") == "process_completed":
                if not told["success"]:
                    raise RuntimeError(f"{name}: {told['output']}")
                return
            if told.get("msg") in ("unexpected_error", "server_stopped", "close_stream"):
                raise RuntimeError(f"{name}: {told}")


def _is_load(dependency: dict[str, Any]) -> bool:
    return any(event == "load" for _, event in dependency["targets"])


def _asked_by(config: dict[str, Any], component: int, event: str) -> dict[str, Any]:
    """What a component's event asks of the program; of several the one that fills most."""
    return max(
        (d for d in config["dependencies"] if [component, event] in d["targets"] and d["backend_fn"]),
        key=lambda dependency: len(dependency["outputs"]),
    )


@dataclass
class Watch:
    """Samples of the page's process, and the highest of its jobs."""

    pid: int
    workspace: Path
    times: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    most_jobs: int = 0
    job_rss: float = 0.0

    def sample(self) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text()
        self.times.append(time.monotonic())
        self.rss.append(_field(status, "VmRSS") / 1024)
        self.threads.append(_field(status, "Threads"))
        self.handles.append(len(os.listdir(f"/proc/{self.pid}/fd")))
        jobs = [pid for pid in processes_of(self.workspace) if pid != self.pid]
        self.most_jobs = max(self.most_jobs, len(jobs))
        for pid in jobs:
            try:
                self.job_rss = max(
                    self.job_rss, _field(Path(f"/proc/{pid}/status").read_text(), "VmRSS") / 1024
                )
            except (OSError, ValueError):
                continue  # it ended between the two looks

    def keep_on(self, end: threading.Event) -> None:
        while not end.wait(SAMPLE_S):
            self.sample()

    def slope(self, passed_over: float = 0.2) -> tuple[float, float]:
        """MiB an hour and its standard error, by least squares over what follows that share of the run."""
        start = int(len(self.times) * passed_over)
        t = np.array(self.times[start:]) / 3600
        y = np.array(self.rss[start:])
        if len(t) < 3:
            return 0.0, float("inf")
        slope, level = np.polyfit(t - t.mean(), y, 1)
        residual = y - (slope * (t - t.mean()) + level)
        error = np.sqrt(residual.var() * len(y) / (len(y) - 2) / ((t - t.mean()) ** 2).sum())
        return float(slope), float(error)


def _field(status: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    if match is None:
        raise ValueError(name)
    return int(match[1])


def processes_of(workspace: Path) -> list[int]:
    """Living processes that name this workspace in their arguments, but for this one and who runs it."""
    found, callers = [], _callers()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in callers:
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                is_dead = _stat(int(entry.name))[0] in "ZX"
            except OSError:
                continue
            if str(workspace).encode() in words and not is_dead:
                found.append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """State, parent and what follows of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _callers() -> set[int]:
    """This process and those that wait for it, such as `timeout` or a shell that was given the command."""
    callers, pid = set(), os.getpid()
    while pid > 0:
        callers.add(pid)
        pid = int(_stat(pid)[1])
    return callers


def wait_for_the_last(workspace: Path, limit_s: float = 120.0) -> list[int]:
    """Processes that still live when jobs which outlive the page (its daily check) have had their time."""
    deadline = time.monotonic() + limit_s
    while (left := processes_of(workspace)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


@contextmanager
def page(workspace: Path, port: int, ending: dict[str, float] | None = None) -> Iterator[tuple[Server, int]]:
    """A page in a process of its own: its address and number; `ending` is told how long its end took."""
    command = [sys.executable, "gradio_app.py", "--no-browser", "--lang", "zh", "--port", str(port)]
    with (
        open(workspace / "page.log", "wb") as log,
        subprocess.Popen(
            [*command, "--workspace", str(workspace)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            assert process.stdout is not None
            told = (re.search(r"http://127\.0\.0\.1:\d+", line.decode()) for line in process.stdout)
            match = next(filter(None, told), None)  # after a line on a port that was taken, where it was
            if match is None:
                raise RuntimeError(f"the page did not start: {(workspace / 'page.log').read_text()[-500:]}")
            server = Server(match[0])
            for _ in range(300):
                try:
                    server.get("")
                    break
                except OSError:
                    time.sleep(0.2)
            yield server, process.pid
        finally:
            asked = time.monotonic()
            process.terminate()
            try:
                process.wait(timeout=300)
            except subprocess.TimeoutExpired:
                process.kill()
            if ending is not None:
                ending["page_exit_s"] = round(time.monotonic() - asked, 1)


class Worker:
    """Starts, stops, kills and resumes jobs until the time is over."""

    def __init__(self, server: Server, workspace: Path, patience_s: float = JOB_S) -> None:
        self.server, self.workspace, self.patience_s = server, workspace, patience_s
        self.counts = dict.fromkeys(("started", "stopped", "killed", "resumed", "done"), 0)

    def start(self, command: str, settings: dict[str, Any]) -> str:
        self.counts["started"] += 1
        return self.server.call("start_job", command, settings, "")["id"]

    def wait(self, job: str, *states: str) -> dict[str, Any]:
        return self._follow(job, " or ".join(states), lambda told: told["state"] in states)

    def wait_for_checkpoint(self, job: str) -> None:
        self._follow(job, "a checkpoint", lambda told: bool(told["checkpoints"]))

    def _follow(self, job: str, what: str, has_come: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for a job until it has come so far; RuntimeError where it ended before, or takes too long."""
        deadline = time.monotonic() + self.patience_s
        while True:
            told = self.server.call("get_job", job)
            if has_come(told):
                return told
            if told["state"] in ENDED:
                raise RuntimeError(f"{job} is {told['state']} and did not come to {what}: {told['error']}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{job} is {told['state']} and did not come to {what} in time")
            time.sleep(0.5)

    def finish(self, command: str, settings: dict[str, Any]) -> dict[str, Any]:
        told = self.wait(self.start(command, settings), "done")
        self.counts["done"] += 1
        return told

    def prepare(self) -> None:
        self.finish("simulate", {"stocks": 8, "sessions": 300})
        self.finish("build-panel", {})

    def long_training(self, epochs: int) -> dict[str, Any]:
        """A whole training with the page polled all the while; what it left."""
        begun = time.monotonic()
        told = self.finish("train", TRAINING | {"epochs": epochs})
        folder = self.workspace / "jobs" / told["id"]
        lines = (folder / "events.jsonl").read_bytes().splitlines()
        epochs_told = sum(json.loads(line)["kind"] == "epoch" for line in lines)
        return {
            "epochs": epochs_told,
            "seconds": round(time.monotonic() - begun, 1),
            "event_kib": round((folder / "events.jsonl").stat().st_size / 1024, 1),
        }

    def round(self, number: int) -> str:
        """Start a training, end it by a stop or a kill, resume it, stop it; the last checkpoint it left."""
        job = self.start("train", TRAINING | {"epochs": 10_000})
        self.wait_for_checkpoint(job)
        if number % 3 == KILLED_ROUND:
            process = json.loads((self.workspace / "jobs" / job / "process.json").read_text())
            os.kill(process["pid"], signal.SIGKILL)
            self.wait(job, "lost")
            self.counts["killed"] += 1
        else:
            self.server.call("stop_job", job)
            self.wait(job, "stopped")
            self.counts["stopped"] += 1
        checkpoint = self.server.call("get_job", job)["checkpoints"][-1]
        resumed = self.start("train", TRAINING | {"epochs": 10_000, "resume": checkpoint})
        self.wait_for_checkpoint(resumed)
        self.counts["resumed"] += 1
        self.server.call("stop_job", resumed)
        told = self.wait(resumed, "stopped")
        self.counts["stopped"] += 1
        return told["checkpoints"][-1]

    def forecast(self, checkpoint: str) -> None:
        self.finish("forecast", {"checkpoint": checkpoint, "all": True})


def soak(
    minutes: float, epochs: int, workspace: Path, port: int, is_brief: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """What was measured, and the bounds that were broken."""
    begun = time.monotonic()
    end = threading.Event()
    long: dict[str, Any] = {}
    ending: dict[str, float] = {}
    pace = BRISK if is_brief else Pace()
    with page(workspace, port, ending) as (server, pid):
        reader, watch = Reader(server, pace), Watch(pid, workspace)
        worker = Worker(server, workspace, BRIEF_JOB_S if is_brief else JOB_S)
        sampler = threading.Thread(target=watch.keep_on, args=(end,), daemon=True)
        if not is_brief:
            reader.fill()
        reader.start()
        sampler.start()
        try:
            if is_brief:
                worker.round(KILLED_ROUND)
                rounds = 1
            else:
                worker.prepare()
                if epochs:
                    long = worker.long_training(epochs)
                for number in itertools.count():
                    worker.forecast(worker.round(number))
                    rounds = number + 1
                    if time.monotonic() - begun > 60 * minutes:
                        break
        finally:
            reader.close()
            end.set()
            sampler.join(timeout=30)
        watch.sample()
    left = wait_for_the_last(workspace)
    (slope, error), (late, late_error) = watch.slope(), watch.slope(2 / 3)
    fifth = max(len(watch.rss) // 5, 1)
    events = [path.stat().st_size for path in workspace.glob("jobs/*/events.jsonl")]
    measured = {
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "rounds": rounds,
        **worker.counts,
        "polls": reader.polls,
        "polls_with_news": reader.news,
        "reloads": reader.reloads,
        "language_switches": reader.switches,
        "slowest_poll_s": round(reader.worst_s, 2),
        "poll_faults": len(reader.faults),
        "rss_mib_after_a_fifth": round(float(np.median(watch.rss[fifth : 2 * fifth] or watch.rss)), 1),
        "rss_mib_last_fifth": round(float(np.median(watch.rss[-fifth:])), 1),
        "rss_mib_most": round(max(watch.rss), 1),
        "rss_slope_mib_per_h": round(slope, 1),
        "rss_slope_standard_error": round(error, 1),
        "rss_slope_last_third_mib_per_h": round(late, 1),
        "rss_slope_last_third_standard_error": round(late_error, 1),
        "handles_after_a_fifth": int(np.median(watch.handles[fifth : 2 * fifth] or watch.handles)),
        "handles_last_fifth": int(np.median(watch.handles[-fifth:])),
        "threads_most": max(watch.threads),
        "job_rss_mib_most": round(watch.job_rss, 1),
        "job_processes_most": watch.most_jobs,
        **ending,
        "processes_left": len(left),
        "event_files": len(events),
        "largest_event_file_kib": round(max(events) / 1024, 1),
        "part_files_left": len(list(workspace.rglob(".*.part"))),
        **{f"long_training_{name}": value for name, value in long.items()},
    }
    broken = []
    if left:
        broken.append(f"processes left: {left}")
    if reader.faults:
        broken.append(f"polls that failed: {reader.faults[:3]}")
    if ending["page_exit_s"] > MAX_EXIT_S:
        broken.append("the page was slow to end")
    if measured["handles_last_fifth"] - measured["handles_after_a_fifth"] > MAX_HANDLE_GROWTH:
        broken.append("file handles grew")
    if not is_brief and minutes >= 10 and slope - 2 * error > MAX_SLOPE_MIB_PER_H:
        broken.append("the page's memory grew")
    if max(watch.rss) > MAX_RSS_MIB:
        broken.append(f"the page took more than {MAX_RSS_MIB:g} MiB")
    if min(reader.news, reader.reloads - 1, reader.switches) < 1:
        broken.append("the page had no news, was not reloaded or not told another language")
    if measured["part_files_left"]:
        broken.append("unfinished files were left")
    if epochs and not is_brief and long["epochs"] != epochs:
        broken.append("the long training ended early")
    return measured, broken


def main() -> int:
    global ANSWER_S
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--epochs", type=int, default=200, help="of the long training at the start; 0: none")
    parser.add_argument("--brief", action="store_true", help="one round, on a workspace that has its panel")
    parser.add_argument("--port", type=int, default=19860)
    parser.add_argument("--workspace", type=Path, help="a new folder; a temporary one when not given")
    parser.add_argument("--answer-s", type=float, default=ANSWER_S, help="the longest an answer may take")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the page is ended all the same
    ANSWER_S = options.answer_s
    with tempfile.TemporaryDirectory() as temporary:
        workspace = (options.workspace or Path(temporary)).resolve()
        workspace.mkdir(parents=True, exist_ok=True)
        measured, broken = soak(options.minutes, options.epochs, workspace, options.port, options.brief)
    print(describe_machine("torch", "gradio"))
    print_table("Soak", ("figure", "value"), list(measured.items()))
    print("\nbounds: " + ("all held" if not broken else "; ".join(broken)))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
