import numpy as np
import pytest

from financial_model.base.config import AnalyzeSettings, ConditionSettings, ImportSettings, PanelSettings
from financial_model.base.errors import DamagedFile, NoBarsFound
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import CONDITIONS, Panel
from financial_model.data.reference_store import ReferenceStore
from financial_model.datasets.feature_cache import load_features
from financial_model.datasets.features import compute_features
from financial_model.ui.translations import Translate
from financial_model.workflows.analyze_universe import analyze_universe
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.import_bars import import_bars
from tests.data.market_makers import index_walk, put, sessions, walk

DATES = sessions(150)


def test_a_panel_with_conditions_is_built_from_the_store(tmp_path):
    workspace = Workspace(tmp_path)
    put(workspace, *(walk(f"SH60000{k}", DATES) for k in range(6)), index_walk(DATES))
    result = build_panel(PanelSettings(), workspace, Progress())
    panel = Panel.open(workspace)
    assert panel.conditions == CONDITIONS
    assert result["quality"] == {}
    assert build_panel(PanelSettings(), workspace, Progress())["changed"] is False
    other = PanelSettings(conditions=ConditionSettings(buckets="threshold"))
    assert build_panel(other, workspace, Progress())["changed"] is True


def test_features_and_regimes_are_of_the_index_the_panel_was_built_with(tmp_path):
    workspace = Workspace(tmp_path)
    other = walk("SH000905", DATES, seed=5, start=5000.0)
    put(workspace, *(walk(f"SH60000{k}", DATES) for k in range(6)), index_walk(DATES), other)
    settings = PanelSettings(conditions=ConditionSettings(index="SH000905"))
    build_panel(settings, workspace, Progress())
    panel = Panel.open(workspace)
    features = load_features(panel, workspace)
    np.testing.assert_array_equal(features.market, compute_features(panel, "SH000905").market)
    assert not np.array_equal(features.market, compute_features(panel).market)
    assert panel.truncated(DATES[100]).made_with == settings.conditions
    assert analyze_universe(AnalyzeSettings(), workspace, Progress())["regime"]["index"] == "SH000905"
    # A panel from before its settings were kept has them after the next build, which changes nothing else.
    (kept,) = workspace.cache_dir.glob("panel-*.conditions.json")
    kept.unlink()
    assert build_panel(settings, workspace, Progress())["changed"] is False
    assert Panel.open(workspace).made_with == settings.conditions
    kept.write_text('{"index": 5}')
    with pytest.raises(DamagedFile):
        Panel.open(workspace)
    build_panel(settings, workspace, Progress())
    assert Panel.open(workspace).made_with == settings.conditions
    build_panel(PanelSettings(), workspace, Progress())
    default = Panel.open(workspace)
    assert len(list(workspace.cache_dir.glob("panel-*.conditions.json"))) == 1
    features = load_features(default, workspace)
    np.testing.assert_array_equal(features.market, compute_features(default, "SH000300").market)


@pytest.mark.parametrize(
    ("since", "key", "percent"),
    [(DATES[100], "build.industry_late", 67), (DATES[60], None, None), (None, "build.industry_none", 100)],
)
def test_a_panel_whose_industries_begin_late_says_so(tmp_path, since, key, percent):
    workspace, events = Workspace(tmp_path), []
    put(workspace, *(walk(f"SH60000{k}", DATES) for k in range(6)), index_walk(DATES))
    if since is not None:
        rows = {"code": [f"SH60000{k}" for k in range(6)], "from": [since] * 6, "industry": ["银行"] * 6}
        ReferenceStore(workspace).write("industries", rows)
    result = build_panel(PanelSettings(), workspace, Progress(events.append))
    warnings = [event for event in events if event["kind"] == "warning"]
    assert [warning["key"] for warning in warnings] == ([key] if key else [])
    if key is None:
        assert result["without_industry"] is None
        return
    told = {"percent": percent, "since": str(since) if since is not None else None}
    assert result["without_industry"] == told
    assert told.items() <= warnings[0].items()
    assert "industries.csv" in warnings[0]["message"]
    for language in ("zh", "en"):
        shown = Translate(language).warning(warnings[0])
        assert f"{percent}" in shown
        assert "industries.csv" in shown
    assert "{" not in Translate("zh").warning(warnings[0])
    again = build_panel(PanelSettings(), workspace, Progress())
    assert (again["changed"], again["without_industry"]) == (False, told)


def test_stocks_of_a_group_that_is_other_are_not_said_to_have_none(tmp_path):
    workspace, events = Workspace(tmp_path), []
    put(workspace, *(walk(f"SH60000{k}", DATES) for k in range(6)), index_walk(DATES))
    rows = {"code": [f"SH60000{k}" for k in range(6)], "from": [DATES[0]] * 6, "industry": ["综合"] * 6}
    ReferenceStore(workspace).write("industries", rows)
    assert build_panel(PanelSettings(), workspace, Progress(events.append))["without_industry"] is None
    assert not [event for event in events if event["kind"] == "warning"]


def test_building_without_bars_says_what_to_do(tmp_path):
    with pytest.raises(NoBarsFound, match="import or download"):
        build_panel(PanelSettings(), Workspace(tmp_path), Progress())


@pytest.mark.real_data
def test_real_bars_become_a_panel_whose_past_is_that_of_a_store_cut_off(real_data, tmp_path):
    """Conditions included, industries from when they were written: nothing in a row was known later."""
    settings = PanelSettings(conditions=ConditionSettings(industry_dates="written"))
    from financial_model.data.bar_store import BarStore
    from financial_model.data.reference_store import KINDS, ReferenceStore

    workspace, earlier = Workspace(tmp_path / "all"), Workspace(tmp_path / "earlier")
    import_bars(ImportSettings(str(real_data), max_stocks=25), workspace, Progress())
    build_panel(settings, workspace, Progress())
    day = np.datetime64("2016-06-30")
    store, reference = BarStore(workspace), ReferenceStore(workspace)
    bars = [store.read(code).up_to(day) for code in (*store.codes(), *store.index_codes())]
    put(earlier, *(one for one in bars if len(one)))
    for name in KINDS:
        ReferenceStore(earlier).write(name, reference.as_of(name, day).columns)
    build_panel(settings, earlier, Progress())
    one, other = Panel.open(workspace).truncated(day), Panel.open(earlier)
    assert one.codes == other.codes
    for name in one.column_names:
        np.testing.assert_array_equal(one.column(name), other.column(name), err_msg=name)
