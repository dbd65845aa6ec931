"""Inference: one stock with its fan into the sessions to come, and the universe ranked by the same model."""

from collections.abc import Iterator
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...base.config import ForecastSettings
from ...base.errors import BadSetting, FinancialModelError, NoBarsFound, NoPanel
from .. import actions, widgets
from ..checkpoints import checkpoint_menu, choose_checkpoint
from ..command_line import command_line
from ..forecast_charts import accuracy_chart, fan_chart, hits_chart, simple
from ..forecaster import Forecaster, chance_of_rise
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..ranking import MAX_SHOWN, narrow, ranking_columns, ranking_table
from ..result_reader import ResultReader
from ..runs import RunReader
from ..stock_search import StockSearch
from ..stock_table import industry_choices, to_csv
from ..translations import Translate, figure, percent
from ..view import View

Json = dict[str, Any]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
GPU: dict[str, Any] = {"concurrency_id": "gpu", "concurrency_limit": 1}
SAMPLES, MAX_SAMPLES = 110, 1000


def scan_settings(checkpoint: str | None, as_of: str | None) -> ForecastSettings:
    """The settings of a ranking; BadSetting names the field that does not fit."""
    if not checkpoint:
        raise BadSetting("checkpoint", "", "a trained model")
    return ForecastSettings.from_json({"checkpoint": checkpoint, "as_of": actions.optional(as_of)})


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
                    industry = page.retell(
                        gr.Dropdown(
                            industry_choices(page.t),
                            value="",
                            show_label=False,
                            min_width=140,
                            scale=0,
                            filterable=False,
                            label=page.t("universe.industry"),
                        ),
                        lambda t: {"choices": industry_choices(t), "label": t("universe.industry")},
                    )
                tradable = page.make(gr.Checkbox, "inference.tradable", value=False)
                ranking = gr.HTML(
                    "",
                    apply_default_css=False,
                    elem_id="inference-ranking",
                    js_on_load="window.Hermes.rows(element, trigger, 'click')",
                )
        with (
            gr.Column(elem_classes="card"),
            page.make(gr.Accordion, "inference.own", open=False, elem_classes="fold"),
        ):
            page.html(lambda t: f'<p class="help">{escape(t("inference.own.told"))}</p>')
            with gr.Row(elem_classes="toolbar"):
                own_path = page.make(
                    gr.Textbox, "inference.own.path", max_lines=1, min_width=320, elem_classes="grow-field"
                )
                own_go = page.make(
                    gr.Button, "inference.own.go", scale=0, min_width=120, elem_id="inference-own-go"
                )
            own_told = gr.HTML("", apply_default_css=False)
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
            settings = scan_settings(checkpoint, as_of)
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
            settings = scan_settings(checkpoint, as_of)
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

    def begin_own(language: str, checkpoint: str | None, as_of: str | None, path: str) -> str:
        def act() -> None:
            found = actions.existing_path(path)
            if found is None or not found.is_file():
                shown = actions.written_path(path)[:300].replace("\0", "")
                raise NoBarsFound(Path(shown), "a CSV file")
            settings = scan_settings(checkpoint, as_of).to_json() | {"bars": str(found)}
            page.jobs.start("forecast", ForecastSettings.from_json(settings))

        return actions.attempt(language, act)

    page.click(own_go, begin_own, [checkpoint, as_of, own_path], [own_told])

    def tell_command(t: Translate, checkpoint: str | None, code: str | None, as_of: str | None) -> list[str]:
        try:
            settings = scan_settings(checkpoint, as_of)
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
            _headline(t, result),
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
        own = view.latest("forecast", where=lambda job: bool(job.settings.get("bars")))
        is_ranked = reader.newest(view, "scan")[1] is not None
        choice = choose_checkpoint(runs, view, checkpoint)
        checkpoint = choice.get("value", checkpoint)  # what is chosen for the reader counts at once
        return [
            gr.update(**choice),
            gr.update(choices=search.find(view.market, "")) if not stock else gr.skip(),
            gr.update(interactive=view.market.has_panel and bool(checkpoint)),
            _state_line(view, checkpoint, result),
            _notice(view, checkpoint),
            own_result(page, view, own),
            gr.update(elem_classes=["stock-side", *([] if result else ["bare"])]),
            gr.update(elem_classes=["card", "ranking-card", *([] if is_ranked else ["bare"])]),
        ]

    parts = [checkpoint, stock, go, state_line, notice, own_told, stock_side, ranking_card]
    page.live(parts, look, [checkpoint, stock, shown])

    def list_ranking(view: View, find: str, industry: str, tradable: bool, result: Json | None) -> list[Any]:
        t = view.t
        job, scan = reader.newest(view, "scan")
        chosen = (result or {}).get("code")
        key = ("ranking", job.id if job else "", t.language, find, industry, tradable, chosen)
        return reader.drawn(
            key, lambda: _ranked(page, t, job, scan, find or "", industry or "", tradable, chosen)
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


# ---------------------------------------------------------------------- pieces


def _headline(t: Translate, result: Json | None) -> str:
    if not result:
        return ""
    q, steps = result["quantiles"][-1], len(result["quantiles"])
    change = result.get("change")
    entries: list[Any] = [
        (f"{result['code']} · {t.choice('industry', result['industry'])}", result["name"], ""),
        (
            t("inference.figure.close"),
            figure(result["close"], 2),
            percent(change, 2, signed=True),
            "rise" if (change or 0) > 0 else "fall" if (change or 0) < 0 else "",
        ),
        (
            t("inference.figure.interval", steps=steps),
            f"{percent(simple(q[0]), 1, signed=True)} ~ {percent(simple(q[4]), 1, signed=True)}",
            "",
        ),
        (t("inference.figure.median"), percent(simple(q[2]), 1, signed=True), ""),
        (t("inference.figure.up"), percent(result["up"][-1], 0), ""),
    ]
    tags = (
        widgets.message(t(f"inference.limit.{result['limit']}.note"), "warn") if result.get("limit") else ""
    )
    tags += widgets.notes(t.language, result)
    return f'<div class="stock-figures">{widgets.figures(entries)}</div>{tags}'


def steps_card(t: Translate, result: Json | None) -> str:
    """The quantiles of each step as returns against the as-of close."""
    title = t("inference.steps")
    if not result:
        return widgets.card(title, f'<p class="help">{escape(t("inference.empty"))}</p>')
    announced = result.get("announced", len(result["future"]))
    rows = []
    for step, (day, q) in enumerate(zip(result["future"], result["quantiles"], strict=True), start=1):
        median = simple(q[2])
        color = "rise" if median > 0 else "fall" if median < 0 else ""
        mark = "" if step <= announced else "*"
        rows.append(
            [
                widgets.Markup(
                    f'<span class="year">{escape(day[:5])}</span>{escape(day[5:])}{mark} '
                    f"<small>+{step}</small>"
                ),
                *(percent(simple(value), 1, signed=True).removesuffix(" %") for value in q[:2]),
                widgets.Markup(
                    f'<b class="{color}">{percent(median, 1, signed=True).removesuffix(" %")}</b>'
                ),
                *(percent(simple(value), 1, signed=True).removesuffix(" %") for value in q[3:]),
                percent(result["up"][step - 1], 0),
            ]
        )
    heads = [t("inference.steps.session"), "5 %", "25 %", "50 %", "75 %", "95 %", t("inference.figure.up")]
    body = f'<div class="scroll">{widgets.table(heads, rows, numbers=range(1, 7), optional=(2, 4))}</div>'
    note = t("inference.unannounced", count=len(rows) - announced) if announced < len(rows) else ""
    return widgets.card(title, body, t("inference.steps.sub"), note)


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


def _ranked(
    page: Page,
    t: Translate,
    job: Job | None,
    scan: Json | None,
    find: str,
    industry: str,
    tradable: bool,
    chosen: str | None,
) -> list[str]:
    title = escape(t("inference.ranking"))
    if not scan or job is None:
        return [
            f"<header><h3>{title}</h3></header>",
            f'<p class="help">{escape(t("inference.ranking.empty"))}</p>',
        ]
    rows = narrow(scan["ranking"], find, industry, tradable)
    mark = widgets.tag(t("word.practice_tag"), "warn") if scan.get("is_simulated") else ""
    sub = t("inference.ranking.sub", count=f"{len(rows):,}", date=scan["as_of"])
    practice = "practice_" if scan.get("is_simulated") else ""
    address = page.files.offer_csv(
        f"ranking {job.id}",
        f"{practice}ranking_{scan['as_of']}.csv",
        lambda: to_csv(ranking_columns(scan["ranking"]), scan["as_of"], bool(scan.get("is_simulated"))),
    )
    head = (
        f'<header><h3>{title}</h3>{mark}<span class="sub">{escape(sub)}</span>'
        f'<a class="link-button" href="{address}" download>{escape(t("word.export_csv"))}</a></header>'
    )
    notes = [t("inference.ranking.note")]
    if len(rows) > MAX_SHOWN:
        notes.insert(0, t("inference.ranking.more", count=MAX_SHOWN))
    told = widgets.notes(t.language, scan)
    body = f'{told}<div class="scroll ranking-scroll">{ranking_table(t, rows, chosen)}</div>'
    return [head, f'{body}<p class="note">{escape(" ".join(notes))}</p>']


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
