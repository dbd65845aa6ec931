"""The fields of a training's form: what their values mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.base.errors import BadSetting, FinancialModelError
from financial_model.ui.training_fields import FIELDS, divisors, settings_of, values_of
from financial_model.ui.translations import Translate


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
