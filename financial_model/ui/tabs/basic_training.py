"""To be filled."""

import gradio as gr

from ..frame import Page


def build(page: Page) -> None:
    options = {"alignment": "right"} if "basic" in ("runs", "system") else {}
    with page.make(gr.Tab, "tab.basic", id="basic", elem_id="tab-basic", **options):
        gr.Markdown("")
