import numpy as np
import pyarrow as pa
import pytest

from financial_model.data.panel import Panel
from financial_model.evaluation.leakage import (
    delay_check,
    permutation_check,
    table_difference,
    truncation_check,
)
from financial_model.evaluation.result import samples_of
from financial_model.evaluation.samples import Forecasts, tradable_return


def make_panel(makers, seed=0):
    """Returns that lean against those of the session before last, so that fresh forecasts are worth more."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.02, (80, 160))
    for session in range(2, 160):
        returns[:, session] -= 0.3 * returns[:, session - 2]
    panel = makers.MadePanel(10 * np.exp(np.cumsum(returns, axis=1)))
    return Panel.from_columns(
        np.array(panel.codes)[panel.code_index],
        panel.sessions[panel.session_index],
        {"close": panel.column("close")},
    )


@pytest.fixture(scope="module")
def panel(makers):
    return make_panel(makers)


def reversal_table(panel, day):
    """Minus the last return of each stock as of a day, from the rows up to it."""
    session = panel.position_of(day)
    rows = np.array(
        [row for row in panel.rows_at(session) if row and panel.code_index[row - 1] == panel.code_index[row]]
    )
    close = panel.column("close")
    return score_table(panel, rows, -(close[rows] / close[rows - 1] - 1))


def peeking_table(panel, day):
    """The same, with the mean of all closes of the panel in it, later ones included."""
    table = reversal_table(panel, day)
    peek = panel.column("close").mean() * np.arange(table.num_rows)
    return table.set_column(2, "score", pa.array(np.asarray(table["score"]) + 1e-4 * peek))


def score_table(panel, rows, score):
    return pa.table(
        {
            "code": [panel.codes[k] for k in panel.code_index[rows]],
            "as_of": panel.sessions[panel.session_index[rows]],
            "score": score,
        }
    )


def scored(panel, shift=0, strength=1.0):
    """Samples of the reversal score, `shift` sessions old (negative: from the future)."""
    session = panel.session_index
    rows = np.flatnonzero((session >= 20) & (session < 150))
    close = panel.column("close")
    at = rows - shift
    return samples_of(Forecasts(rows, -strength * (close[at] / close[at - 1] - 1), None), panel)


def test_a_causal_forecast_is_the_same_from_truncated_data(panel):
    check = truncation_check(reversal_table, panel, [panel.sessions[k].astype(object) for k in (40, 90)])
    assert check["passed"]
    assert check["value"] == 0.0


def test_a_forecast_that_reads_later_rows_is_caught_by_truncation(panel):
    check = truncation_check(peeking_table, panel, [panel.sessions[90].astype(object)])
    assert not check["passed"]


def test_tables_of_different_stocks_are_infinitely_different(panel):
    table = reversal_table(panel, panel.sessions[50])
    assert table_difference(table, table.slice(1)) == float("inf")
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    assert table_difference(table, shuffled) == 0.0


def test_permuted_test_labels_are_noise_of_the_size_foretold(panel):
    check = permutation_check(scored(panel))
    assert check["passed"]
    values = np.array(check["detail"]["values"])
    assert values.std(ddof=1) == pytest.approx(check["detail"]["deviation"], rel=0.6)
    assert permutation_check(scored(panel)) == check


def test_a_permutation_that_does_not_permute_is_caught(panel, monkeypatch):
    from financial_model.evaluation import leakage

    class Still:
        def permutation(self, count):
            return np.arange(count)

    monkeypatch.setattr(leakage.np.random, "default_rng", lambda seed: Still())
    assert not permutation_check(scored(panel))["passed"]


def test_a_fresh_forecast_is_worth_more_than_a_delayed_one(panel):
    check = delay_check(scored(panel), panel)
    assert check["passed"]
    assert check["value"] < check["expected"]


def test_inputs_that_stand_one_bar_too_late_are_caught_by_the_delay(panel):
    # Scores filed one session early: the one of t + 1 stands at t, so the delayed one fits better.
    check = delay_check(scored(panel, shift=-1), panel)
    assert not check["passed"]


def test_the_delayed_score_is_the_one_of_the_session_before(panel):
    samples = scored(panel)
    check = delay_check(samples, panel)
    from financial_model.evaluation.information_coefficient import session_ic

    grid = np.full((len(panel.codes), len(panel.sessions)), np.nan)
    grid[panel.code_index[samples.row], samples.session] = samples.score
    label = tradable_return(panel, samples.row)
    delayed = grid[panel.code_index[samples.row], samples.session - 1]
    assert check["value"] == pytest.approx(
        float(np.nanmean(session_ic(delayed, label, samples.session).rank_ic))
    )
