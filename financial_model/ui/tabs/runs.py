"""To be filled."""

import gradio as gr

from ..frame import Page


def build(page: Page) -> None:
    options = {"alignment": "right"} if "runs" in ("runs", "system") else {}
    with page.make(gr.Tab, "tab.runs", id="runs", elem_id="tab-runs", **options):
        gr.Markdown("")
