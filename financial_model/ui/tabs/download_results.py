"""What the download tab shows of the market that is here, and of the one that is being brought in."""

from typing import Any

import gradio as gr

from .. import widgets
from ..download_cards import failures_card, quality_card, running_figures, servers_card, status_figures
from ..download_charts import speed_chart, years_chart
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..view import View
from .download_form import COMMANDS

WIDE = ["pair", "wide-left"]


def results_column(page: Page) -> None:
    with gr.Column(elem_classes="results"):
        headline = gr.HTML("", apply_default_css=False, elem_id="download-headline")
        with gr.Row(elem_classes=WIDE) as charts:
            speed, years = LiveChart(height=230), LiveChart(height=230)
        with gr.Row(elem_classes=WIDE) as lists:
            failures = gr.HTML("", apply_default_css=False)
            servers = gr.HTML("", apply_default_css=False)
        quality = gr.HTML("", apply_default_css=False)

    def look(view: View) -> list[Any]:
        job = view.latest(*COMMANDS)
        download = view.latest("download")
        # A market that no server gave has no speed, no failures and no servers to show.
        is_quiet = (
            download is None and bool(view.market.stocks) and not (view.market.metadata or {}).get("servers")
        )
        return [
            _headline(view, job),
            speed_chart(download, view.t),
            years_chart(view.market, view.t),
            failures_card(view.market, view.t),
            servers_card(view, download),
            quality_card(view.market, view.t),
            gr.update(elem_classes=[*WIDE, *(["last-only"] if is_quiet else [])]),
            gr.update(elem_classes=[*WIDE, *(["gone"] if is_quiet else [])]),
        ]

    page.live([headline, speed, years, failures, servers, quality, charts, lists], look)


def _headline(view: View, job: Job | None) -> str:
    t = view.t
    notice = ""
    if job is not None and job.is_running:
        body = running_figures(t, job)
    else:
        body = status_figures(t, view.market)
    if job is not None and (job.state in ("failed", "lost", "stopped", "stopping", "queued")):
        notice = widgets.job_message(t, job, view.ahead(job))
    elif view.market.stocks and not view.market.has_panel and not (job and job.is_active):
        notice = widgets.message(t("download.build.hint"), "warn")
    elif view.market.has_panel and not (job and job.is_active):
        # What was brought in is ready: on to the next step of the work.
        practice = t("download.practice") if view.market.is_simulated else t("download.ready")
        kind = "warn" if view.market.is_simulated else ""
        notice = widgets.message(practice, kind, to=("universe", t("tab.universe")))
    return f'<section class="card">{body}{notice}{widgets.job_warnings(t, job)}</section>'
