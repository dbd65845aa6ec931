"""To be filled."""

import gradio as gr

from ..frame import Page


def build(page: Page) -> None:
    options = {"alignment": "right"} if "multi" in ("runs", "system") else {}
    with page.make(gr.Tab, "tab.multi", id="multi", elem_id="tab-multi", **options):
        gr.Markdown("")
