from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.market.rules import (
    buyable_shares,
    closes_at_limit,
    exchange_fee_rates,
    free_sessions,
    limit_reached,
    limit_thousandths,
    price_limits,
    tick_count,
    to_ticks,
)


def rate(board, day, is_st=False):
    return int(limit_thousandths(board, np.array([day], dtype="datetime64[D]"), np.array([is_st]))[0])


@pytest.mark.parametrize(
    ("board", "day", "is_st", "thousandths"),
    [
        ("main", "1996-12-13", False, -1),
        ("main", "1996-12-16", False, 100),
        ("main", "2015-07-16", True, 50),
        ("main", "2026-07-03", True, 50),
        ("main", "2026-07-06", True, 100),
        ("chinext", "2020-08-21", False, 100),
        ("chinext", "2020-08-21", True, 100),
        ("chinext", "2020-08-24", False, 200),
        ("chinext", "2020-08-24", True, 200),
        ("star", "2019-07-22", True, 200),
        ("beijing", "2021-11-15", False, 300),
    ],
)
def test_the_limit_of_a_board_changes_on_its_day(board, day, is_st, thousandths):
    assert rate(board, day, is_st) == thousandths


@given(st.integers(1, 500_000), st.sampled_from([50, 100, 200, 300]))
def test_limits_are_rounded_half_up_like_decimals_and_lie_a_tick_away(ticks, thousandths):
    reference = Decimal(ticks) / 100
    down, up = price_limits(np.array([float(reference)]), np.array([thousandths]))
    share, tick = Decimal(thousandths) / 1000, Decimal("0.01")
    exact_up = max((reference * (1 + share)).quantize(tick, ROUND_HALF_UP), reference + tick)
    exact_down = min((reference * (1 - share)).quantize(tick, ROUND_HALF_UP), reference - tick)
    assert up[0] == float(exact_up)
    assert down[0] == float(max(exact_down, tick))


def test_no_reference_or_no_rule_means_no_limit():
    down, up = price_limits(np.array([np.nan, 10.0]), np.array([100, -1]))
    assert np.isnan(down).all()
    assert np.isnan(up).all()


@given(st.integers(0, 10**9))
def test_half_a_tick_is_rounded_up_whatever_a_float_makes_of_it(ticks):
    price = (ticks + 0.5) / 100
    assert to_ticks(np.array([price]))[0] == (ticks + 1 if ticks < 10**7 else to_ticks(np.array([price]))[0])


@pytest.mark.parametrize(
    ("board", "listing", "count"),
    [
        ("main", date(2013, 1, 4), 1),
        ("main", date(2023, 4, 7), 1),
        ("main", date(2023, 4, 10), 5),
        ("chinext", date(2020, 8, 21), 1),
        ("chinext", date(2020, 8, 24), 5),
        ("star", date(2019, 7, 22), 5),
        ("beijing", date(2022, 1, 4), 1),
    ],
)
def test_new_listings_trade_free_as_long_as_their_board_says(board, listing, count):
    assert free_sessions(board, listing) == count


@pytest.mark.parametrize(
    ("board", "wanted", "bought"),
    [
        ("main", 99.9, 0),
        ("main", 1050, 1000),
        ("star", 199, 0),
        ("star", 201, 201),
        ("beijing", 100, 100),
        ("beijing", 101, 101),
    ],
)
def test_orders_are_cut_to_lots(board, wanted, bought):
    assert buyable_shares(board, wanted) == bought


@given(st.floats(min_value=-1e6, max_value=1e6) | st.just(float("nan")))
def test_one_price_counts_as_many_ticks_alone_as_among_others(price):
    assert tick_count(price) == to_ticks(np.array([price]))[0]


def test_the_stamp_duty_fell_to_the_seller_and_then_by_half():
    handling_and_more = 0.0000341 + 0.00001 + 0.00002
    rates = exchange_fee_rates("main", date(2023, 8, 28))
    assert rates.buyer == pytest.approx(handling_and_more)
    assert rates.seller == pytest.approx(handling_and_more + 0.0005)
    before = exchange_fee_rates("main", date(2008, 9, 18))
    assert before.buyer == before.seller > 0.001


def test_a_close_at_either_limit_is_at_it_and_none_is_where_there_is_none():
    close, nothing = np.array([11.0, 9.0, 10.99, 9.01, 11.0]), np.nan
    down, up = np.array([9.0, 9.0, 9.0, 9.0, nothing]), np.array([11.0, 11.0, 11.0, 11.0, nothing])
    assert closes_at_limit(close, down, up).tolist() == [True, True, False, False, False]
    assert limit_reached(close, down, up).tolist() == ["up", "down", "", "", ""]
