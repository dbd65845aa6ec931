"""System: can this machine train, what runs and ran on it, and how the page looks."""

import re
import time
from html import escape
from typing import Any

import gradio as gr

from ...base.config import DoctorSettings
from ...base.progress import Event
from .. import actions, widgets
from ..frame import Page
from ..job import Job
from ..story import StoryReader, story
from ..translations import Translate
from ..view import View

STATE_KINDS = {"ok": "ok", "warn": "warn", "fail": "failed"}
JOB_KINDS = {"running": "ok", "stopping": "warn", "queued": "", "done": "", "stopped": "warn"}
MAX_JOBS_SHOWN = 60


def build(page: Page) -> None:
    with page.tab("system", alignment="right"), gr.Column():
        with gr.Row(elem_classes=["card", "toolbar"]):
            verdict = gr.HTML("", apply_default_css=False, elem_classes="grow")
            rises = page.make(
                gr.Radio,
                "system.rises",
                values=("red", "green"),
                value="red",
                elem_classes="seg",
                elem_id="rises",
                scale=0,
                min_width=200,
            )
            again = page.make(gr.Button, "system.check", variant="primary", scale=0, min_width=130)
        told = gr.HTML("", apply_default_css=False)
        checks = gr.HTML("", apply_default_css=False)
        with gr.Row(elem_classes=["pair"]):
            jobs = gr.HTML(
                "", apply_default_css=False, js_on_load="window.Hermes.rows(element, trigger, 'click')"
            )
            with gr.Column(elem_classes="card"):
                log = gr.HTML("", apply_default_css=False)
                with page.make(
                    gr.Accordion, "story.raw", open=False, elem_classes="fold", visible=False
                ) as fold:
                    raw = gr.HTML("", apply_default_css=False)
                with gr.Row(elem_classes="toolbar", visible=False) as doings:
                    stop = page.make(gr.Button, "system.job.stop", size="sm", scale=0, min_width=90)
                    kill = page.make(gr.Button, "system.job.kill", size="sm", scale=0, min_width=90)
                    forget = page.make(gr.Button, "system.job.forget", size="sm", scale=0, min_width=90)
        versions = gr.HTML("", apply_default_css=False)
        chosen = gr.State("")

    rises.change(None, [rises], None, js="(color) => window.Hermes.setRises(color)", api_visibility="private")
    page.on_load_js(rises, "() => [window.localStorage.getItem('hermes.rises') || 'red']")

    own_check = DoctorSettings(port=page.port) if page.port else DoctorSettings()
    page.click(
        again,
        lambda language: actions.attempt(language, lambda: page.jobs.start("doctor", own_check)),
        [],
        [told],
    )

    def choose(event: gr.EventData) -> str:
        return widgets.told_by(event, "code", 80)

    jobs.click(choose, None, [chosen], show_progress="hidden", api_visibility="private")

    page.click(
        stop,
        lambda language, job: actions.attempt(language, lambda: page.jobs.stop(job)),
        [chosen],
        [told],
    )
    page.click(
        kill,
        lambda language, job: actions.attempt(language, lambda: page.jobs.stop(job, at_once=True)),
        [chosen],
        [told],
    )
    page.click(
        forget,
        lambda language, job: actions.attempt(language, lambda: page.jobs.delete(job)),
        [chosen],
        [told],
    )

    stories = StoryReader()

    def look(view: View, chosen: str) -> list[Any]:
        t = view.t
        doctor = view.latest("doctor")
        done = next((j for j in reversed(view.jobs) if j.command == "doctor" and j.state == "done"), None)
        result = (done.result() if done else None) or {}
        is_checking = doctor is not None and doctor.is_active
        job = next((one for one in view.jobs if one.id == chosen), None)
        return [
            _verdict(t, done, result, is_checking, str(view.workspace.root)),
            _checks(t, result, doctor, page.port),
            _jobs(t, view.jobs, chosen),
            _log(t, job, stories.events(job) if job else []),
            _raw(t, job),
            gr.update(visible=job is not None),
            _versions(t, result),
            gr.update(interactive=not is_checking),
            gr.update(visible=job is not None),
            gr.update(
                interactive=job is not None and job.is_active and job.state != "stopping",
                value=widgets.stop_text(t, view.ahead(job), "system.job.stop"),
            ),
            gr.update(interactive=job is not None and job.state == "stopping"),
            gr.update(interactive=job is not None and not job.is_active),
        ]

    page.live(
        [verdict, checks, jobs, log, raw, fold, versions, again, doings, stop, kill, forget], look, [chosen]
    )


def _verdict(t: Translate, done: Job | None, result: dict[str, Any], is_checking: bool, root: str) -> str:
    if is_checking:
        text = t("verdict.running")
    else:
        text = t.choice("verdict", result.get("verdict", "none"))
    when = time.strftime("%m-%d %H:%M", time.localtime(done.ended_at)) if done and done.ended_at else ""
    small = t("system.checked", when=when) if when else ""
    return widgets.figures([(t("system.verdict"), text, small)]) + (
        f'<p class="help">{escape(t("system.workspace", path=root))}</p>'
    )


def _checks(t: Translate, result: dict[str, Any], doctor: Job | None, port: int | None = None) -> str:
    checks = [check for check in result.get("checks") or [] if isinstance(check, dict)]
    if not checks:
        problem = widgets.job_message(t, doctor)
        body = problem or f'<p class="help">{escape(t("system.checks.none"))}</p>'
        return widgets.card(t("system.checks"), body)
    rows = []
    for check in checks:
        state, remedy = str(check.get("state", "")), str(check.get("remedy", ""))
        value = t.measured(str(check.get("value", "")))
        if check.get("name") == "port" and port and re.search(rf"\b{port}\b", value):
            value = t("system.own_port", port=port)  # this page was seen there, unless it was not open then
        advice = t(f"remedy.{remedy}") if t.has(f"remedy.{remedy}") else str(check.get("advice", ""))
        rows.append(
            (
                t.choice("check", check.get("name", "")),
                widgets.Markup(widgets.tag(t.choice("system.state", state), STATE_KINDS.get(state, ""))),
                value,
                advice if state != "ok" else "",
            )
        )
    heads = [t(f"system.head.{name}") for name in ("check", "state", "value", "remedy")]
    return widgets.card(
        t("system.checks"),
        f'<div class="scroll tall advice">{widgets.table(heads, rows)}</div>',
        t("system.checks.sub"),
    )


def _jobs(t: Translate, jobs: list[Job], chosen: str) -> str:
    shown = list(reversed(jobs))[:MAX_JOBS_SHOWN]
    if not shown:
        return widgets.card(t("system.jobs"), f'<p class="help">{escape(t("system.jobs.none"))}</p>')
    rows = []
    for job in shown:
        took = t.duration(job.ended_at - job.started_at) if job.ended_at and job.started_at else "—"
        rows.append(
            (
                widgets.job_name(t, job),
                widgets.Markup(widgets.tag(t(f"job.state.{job.state}"), JOB_KINDS.get(job.state, "failed"))),
                time.strftime("%m-%d %H:%M:%S", time.localtime(job.queued_at)),
                took,
            )
        )
    heads = [t(f"system.jobs.{name}") for name in ("what", "state", "queued", "took")]
    body = widgets.table(heads, rows, numbers=(3,), codes=[job.id for job in shown], chosen=chosen)
    return widgets.card(t("system.jobs"), f'<div class="scroll">{body}</div>', t("system.jobs.sub"))


def _log(t: Translate, job: Job | None, events: list[Event]) -> str:
    """What a job did, in the reader's language, under the command that does the same."""
    name = escape(job.id if job else "")
    title = f'<header><h3>{escape(t("story.title"))}</h3><span class="sub">{name}</span></header>'
    if job is None:
        return f'{title}<p class="help">{escape(t("system.log.none"))}</p>'
    line = widgets.command_box(t, job.arguments)
    told = story(t, job, events) or f'<p class="help">{escape(t("story.none"))}</p>'
    # What was said last is in view first.
    return f'{title}{line}<div class="log-end">{told}</div>'


def _raw(t: Translate, job: Job | None) -> str:
    """What the process of a job printed, in the words it printed."""
    text = job.log_tail(12_000) if job else ""
    return f'<div class="log-end"><pre class="log">{escape(text or t("system.log.empty"))}</pre></div>'


def _versions(t: Translate, result: dict[str, Any]) -> str:
    versions = result.get("versions")
    if not isinstance(versions, dict) or not versions:
        return ""
    text = " · ".join(f"{name} {version}" for name, version in versions.items())
    return widgets.card(t("system.versions"), f'<p class="help">{escape(text)}</p>')
