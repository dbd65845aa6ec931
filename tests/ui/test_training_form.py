"""The form of a training as the page shows it."""

import pytest

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.ui.tabs import basic_training
from financial_model.ui.tabs.training_form import fields_of, fill, settings_column
from financial_model.ui.training_fields import FIELDS, settings_of, values_of


@pytest.mark.parametrize(("codes", "is_shown"), [((), False), (("SH600000",), True)])
def test_codes_that_a_program_asked_for_are_shown_in_the_form_that_has_none_of_its_own(
    built, codes, is_shown
):
    forms = []

    def build(page):
        with page.tab("multi"):
            forms.append(settings_column(page, "multi", is_conditional=True))

    built(build)
    assert not forms[0].widgets["codes"].visible
    update = fill(forms[0], TrainSettings(codes=codes))[1 + FIELDS.index("codes")]
    assert (update["value"], update["visible"]) == (", ".join(codes), is_shown)


def test_what_the_basic_form_cannot_show_is_not_taken_over_from_a_program(built):
    forms = []

    def build(page):
        with page.tab("basic"):
            forms.append(settings_column(page, "basic", is_conditional=False))

    built(build)
    model = ModelSettings(model="transformer", with_conditions=False)
    asked = TrainSettings(model=model, mode="industry", industry="energy", epochs=7)
    taken = settings_of(fields_of(forms[0], asked))
    assert (taken.mode, taken.industry, taken.model.with_conditions) == ("unified", None, True)
    assert taken.epochs == 7


@pytest.mark.parametrize("kind", ["conditional", "transformer"])
def test_the_form_starts_with_the_defaults_of_the_shell(built, kind):
    forms = []

    def build(page):
        with page.tab("multi" if kind == "conditional" else "basic"):
            forms.append(settings_column(page, "first", is_conditional=kind == "conditional"))
            forms[0].command.render()

    built(build)
    defaults = TrainSettings(name="first", model=ModelSettings(model=kind))
    shown = {name: widget.value for name, widget in zip(FIELDS, forms[0].fields, strict=True)}
    assert settings_of(list(shown.values())) == defaults
    del shown["industry"]  # without the mode of one industry any will do
    assert shown.items() <= values_of(defaults).items()


@pytest.mark.parametrize(("kind", "has_heads"), [("transformer", True), ("lstm", False)])
def test_heads_can_be_chosen_of_a_model_that_has_some(built, kind, has_heads):
    tab = built(basic_training.build)
    (part,) = tab.page.parts(["basic"])
    told = part.render(tab.page.view("en"), kind)
    can = {getattr(one, "label", ""): update for one, update in zip(part.outputs, told, strict=True)}
    assert can["Heads"]["interactive"] == has_heads
    assert can["Layers"]["interactive"]
