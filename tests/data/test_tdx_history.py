"""A whole history from answers that are cut, empty or another page's."""

from datetime import date

import numpy as np
import pytest

from financial_model.data import tdx_protocol as wire
from financial_model.data.source import Bars
from financial_model.data.tdx_history import disagreement, fetch_history, to_bars

LONG_AGO = date(1990, 1, 1)


def make_wire(count, first="2000-01-03"):
    days = np.datetime64(first) + np.arange(count)
    close = 10_000 + 10 * np.arange(count)
    lots = (100.0 + np.arange(count)).astype(np.float32)
    return wire.WireBars(
        days, close - 10, close + 20, close - 30, close, lots, (lots * close / 10).astype(np.float32)
    )


class Answers:
    """Answers questions about `bars` and counts them; `spoil` maps the number of a question to a change."""

    def __init__(self, bars, spoil=None):
        self.bars, self.spoil, self.count = bars, spoil or {}, 0

    def __call__(self, start, count):
        self.count += 1
        high = max(len(self.bars) - start, 0)
        page = self.bars.take(slice(max(high - count, 0), high))
        return self.spoil.get(self.count, lambda p: p)(page)


def newest_half(page):
    return page.take(slice(len(page) // 2, None))


def oldest_half(page):
    return page.take(slice(0, len(page) // 2))


def nothing(page):
    return page.take(slice(0, 0))


@pytest.mark.parametrize("count", [1, 2, 799, 800, 801, 1599, 1600, 2405])
def test_every_bar_comes_once_whatever_the_length(count):
    bars = make_wire(count)
    assert fetch_history(Answers(bars), LONG_AGO).same_rows(bars)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("spoil", [newest_half, oldest_half, nothing])
def test_a_spoiled_page_never_passes_for_the_end(at, spoil):
    bars = make_wire(1900)
    try:
        found = fetch_history(Answers(bars, {at: spoil}), LONG_AGO)
    except wire.BadAnswer:
        return
    assert found.same_rows(bars)


def test_a_page_that_leaves_a_gap_is_refused_at_once():
    with pytest.raises(wire.BadAnswer, match="do not meet"):
        fetch_history(Answers(make_wire(1900), {3: oldest_half}), LONG_AGO)


def test_a_short_page_with_the_newer_bars_is_continued():
    bars = make_wire(1900)
    answers = Answers(bars, {3: newest_half})
    assert fetch_history(answers, LONG_AGO).same_rows(bars)


def test_a_first_page_without_its_newest_bars_is_refused():
    bars = make_wire(1900)
    with pytest.raises(wire.BadAnswer, match="newest"):
        fetch_history(Answers(bars, {1: oldest_half}), LONG_AGO, newest=bars.date[-1])


def test_another_stocks_page_is_refused():
    bars = make_wire(1900)
    right = make_wire(1900).take(slice(301, 1101))
    other = wire.WireBars(
        right.date,
        *(c + 10 for c in (right.open, right.high, right.low, right.close)),
        right.volume,
        right.amount,
    )
    with pytest.raises(wire.BadAnswer):
        fetch_history(Answers(bars, {2: lambda page: other}), LONG_AGO, newest=bars.date[-1])


def test_the_list_date_spares_the_questions_that_confirm_an_end():
    bars = make_wire(1700)
    answers = Answers(bars)
    listed = bars.date[0].astype(date)
    fetch_history(answers, LONG_AGO, listed, newest=bars.date[-1])
    assert answers.count == 3


def test_a_wrong_list_date_loses_nothing():
    bars = make_wire(1700)
    late = bars.date[1500].astype(date)
    assert fetch_history(Answers(bars), LONG_AGO, late, newest=bars.date[-1]).same_rows(bars)


def test_a_session_that_closes_between_two_pages_is_no_gap():
    before, after = make_wire(1700), make_wire(1701)

    def ask(start, count):
        return (Answers(before) if start == 0 else Answers(after))(start, count)

    assert fetch_history(ask, LONG_AGO, newest=before.date[-1]).same_rows(before)


def test_a_start_date_ends_the_questions():
    bars = make_wire(5000)
    answers = Answers(bars)
    found = fetch_history(answers, bars.date[-900].astype(date), newest=bars.date[-1])
    assert answers.count == 2
    assert found.date[0] <= bars.date[-900]


def test_a_code_without_bars_is_empty_only_after_several_answers():
    answers = Answers(make_wire(0))
    assert len(fetch_history(answers, LONG_AGO)) == 0
    assert answers.count == 3


def test_prices_come_out_in_cny_and_volume_in_shares():
    bars = to_bars("SH600000", make_wire(3))
    assert bars.close.tolist() == [10.0, 10.01, 10.02]
    assert bars.volume.tolist() == [10000.0, 10100.0, 10200.0]


def make_bars(**changes):
    columns = {"open": [1.0, 2.0], "high": [1.0, 2.0], "low": [1.0, 2.0], "close": [1.0, 2.0]}
    columns |= {"date": ["2024-06-03", "2024-06-04"], "volume": [1000.0, 2000.0], "amount": [1000.0, 4000.0]}
    return Bars.of("SH600000", **(columns | changes))


def test_a_changed_price_a_missing_and_an_added_session_are_disagreements():
    held = make_bars()
    assert disagreement(held, make_bars()).size == 0
    assert disagreement(held, make_bars(close=[1.0, 2.01])).astype(str).tolist() == ["2024-06-04"]
    three = Bars.of(
        "SH600000",
        date=["2024-06-03", "2024-06-04", "2024-06-05"],
        close=[1.0, 2.0, 3.0],
        volume=[1000.0, 2000.0, 1.0],
    )
    without_middle = three.take([0, 2])
    assert disagreement(three, without_middle).astype(str).tolist() == ["2024-06-04"]


def test_odd_lots_of_a_day_file_are_no_disagreement():
    assert disagreement(make_bars(volume=[1060.0, 2000.0]), make_bars()).size == 0
