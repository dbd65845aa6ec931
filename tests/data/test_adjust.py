from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.data.adjust import Actions, adjust_backward, ex_reference


def days(*texts):
    return np.array(texts, dtype="datetime64[D]")


def actions(*rows):
    """Rows of (date, cash, bonus, rights, rights price), per 10 shares."""
    columns = list(zip(*rows, strict=True))
    return Actions.per_10(days(*columns[0]), *(np.array(values, dtype=float) for values in columns[1:]))


def test_haier_on_its_ten_for_ten_bonus_with_cash():
    made = adjust_backward(
        days("2015-07-15", "2015-07-16"), np.array([28.95, 13.93]), actions(("2015-07-16", 4.92, 10, 0, 0))
    )
    # (28.95 - 0.492) / 2 = 14.229, half up 14.23
    assert made.reference[1] == 14.23
    assert made.factor.tolist() == [1.0, 28.95 / 14.23]
    assert made.share_factor.tolist() == [1.0, 2.0]


def test_a_rights_issue_lifts_by_what_the_holder_paid_in():
    made = adjust_backward(
        days("2011-04-06", "2011-04-07"), np.array([4.72, 4.5]), actions(("2011-04-07", 0, 0, 3, 3.7))
    )
    assert made.reference[1] == 4.48  # (4.72 + 0.3 * 3.7) / 1.3 = 4.4846
    assert made.share_factor[1] == pytest.approx(1.3)


def test_several_actions_of_one_day_count_together():
    both = actions(("2024-06-04", 1.0, 2.0, 0, 0), ("2024-06-04", 0, 0, 3.0, 5.0))
    one = actions(("2024-06-04", 1.0, 2.0, 3.0, 5.0))
    bars = days("2024-06-03", "2024-06-04"), np.array([10.0, 7.0])
    assert adjust_backward(*bars, both).reference[1] == adjust_backward(*bars, one).reference[1] == 7.6


def test_actions_during_a_suspension_are_chained_on_the_first_session_after_it():
    made = adjust_backward(
        days("2024-06-03", "2024-06-20"),
        np.array([10.0, 4.0]),
        actions(("2024-06-05", 1.0, 0, 0, 0), ("2024-06-10", 0, 10.0, 0, 0)),
    )
    assert made.reference[1] == 4.95  # 10 - 0.1 = 9.90, then 9.90 / 2
    assert made.factor[1] == pytest.approx(10.0 / 4.95)
    assert made.share_factor[1] == 2.0


def test_a_consolidation_raises_the_price_and_shrinks_the_shares():
    made = adjust_backward(
        days("2024-06-03", "2024-06-04"), np.array([1.0, 5.0]), actions(("2024-06-04", 0, -8.0, 0, 0))
    )
    assert made.reference[1] == 5.0
    assert (np.array([1.0, 5.0]) * made.factor).tolist() == [1.0, 1.0]
    assert made.share_factor[1] == pytest.approx(0.2)


def test_actions_on_or_before_the_first_bar_and_after_the_last_change_nothing():
    made = adjust_backward(
        days("2024-06-03", "2024-06-04"),
        np.array([10.0, 11.0]),
        actions(("2024-06-03", 1, 0, 0, 0), ("2024-05-01", 1, 0, 0, 0), ("2024-06-05", 1, 0, 0, 0)),
    )
    assert made.factor.tolist() == [1.0, 1.0]
    assert made.reference[1] == 10.0


@pytest.mark.parametrize("row", [("2024-06-04", 100.0, 0, 0, 0), ("2024-06-04", 0, -10.0, 0, 0)])
def test_an_action_that_leaves_no_positive_price_is_left_out_and_named(row):
    made = adjust_backward(days("2024-06-03", "2024-06-04"), np.array([10.0, 11.0]), actions(row))
    assert made.factor.tolist() == [1.0, 1.0]
    assert made.impossible.tolist() == days("2024-06-04").tolist()


prices = st.integers(100, 20_000).map(lambda ticks: ticks / 100)
parts = st.tuples(
    st.integers(0, 300).map(lambda n: n / 100),  # cash per 10
    st.integers(0, 150).map(lambda n: n / 10),  # bonus per 10
    st.integers(0, 30).map(lambda n: n / 10),  # rights per 10
    st.integers(0, 800).map(lambda n: n / 100),  # rights price
)


@given(prices, parts)
def test_the_reference_is_what_decimals_make_of_it(close, part):
    cash, bonus, rights, price = (Decimal(str(value)) for value in part)
    exact = (Decimal(str(close)) - cash / 10 + price * rights / 10) / (1 + (bonus + rights) / 10)
    mine = ex_reference(close, float(cash) / 10, float(bonus + rights) / 10, float(price * rights) / 10)
    if exact >= Decimal("0.01"):
        assert mine == float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


@st.composite
def histories(draw):
    count = draw(st.integers(3, 30))
    start = np.datetime64("2020-01-01")
    gaps = np.array(draw(st.lists(st.integers(1, 9), min_size=count, max_size=count)))
    dates = start + np.cumsum(gaps)
    close = np.array(draw(st.lists(prices, min_size=count, max_size=count)))
    span = int((dates[-1] - start).astype(int)) + 5
    events = draw(st.lists(st.tuples(st.integers(0, span), parts), max_size=5))
    rows = [(str(start + offset), *part) for offset, part in sorted(events)]
    return dates, close, actions(*rows) if rows else actions(("2100-01-01", 0, 0, 0, 0))


@settings(max_examples=200)
@given(histories(), st.integers(0, 29))
def test_a_later_action_or_bar_never_changes_an_earlier_adjusted_row(history, cut):
    dates, close, events = history
    cut = min(cut, len(dates) - 1)
    whole = adjust_backward(dates, close, events)
    known = events.date <= dates[cut]
    before = Actions(*(values[known] for values in vars(events).values()))
    part = adjust_backward(dates[: cut + 1], close[: cut + 1], before)
    for name in ("factor", "share_factor", "reference"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[: cut + 1])


@settings(max_examples=200)
@given(histories())
def test_an_adjusted_return_is_the_close_over_its_reference(history):
    dates, close, events = history
    made = adjust_backward(dates, close, events)
    adjusted = close * made.factor
    np.testing.assert_allclose(adjusted[1:] / adjusted[:-1], close[1:] / made.reference[1:], rtol=1e-12)


@settings(max_examples=200)
@given(histories())
def test_cash_in_and_out_over_a_holding_adds_up(history):
    """Whoever puts dividends back, and pays rights, at each reference ends with the factor's worth."""
    dates, close, events = history
    made = adjust_backward(dates, close, events)
    shares = np.ones(len(dates))
    held = 1.0
    for row in range(1, len(dates)):
        during = (events.date > dates[row - 1]) & (events.date <= dates[row])
        before = close[row - 1]
        for k in np.flatnonzero(during):
            cash, growth, paid = events.cash[k], events.share_growth[k], events.rights_paid[k]
            after = ex_reference(before, cash, growth, paid)
            if not after > 0:
                continue
            money = held * (cash - paid)  # comes in, or has to be paid
            held = held * (1 + growth) + money / after
            before = after
        shares[row] = held
    # Each reference is rounded to a tick, so its worth is known to half a tick only.
    low = min(close.min(), np.nanmin(made.reference))
    count = len(events.date)
    np.testing.assert_allclose(shares, made.factor, rtol=count * 0.006 * 16 / low + 1e-9)
