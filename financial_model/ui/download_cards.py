"""A market in figures and tables: how far a download is, what is here, what failed, servers, quality."""

from html import escape
from typing import Any

from . import widgets
from .job import Job
from .market_status import MarketStatus
from .translations import Translate, figure
from .view import View

MAX_FAILURES_SHOWN, MAX_SERVERS_SHOWN = 100, 40
SERVER_KINDS = {"ok": "ok", "slow": "warn", "resting": "warn", "unknown": ""}
REMEDY_KINDS = {"retry": "warn", "other_server": "warn"}


def running_figures(t: Translate, job: Job) -> str:
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


def status_figures(t: Translate, market: MarketStatus) -> str:
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


def failures_card(market: MarketStatus, t: Translate) -> str:
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


def servers_card(view: View, download: Job | None) -> str:
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


def quality_card(market: MarketStatus, t: Translate) -> str:
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
