import numpy as np
import pyarrow as pa
import pytest

from financial_model.base.errors import UnusableForecasts
from financial_model.evaluation.samples import (
    RowIndex,
    is_locked_at_entry,
    make_samples,
    path_returns,
    read_forecasts,
    tradable_return,
)

NAN = np.nan


def make_table(panel, rows, horizon=2, score=None):
    """A forecast table of the given rows; quantiles -2 .. 2 % times the step."""
    rows = np.repeat(rows, horizon)
    step = np.tile(np.arange(1, horizon + 1), len(rows) // horizon)
    columns = {
        "code": [panel.codes[k] for k in panel.code_index[rows]],
        "as_of": pa.array(panel.sessions[panel.session_index[rows]]),
        "step": pa.array(step, pa.int32()),
    }
    for place, name in enumerate(["q05", "q25", "q50", "q75", "q95"]):
        columns[name] = 0.01 * (place - 2) * step
    columns["score"] = np.arange(len(rows), dtype=float) if score is None else np.repeat(score, horizon)
    return pa.table(columns)


def test_the_label_runs_from_the_close_after_next_to_the_one_behind_it(makers):
    panel = makers.MadePanel([[10.0, 11.0, 12.1, 12.1]])
    assert tradable_return(panel, np.arange(4)).round(9).tolist()[:2] == [0.1, 0.0]
    assert np.isnan(tradable_return(panel, np.arange(4))[2:]).all()


def test_a_holding_of_two_sessions_skips_the_day_between(makers):
    panel = makers.MadePanel([[10.0, 11.0, 99.0, 12.1]])
    assert tradable_return(panel, np.array([0]), holding=2)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("suspended", [1, 2])
def test_a_stock_suspended_on_either_day_of_the_trade_has_no_label(makers, suspended):
    close = np.array([[10.0, 11.0, 12.0, 13.0, 14.0]])
    close[0, suspended] = NAN
    panel = makers.MadePanel(close)
    assert np.isnan(tradable_return(panel, np.array([0]))[0])


def test_a_label_never_crosses_into_the_next_stock(makers):
    panel = makers.MadePanel([[10.0, 11.0, 12.0], [20.0, 22.0, 24.0]])
    assert np.isnan(tradable_return(panel, np.array([1, 2]))).all()


def test_path_returns_are_log_returns_to_each_step(makers):
    panel = makers.MadePanel([[10.0, 11.0, NAN, 12.0]])
    got = path_returns(panel, np.array([0]), 3)[0]
    assert got[[0, 2]].tolist() == pytest.approx([np.log(1.1), np.log(1.2)])
    assert np.isnan(got[1])


def test_locked_at_entry_looks_at_the_session_after_the_as_of_one(makers):
    panel = makers.MadePanel(
        [[10.0, 11.0, 10.5, 9.45]],
        limit_up=[[NAN, 11.0, 12.1, 11.55]],
        limit_down=[[NAN, 9.0, 9.9, 9.45]],
    )
    assert is_locked_at_entry(panel, np.arange(4)).tolist() == [True, False, True, False]


def test_a_session_without_limits_is_never_locked(makers):
    assert not is_locked_at_entry(makers.make_walk(), np.arange(100)).any()


def test_row_index_finds_each_row_and_no_other(makers):
    panel = makers.make_walk(stocks=7, sessions=30, suspended=0.3)
    rows = np.arange(len(panel.code_index))
    found = RowIndex(panel).find(panel.code_index.astype(int), panel.session_index.astype(int))
    assert found.tolist() == rows.tolist()
    present = np.zeros((7, 30), bool)
    present[panel.code_index, panel.session_index] = True
    absent_code, absent_session = np.nonzero(~present)
    assert (RowIndex(panel).find(absent_code, absent_session) == -1).all()
    assert RowIndex(panel).find(np.array([0, 0]), np.array([-1, 30])).tolist() == [-1, -1]


def test_a_shuffled_table_reads_as_the_sorted_one(makers):
    panel = makers.make_walk(stocks=6, sessions=20)
    table = make_table(panel, np.arange(3, 60))
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    one, two = read_forecasts(table, panel), read_forecasts(shuffled, panel)
    assert one.row.tolist() == two.row.tolist() == list(range(3, 60))
    np.testing.assert_array_equal(one.quantiles, two.quantiles)
    assert one.quantiles.shape == (57, 2, 5)
    assert one.quantiles[0, 1, 0] == pytest.approx(-0.04)


def test_a_table_with_scores_alone_is_enough(makers):
    panel = makers.make_walk(stocks=6, sessions=20)
    table = make_table(panel, np.arange(20), horizon=1).select(["code", "as_of", "score"])
    forecasts = read_forecasts(table, panel)
    assert forecasts.quantiles is None
    assert make_samples(forecasts, panel).actual is None


@pytest.mark.parametrize("break_it", ["column", "twice", "step", "unknown", "empty"])
def test_an_unusable_table_is_named(makers, break_it):
    panel = makers.make_walk(stocks=6, sessions=20)
    table = make_table(panel, np.arange(20))
    if break_it == "column":
        table = table.drop_columns(["q25"])
    elif break_it == "twice":
        table = pa.concat_tables([table, table.slice(0, 2)])
    elif break_it == "step":
        table = table.slice(1)
    elif break_it == "unknown":
        table = table.set_column(0, "code", pa.array(["SZ000009"] * table.num_rows))
    else:
        table = table.slice(0, 0)
    with pytest.raises(UnusableForecasts):
        read_forecasts(table, panel)


def test_the_label_agrees_with_the_one_training_learns_from(makers):
    targets = pytest.importorskip("financial_model.datasets.targets")
    panel = makers.make_walk(stocks=9, sessions=60, suspended=0.2)
    rows = np.arange(len(panel.code_index))
    for holding in (1, 3):
        np.testing.assert_allclose(
            tradable_return(panel, rows, holding),
            targets.tradable_return(panel, holding),
            rtol=1e-3,
            atol=1e-6,
        )
    path = np.stack([targets.forward_log_return(panel, 0, step) for step in (1, 2)], axis=1)
    np.testing.assert_allclose(path_returns(panel, rows, 2), path)
