"""Pictures of every tab, in both languages, light and dark, wide and narrow, on a market full of work.

    python benchmarks/screenshots.py --workspace W --out pictures
    python benchmarks/screenshots.py --url http://127.0.0.1:7860 --out pictures --views runs,system

With --workspace it fills W first (practice market, trainings, ranking, forecast of a CSV file, evaluation,
walk-forward, backtest; what is there already is not made again, so a run that was cut off goes on), opens a
page of its own on it and starts a long training for the views that show one. With --url it takes the page as
it is. Prints what the browser complained of; a page that scrolls sideways is told too.
"""

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from financial_model.base.config import (  # noqa: E402
    AnalyzeSettings,
    BacktestSettings,
    EvaluateSettings,
    ForecastSettings,
    ModelSettings,
    PanelSettings,
    Settings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from financial_model.base.workspace import Workspace  # noqa: E402
from financial_model.ui.job import Job  # noqa: E402
from financial_model.ui.jobs import Jobs  # noqa: E402

# view -> (tab, what to do in it before the picture: css selectors to click, in turn)
VIEWS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        tab: (tab, ())
        for tab in ("download", "universe", "basic", "multi", "inference", "evaluation", "runs", "system")
    },
    "practice-form": ("download", ("#tab-download .settings .seg label:nth-child(3)",)),
    "multi-open": ("multi", ("#tab-multi .fold-box > .fold > button.label-wrap",)),
    "inference-own": ("inference", ("#tab-inference .fold > button.label-wrap",)),
    "walk-forward": ("evaluation", ("#evaluation-mode label:nth-child(2)",)),
    "backtest": ("evaluation", ("#evaluation-mode label:nth-child(3)",)),
    "runs-compared": (
        "runs",
        ("#tab-runs tr[data-code]:nth-child(2)", "#tab-runs tr[data-code]:nth-child(1)"),
    ),
    "system-log": ("system", ("#tab-system tr[data-code]:nth-child(2)",)),
}
# Views of a page on which a long training runs and another waits, and of one without any data.
RUNNING_VIEWS = {"multi-running": "multi", "basic-queued": "basic", "download-running": "download"}
EMPTY_VIEWS = {f"empty-{tab}": tab for tab in ("download", "universe", "basic", "multi")}
EMPTY_VIEWS |= {f"empty-{tab}": tab for tab in ("inference", "evaluation", "runs", "system")}
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
HEIGHTS = {390: 844, 1280: 900, 1440: 900, 1760: 1000}
PATIENCE_S = 1800.0
# The language has been set, and each chart that is shown has its picture or the sentence that stands for it.
READY = """(language) => document.documentElement.lang.startsWith(language)
  && document.querySelector("#chips .chip")
  && [...document.querySelectorAll(".tabitem .chart")].filter((one) => one.offsetWidth > 0).every(
    (one) => one.querySelector("h3").textContent
      && (one.querySelector(".empty").textContent || one.querySelector("svg")))"""
MODEL = ModelSettings(context_length=30, hidden_size=64, layers=2, heads=4)
LONG = TrainSettings(name="long", model=MODEL, epochs=40, patience=40, batch_size=1024)


# ---------------------------------------------------------------------- a workspace full of work


def furnish(workspace: Workspace, stocks: int, sessions: int) -> None:
    """Run the jobs that the pictures show, each once."""
    jobs = Jobs(workspace).open()
    try:
        run(jobs, "simulate", SimulateSettings(stocks=stocks, sessions=sessions))
        run(jobs, "build-panel", PanelSettings())
        run(jobs, "analyze", AnalyzeSettings())
        basic = ModelSettings(model="lstm", context_length=30, hidden_size=32, layers=1, heads=1)
        codes = tuple(path.stem for path in sorted(workspace.bars_dir.glob("*.csv"))[:3])
        run(jobs, "train", TrainSettings(name="basic", model=basic, epochs=6, batch_size=64, codes=codes))
        run(jobs, "train", TrainSettings(name="conditional_v1", model=MODEL, epochs=4))
        run(jobs, "train", TrainSettings(name="conditional_v2", model=MODEL, epochs=6, learning_rate=0.002))
        checkpoint = newest_checkpoint(workspace, "conditional_v2")
        run(jobs, "scan", ForecastSettings(checkpoint=checkpoint))
        bars = workspace.bars_dir / f"{codes[0]}.csv"
        run(jobs, "forecast", ForecastSettings(checkpoint=checkpoint, bars=str(bars)))
        run(jobs, "evaluate", EvaluateSettings(checkpoints=(checkpoint,)))
        run(jobs, "backtest", BacktestSettings(checkpoint=checkpoint, top=20, drop=3))
        fold = TrainSettings(name="walk", model=MODEL, epochs=2)
        run(jobs, "walk-forward", WalkForwardSettings(train=fold, folds=2))
    finally:
        jobs.close()


def run(jobs: Jobs, command: str, settings: Settings) -> None:
    """One job to its good end, unless one with these settings has come to it already."""
    asked = settings.to_json()
    mine = [job for job in jobs.all() if job.command == command and job.settings == asked]
    job = next((job for job in mine if job.state == "done"), None)
    job = job or next((job for job in mine if job.is_active), None) or jobs.start(command, settings)
    begun = time.monotonic()
    while job.is_active and time.monotonic() - begun < PATIENCE_S:
        time.sleep(0.3)
        job = jobs.get(job.id)
    if job.state != "done":
        raise SystemExit(f"{command} is {job.state}:\n{job.log_tail(4000)}")
    print(f"{command} {settings.to_json().get('name', '')}: {job.id}", flush=True)


def newest_checkpoint(workspace: Workspace, name: str) -> str:
    path = max((workspace.root / "output").glob(f"{name}_*_best.pt"))
    return path.relative_to(workspace.root).as_posix()


@contextlib.contextmanager
def own_page(workspace: Workspace) -> Iterator[str]:
    """A page on a free port, ended with the block."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    command = [sys.executable, str(REPOSITORY / "gradio_app.py"), "--no-browser", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [*command, "--workspace", str(workspace.root)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as page:
        try:
            while not answers(url):
                if page.poll() is not None:
                    raise SystemExit("the page ended by itself")
                time.sleep(0.2)
            yield url
        finally:
            page.terminate()
            page.wait(timeout=30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def long_training(workspace: Workspace) -> Iterator[None]:
    """A training that runs, one that waits, while the block lasts."""
    jobs = Jobs(workspace)
    job = jobs.start("train", LONG)
    waiting = jobs.start("train", TrainSettings(name="waiting", model=ModelSettings(model="lstm")))
    try:
        begun = time.monotonic()
        while len(jobs.get(job.id).curves.epochs) < 2 and time.monotonic() - begun < PATIENCE_S:
            time.sleep(0.5)
        yield
    finally:
        for one in (waiting, job):
            jobs.stop(one.id, at_once=True)
        wait_for_end(jobs, jobs.get(job.id))


def wait_for_end(jobs: Jobs, job: Job) -> None:
    while jobs.get(job.id).is_active:
        time.sleep(0.2)
    for path in jobs.workspace.output_dir.glob(f"{LONG.name}_*"):
        path.unlink()


# ---------------------------------------------------------------------- pictures


def open_page(browser: Browser, url: str, language: str, theme: str, width: int) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHTS.get(width, 900)},
        locale="zh-CN" if language == "zh" else "en-US",
        color_scheme=theme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.goto(url)
    page.wait_for_selector("#chips .name")
    settle(page, language)
    return page


def settle(page: Page, language: str) -> None:
    """Wait until the page stands: all is drawn, and between two looks nothing but figures has changed."""
    page.wait_for_function(READY, arg=language)
    before = ""
    while (now := page.evaluate("document.body.innerText.replace(/[0-9.:,]+/g, '')")) != before:
        before = now
        page.wait_for_timeout(1500)


def take(page: Page, out: Path, views: dict[str, tuple[str, tuple[str, ...]]], ending: str) -> list[str]:
    """Pictures of some views in one language, theme and width; what the browser complained of."""
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    width, language = int(page.evaluate("window.innerWidth")), ending[:2]
    for view, (tab, clicks) in views.items():
        page.evaluate(f"window.Hermes.openTab('{tab}')")
        settle(page, language)
        for selector in clicks:
            for target in page.locator(selector).all():
                target.evaluate("one => one.click()")  # not at a place, where a sticky button may lie over it
                settle(page, language)
        page.evaluate("document.activeElement && document.activeElement.blur()")
        page.mouse.move(2, 300)
        page.wait_for_timeout(300)
        page.screenshot(path=out / f"{view}-{ending}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            seen.append(f"{view} scrolls sideways at {width}")
    return seen


def warm(browser: Browser, url: str) -> None:
    """Have one stock forecast, so that the tab of forecasts shows one."""
    page = open_page(browser, url, "en", "light", 1280)
    page.evaluate("window.Hermes.openTab('inference')")
    page.wait_for_selector("#inference-go:not([disabled])", timeout=60_000)
    page.click("#inference-go")
    page.wait_for_selector("#tab-inference .stock-figures", timeout=180_000)
    page.context.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="a page that is running")
    parser.add_argument("--workspace", type=Path, help="a folder to fill and to open a page on")
    parser.add_argument("--stocks", type=int, default=120)
    parser.add_argument("--sessions", type=int, default=1100)
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    parser.add_argument("--views", help="by default all of them")
    parser.add_argument("--languages", default="zh,en")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--widths", default="1280,390")
    options = parser.parse_args()
    if not options.url and not options.workspace:
        parser.error("either --url or --workspace")
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = options.views.split(",") if options.views else [*VIEWS, *RUNNING_VIEWS, *EMPTY_VIEWS]
    kinds = [
        (language, theme, int(width))
        for language in options.languages.split(",")
        for theme in options.themes.split(",")
        for width in options.widths.split(",")
    ]
    complaints: list[str] = []
    program = shutil.which("chromium") or shutil.which("google-chrome")

    with sync_playwright() as playwright, contextlib.ExitStack() as stack:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)

        def shoot(url: str, views: dict[str, tuple[str, tuple[str, ...]]]) -> None:
            for language, theme, width in kinds if views else []:
                page = open_page(browser, url, language, theme, width)
                ending = f"{language}-{theme}-{width}"
                complaints.extend(f"{ending}: {text}" for text in take(page, options.out, views, ending))
                page.context.close()

        def chosen(views: dict[str, str]) -> dict[str, tuple[str, tuple[str, ...]]]:
            return {view: (tab, ()) for view, tab in views.items() if view in wanted}

        plain = {view: VIEWS[view] for view in VIEWS if view in wanted}
        if options.url:
            shoot(options.url, plain | chosen(RUNNING_VIEWS) | chosen(EMPTY_VIEWS))
        else:
            workspace = Workspace(options.workspace)
            if plain or chosen(RUNNING_VIEWS):
                furnish(workspace, options.stocks, options.sessions)
                with own_page(workspace) as url:
                    if "inference" in wanted:
                        warm(browser, url)
                    shoot(url, plain)
                    if chosen(RUNNING_VIEWS):
                        with long_training(workspace):
                            shoot(url, chosen(RUNNING_VIEWS))
            if chosen(EMPTY_VIEWS):
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                with own_page(Workspace(folder)) as url:
                    time.sleep(15)  # the machine is checked some seconds after the start
                    shoot(url, chosen(EMPTY_VIEWS))
        browser.close()
    for text in complaints:
        print(text)
    print(f"pictures in {options.out}, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
