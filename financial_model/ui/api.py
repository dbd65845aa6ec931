"""The page's interface to programs: named, typed, and through the same jobs as its buttons.

`gradio_client.Client("http://127.0.0.1:7860").predict(..., api_name="/start_job")`; every function is listed,
with its description, by `client.view_api()`.
"""

from typing import Any

import gradio as gr

from ..base.errors import BadSetting, FinancialModelError
from . import actions
from .frame import Page
from .job import COMMANDS, Job


def publish(page: Page) -> None:
    """Register the public functions; call it inside the page's Blocks."""

    def start_job(command: str, settings: dict, after: str = "") -> dict:
        """Start (or queue) a job. command: simulate, download, import, build-panel, analyze, train, forecast,
        scan, evaluate, backtest, walk-forward, doctor. settings: the JSON of that command's settings; what is
        left out keeps its default. after: the id of a job that must end well first. Returns the job."""
        return _told(
            lambda: describe(page.jobs.start(command, settings_of(command, settings), after or None))
        )

    def load_market(command: str, settings: dict) -> dict:
        """Bring a market in (simulate, download or import), then build the panel. Returns the job that
        builds the panel: when it is done, everything is."""

        def act() -> dict[str, Any]:
            if command not in ("simulate", "download", "import"):
                raise BadSetting("command", command, "one of simulate, download, import")
            return describe(actions.load_market(page.jobs, command, settings_of(command, settings))[1])

        return _told(act)

    def get_job(job: str) -> dict:
        """Where a job stands: state (queued, running, stopping, done, stopped, failed, lost), share, left_s,
        its last events, and its result once it is done."""
        return _told(lambda: describe(page.jobs.get(job), with_result=True))

    def list_jobs() -> list:
        """Every job of the workspace, oldest first."""
        return _told(lambda: [describe(job) for job in page.jobs.all()])

    def stop_job(job: str) -> dict:
        """Ask a job to stop at its next step and save; one that waits never starts."""
        return _told(lambda: describe(page.jobs.stop(job)))

    def market() -> dict:
        """What the workspace holds: stocks, bars, first and last session, whether it is simulated."""
        status = page.view("en").market
        return {
            "stocks": status.stocks,
            "bars": status.bars,
            "first_session": status.first_session,
            "last_session": status.last_session,
            "is_simulated": status.is_simulated,
            "has_panel": status.has_panel,
        }

    for function in (start_job, load_market, get_job, list_jobs, stop_job, market):
        gr.api(function, api_name=function.__name__, concurrency_limit=8)


def settings_of(command: str, values: Any) -> Any:
    """The settings of a command from their JSON; BadSetting names what does not fit."""
    if not isinstance(command, str) or command not in COMMANDS:
        raise BadSetting("command", command, f"one of {', '.join(COMMANDS)}")
    kind, _ = COMMANDS[command]
    if command == "import" and isinstance(values, dict) and "path" in values:
        return actions.import_settings(
            str(values["path"]), values.get("max_stocks"), values.get("volume_unit")
        )
    return kind.from_json(values)


def describe(job: Job, with_result: bool = False) -> dict[str, Any]:
    """A job as JSON-like values."""
    told: dict[str, Any] = {
        "id": job.id,
        "command": job.command,
        "state": job.state,
        "settings": job.settings,
        "arguments": job.arguments,
        "share": job.share(),
        "left_s": job.left_s(),
        "error": job.trail.end if job.state == "failed" else None,
        "checkpoints": [event.get("path") for event in job.trail.checkpoints],
    }
    if with_result:
        told |= {"result": job.result(), "last": job.trail.step or job.trail.progress or job.trail.stage}
        told["epochs"] = job.curves.epochs[-50:]
    return told


def _told(act: Any) -> Any:
    """Hand our own errors to the caller in their own words."""
    try:
        return act()
    except FinancialModelError as error:
        raise gr.Error(str(error), title=type(error).__name__, print_exception=False) from error
