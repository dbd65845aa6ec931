"""To be filled."""

import gradio as gr

from ..frame import Page


def build(page: Page) -> None:
    options = {"alignment": "right"} if "evaluation" in ("runs", "system") else {}
    with page.make(gr.Tab, "tab.evaluation", id="evaluation", elem_id="tab-evaluation", **options):
        gr.Markdown("")
