"""Data Download: bring a market in (download, import, simulate), see what is here and how good it is."""

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
from ..download_charts import speed_chart, years_chart
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..market_status import MarketStatus
from ..pictures import DOOR_PICTURES
from ..translations import Translate, figure
from ..view import View

SOURCES = ("download", "import", "simulate")
COMMANDS = ("download", "import", "simulate", "build-panel")
WIDE = ["pair", "wide-left"]
MAX_FAILURES_SHOWN, MAX_SERVERS_SHOWN = 100, 40
SERVER_KINDS = {"ok": "ok", "slow": "warn", "resting": "warn", "unknown": ""}
REMEDY_KINDS = {"retry": "warn", "other_server": "warn"}


def build(page: Page) -> None:
    with page.tab("download"):
        with gr.Column(visible=True) as first_start:
            first_start_doors(page)
        with gr.Row(elem_classes="workbench", visible=False) as workbench:
            column = settings_column(page)
            results_column(page)

    def switch(view: View) -> list[Any]:
        """The doors while there is nothing, the workbench from the first job on."""
        job = view.latest(*COMMANDS)
        is_first = view.market.is_empty and (job is None or not job.is_active)
        return [gr.update(visible=is_first), gr.update(visible=not is_first)]

    page.live([first_start, workbench], switch)
    page.live(*column.live)

    def fill(view: View) -> list[Any]:
        """What is in a field already is not set again: the browser would ask what follows from it."""
        known = zip(column.asked, last_asked(view), strict=True)
        return [gr.skip() if value == (field.value or "") else value for field, value in known]

    page.on_open(column.asked, fill)


# ---------------------------------------------------------------------- the first start


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


# ---------------------------------------------------------------------- settings


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


# ---------------------------------------------------------------------- results


def results_column(page: Page) -> None:
    with gr.Column(elem_classes="results"):
        headline = gr.HTML("", apply_default_css=False, elem_id="download-headline")
        with gr.Row(elem_classes=WIDE) as charts:
            speed, years = LiveChart(height=230), LiveChart(height=230)
        with gr.Row(elem_classes=WIDE) as lists:
            failures = gr.HTML("", apply_default_css=False)
            servers = gr.HTML("", apply_default_css=False)
        quality = gr.HTML("", apply_default_css=False)

    def look(view: View) -> list[Any]:
        job = view.latest(*COMMANDS)
        download = view.latest("download")
        # A market that no server gave has no speed, no failures and no servers to show.
        is_quiet = (
            download is None and bool(view.market.stocks) and not (view.market.metadata or {}).get("servers")
        )
        return [
            _headline(view, job),
            speed_chart(download, view.t),
            years_chart(view.market, view.t),
            _failures(view.market, view.t),
            _servers(view, download),
            _quality(view.market, view.t),
            gr.update(elem_classes=[*WIDE, *(["last-only"] if is_quiet else [])]),
            gr.update(elem_classes=[*WIDE, *(["gone"] if is_quiet else [])]),
        ]

    page.live([headline, speed, years, failures, servers, quality, charts, lists], look)


def _headline(view: View, job: Job | None) -> str:
    t = view.t
    notice = ""
    if job is not None and job.is_running:
        body = _running_figures(t, job)
    else:
        body = _status_figures(t, view.market)
    if job is not None and (job.state in ("failed", "lost", "stopped", "stopping", "queued")):
        notice = widgets.job_message(t, job, view.ahead(job))
    elif view.market.stocks and not view.market.has_panel and not (job and job.is_active):
        notice = widgets.message(t("download.build.hint"), "warn")
    elif view.market.has_panel and not (job and job.is_active):
        # What was brought in is ready: on to the next step of the work.
        practice = t("download.practice") if view.market.is_simulated else t("download.ready")
        kind = "warn" if view.market.is_simulated else ""
        notice = widgets.message(practice, kind, to=("universe", t("tab.universe")))
    return f'<section class="card">{body}{notice}{widgets.job_warnings(t, job)}</section>'


def _running_figures(t: Translate, job: Job) -> str:
    progress = job.trail.progress
    share, left = job.share() or 0.0, job.left_s()
    unit = t.choice("download.unit", progress.get("unit", ""))
    entries: list[Any] = []
    if progress:
        done, total = progress.get("done", 0), progress.get("total")
        entries.append(
            (
                t(f"job.doing.{job.command}"),
                f"{done:,}",
                t("download.figure.of", total=f"{total:,}", unit=unit) if total else unit,
            )
        )
        speed = progress.get("speed") or _pace(job)
        if speed:
            entries.append(
                (t("download.figure.speed"), figure(speed, 1), t("download.figure.per_s", unit=unit))
            )
    else:
        entries.append((t(f"job.doing.{job.command}"), "…", ""))
    used = max(0.0, job.trail.last_time - (job.started_at or job.trail.last_time))
    entries.append(
        (
            t("download.figure.left"),
            t.duration(left) if left is not None else "—",
            t("download.figure.used", used=t.duration(used)),
        )
    )
    if progress.get("megabytes") is not None:
        entries.append((t("download.figure.megabytes"), figure(progress["megabytes"], 0), "MB"))
    if progress.get("bars") is not None:
        entries.append((t("download.figure.bars"), t.count(progress["bars"]), t("download.figure.bars.unit")))
    failed = progress.get("failed") or 0
    if progress.get("failed") is not None:
        entries.append((t("download.figure.failed"), f"{failed:,}", "", "bad" if failed else ""))
    return widgets.figures(entries) + _bar(t, progress, share)


def _bar(t: Translate, progress: dict[str, Any], share: float) -> str:
    """New, already current and failed, where the job counts them; else one bar."""
    total = progress.get("total") or 0
    counted = {name: int(progress.get(name) or 0) for name in ("new", "current", "failed")}
    counted["new"] += int(progress.get("updated") or 0)
    if not total or not any(counted.values()):
        return widgets.progress_bar([(share, "")])
    kinds = {"new": "", "current": "pale", "failed": "failed"}
    parts = [(count / total, kinds[name]) for name, count in counted.items()]
    keys = [(t(f"download.key.{name}", count=f"{count:,}"), kinds[name]) for name, count in counted.items()]
    return widgets.progress_bar(parts) + widgets.legend(keys)


def _pace(job: Job) -> float | None:
    """Units a second over the last twenty reports."""
    recent = job.curves.progress[-20:]
    if len(recent) < 2 or recent[-1]["time"] <= recent[0]["time"]:
        return None
    moved = recent[-1].get("done", 0) - recent[0].get("done", 0)
    return moved / (recent[-1]["time"] - recent[0]["time"]) if moved > 0 else None


def _status_figures(t: Translate, market: MarketStatus) -> str:
    metadata = market.metadata or {}
    span = f"{market.first_session} – {market.last_session}" if market.last_session else "—"
    failures = metadata.get("failures")
    failed = len(failures) if isinstance(failures, dict) else 0
    panel = t("download.figure.panel.ok" if market.has_panel else "download.figure.panel.missing")
    return widgets.figures(
        [
            (t("download.figure.stocks"), f"{market.stocks:,}", t("download.figure.stocks.unit")),
            (t("download.figure.bars"), t.count(market.bars), t("download.figure.bars.unit")),
            (t("download.figure.span"), span, ""),
            (t("download.figure.panel"), panel, ""),
            (t("download.figure.failed"), f"{failed:,}", "", "bad" if failed else ""),
            (t("download.figure.updated"), str(metadata.get("updated", "—"))[:10], ""),
        ]
    )


def _failures(market: MarketStatus, t: Translate) -> str:
    """Which stocks could not be had, why, how often it was tried, and what becomes of them."""
    metadata = market.metadata or {}
    found, retries = metadata.get("failures"), metadata.get("retries")
    failures = found if isinstance(found, dict) else {}
    known = retries if isinstance(retries, dict) else {}
    if not failures:
        return widgets.card(
            t("download.failures"), f'<p class="help">{escape(t("download.failures.none"))}</p>'
        )
    rows = []
    for code, why in list(failures.items())[:MAX_FAILURES_SHOWN]:
        told = known.get(code)
        one: dict[str, Any] = told if isinstance(told, dict) else {}
        kind, remedy = str(one.get("kind", "")), str(one.get("remedy", "retry"))
        reason = t(f"download.kind.{kind}") if t.has(f"download.kind.{kind}") else str(why)[:160]
        rows.append(
            (
                widgets.Markup(f"<code>{escape(str(code))}</code>"),
                reason,
                one.get("tries", "—"),
                widgets.Markup(
                    widgets.tag(t.choice("download.remedy", remedy), REMEDY_KINDS.get(remedy, ""))
                ),
            )
        )
    heads = [t(f"download.failures.{name}") for name in ("code", "reason", "tries", "what")]
    more = len(failures) - len(rows)
    note = t("download.failures.more", count=more) if more else ""
    body = f'<div class="scroll">{widgets.table(heads, rows, numbers=(2,))}</div>'
    return widgets.card(t("download.failures"), body, f"{len(failures):,}", note)


def _servers(view: View, download: Job | None) -> str:
    """The quote servers as the download that runs sees them, or as the last one left them."""
    t = view.t
    health: Any = None
    if download is not None and download.is_active:
        told = (event["servers"] for event in reversed(download.curves.progress) if event.get("servers"))
        health = download.trail.progress.get("servers") or next(told, None)
    health = health or (view.market.metadata or {}).get("servers")
    servers = [server for server in health if isinstance(server, dict)] if isinstance(health, list) else []
    if not servers:
        return widgets.card(
            t("download.servers.title"), f'<p class="help">{escape(t("download.servers.none"))}</p>'
        )
    rows = []
    for server in servers[:MAX_SERVERS_SHOWN]:
        state, latency = str(server.get("state", "")), server.get("latency_ms")
        label = widgets.tag(t.choice("download.servers.state", state), SERVER_KINDS.get(state, "failed"))
        rows.append(
            (
                server.get("name") or server.get("address", ""),
                f"{latency:.0f} ms" if isinstance(latency, (int, float)) else "—",
                f"{server.get('answers') or 0:,}",
                widgets.Markup(label),
            )
        )
    used = sum(server.get("state") in ("ok", "slow") for server in servers)
    heads = [t(f"download.servers.{name}") for name in ("name", "latency", "answers", "state")]
    body = f'<div class="scroll">{widgets.table(heads, rows, numbers=(1, 2))}</div>'
    sub = t("download.servers.sub", used=used, off=len(servers) - used)
    return widgets.card(t("download.servers.title"), body, sub)


def _quality(market: MarketStatus, t: Translate) -> str:
    """What the checks found in the bars, what became of such rows, and an example of each."""
    title, findings = t("download.quality"), market.quality.get("findings")
    if not market.quality:
        why = "practice" if market.is_simulated else "unchecked" if market.has_panel else "none"
        return widgets.card(title, f'<p class="help">{escape(t(f"download.quality.{why}"))}</p>')
    checked = t(
        "download.quality.checked",
        stocks=f"{market.quality.get('codes', 0):,}",
        bars=t.count(market.quality.get("bars", 0)),
    )
    if not isinstance(findings, dict) or not findings:
        return widgets.card(title, f'<p class="help">{escape(t("download.quality.clean"))}</p>', checked)
    rows = []
    for name, found in findings.items():
        examples = found.get("examples") or [{}]
        example = " ".join(str(examples[0].get(part, "")) for part in ("code", "date"))
        outcome = str(found.get("outcome", ""))
        label = widgets.tag(t.choice("download.outcome", outcome), "warn" if outcome == "set_aside" else "")
        rows.append(
            (
                t.choice("download.finding", name),
                f"{found.get('count', 0):,}",
                f"{found.get('codes', 0):,}",
                widgets.Markup(label),
                example,
            )
        )
    heads = [t(f"download.quality.{name}") for name in ("rule", "count", "codes", "outcome", "example")]
    body = f'<div class="scroll">{widgets.table(heads, rows, numbers=(1, 2), optional=(4,))}</div>'
    return widgets.card(title, body, checked, t("download.quality.where"))
