"""What the server keeps of each opening of the page and of each call of a program: little, and of few."""

import time
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.queueing import Queue
from gradio.state_holder import SessionState

# Gradio keeps ten thousand of them where nobody says less. The one that has been silent for longest is
# forgotten first, so a page that is looked at stays; one that comes back after that draws itself anew.
MAX_SESSIONS = 128
# How long an answer that nobody fetches is kept, and the place for one of a session that asks nothing more.
ANSWER_KEPT_S, SWEEP_S = 300.0, 60.0


def keep_little(demo: gr.Blocks) -> None:
    """Bound the sessions of a page that is not served yet, and what is kept of each.

    Gradio describes every component anew for each session and keeps that, with all values and charts shown
    since, for links to a page as it stands (gr.DeepLinkButton). This page has none, and it cost 0.7 MiB and
    most of the time of a program's call (benchmarks/page.py).
    """
    demo.state_session_capacity = MAX_SESSIONS
    if SessionState.__init__ is not _begin:
        SessionState.__init__ = _begin
    _sweep(demo._queue)


def _sweep(queue: Queue) -> None:
    """Forget what is answered with the questions that come, once a minute at most."""
    push = queue.push
    silent: dict[str, float] = {}
    last = time.monotonic()

    async def swept(body: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal last
        if time.monotonic() - last > SWEEP_S:
            last = time.monotonic()
            forget_answered(queue, silent, last)
        silent.pop(body.session_hash, None)
        return await push(body, *arguments, **named)

    queue.push = swept


def forget_answered(queue: Queue, silent: dict[str, float], now: float) -> None:
    """Forget the sessions of a queue that have had no event at work for ANSWER_KEPT_S; silent: since when.

    Gradio never does: each call of a program is a session of its own, whose identity stays for good, and its
    messages until two thousand younger ones have come, which takes those of an open page along.
    """
    at_work = {event.session_hash for event in list(queue.event_ids_to_events.values())}
    known = {*queue.pending_event_ids_session, *queue.pending_messages_per_session} - at_work
    for session in silent.keys() - known:
        del silent[session]
    for session in known:
        if now - silent.setdefault(session, now) > ANSWER_KEPT_S:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
            del silent[session]


_begin_whole = SessionState.__init__


def _begin(session: SessionState, blocks: Any) -> None:
    _begin_whole(session, SimpleNamespace(default_config=blocks.default_config, blocks=()))
    session.blocks_config.config_for_block = _no_description


def _no_description(*_: Any) -> dict[str, Any]:
    return {}
