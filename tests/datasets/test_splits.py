"""Spans: no label of one reaches into the next, whatever the dates."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.base.errors import TooFewSessions
from financial_model.datasets.splits import label_reach, split_by_date


def make_sessions(count):
    return np.busday_offset("2012-01-02", np.arange(count), roll="forward").astype("datetime64[D]")


def make_settings(context=60, horizon=5, holding=1, **dates):
    model = ModelSettings(context_length=context, prediction_length=horizon)
    return TrainSettings(model=model, holding=holding, **dates)


def test_the_last_quarter_is_for_the_test_and_an_eighth_validates():
    sessions = make_sessions(2000)
    split = split_by_date(sessions, make_settings())
    assert (split.test.first, split.test.stop) == (1500, 2000)
    assert split.purge == 65
    assert split.valid.first == 1250
    assert split.valid.stop == 1500 - 65
    assert (split.train.first, split.train.stop) == (59, 1250 - 65)


def test_dates_are_the_last_days_of_their_spans():
    sessions = make_sessions(2000)
    settings = make_settings(train_end=date(2016, 12, 31), valid_end=date(2017, 12, 31))
    split = split_by_date(sessions, settings)
    assert sessions[split.valid.first] == np.datetime64("2017-01-02")
    assert sessions[split.test.first] == np.datetime64("2018-01-01")
    told = split.dates(sessions)
    assert told["test"] == ["2018-01-01", str(sessions[-1])]
    assert told["purge"] == 65


def test_a_training_end_alone_leaves_a_third_of_the_rest_for_validation():
    sessions = make_sessions(2000)
    split = split_by_date(sessions, make_settings(train_end=sessions[1399].item()))
    assert (split.valid.first, split.test.first) == (1400, 1600)


@given(
    count=st.integers(400, 3000),
    context=st.integers(8, 100),
    horizon=st.integers(1, 20),
    holding=st.integers(1, 20),
)
def test_no_label_of_a_span_reaches_a_price_that_the_next_one_sees(count, context, horizon, holding):
    settings = make_settings(context, horizon, holding)
    try:
        split = split_by_date(make_sessions(count), settings)
    except TooFewSessions:
        return
    reach = label_reach(horizon, holding)
    for earlier, later in ((split.train, split.valid), (split.valid, split.test)):
        last_label = earlier.stop - 1 + reach
        first_seen = later.first - (context - 1)
        assert last_label < first_seen
    assert split.train.first >= context - 1
    assert split.test.stop == count


def test_a_history_that_is_all_purge_is_refused_with_what_to_do():
    with pytest.raises(TooFewSessions, match="shorter context"):
        split_by_date(make_sessions(200), make_settings())
