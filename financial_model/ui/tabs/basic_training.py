"""Basic Training: a Transformer or an LSTM on prices alone, of one stock, a few, or all."""

import gradio as gr

from ..frame import Page
from .training_form import settings_column
from .training_results import results_column


def build(page: Page) -> None:
    with (
        page.tab("basic"),
        gr.Row(elem_classes="workbench"),
    ):
        form = settings_column(page, "basic", is_conditional=False)
        results_column(page, form)
