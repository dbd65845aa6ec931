"""The forecast of a CSV of the user's own, beside the universe."""

from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...base.config import ForecastSettings
from ...base.errors import NoBarsFound
from .. import actions, widgets
from ..forecast_charts import simple
from ..forecaster import chance_of_rise
from ..frame import Page
from ..job import Job
from ..translations import percent
from ..view import View


def own_file(page: Page, checkpoint: Any, as_of: Any) -> None:
    """A closed group at the foot of the tab: a path, a button, and below it the forecast."""
    with (
        gr.Column(elem_classes="card"),
        page.make(gr.Accordion, "inference.own", open=False, elem_classes="fold"),
    ):
        page.html(lambda t: f'<p class="help">{escape(t("inference.own.told"))}</p>')
        with gr.Row(elem_classes="toolbar"):
            path = page.make(
                gr.Textbox, "inference.own.path", max_lines=1, min_width=320, elem_classes="grow-field"
            )
            go = page.make(gr.Button, "inference.own.go", scale=0, min_width=120, elem_id="inference-own-go")
        told = gr.HTML("", apply_default_css=False)

    def begin_own(language: str, checkpoint: str | None, as_of: str | None, path: str) -> str:
        def act() -> None:
            found = actions.existing_path(path)
            if found is None or not found.is_file():
                shown = actions.written_path(path)[:300].replace("\0", "")
                raise NoBarsFound(Path(shown), "a CSV file")
            settings = actions.scan_settings(checkpoint, as_of).to_json() | {"bars": str(found)}
            page.jobs.start("forecast", ForecastSettings.from_json(settings))

        return actions.attempt(language, act)

    page.click(go, begin_own, [checkpoint, as_of, path], [told])

    def look(view: View) -> list[str]:
        return [
            own_result(page, view, view.latest("forecast", where=lambda job: bool(job.settings.get("bars"))))
        ]

    page.live([told], look)


def own_result(page: Page, view: View, job: Job | None) -> str:
    """Where the forecast of a file of the user's own stands; its quantiles and what they rest on."""
    t = view.t
    if job is None:
        return ""
    if job.state == "running":
        return widgets.message(t("inference.own.running"))
    if job.state != "done":
        return widgets.job_message(t, job, view.ahead(job))
    result = job.result() or {}
    rows = result.get("forecasts") or []
    if not rows:
        return widgets.message(t("inference.own.nothing"), "warn")
    names = ("q05", "q25", "q50", "q75", "q95")
    cells = [
        [
            f"+{row['step']}",
            *(percent(simple(row[name]), 1, signed=True) for name in names),
            percent(chance_of_rise([row[name] for name in names]), 0),
        ]
        for row in rows
    ]
    heads = [t("inference.own.step"), "5 %", "25 %", "50 %", "75 %", "95 %", t("inference.figure.up")]
    table = widgets.table(heads, cells, numbers=range(1, 7), optional=(2, 4))
    path = Path(str(result.get("out", "")))
    address = page.files.offer_file(path, path.name)
    link = f'<a class="link-button" href="{address}" download>{escape(t("word.export_csv"))}</a>'
    head = t(
        "inference.own.done", code=rows[0]["code"], date=date.fromisoformat(rows[0]["as_of"]).isoformat()
    )
    mark = widgets.tag(t("word.practice_tag"), "warn") if result.get("is_simulated") else ""
    told = widgets.message(head) + widgets.notes(t.language, result)
    return f'{told}<div class="scroll">{table}</div><p class="note">{mark}{link}</p>'
