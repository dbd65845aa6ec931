import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.base.config import ConditionSettings
from financial_model.conditions import market_regime as regime
from financial_model.conditions.market_regime import BEAR, BULL, SIDEWAYS, VOLATILE
from financial_model.data.panel import Panel
from financial_model.data.source import Bars
from financial_model.data.tdx_files import read_day_file

METHODS = ("rules", "markov")


def make_index(returns, first: str = "2015-01-05") -> Bars:
    days = np.datetime64(first, "D") + np.arange(len(returns))
    return Bars.of("SH000300", date=days, close=3000 * np.exp(np.cumsum(returns)))


def make_walk(seed: int, count: int = 900) -> Bars:
    rng = np.random.default_rng(seed)
    scale = np.repeat(rng.choice([0.006, 0.012, 0.03], count // 60 + 1), 60)[:count]
    drift = np.repeat(rng.choice([-0.003, 0.0, 0.003], count // 60 + 1), 60)[:count]
    return make_index(drift + scale * rng.standard_normal(count))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**16), cut=st.integers(150, 899))
def test_a_label_never_changes_when_later_sessions_arrive(method, seed, cut):
    bars, chosen = make_walk(seed), ConditionSettings(regime=method)
    labels = regime.regime_labels(bars, chosen)
    np.testing.assert_array_equal(labels[:cut], regime.regime_labels(bars.take(slice(0, cut)), chosen))


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**16), cut=st.integers(150, 899))
def test_the_continuous_state_never_changes_when_later_sessions_arrive(seed, cut):
    bars = make_walk(seed)
    state, names = regime.regime_state(bars, ConditionSettings())
    earlier, _ = regime.regime_state(bars.take(slice(0, cut)), ConditionSettings())
    assert state.shape == (len(bars), len(names))
    np.testing.assert_array_equal(state[:cut], earlier)


def test_rules_tell_a_rise_from_a_fall_a_rest_and_a_storm():
    rng = np.random.default_rng(3)
    calm = 0.004 * rng.standard_normal(200)
    assert regime.rule_labels(make_index(calm + 0.003))[-1] == BULL
    assert regime.rule_labels(make_index(calm - 0.003))[-1] == BEAR
    assert regime.rule_labels(make_index(calm))[-1] == SIDEWAYS
    assert regime.rule_labels(make_index(8 * calm))[-1] == VOLATILE
    assert not regime.rule_labels(make_index(calm))[:119].any()


def test_a_regime_is_left_later_than_it_is_entered():
    steps = np.concatenate([np.full(200, 0.002), np.zeros(70)])
    labels = regime.rule_labels(make_index(steps))
    distance = regime.mean_distance(make_index(steps))
    between = (distance > regime.TREND_LEAVE) & (distance < regime.TREND_ENTER) & (np.arange(270) > 210)
    assert between.any()
    assert (labels[between] == BULL).all()


def test_filtered_probabilities_find_the_states_that_made_the_returns():
    rng = np.random.default_rng(5)
    states = np.repeat(rng.permutation(np.tile([0, 1, 2, 3], 8)), 60)
    mean, deviation = np.array([0.004, -0.004, 0.0, 0.0]), np.array([0.008, 0.010, 0.004, 0.035])
    bars = make_index(mean[states] + deviation[states] * rng.standard_normal(len(states)), "2010-01-04")
    probabilities = regime.regime_probabilities(bars)
    known = ~np.isnan(probabilities[:, 0])
    assert known.sum() > 1500
    np.testing.assert_allclose(probabilities[known].sum(axis=1), 1)
    hits = probabilities[known].argmax(axis=1) == states[known]
    assert hits.mean() > 0.4  # by chance .25; a bull and a bear day look much alike
    assert hits[states[known] == 3].mean() > 0.85


def test_sessions_take_the_last_index_bar_at_or_before_them():
    bars = Bars.of("SH000300", date=["2024-06-03", "2024-06-05"], close=[1.0, 2.0])
    sessions = np.array(["2024-05-31", "2024-06-03", "2024-06-04", "2024-06-06"], dtype="datetime64[D]")
    assert regime.at_sessions(bars, np.array([7, 8]), sessions, -1).tolist() == [-1, 7, 7, 8]


def test_another_index_stands_in_and_without_any_all_is_unknown():
    days = ["2024-06-03"]
    with_other = Panel.from_columns(
        ["SH600001"], days, {"close": np.ones(1)}, indices={"SH000001": make_index(np.zeros(5))}
    )
    assert len(regime.choose_index(with_other, "SH000300")) == 5
    without = Panel.from_columns(["SH600001"], days, {"close": np.ones(1)})
    assert regime.choose_index(without, "SH000300") is None
    assert regime.regime_column(without, None, ConditionSettings()).tolist() == [0]


@pytest.mark.parametrize("cut", [200, 299, 300, 350, 440])
def test_an_index_that_begins_later_does_not_choose_for_the_sessions_before_it(cut):
    old, new = make_walk(1, 600), make_walk(2, 600).take(slice(300, None))
    panel = Panel.from_columns(
        ["SH600001"] * 600, old.date, {"close": np.ones(600)}, indices={"SH000001": old, "SH000300": new}
    )
    whole = regime.regime_column(panel, None, ConditionSettings())
    known = regime.regime_column(panel.truncated(old.date[cut]), None, ConditionSettings())
    np.testing.assert_array_equal(whole[: cut + 1], known)
    assert (whole[regime.SLOW_SESSIONS :] != regime.UNKNOWN).all()
    np.testing.assert_array_equal(
        whole[300 + regime.SLOW_SESSIONS :], regime.rule_labels(new)[regime.SLOW_SESSIONS :]
    )
    assert regime.choose_index(panel, "SH000300", old.date[299]) is old
    assert regime.choose_index(panel, "SH000300", old.date[300]) is new


@pytest.fixture(scope="module")
def csi300(real_data) -> Bars:
    return read_day_file(real_data / "vipdoc" / "sh" / "lday" / "sh000300.day", "SH000300")


def shares(bars: Bars, labels, first: str, last: str) -> np.ndarray:
    inside = (bars.date >= np.datetime64(first)) & (bars.date <= np.datetime64(last))
    return np.bincount(labels[inside], minlength=5) / inside.sum()


@pytest.mark.real_data
def test_the_timeline_shows_the_bull_market_the_crash_and_the_bear_market(csi300):
    labels = regime.rule_labels(csi300)
    bull = shares(csi300, labels, "2014-09-01", "2015-05-29")
    crash = shares(csi300, labels, "2015-06-15", "2015-09-30")
    bear = shares(csi300, labels, "2018-05-01", "2018-12-28")
    assert bull[BULL] > 0.7
    assert bull[BEAR] == 0
    assert crash[VOLATILE] == 1
    assert bear[BEAR] > 0.8
    assert bear[BULL] == 0


@pytest.mark.real_data
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cut", [700, 1400])
def test_real_labels_do_not_change_when_later_sessions_arrive(csi300, method, cut):
    chosen = ConditionSettings(regime=method)
    labels = regime.regime_labels(csi300, chosen)
    np.testing.assert_array_equal(labels[:cut], regime.regime_labels(csi300.take(slice(0, cut)), chosen))
