"""Evaluation: what a model is worth on sessions it never saw, and what trading it would have brought."""

import re
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...base.config import BacktestSettings, EvaluateSettings, Settings, TrainSettings, WalkForwardSettings
from ...base.errors import BadSetting, FinancialModelError
from .. import actions, story, widgets
from ..checkpoints import checkpoint_menu, choose_checkpoint, run_of
from ..command_line import command_line
from ..evaluation_charts import (
    baseline_name,
    coverage_chart,
    decile_chart,
    drawdown_chart,
    equity_chart,
    forest_chart,
    ic_chart,
    models_of,
    turnover_chart,
)
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..result_reader import ResultReader
from ..runs import Run, RunReader
from ..translations import Translate, figure, percent
from ..view import View

Json = dict[str, Any]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
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


# ---------------------------------------------------------------------- pieces


def with_error(mean: Json | None, digits: int = 4) -> tuple[str, str]:
    """(figure, "± error") of {"mean", "se"}."""
    if not mean or mean.get("mean") is None:
        return "—", ""
    error = mean.get("se")
    return figure(mean["mean"], digits), f"± {figure(error, digits)}" if error is not None else ""


def headline_card(t: Translate, result: Json | None) -> str:
    """RankIC with its error, the sentence, the paired difference, and the figures beside them."""
    models = models_of(result)
    if not result or not models:
        return widgets.card(t("evaluation.verdict"), f'<p class="help">{escape(t("evaluation.empty"))}</p>')
    one = models[0]
    summary, calibration = one["summary"], one.get("calibration") or {}
    value, error = with_error(summary["rank_ic"])
    verdict = one["headline"]["verdict"]
    kind = {"above": "accent", "chance": "warn", "below": "failed"}.get(verdict, "")
    stamp = t(
        "evaluation.stamp",
        first=one["first"],
        last=one["last"],
        sessions=one["session_count"],
        stocks=one["stock_count"],
        holding=one["holding"],
    )
    sentence = named_baselines(t, one)
    hits = summary["hit_rate"]
    free = one["without_locked"]["rank_ic"]
    ninety = (calibration.get("coverage") or {}).get("90") or {}
    entries = [
        ("IC", *with_error(summary["ic"])),
        ("RankICIR", figure(summary["rank_ic"].get("ir"), 2), ""),
        (t("evaluation.hits"), percent(hits["mean"]), f"± {figure(100 * (hits.get('se') or 0.0), 1)}"),
        (t("evaluation.without_locked"), figure(free.get("mean")), f"± {figure(free.get('se'))}"),
    ]
    if ninety.get("mean") is not None:
        entries.append(
            (
                t("evaluation.coverage"),
                percent(ninety["mean"]),
                f"± {figure(100 * (ninety.get('se') or 0.0), 1)}",
            )
        )
    mark = widgets.tag(t("word.practice_tag"), "warn") if one.get("is_simulated") else ""
    return (
        f'<section class="card verdict"><p class="help">{mark} {escape(stamp)}</p>'
        f'<p class="big"><strong>{escape(value)}</strong> <span>{escape(error)}</span> <b>RankIC</b></p>'
        f'<p class="sentence {kind}">{escape(sentence)}</p>{widgets.figures(entries)}'
        f"{widgets.notes(t.language, result)}"
        f'<p class="note">{escape(t("evaluation.caution"))}</p>{_side_by_side(t, result)}</section>'
    )


def named_baselines(t: Translate, one: Json) -> str:
    """The headline of an evaluation with the baseline it names in the words of the page."""
    sentence, against = str(one["headline"].get(t.language, "")), one["headline"].get("against")
    if not against:
        return sentence
    name = baseline_name(t, str(against))
    if t.language == "zh" and not name.isascii():
        # Between Chinese words no space is set.
        return re.sub(rf" ?{re.escape(str(against))} ?", name, sentence)
    return sentence.replace(str(against), name)


def _side_by_side(t: Translate, result: Json) -> str:
    """Several checkpoints beside each other, and their paired differences."""
    models = models_of(result)
    if len(models) < 2:
        return ""
    rows = [
        [
            model["name"],
            " ".join(with_error(model["summary"]["rank_ic"])),
            " ".join(with_error(model["summary"]["ic"])),
            percent(model["summary"]["hit_rate"]["mean"]),
        ]
        for model in models
    ]
    heads = [t("evaluation.model"), "RankIC", "IC", t("evaluation.hits")]
    body = widgets.table(heads, rows, numbers=(1, 2, 3), optional=(2,))
    pairs = [
        t(
            "evaluation.pair",
            first=row["first"],
            second=row["second"],
            difference=figure(row["rank_ic"]["mean"], signed=True),
            error=figure(row["rank_ic"].get("se")),
        )
        for row in result.get("comparison") or []
    ]
    return f'<div class="scroll">{body}</div>' + "".join(
        f'<p class="note">{escape(pair)}</p>' for pair in pairs
    )


def leak_card(t: Translate, result: Json | None) -> str:
    """The leak checks with what was found and what an honest model gives; then what the data was."""
    title = t("evaluation.leaks")
    models = models_of(result)
    if not result or not models:
        return widgets.card(title, f'<p class="help">{escape(t("evaluation.empty"))}</p>')
    one = models[0]
    rows, failed = [], 0
    for check in one.get("leakage") or []:
        failed += not check["passed"]
        detail = check.get("detail") or {}
        if check["name"] == "truncation":
            found = t(
                "evaluation.leak.truncation.found",
                days=len(detail.get("days", [])),
                value=_small(check["value"]),
            )
            expected = "0"
        elif check["name"] == "permutation":
            found, expected = figure(check["value"]), f"0 ± {figure(detail.get('allowed'))}"
        else:
            found = f"{figure(check['expected'])} → {figure(check['value'])}"
            expected = t("evaluation.leak.delay.expected")
        label = widgets.tag(
            t("evaluation.leak.passed" if check["passed"] else "evaluation.leak.failed"),
            "ok" if check["passed"] else "warn",
        )
        rows.append([t.choice("evaluation.leak", check["name"]), found, expected, widgets.Markup(label)])
    heads = [t(f"evaluation.leak.head.{name}") for name in ("check", "found", "expected")]
    body = widgets.table([*heads, ""], rows, numbers=(2,), optional=(2,))
    told = one.get("settings") or {}
    split = told.get("split") or {}
    known = split.get("valid") or split.get("train") or ["", "—"]
    facts = [t("evaluation.fingerprint", value=str(one.get("data_fingerprint", ""))[:12])]
    if split:  # a walk forward has a split a fold
        facts += [
            t("evaluation.trained_to", date=(split.get("train") or ["", "—"])[1]),
            t("evaluation.valid_to", date=known[1]),
            t("evaluation.purge", count=split.get("purge", "—")),
            t("evaluation.seed", seed=(told.get("train") or {}).get("seed", "—")),
        ]
    sub = t("evaluation.leaks.some", count=failed) if failed else t("evaluation.leaks.all", count=len(rows))
    return widgets.card(
        title, f'<div class="scroll wrapping">{body}</div>', sub if rows else "", " · ".join(facts)
    )


def _small(value: Any) -> str:
    return "0" if not value else f"{value:.1e}".replace("-", "−")


def group_tables(t: Translate, result: Json | None) -> str:
    """RankIC against each baseline, and by year, regime, industry and size."""
    models = models_of(result)
    if not result or not models:
        return ""
    one = models[0]
    cards = []
    if one["baselines"]:
        rows = [
            [
                baseline_name(t, row["name"]),
                " ".join(with_error(row["rank_ic"])),
                " ".join(with_error(row["ic"])),
                figure(row["difference"]["mean"], signed=True) + f" ± {figure(row['difference'].get('se'))}",
                figure(row["rank_ic_without_locked"]["mean"]),
            ]
            for row in one["baselines"]
        ]
        heads = [
            t("evaluation.baseline"),
            "RankIC",
            "IC",
            t("evaluation.difference"),
            t("evaluation.without_locked.short"),
        ]
        body = widgets.table(heads, rows, numbers=range(1, 5), optional=(2, 4))
        cards.append(widgets.card(t("evaluation.baselines.table"), f'<div class="scroll">{body}</div>'))
    for name, groups in one["by"].items():
        rows = [
            [
                _group_name(t, name, row["name"]),
                " ".join(with_error(row["rank_ic"])),
                " ".join(with_error(row["ic"])),
                f"{row['sessions']:,}",
                f"{row['samples']:,}",
            ]
            for row in groups
            if row["sessions"]
        ]
        empty = sum(not row["sessions"] for row in groups)
        heads = [
            t(f"evaluation.by.{name}"),
            "RankIC",
            "IC",
            t("evaluation.sessions"),
            t("evaluation.samples"),
        ]
        body = widgets.table(heads, rows, numbers=range(1, 5), optional=(2, 4))
        note = t("evaluation.by.few", count=empty) if empty else ""
        table = f'<div class="scroll">{body}</div>'
        cards.append(
            widgets.card(t("evaluation.by", what=t(f"evaluation.by.{name}").lower()), table, note=note)
        )
    if result.get("folds"):
        cards.append(_folds_card(t, result["folds"]))
    return f'<div class="table-grid">{"".join(cards)}</div>'


def _group_name(t: Translate, kind: str, name: str) -> str:
    prefix = {"regime": "regime", "industry": "industry", "size": "bucket.size"}.get(kind)
    return t.choice(prefix, name) if prefix else name


def _folds_card(t: Translate, folds: list[Json]) -> str:
    rows = []
    for place, fold in enumerate(folds, start=1):
        rank_ic = fold.get("rank_ic")
        mean = rank_ic if isinstance(rank_ic, dict) else {"mean": rank_ic, "se": None}
        rows.append(
            [
                fold.get("number", place),
                fold.get("first", "—"),
                fold.get("last", "—"),
                " ".join(with_error(mean)),
            ]
        )
    heads = [t("evaluation.fold"), t("evaluation.first"), t("evaluation.last"), "RankIC"]
    return widgets.card(t("evaluation.folds.table"), widgets.table(heads, rows, numbers=(3,)))


def trading_card(t: Translate, result: Json | None) -> str:
    """The backtest's sentence and its figures."""
    title = t("evaluation.verdict")
    if not result:
        return widgets.card(title, f'<p class="help">{escape(t("evaluation.empty.backtest"))}</p>')
    summary = result["summary"]
    mine, index, excess = summary["portfolio"], summary["index"], summary["excess"]
    headline = result.get("headline") or {}
    entries = [
        (
            t("evaluation.annualised"),
            percent(mine.get("annualised"), 1, signed=True),
            t("evaluation.index_had", value=percent(index.get("annualised"), 1, signed=True)),
        ),
        (
            t("evaluation.excess"),
            percent(excess.get("annualised"), 1, signed=True),
            f"± {figure(100 * (excess.get('annualised_se') or 0.0), 1)}",
        ),
        (t("evaluation.drawdown"), percent(mine.get("max_drawdown"), 1), ""),
        (t("evaluation.sharpe"), figure(mine.get("sharpe"), 2), ""),
        (t("evaluation.turnover"), percent(summary.get("turnover")), t("evaluation.a_session")),
        (t("evaluation.cost"), percent(result["costs"].get("yearly_share"), 1), t("evaluation.a_year")),
    ]
    sentence = str(headline.get(t.language, ""))
    kind = {"above": "accent", "chance": "warn", "below": "failed"}.get(str(headline.get("verdict")), "")
    stamp = f"{result['first']} – {result['last']} · " + t(
        "evaluation.sessions.count", count=result["session_count"]
    )
    mark = widgets.tag(t("word.practice_tag"), "warn") if result.get("is_simulated") else ""
    return (
        f'<section class="card verdict"><p class="help">{mark} {escape(stamp)}</p>'
        f'<p class="sentence {kind}">{escape(sentence)}</p>{widgets.figures(entries)}'
        f"{widgets.notes(t.language, result)}"
        f'<p class="note">{escape(t("evaluation.backtest.note"))}</p></section>'
    )


def trading_tables_card(t: Translate, result: Json | None) -> str:
    """By year; orders and what blocked them; costs; how large a purse it could carry."""
    if not result:
        return ""
    years = [
        [
            row["name"],
            percent(row.get("return"), 1, signed=True),
            percent(row.get("index"), 1, signed=True),
            percent(row.get("max_drawdown"), 1),
        ]
        for row in result.get("by_year") or []
    ]
    heads = [
        t("evaluation.by.year"),
        t("evaluation.equity.portfolio").capitalize(),
        t("evaluation.equity.index").capitalize(),
        t("evaluation.drawdown"),
    ]
    by_year = widgets.card(t("evaluation.yearly"), widgets.table(heads, years, numbers=(1, 2, 3)))
    orders = [(t(f"evaluation.orders.{name}"), f"{count:,}") for name, count in result["orders"].items()]
    orders += [
        ("· " + t.choice("evaluation.blocked", name), f"{count:,}")
        for name, count in result["blocked"].items()
    ]
    costs = result["costs"]
    money = [
        (t(f"evaluation.cost.{name}"), t.count(costs[name]))
        for name in ("commission", "exchange_fees", "dividend_tax", "slippage", "total")
        if name in costs
    ]
    purse = (result.get("capacity") or {}).get("purse_cny")
    if purse is not None:
        money.append((t("evaluation.capacity"), t.count(purse)))
    cards = [
        by_year,
        widgets.card(
            t("evaluation.orders"),
            f'<div class="headless">{widgets.table(["", ""], orders, numbers=(1,))}</div>',
        ),
        widgets.card(
            t("evaluation.costs"),
            f'<div class="headless">{widgets.table(["", ""], money, numbers=(1,))}</div>',
        ),
    ]
    return f'<div class="table-grid">{"".join(cards)}</div>'
