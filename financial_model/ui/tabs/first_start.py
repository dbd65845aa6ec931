"""The first start: three doors to a market, what comes after them, and what this machine has."""

from html import escape
from typing import Any

import gradio as gr

from ...base.config import DownloadSettings, SimulateSettings
from .. import actions, widgets
from ..frame import Page
from ..pictures import DOOR_PICTURES
from ..translations import Translate
from ..view import View
from .download_form import COMMANDS, start_field


def first_start_doors(page: Page) -> None:
    page.html(
        lambda t: (
            f'<div class="question"><h2>{escape(t("first.title"))}</h2>'
            f"<p>{escape(t('first.subtitle'))}</p></div>"
        )
    )
    noticed, told = gr.HTML("", apply_default_css=False), gr.HTML("", apply_default_css=False)
    with gr.Row(elem_classes="doors"):
        with gr.Column(elem_classes=["card", "door"], elem_id="door-download") as download_door:
            door_head = gr.HTML(_door_head(page.t, "download", ""), apply_default_css=False)
            with gr.Row():
                stocks = page.make(
                    gr.Number, "download.stocks", value=DownloadSettings().stocks, min_width=100
                )
                start = start_field(page)
            page.html(lambda t: _needs(t, "download"))
            download = page.make(
                gr.Button, "download.go.download", variant="primary", elem_id="door-download-go"
            )
        with gr.Column(elem_classes=["card", "door"]):
            page.html(lambda t: _door_head(t, "import", ""))
            path = page.make(gr.Textbox, "download.path", max_lines=1)
            page.html(lambda t: _needs(t, "import"))
            import_ = page.make(gr.Button, "download.go.import", elem_id="door-import-go")
        with gr.Column(elem_classes=["card", "door"]) as practice_door:
            practice_head = gr.HTML(_door_head(page.t, "practice", ""), apply_default_css=False)
            with gr.Row():
                count = page.make(gr.Number, "download.stocks", value=SimulateSettings().stocks, min_width=90)
                sessions = page.make(
                    gr.Number, "download.sessions", value=SimulateSettings().sessions, min_width=90
                )
                signal = page.make(
                    gr.Number, "download.signal", value=SimulateSettings().signal, min_width=90
                )
            page.html(lambda t: _needs(t, "practice"))
            practice = page.make(gr.Button, "download.go.simulate", elem_id="door-practice-go")
    page.html(_next_steps)
    machine = gr.HTML("", apply_default_css=False)

    def begin_download(language: str, stocks: Any, start: str) -> str:
        return actions.attempt(
            language,
            lambda: actions.load_market(
                page.jobs, "download", actions.download_settings(stocks, start or "")
            ),
        )

    def begin_import(language: str, path: str) -> str:
        return actions.attempt(
            language, lambda: actions.load_market(page.jobs, "import", actions.import_settings(path or ""))
        )

    def begin_practice(language: str, count: Any, sessions: Any, signal: Any) -> str:
        return actions.attempt(
            language,
            lambda: actions.load_market(
                page.jobs, "simulate", actions.simulate_settings(count, sessions, signal)
            ),
        )

    page.click(download, begin_download, [stocks, start], [told])
    page.click(import_, begin_import, [path], [told])
    page.click(practice, begin_practice, [count, sessions, signal], [told])

    def look(view: View) -> list[Any]:
        """The door that works here is the next step: download where servers answer, else practice."""
        checks = _checks(view)
        servers = checks.get("servers", {}).get("state")
        is_online = servers == "ok"
        has_tried = servers is not None
        failed = view.latest(*COMMANDS)
        notice = widgets.job_message(view.t, failed)
        if not notice and has_tried and not is_online:
            notice = widgets.message(view.t("first.failed"), "warn")
        t = view.t
        online_tag = widgets.tag(
            t("door.recommended.online" if is_online else "door.offline"), "ok" if is_online else "warn"
        )
        return [
            notice,
            _door_head(t, "download", online_tag if has_tried else ""),
            _door_head(t, "practice", "" if is_online else widgets.tag(t("door.recommended"), "ok")),
            gr.update(elem_classes=["card", "door", *(["next"] if is_online else [])]),
            gr.update(elem_classes=["card", "door", *([] if is_online else ["next"])]),
            gr.update(variant="primary" if is_online else "secondary"),
            gr.update(variant="secondary" if is_online else "primary"),
            _machine_card(t, checks),
        ]

    page.live(
        [noticed, door_head, practice_head, download_door, practice_door, download, practice, machine], look
    )


def _door_head(t: Translate, door: str, label: str) -> str:
    return (
        f'<div class="door-head"><h3>{escape(t(f"door.{door}.title"))}</h3>{label}</div>'
        f"<p>{escape(t(f'door.{door}.what'))}</p>{DOOR_PICTURES[door]}"
    )


def _needs(t: Translate, door: str) -> str:
    return f"<p>{'<br>'.join(escape(line) for line in t(f'door.{door}.needs').splitlines())}</p>"


def _next_steps(t: Translate) -> str:
    steps = "".join(
        f'<div class="{"now" if step == 1 else ""}"><b>{escape(t(f"first.step.{step}"))}</b>'
        f"{escape(t(f'first.step.{step}.what'))}</div>"
        for step in range(1, 6)
    )
    return widgets.card(t("first.next"), f'<div class="steps">{steps}</div>', t("first.next.sub"))


def _checks(view: View) -> dict[str, dict[str, Any]]:
    """The checks of the newest doctor that has ended, by name."""
    for job in reversed(view.jobs):
        if job.command == "doctor" and job.state == "done":
            return {str(check.get("name")): check for check in (job.result() or {}).get("checks", [])}
    return {}


def _machine_card(t: Translate, checks: dict[str, dict[str, Any]]) -> str:
    shown = [name for name in ("python", "torch", "gpu", "attention", "disk", "servers") if name in checks]
    if not shown:
        body = f'<p class="help">{escape(t("first.machine.pending"))}</p>'
    else:
        signs = {"ok": "✓", "warn": "!", "fail": "✗"}

        def cell(name: str) -> str:
            check = checks[name]
            value = t.check(name, str(check.get("value", "")))
            text = f"{value} {signs.get(str(check.get('state')), '')}"
            return f'<div class="figure"><span>{escape(t(f"check.{name}"))}</span><b>{escape(text)}</b></div>'

        cells = "".join(cell(name) for name in shown)
        body = f'<div class="figures">{cells}</div>'
    return widgets.card(t("first.machine"), body, t("first.machine.more"))
