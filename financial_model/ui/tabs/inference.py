"""Inference: one stock with its fan into the sessions to come, and the universe ranked by the same model."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...base.config import ForecastSettings
from ...base.errors import BadSetting, FinancialModelError, NoPanel
from .. import actions, widgets
from ..checkpoints import checkpoint_menu, choose_checkpoint
from ..command_line import command_line
from ..forecast_cards import steps_card, stock_figures
from ..forecast_charts import accuracy_chart, fan_chart, hits_chart
from ..forecaster import Forecaster
from ..frame import Page
from ..live_chart import LiveChart
from ..ranking import ranked
from ..result_reader import ResultReader
from ..runs import RunReader
from ..stock_search import StockSearch
from ..stock_table import industry_menu
from ..translations import Translate, figure
from ..view import View
from .own_file import own_file

Json = dict[str, Any]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
GPU: dict[str, Any] = {"concurrency_id": "gpu", "concurrency_limit": 1}
SAMPLES, MAX_SAMPLES = 110, 1000


def sample_count(value: Any) -> int:
    """How many past sessions to look back on; BadSetting beyond the range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_SAMPLES:
        raise BadSetting("samples", value, f"a number from 0 to {MAX_SAMPLES}")
    return int(value)


def build(page: Page) -> None:
    forecaster, search = Forecaster(page.workspace), StockSearch(page.workspace)
    runs, reader = RunReader(page.workspace), ResultReader()
    with page.tab("inference"), gr.Column():
        with gr.Row(elem_classes=["card", "toolbar", "folding"], elem_id="inference-toolbar"):
            checkpoint = checkpoint_menu(page, "inference.checkpoint", "w300")
            stock = page.make(
                gr.Dropdown,
                "inference.stock",
                value=None,
                allow_custom_value=True,
                min_width=200,
                scale=0,
                elem_classes="w220",
                elem_id="inference-stock",
            )
            as_of = page.make(
                gr.Textbox,
                "inference.as_of",
                elem_id="inference-as-of",
                max_lines=1,
                min_width=130,
                scale=0,
                elem_classes=["folded", "w140"],
            )
            prices = page.make(
                gr.Radio,
                "inference.prices",
                values=("adjusted", "raw"),
                value="adjusted",
                elem_classes=["seg", "folded", "w160"],
                scale=0,
                min_width=150,
            )
            samples = page.make(
                gr.Number,
                "inference.samples",
                value=SAMPLES,
                precision=0,
                min_width=100,
                scale=0,
                elem_classes=["folded", "w100"],
            )
            go = page.make(
                gr.Button,
                "inference.go",
                variant="primary",
                interactive=False,  # until a checkpoint has been chosen, which the first look does
                scale=0,
                min_width=110,
                elem_id="inference-go",
            )
            state_line = gr.HTML("", apply_default_css=False, elem_classes=["grow", "state-line"])
            widgets.unfold(page)
        told = gr.HTML("", apply_default_css=False, elem_id="inference-told")
        notice = gr.HTML("", apply_default_css=False)
        with gr.Row(elem_classes=["pair", "wide-left", "inference-body"]):
            with gr.Column(elem_classes="stock-side") as stock_side:
                with gr.Column(elem_classes=["card", "stock-card"]):
                    headline = gr.HTML("", apply_default_css=False, elem_id="inference-headline")
                    fan = LiveChart(height=380, elem_id="inference-fan")
                with gr.Row(elem_classes="pair"):
                    steps = gr.HTML("", apply_default_css=False, elem_id="inference-steps")
                    hits = LiveChart(height=170)
                accuracy = LiveChart(height=230)
            with gr.Column(elem_classes=["card", "ranking-card"]) as ranking_card:
                ranking_head = gr.HTML("", apply_default_css=False)
                with gr.Row(elem_classes="toolbar"):
                    find = page.make(
                        gr.Textbox,
                        "universe.search",
                        max_lines=1,
                        min_width=130,
                        show_label=False,
                        scale=1,
                        elem_classes="grow-field",
                    )
                    industry = industry_menu(page, min_width=140)
                tradable = page.make(gr.Checkbox, "inference.tradable", value=False)
                ranking = gr.HTML(
                    "",
                    apply_default_css=False,
                    elem_id="inference-ranking",
                    js_on_load="window.Hermes.rows(element, trigger, 'click')",
                )
        own_file(page, checkpoint, as_of)
        command = gr.HTML("", apply_default_css=False)
        # Inside the tab: a component between tabs would be counted as one.
        shown = gr.State(None)

    # ------------------------------------------------------------------ acting

    def look_at(
        language: str, checkpoint: str | None, code: str, as_of: str | None, samples: Any
    ) -> Iterator[Any]:
        """Forecast one stock; first a word where the model has to be loaded."""
        t = Translate(language)
        told: list[Json] = []

        def act() -> None:
            settings = actions.scan_settings(checkpoint, as_of)
            found = search.resolve(page.view(language).market, code)
            count = sample_count(samples)
            told.append(forecaster.stock(settings.checkpoint, found, settings.as_of, count))

        if checkpoint and not forecaster.is_loaded(checkpoint):
            yield widgets.message(t("inference.loading")), gr.skip(), gr.skip()
        problem = actions.attempt(language, act)
        if problem:
            yield problem, gr.skip(), gr.skip()
        else:
            one = told[0]
            yield (
                "",
                one,
                gr.update(choices=[(f"{one['code']} {one['name']}", one["code"])], value=one["code"]),
            )

    def run(
        language: str, checkpoint: str | None, code: str | None, as_of: str | None, samples: Any
    ) -> Iterator[Any]:
        """Rank the universe as a job, and forecast the chosen stock, or the first where none is chosen."""
        view = page.view(language)

        def rank() -> None:
            settings = actions.scan_settings(checkpoint, as_of)
            sample_count(samples)
            if not view.market.has_panel:  # Enter in a field asks too, and no button that rests keeps it back
                raise NoPanel(view.workspace.panel_path)
            if not _is_ranked(view, reader, settings):
                page.jobs.start("scan", settings)

        problem = actions.attempt(language, rank)
        if problem:
            yield problem, gr.skip(), gr.skip()
            return
        chosen = (code or "").strip()
        yield from look_at(language, checkpoint, chosen or _any_stock(view), as_of, samples)

    def _any_stock(view: View) -> str:
        """Without a choice: the best of the newest ranking, else the first stock that still trades."""
        _, scan = reader.newest(view, "scan")
        if scan and scan.get("ranking"):
            return str(scan["ranking"][0]["code"])
        told = (view.market.metadata or {}).get("codes")
        names, newest = search.names(view.market), view.market.last_session
        held = told if isinstance(told, dict) else {}
        trading = (one for one in names if (held.get(one) or {}).get("last") == newest)
        return next(trading, next(iter(names), ""))

    def choose(
        language: str, checkpoint: str | None, as_of: str | None, samples: Any, event: gr.EventData
    ) -> Iterator[Any]:
        """A click on a row of the ranking shows that stock, as of the ranking's session."""
        code = widgets.told_by(event, "code", 12)
        _, result = reader.newest(page.view(language), "scan")
        day = str((result or {}).get("as_of") or as_of or "")
        yield from look_at(language, checkpoint, code, day, samples)

    fields = [page.language, checkpoint, stock, as_of, samples]
    outputs = [told, shown, stock]
    go.click(run, fields, outputs, trigger_mode="once", **QUIET, **GPU)
    as_of.submit(run, fields, outputs, trigger_mode="once", **QUIET, **GPU)
    ranking.click(
        choose,
        [page.language, checkpoint, as_of, samples],
        outputs,
        trigger_mode="always_last",
        **QUIET,
        **GPU,
    )

    def suggest(language: str, event: gr.EventData) -> Any:
        found = search.find(page.view(language).market, widgets.told_by(event, "input_value"))
        return gr.update(choices=found)

    stock.key_up(suggest, [page.language], [stock], trigger_mode="always_last", **QUIET)

    def tell_command(t: Translate, checkpoint: str | None, code: str | None, as_of: str | None) -> list[str]:
        try:
            settings = actions.scan_settings(checkpoint, as_of)
        except FinancialModelError as error:
            return ["", actions.error_message(t.language, error) if checkpoint else ""]
        lines = [command_line("scan", settings)]
        if code:
            told = settings.to_json() | {"codes": [code.split(" ")[0]]}
            lines.insert(0, command_line("forecast", ForecastSettings.from_json(told)))
        boxes = "".join(widgets.command_box(t, line) for line in lines)
        return [f'<section class="card commands">{boxes}</section>', ""]

    page.derive([command, told], tell_command, [checkpoint, stock, as_of])

    def draw(t: Translate, result: Json | None, prices: str) -> list[Any]:
        return [
            stock_figures(t, result),
            fan_chart(result, t, prices),
            steps_card(t, result),
            hits_chart(result, t),
            accuracy_chart(result, t),
        ]

    drawings = [headline, fan, steps, hits, accuracy]
    page.derive(drawings, draw, [shown, prices], on=[shown, prices])

    def again(view: View) -> list[Any]:
        """The forecast that was looked at last, and its stock in the menu."""
        last = forecaster.last
        named = (
            gr.update(choices=[(f"{last['code']} {last['name']}", last["code"])], value=last["code"])
            if last
            else gr.skip()
        )
        return [last, named, *draw(view.t, last, "adjusted")]

    page.on_open([shown, stock, *drawings], again)

    # ------------------------------------------------------------------ what is alive

    def look(view: View, checkpoint: str | None, stock: str | None, result: Json | None) -> list[Any]:
        is_ranked = reader.newest(view, "scan")[1] is not None
        choice = choose_checkpoint(runs, view, checkpoint)
        checkpoint = choice.get("value", checkpoint)  # what is chosen for the reader counts at once
        return [
            gr.update(**choice),
            gr.update(choices=search.find(view.market, "")) if not stock else gr.skip(),
            gr.update(interactive=view.market.has_panel and bool(checkpoint)),
            _state_line(view, checkpoint, result),
            _notice(view, checkpoint),
            gr.update(elem_classes=["stock-side", *([] if result else ["bare"])]),
            gr.update(elem_classes=["card", "ranking-card", *([] if is_ranked else ["bare"])]),
        ]

    parts = [checkpoint, stock, go, state_line, notice, stock_side, ranking_card]
    page.live(parts, look, [checkpoint, stock, shown])

    def list_ranking(view: View, find: str, industry: str, tradable: bool, result: Json | None) -> list[Any]:
        t = view.t
        job, scan = reader.newest(view, "scan")
        chosen = (result or {}).get("code")
        key = ("ranking", job.id if job else "", t.language, find, industry, tradable, chosen)
        return reader.drawn(
            key, lambda: ranked(page, t, job, scan, find or "", industry or "", tradable, chosen)
        )

    page.live([ranking_head, ranking], list_ranking, [find, industry, tradable, shown])


def _is_ranked(view: View, reader: ResultReader, settings: ForecastSettings) -> bool:
    """Whether the newest ranking, or one that is being made or waits, is the one these settings ask for."""
    day = settings.as_of.isoformat() if settings.as_of else None
    mine = [one for one in view.jobs if one.command == "scan"]
    mine = [one for one in mine if one.settings.get("checkpoint") == settings.checkpoint]
    if any(one.is_active and one.settings.get("as_of") == day for one in mine):
        return True
    job = view.latest("scan")
    if job is None or job not in mine or job.state != "done":
        return False
    try:
        if (job.ended_at or 0) < view.workspace.panel_path.stat().st_mtime:
            return False
    except FileNotFoundError:
        return False
    asked = settings.as_of.isoformat() if settings.as_of else view.market.last_session
    return (reader.of(job) or {}).get("as_of") == asked


def _state_line(view: View, checkpoint: str | None, result: Json | None) -> str:
    """What a forecast was made with; before there is one, which checkpoint it will be."""
    t = view.t
    if not result:
        name = escape(Path(checkpoint or "").stem)
        return f'<p class="help"><span class="part narrow-only">{name}</span></p>' if name else ""
    # A sign that parts belongs to what stands before it: it begins no line.
    parts = [
        ("narrow-only", f"{Path(str(result.get('checkpoint', ''))).stem} ·"),
        ("narrow-only", f"{result['as_of']} ·"),
        ("narrow-only", t("inference.horizon", steps=len(result["quantiles"]))),
        ("wide-only", t("inference.horizon", steps=len(result["quantiles"])) + " ·"),
        ("wide-only", t("inference.loaded", seconds=figure(result.get("took_s"), 2))),
    ]
    told = " ".join(f'<span class="part {kind}">{escape(text)}</span>' for kind, text in parts)
    return f'<p class="help">{told}</p>'


def _notice(view: View, checkpoint: str | None) -> str:
    t = view.t
    if not view.market.has_panel:
        return widgets.message(t("inference.no_panel"), "warn", to=("download", t("tab.download")))
    if not checkpoint:
        return widgets.message(t("inference.no_checkpoint"), "warn", to=("multi", t("tab.multi")))
    job = view.latest("scan")
    if job is not None and job.is_running:
        return widgets.message(t("inference.ranking.running"))
    if job is not None and job.state not in ("done", "stopped"):
        return widgets.job_message(t, job, view.ahead(job))
    return ""
