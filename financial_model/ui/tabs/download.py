"""Data Download: bring a market in (download, import, simulate), see what is here and how good it is."""

from typing import Any

import gradio as gr

from ..frame import Page
from ..view import View
from .download_form import COMMANDS, last_asked, settings_column
from .download_results import results_column
from .first_start import first_start_doors


def build(page: Page) -> None:
    with page.tab("download"):
        with gr.Column(visible=True) as first_start:
            first_start_doors(page)
        with gr.Row(elem_classes="workbench", visible=False) as workbench:
            column = settings_column(page)
            results_column(page)

    def switch(view: View) -> list[Any]:
        """The doors while there is nothing, the workbench from the first job on."""
        job = view.latest(*COMMANDS)
        is_first = view.market.is_empty and (job is None or not job.is_active)
        return [gr.update(visible=is_first), gr.update(visible=not is_first)]

    page.live([first_start, workbench], switch)
    page.live(*column.live)

    def fill(view: View) -> list[Any]:
        """What is in a field already is not set again: the browser would ask what follows from it."""
        known = zip(column.asked, last_asked(view), strict=True)
        return [gr.skip() if value == (field.value or "") else value for field, value in known]

    page.on_open(column.asked, fill)
