from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.base.errors import BadTable, UnknownCode
from financial_model.base.workspace import Workspace
from financial_model.data.reference_store import (
    KINDS,
    ReferenceStore,
    holds_at,
    make_facts,
    read_facts,
    value_as_of,
)


def day(text):
    return np.datetime64(text, "D")


@pytest.fixture
def store(tmp_path):
    return ReferenceStore(Workspace(tmp_path))


def test_a_table_comes_back_sorted_with_codes_parsed_and_holes_unknown(store):
    store.write(
        "share_capital",
        {"code": ["600000", "SZ000001"], "date": ["2019-01-02", "2018-01-02"], "total_shares": [2e9, np.nan]},
    )
    facts = store.read("share_capital")
    assert facts["code"].tolist() == ["SH600000", "SZ000001"]
    assert np.isnan(facts["float_shares"]).all()
    assert facts.of("SH600000")["total_shares"].tolist() == [2e9]
    assert len(facts.of("SH600001")) == 0


def test_a_table_that_was_never_written_is_empty(store):
    for name in KINDS:
        assert len(store.read(name)) == 0
        assert len(store.as_of(name, "2020-01-01")) == 0


def test_an_industry_is_known_from_its_start_or_from_when_it_was_written_whichever_is_later(store):
    store.write(
        "industries",
        {
            "code": ["SH600000"] * 2,
            "from": ["2000-01-01", "2018-01-01"],
            "to": ["2018-01-01", ""],
            "scheme": ["SW2014"] * 2,
            "industry": ["银行", "综合"],
            "updated": ["2015-10-27", ""],
        },
    )
    assert len(store.as_of("industries", "2015-10-26")) == 0
    first = store.as_of("industries", "2015-10-27")
    assert first["industry"].tolist() == ["银行"]
    assert np.isnat(first["to"]).all()  # its end lies ahead
    later = store.as_of("industries", date(2018, 1, 1))
    assert later["industry"].tolist() == ["银行", "综合"]
    assert later["to"].astype(str).tolist() == ["2018-01-01", "NaT"]


def test_the_name_of_today_is_not_told_as_of_the_past(store):
    store.write(
        "stock_list",
        {
            "code": ["SH600000"],
            "name": ["退市某某"],
            "list_date": ["1999-11-10"],
            "delist_date": ["2022-01-04"],
        },
    )
    then = store.as_of("stock_list", "2018-01-02")
    assert then["name"].tolist() == [""]
    assert np.isnat(then["delist_date"]).all()
    assert store.read("stock_list")["name"].tolist() == ["退市某某"]


def test_a_fundamental_is_known_when_it_was_announced_not_at_its_period(store):
    store.write(
        "fundamentals",
        {
            "code": ["SH600000"],
            "announced": ["2018-04-28"],
            "period": ["2018-03-31"],
            "eps_cny": [0.5],
            "roe": [0.1],
        },
    )
    assert len(store.as_of("fundamentals", "2018-04-27")) == 0
    assert store.as_of("fundamentals", "2018-04-28")["roe"].tolist() == [0.1]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.required])
def test_a_fact_without_its_own_date_is_never_known_and_hides_no_other(store, name):
    """A blank date once counted as known since ever, which is how a report of 2018 came to price 2010."""
    (column,) = (column for column in KINDS[name].required if column in KINDS[name].dates)
    columns = {"code": ["SH600000"] * 3, column: [np.datetime64("NaT"), day("2012-04-01"), day("2011-04-01")]}
    if name == "industries":
        columns["industry"] = ["?", "银行", "银行"]
    store.write(name, columns)
    assert len(store.as_of(name, "2011-03-31")) == 0
    assert store.as_of(name, "2030-01-01")[column].tolist() == [
        date(2011, 4, 1),
        date(2012, 4, 1),
    ]
    assert np.isnat(store.read(name)[column][-1])


dates = st.integers(0, 9000).map(lambda n: str(day("1998-01-01") + n))
maybe = st.none() | dates


@settings(deadline=None)  # it writes files
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_nothing_that_became_known_later_can_change_an_answer_as_of(tmp_path_factory, name, data):
    kind, count, cut = KINDS[name], data.draw(st.integers(1, 8)), data.draw(dates)

    def table():
        columns = {"code": [data.draw(st.sampled_from(["SH600000", "SZ000001"])) for _ in range(count)]}
        for column in kind.dates:
            drawn = dates if column in kind.required else maybe
            columns[column] = [data.draw(drawn) for _ in range(count)]
        columns |= {
            column: [float(data.draw(st.integers(0, 9))) for _ in range(count)] for column in kind.numbers
        }
        return columns | {
            column: [data.draw(st.sampled_from("ab")) for _ in range(count)] for column in kind.texts
        }

    first = make_facts(name, table())
    later = make_facts(name, table())
    known = first.take(first["known_from"] <= day(cut))
    changed = later.take(later["known_from"] > day(cut))
    store = ReferenceStore(Workspace(tmp_path_factory.mktemp("facts")))
    answers = []
    for facts in (known, changed):
        joined = {
            c: np.concatenate([known[c], facts[c]]) if facts is changed else known[c] for c in known.columns
        }
        for column in kind.ends:
            ends = joined[column]
            if facts is changed:  # an end still ahead is moved: nobody could know it
                joined[column] = np.where(ends > day(cut), ends + 400, ends)
        store.write(name, joined)
        answers.append(store.as_of(name, cut))
    for column in answers[0].columns:
        np.testing.assert_array_equal(answers[0][column], answers[1][column])


def test_merging_replaces_the_rows_of_the_given_codes_alone(store):
    store.write(
        "share_capital",
        {"code": ["SH600000", "SZ000001"], "date": ["2018-01-02"] * 2, "total_shares": [1.0, 2.0]},
    )
    new = make_facts("share_capital", {"code": ["SZ000001"], "date": ["2019-01-02"], "total_shares": [3.0]})
    store.merge("share_capital", new, {"SZ000001"})
    assert store.read("share_capital")["total_shares"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("corporate_actions", "code,cash_per_10\nSH600000,1\n", "a column date"),
        ("corporate_actions", "code,date,cash_per_10\nSH600000,soon,1\n", "line 2, column date"),
        ("corporate_actions", "code,date,cash_per_10\nSH600000,2018-06-29,much\n", "column cash_per_10"),
        ("st_periods", "code,from,to\nabc,2018-06-29,\n", "a code such as SH600519"),
        ("st_periods", "code,from,to\nSH600000\n", "3 columns a row"),
        ("st_periods", "code,from,from\nSH600000,2018-06-29,\n", "'from' twice.*a name of its own"),
    ],
)
def test_a_bad_table_says_where_and_what_was_expected(tmp_path, name, text, told):
    path = tmp_path / f"{name}.csv"
    path.write_text(text)
    with pytest.raises(BadTable, match=f"{name}.csv.*{told}"):
        read_facts(path, name)


def test_a_spell_holds_from_its_first_day_to_the_day_before_its_end():
    spells = make_facts("st_periods", {"code": ["SH600000"], "from": ["2018-01-03"], "to": ["2018-01-05"]})
    held = holds_at(spells, np.arange("2018-01-02", "2018-01-07", dtype="datetime64[D]"))
    assert held.tolist() == [False, True, True, False, False]


def test_a_value_is_unknown_before_its_first_date():
    found = value_as_of(
        np.array([day("2018-01-03")]), np.array([5.0]), np.array([day("2018-01-02"), day("2018-01-03")])
    )
    assert np.isnan(found[0])
    assert found[1] == 5.0


def test_the_override_file_decides_single_days(store):
    path = store.workspace.reference_path("calendar")
    path.parent.mkdir(parents=True)
    path.write_text("date,is_session\n2027-01-04,1\n2027-01-05,0\n")
    assert store.calendar_overrides() == {day("2027-01-04"): True, day("2027-01-05"): False}


def test_codes_are_understood_however_they_are_written_and_names_that_one_stock_bears(store):
    names = {
        "code": ["SH600519", "SZ000002", "SZ000003", "SZ000004"],
        "name": ["贵州茅台", "万 科A", "同", "同"],
    }
    store.write("stock_list", names)
    asked = ["600519", "000001.SZ", "sh.600519", "贵州茅台", "万科A"]
    assert store.codes_meant(asked) == ["SH600519", "SZ000001", "SZ000002"]
    for nobody in ("同", "茅台", ""):
        with pytest.raises(UnknownCode):
            store.codes_meant(["600519", nobody])
