"""What a job has told, line by line, in the language of the page; its log stays in its own words."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from html import escape
from typing import Any

from ..base.progress import EVENT_FILE, Event
from .evaluation_charts import baseline_name
from .job import Job, events_from
from .translations import Translate, figure
from .widgets import job_error

MAX_JOBS, MAX_LINES = 4, 300
# What passes by is shown where it is drawn, not told.
PASSING = ("step", "progress")


class StoryReader:
    """Keeps what the jobs that were looked at last have told, and reads on where it stopped."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, list[Event]]] = OrderedDict()

    def events(self, job: Job) -> list[Event]:
        """The newest events of a job but those that pass by, oldest first."""
        offset, events = self._known.pop(job.id, (0, []))
        try:
            for event, end in events_from(job.folder / EVENT_FILE, offset):
                offset = end
                if event.get("kind") not in PASSING and event:
                    events = [*events, event][-MAX_LINES:]
        except OSError:
            events, offset = [], 0
        self._known[job.id] = (offset, events)
        while len(self._known) > MAX_JOBS:
            self._known.popitem(last=False)
        return events


def story(t: Translate, job: Job, events: Sequence[Event]) -> str:
    """The events as a list with their times, what is a warning marked as one."""
    lines = []
    for event in events:
        text = line(t, job, event)
        if not text:
            continue
        at = event.get("time")
        clock = time.strftime("%H:%M:%S", time.localtime(at)) if isinstance(at, (int, float)) else ""
        kind = {"warning": "warn", "error": "failed"}.get(str(event.get("kind")), "")
        lines.append(f'<li class="{kind}"><time>{clock}</time><span>{escape(text)}</span></li>')
    return f'<ol class="story">{"".join(lines)}</ol>' if lines else ""


def line(t: Translate, job: Job, event: Event) -> str:
    """One event as a sentence; nothing for what says nothing of its own."""
    match event.get("kind"):
        case "stage":
            return _stage(t, job, event)
        case "epoch":
            return _epoch(t, event)
        case "checkpoint":
            return t("story.saved", path=event.get("path", ""))
        case "warning" | "note":
            return _note(t, event)
        case "error":
            return job_error(t, job)
        case "stopped":
            return t("story.stopped")
        case "result":
            message = str(event.get("message") or "")
            return message if message and t.language == "en" else t("story.done")
    return ""


def _stage(t: Translate, job: Job, event: Event) -> str:
    stage, message = str(event.get("stage", "")), str(event.get("message") or "")
    if job.command == "doctor":
        return t("story.checking", check=t.choice("check", stage))
    if t.language == "en" and message:
        return message[:1].upper() + message[1:]
    fields: dict[str, Any] = {
        name: f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in event.items()
        if name != "key"
    }
    if stage == "baseline":
        fields["baseline"] = baseline_name(t, str(event.get("baseline", "")))
    for key in (f"stage.{stage}.told", f"stage.{stage}"):
        if t.has(key):
            try:
                return t(key, **fields)
            except (KeyError, IndexError, ValueError):
                continue  # an event of an earlier version tells less
    return message or stage


def _epoch(t: Translate, event: Event) -> str:
    told = [t("story.epoch", epoch=event.get("epoch", "?"), count=event.get("epoch_count", "?"))]
    for name, digits in (("train_loss", 4), ("valid_loss", 4), ("valid_rank_ic", 4)):
        if isinstance(event.get(name), (int, float)):
            told.append(f"{t(f'story.{name}')} {figure(event[name], digits)}")
    return " · ".join(told)


def _note(t: Translate, event: Event) -> str:
    if event.get("key") == "doctor":
        remedy = f"remedy.{event.get('remedy')}"
        return t(
            "story.check",
            check=t.choice("check", event.get("check")),
            value=t.measured(str(event.get("value", ""))),
            remedy=t(remedy) if t.has(remedy) else "",
        ).strip()
    return t.warning(event)
