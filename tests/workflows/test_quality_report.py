import numpy as np
import pytest

from financial_model.base.workspace import Workspace
from financial_model.data.panel import CONDITIONS, UNKNOWN_ONLY
from financial_model.data.panel_builder import build_panel
from financial_model.data.quality import Judge, QualityReport
from financial_model.workflows import quality_report as module
from financial_model.workflows.quality_report import as_markdown, quality_report
from tests.data.market_makers import index_walk, put, put_actions, sessions, walk

DATES = sessions(120)


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    bars = [walk(f"SH60000{k}", DATES) for k in range(4)]
    put(workspace, *bars, index_walk(DATES))
    put_actions(
        workspace, ("SH600000", str(DATES[80]), 1.0, 0, 0, 0), ("SH600001", str(DATES[90]), 0, 10.0, 0, 0)
    )
    build_panel(
        workspace, lambda panel: {name: np.zeros(len(panel), np.int8) for name in CONDITIONS}, UNKNOWN_ONLY
    )
    report, judge = QualityReport(), Judge.of_workspace(workspace, [index_walk(DATES)])
    for one in bars:
        report.add(judge.judge(one))
    report.write(workspace)
    return workspace


def test_ex_days_are_told_from_other_days(workspace, monkeypatch):
    monkeypatch.setattr(module, "SEASONED", 10)
    result = quality_report(workspace)
    assert result["returns"]["cash ex-days"]["count"] == 1
    assert result["returns"]["ex-days with new shares"]["count"] == 1
    assert result["returns"]["all other days"]["count"] == 4 * 110 - 2
    assert abs(result["returns"]["all other days"]["mean"]) < 0.01


def test_a_move_that_no_action_explains_is_listed_with_its_return(workspace):
    """The bonus of SH600001 was never paid in the bars, so its ex-day doubles the adjusted price."""
    result = quality_report(workspace)
    assert [(move["code"], move["date"]) for move in result["moves"]] == [("SH600001", str(DATES[90]))]
    assert result["moves"][0]["return"] > 0.9
    assert result["findings"]["beyond_limit"]["count"] == 1
    text = as_markdown(result)
    assert "| beyond_limit | 1 | 1 | kept |" in text
    assert f"| SH600001 | {DATES[90]} |" in text
