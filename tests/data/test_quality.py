from dataclasses import replace

import numpy as np
import pytest

from financial_model.base.workspace import Workspace
from financial_model.data.quality import FINDINGS, Judge, QualityReport, usable_rows
from financial_model.data.reference_store import make_facts
from financial_model.data.source import Bars
from financial_model.market.calendar import Calendar
from tests.data.market_makers import index_walk, sessions, walk

DATES = sessions(30)
BARS = walk("SH600000", DATES)


def judge_of(actions=(), spells=(), listings=()):
    facts = {
        "corporate_actions": make_facts(
            "corporate_actions",
            {
                "code": [a[0] for a in actions],
                "date": [a[1] for a in actions],
                "bonus_per_10": [a[2] for a in actions],
            },
        ),
        "st_periods": make_facts(
            "st_periods", {"code": [s[0] for s in spells], "from": [s[1] for s in spells]}
        ),
        "stock_list": make_facts(
            "stock_list", {"code": [s[0] for s in listings], "list_date": [s[1] for s in listings]}
        ),
    }
    return Judge(Calendar(learned=DATES), facts, DATES[0])


def changed(row, **values):
    columns = BARS.columns()
    for name, value in values.items():
        columns[name] = columns[name].copy()
        columns[name][row] = value
    return Bars(code=BARS.code, **columns)


def found(judged):
    return [(one.finding, one.date) for one in judged.findings]


def test_sound_bars_pass_untouched():
    judged = judge_of().judge(BARS)
    assert judged.bars == BARS
    assert judged.findings == []
    assert len(judged.set_aside) == 0


@pytest.mark.parametrize(
    ("finding", "values"),
    [
        ("no_price", {"close": np.nan}),
        ("no_price", {"open": 0.0}),
        ("no_price", {"low": -3.2}),
        ("no_price", {"high": np.inf}),
        ("no_volume", {"volume": -1.0}),
        ("no_volume", {"volume": np.nan}),
        ("not_traded", {"volume": 0.0}),
        ("high_below", {"high": BARS.low[10] - 0.01, "low": BARS.low[10] - 0.02}),
        ("low_above", {"low": BARS.high[10]}),
        ("closed_day", {"date": np.datetime64("2018-01-13")}),
        ("duplicate", {"date": BARS.date[9]}),
    ],
)
def test_a_row_that_cannot_be_right_is_set_aside_as_it_came(finding, values):
    bars = changed(10, **values)
    judged = judge_of().judge(bars)
    assert found(judged)[0][0] == finding
    assert FINDINGS[finding] == "set_aside"
    assert judged.set_aside == bars.take(slice(10, 11))
    assert judged.bars == bars.take(np.arange(30) != 10)
    assert usable_rows(judged.bars).all()


def test_of_two_rows_of_one_date_the_first_sound_one_stays():
    bars = changed(10, date=BARS.date[9])
    bad = bars.open.copy()
    bad[9] = -1.0
    judged = judge_of().judge(replace(bars, open=bad))
    assert found(judged) == [("no_price", str(BARS.date[9]))]
    assert judged.bars.open[9] == BARS.open[10]


def test_rows_out_of_order_are_sorted_in_and_told():
    order = np.arange(30)
    order[[5, 6]] = 6, 5
    judged = judge_of().judge(BARS.take(order))
    assert judged.bars == BARS
    assert [name for name, _ in found(judged)] == ["out_of_order"]


def test_one_volume_in_lots_is_put_right_and_listed_with_its_old_value():
    judged = judge_of().judge(changed(10, volume=BARS.volume[10] / 100))
    assert judged.bars == BARS
    assert judged.findings[0].finding == "volume_in_lots"
    assert (
        f"volume {BARS.volume[10] / 100:.0f} taken as {BARS.volume[10]:.0f} shares"
        in judged.findings[0].detail
    )


def test_an_amount_that_fits_no_unit_is_kept_and_listed():
    bars = changed(10, amount=BARS.amount[10] * 3)
    judged = judge_of().judge(bars)
    assert found(judged) == [("amount_outside", str(DATES[10]))]
    assert judged.bars == bars


def jump(factor, row=10):
    """BARS with prices multiplied from `row` on."""
    scale = np.where(np.arange(30) >= row, factor, 1.0)
    columns = BARS.columns()
    prices = {name: np.round(columns[name] * scale, 2) for name in ("open", "high", "low", "close")}
    return replace(BARS, **prices, amount=np.full(30, np.nan))


def test_a_move_beyond_the_limit_is_listed_unless_an_action_explains_it():
    bars = jump(0.5)
    assert found(judge_of().judge(bars)) == [("beyond_limit", str(DATES[10]))]
    assert judge_of().judge(bars).bars == bars
    explained = judge_of(actions=[("SH600000", str(DATES[10]), 10.0)])
    assert explained.judge(bars).findings == []


def test_the_limit_of_a_share_under_special_treatment_is_narrower():
    bars = jump(1.07)
    assert judge_of().judge(bars).findings == []
    assert found(judge_of(spells=[("SH600000", "2018-01-02")]).judge(bars)) == [
        ("beyond_limit", str(DATES[10]))
    ]


def test_the_first_sessions_after_a_listing_are_free():
    bars = replace(jump(1.6, row=3), code="SH688001", date=sessions(30, "2019-09-02"))
    listed = judge_of(listings=[("SH688001", "2019-09-02")])
    assert listed.judge(bars).findings == []
    before = judge_of(listings=[("SH688001", "2019-07-22")])
    assert [name for name, _ in found(before.judge(bars))] == ["beyond_limit"]


def test_an_impossible_action_is_listed():
    judged = judge_of(actions=[("SH600000", str(DATES[10]), -10.0)]).judge(BARS)
    assert found(judged) == [("impossible_action", str(DATES[10]))]


def test_an_index_has_no_limits_and_may_have_no_volume():
    bars = replace(index_walk(DATES), volume=np.zeros(30), amount=np.full(30, np.nan))
    assert judge_of().judge(bars).findings == []


def test_a_weekday_that_no_calendar_knows_is_kept_and_listed():
    bars = replace(BARS.take(slice(0, 1)), date=np.array(["2095-01-03"], "datetime64[D]"))
    judged = judge_of().judge(bars)
    assert [name for name, _ in found(judged)] == ["unannounced_day"]
    assert len(judged.bars) == 1


def test_the_report_is_merged_by_code_and_read_back(tmp_path):
    workspace, report = Workspace(tmp_path), QualityReport()
    report.add(judge_of().judge(changed(10, close=np.nan)))
    report.add(judge_of().judge(walk("SZ000001", DATES)))
    report.write(workspace)
    again = QualityReport.read(workspace)
    assert again == report
    assert again.counts() == {"no_price": 1}
    assert again.summary()["findings"]["no_price"]["examples"][0]["date"] == str(DATES[10])
    again.add(judge_of().judge(BARS))
    assert again.counts() == {}


def test_a_torn_report_is_an_empty_one(tmp_path):
    workspace, report = Workspace(tmp_path), QualityReport()
    report.add(judge_of().judge(changed(10, close=np.nan)))
    report.write(workspace)
    (workspace.stock_data_dir / "quality.json").write_text("{")
    assert QualityReport.read(workspace) == QualityReport()


def test_bars_that_come_in_pieces_are_judged_beside_those_before():
    jump = changed(20, high=BARS.high[20] * 1.5)
    judge = judge_of()
    whole, first = judge.judge(jump), judge.judge(jump.take(slice(0, 20)))
    later = judge.judge(jump.take(slice(20, None)), first.bars)
    assert found(later) == found(whole) == [("beyond_limit", str(DATES[20]))]
    assert (later.all_bars, len(later.bars)) == (whole.bars, 10)
    assert found(judge.judge(jump.take(slice(20, None)))) == []  # no close before it, no limit


def test_a_report_keeps_what_was_said_of_rows_that_did_not_come_again():
    judge, report = judge_of(), QualityReport()
    first = judge.judge(changed(5, volume=0.0).take(slice(0, 20)))
    report.add(first)
    report.add(judge.judge(BARS.take(slice(15, None)), first.bars))
    assert report.counts() == {"not_traded": 1}
    assert report.bars == {"SH600000": 29}
    report.add(judge.judge(BARS, first.bars))  # the row itself, put right by its source
    assert report.counts() == {}
