"""Universe Analysis: what one is about to train on, as of a date; drawn from a result of `analyze`."""

from html import escape
from typing import Any

import gradio as gr

from ...base.config import INDUSTRIES, AnalyzeSettings
from .. import actions, widgets
from ..command_line import command_line
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..result_reader import ResultReader, is_outdated
from ..stock_table import MAX_SHOWN, SORT_MARK, industry_menu, rows_of, select, stock_table, to_csv
from ..translations import Translate
from ..universe_charts import coverage_chart, heat_chart, index_chart, industry_chart, style_chart
from ..view import View

Json = dict[str, Any]
FIRST_SORT = ["market_cap_cny", True]
# Far below the tile that narrows it: it is brought into view.
SHOW_STOCKS = "() => { window.Hermes.reveal(document.getElementById('universe-stocks')); return []; }"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def settings_of(stocks: Any, as_of: str | None) -> AnalyzeSettings:
    """The settings that the toolbar's values mean; BadSetting names the field that does not fit."""
    return AnalyzeSettings.from_json(
        {"max_stocks": actions.optional_count("max_stocks", stocks), "as_of": actions.optional(as_of)}
    )


def build(page: Page) -> None:
    reader = ResultReader()
    with page.tab("universe"), gr.Column():
        with gr.Row(elem_classes=["card", "toolbar"], elem_id="universe-toolbar"):
            stocks = page.make(
                gr.Textbox, "universe.max_stocks", max_lines=1, min_width=140, scale=0, elem_classes="w140"
            )
            as_of = page.make(
                gr.Textbox,
                "universe.as_of",
                elem_id="universe-as-of",
                max_lines=1,
                min_width=150,
                scale=0,
                elem_classes="w140",
            )
            go = page.make(
                gr.Button, "universe.go", variant="primary", scale=0, min_width=120, elem_id="universe-go"
            )
            stop = page.make(
                gr.Button,
                "universe.stop",
                elem_classes="stop-button",
                visible=False,
                scale=0,
                min_width=120,
                elem_id="universe-stop",
            )
            figures = gr.HTML("", apply_default_css=False, elem_classes=["grow", "headline-right"])
        told = gr.HTML("", apply_default_css=False, elem_id="universe-told")
        notice = gr.HTML("", apply_default_css=False, elem_id="universe-notice")
        with gr.Column(elem_classes="drawings") as drawings:
            with gr.Row(elem_classes=["pair", "wide-left"]):
                index = LiveChart(height=330)
                with gr.Column(elem_classes="with-options"):
                    industries = LiveChart(height=310)
                    with gr.Row(elem_classes="chart-options"):
                        area = page.make(
                            gr.Radio,
                            "universe.area",
                            values=("cap", "count"),
                            value="cap",
                            elem_classes="seg",
                            container=False,
                            show_label=False,
                        )
                        color = page.make(
                            gr.Radio,
                            "universe.color",
                            values=("return", "industry"),
                            value="return",
                            elem_classes="seg",
                            container=False,
                            show_label=False,
                        )
            with gr.Row(elem_classes=["pair", "wide-left"]):
                heat, coverage = LiveChart(height=230), LiveChart(height=200)
            with gr.Row(elem_classes=["pair", "wide-left"]):
                styles = LiveChart(height=210)
                health = gr.HTML("", apply_default_css=False)
            with gr.Column(elem_classes="card", elem_id="universe-stocks"):
                with gr.Row(elem_classes="toolbar"):
                    head = gr.HTML(
                        "",
                        apply_default_css=False,
                        elem_classes="grow",
                        js_on_load="window.Hermes.rows(element, trigger, 'click')",
                    )
                    search = page.make(
                        gr.Textbox,
                        "universe.search",
                        max_lines=1,
                        min_width=200,
                        scale=0,
                        show_label=False,
                    )
                    industry = industry_menu(page, min_width=130)
                table = gr.HTML(
                    "", apply_default_css=False, js_on_load="window.Hermes.rows(element, trigger, 'click')"
                )
        command = gr.HTML("", apply_default_css=False)
        # Inside the tab: a component between tabs would be counted as one.
        sort = gr.State(FIRST_SORT)

    # ------------------------------------------------------------------ acting

    def begin(language: str, stocks: Any, as_of: str | None) -> str:
        return actions.attempt(language, lambda: page.jobs.start("analyze", settings_of(stocks, as_of)))

    def end(language: str) -> str:
        return actions.stop_at_work(language, page.jobs, lambda job: job.command == "analyze")

    page.click(go, begin, [stocks, as_of], [told])
    page.click(stop, end, [], [told])
    for field in (stocks, as_of):
        page.on(field.submit, begin, [stocks, as_of], [told])

    def tell_command(t: Translate, stocks: Any, as_of: str | None) -> list[str]:
        lines: list[str] = []
        problem = actions.attempt(
            t.language, lambda: lines.append(command_line("analyze", settings_of(stocks, as_of)))
        )
        box = f'<section class="card">{widgets.command_box(t, lines[0])}</section>' if lines else ""
        return [box, problem]

    page.derive([command, told], tell_command, [stocks, as_of])

    def sort_by(sort: list[Any], event: gr.EventData) -> list[Any]:
        """A click on a head sorts by it, biggest first; a second click turns the order round."""
        mark = widgets.told_by(event, "code")
        if not mark.startswith(SORT_MARK):
            return sort
        name = mark.removeprefix(SORT_MARK)
        return [name, not sort[1] if sort[0] == name else True]

    def narrow(event: gr.EventData) -> Any:
        """A click on a tile lists the stocks of that industry."""
        name = widgets.told_by(event, "code")
        return name if name in INDUSTRIES else gr.skip()

    table.click(sort_by, [sort], [sort], **QUIET)
    industries.click(narrow, [], [industry], js=SHOW_STOCKS, **QUIET)
    head.click(lambda: "", [], [industry], **QUIET)

    # ------------------------------------------------------------------ what is alive

    def look(view: View, area: str, color: str) -> list[Any]:
        t = view.t
        job = view.latest("analyze")
        shown, result = reader.newest(view, "analyze")
        is_busy = job is not None and job.is_active
        key = (shown.id if shown else "", t.language)

        def draw(name: str, chart: Any, *options: Any) -> Any:
            return reader.drawn((name, *key, *options), lambda: chart(result, t, *options))

        return [
            headline(t, result),
            _notice(view, job, shown),
            gr.update(
                elem_classes=[
                    "drawings",
                    *([] if result else ["bare"]),
                    *(["old"] if is_busy and result else []),
                ]
            ),
            draw("index", index_chart),
            draw("industry", industry_chart, area, color),
            draw("heat", heat_chart),
            draw("coverage", coverage_chart),
            draw("style", style_chart),
            draw("health", lambda result, t: health_card(t, result)),
            gr.update(visible=not is_busy, interactive=view.market.has_panel),
            gr.update(visible=is_busy),
        ]

    page.live(
        [figures, notice, drawings, index, industries, heat, coverage, styles, health, go, stop],
        look,
        [area, color],
    )

    def list_stocks(view: View, search: str, industry: str, sort: list[Any]) -> list[Any]:
        shown, result = reader.newest(view, "analyze")
        key = ("table", shown.id if shown else "", view.t.language, search or "", industry or "", *sort)
        return reader.drawn(
            key, lambda: _listed(page, view.t, shown, result, search or "", industry or "", sort)
        )

    page.live([head, table], list_stocks, [search, industry, sort])


# ---------------------------------------------------------------------- pieces


def headline(t: Translate, result: Json | None) -> str:
    """The regime and since when; how many stocks there are, suspended and under special treatment."""
    if not result:
        return ""
    regime, counts = result["regime"], result["counts"]
    since = (
        t("universe.since", since=regime["since"], sessions=regime["sessions"]) if regime.get("since") else ""
    )
    marks = t("universe.marks", suspended=counts["suspended"], st=counts["st"])
    return widgets.figures(
        [
            (t("universe.figure.regime"), t.choice("regime", regime.get("now") or "unknown"), since),
            (t("universe.figure.stocks"), f"{result['stocks']:,}", marks),
            (t("universe.figure.as_of"), result["as_of"], ""),
        ]
    )


def _notice(view: View, job: Job | None, shown: Job | None) -> str:
    t = view.t
    if not view.market.has_panel:
        return widgets.message(t("universe.no_panel"), "warn", to=("download", t("tab.download")))
    if job is not None and job.is_running:
        return widgets.message(t("universe.running.old" if shown else "universe.running"))
    if job is not None and job.state != "done":
        return widgets.job_message(t, job, view.ahead(job))
    if is_outdated(view.workspace, shown):
        return widgets.message(t("universe.outdated"), "warn")
    if shown is not None and not any(one.command == "train" for one in view.jobs):
        return widgets.message(t("universe.next"), to=("multi", t("tab.multi")))
    return ""


def health_card(t: Translate, result: Json | None) -> str:
    """What the checks of the bars found, in short, and the way to the whole report."""
    title = t("universe.health")
    if not result:
        return widgets.card(title, f'<p class="help">{escape(t("universe.empty"))}</p>')
    health, counts = result["health"], result["counts"]
    findings = health.get("findings") or {}
    odd = sum(int(found.get("count") or 0) for found in findings.values() if isinstance(found, dict))
    failures = health.get("failures") or {}
    rows: list[tuple[str, str]] = [
        (
            t("universe.health.checked"),
            t(
                "universe.health.bars",
                bars=t.count(health.get("bars") or 0),
                codes=f"{health.get('codes') or 0:,}",
            ),
        ),
        (t("universe.health.findings"), f"{odd:,}"),
        (t("universe.health.failures"), f"{len(failures):,}"),
        (
            t("universe.health.limits"),
            t("universe.health.limits.told", up=counts["at_limit_up"], down=counts["at_limit_down"]),
        ),
        (
            t("universe.health.gone"),
            t("universe.health.gone.told", delisted=counts["delisted"], silent=counts["silent"]),
        ),
    ]
    worst = sorted(findings.items(), key=lambda item: -int(item[1].get("count") or 0))[:3]
    rows += [
        ("· " + t.choice("download.finding", name), f"{found.get('count', 0):,}") for name, found in worst
    ]
    body = widgets.table(["", ""], rows, numbers=(1,))
    link = f'<p class="note"><a href="#" data-open-tab="download">{escape(t("universe.health.link"))}</a></p>'
    if not health.get("bars"):
        why = "practice" if result.get("simulated") else "none"
        body = f'<p class="help">{escape(t(f"universe.health.{why}"))}</p>' + widgets.table(
            ["", ""], rows[3:], numbers=(1,)
        )
    return widgets.card(
        title, f'<div class="headless">{body}</div>{link}', t("word.as_of", date=result["as_of"])
    )


def _listed(
    page: Page,
    t: Translate,
    shown: Job | None,
    result: Json | None,
    search: str,
    industry: str,
    sort: list[Any],
) -> list[str]:
    title = escape(t("universe.table"))
    if not result or shown is None:
        empty = f'<p class="help">{escape(t("universe.empty"))}</p>'
        return [f"<header><h3>{title}</h3></header>", empty]
    rows = select(rows_of(result["table"]), search, industry, *sort)
    count = t("universe.table.shown", shown=f"{min(len(rows), MAX_SHOWN):,}", count=f"{len(rows):,}")
    mark = widgets.tag(t("word.practice_tag"), "warn") if result.get("simulated") else ""
    body = stock_table(t, rows, *sort) if rows else f'<p class="help">{escape(t("universe.table.none"))}</p>'
    practice = "practice_" if result.get("simulated") else ""
    address = page.files.offer_csv(
        f"universe {shown.id}",
        f"{practice}universe_{result['as_of']}.csv",
        lambda: to_csv(result["table"], result["as_of"], bool(result.get("simulated"))),
    )
    head = (
        f'<header><h3>{title}</h3>{_narrowed(t, industry)}{mark}<span class="sub">{escape(count)} · '
        f"{escape(t('word.as_of', date=result['as_of']))}</span>"
        f'<a class="link-button" href="{address}" download>{escape(t("word.export_csv"))}</a></header>'
    )
    return [head, body]


def _narrowed(t: Translate, industry: str) -> str:
    """The industry that the table is narrowed to, as a button that lists all stocks again."""
    if not industry:
        return ""
    told = escape(t("universe.table.widen"))
    return (
        f'<button type="button" class="tag ok" data-code="all" title="{told}" aria-label="{told}">'
        f"{escape(t(f'industry.{industry}'))} ×</button>"
    )
