"""Targets: steps count the market's sessions, and a label is what one could have earned."""

import numpy as np
import pytest

from financial_model.data.panel import Panel
from financial_model.datasets.targets import forward_log_return, target_path, tradable_return

DAYS = np.arange("2024-06-03", "2024-06-08", dtype="datetime64[D]")


def make_panel():
    """SH600000 trades on all five days, SZ000001 is suspended on the third."""
    codes = ["SH600000"] * 5 + ["SZ000001"] * 4
    dates = np.concatenate([DAYS, DAYS[[0, 1, 3, 4]]])
    close = np.array([10.0, 11, 12, 13, 14, 20, 22, 24, 26])
    return Panel.from_columns(codes, dates, {"close": close})


def test_a_step_is_a_session_of_the_market_and_not_a_bar_of_the_stock():
    one = forward_log_return(make_panel(), 0, 1)
    assert one[:4] == pytest.approx(np.log([11 / 10, 12 / 11, 13 / 12, 14 / 13]))
    assert one[5] == pytest.approx(np.log(22 / 20))
    assert np.isnan(one[[4, 6, 8]]).all()  # the last day, the day before the suspension, the last day
    two = forward_log_return(make_panel(), 0, 2)
    assert np.isnan(two[5])
    assert two[6] == pytest.approx(np.log(24 / 22))


def test_the_path_is_in_units_of_volatility_times_the_root_of_the_step():
    volatility = np.full(9, 0.02, np.float32)
    path = target_path(make_panel(), volatility, 2)
    assert path[0] == pytest.approx([np.log(1.1) / 0.02, np.log(1.2) / (0.02 * np.sqrt(2))], rel=1e-6)


def test_an_unknown_volatility_leaves_the_target_unknown():
    volatility = np.full(9, np.nan, np.float32)
    assert np.isnan(target_path(make_panel(), volatility, 2)).all()
    assert np.isnan(target_path(make_panel(), np.zeros(9, np.float32), 2)).all()


def test_a_label_is_bought_at_the_next_close_and_never_on_a_suspended_day():
    label = tradable_return(make_panel(), 1)
    assert label[:3] == pytest.approx([12 / 11 - 1, 13 / 12 - 1, 14 / 13 - 1])
    assert np.isnan(label[[3, 4, 5, 6, 7, 8]]).all()
    assert tradable_return(make_panel(), 2)[5] == pytest.approx(24 / 22 - 1)


def test_targets_of_one_stock_never_read_another(market):
    target = target_path(market, np.full(len(market), 0.02, np.float32), 3)
    last = market.offsets[1:] - 1
    assert np.isnan(target[last]).all()
