import numpy as np
import pytest

from financial_model.base.progress import Progress
from financial_model.evaluation import baselines
from financial_model.evaluation.baselines import (
    BASELINES,
    LearningSpan,
    baseline_scores,
    index_state,
    ranked_label,
    trailing_return,
)
from financial_model.evaluation.information_coefficient import mean_over_sessions, session_ic
from financial_model.evaluation.samples import tradable_return

SPAN = LearningSpan(train=(65, 260), valid=(270, 330))


def make_reverting(makers, seed=0, stocks=40, sessions=420):
    """A market whose return of the session after next leans against today's."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.02, (stocks, sessions))
    for session in range(2, sessions):
        returns[:, session] -= 0.2 * returns[:, session - 2]
    close = 10 * np.exp(np.cumsum(returns, axis=1))
    open_ = close * np.exp(rng.normal(0, 0.003, close.shape))
    columns = {
        "open": open_,
        "high": np.maximum(open_, close) * 1.002,
        "low": np.minimum(open_, close) * 0.998,
    }
    conditions = {name: ["unknown", "one"] for name in baselines.CONDITIONS}
    return makers.MadePanel(close, vocabulary=conditions, **columns)


@pytest.fixture(scope="module")
def market(makers):
    return make_reverting(makers)


@pytest.fixture(scope="module")
def test_rows(market):
    return np.flatnonzero(market.session_index >= 340)


@pytest.fixture(autouse=True)
def small_trees(monkeypatch):
    monkeypatch.setitem(baselines.LIGHTGBM, "min_data_in_leaf", 50)
    # One thread: two that share a busy core wait for each other at every split.
    monkeypatch.setitem(baselines.LIGHTGBM, "num_threads", 1)
    monkeypatch.setattr(baselines, "LIGHTGBM_ROUNDS", 12)


def rank_ic(market, rows, score):
    return mean_over_sessions(
        session_ic(score, tradable_return(market, rows), market.session_index[rows]).rank_ic
    )


def test_a_panel_without_what_the_model_looked_on_holds_not_all_it_learned_from(walk):
    panel = walk.make_market(stocks=3, sessions=400)
    day = [str(one) for one in panel.sessions]
    split = {"train": [day[59], day[259]], "valid": [day[270], day[329]]}
    assert LearningSpan.of_split(panel, split, context_length=60) == LearningSpan((59, 260), (270, 330))
    assert LearningSpan.of_split(panel, split | {"train": [day[58], day[259]]}, context_length=60) is None
    assert LearningSpan.of_split(panel, split | {"train": [day[0], day[259]]}, context_length=60) is None


@pytest.mark.parametrize("name", ["ridge", "lightgbm", "lightgbm_conditions"])
def test_a_fitted_baseline_finds_a_planted_reversal_out_of_sample(market, test_rows, name):
    score = baseline_scores(market, test_rows, span=SPAN, names=(name,))[name]
    assert rank_ic(market, test_rows, score).t > 5


def test_fits_are_the_same_each_time_and_kept_in_the_cache(market, test_rows, tmp_path, monkeypatch):
    fresh = baseline_scores(market, test_rows, span=SPAN, names=("ridge", "lightgbm"), cache_dir=tmp_path)
    again = baseline_scores(market, test_rows, span=SPAN, names=("ridge", "lightgbm"))
    assert len(list((tmp_path / "baselines").iterdir())) == 2

    def refuse(*_):
        raise AssertionError("fitted again")

    monkeypatch.setattr(baselines, "_fit_ridge", refuse)
    monkeypatch.setattr(baselines, "_fit_lightgbm", refuse)
    kept = baseline_scores(market, test_rows, span=SPAN, names=("ridge", "lightgbm"), cache_dir=tmp_path)
    for name in fresh:
        np.testing.assert_array_equal(fresh[name], kept[name])
        np.testing.assert_array_equal(fresh[name], again[name])


def test_baselines_do_not_see_the_future(market, makers, test_rows):
    cut = 380
    close = market.column("close").reshape(40, -1).copy()
    columns = {name: market.column(name).reshape(40, -1).copy() for name in ("open", "high", "low", "volume")}
    close[:, cut:] *= 2.0
    for values in columns.values():
        values[:, cut:] *= 0.5
    vocabulary = {name: ["unknown", "one"] for name in baselines.CONDITIONS}
    changed = makers.MadePanel(close, vocabulary=vocabulary, **columns)
    early = test_rows[market.session_index[test_rows] < cut]
    one = baseline_scores(market, early, span=SPAN)
    two = baseline_scores(changed, early, span=SPAN)
    for name in BASELINES:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_without_a_span_only_those_that_need_no_fit_are_made(market, test_rows):
    assert set(baseline_scores(market, test_rows)) == {"zero", "momentum", "reversal"}


def test_trailing_return_stays_within_the_stock(makers):
    panel = makers.MadePanel([[1.0, 2.0, 4.0], [8.0, 4.0, 2.0]])
    got = trailing_return(panel, np.arange(6), 2)
    assert got[[2, 5]].tolist() == [3.0, -0.75]
    assert np.isnan(got[[0, 1, 3, 4]]).all()


def test_labels_are_ranked_within_each_session(market):
    rows = np.flatnonzero((market.session_index >= 65) & (market.session_index < 100))
    label, plain = ranked_label(market, rows, 1), tradable_return(market, rows)
    for session in (65, 80):
        mine = market.session_index[rows] == session
        assert label[mine].mean() == pytest.approx(0.0, abs=1e-9)
        assert label[mine].std() == pytest.approx(1.0, abs=0.01)
        assert np.argsort(label[mine]).tolist() == np.argsort(plain[mine]).tolist()


def test_index_state_is_the_market_up_to_its_session(makers):
    panel = makers.MadePanel(np.array([[10.0, 11.0, 12.1, 12.1], [5.0, 5.5, 5.5, 5.5]]))
    state = index_state(panel)
    assert state[1, 0] == pytest.approx(np.log(1.1))
    assert state[2, 0] == pytest.approx(np.log(1.1) / 2)
    assert np.isnan(state[3, 1])


def test_without_lightgbm_its_baselines_are_left_out_with_a_warning(market, test_rows, monkeypatch):
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    events = []
    made = baseline_scores(market, test_rows, span=SPAN, progress=Progress(events.append))
    assert set(made) == {"zero", "momentum", "reversal", "ridge"}
    assert [event["key"] for event in events if event["kind"] == "warning"] == ["no_lightgbm", "no_lightgbm"]
