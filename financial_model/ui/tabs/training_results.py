"""What both training tabs show of the newest training: its headline, four charts, the command."""

import statistics
from html import escape
from typing import Any

import gradio as gr

from .. import widgets
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..trail import best_of
from ..training_charts import industry_chart, loss_chart, parts_chart, rank_ic_chart
from ..translations import Translate, figure
from ..view import View
from .training_form import Form

# Over so many of its last steps the pace of a running training is told.
PACE_STEPS = 20


def results_column(page: Page, form: Form, above: Any = None) -> None:
    """Headline, four charts, the command; all of it follows the newest training of this tab."""
    with gr.Column(elem_classes="results"):
        headline = gr.HTML("", apply_default_css=False, elem_id=f"{form.tab}-headline")
        if above is not None:
            above()
        with gr.Row(elem_classes="pair") as curves:
            rank_ic, loss = LiveChart(height=235), LiveChart(height=235)
        with gr.Row(elem_classes="pair") as details:
            parts, industries = LiveChart(height=235), LiveChart(height=235)
        form.command.render()
    rows = (curves, details)

    def look(view: View, kind: str) -> list[Any]:
        t = view.t
        mine = [job for job in view.jobs if form.is_mine(job)]
        job = view.latest("train", where=form.is_mine)
        earlier = [one for one in mine if job is not None and one.id < job.id and one.trail.has_epochs]
        previous = earlier[-1] if earlier else None
        is_busy = job is not None and job.is_active
        is_queued = job is not None and job.state == "queued"
        hint = t("train.hint.queued" if is_queued else "train.hint.running" if is_busy else "train.hint")
        if not view.market.has_panel and not is_busy:
            hint = t("train.no_panel")
        told = job if job is not None and (job.curves.epochs or job.curves.losses) else None
        # Waiting for its first figures, a new run shows the pictures of the one before it, paler.
        is_old = told is None and previous is not None
        told = told or previous
        charts = [
            rank_ic_chart(told, None if is_old else previous, t),
            loss_chart(told, t),
            parts_chart(told, t),
            industry_chart(told, t),
        ]
        # Before the first run one sentence says what will stand here, not one in each card.
        look_of = ["old"] if is_old else ["bare"] if told is None else []
        return [
            _headline(view, job),
            *charts,
            *[gr.update(elem_classes=["pair", *look_of])] * len(rows),
            gr.update(visible=not is_busy, interactive=view.market.has_panel),
            gr.update(visible=is_busy, value=widgets.stop_text(t, view.ahead(job), "train.stop")),
            f'<p class="help">{escape(hint)}</p>',
            # An LSTM has no heads.
            *(gr.update(interactive=not is_busy and (kind, name) != ("lstm", "heads")) for name in shown),
        ]

    shown = {name: widget for name, widget in form.widgets.items() if not isinstance(widget, gr.State)}
    outputs = [headline, rank_ic, loss, parts, industries, *rows, form.start, form.stop, form.hint]
    page.live([*outputs, *shown.values()], look, [form.widgets["kind"]])


def _headline(view: View, job: Job | None) -> str:
    t = view.t
    if job is None:
        if not view.market.has_panel:
            return widgets.message(t("train.no_panel"), "warn", to=("download", t("tab.download")))
        return f'<section class="card"><p class="help">{escape(t("train.ready"))}</p></section>'
    notice = widgets.job_message(t, job, view.ahead(job))
    if job.state == "queued":
        return f'<section class="card">{notice}</section>'
    result = job.result() or {}
    if job.state == "done" and result.get("checkpoint"):
        finished = t("train.finished", path=result["checkpoint"])
        notice = widgets.message(finished, to=("inference", t("tab.inference")))
    elif job.state == "stopped" and result.get("checkpoint"):
        notice = widgets.message(t("train.stopped", path=result["checkpoint"]), "warn")
    elif job.state == "running" and not job.trail.step:
        notice = widgets.message(t("train.preparing"))
    return f'<section class="card">{training_figures(t, job)}{notice}{widgets.job_warnings(t, job)}</section>'


def training_figures(t: Translate, job: Job) -> str:
    """Epoch, time left, RankIC with its error, losses and throughput of a run."""
    step, epochs = job.trail.step, job.curves.epochs
    share = 1.0 if job.state == "done" else job.share() or 0.0
    entries: list[Any] = []
    count = step.get("epoch_count") or job.settings.get("epochs") or 0
    members = step.get("member_count") or 1
    behind = t("train.figure.epochs", count=count)
    if members > 1:
        behind += " · " + t("train.figure.member", member=step.get("member", 1), count=members)
    entries.append((t("train.figure.epoch"), str(step.get("epoch", 0)), behind))
    left = job.left_s() if job.is_running else None
    used = max(0.0, (job.ended_at or job.trail.last_time) - (job.started_at or job.trail.last_time))
    if job.is_active:
        told = t("train.figure.used", used=t.duration(used))
        entries.append((t("train.figure.left"), t.duration(left) if left is not None else "—", told))
    else:
        entries.append((t("train.figure.took"), t.duration(used), ""))
    if epochs:
        best = best_of(epochs, job.result())
        error = best.get("valid_rank_ic_se")
        told = "joint" if best["is_joint"] else "mean" if best["members"] > 1 else "best"
        told += "_only" if error is None else ""
        small = t(f"train.figure.{told}", se=figure(error), epoch=best.get("epoch"), count=best["members"])
        if best.get("valid_rank_ic") is not None:
            entries.append((t("train.figure.rank_ic"), figure(best["valid_rank_ic"]), small, "accent"))
            small = ""
        entries.append((t("train.figure.valid_loss"), figure(best.get("valid_loss"), 3), small))
    if step.get("loss") is not None:
        entries.append((t("train.figure.loss"), figure(step["loss"], 3), ""))
    # A step alone says little: the last of an epoch is small, the first waits for its data.
    paces = [pace for _, _, pace in job.curves.losses if pace > 0]
    if paces:
        pace = statistics.median(paces[-PACE_STEPS:] if job.is_active else paces)
        entries.append((t("train.figure.speed"), t.count(pace), t("train.figure.per_s")))
    bar = widgets.progress_bar([(share, "")]) if job.state != "done" else ""
    return widgets.figures(entries) + bar
