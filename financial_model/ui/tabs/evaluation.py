"""Evaluation: what a model is worth on sessions it never saw, and what trading it would have brought."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...base.config import BacktestSettings, EvaluateSettings, Settings, TrainSettings, WalkForwardSettings
from ...base.errors import BadSetting, FinancialModelError
from .. import actions, story, widgets
from ..backtest_cards import trading_card, trading_tables_card
from ..backtest_charts import drawdown_chart, equity_chart, turnover_chart
from ..checkpoints import checkpoint_menu, choose_checkpoint, run_of
from ..command_line import command_line
from ..evaluation_cards import group_tables, headline_card, leak_card
from ..evaluation_charts import coverage_chart, decile_chart, forest_chart, ic_chart
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..result_reader import ResultReader
from ..runs import Run, RunReader
from ..translations import Translate
from ..view import View

Json = dict[str, Any]
# The modes and the commands behind them.
MODES = {"evaluate": "evaluate", "walk": "walk-forward", "backtest": "backtest"}
COMMANDS = tuple(MODES.values())


def settings_of(mode: str, runs: list[Run], values: tuple[Any, ...]) -> Settings:
    """The settings that the toolbar's values mean; BadSetting names the field that does not fit."""
    checkpoints, first, last, baselines, folds, workers, top, drop, holding, cash = values
    if not checkpoints:
        raise BadSetting("checkpoint", "", "a trained model")
    span = {"first": actions.optional(first), "last": actions.optional(last)}
    if mode == "evaluate":
        return EvaluateSettings.from_json(
            {"checkpoints": list(checkpoints), "baselines": bool(baselines), **span}
        )
    if mode == "backtest":
        return BacktestSettings.from_json(
            {
                "checkpoint": checkpoints[0],
                "top": top,
                "drop": drop,
                "holding": holding,
                "cash_cny": cash,
                **span,
            }
        )
    run = run_of(runs, checkpoints[0])
    if run is None:
        raise BadSetting("checkpoint", checkpoints[0], "a trained model")
    # The folds are trained as this model was, on the dates that each fold may know.
    train = {**run.settings, "resume": None, "train_start": None, "train_end": None, "valid_end": None}
    return WalkForwardSettings.from_json(
        {"train": TrainSettings.from_json(train).to_json(), "folds": folds, "workers": workers, **span}
    )


def build(page: Page) -> None:
    runs, reader = RunReader(page.workspace), ResultReader()
    defaults = BacktestSettings(checkpoint="")
    with page.tab("evaluation"), gr.Column():
        with gr.Row(elem_classes=["card", "toolbar", "folding"], elem_id="evaluation-toolbar"):
            checkpoints = checkpoint_menu(page, "evaluation.checkpoints", "w360", is_many=True)
            first = page.make(
                gr.Textbox,
                "evaluation.first",
                elem_id="evaluation-first",
                max_lines=1,
                scale=0,
                min_width=130,
                elem_classes=["folded", "w140"],
            )
            last = page.make(
                gr.Textbox,
                "evaluation.last",
                max_lines=1,
                scale=0,
                min_width=130,
                elem_classes=["folded", "w140"],
            )
            mode = page.make(
                gr.Radio,
                "evaluation.mode",
                values=tuple(MODES),
                value="evaluate",
                scale=0,
                min_width=230,
                elem_classes=["seg", "w260"],
                elem_id="evaluation-mode",
            )
            go = page.make(
                gr.Button,
                "evaluation.go.evaluate",
                variant="primary",
                interactive=False,  # until a checkpoint has been chosen, which the first look does
                scale=0,
                min_width=110,
                elem_id="evaluation-go",
            )
            stop = page.make(
                gr.Button,
                "evaluation.stop",
                elem_classes="stop-button",
                visible=False,
                scale=0,
                min_width=110,
                elem_id="evaluation-stop",
            )
            report = gr.HTML("", apply_default_css=False, elem_classes=["grow", "report-links"])
            chosen_line = gr.HTML("", apply_default_css=False, elem_classes=["state-line", "narrow-only"])
            widgets.unfold(page)
        options, told_options = widgets.fold(page, "evaluation.options", "options-box")
        with options:
            with gr.Row(elem_classes="toolbar"):
                baselines = page.make(gr.Checkbox, "evaluation.baselines", value=True)
            with gr.Row(elem_classes="toolbar") as walk_options:
                folds = page.make(gr.Number, "evaluation.folds", value=4, precision=0, elem_classes="w140")
                workers = page.make(
                    gr.Number, "evaluation.workers", value=1, precision=0, elem_classes="w140"
                )
            with gr.Row(elem_classes="toolbar") as backtest_options:
                top = page.make(
                    gr.Number, "evaluation.top", value=defaults.top, precision=0, elem_classes="w140"
                )
                drop = page.make(
                    gr.Number, "evaluation.drop", value=defaults.drop, precision=0, elem_classes="w140"
                )
                holding = page.make(
                    gr.Number, "evaluation.holding", value=defaults.holding, precision=0, elem_classes="w140"
                )
                cash = page.make(gr.Number, "evaluation.cash", value=defaults.cash_cny, elem_classes="w140")
        told = gr.HTML("", apply_default_css=False, elem_id="evaluation-told")
        notice = gr.HTML("", apply_default_css=False, elem_id="evaluation-notice")
        with gr.Column(elem_classes="drawings") as judged:
            with gr.Row(elem_classes="pair"):
                headline = gr.HTML("", apply_default_css=False, elem_id="evaluation-headline")
                forest = LiveChart(height=200)
            with gr.Row(elem_classes="pair"):
                ic, deciles = LiveChart(height=210), LiveChart(height=190)
            with gr.Row(elem_classes="pair"):
                coverage = LiveChart(height=170)
                leaks = gr.HTML("", apply_default_css=False, elem_id="evaluation-leaks")
            tables = gr.HTML("", apply_default_css=False)
        with gr.Column(elem_classes="drawings", visible=False) as traded:
            with gr.Row(elem_classes=["pair", "wide-left"]):
                equity = LiveChart(height=300)
                trading = gr.HTML("", apply_default_css=False, elem_id="evaluation-backtest")
            with gr.Row(elem_classes="pair"):
                drawdown, turnover = LiveChart(height=180), LiveChart(height=180)
            trading_tables = gr.HTML("", apply_default_css=False)
        command = gr.HTML("", apply_default_css=False)

    fields = [checkpoints, first, last, baselines, folds, workers, top, drop, holding, cash]

    # ------------------------------------------------------------------ acting

    def begin(language: str, mode: str, *values: Any) -> str:
        def act() -> None:
            page.jobs.start(MODES[mode], settings_of(mode, runs.all(page.jobs.all()), values))

        return actions.attempt(language, act)

    def end(language: str) -> str:
        return actions.stop_at_work(language, page.jobs, lambda job: job.command in COMMANDS)

    page.click(go, begin, [mode, *fields], [told])
    page.click(stop, end, [], [told])

    def tell(t: Translate, mode: str, *values: Any) -> list[Any]:
        v = dict(
            zip(("baselines", "folds", "workers", "top", "drop", "holding", "cash"), values[3:], strict=True)
        )
        state = t("word.on" if v["baselines"] else "word.off")
        cash = t.count(v["cash"]) if isinstance(v["cash"], (int, float)) else "—"
        summary = t(f"evaluation.options.{mode}", **{**v, "baselines": state, "cash": cash})
        try:
            line = command_line(MODES[mode], settings_of(mode, runs.all(page.jobs.all()), values))
            box, problem = f'<section class="card">{widgets.command_box(t, line)}</section>', ""
        except FinancialModelError as error:
            box, problem = "", actions.error_message(t.language, error) if values[0] else ""
        return [
            escape(summary),
            gr.update(visible=mode == "evaluate"),
            gr.update(visible=mode == "walk"),
            gr.update(visible=mode == "backtest"),
            box,
            problem,
            _chosen_line(t, values[0] or [], values[1]),
        ]

    page.derive(
        [told_options, baselines, walk_options, backtest_options, command, told, chosen_line],
        tell,
        [mode, *fields],
    )

    # ------------------------------------------------------------------ what is alive

    def look(view: View, mode: str, chosen: list[str] | None) -> list[Any]:
        t = view.t
        known = runs.all(view.jobs)
        job = view.latest(MODES[mode])
        busy = view.latest(*COMMANDS)
        is_busy = busy is not None and busy.is_active
        shown, result = reader.newest(view, MODES[mode])
        choice = choose_checkpoint(runs, view, chosen, is_many=True)
        chosen = choice.get("value", chosen)  # what is chosen for the reader counts at once
        allowed = _first_allowed(known, chosen or [])
        is_backtest = mode == "backtest"
        mine = None if is_backtest else result
        book = result if is_backtest else None
        key = (mode, shown.id if shown else "", t.language)
        old = ["drawings", *(["old"] if is_busy and result else []), *([] if result else ["bare"])]

        def draw(name: str, make: Any, what: Json | None) -> Any:
            return reader.drawn((name, *key), lambda: make(what, t))

        return [
            gr.update(**choice),
            gr.update(placeholder=allowed or t("evaluation.first.placeholder")),
            gr.update(
                visible=not is_busy,
                interactive=view.market.has_panel and bool(chosen),
                value=t(f"evaluation.go.{mode}"),
            ),
            gr.update(visible=is_busy, value=widgets.stop_text(t, view.ahead(busy), "evaluation.stop")),
            _report_links(page, t, result),
            _notice(view, job, busy, chosen, has_result=bool(result)),
            gr.update(visible=not is_backtest, elem_classes=old),
            draw("headline", lambda what, t: headline_card(t, what), mine),
            draw("forest", forest_chart, mine),
            draw("ic", ic_chart, mine),
            draw("deciles", decile_chart, mine),
            draw("coverage", coverage_chart, mine),
            draw("leaks", lambda what, t: leak_card(t, what), mine),
            draw("tables", lambda what, t: group_tables(t, what), mine),
            gr.update(visible=is_backtest, elem_classes=old),
            draw("equity", equity_chart, book),
            draw("trading", lambda what, t: trading_card(t, what), book),
            draw("drawdown", drawdown_chart, book),
            draw("turnover", turnover_chart, book),
            draw("orders", lambda what, t: trading_tables_card(t, what), book),
        ]

    page.live(
        [
            *(
                checkpoints,
                first,
                go,
                stop,
                report,
                notice,
                judged,
                headline,
                forest,
                ic,
                deciles,
                coverage,
                leaks,
            ),
            *(tables, traded, equity, trading, drawdown, turnover, trading_tables),
        ],
        look,
        [mode, checkpoints],
    )


def _chosen_line(t: Translate, checkpoints: list[str], first: str | None) -> str:
    """What a folded toolbar is about: which checkpoints, from when on."""
    names = [escape(Path(path).stem) for path in checkpoints]
    begins = [escape(f"{t('evaluation.first')} {first.strip()}")] if first and first.strip() else []
    return f'<p class="help">{" · ".join([*names, *begins])}</p>' if names else ""


def _first_allowed(runs: list[Run], chosen: list[str]) -> str:
    """The first session that none of these checkpoints has seen."""
    spans = [run.span("test") for path in chosen if (run := run_of(runs, path)) is not None]
    return max((span[0] for span in spans if span), default="")


def _notice(view: View, job: Job | None, busy: Job | None, chosen: list[str] | None, has_result: bool) -> str:
    t = view.t
    if not view.market.has_panel:
        return widgets.message(t("inference.no_panel"), "warn", to=("download", t("tab.download")))
    if busy is not None and busy.is_running:
        share, now = busy.share(), story.line(t, busy, busy.trail.stage)
        parts = [t(f"job.doing.{busy.command}"), *([now] if now else [])]
        parts += [f"{100 * share:.0f} %"] if share is not None else []
        below = t("evaluation.running" if has_result else "evaluation.running.first")
        return widgets.message(" · ".join(parts) + below)
    if busy is not None and busy.is_active:
        return widgets.job_message(t, busy, view.ahead(busy))
    if job is not None and job.state != "done":
        return widgets.job_message(t, job, view.ahead(job))
    if not chosen:
        return widgets.message(t("inference.no_checkpoint"), "warn", to=("multi", t("tab.multi")))
    return ""


def _report_links(page: Page, t: Translate, result: Json | None) -> str:
    if not result or not result.get("out"):
        return ""
    path = Path(str(result["out"]))
    address = page.files.offer_file(path, path.name)
    return (
        f'<a class="link-button" href="{address}?view=1" target="_blank" rel="noopener">'
        f"{escape(t('evaluation.report.open'))}</a> "
        f'<a class="link-button" href="{address}" download>{escape(t("evaluation.report.save"))}</a>'
    )
