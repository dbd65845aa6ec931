import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from financial_model.evaluation.information_coefficient import (
    grouped_ranks,
    mean_over_sessions,
    newey_west_se,
    paired_difference,
    session_ic,
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), levels=st.integers(2, 50))
def test_ic_and_rank_ic_agree_with_scipy_session_by_session_with_ties(seed, levels):
    rng = np.random.default_rng(seed)
    session = rng.integers(0, 6, 200)
    score = rng.integers(0, levels, 200).astype(float)
    label = np.round(rng.normal(size=200), 1)
    result = session_ic(score, label, session)
    for position, one in enumerate(result.session):
        mine = session == one
        if score[mine].std() == 0 or label[mine].std() == 0:
            continue
        assert result.ic[position] == pytest.approx(pearsonr(score[mine], label[mine]).statistic)
        assert result.rank_ic[position] == pytest.approx(spearmanr(score[mine], label[mine]).statistic)


def test_grouped_ranks_agree_with_scipy():
    values = np.array([0.3, 0.3, -1.0, 5.0, 5.0, 5.0])
    assert grouped_ranks(values, np.zeros(6, int)).tolist() == (rankdata(values) - 1).tolist()


def test_the_order_of_samples_does_not_matter():
    rng = np.random.default_rng(0)
    score, label, session = rng.normal(size=300), rng.normal(size=300), rng.integers(0, 9, 300)
    shuffle = rng.permutation(300)
    straight, shuffled = (
        session_ic(score, label, session),
        session_ic(score[shuffle], label[shuffle], session[shuffle]),
    )
    np.testing.assert_allclose(straight.ic, shuffled.ic)
    np.testing.assert_array_equal(straight.session, shuffled.session)


def test_a_sample_without_a_label_does_not_count():
    score, label = np.arange(7.0), np.array([0.0, 1, 2, 3, 4, np.nan, np.nan])
    result = session_ic(score, label, np.zeros(7, int))
    assert result.count.tolist() == [5]
    assert result.ic[0] == pytest.approx(1.0)


def test_a_score_that_is_alike_for_all_stocks_has_ic_zero_and_not_nan():
    result = session_ic(np.full(9, 0.1), np.random.default_rng(0).normal(size=9), np.zeros(9, int))
    assert result.ic.tolist() == [0.0]
    assert result.rank_ic.tolist() == [0.0]


def test_a_session_of_fewer_than_five_stocks_has_no_ic():
    assert np.isnan(session_ic(np.arange(4.0), np.arange(4.0), np.zeros(4, int)).ic[0])


def test_newey_west_by_hand():
    # deviations 1, -1, 1, -1 with one lag: 4 + 2 * (1 - 1/2) * (-3) = 1, over n^2 = 16
    assert newey_west_se(np.array([1.0, -1.0, 1.0, -1.0]), lags=1) == pytest.approx(0.25)


def test_newey_west_error_of_a_persistent_series_is_larger_than_the_naive_one():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=4000)
    persistent = np.convolve(noise, np.ones(5) / 5, mode="valid")
    naive = persistent.std() / np.sqrt(len(persistent))
    assert 1.8 < newey_west_se(persistent, 20) / naive < 2.5  # sqrt(5) = 2.24 in the limit


def test_paired_difference_sees_what_two_errors_hide():
    rng = np.random.default_rng(2)
    shared = rng.normal(0.05, 0.1, 500)
    better = shared + rng.normal(0.005, 0.01, 500)
    difference = paired_difference(better, shared)
    assert difference.t > 8
    assert (
        abs(mean_over_sessions(better).mean - mean_over_sessions(shared).mean)
        < 2 * mean_over_sessions(shared).se
    )


def test_a_mean_of_nothing_is_nan_and_its_json_is_none():
    assert mean_over_sessions(np.array([np.nan])).to_json()["mean"] is None
