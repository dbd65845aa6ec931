"""The form of both training tabs: the column of settings with start and stop, and what stands in it."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, get_args

import gradio as gr

from ...base.config import INDUSTRIES, LossName, ModelName, ModelSettings, TrainSettings
from ...base.errors import FinancialModelError
from .. import actions, saved_settings, widgets
from ..command_line import command_line
from ..frame import Page
from ..job import Job
from ..training_fields import FIELDS, divisors, settings_of, values_of
from ..training_presets import FEW, PASSES, PRESETS, are_few, named_preset, passes_for, presets_of
from ..translations import Translate
from ..view import View, tab_of


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
            text("codes", few=FEW)
            # This model learns from all stocks: codes are shown where settings bring some along (`fill`).
            made["codes"].visible = not is_conditional
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
                values=saved_settings.list_saved(page.workspace),
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

        problem = actions.attempt(
            language, lambda: told.append(saved_settings.save_settings(page.workspace, settings_of(values)))
        )
        done = widgets.message(Translate(language)("train.saved_as", path=told[0])) if told else ""
        return problem or done, gr.update(choices=saved_settings.list_saved(page.workspace))

    page.click(save, save_settings, form.fields, [form.told, saved])

    def load_settings(language: str, name: str | None) -> list[Any]:
        nothing = [gr.skip()] * (1 + len(FIELDS))
        if not name:
            return [gr.skip(), "", *nothing]
        loaded: list[TrainSettings] = []

        problem = actions.attempt(
            language, lambda: loaded.append(saved_settings.load_settings(page.workspace, name))
        )
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
    if not form.is_conditional:  # what this form does not show must not be trained with unseen
        values |= {"mode": "unified", "industry": None, "with_conditions": True}
    return [values[name] for name in FIELDS]


def fill(form: Form, settings: TrainSettings) -> list[Any]:
    """Updates that put settings into the form: which codes they have, then its fields."""
    values = dict(zip(FIELDS, fields_of(form, settings), strict=True))
    heads = gr.update(choices=divisors(values["hidden"]), value=values["heads"])
    codes = gr.update(value=values["codes"], visible=bool(values["codes"]) or not form.is_conditional)
    return [values["codes"], *(values | {"heads": heads, "codes": codes}).values()]
