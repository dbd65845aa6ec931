"""The practice market's oracle goes through the evaluation a model goes through, and gets its known IC."""

import numpy as np
import pyarrow as pa
import pytest

from financial_model.base.config import SimulateSettings
from financial_model.data.panel import Panel
from financial_model.data.simulated_market import simulate_market
from financial_model.evaluation.result import evaluate_forecasts


def judge_oracle(signal: float):
    """The facts of the oracle's score table on a small market, and its IC by plain numpy."""
    market = simulate_market(SimulateSettings(stocks=120, sessions=700, seed=5, signal=signal))
    row, session = np.nonzero(np.isfinite(market.close))
    close = market.close[row, session] * market.factor[row, session]
    panel = Panel.from_columns(np.array(market.codes)[row], market.sessions[session], {"close": close})
    tested = session >= 300
    row, session = row[tested], session[tested]
    table = pa.table(
        {
            "code": np.array(market.codes)[row],
            "as_of": market.sessions[session],
            "score": market.oracle[row, session].astype(float),
        }
    )
    label, ics = market.label(), []
    for day in range(300, 698):
        score = market.oracle[:, day].astype(float)
        known = np.isfinite(score) & np.isfinite(label[:, day])
        if known.sum() >= 5 and score[known].std() > 0:
            ics.append(np.corrcoef(score[known], label[known, day])[0, 1])
    return evaluate_forecasts(table, panel).facts, ics


def test_the_oracle_fed_as_if_it_were_a_model_gets_its_known_ic():
    facts, ics = judge_oracle(signal=0.10)
    ic = facts["summary"]["ic"]
    assert ic["mean"] == pytest.approx(np.mean(ics), abs=1e-9)
    assert ic["count"] == len(ics)
    # Stated for signal .10: .0964, over markets of 300 stocks; the error here is that of 398 sessions of 120.
    assert abs(ic["mean"] - 0.0964) < 4 * ic["se"]
    assert facts["headline"]["verdict"] == "above"


def test_without_a_signal_the_oracle_ranks_nothing_and_is_called_chance():
    facts, _ = judge_oracle(signal=0.0)
    assert facts["headline"]["verdict"] == "chance"
    assert facts["summary"]["rank_ic"]["mean"] == 0.0
