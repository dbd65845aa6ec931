import numpy as np
import pytest

from financial_model.base.errors import CodeNotHeld, NoPanel
from financial_model.base.workspace import Workspace
from financial_model.data.panel import CONDITIONS, FLOAT_COLUMNS, Panel, group_by_session
from tests.data.market_makers import index_walk, sessions

DATES = sessions(6)


@pytest.fixture
def panel():
    """Two stocks; the second misses the third session, the first ends before the last."""
    codes = ["SZ000001"] * 5 + ["SH600000"] * 5
    dates = np.concatenate([DATES[[0, 1, 3, 4, 5]], DATES[:5]])
    close = np.concatenate([np.arange(1.0, 6.0), np.arange(11.0, 16.0)])
    return Panel.from_columns(codes, dates, {"close": close}, indices={"SH000300": index_walk(DATES)})


def test_rows_are_sorted_by_code_then_session(panel):
    assert panel.codes == ["SH600000", "SZ000001"]
    assert panel.offsets.tolist() == [0, 5, 10]
    assert panel.column("close").tolist() == [11, 12, 13, 14, 15, 1, 2, 3, 4, 5]
    assert panel.column("date")[panel.rows_of("SZ000001")].tolist() == DATES[[0, 1, 3, 4, 5]].tolist()
    assert panel.code_index.dtype == panel.session_index.dtype == np.int32


def test_missing_columns_are_what_one_would_assume(panel):
    assert set(FLOAT_COLUMNS) | {"is_st", "is_locked"} | set(CONDITIONS) == set(panel.column_names)
    np.testing.assert_array_equal(panel.column("reference_close")[5:7], [np.nan, 1.0])
    assert panel.names("industry")[panel.column("industry")[0]] == "unknown"
    assert panel.column("is_st").dtype == np.int8


def test_the_rows_of_a_session_are_those_that_traded_in_it(panel):
    assert panel.rows_at(2).tolist() == [2]
    assert panel.rows_at(3).tolist() == [3, 7]
    assert panel.rows_at(-1).tolist() == [9]
    assert panel.rows_at(0).dtype == np.int64
    with pytest.raises(IndexError):
        panel.rows_at(6)


def test_the_position_of_a_date_is_that_of_the_last_session_before_it(panel):
    assert panel.position_of(DATES[3]) == 3
    assert panel.position_of("2018-01-06") == 3
    assert panel.position_of("1999-01-01") == -1


def test_a_truncated_panel_holds_nothing_later(panel):
    cut = panel.truncated(DATES[2])
    assert len(cut) == 5
    assert cut.last_session == DATES[2]
    assert cut.column("close").tolist() == [11, 12, 13, 1, 2]
    assert cut.index_bars("SH000300").date.max() == DATES[2]
    assert cut.rows_at(2).tolist() == [2]
    assert cut.fingerprint != panel.fingerprint
    again = cut.truncated(DATES[0])
    assert again.column("close").tolist() == [11, 1]


def test_truncation_drops_stocks_that_were_not_yet_listed():
    panel = Panel.from_columns(["SH600000", "SZ000001"], DATES[[0, 3]], {"close": np.array([1.0, 2.0])})
    assert panel.truncated(DATES[1]).codes == ["SH600000"]
    assert panel.truncated("1999-01-01").codes == []
    assert len(panel.truncated("1999-01-01")) == 0


def test_a_subset_keeps_sessions_and_columns(panel):
    part = panel.subset(["SZ000001"])
    assert part.codes == ["SZ000001"]
    np.testing.assert_array_equal(part.sessions, panel.sessions)
    assert part.column("close").tolist() == [1, 2, 3, 4, 5]
    assert part.rows_at(3).tolist() == [2]
    assert part.names("regime") == panel.names("regime")
    with pytest.raises(CodeNotHeld, match="SH600001 is not in the panel"):
        panel.subset(["SH600001"])


def test_an_unknown_column_is_named_with_those_there_are(panel):
    with pytest.raises(KeyError, match="no column 'turnover'"):
        panel.column("turnover")


def test_a_panel_that_was_never_built_says_how_to(tmp_path):
    with pytest.raises(NoPanel, match="Build it first"):
        Panel.open(Workspace(tmp_path))


@pytest.mark.parametrize("session_count", [5, 70_000])
def test_grouping_by_session_is_a_stable_sort(session_count):
    index = np.random.default_rng(0).integers(0, session_count, 500).astype(np.int32)
    rows, offsets = group_by_session(index, session_count)
    np.testing.assert_array_equal(rows, np.argsort(index, kind="stable"))
    assert offsets[-1] == 500
    assert len(offsets) == session_count + 1
