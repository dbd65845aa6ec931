"""A fold's baselines learn from the sessions its model had; its stocks are those known before its test."""

import numpy as np
import pytest

from financial_model.base.config import (
    ModelSettings,
    PanelSettings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.evaluation.samples import make_samples, read_forecasts
from financial_model.models.checkpoint import checkpoint_path, load_checkpoint
from financial_model.workflows import walk_forward as module
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.simulate import simulate

MODEL = ModelSettings(context_length=12, prediction_length=2, hidden_size=8, layers=1, heads=2)
TRAIN = TrainSettings(name="walk", model=MODEL, epochs=1, batch_size=256, max_stocks=14)
SETTINGS = WalkForwardSettings(train=TRAIN, folds=2, baselines=False)


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    """The first of two folds: its panel, workspace, checkpoint and record."""
    workspace = Workspace(tmp_path_factory.mktemp("fold"))
    simulate(SimulateSettings(stocks=30, sessions=340, seed=4), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    panel = Panel.open(workspace)
    first = module.plan_folds(panel, SETTINGS)[0]
    module.run_fold(first, workspace, workspace.inside("output/walk"), Progress())
    return panel, workspace, first


def checkpoint_of(workspace):
    (path,) = workspace.inside("output/walk").glob("fold1_*_best.pt")
    return load_checkpoint(checkpoint_path(workspace, str(path)))


def test_baselines_learn_from_the_sessions_the_model_learned_from(fold, monkeypatch):
    panel, workspace, first = fold
    record = module.pa.parquet.read_table(module._record_path(workspace.inside("output/walk"), first))
    samples = make_samples(read_forecasts(record, panel), panel, 1)
    asked = {}

    def remember(panel, rows, *, span, **_):
        asked["span"] = span
        return {}

    monkeypatch.setattr(module, "baseline_scores", remember)
    module.baselines_of_folds([first], samples, panel, workspace, Progress())
    split = checkpoint_of(workspace).split
    for name, (begin, stop) in (("train", asked["span"].train), ("valid", asked["span"].valid)):
        assert [str(panel.sessions[k]) for k in (begin, stop - 1)] == split[name], name


def test_a_stock_that_lists_later_takes_nobodys_place_among_the_first_codes(fold):
    panel, workspace, first = fold
    known = panel.truncated(first.settings.valid_end)
    assert panel.codes[:14] != known.codes[:14], "the market must have a listing in the test span"
    assert list(checkpoint_of(workspace).settings.codes) == known.codes[:14]
    record = module.pa.parquet.read_table(module._record_path(workspace.inside("output/walk"), first))
    forecast = set(record["code"].to_pylist())
    assert forecast <= set(known.codes[:14])
    rows = np.isin(np.array(panel.codes)[panel.code_index], known.codes[:14])
    traded = panel.session_index[rows]
    inside = (traded >= panel.position_of(first.first)) & (traded <= panel.position_of(first.last))
    assert record.num_rows >= 0.9 * 2 * inside.sum()
