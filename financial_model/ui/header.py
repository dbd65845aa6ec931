"""The bar on top of every tab: what data there is, what runs, on what."""

import os
import platform
from html import escape

from .job import Job
from .market_status import MarketStatus
from .translations import Translate
from .view import View, tab_of
from .widgets import job_error


def header_chips(view: View) -> str:
    """Name, data, job, queue, device; and the thin line of the job's progress under the bar."""
    t, market, job = view.t, view.market, view.running
    parts = [
        f'<span class="name">{t("app.name")}</span><span class="tagline">{escape(t("app.tagline"))}</span>'
    ]
    parts.append(_data_chip(t, market))
    share: float | None = None
    if job is not None:
        share = job.share()
        parts.append(_job_chip(t, job, share))
    else:
        failed = next((one for one in reversed(view.jobs) if one.is_heavy), None)
        if failed is not None and failed.state in ("failed", "lost"):
            why = escape(job_error(t, failed) if failed.state == "failed" else t("job.lost"), quote=True)
            parts.append(
                f'<span class="chip failed" role="button" title="{why}" data-open-tab="{tab_of(failed)}">'
                f"<b>! {escape(t('chip.failed'))}</b> {escape(t(f'job.name.{failed.command}'))}</span>"
            )
        else:
            parts.append(f'<span class="chip optional">{escape(t("chip.idle"))}</span>')
    if view.queued:
        parts.append(f'<span class="chip optional">{escape(t("chip.queued", count=len(view.queued)))}</span>')
    parts.append(f'<span class="chip optional">{escape(device_text(t, view.gpu))}</span>')
    line = f'<i class="line" style="width:{100 * (share or 0):.1f}%"></i>' if job is not None else ""
    return f'<div class="bar">{"".join(parts)}</div>{line}'


def _data_chip(t: Translate, market: MarketStatus) -> str:
    if market.is_empty:
        return f'<span class="chip warn data"><b>{escape(t("chip.empty"))}</b></span>'
    kind, name = ("warn", "chip.practice") if market.is_simulated else ("", "chip.real")
    stocks = f"{market.stocks:,}"
    if market.has_panel:
        text = t("chip.data", stocks=stocks, last=market.last_session or t("word.unknown"))
    else:
        text = t("chip.no_panel", stocks=stocks)
    return f'<span class="chip {kind} data"><b>{escape(t(name))}</b><span>{escape(text)}</span></span>'


def _job_chip(t: Translate, job: Job, share: float | None) -> str:
    words = [t("job.state.stopping") if job.state == "stopping" else t(f"job.doing.{job.command}")]
    step = job.trail.step
    if job.command == "train" and step:
        words.append(t("chip.epoch", epoch=step.get("epoch", "?"), count=step.get("epoch_count", "?")))
    elif share is not None:
        words.append(f"{100 * share:.0f} %")
    left = job.left_s()
    rest = (
        f'<span class="optional">{escape(t("chip.left", left=t.duration_words(left)))}</span>' if left else ""
    )
    return (
        f'<span class="chip busy" role="button" tabindex="0" data-open-tab="{tab_of(job)}">'
        f"<b>{escape(' '.join(words))}</b>{rest}</span>"
    )


def device_text(t: Translate, gpu: str | None) -> str:
    """The device as the header names it."""
    if gpu:
        return f"{t('chip.device.gpu')} {gpu}"
    return f"{t('chip.device.cpu')} {t('chip.cores', count=os.cpu_count() or 1)} · {platform.machine()}"
