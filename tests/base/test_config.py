"""Settings: checked at the door, the same after a trip through JSON."""

import json
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base import config
from financial_model.base.config import (
    BacktestSettings,
    EvaluateSettings,
    ForecastSettings,
    ImportSettings,
    ModelSettings,
    Settings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from financial_model.base.errors import BadSetting, FinancialModelError, MissingSetting

NEEDED = {
    "ImportSettings": {"path": "bars"},
    "ForecastSettings": {"checkpoint": "a.pt"},
    "BacktestSettings": {"checkpoint": "a.pt"},
    "EvaluateSettings": {"checkpoints": ["a.pt"]},
}
KINDS = [kind for kind in vars(config).values() if isinstance(kind, type) and issubclass(kind, Settings)]
KINDS.remove(Settings)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_defaults_survive_a_trip_through_json(kind):
    settings = kind.from_json(NEEDED.get(kind.__name__, {}))
    assert kind.from_json(json.loads(json.dumps(settings.to_json()))) == settings


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_any_json_becomes_settings_or_one_of_our_errors(data, kind):
    names = st.sampled_from([*kind.__dataclass_fields__, "unheard_of"])
    values = data.draw(st.dictionaries(names, json_values, max_size=4) | json_values)
    try:
        settings = kind.from_json(values)
    except FinancialModelError as error:
        assert str(error)
    else:
        assert kind.from_json(settings.to_json()) == settings
        asked = kind.from_json(settings.asked())
        assert asked == settings
        assert asked.asked() == settings.asked()


def test_an_unknown_key_is_named():
    with pytest.raises(BadSetting, match="stonks"):
        SimulateSettings.from_json({"stonks": 3})


def test_a_missing_key_is_named():
    with pytest.raises(MissingSetting, match="No path was given: name a file of bars, or a folder"):
        ImportSettings.from_json({})


def test_heads_divide_the_hidden_size():
    with pytest.raises(BadSetting, match="divisor of hidden_size"):
        ModelSettings(hidden_size=256, heads=7)


def test_validation_ends_after_training():
    with pytest.raises(BadSetting, match="after train_end"):
        TrainSettings(train_end=date(2017, 1, 1), valid_end=date(2016, 1, 1))


def test_industry_mode_asks_for_an_industry():
    with pytest.raises(BadSetting, match="industry"):
        TrainSettings(mode="industry")
    assert TrainSettings(mode="industry", industry="finance").industry == "finance"


def test_as_of_and_a_range_exclude_each_other():
    with pytest.raises(BadSetting, match="not both"):
        ForecastSettings("a.pt", as_of=date(2018, 1, 2), first=date(2018, 1, 2))


@pytest.mark.parametrize(
    "both", [{"codes": ("SH600000",), "all": True}, {"codes": ("SH600000",), "bars": "a.csv"}]
)
def test_stocks_to_forecast_are_named_in_one_way(both):
    with pytest.raises(BadSetting, match="one or the other") as caught:
        ForecastSettings("a.pt", **both)
    assert caught.value.fields["setting"] == "codes"


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 2.0])
def test_a_learning_rate_that_is_no_rate_is_refused(rate):
    with pytest.raises(BadSetting):
        replace(TrainSettings(), learning_rate=rate)


@pytest.mark.parametrize(
    "make",
    [
        lambda **range_of: EvaluateSettings(("a.pt",), **range_of),
        lambda **range_of: BacktestSettings("a.pt", **range_of),
        lambda **range_of: ForecastSettings("a.pt", all=True, **range_of),
        WalkForwardSettings,
    ],
)
def test_a_range_may_be_one_session_and_never_runs_backwards(make):
    day = date(2018, 1, 2)
    assert make(first=day, last=day).last == day
    with pytest.raises(BadSetting, match=r"not before first \(2018-01-02\)"):
        make(first=day, last=date(2018, 1, 1))
