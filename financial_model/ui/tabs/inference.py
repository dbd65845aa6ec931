"""To be filled."""

import gradio as gr

from ..frame import Page


def build(page: Page) -> None:
    options = {"alignment": "right"} if "inference" in ("runs", "system") else {}
    with page.make(gr.Tab, "tab.inference", id="inference", elem_id="tab-inference", **options):
        gr.Markdown("")
