import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from financial_model.base.errors import EmptyTestRange
from financial_model.evaluation.reliability import trailing_volatility
from financial_model.evaluation.result import (
    evaluate_forecasts,
    judge,
    samples_of,
)
from financial_model.evaluation.samples import Forecasts, tradable_return

HORIZON = 3


@pytest.fixture(scope="module")
def panel(makers):
    rng = np.random.default_rng(0)
    stocks, sessions = 60, 400
    return makers.make_walk(
        stocks,
        sessions,
        suspended=0.02,
        industry=rng.integers(0, 3, (stocks, 1)),
        regime=np.repeat([1, 2, 3, 4], 100)[None],
        style_size=rng.integers(1, 6, (stocks, sessions)),
        limit_up=np.where(rng.random((stocks, sessions)) < 0.02, 0.01, np.nan),
    )


def make_forecasts(panel, strength, seed=0):
    """Scores of a known correlation with the label, and the fan of the true (normal) law of the walk."""
    row = np.arange(len(panel.code_index))
    row = row[panel.session_index[row] >= 100]
    label = np.nan_to_num(tradable_return(panel, row))
    noise = np.random.default_rng(seed).normal(size=len(row))
    score = strength * label / 0.02 + np.sqrt(1 - strength**2) * noise
    normal = np.array([-1.6448536, -0.6744898, 0.0, 0.6744898, 1.6448536])
    fan = 0.02 * np.sqrt(np.arange(1, HORIZON + 1))[:, None] * normal
    return Forecasts(row, score, np.broadcast_to(fan, (len(row), HORIZON, 5)).copy())


def test_a_planted_ic_comes_out_with_its_error_and_is_called_better_than_chance(panel):
    facts = evaluate_forecasts(make_forecasts(panel, 0.1), panel).to_json()
    ic = facts["summary"]["ic"]
    assert abs(ic["mean"] - 0.1) < 3 * ic["se"]
    assert facts["headline"]["verdict"] == "above"
    assert "better than chance" in facts["headline"]["en"]
    assert abs(facts["summary"]["hit_rate"]["mean"] - facts["summary"]["hit_rate"]["expected"]) < 0.01


def test_a_score_turned_round_is_called_worse_than_chance(panel):
    forecasts = make_forecasts(panel, 0.1)
    turned = Forecasts(forecasts.row, -forecasts.score, None)
    assert evaluate_forecasts(turned, panel).facts["headline"]["verdict"] == "below"


def test_shuffled_labels_are_reported_as_chance(panel):
    samples = samples_of(make_forecasts(panel, 0.1), panel)
    rng = np.random.default_rng(1)
    shuffled = samples.label.copy()
    for session in np.unique(samples.session):
        mine = np.flatnonzero((samples.session == session) & np.isfinite(shuffled))
        shuffled[mine] = shuffled[rng.permutation(mine)]
    facts = judge(replace(samples, label=shuffled), panel).facts
    assert facts["headline"]["verdict"] == "chance"
    assert "indistinguishable from chance" in facts["headline"]["en"]
    assert "与随机无法区分" in facts["headline"]["zh"]


def test_coverage_of_the_true_law_is_nominal_in_every_regime_within_its_interval(panel):
    calibration = evaluate_forecasts(make_forecasts(panel, 0.1), panel).facts["calibration"]
    for key, nominal in (("90", 0.9), ("50", 0.5)):
        for row in calibration["coverage_by_regime"][key]:
            assert abs(row["mean"] - nominal) < 4 * row["se"]
    names = [row["name"] for row in calibration["coverage_by_regime"]["90"]]
    assert names == ["bear", "sideways", "volatile"]  # the sessions before the 100th are not forecast
    assert sum(row["mean"] for row in calibration["pit"]) == pytest.approx(1.0)
    assert sum(row["expected"] for row in calibration["pit"]) == pytest.approx(1.0)
    assert calibration["pinball"]["skill"] == pytest.approx(0.0, abs=0.02)


def test_baselines_are_judged_on_the_same_samples_and_paired(panel):
    samples = samples_of(make_forecasts(panel, 0.2), panel)
    weak = make_forecasts(panel, 0.05, seed=9).score
    weak[::50] = np.nan
    facts = judge(samples, panel, baselines={"weak": weak, "zero": np.zeros(len(weak))}).facts
    assert facts["headline"]["against"] == "weak"
    assert "Ahead of weak" in facts["headline"]["en"]
    weak_row, zero = facts["baselines"]
    assert zero["rank_ic"]["mean"] == 0.0
    assert weak_row["rank_ic"]["count"] == facts["summary"]["rank_ic"]["count"]
    assert weak_row["difference"]["mean"] == pytest.approx(
        facts["summary"]["rank_ic"]["mean"] - weak_row["rank_ic"]["mean"]
    )
    for name in ("ic", "rank_ic"):
        gap = weak_row["difference_without_locked" if name == "rank_ic" else "ic_difference_without_locked"]
        assert gap["mean"] == pytest.approx(
            facts["without_locked"][name]["mean"] - weak_row[f"{name}_without_locked"]["mean"]
        )
        assert gap["se"] > 0


def test_locked_samples_are_counted_and_left_out(panel):
    facts = evaluate_forecasts(make_forecasts(panel, 0.1), panel).facts
    assert facts["without_locked"]["locked_share"] == pytest.approx(0.02, abs=0.005)
    assert facts["without_locked"]["rank_ic"]["mean"] != facts["summary"]["rank_ic"]["mean"]


def test_groups_hold_every_sample_once(panel):
    facts = evaluate_forecasts(make_forecasts(panel, 0.1), panel).facts
    for key in ("industry", "size", "regime", "year"):
        assert sum(row["samples"] for row in facts["by"][key]) == facts["sample_count"]


def test_the_result_is_json_as_it_stands(panel):
    facts = evaluate_forecasts(make_forecasts(panel, 0.1), panel).to_json()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_a_score_table_alone_is_judged_without_calibration(panel):
    forecasts = make_forecasts(panel, 0.1)
    table = pa.table(
        {
            "code": [panel.codes[k] for k in panel.code_index[forecasts.row]],
            "as_of": panel.sessions[panel.session_index[forecasts.row]],
            "score": forecasts.score,
        }
    )
    facts = evaluate_forecasts(table, panel).facts
    assert facts["calibration"] is None
    assert facts["fans"] == []
    whole = evaluate_forecasts(forecasts, panel).facts["summary"]
    assert facts["summary"]["rank_ic"]["mean"] == pytest.approx(whole["rank_ic"]["mean"])


def test_fans_are_the_same_ones_each_time_and_start_at_the_last_known_close(panel):
    forecasts = make_forecasts(panel, 0.1)
    fans = evaluate_forecasts(forecasts, panel).facts["fans"]
    assert fans == evaluate_forecasts(forecasts, panel).facts["fans"]
    assert [fan["percentile"] for fan in fans] == [10, 50, 90, 10, 50, 90]
    for fan in fans:
        assert fan["history_session"][-1] == fan["as_of"]
        assert len(fan["session"]) == len(fan["quantiles"]) == len(fan["actual"]) == HORIZON
        assert fan["quantiles"][0][2] == pytest.approx(fan["history_close"][-1], abs=0.002)


def test_a_range_without_known_outcomes_is_refused(panel):
    last = panel.sessions[-1].astype(object)
    with pytest.raises(EmptyTestRange):
        evaluate_forecasts(make_forecasts(panel, 0.1), panel, first=last)


def test_trailing_volatility_never_reads_another_stock_or_a_later_bar(makers):
    panel = makers.make_walk(stocks=3, sessions=90, seed=4)
    got = trailing_volatility(panel, sessions=20)
    log_close = np.log(panel.column("close")[panel.rows_of(panel.codes[1])])
    returns = np.diff(log_close)
    start = int(panel.offsets[1])
    for place in (10, 20, 50):
        used = returns[max(0, place - 20) : place]
        assert got[start + place] == pytest.approx(np.sqrt(np.mean(used**2)))
    assert np.isnan(got[start : start + 6]).all()


def test_a_few_stocks_are_judged_by_direction_and_not_ranked(makers):
    panel = makers.make_walk(2, 300, seed=2)
    row = np.flatnonzero(panel.session_index >= 100)
    fan = 0.02 * np.array([-1.64, -0.67, 0.01, 0.67, 1.64])
    forecasts = Forecasts(row, np.zeros(len(row)), np.broadcast_to(fan, (len(row), 1, 5)))
    facts = evaluate_forecasts(forecasts, panel).facts
    assert facts["summary"]["rank_ic"]["mean"] is None
    assert facts["headline"]["verdict"] == "chance"
    assert "Too few stocks a session to rank" in facts["headline"]["en"]
    assert "for always naming the same side" in facts["headline"]["en"]
    json.dumps(facts, allow_nan=False)


def test_a_few_stocks_whose_direction_is_known_are_called_better(makers):
    panel = makers.make_walk(2, 300)
    row = np.flatnonzero((panel.session_index >= 100) & (panel.session_index < 298))
    close = panel.column("close")
    fan = np.sign(close[row + 1] - close[row])[:, None, None] * 0.001 + 0.02 * np.array(
        [-1.64, -0.67, 0, 0.67, 1.64]
    )
    facts = evaluate_forecasts(Forecasts(row, np.zeros(len(row)), fan), panel).facts
    assert facts["headline"]["verdict"] == "above"
