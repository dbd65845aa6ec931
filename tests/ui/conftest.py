"""Jobs with commands made for the occasion: they sleep, speak, stop and die as a test needs."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from financial_model.base.workspace import Workspace
from financial_model.ui.jobs import Job, Jobs

# A command that tells what a test wrote beside it, then ends as the test wants.
SCRIPT = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
plan = json.loads(sys.argv[2])

def tell(**event):
    with open(folder / "events.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"time": time.time(), **event}) + chr(10))

print("hello from", plan.get("word", "a job"), flush=True)
for event in plan.get("events", []):
    tell(**event)
deadline = time.time() + plan.get("sleep_s", 0)
while time.time() < deadline:
    if (folder / "stop").exists() and not plan.get("deaf"):
        tell(kind="stopped", message="Stopped as asked.", fields={"saved": "output/x_final.pt"})
        sys.exit(130)
    time.sleep(0.02)
end = plan.get("end", "result")
if end == "result":
    (folder / "result.json").write_text(json.dumps(plan.get("result", {"stocks": 3})), encoding="utf-8")
    tell(kind="result", message="")
elif end == "error":
    tell(kind="error", error="NoPanel", message="There is no panel.", fields={"path": "data_cache/panel.arrow"})
    sys.exit(2)
elif end == "silence":
    sys.exit(1)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def make_jobs(workspace: Workspace) -> Iterator[Callable[..., Jobs]]:
    """Make `Jobs` whose commands follow a plan: `make_jobs({"sleep_s": 1})`, or a plan a command;
    `like=jobs` is another page on the same workspace."""
    made: list[Jobs] = []
    workspace.root.mkdir(parents=True)

    def make(plan: dict | None = None, like: Jobs | None = None, **plans: dict) -> Jobs:
        import json

        def command(job: Job) -> list[str]:
            chosen = plans.get(job.command.replace("-", "_"), plan or {})
            return [sys.executable, "-c", SCRIPT, str(job.folder), json.dumps(chosen)]

        jobs = Jobs(workspace, like._command if like else command)
        made.append(jobs)
        return jobs

    yield make
    for jobs in made:
        jobs.close()
        for job in jobs.all():
            if job.is_active:
                jobs.stop(job.id, at_once=True)
        for child in jobs._children.values():
            child.wait(timeout=30)


def wait_until(is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Look again until it is so."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.02)


@pytest.fixture
def wait() -> Callable[..., None]:
    return wait_until
