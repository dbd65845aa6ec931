import numpy as np
import pytest

from financial_model.market.calendar import CLOSED, SESSION, UNKNOWN, Calendar, announced_sessions


def test_announced_days_weekends_and_holidays_are_told_apart():
    days = ["2018-06-29", "2018-06-30", "2019-02-04", "2019-02-11", "1985-01-02"]
    assert Calendar().state(days).tolist() == [SESSION, CLOSED, CLOSED, SESSION, CLOSED]


def test_a_weekday_of_a_year_not_announced_is_unknown_and_its_weekend_closed():
    year = announced_sessions()[-1].astype("datetime64[Y]") + 2
    days = np.arange(year.astype("datetime64[D]"), year.astype("datetime64[D]") + 14)
    state = Calendar().state(days)
    assert set(state[np.is_busday(days)]) == {UNKNOWN}
    assert set(state[~np.is_busday(days)]) == {CLOSED}


def test_sessions_learned_from_an_index_reach_beyond_the_announced_years():
    first = (announced_sessions()[-1].astype("datetime64[Y]") + 2).astype("datetime64[D]")
    days = np.arange(first, first + 28)
    days = days[np.is_busday(days)]
    calendar = Calendar(learned=days[[0, 1, 3, 6]])
    assert calendar.state(days[:7]).tolist() == [SESSION, SESSION, CLOSED, SESSION, CLOSED, CLOSED, SESSION]
    assert calendar.state(days[7:8]).tolist() == [UNKNOWN]


def test_an_index_with_a_hole_does_not_close_an_announced_session():
    calendar = Calendar(learned=["2018-06-25", "2018-06-29"])
    assert calendar.state(["2018-06-27"]).tolist() == [SESSION]


def test_learned_sessions_need_no_announced_calendar(monkeypatch):
    import financial_model.market.calendar as module

    monkeypatch.setattr(module, "announced_sessions", lambda: pytest.fail("asked for"))
    assert Calendar(learned=["2018-06-29"]).state(["2018-06-29", "2018-06-30"]).tolist() == [SESSION, CLOSED]


def test_an_override_has_the_last_word():
    calendar = Calendar({"2018-06-29": False, "2018-06-30": True})
    assert calendar.state(["2018-06-29", "2018-06-30"]).tolist() == [CLOSED, SESSION]


def test_sessions_after_the_announced_years_are_counted_as_estimates():
    last = announced_sessions()[-1]
    days, announced = Calendar().sessions_after(last - 5, 10)
    assert len(days) == 10
    assert announced == int((days <= last).sum())
    assert np.is_busday(days).all()


def test_sessions_after_skips_the_longest_holidays():
    days, announced = Calendar().sessions_after("2020-01-23", 20)
    assert str(days[0]) == "2020-02-03"
    assert announced == len(days) == 20


@pytest.mark.real_data
def test_the_announced_calendar_agrees_with_the_published_one(real_data):
    text = (real_data / "reference" / "calendar.csv").read_text(encoding="utf-8-sig").split()[1:]
    published = np.array(text, dtype="datetime64[D]")
    mine = announced_sessions()
    np.testing.assert_array_equal(mine[mine <= published[-1]], published[published <= mine[-1]])
