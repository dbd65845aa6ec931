import numpy as np
import pytest

from financial_model.base.config import ConditionSettings, ImportSettings, PanelSettings
from financial_model.base.errors import NoBarsFound
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import CONDITIONS, Panel
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
