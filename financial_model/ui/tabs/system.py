"""To be filled."""

import gradio as gr

from ..frame import Page


def build(page: Page) -> None:
    options = {"alignment": "right"} if "system" in ("runs", "system") else {}
    with page.make(gr.Tab, "tab.system", id="system", elem_id="tab-system", **options):
        gr.Markdown("")
