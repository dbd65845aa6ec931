"""Runs: every training of the workspace, its curves over those of others, and what to do with it."""

import os
import subprocess
import sys
import time
from html import escape
from typing import Any

import gradio as gr

from .. import actions, runs, widgets
from ..frame import Page
from ..live_chart import LiveChart, card, empty_card, label, practice_mark, x_axis, y_axis
from ..runs import Run, RunReader
from ..theme import token
from ..training_charts import epoch_place, epoch_ticks
from ..translations import Translate, figure
from ..view import View

MAX_TICKED = 8
# Of a curve's name at its end: letters, their width, and the height of a line as a share of the axis.
MAX_LETTERS, LETTER_PX, LABEL_SHARE = 18, 6.5, 0.08
LINES = ("finance", "consumer", "technology", "healthcare")


def build(page: Page) -> None:
    reader = RunReader(page.workspace)
    with page.tab("runs", alignment="right"), gr.Column():
        headline = gr.HTML("", apply_default_css=False)
        with gr.Row(elem_classes="pair") as curves:
            rank_ic, loss = LiveChart(height=250), LiveChart(height=250)
        table = gr.HTML(
            "", apply_default_css=False, js_on_load="window.Hermes.rows(element, trigger, 'click')"
        )
        with gr.Column(elem_classes="card") as choice:
            chosen = gr.HTML("", apply_default_css=False)
            with gr.Row(elem_classes=["toolbar", "doings"], visible=False) as doings:
                name = page.make(gr.Textbox, "runs.name", max_lines=1, min_width=220, scale=0)
                rename = page.make(gr.Button, "runs.rename", scale=0, min_width=90)
                resume = page.make(gr.Button, "runs.resume", variant="primary", scale=0, min_width=120)
                folder = page.make(gr.Button, "runs.folder", scale=0, min_width=120)
                delete = page.make(gr.Button, "runs.delete", scale=0, min_width=90)
            with gr.Row(visible=False, elem_classes="toolbar") as question:
                asked = gr.HTML("", apply_default_css=False)
                really = page.make(
                    gr.Button, "runs.question.yes", elem_classes="stop-button", scale=0, min_width=90
                )
                keep = page.make(gr.Button, "runs.question.no", scale=0, min_width=90)
        # Outside the card, which goes with the last run: what was done to it is told nonetheless.
        told = gr.HTML("", apply_default_css=False)
        settings = gr.HTML("", apply_default_css=False)
        ticked = gr.State([])

    def toggle(ticked: list[str], event: gr.EventData) -> tuple[list[str], Any]:
        """The row that was clicked is ticked last; clicked again, it is let go."""
        code = widgets.told_by(event, "code")
        rest = [one for one in ticked if one != code]
        ticked = rest if ticked and ticked[-1] == code else [*rest, code]
        return ticked[-MAX_TICKED:], gr.update(visible=False)

    table.click(toggle, [ticked], [ticked, question], show_progress="hidden", api_visibility="private")

    def run_of(ticked: list[str]) -> Run:
        return reader.get(ticked[-1] if ticked else "", page.jobs.all())

    def act(language: str, ticked: list[str], do: Any, done: str) -> str:
        t = Translate(language)
        told: dict[str, Any] = {}
        problem = actions.attempt(language, lambda: told.update(do(run_of(ticked)) or {}))
        return problem or widgets.message(t(done, **told))

    def do_rename(language: str, ticked: list[str], name: str) -> str:
        return act(language, ticked, lambda run: runs.rename(page.workspace, run, name or ""), "runs.renamed")

    def do_resume(language: str, ticked: list[str]) -> str:
        def go_on(run: Run) -> None:
            page.jobs.start("train", runs.resume_settings(run))

        return act(language, ticked, go_on, "runs.resumed")

    def do_open(language: str, ticked: list[str]) -> str:
        def show(run: Run) -> dict[str, Any]:
            path = page.workspace.inside(run.id).parent
            if page.is_local:
                open_folder(str(path))
            return {"path": path}

        return act(language, ticked, show, "runs.folder.told")

    def ask(language: str, ticked: list[str]) -> tuple[str, Any, str]:
        found: list[Run] = []
        problem = actions.attempt(language, lambda: found.append(run_of(ticked)))
        if problem:
            return "", gr.update(visible=False), problem
        count = len(runs.files_of(page.workspace, found[0]))
        text = Translate(language)("runs.question", name=found[0].label, count=count)
        return widgets.message(text, "warn"), gr.update(visible=True), ""

    def do_delete(language: str, ticked: list[str]) -> tuple[str, Any, list[str]]:
        def remove(run: Run) -> dict[str, Any]:
            return {"count": runs.delete(page.workspace, run, page.jobs.all())}

        answer = act(language, ticked, remove, "runs.deleted")
        return answer, gr.update(visible=False), ticked[:-1]

    page.click(rename, do_rename, [ticked, name], [told])
    page.click(resume, do_resume, [ticked], [told])
    page.click(folder, do_open, [ticked], [told])
    page.click(delete, ask, [ticked], [asked, question, told])
    page.click(really, do_delete, [ticked], [told, question, ticked])
    page.click(keep, lambda language: gr.update(visible=False), [], [question])

    def look(view: View, ticked: list[str]) -> list[Any]:
        t = view.t
        known = reader.all(view.jobs)
        by_id = {run.id: run for run in known}
        shown = [by_id[one] for one in ticked if one in by_id]
        selected = shown[-1] if shown else None
        compared = shown or known[:1]
        is_open = selected is not None and _state(selected, view) == "open"
        return [
            _headline(t, known),
            overlay(compared, "valid_rank_ic", t("runs.chart.rank_ic"), t),
            overlay(compared, "valid_loss", t("runs.chart.loss"), t),
            _table(view, known, [run.id for run in shown]),
            _chosen(t, selected),
            gr.update(visible=selected is not None),
            gr.update(interactive=is_open),
            gr.update(interactive=selected is not None and _state(selected, view) != "running"),
            _settings(t, shown) if known else "",
            # Before the first run one sentence says what will stand here, not one in each card.
            *[gr.update(visible=bool(known))] * 2,
        ]

    parts = [headline, rank_ic, loss, table, chosen, doings, resume, delete, settings, curves, choice]
    page.live(parts, look, [ticked])


def open_folder(path: str) -> None:
    """Show a folder in the system's own file manager."""
    if sys.platform == "win32":
        os.startfile(path)
        return
    program = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        subprocess.Popen(
            [program, path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return  # without a file manager the path that is told must do


def _state(run: Run, view: View) -> str:
    if runs.training_of(run, view.jobs) is not None:
        return "running"
    if any(path.endswith("_final.pt") for path in run.checkpoints):
        return "done"
    return "open" if run.checkpoints else "bare"


def _headline(t: Translate, known: list[Run]) -> str:
    ranked = [run for run in known if isinstance(run.best.get("valid_rank_ic"), (int, float))]
    best = max(ranked, key=lambda run: run.best["valid_rank_ic"], default=None)
    entries: list[Any] = [(t("runs.count"), f"{len(known):,}", t("runs.count.unit"))]
    if best is not None:
        error = best.best.get("valid_rank_ic_se")
        small = f"± {figure(error)} · {best.label}" if error is not None else best.label
        entries.append((t("runs.best"), figure(best.best["valid_rank_ic"]), small, "accent"))
    if not known:
        return widgets.message(t("runs.empty"), to=("multi", t("tab.multi")))
    return f'<section class="card">{widgets.figures(entries)}</section>'


def overlay(shown: list[Run], key: str, title: str, t: Translate) -> dict[str, Any]:
    """One curve a run over its epochs, labelled where it ends; beyond four the older ones are grey."""
    traces: list[dict[str, Any]] = []
    ends: list[tuple[float, float, str, str]] = []
    for index, run in enumerate(reversed(shown)):
        known = [event for event in run.history if isinstance(event.get(key), (int, float))]
        if not known:
            continue
        x, y = [epoch_place(event) for event in known], [event[key] for event in known]
        color = token(f"industry-{LINES[index]}") if index < len(LINES) else token("earlier")
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(x) < 3 else "lines",
                "x": x,
                "y": y,
                "name": escape(run.label),
                "line": {"color": color, "width": 2},
                "hovertemplate": "%{y:.4f}",
            }
        )
        ends.append((x[-1], y[-1], shortened(run.label), color))
    if not traces:
        return empty_card(title, t("runs.chart.empty" if shown else "runs.empty"), t("runs.chart.sub"))
    places = [place for trace in traces for place in trace["x"]]
    longest = max(len(name) for _, _, name, _ in ends)
    layout = {
        "margin": {"r": 14 + LETTER_PX * longest},
        "annotations": end_labels(ends, [value for trace in traces for value in trace["y"]]),
        "xaxis": x_axis(range=[min(places) - 0.2, max(places) + 0.2], **epoch_ticks(max(places))),
        "yaxis": y_axis(),
    }
    return card(
        title,
        traces,
        layout,
        subtitle=t("runs.chart.sub"),
        name=f"runs_{key}",
        revision="runs",
        mark=practice_mark(t, any(run.is_simulated for run in shown)),
    )


def shortened(name: str) -> str:
    return name if len(name) <= MAX_LETTERS else name[: MAX_LETTERS - 1] + "…"


def end_labels(ends: list[tuple[float, float, str, str]], values: list[float]) -> list[dict[str, Any]]:
    """The names of curves (x, y, name, color) at their ends, moved up where they would touch."""
    least = LABEL_SHARE * (max(values) - min(values))
    notes: list[dict[str, Any]] = []
    for x, y, name, color in sorted(ends, key=lambda end: end[1]):
        y = max([y, *(note["y"] + least for note in notes if abs(note["x"] - x) < 1)])
        notes.append(label(escape(name), x, y, font={"size": 11, "color": color}))
    return notes


def _table(view: View, known: list[Run], ticked: list[str]) -> str:
    t = view.t
    if not known:
        return ""
    kinds = {"running": "ok", "done": "", "open": "warn", "bare": "failed"}
    rows = []
    for run in known:
        epochs = "{} / {}".format(*run.epochs)
        if run.member_count > 1:
            epochs += " · " + t("runs.members", count=run.member_count)
        error = run.best.get("valid_rank_ic_se")
        span = run.span("train")
        state = _state(run, view)
        rows.append(
            (
                ("✓ " if run.id in ticked else "") + run.label,
                t.choice("runs.model", run.model),
                time.strftime("%m-%d %H:%M", time.strptime(run.stamp, "%Y%m%d_%H%M%S")),
                epochs,
                figure(run.best.get("valid_rank_ic")) + (f" ± {figure(error)}" if error is not None else ""),
                figure(run.best.get("valid_loss"), 4),
                f"{span[0]} – {span[1]}" if span else "—",
                widgets.Markup(
                    widgets.tag(t("runs.data.practice"), "warn")
                    if run.is_simulated
                    else escape(t("runs.data.real"))
                ),
                widgets.Markup(widgets.tag(t(f"runs.state.{state}"), kinds[state])),
            )
        )
    names = ("name", "model", "when", "epochs", "rank_ic", "loss", "train", "data", "state")
    heads = [t(f"runs.head.{name}") for name in names]
    chosen = ticked[-1] if ticked else None
    body = widgets.table(
        heads,
        rows,
        numbers=(3, 4, 5),
        optional=(1, 2, 3, 5, 6),
        codes=[run.id for run in known],
        chosen=chosen,
    )
    note = t("runs.table.ensembles") if any(run.member_count > 1 for run in known) else ""
    return widgets.card(t("runs.table"), f'<div class="scroll">{body}</div>', t("runs.table.sub"), note)


def _chosen(t: Translate, run: Run | None) -> str:
    if run is None:
        return f'<p class="help">{escape(t("runs.selected.none"))}</p>'
    path = run.checkpoints[0] if run.checkpoints else "—"
    return (
        f"<header><h3>{escape(t('runs.selected', name=run.label))}</h3>"
        f'<span class="sub">{escape(t("runs.checkpoint", path=path))}</span></header>'
    )


def _settings(t: Translate, shown: list[Run]) -> str:
    title = t("runs.settings")
    if len(shown) < 2:
        return widgets.card(title, f'<p class="help">{escape(t("runs.settings.none"))}</p>')
    rows = [
        [
            t.choice("setting", name),
            *(widgets.Markup(f"<b>{escape(_told(t, value))}</b>") for value in values),
        ]
        for name, values in runs.differing_settings(shown)
    ]
    if not rows:
        return widgets.card(title, f'<p class="help">{escape(t("runs.settings.same"))}</p>')
    heads = [t("runs.settings.name"), *(run.label for run in shown)]
    return widgets.card(title, f'<div class="scroll">{widgets.table(heads, rows)}</div>')


def _told(t: Translate, value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return t("word.on" if value else "word.off")
    return str(value)
