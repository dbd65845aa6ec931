"""What a workflow tells while it works: events, and the question whether to stop.

A workflow is handed one `Progress` and knows nothing of terminals, pages or files. An event is a flat
dict of JSON-like values with at least `kind` and `time` (seconds since the epoch).

| kind | fields |
| --- | --- |
| stage | stage (a short key such as "build_panel"), message |
| progress | done, total, unit, detail |
| step | step, step_count, epoch, epoch_count, loss, parts, samples_per_s, learning_rate, gradient_norm,
left_s |
| epoch | epoch, epoch_count, train_loss, valid_loss, valid_rank_ic, valid_rank_ic_se, best_epoch, ... |
| checkpoint | path, which ("best", "epoch", "final") |
| warning, note | message, and key + fields where the page should translate it |
| result | the result of the workflow |
| error | error (class name), message, fields |
| stopped | message |
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TextIO

from .errors import StopRequested
from .workspace import make_folder

Event = dict[str, Any]

EVENT_FILE = "events.jsonl"
RESULT_FILE = "result.json"
STOP_FILE = "stop"


class Sink(Protocol):
    """Anything that takes events: a terminal, a job folder, a test's list."""

    def __call__(self, event: Event) -> None: ...


class Progress:
    """Hands events to its sinks and answers whether the user asked to stop.

    >>> seen = []
    >>> Progress(seen.append).emit("progress", done=1, total=2, unit="stocks")
    >>> seen[0]["kind"], seen[0]["done"]
    ('progress', 1)
    """

    def __init__(self, *sinks: Sink, stop: Callable[[], bool] = lambda: False) -> None:
        self._sinks = sinks
        self._stop = stop

    def emit(self, kind: str, **fields: Any) -> None:
        event = {"kind": kind, "time": round(time.time(), 3), **fields}
        for sink in self._sinks:
            sink(event)

    def also(self, sink: Sink) -> "Progress":
        """The same progress, told to one more."""
        return Progress(*self._sinks, sink, stop=self._stop)

    def stage(self, stage: str, message: str = "", **fields: Any) -> None:
        self.emit("stage", stage=stage, message=message, **fields)

    def warn(self, message: str, **fields: Any) -> None:
        self.emit("warning", message=message, **fields)

    def is_stop_requested(self) -> bool:
        return self._stop()

    def check_stop(self, saved: str) -> None:
        """Raise StopRequested when the user asked to stop; `saved` tells where the work so far lies."""
        if self._stop():
            raise StopRequested(saved)


class JobFolder:
    """A job's folder as a sink: one JSON line an event, and the stop file as the question.

    The file is opened for appending and flushed at each event, so a reader sees whole lines or, at a
    kill, one torn last line that it skips.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.folder = folder
        self._stop_path = folder / STOP_FILE
        self._file: TextIO = (folder / EVENT_FILE).open("a", encoding="utf-8")

    def __call__(self, event: Event) -> None:
        self._file.write(json.dumps(event, ensure_ascii=False, default=str) + "\n")
        self._file.flush()

    def is_stop_requested(self) -> bool:
        return self._stop_path.exists()

    def close(self) -> None:
        self._file.close()


class TerminalSink:
    """Progress on standard error: one line that is rewritten on a terminal, sparse lines elsewhere."""

    def __init__(self, stream: TextIO | None = None, interval_s: float = 0.2) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._interval_s = interval_s if self._is_terminal else 10.0
        self._last = 0.0
        self._open_line = False

    def __call__(self, event: Event) -> None:
        text, passing = describe(event)
        if not text:
            return
        if passing:
            if event["time"] - self._last < self._interval_s:
                return
            self._last = event["time"]
        if self._is_terminal and passing:
            self._stream.write("\r\x1b[K" + text[:160])
            self._open_line = True
        else:
            self._stream.write(("\r\x1b[K" if self._open_line else "") + text + "\n")
            self._open_line = False
        self._stream.flush()


def describe(event: Event) -> tuple[str, bool]:
    """One line for a terminal, and whether the next event may overwrite it."""
    kind = event["kind"]
    if kind == "progress":
        total = event.get("total") or 0
        share = f" {100 * event['done'] / total:3.0f}%" if total else ""
        return (
            f"{event['done']}/{total or '?'} {event.get('unit', '')}{share} {event.get('detail', '')}",
            True,
        )
    if kind == "step":
        text = (
            f"epoch {event['epoch']}/{event['epoch_count']} step {event['step']}/{event['step_count']} "
            f"loss {event['loss']:.4f} {event.get('samples_per_s', 0):.0f} samples/s"
        )
        left_s = event.get("left_s")
        return text + (f" {left_s / 60:.1f} min left" if left_s is not None else ""), True
    if kind == "epoch":
        text = f"epoch {event['epoch']}/{event['epoch_count']} done: train {event['train_loss']:.4f}"
        if event.get("valid_loss") is not None:
            text += f" valid {event['valid_loss']:.4f}"
        if event.get("valid_rank_ic") is not None:
            text += f" RankIC {event['valid_rank_ic']:+.4f}"
        return text, False
    if kind == "checkpoint":
        return f"saved {event['path']}", False
    if kind == "warning":
        return f"note: {event['message']}", False
    if kind in ("stage", "note"):
        return event.get("message") or event.get("stage", ""), False
    return "", False
