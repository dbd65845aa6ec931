"""The form of a training: what its fields mean, and what it can tell of a run."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.base.errors import BadSetting, FinancialModelError
from financial_model.base.workspace import write_json
from financial_model.ui.job import Job
from financial_model.ui.tabs import basic_training
from financial_model.ui.tabs.training_form import (
    FIELDS,
    PRESETS,
    are_few,
    divisors,
    passes_for,
    presets_of,
    settings_column,
    settings_of,
    training_figures,
    values_of,
)
from financial_model.ui.trail import Curves, Trail
from financial_model.ui.training_charts import industry_chart, loss_chart, parts_chart, rank_ic_chart
from financial_model.ui.translations import Translate

from .test_trail import ENSEMBLE


def values(**changed):
    form = values_of(TrainSettings(name="first"))
    return [{**form, **changed}[name] for name in FIELDS]


@pytest.mark.parametrize(
    "settings",
    [
        TrainSettings(),
        TrainSettings(
            model=ModelSettings(model="lstm", heads=1), codes=("SH600000", "SZ000001"), max_stocks=5
        ),
        TrainSettings(mode="industry", industry="energy", loss="ic", compile=True, ensemble=3, seed=7),
        TrainSettings.from_json({"train_end": "2016-12-31", "valid_end": "2017-12-31"}),
    ],
)
def test_settings_come_back_from_the_form_as_they_went_in(settings):
    form = values_of(settings)
    assert settings_of([form[name] for name in FIELDS]) == settings


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


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("few", [True, False])
def test_every_preset_can_be_trained(preset, few):
    chosen = presets_of(few)[preset]
    assert settings_of(values(**chosen)).epochs == chosen["epochs"]


def passes(codes, preset):
    return tuple(presets_of(are_few(codes))[preset][name] for name in ("epochs", "batch_size"))


def test_few_stocks_have_small_batches_and_many_passes_and_all_of_them_do_not():
    assert passes("600519", "recommended") == passes("600519, 000001", "large") == (30, 64)
    assert passes("600519", "quick") == (2, 64)
    for codes in ("", "  ", ", ".join(f"60{n:04}" for n in range(11))):
        assert passes(codes, "recommended") == (TrainSettings().epochs, TrainSettings().batch_size)
        assert passes(codes, "quick") == (2, 512)


def test_codes_that_are_written_into_the_form_bring_the_passes_of_its_preset_along():
    for preset in PRESETS:
        many, few = (list(presets_of(few)[preset].values()) for few in (False, True))
        assert tuple(passes_for("600519", many)) == passes("600519", preset)
        assert tuple(passes_for("", few)) == passes("", preset)
        assert [one["__type__"] for one in passes_for("600519", few)] == ["update"] * 2
    own = list((presets_of(False)["quick"] | {"epochs": 7}).values())
    assert [one["__type__"] for one in passes_for("600519", own)] == ["update"] * 2, "a person's own stay"


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": None}, "epochs"),
        ({"epochs": 2.5}, "epochs"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"batch_size": -1}, "batch_size"),
        ({"heads": 7}, "heads"),
        ({"max_stocks": "many"}, "max_stocks"),
        ({"max_stocks": "²"}, "max_stocks"),
        ({"train_end": "tomorrow"}, "train_end"),
        ({"train_end": "2018-01-01", "valid_end": "2017-01-01"}, "valid_end"),
        ({"mode": "industry", "industry": "magic"}, "industry"),
        ({"loss": "none"}, "loss"),
    ],
)
def test_a_field_that_does_not_fit_is_named(changed, setting):
    with pytest.raises(BadSetting) as told:
        settings_of(values(**changed))
    assert told.value.fields["setting"] == setting


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=60),
    st.lists(st.integers(), max_size=3),
)


@given(name=st.sampled_from(FIELDS), value=anything)
def test_whatever_stands_in_a_field_is_taken_or_refused_in_our_words(name, value):
    try:
        settings_of(values(**{name: value}))
    except FinancialModelError as error:
        assert Translate("zh").error(type(error).__name__, str(error), error.fields)


@given(hidden=st.one_of(st.none(), st.integers(-5, 3000), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_head_count_on_offer_divides_the_hidden_size(hidden):
    offered = divisors(hidden)
    assert offered[0] == 1
    if isinstance(hidden, int) and hidden >= 8:
        assert all(hidden % heads == 0 for heads in offered)


# ---------------------------------------------------------------------- what a run has told


def told(tmp_path, epochs=3, steps=4, state="running", **changed):
    trail, curves = Trail(), Curves()

    def tell(event):
        trail.add(event)
        curves.add(event)

    for epoch in range(1, epochs + 1):
        for step in range(1, steps + 1):
            parts = {"regression": 0.6, "direction": 0.4, **changed.get("parts", {})}
            tell(
                {
                    "kind": "step",
                    "time": 100.0 * epoch + step,
                    "step": step,
                    "step_count": steps,
                    "epoch": epoch,
                    "epoch_count": 30,
                    "member": 1,
                    "member_count": 1,
                    "loss": 1.0 / epoch,
                    "parts": parts,
                    "samples_per_s": 4860.0,
                    "left_s": 400.0,
                }
            )
        tell(
            {
                "kind": "epoch",
                "time": 100.0 * epoch + 50,
                "epoch": epoch,
                "epoch_count": 30,
                "train_loss": 1.0 / epoch,
                "valid_loss": 1.1 / epoch,
                "valid_rank_ic": 0.02 * epoch,
                "valid_rank_ic_se": 0.0048,
                "best_epoch": epoch,
                **changed.get("epoch", {}),
            }
        )
    settings = TrainSettings().to_json()
    return Job(
        "20180101_120000_train_abcd",
        "train",
        settings,
        "",
        0.0,
        state,
        tmp_path,
        trail,
        started_at=100.0,
        live=curves,
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_charts_of_a_run_are_plain_data_in_both_languages(tmp_path, language):
    t, job = Translate(language), told(tmp_path)
    for chart in (
        rank_ic_chart(job, job, t),
        loss_chart(job, t),
        parts_chart(job, t),
        industry_chart(job, t),
    ):
        assert chart["traces"]
        json.dumps(chart, allow_nan=False)


def test_the_charts_of_a_run_on_a_practice_market_carry_its_mark(tmp_path):
    t, job = Translate("en"), told(tmp_path)
    charts = (
        lambda: rank_ic_chart(job, None, t),
        *(lambda f=f: f(job, t) for f in (loss_chart, parts_chart)),
    )
    assert [chart()["mark"] for chart in charts] == [""] * 3
    job.trail.add({"kind": "stage", "stage": "train", "is_simulated": True})
    job.trail.add({"kind": "stage", "stage": "after"})
    assert [chart()["mark"] for chart in charts] == ["practice market"] * 3


def test_labels_at_the_ends_of_the_axis_stay_within_it(tmp_path):
    sides = {}
    for epochs in (1, 15, 29):
        notes = rank_ic_chart(told(tmp_path, epochs=epochs), None, Translate("en"))["layout"]["annotations"]
        sides[epochs] = notes[0]["xanchor"]
    assert sides == {1: "left", 15: "center", 29: "right"}


def test_before_a_run_each_chart_says_what_will_stand_there(tmp_path):
    t = Translate("en")
    for chart in (
        rank_ic_chart(None, None, t),
        loss_chart(None, t),
        parts_chart(None, t),
        industry_chart(None, t),
    ):
        assert chart["empty"] == "Curves appear here once training starts."


def test_the_best_epoch_is_marked_and_labelled(tmp_path):
    chart = rank_ic_chart(told(tmp_path), None, Translate("en"))
    marker = next(trace for trace in chart["traces"] if trace.get("mode") == "markers")
    assert (marker["x"], marker["y"]) == ([3], [0.06])
    assert "best 0.0600" in [note["text"] for note in chart["layout"]["annotations"]]


def test_the_axis_reaches_to_the_last_epoch_from_the_start(tmp_path):
    chart = rank_ic_chart(told(tmp_path, epochs=1), None, Translate("en"))
    assert chart["layout"]["xaxis"]["range"] == [0.5, 30.5]


def test_parts_are_stacked_unless_one_is_negative(tmp_path):
    t = Translate("en")
    assert all("stackgroup" in trace for trace in parts_chart(told(tmp_path), t)["traces"])
    negative = told(tmp_path, parts={"correlation": -0.5})
    assert not any("stackgroup" in trace for trace in parts_chart(negative, t)["traces"])


def test_industries_are_shown_with_their_intervals_where_the_run_tells_them(tmp_path):
    industries = {
        "finance": {"rank_ic": 0.03, "rank_ic_se": 0.01},
        "energy": {"rank_ic": 0.05, "rank_ic_se": None},
    }
    chart = industry_chart(told(tmp_path, epoch={"industries": industries}), Translate("en"))
    assert chart["traces"][0]["y"] == ["Finance", "Energy"]
    assert chart["traces"][0]["error_x"]["array"] == [pytest.approx(0.0196), 0.0]


def test_the_figures_say_epoch_time_error_and_throughput(tmp_path):
    html = training_figures(Translate("en"), told(tmp_path))
    for text in ("/ 30 epochs", "6:40", "0.0600", "± 0.0048, best: epoch 3", "4,860", "samples/s"):
        assert text in html


def test_of_an_ensemble_headline_and_chart_tell_each_member_at_its_best(tmp_path):
    job = told(tmp_path)
    job.live.epochs[:] = ENSEMBLE
    html = training_figures(Translate("en"), job)
    assert "0.0700" in html
    assert "± 0.0060, mean of 2 members at best" in html
    together = {"best_epochs": [3, 2], "valid_rank_ic": 0.1, "valid_rank_ic_se": 0.004, "valid_loss": 0.8}
    write_json(tmp_path / "result.json", together)
    html = training_figures(Translate("en"), job)
    assert "0.1000" in html
    assert "± 0.0040, 2 members together" in html
    chart = rank_ic_chart(job, None, Translate("en"))
    marker = next(trace for trace in chart["traces"] if trace.get("mode") == "markers")
    assert marker["y"] == [0.09, 0.05]


def test_the_share_of_an_ensemble_counts_all_its_members(tmp_path):
    job = told(tmp_path, epochs=30)
    job.trail.step = {**job.trail.step, "member": 2, "member_count": 4}
    assert job.share() == pytest.approx(0.5)
