"""Jobs with commands made for the occasion: they sleep, speak, stop and die as a test needs."""

import asyncio
import contextlib
import inspect
import re
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from financial_model.base.workspace import Workspace
from financial_model.ui.job import Job
from financial_model.ui.jobs import Jobs

if TYPE_CHECKING:
    from financial_model.ui.frame import Page

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
while time.time() < deadline and not (folder / "finish").exists():
    if (folder / "stop").exists() and not plan.get("deaf"):
        tell(kind="stopped", message="Stopped as asked.", fields={"saved": "output/x_final.pt"})
        sys.exit(130)
    time.sleep(0.02)
end = plan.get("end", "result")
if end == "result":
    (folder / "result.json").write_text(json.dumps(plan.get("result", {"stocks": 3})), encoding="utf-8")
    tell(kind="result", message="")
elif end == "error":
    tell(kind="error", error="NoPanel", message="There is no panel.", fields={"path": "panel.arrow"})
    sys.exit(2)
elif end == "silence":
    sys.exit(1)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def make_jobs(workspace: Workspace) -> Iterator[Callable[..., Jobs]]:
    """Make `Jobs` whose commands follow a plan: `make_jobs({"sleep_s": 1})`, or a plan a command; a file
    `finish` in its folder ends the sleep of a job. `like=jobs` is another page on the same workspace."""
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


# ---------------------------------------------------------------------- a part of the page, without a server


class Built:
    """Tabs that were built for a look at their widgets; `press` does what the browser does with them."""

    def __init__(self, page: "Page", *tabs: Callable[["Page"], None]) -> None:
        import gradio as gr

        async def build() -> gr.Blocks:
            with gr.Blocks() as demo:
                page.header()
                with gr.Tabs():
                    for tab in tabs:
                        tab(page)
            return demo

        self.page = page
        # Where no event loop runs Gradio makes one, and leaves it open.
        self.demo = asyncio.run(build())

    def named(self, elem_id: str) -> Any:
        return next(one for one in self.demo.blocks.values() if getattr(one, "elem_id", None) == elem_id)

    def press(self, elem_id: str, *values: Any, event: str = "click") -> Any:
        """What the function behind an event answers: the last of its answers where it has several."""
        wanted = (self.named(elem_id)._id, event)
        act = next(fn.fn for fn in self.demo.fns.values() if wanted in fn.targets)
        answer = act(*values)
        return list(answer)[-1] if inspect.isgenerator(answer) else answer


@pytest.fixture
def built(workspace: Workspace) -> Callable[..., Built]:
    """Build tabs in English: `built(download.build)`, on jobs or another workspace where they are given."""

    def build(*tabs: Any, jobs: Jobs | None = None, space: Workspace = workspace) -> Built:
        from financial_model.ui.frame import Page
        from financial_model.ui.translations import Translate

        return Built(Page(space, jobs or Jobs(space), Translate("en")), *tabs)

    return build


# ---------------------------------------------------------------------- the page itself

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def page_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="session")
def page_url(page_workspace: Path) -> Iterator[str]:
    """The address of a page in a process of its own, on an empty workspace."""
    with running_page(page_workspace, port=18860) as url:
        yield url


@contextlib.contextmanager
def running_page(workspace: Path, port: int, *arguments: str) -> Iterator[str]:
    command = [
        sys.executable,
        "gradio_app.py",
        "--no-browser",
        "--port",
        str(port),
        "--workspace",
        str(workspace),
    ]
    with subprocess.Popen([*command, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as page:
        try:
            assert page.stdout is not None
            for line in page.stdout:
                if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                    wait_until(lambda url=match[0]: _answers(url), timeout_s=60)
                    yield match[0]
                    break
        finally:
            end(page)
            Jobs(Workspace(workspace)).close()
            for job in Jobs(Workspace(workspace)).all():
                if job.is_active:
                    Jobs(Workspace(workspace)).stop(job.id, at_once=True)


def end(page: subprocess.Popen[str], limit_s: float = 60.0) -> None:
    """Ask the page to end, as Ctrl+C does; one that does not is killed, and told."""
    page.terminate()
    try:
        page.wait(timeout=limit_s)
    except subprocess.TimeoutExpired:
        page.kill()
        raise


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="session")
def client(page_url: str):
    """A program that uses the page's interface."""
    gradio_client = pytest.importorskip("gradio_client")
    with warnings.catch_warnings():
        # Its own client warns of what it does itself.
        warnings.simplefilter("ignore")
        made = gradio_client.Client(page_url, verbose=False)
    yield made
    made.close()


# ---------------------------------------------------------------------- a workspace with something in it


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small practice market with its panel and one short training, made once for all tests that look."""
    from financial_model.base.config import (
        ModelSettings,
        PanelSettings,
        SimulateSettings,
        TrainSettings,
    )
    from financial_model.base.progress import Progress
    from financial_model.workflows.build_panel import build_panel
    from financial_model.workflows.simulate import simulate
    from financial_model.workflows.train_model import train_model

    made = Workspace(tmp_path_factory.mktemp("trained"))
    simulate(SimulateSettings(stocks=16, sessions=420), made, Progress())
    build_panel(PanelSettings(), made, Progress())
    model = ModelSettings(context_length=20, hidden_size=16, layers=1, heads=2)
    train_model(TrainSettings(name="small", model=model, epochs=1, batch_size=512), made, Progress())
    return made
