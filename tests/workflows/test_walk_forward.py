from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from financial_model.base.config import (
    ModelSettings,
    PanelSettings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from financial_model.base.errors import CodeNotHeld, StopRequested, TooFewSessions
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.datasets.splits import split_by_date
from financial_model.evaluation.baselines import BASELINES
from financial_model.evaluation.samples import make_samples, read_forecasts
from financial_model.workflows import walk_forward as module
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.simulate import simulate
from financial_model.workflows.walk_forward import baselines_of_folds, plan_folds, walk_forward

MODEL = ModelSettings(context_length=12, prediction_length=2, hidden_size=8, layers=1, heads=2)
TRAIN = TrainSettings(name="walk", model=MODEL, epochs=1, batch_size=256, learning_rate=0.01)
SETTINGS = WalkForwardSettings(train=TRAIN, folds=2, baselines=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("walk"))
    simulate(SimulateSettings(stocks=20, sessions=340, seed=4), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return workspace


@pytest.fixture(scope="module")
def result(workspace) -> dict:
    return walk_forward(SETTINGS, workspace, Progress())


def test_a_walk_over_a_few_stocks_takes_codes_as_people_write_them(workspace):
    panel = Panel.open(workspace)
    codes = panel.truncated(panel.sessions[150]).codes[:11]
    train = replace(TRAIN, codes=tuple(code[2:] for code in codes))
    settings = WalkForwardSettings(train=train, folds=1, baselines=False)
    result = walk_forward(settings, workspace, Progress())
    record = pq.read_table(result["record"])
    assert set(record["code"].to_pylist()) == set(codes)


def test_a_stock_is_absent_from_the_folds_before_its_listing(workspace):
    panel = Panel.open(workspace)
    folds = plan_folds(panel, SETTINGS)
    listed = {code: panel.session_index[panel.rows_of(code).start] for code in panel.codes}
    bound = panel.position_of(folds[0].first)
    late = [code for code, first in listed.items() if first >= bound]
    assert late, "the market must have a listing after the first fold has learned"
    known = [code for code, first in listed.items() if first < 20][:11]
    train = replace(TRAIN, codes=(*known, *late), name="late")
    result = walk_forward(replace(SETTINGS, train=train), workspace, Progress())
    record = pq.read_table(result["record"])
    of_first = np.array(record["as_of"].to_pylist()) <= folds[0].last
    assert not set(np.array(record["code"].to_pylist())[of_first]) & set(late)
    with pytest.raises(TooFewSessions, match="Fold 1 of the chosen stocks"):
        walk_forward(replace(SETTINGS, train=replace(TRAIN, codes=tuple(late))), workspace, Progress())
    with pytest.raises(CodeNotHeld, match="SH605999"):
        walk_forward(replace(SETTINGS, train=replace(TRAIN, codes=("SH605999",))), workspace, Progress())


def test_test_spans_follow_each_other_without_gap_or_overlap(workspace):
    panel = Panel.open(workspace)
    folds = plan_folds(panel, replace(SETTINGS, folds=5))
    position = [(panel.position_of(fold.first), panel.position_of(fold.last)) for fold in folds]
    assert [first for first, _ in position[1:]] == [last + 1 for _, last in position[:-1]]
    assert position[-1][1] == len(panel.sessions) - 1


def test_a_purge_lies_between_what_a_fold_learns_from_and_its_test_span(workspace):
    panel = Panel.open(workspace)
    for fold in plan_folds(panel, SETTINGS):
        first = panel.position_of(fold.first)
        split = split_by_date(panel.sessions, fold.settings)
        assert split.train.stop + split.purge <= split.valid.first
        assert split.valid.stop + split.purge <= first
        assert split.test.first == first


def test_a_given_validation_length_is_kept_in_every_fold(workspace):
    panel = Panel.open(workspace)
    days = [panel.sessions[k].astype(date) for k in (100, 140)]
    train = replace(TRAIN, train_end=days[0], valid_end=days[1])
    for fold in plan_folds(panel, replace(SETTINGS, train=train)):
        ends = (panel.position_of(day) for day in (fold.settings.train_end, fold.settings.valid_end))
        assert -np.subtract(*ends) == 40


def test_a_first_fold_with_nothing_to_learn_from_is_refused_before_any_training(workspace):
    panel = Panel.open(workspace)
    with pytest.raises(TooFewSessions):
        plan_folds(panel, replace(SETTINGS, first=panel.sessions[20].astype(date)))


def test_all_folds_are_one_out_of_sample_record(workspace, result):
    panel = Panel.open(workspace)
    (model,) = result["models"]
    first, last = result["folds"]
    assert first["last"] < last["first"]
    assert model["first"] == first["first"]
    record = pq.read_table(result["record"])
    days = np.unique(record["as_of"].to_numpy())
    assert len(days) == len(panel.sessions) - panel.position_of(date.fromisoformat(first["first"]))
    assert Path(result["out"]).is_file()


def test_each_fold_says_what_it_learned_from(result):
    for fold in result["folds"]:
        assert fold["split"]["valid"][1] < fold["first"]
        assert fold["split"]["test"] is None  # the fold never had the sessions of its test span


def test_every_baseline_is_refitted_each_fold_and_one_that_cannot_be_made_is_left_out(
    workspace, result, monkeypatch
):
    panel, folds = Panel.open(workspace), plan_folds(Panel.open(workspace), SETTINGS)
    samples = make_samples(read_forecasts(pq.read_table(result["record"]), panel), panel)
    asked = []

    def fit(panel, rows, *, names=None, **_):
        asked.append(tuple(names or BASELINES))
        return {"ridge": np.full(len(rows), float(len(asked)))}

    monkeypatch.setattr("financial_model.workflows.walk_forward.baseline_scores", fit)
    scores = baselines_of_folds(folds, samples, panel, workspace, Progress())
    assert asked == [tuple(BASELINES)] * len(folds)
    assert list(scores) == ["ridge"]
    assert set(scores["ridge"]) == {1.0, 2.0}


def test_a_second_run_trains_nothing_anew(workspace, result, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train_on_panel", refuse)
    assert walk_forward(SETTINGS, workspace, Progress()) == result


def test_a_walk_that_was_stopped_goes_on_and_ends_with_the_same_record(workspace, result):
    # Another name is another walk; with the same seed it gives the same forecasts.
    settings = replace(SETTINGS, train=replace(TRAIN, name="stopped"))
    steps = []

    def sink(event):
        if event["kind"] == "step" or event.get("stage") == "fold":
            steps.append(event)

    with pytest.raises(StopRequested):
        # Asked to stop once the second fold has begun.
        stop = lambda: any(event.get("fold") == 2 for event in steps)  # noqa: E731
        walk_forward(settings, workspace, Progress(sink, stop=stop))
    resumed = walk_forward(settings, workspace, Progress())
    assert pq.read_table(resumed["record"]).equals(pq.read_table(result["record"]))


@pytest.mark.slow
def test_folds_side_by_side_give_the_same_record_as_one_by_one(workspace, result):
    settings = replace(SETTINGS, train=replace(TRAIN, name="parallel"), workers=2)
    parallel = walk_forward(settings, workspace, Progress())
    one, other = (pq.read_table(each["record"]) for each in (parallel, result))
    assert one.select(["code", "as_of", "step"]).equals(other.select(["code", "as_of", "step"]))
    # A worker may sum with another number of threads than this process.
    np.testing.assert_allclose(one["score"].to_numpy(), other["score"].to_numpy(), atol=2e-3)


@pytest.mark.slow
def test_workers_stop_when_asked(workspace):
    settings = replace(SETTINGS, train=replace(TRAIN, name="halted", epochs=50), workers=2)
    events = []
    with pytest.raises(StopRequested):
        walk_forward(settings, workspace, Progress(events.append, stop=lambda: len(events) > 12))
