"""What the server keeps of each opening of the page and of each call of a program: little, and of few."""

from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState

# Gradio keeps ten thousand of them where nobody says less. The one that has been silent for longest is
# forgotten first, so a page that is looked at stays; one that comes back after that draws itself anew.
MAX_SESSIONS = 128


def keep_little(demo: gr.Blocks) -> None:
    """Bound the sessions of a page that is not served yet, and what is kept of each.

    Gradio describes every component anew for each session and keeps that, with all values and charts shown
    since, for links to a page as it stands (gr.DeepLinkButton). This page has none, and it cost 0.7 MiB and
    most of the time of a program's call (benchmarks/page.py).
    """
    demo.state_session_capacity = MAX_SESSIONS
    if SessionState.__init__ is not _begin:
        SessionState.__init__ = _begin


_begin_whole = SessionState.__init__


def _begin(session: SessionState, blocks: Any) -> None:
    _begin_whole(session, SimpleNamespace(default_config=blocks.default_config, blocks=()))
    session.blocks_config.config_for_block = _no_description


def _no_description(*_: Any) -> dict[str, Any]:
    return {}
