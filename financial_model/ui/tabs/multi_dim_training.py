"""Multi-Dimensional Training: one model of all stocks under industry, style and regime; or one industry."""

from html import escape
from typing import Any

import gradio as gr

from ...base.config import AnalyzeSettings
from .. import actions, widgets
from ..frame import Page
from ..view import View
from .training_form import settings_column
from .training_results import results_column


def build(page: Page) -> None:
    with (
        page.tab("multi"),
        gr.Row(elem_classes="workbench"),
    ):
        form = settings_column(page, "multi", is_conditional=True)
        results_column(page, form, above=lambda: universe_card(page))


def universe_card(page: Page) -> None:
    """The universe at a glance, with Analyze in place: the step before a training."""
    with gr.Row(elem_classes=["card", "toolbar", "universe-card"]):
        shown = gr.HTML("", apply_default_css=False, elem_classes="grow")
        stocks = page.make(gr.Textbox, "train.universe.max", value="", max_lines=1, min_width=120, scale=0)
        analyze = page.make(
            gr.Button, "train.universe.analyze", scale=0, min_width=130, elem_id="multi-analyze"
        )

    def begin(language: str, stocks: Any) -> str:
        return actions.attempt(
            language,
            lambda: page.jobs.start(
                "analyze", AnalyzeSettings(max_stocks=actions.optional_count("max_stocks", stocks))
            ),
        )

    told = gr.HTML("", apply_default_css=False)
    page.click(analyze, begin, [stocks], [told])
    page.live([shown, analyze], lambda view: _glance(view))


def _glance(view: View) -> list[Any]:
    t = view.t
    job = view.latest("analyze")
    done = next(
        (one for one in reversed(view.jobs) if one.command == "analyze" and one.state == "done"), None
    )
    result = (done.result() if done else None) or {}
    is_busy = job is not None and job.is_active
    if job is not None and job.state in ("failed", "lost"):
        body = widgets.job_message(t, job)
    elif not result:
        body = f'<p class="help">{escape(t("train.universe.none"))}</p>'
    else:
        regime = (result.get("regime") or {}).get("now", "unknown")
        body = widgets.figures(
            [
                (t("train.universe.stocks"), f"{result.get('stocks', 0):,}", ""),
                (t("train.universe.regime"), t.choice("regime", regime), ""),
                (t("train.universe.asof"), str(result.get("as_of", "—")), ""),
            ]
        )
    head = (
        f"<header><h3>{escape(t('train.universe'))}</h3>"
        f'<span class="sub">{escape(t("train.universe.sub"))}</span></header>'
    )
    return [head + body, gr.update(interactive=view.market.has_panel and not is_busy)]
