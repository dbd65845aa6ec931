"""The form of the download tab: where a market is to come from, with start and stop."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from ...base.config import DownloadSettings, PanelSettings, SimulateSettings
from ...base.errors import FinancialModelError
from .. import actions, widgets
from ..command_line import command_line
from ..frame import Page
from ..translations import Translate
from ..view import View

SOURCES = ("download", "import", "simulate")
COMMANDS = ("download", "import", "simulate", "build-panel")


def start_field(page: Page) -> Any:
    default = DownloadSettings().start.isoformat()
    return page.make(
        gr.Textbox, "download.start", max_lines=1, value=default, min_width=100, told={"default": default}
    )


def last_asked(view: View) -> tuple[int, str, str]:
    """Stocks, start and codes of the download at work, else of what is here: to start again updates it."""
    defaults, job = DownloadSettings(), view.latest("download")
    if job is not None and job.is_active:
        with contextlib.suppress(FinancialModelError):
            asked = DownloadSettings.from_json(job.settings)
            return asked.stocks, asked.start.isoformat(), ", ".join(asked.codes)
    market = view.market
    return market.asked_stocks or defaults.stocks, market.asked_from or defaults.start.isoformat(), ""


@dataclass
class Column:
    """The column at the left: its live parts for `Page.live`, and the fields of what was asked for last."""

    live: tuple[list[Any], Any, list[Any]]
    asked: list[Any]


def settings_column(page: Page) -> Column:
    defaults, practice = DownloadSettings(), SimulateSettings()
    with gr.Column(scale=0, min_width=304, elem_classes=["settings", "card"]):
        source = page.make(
            gr.Radio,
            "download.source",
            choices="download.source",
            values=SOURCES,
            value="download",
            container=False,
            show_label=False,
            elem_classes="seg",
        )
        with gr.Column(visible=True) as download_form:
            with gr.Row():
                stocks = page.make(
                    gr.Number, "download.stocks", value=defaults.stocks, precision=0, min_width=100
                )
                start = start_field(page)
            codes = page.make(gr.Textbox, "download.codes", max_lines=1)
            with gr.Row():
                connections = page.make(
                    gr.Number, "download.connections", value=defaults.connections, precision=0, min_width=100
                )
                servers = page.make(gr.Textbox, "download.servers", max_lines=1, min_width=100)
            retry = page.make(gr.Checkbox, "download.retry", value=False)
        with gr.Column(visible=False) as import_form:
            path = page.make(gr.Textbox, "download.path", max_lines=1)
            max_stocks = page.make(gr.Textbox, "download.max_stocks", value="", max_lines=1)
            volume_unit = page.make(
                gr.Dropdown, "download.volume_unit", values=("", "shares", "lots"), value=""
            )
        with gr.Column(visible=False) as simulate_form:
            with gr.Row():
                count = page.make(
                    gr.Number, "download.stocks", value=practice.stocks, precision=0, min_width=100
                )
                sessions = page.make(
                    gr.Number, "download.sessions", value=practice.sessions, precision=0, min_width=100
                )
            with gr.Row():
                signal = page.make(gr.Number, "download.signal", value=practice.signal, min_width=100)
                seed = page.make(gr.Number, "download.seed", value=practice.seed, precision=0, min_width=100)
        with gr.Column(elem_classes="primary-row"):
            go = page.make(gr.Button, "download.go.download", variant="primary", elem_id="download-go")
            stop = page.make(
                gr.Button, "download.stop", elem_classes="stop-button", visible=False, elem_id="download-stop"
            )
        told = gr.HTML("", apply_default_css=False, elem_id="download-told")
        hint = gr.HTML("", apply_default_css=False)
        with gr.Row():
            refresh = page.make(gr.Button, "download.refresh", size="sm", min_width=100)
            rebuild = page.make(gr.Button, "download.build", size="sm", min_width=100)
        command = gr.HTML("", apply_default_css=False)

    forms = {"download": download_form, "import": import_form, "simulate": simulate_form}
    fields = [
        stocks,
        start,
        codes,
        connections,
        servers,
        retry,
        path,
        max_stocks,
        count,
        sessions,
        signal,
        seed,
        volume_unit,
    ]

    def settings_of(way: str, values: Sequence[Any]) -> Any:
        if way == "download":
            stocks, start, codes, connections, servers, retry = values[:6]
            return actions.download_settings(
                stocks, start or "", codes or "", connections, servers or "", retry
            )
        if way == "import":
            return actions.import_settings(values[6] or "", values[7], values[12])
        return actions.simulate_settings(values[8], values[9], values[10], values[11])

    def begin(language: str, way: str, *values: Any) -> str:
        return actions.attempt(
            language, lambda: actions.load_market(page.jobs, way, settings_of(way, values))
        )

    def end(language: str) -> str:
        return actions.stop_at_work(language, page.jobs, lambda job: job.command in COMMANDS)

    def build_again(language: str) -> str:
        return actions.attempt(language, lambda: page.jobs.start("build-panel", PanelSettings()))

    page.click(go, begin, [source, *fields], [told])
    page.click(stop, end, [], [told])
    page.click(rebuild, build_again, [], [told])
    page.click(refresh, lambda language: "", [], [told])
    source.change(
        lambda way: [gr.update(visible=name == way) for name in forms],
        [source],
        list(forms.values()),
        show_progress="hidden",
        api_visibility="private",
    )

    def tell_command(t: Translate, way: str, *values: Any) -> list[str]:
        """The line of the shell, or what has to be mended before there is one."""
        try:
            line = widgets.command_box(t, command_line(way, settings_of(way, values)))
        except FinancialModelError as error:
            if way == "import" and not values[6]:
                return ["", ""]
            return ["", actions.error_message(t.language, error)]
        return [f'<p class="help">{escape(t("word.command"))}</p>{line}', ""]

    page.derive([command, told], tell_command, [source, *fields])

    def look(view: View, way: str) -> list[Any]:
        t = view.t
        job = view.latest(*COMMANDS)
        is_busy = job is not None and job.is_active
        running = job.command if job is not None and job.is_running else None
        hint = t("download.hint.running" if is_busy else f"download.hint.{way}")
        stop_key = "download.stop.download" if running == "download" else "download.stop"
        stop_text = widgets.stop_text(t, view.ahead(job), stop_key)
        asked: list[dict[str, Any]] = [{}] * len(fields)
        if job is not None and is_busy and job.command == "download":
            # Whoever looks sees what it was asked for, and starting again after it is an update.
            asked[:3] = ({"value": value} for value in last_asked(view))
        return [
            gr.update(visible=not is_busy, value=t(f"download.go.{way}")),
            gr.update(visible=is_busy, value=stop_text),
            f'<p class="help">{escape(hint)}</p>',
            gr.update(visible=not is_busy and not view.market.is_empty),
            gr.update(interactive=not is_busy),
            *(gr.update(interactive=not is_busy, **one) for one in asked),
        ]

    return Column(([go, stop, hint, rebuild, source, *fields], look, [source]), [stocks, start, codes])
