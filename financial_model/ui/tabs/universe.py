"""To be filled."""

import gradio as gr

from ..frame import Page


def build(page: Page) -> None:
    options = {"alignment": "right"} if "universe" in ("runs", "system") else {}
    with page.make(gr.Tab, "tab.universe", id="universe", elem_id="tab-universe", **options):
        gr.Markdown("")
