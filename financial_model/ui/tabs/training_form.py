"""What both training tabs share: the column of settings, the live results, start and stop."""

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, get_args

import gradio as gr

from ...base.config import INDUSTRIES, LossName, ModelName, ModelSettings, TrainSettings
from ...base.errors import DamagedFile, FinancialModelError
from ...base.workspace import Workspace, check_name, read_json, write_json
from .. import actions, widgets
from ..command_line import command_line
from ..frame import Page
from ..job import Job
from ..live_chart import LiveChart
from ..trail import best_of
from ..training_charts import industry_chart, loss_chart, parts_chart, rank_ic_chart
from ..translations import Translate, figure
from ..view import View, tab_of

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "max_stocks": "100",
        "context": 30,
        "hidden": 64,
        "layers": 2,
        "heads": 4,
        "epochs": 2,
        "batch_size": 512,
    },
    "recommended": {
        "max_stocks": "",
        "context": ModelSettings().context_length,
        "hidden": ModelSettings().hidden_size,
        "layers": ModelSettings().layers,
        "heads": ModelSettings().heads,
        "epochs": TrainSettings().epochs,
        "batch_size": TrainSettings().batch_size,
    },
    "large": {
        "max_stocks": "",
        "context": 60,
        "hidden": 256,
        "layers": 4,
        "heads": 8,
        "epochs": TrainSettings().epochs,
        "batch_size": TrainSettings().batch_size,
    },
}
# So few stocks are few samples: smaller batches and more passes over them, ended early by validation.
FEW = 10
FEW_STOCKS: dict[str, Any] = {"epochs": 30, "batch_size": 64}
PASSES = tuple(FEW_STOCKS)


def are_few(codes: Any) -> bool:
    """Whether a form's codes are one or a few stocks; without any it trains on all, where a pass is long."""
    return 0 < len(actions.words_of(codes)) <= FEW


def presets_of(few: bool) -> dict[str, dict[str, Any]]:
    """The presets of few stocks, or of many."""
    if not few:
        return PRESETS
    return {
        name: one | FEW_STOCKS | ({"epochs": one["epochs"]} if name == "quick" else {})
        for name, one in PRESETS.items()
    }


def named_preset(presets: dict[str, dict[str, Any]], values: Sequence[Any]) -> str | None:
    """Which of the presets these values are, None where one of them was changed."""
    now = [str(value) for value in values]
    return next((name for name, one in presets.items() if [str(v) for v in one.values()] == now), None)


def passes_for(codes: Any, values: Sequence[Any]) -> list[Any]:
    """Epochs and batch size of the preset that stands in the form, where its codes became few, or many again.

    What a person has changed stays.
    """
    few = are_few(codes)
    wanted = presets_of(few)
    name = None if named_preset(wanted, values) else named_preset(presets_of(not few), values)
    return [wanted[name][field] if name else gr.skip() for field in PASSES]


# The fields of the form in the order in which handlers are handed them.
FIELDS = (
    *("kind", "mode", "industry", "max_stocks", "codes", "context", "prediction", "train_end", "valid_end"),
    *(
        "loss",
        "epochs",
        "batch_size",
        "learning_rate",
        "save_interval",
        "hidden",
        "layers",
        "heads",
        "dropout",
    ),
    *("with_conditions", "industry_embedding", "style_embedding", "regime_embedding"),
    *("mixed_precision", "compile", "patience"),
    *("seed", "ensemble", "name", "output"),
)
SAVED_DIR = "settings"
# Over so many of its last steps the pace of a running training is told.
PACE_STEPS = 20


def settings_of(values: Sequence[Any]) -> TrainSettings:
    """The settings that the form's values mean; BadSetting names the field that does not fit."""
    form = dict(zip(FIELDS, values, strict=True))
    model = ModelSettings.from_json(
        {
            "model": form["kind"],
            "context_length": form["context"],
            "prediction_length": form["prediction"],
            "hidden_size": form["hidden"],
            "layers": form["layers"],
            # An LSTM has no heads: any number would do, one always fits.
            "heads": 1 if form["kind"] == "lstm" else form["heads"],
            "dropout": form["dropout"],
            "industry_embedding": form["industry_embedding"],
            "style_embedding": form["style_embedding"],
            "regime_embedding": form["regime_embedding"],
            "with_conditions": form["with_conditions"],
        }
    )
    is_industry = form["mode"] == "industry"
    return TrainSettings.from_json(
        {
            "name": check_name(str(form["name"] or "")),
            "output": str(form["output"] or ""),
            "model": model,
            "mode": form["mode"],
            "industry": form["industry"] if is_industry else None,
            "codes": actions.words_of(form["codes"]),
            "max_stocks": actions.optional_count("max_stocks", form["max_stocks"]),
            "loss": form["loss"],
            "epochs": form["epochs"],
            "batch_size": form["batch_size"],
            "learning_rate": form["learning_rate"],
            "save_interval": form["save_interval"],
            "patience": form["patience"],
            "train_end": actions.optional(form["train_end"]),
            "valid_end": actions.optional(form["valid_end"]),
            "seed": form["seed"],
            "ensemble": form["ensemble"],
            "mixed_precision": form["mixed_precision"],
            "compile": form["compile"],
        }
    )


def values_of(settings: TrainSettings) -> dict[str, Any]:
    """The form's values that mean these settings."""
    model = settings.model
    return {
        "kind": model.model,
        "mode": settings.mode,
        "industry": settings.industry or "finance",
        "max_stocks": str(settings.max_stocks or ""),
        "codes": ", ".join(settings.codes),
        "context": model.context_length,
        "prediction": model.prediction_length,
        "train_end": settings.train_end.isoformat() if settings.train_end else "",
        "valid_end": settings.valid_end.isoformat() if settings.valid_end else "",
        "loss": settings.loss,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "save_interval": settings.save_interval,
        "hidden": model.hidden_size,
        "layers": model.layers,
        "heads": model.heads,
        "dropout": model.dropout,
        "industry_embedding": model.industry_embedding,
        "style_embedding": model.style_embedding,
        "regime_embedding": model.regime_embedding,
        "with_conditions": model.with_conditions,
        "mixed_precision": settings.mixed_precision,
        "compile": settings.compile,
        "patience": settings.patience,
        "seed": settings.seed,
        "ensemble": settings.ensemble,
        "name": settings.name,
        "output": settings.output,
    }


def divisors(hidden: Any) -> list[int]:
    """How many heads a hidden size can be split into."""
    size = int(hidden) if isinstance(hidden, (int, float)) and hidden >= 1 else ModelSettings().hidden_size
    return [count for count in range(1, 65) if size % count == 0]


@dataclass
class Form:
    """The column of one training tab."""

    tab: str
    is_conditional: bool
    widgets: dict[str, Any]
    start: Any
    stop: Any
    hint: Any
    told: Any
    command: Any
    filled: Any
    """The codes that settings of an earlier run have put into the form, until a person changes them."""

    @property
    def fields(self) -> list[Any]:
        return [self.widgets[name] for name in FIELDS]

    def is_mine(self, job: Job) -> bool:
        return job.command == "train" and tab_of(job) == self.tab


def settings_column(page: Page, tab: str, is_conditional: bool) -> Form:
    """Preset, mode, two open groups, closed groups, the button, one line on what it does."""
    kind: ModelName = "conditional" if is_conditional else "transformer"
    start_values = values_of(TrainSettings(name=tab, model=ModelSettings(model=kind)))
    made: dict[str, Any] = {}

    def number(name: str, key: str | None = None, precision: int | None = 0, **options: Any) -> None:
        made[name] = page.make(
            gr.Number,
            f"train.{key or name}",
            value=start_values[name],
            precision=precision,
            told={"default": start_values[name]},
            min_width=100,
            **options,
        )

    def text(name: str, **told: Any) -> None:
        made[name] = page.make(
            gr.Textbox, f"train.{name}", value=start_values[name], told=told, min_width=100, max_lines=1
        )

    with gr.Column(scale=0, min_width=304, elem_classes=["settings", "card"]):
        preset = page.make(
            gr.Radio,
            "train.preset",
            values=tuple(PRESETS),
            value="recommended",
            elem_classes="seg",
            elem_id=f"{tab}-preset",
        )
        if is_conditional:
            made["kind"] = gr.State("conditional")
            made["mode"] = page.make(
                gr.Radio, "train.mode", values=("unified", "industry"), value="unified", elem_classes="seg"
            )
            made["industry"] = page.make(
                gr.Dropdown,
                "train.industry",
                choices="industry",
                values=INDUSTRIES,
                value="finance",
                visible=False,
            )
        else:
            made["kind"] = page.make(
                gr.Radio,
                "train.kind",
                values=("transformer", "lstm"),
                value="transformer",
                elem_classes="seg",
            )
            made["mode"], made["industry"] = gr.State("unified"), gr.State(None)
        with page.make(gr.Accordion, "train.group.data", open=True, elem_classes="fold"):
            with gr.Row():
                text("max_stocks")
                number("context")
            with gr.Row():
                text("train_end")
                text("valid_end")
            if is_conditional:
                made["codes"] = gr.State("")
            else:
                text("codes", few=FEW)
        with page.make(gr.Accordion, "train.group.training", open=True, elem_classes="fold"):
            made["loss"] = page.make(
                gr.Dropdown,
                "train.loss",
                values=get_args(LossName),
                value=start_values["loss"],
                filterable=False,
            )
            with gr.Row():
                number("epochs")
                number("batch_size")
            with gr.Row():
                number("learning_rate", precision=None)
                number("save_interval")
        architecture, told_architecture = widgets.fold(page, "train.group.architecture")
        with architecture:
            with gr.Row():
                number("hidden")
                number("layers")
            with gr.Row():
                made["heads"] = page.make(
                    gr.Dropdown,
                    "train.heads",
                    choices=None,
                    value=start_values["heads"],
                    min_width=100,
                    filterable=False,
                    values=divisors(start_values["hidden"]),
                )
                number("dropout", precision=None)
            with gr.Row():
                number("prediction")
        conditions, told_conditions = widgets.fold(page, "train.group.conditions", visible=is_conditional)
        with conditions:
            made["with_conditions"] = page.make(gr.Checkbox, "train.with_conditions", value=True)
            with gr.Row():
                for name in ("industry", "style", "regime"):
                    number(f"{name}_embedding", f"embedding.{name}")
        speed, told_speed = widgets.fold(page, "train.group.speed")
        with speed:
            made["mixed_precision"] = page.make(gr.Checkbox, "train.mixed_precision", value=False)
            made["compile"] = page.make(gr.Checkbox, "train.compile", value=False)
            with gr.Row():
                number("patience")
                number("seed")
                number("ensemble")
        naming, told_naming = widgets.fold(page, "train.group.name")
        with naming:
            with gr.Row():
                text("name")
                text("output")
            saved = page.make(
                gr.Dropdown,
                "train.saved",
                values=list_saved(page.workspace),
                value=None,
                allow_custom_value=True,
            )
            save = page.make(gr.Button, "train.save", size="sm")
        with gr.Column(elem_classes="primary-row"):
            start = page.make(gr.Button, "train.start", variant="primary", elem_id=f"{tab}-start")
            stop = page.make(
                gr.Button, "train.stop", elem_classes="stop-button", visible=False, elem_id=f"{tab}-stop"
            )
        told = gr.HTML("", apply_default_css=False, elem_id=f"{tab}-told")
        hint = gr.HTML("", apply_default_css=False)
    command = gr.HTML("", apply_default_css=False, render=False)
    form = Form(tab, is_conditional, made, start, stop, hint, told, command, filled=gr.State(None))
    told_folds = (told_architecture, told_conditions, told_speed, told_naming)
    _connect(page, form, preset, told_folds, saved, save)
    return form


def _connect(page: Page, form: Form, preset: Any, folds: Sequence[Any], saved: Any, save: Any) -> None:
    made = form.widgets
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    preset_fields = list(PRESETS["quick"])
    preset_inputs = [made["codes"], *(made[name] for name in preset_fields)]

    def apply_preset(name: str, codes: Any) -> list[Any]:
        presets = presets_of(are_few(codes))
        chosen = presets.get(name, presets["recommended"])
        updates: list[Any] = [chosen[field] for field in preset_fields]
        # Heads after hidden: the choices must fit before the value does.
        updates[preset_fields.index("heads")] = gr.update(
            choices=divisors(chosen["hidden"]), value=chosen["heads"]
        )
        return updates

    preset.input(apply_preset, [preset, made["codes"]], [made[field] for field in preset_fields], **quiet)

    def fit_heads(hidden: Any, heads: Any) -> Any:
        fitting = divisors(hidden)
        wanted = int(heads) if isinstance(heads, (int, float)) else 1
        return gr.update(choices=fitting, value=max(count for count in fitting if count <= max(wanted, 1)))

    made["hidden"].input(fit_heads, [made["hidden"], made["heads"]], [made["heads"]], **quiet)
    if form.is_conditional:
        made["mode"].change(
            lambda mode: gr.update(visible=mode == "industry"), [made["mode"]], [made["industry"]], **quiet
        )
    else:

        def follow_codes(filled: Any, codes: Any, *values: Any) -> list[Any]:
            if codes == filled:
                return [gr.skip()] * (1 + len(PASSES))
            return [None, *passes_for(codes, values)]

        # Gradio tells as input what is typed, and neither what is pasted nor what is deleted.
        made["codes"].change(
            follow_codes, [form.filled, *preset_inputs], [form.filled, *(made[f] for f in PASSES)], **quiet
        )

    summarised: tuple[str, ...] = (
        "kind",
        "hidden",
        "layers",
        "heads",
        "industry_embedding",
        "style_embedding",
        "regime_embedding",
    )
    summarised += ("with_conditions", "mixed_precision", "compile", "name")

    def summarise(t: Translate, *values: Any) -> list[Any]:
        """A closed group says what is in it."""
        v = dict(zip(summarised, values, strict=True))
        kind = "lstm" if v["kind"] == "lstm" else "value"

        def on(flag: Any) -> str:
            return t("word.on" if flag else "word.off")

        told = (
            t(f"train.group.architecture.{kind}", hidden=v["hidden"], layers=v["layers"], heads=v["heads"]),
            t(
                "train.group.conditions.value",
                industry=v["industry_embedding"],
                style=v["style_embedding"],
                regime=v["regime_embedding"],
            )
            if v["with_conditions"]
            else t("word.off"),
            t("train.group.speed.value", precision=on(v["mixed_precision"]), compile=on(v["compile"])),
            str(v["name"] or ""),
        )
        return [escape(text) for text in told]

    def name_preset(t: Translate, codes: Any, *values: Any) -> list[Any]:
        return [named_preset(presets_of(are_few(codes)), values)]

    page.derive([preset], name_preset, preset_inputs)
    page.derive(folds, summarise, [made[name] for name in summarised])

    def tell_command(t: Translate, *values: Any) -> list[str]:
        try:
            line = command_line("train", settings_of(values))
        except FinancialModelError as error:
            return ["", actions.error_message(t.language, error)]
        return [f'<section class="card">{widgets.command_box(t, line)}</section>', ""]

    page.derive([form.command, form.told], tell_command, form.fields)

    def begin(language: str, *values: Any) -> str:
        def act() -> None:
            settings = settings_of(values)
            page.workspace.inside(settings.output)
            page.jobs.start("train", settings)

        return actions.attempt(language, act)

    def end(language: str) -> str:
        return actions.stop_at_work(language, page.jobs, form.is_mine)

    page.click(form.start, begin, form.fields, [form.told])
    page.click(form.stop, end, [], [form.told])

    def save_settings(language: str, *values: Any) -> tuple[str, Any]:
        told: list[str] = []

        def act() -> None:
            settings = settings_of(values)
            path = page.workspace.inside(f"{SAVED_DIR}/{check_name(settings.name)}.json")
            write_json(path, settings.to_json())
            told.append(f"{SAVED_DIR}/{path.name}")

        problem = actions.attempt(language, act)
        done = widgets.message(Translate(language)("train.saved_as", path=told[0])) if told else ""
        return problem or done, gr.update(choices=list_saved(page.workspace))

    page.click(save, save_settings, form.fields, [form.told, saved])

    def load_settings(language: str, name: str | None) -> list[Any]:
        nothing = [gr.skip()] * (1 + len(FIELDS))
        if not name:
            return [gr.skip(), "", *nothing]
        loaded: list[TrainSettings] = []

        def act() -> None:
            path = page.workspace.inside(f"{SAVED_DIR}/{check_name(name)}.json")
            if not path.is_file():
                raise DamagedFile(path, "it is not there", "Save it again.")
            loaded.append(TrainSettings.from_json(read_json(path)))

        problem = actions.attempt(language, act)
        if not loaded:
            return [gr.skip(), problem, *nothing]
        return [
            *reversed(tell_command(Translate(language), *fields_of(form, loaded[0]))),
            *fill(form, loaded[0]),
        ]

    outputs = [form.told, form.command, form.filled, *form.fields]
    saved.input(load_settings, [page.language, saved], outputs, **quiet)

    def remember(view: View) -> list[Any]:
        """The settings of the run that goes on, or of the last one, so that a reload finds them."""
        job = view.latest("train", where=form.is_mine)
        settings = None
        if job is not None:
            with contextlib.suppress(FinancialModelError):
                settings = TrainSettings.from_json(job.settings)
        if settings is None:
            values = [widget.value for widget in form.fields]
            return [*tell_command(view.t, *values), *[gr.skip()] * (1 + len(FIELDS))]
        return [*tell_command(view.t, *fields_of(form, settings)), *fill(form, settings)]

    page.on_open([form.command, form.told, form.filled, *form.fields], remember)


def fields_of(form: Form, settings: TrainSettings) -> list[Any]:
    """The values of the form's fields that mean these settings, of the kind of model this form is for."""
    values = values_of(settings)
    if form.is_conditional != (values["kind"] == "conditional"):
        values["kind"] = "conditional" if form.is_conditional else "transformer"
    return [values[name] for name in FIELDS]


def fill(form: Form, settings: TrainSettings) -> list[Any]:
    """Updates that put settings into the form: which codes they have, then its fields."""
    values = dict(zip(FIELDS, fields_of(form, settings), strict=True))
    heads = gr.update(choices=divisors(values["hidden"]), value=values["heads"])
    return [values["codes"], *(values | {"heads": heads}).values()]


def list_saved(workspace: Workspace) -> list[str]:
    """Names of settings that were saved in this workspace."""
    try:
        return sorted(path.stem for path in (workspace.root / SAVED_DIR).glob("*.json"))[:200]
    except OSError:
        return []


# ---------------------------------------------------------------------- results


def results_column(page: Page, form: Form, above: Any = None) -> None:
    """Headline, four charts, the command; all of it follows the newest training of this tab."""
    with gr.Column(elem_classes="results"):
        headline = gr.HTML("", apply_default_css=False, elem_id=f"{form.tab}-headline")
        if above is not None:
            above()
        with gr.Row(elem_classes="pair") as curves:
            rank_ic, loss = LiveChart(height=235), LiveChart(height=235)
        with gr.Row(elem_classes="pair") as details:
            parts, industries = LiveChart(height=235), LiveChart(height=235)
        form.command.render()
    rows = (curves, details)

    def look(view: View, kind: str) -> list[Any]:
        t = view.t
        mine = [job for job in view.jobs if form.is_mine(job)]
        job = view.latest("train", where=form.is_mine)
        earlier = [one for one in mine if job is not None and one.id < job.id and one.trail.has_epochs]
        previous = earlier[-1] if earlier else None
        is_busy = job is not None and job.is_active
        is_queued = job is not None and job.state == "queued"
        hint = t("train.hint.queued" if is_queued else "train.hint.running" if is_busy else "train.hint")
        if not view.market.has_panel and not is_busy:
            hint = t("train.no_panel")
        told = job if job is not None and (job.curves.epochs or job.curves.losses) else None
        # Waiting for its first figures, a new run shows the pictures of the one before it, paler.
        is_old = told is None and previous is not None
        told = told or previous
        charts = [
            rank_ic_chart(told, None if is_old else previous, t),
            loss_chart(told, t),
            parts_chart(told, t),
            industry_chart(told, t),
        ]
        # Before the first run one sentence says what will stand here, not one in each card.
        look_of = ["old"] if is_old else ["bare"] if told is None else []
        return [
            _headline(view, job),
            *charts,
            *[gr.update(elem_classes=["pair", *look_of])] * len(rows),
            gr.update(visible=not is_busy, interactive=view.market.has_panel),
            gr.update(visible=is_busy, value=widgets.stop_text(t, view.ahead(job), "train.stop")),
            f'<p class="help">{escape(hint)}</p>',
            # An LSTM has no heads.
            *(gr.update(interactive=not is_busy and (kind, name) != ("lstm", "heads")) for name in shown),
        ]

    shown = {name: widget for name, widget in form.widgets.items() if not isinstance(widget, gr.State)}
    outputs = [headline, rank_ic, loss, parts, industries, *rows, form.start, form.stop, form.hint]
    page.live([*outputs, *shown.values()], look, [form.widgets["kind"]])


def _headline(view: View, job: Job | None) -> str:
    t = view.t
    if job is None:
        if not view.market.has_panel:
            return widgets.message(t("train.no_panel"), "warn", to=("download", t("tab.download")))
        return f'<section class="card"><p class="help">{escape(t("train.ready"))}</p></section>'
    notice = widgets.job_message(t, job, view.ahead(job))
    if job.state == "queued":
        return f'<section class="card">{notice}</section>'
    result = job.result() or {}
    if job.state == "done" and result.get("checkpoint"):
        finished = t("train.finished", path=result["checkpoint"])
        notice = widgets.message(finished, to=("inference", t("tab.inference")))
    elif job.state == "stopped" and result.get("checkpoint"):
        notice = widgets.message(t("train.stopped", path=result["checkpoint"]), "warn")
    elif job.state == "running" and not job.trail.step:
        notice = widgets.message(t("train.preparing"))
    return f'<section class="card">{training_figures(t, job)}{notice}{widgets.job_warnings(t, job)}</section>'


def training_figures(t: Translate, job: Job) -> str:
    """Epoch, time left, RankIC with its error, losses and throughput of a run."""
    step, epochs = job.trail.step, job.curves.epochs
    share = 1.0 if job.state == "done" else job.share() or 0.0
    entries: list[Any] = []
    count = step.get("epoch_count") or job.settings.get("epochs") or 0
    members = step.get("member_count") or 1
    behind = t("train.figure.epochs", count=count)
    if members > 1:
        behind += " · " + t("train.figure.member", member=step.get("member", 1), count=members)
    entries.append((t("train.figure.epoch"), str(step.get("epoch", 0)), behind))
    left = job.left_s() if job.is_running else None
    used = max(0.0, (job.ended_at or job.trail.last_time) - (job.started_at or job.trail.last_time))
    if job.is_active:
        told = t("train.figure.used", used=t.duration(used))
        entries.append((t("train.figure.left"), t.duration(left) if left is not None else "—", told))
    else:
        entries.append((t("train.figure.took"), t.duration(used), ""))
    if epochs:
        best = best_of(epochs, job.result())
        error = best.get("valid_rank_ic_se")
        told = "joint" if best["is_joint"] else "mean" if best["members"] > 1 else "best"
        told += "_only" if error is None else ""
        small = t(f"train.figure.{told}", se=figure(error), epoch=best.get("epoch"), count=best["members"])
        if best.get("valid_rank_ic") is not None:
            entries.append((t("train.figure.rank_ic"), figure(best["valid_rank_ic"]), small, "accent"))
            small = ""
        entries.append((t("train.figure.valid_loss"), figure(best.get("valid_loss"), 3), small))
    if step.get("loss") is not None:
        entries.append((t("train.figure.loss"), figure(step["loss"], 3), ""))
    # A step alone says little: the last of an epoch is small, the first waits for its data.
    paces = [pace for _, _, pace in job.curves.losses if pace > 0]
    if paces:
        pace = statistics.median(paces[-PACE_STEPS:] if job.is_active else paces)
        entries.append((t("train.figure.speed"), t.count(pace), t("train.figure.per_s")))
    bar = widgets.progress_bar([(share, "")]) if job.state != "done" else ""
    return widgets.figures(entries) + bar
