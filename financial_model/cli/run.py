"""One run of a workflow for a shell: its progress, its stop, and the exit status it earns."""

import contextlib
import importlib
import os
import signal
import sys
import traceback
from pathlib import Path

import typer

from ..base.config import Settings
from ..base.errors import DiskFull, FinancialModelError, OutOfMemory, StopRequested
from ..base.progress import RESULT_FILE, JobFolder, Progress, Sink, TerminalSink
from ..base.workspace import NO_ROOM, Workspace, write_json
from .told import fail, tell

DONE, FAULT, BAD_INPUT, STOPPED = 0, 1, 2, 130
# What a single process of several can meet alone, and then has to say itself; all else they meet alike.
OF_ONE_PROCESS = (DiskFull, OutOfMemory)


def is_writer() -> bool:
    """Under torchrun one process tells and writes, the others work."""
    return os.environ.get("RANK", "0") == "0"


def run(target: str, settings: Settings, workspace: Path, as_json: bool, job: Path | None) -> None:
    """Call `workflows.MODULE:FUNCTION`, imported only now, and leave with the exit status it earned."""
    stop = _StopFlag()
    writes = is_writer()
    folder = JobFolder(job) if job is not None and writes else None
    sinks: list[Sink] = [TerminalSink()] if writes else []
    if folder is not None:
        sinks.append(folder)
    progress = Progress(
        *sinks, stop=lambda: stop.is_set or (folder is not None and folder.is_stop_requested())
    )
    module, _, function = target.partition(":")
    try:
        with stop:
            workflow = getattr(importlib.import_module(f"financial_model.workflows.{module}"), function)
            result = workflow(settings, Workspace(workspace), progress)
        if folder is not None:
            write_json(folder.folder / RESULT_FILE, result)
        stopped = bool(result.get("stopped"))
        progress.emit("stopped" if stopped else "result", message=str(result.get("message", "")))
        if writes:
            tell(result, as_json)
        status = STOPPED if stopped else DONE
    except StopRequested as error:
        progress.emit("stopped", message=str(error), fields=error.fields)
        if writes:
            tell({"stopped": True, "message": str(error), **error.fields}, as_json)
        status = STOPPED
    except KeyboardInterrupt:
        progress.emit("stopped", message="Stopped at once; what was saved before stands.")
        status = STOPPED
    except FinancialModelError as error:
        _last_words(progress, error)
        if writes or isinstance(error, OF_ONE_PROCESS):
            fail(error, as_json and writes)
        status = BAD_INPUT
    except Exception as error:
        status = FAULT
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            told = DiskFull(Path(error.filename or workspace), error.strerror or "no space left")
            _last_words(progress, told)
            fail(told, as_json and writes)
            status = BAD_INPUT
        else:
            traceback.print_exc()
            _last_words(progress, error)
    finally:
        if folder is not None:
            folder.close()
    raise typer.Exit(status)


def _last_words(progress: Progress, error: Exception) -> None:
    """Tell why it ended; a disk that has no room even for that must not hide the reason."""
    told = {"error": "InternalError", "message": f"{type(error).__name__}: {error}", "fields": {}}
    if isinstance(error, FinancialModelError):
        told = {"error": type(error).__name__, "message": str(error), "fields": error.fields}
    with contextlib.suppress(OSError):
        progress.emit("error", **told)


class _StopFlag:
    """The first Ctrl-C asks the workflow to stop at its next step, the second stops at once."""

    def __init__(self) -> None:
        self.is_set = False

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.is_set:
            raise KeyboardInterrupt
        self.is_set = True
        if not is_writer():
            return
        print("\nstopping at the next step; once more stops at once", file=sys.stderr)
