import json
from datetime import date

import numpy as np
import pytest

from financial_model.base.config import (
    INDUSTRIES,
    AnalyzeSettings,
    ConditionSettings,
    PanelSettings,
    SimulateSettings,
)
from financial_model.base.errors import BadSetting, NoPanel, StopRequested
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.conditions.universe import Universe, regime_timeline
from financial_model.data.panel import Panel
from financial_model.data.reference_store import ReferenceStore
from financial_model.workflows.analyze_universe import analyze_universe
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.simulate import simulate

AS_OF = date(2023, 9, 15)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("universe"))
    simulate(SimulateSettings(stocks=60, sessions=800, seed=9), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return workspace


@pytest.fixture(scope="module")
def result(workspace) -> dict:
    return analyze_universe(AnalyzeSettings(as_of=AS_OF), workspace, Progress())


def test_the_result_is_json_and_says_its_date_everywhere(result):
    assert json.loads(json.dumps(result, allow_nan=False, ensure_ascii=False)) == result


def test_every_stock_is_counted_once_in_each_distribution(result):
    stocks = result["stocks"]
    counts = result["counts"]
    assert counts["traded"] + counts["suspended"] == counts["listed"] == stocks
    assert sum(row["stocks"] for row in result["industries"]) == stocks
    assert [row["industry"] for row in result["industries"]] == list(INDUSTRIES)
    for told in result["styles"].values():
        assert sum(told["stocks"]) == stocks
    assert len(result["table"]["rows"]) == stocks
    assert all(len(row) == len(result["table"]["columns"]) for row in result["table"]["rows"])
    members = [code for row in result["industries"] for code in row["codes"]]
    assert sorted(members) == [row[0] for row in result["table"]["rows"]]


def test_returns_and_market_caps_are_those_of_the_panel(workspace, result):
    panel = Panel.open(workspace)
    columns = result["table"]["columns"]
    for told in result["table"]["rows"][::7]:
        row = dict(zip(columns, told, strict=True))
        rows = panel.rows_of(row["code"])
        last = (
            rows.start
            + int(np.searchsorted(panel.session_index[rows], panel.position_of(AS_OF), "right"))
            - 1
        )
        close = panel.column("close")
        cap = panel.column("raw_close")[last] * panel.column("total_shares")[last]
        assert row["market_cap_cny"] == pytest.approx(cap, rel=1e-5)
        if row["return_1"] is not None:
            assert row["return_1"] == pytest.approx(close[last] / close[last - 1] - 1, abs=1e-5)
        assert row["is_suspended"] == (str(panel.sessions[panel.session_index[last]]) != "2023-09-15")


def test_the_universe_of_a_date_does_not_know_what_came_later(workspace, result):
    panel, reference = Panel.open(workspace), ReferenceStore(workspace)
    cut = panel.truncated(AS_OF)
    earlier = Universe.at(cut, reference, len(cut.sessions) - 1)
    assert earlier.industry_table() == result["industries"]
    assert earlier.style_table() == result["styles"]
    assert earlier.style_heat() == result["heat"]
    assert earlier.stock_table() == result["table"]
    assert earlier.coverage() == result["coverage"]
    timeline = regime_timeline(cut, len(cut.sessions) - 1, ConditionSettings())
    assert timeline == result["timeline"]


def test_stocks_listed_later_are_absent_and_delisted_ones_leave_on_their_day(workspace):
    panel, reference = Panel.open(workspace), ReferenceStore(workspace)
    facts = reference.read("stock_list")
    whole = analyze_universe(AnalyzeSettings(), workspace, Progress())
    codes = {row[0] for row in whole["table"]["rows"]}
    gone = set(facts["code"][~np.isnat(facts["delist_date"])].tolist())
    assert gone
    assert not codes & gone
    assert whole["counts"]["delisted"] == len(gone)
    early = analyze_universe(AnalyzeSettings(as_of=panel.sessions[70].astype(object)), workspace, Progress())
    shown = {row[0] for row in early["table"]["rows"]}
    first = {code: panel.session_index[panel.offsets[k]] for k, code in enumerate(panel.codes)}
    assert shown == {code for code in panel.codes if first[code] <= 70}
    assert gone & shown


def test_the_regime_of_the_day_began_where_the_timeline_changes(result):
    timeline, regime = result["timeline"], result["regime"]
    labels = timeline["regime"]
    start = timeline["date"].index(regime["since"])
    assert len(labels) - start == regime["sessions"]
    assert {timeline["names"][value] for value in labels[start:]} == {regime["now"]}
    assert start == 0 or labels[start - 1] != labels[start]


def test_max_stocks_takes_the_first_by_code(workspace, result):
    few = analyze_universe(AnalyzeSettings(as_of=AS_OF, max_stocks=10), workspace, Progress())
    assert few["stocks"] == 10
    assert few["table"]["rows"] == result["table"]["rows"][:10]


def test_a_date_between_sessions_means_the_session_before(workspace):
    result = analyze_universe(AnalyzeSettings(as_of=date(2023, 9, 17)), workspace, Progress())
    assert result["as_of"] == "2023-09-15"


def test_a_date_before_all_bars_a_missing_panel_and_a_stop_are_told(workspace, tmp_path):
    with pytest.raises(BadSetting, match="as_of"):
        analyze_universe(AnalyzeSettings(as_of=date(1999, 1, 4)), workspace, Progress())
    with pytest.raises(NoPanel):
        analyze_universe(AnalyzeSettings(), Workspace(tmp_path), Progress())
    with pytest.raises(StopRequested):
        analyze_universe(AnalyzeSettings(), workspace, Progress(stop=lambda: True))
