"""Small pieces of HTML that several tabs show. Everything that comes from data is escaped here."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from .job import Job
from .translations import Translate
from .view import tab_of

if TYPE_CHECKING:
    from .frame import Page


# A browser breaks a line behind a hyphen, and where it may break anywhere also inside a code.
UNBROKEN = re.compile(
    r'<bdi class="whole">[^<]*</bdi>|<[^>]*>'
    r"|(?<![\w/.-])(?:\d{4}-\d{2}-\d{2}|(?:SH|SZ|BJ)\d{6}|\d{6}\.(?:SH|SZ|BJ))(?![\w/-])"
)


def whole(html: str) -> str:
    """HTML in whose texts no date and no stock code is broken over two lines; tags are left alone.

    >>> whole('<p title="2024-12-31">to 2024-12-31</p>')
    '<p title="2024-12-31">to <bdi class="whole">2024-12-31</bdi></p>'
    """

    def keep(found: re.Match[str]) -> str:
        text = found[0]
        return text if text.startswith("<") else f'<bdi class="whole">{text}</bdi>'

    return UNBROKEN.sub(keep, html)


def figures(entries: Iterable[tuple[str, str, str] | tuple[str, str, str, str]]) -> str:
    """A headline row of (label, figure, what stands small behind it[, class])."""
    cells = []
    for index, (name, value, small, *kind) in enumerate(entries):
        classes = " ".join(["figure", *(["lead"] if index == 0 else []), *kind])
        cells.append(
            f'<div class="{classes}"><span>{escape(name)}</span>'
            f"<strong>{escape(value)} <small>{escape(small)}</small></strong></div>"
        )
    return f'<div class="figures">{"".join(cells)}</div>'


def progress_bar(parts: Sequence[tuple[float, str]]) -> str:
    """A bar of (share in 0..1, class) parts, from left to right."""
    bars = "".join(
        f'<i class="{kind}" style="width:{100 * share:.2f}%"></i>' for share, kind in parts if share > 0
    )
    return f'<div class="progress">{bars}</div>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(text, class) pairs under a bar."""
    keys = "".join(f'<span><i class="{kind}"></i>{escape(text)}</span>' for text, kind in entries)
    return f'<div class="keys">{keys}</div>'


def fold(page: "Page", key: str, kind: str = "", *, visible: bool = True) -> tuple[gr.Accordion, gr.HTML]:
    """A closed group of settings and, at the right of its name, what is in it."""
    with gr.Column(elem_classes=["fold-box", *kind.split()], visible=visible):
        told = gr.HTML("", apply_default_css=False, elem_classes="fold-value")
        accordion = page.make(gr.Accordion, key, open=False, elem_classes="fold")
    return accordion, told


def unfold(page: "Page") -> gr.HTML:
    """The button that opens a toolbar which a narrow screen folds."""
    return page.html(
        lambda t: f'<button type="button" class="unfold">{escape(t("inference.change"))}</button>',
        elem_classes="unfold-box",
        js_on_load="element.addEventListener('click', () => "
        "element.closest('.toolbar').classList.toggle('unfolded'))",
    )


def notes(language: str, result: dict[str, Any]) -> str:
    """What must be known beside a result's figures, as its workflow told it."""
    return "".join(message(str(one[language]), "warn") for one in result.get("notes") or [])


def message(
    text: str,
    kind: str = "",
    small: str = "",
    log: str = "",
    log_label: str = "",
    to: tuple[str, str] | None = None,
) -> str:
    """A sentence in place; kind "" (fine), "warn" or "failed"; the log folded away under it.

    to: (tab, its name), the tab where the sentence sends the reader.
    """
    if not text:
        return ""
    more = go_to(*to) if to else ""
    more += f"<small>{escape(small)}</small>" if small else ""
    if log:
        more += (
            f'<details><summary>{escape(log_label)}</summary><pre class="log">{escape(log)}</pre></details>'
        )
    return whole(f'<div class="message {kind}" role="status">{escape(text)}{more}</div>')


def go_to(tab: str, name: str) -> str:
    """A link to another tab of the page."""
    # The wide space stays behind where the link goes on to a line of its own.
    return f'&ensp;<button type="button" class="go-to" data-open-tab="{tab}">{escape(name)} →</button>'


def tag(text: str, kind: str = "") -> str:
    return f'<span class="tag {kind}">{escape(text)}</span>'


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    numbers: Iterable[int] = (),
    optional: Iterable[int] = (),
    codes: Sequence[str] | None = None,
    chosen: str | None = None,
) -> str:
    """A plain table. Cells are escaped unless they are `Markup`; numbers: columns set right; optional:
    columns that a narrow screen leaves out; codes: a row's `data-code`, which makes it clickable."""
    right, narrow = set(numbers), set(optional)

    def attributes(column: int) -> str:
        classes = [
            *(["number"] if column in right else []),
            *(["optional-column"] if column in narrow else []),
        ]
        return f' class="{" ".join(classes)}"' if classes else ""

    head = "".join(f"<th{attributes(column)}>{escape(text)}</th>" for column, text in enumerate(heads))
    body = []
    for index, row in enumerate(rows):
        cells = "".join(f"<td{attributes(column)}>{_cell(value)}</td>" for column, value in enumerate(row))
        opening = "<tr>"
        if codes is not None:
            code = escape(codes[index], quote=True)
            kind = ' class="chosen"' if codes[index] == chosen else ""
            opening = f'<tr data-code="{code}" tabindex="0"{kind}>'
        body.append(f"{opening}{cells}</tr>")
    return f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


class Markup(str):
    """Text that is HTML already, made by a function of this file."""


def _cell(value: Any) -> str:
    return value if isinstance(value, Markup) else escape(str(value))


def card(title: str, body: str, sub: str = "", note: str = "") -> str:
    """A card of HTML; `body` is HTML already."""
    foot = f'<p class="note">{escape(note)}</p>' if note else ""
    head = f'<header><h3>{escape(title)}</h3><span class="sub">{escape(sub)}</span></header>'
    return f'<section class="card">{head}{body}{foot}</section>'


def command_box(t: Translate, line: str) -> str:
    """The line that does the same from a shell, with a button that copies it."""
    idle, done = escape(t("word.copy")), escape(t("word.copied"))
    # An option is not broken behind one of its hyphens.
    words = (
        # Nor is a long list of codes broken but behind its commas.
        f"<span>{escape(word)}</span>" if word.startswith("-") else escape(word).replace(",", ",<wbr>")
        for word in line.split(" ")
    )
    return (
        f'<div class="command"><code>{" ".join(words)}</code><button type="button" data-copy>'
        f'<span class="idle">{idle}</span><span class="done">{done}</span></button></div>'
    )


def told_by(event: gr.EventData, name: str, most: int = 300) -> str:
    """What a click or a key tells under that name, cut to so many letters; "" where it tells nothing.

    Any program can send an event, with whatever data or with none.
    """
    data = event._data
    return str(data.get(name) or "")[:most] if isinstance(data, dict) else ""


def job_name(t: Translate, job: Job) -> str:
    """What a person calls a job: "training first", "evaluation"."""
    own = str(job.settings.get("name") or "") if job.command == "train" else ""
    return " ".join(filter(None, [t(f"job.name.{job.command}"), own]))


def stop_text(t: Translate, ahead: Sequence[Job], key: str) -> str:
    """What the button that ends a job says: one that waits for others has nothing to stop or to save."""
    return t("job.leave_queue" if ahead else key)


def waiting_message(t: Translate, ahead: Sequence[Job]) -> str:
    """For what a job in the queue waits, how far that is, and the way there."""
    if not ahead:
        return message(t("job.starting"))
    first, share, left = ahead[0], ahead[0].share(), ahead[0].left_s()
    so_far = [f"{100 * share:.0f} %"] if share is not None else []
    so_far += [t("chip.left", left=t.duration_words(left))] if left else []
    name = job_name(t, first) + (t("job.queued.so_far", told=" · ".join(so_far)) if so_far else "")
    tab = tab_of(first)
    key, others = ("job.queued.more", len(ahead) - 1) if len(ahead) > 1 else ("job.queued", 0)
    return message(t(key, name=name, others=others), "warn", to=(tab, t(f"tab.{tab}")))


def job_message(t: Translate, job: Job | None, ahead: Sequence[Job] = ()) -> str:
    """Where a job stands, as a sentence; nothing while it runs or after it ended well.

    ahead: the jobs that a queued one waits for.
    """
    if job is None or job.state in ("done", "running"):
        return ""
    if job.state == "queued":
        return waiting_message(t, ahead)
    if job.state == "stopping":
        return message(t("job.stopping"), "warn")
    if job.state == "stopped":
        saved = (job.trail.end.get("fields") or {}).get("saved") if t.language == "en" else ""
        return message(t("job.stopped", saved=saved or ""), "warn")
    if job.state == "lost":
        return message(t("job.lost"), "failed", log=job.log_tail(2000), log_label=t("job.log"))
    return message(job_error(t, job), "failed", log=job.log_tail(4000), log_label=t("job.log"))


def job_warnings(t: Translate, job: Job | None, most: int = 3) -> str:
    """What a job warns of, the newest last; how many more there are when they are many."""
    events = [event for event in job.trail.notes if event.get("kind") == "warning"] if job else []
    told = list(dict.fromkeys(t.warning(event) for event in events))
    lines = told[-most:] + ([t("job.more_warnings", count=len(told) - most)] if len(told) > most else [])
    return "".join(message(line, "warn") for line in lines)


def job_error(t: Translate, job: Job) -> str:
    """What went wrong in a job, in this language."""
    end = job.trail.end
    found = end.get("fields")
    fields: dict[str, Any] = found if isinstance(found, dict) else {}
    name, text = str(end.get("error", "")), str(end.get("message", ""))
    return t.error(name, text, {"message": text, **fields})
