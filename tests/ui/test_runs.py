"""Runs as their files tell them: listed, compared, renamed, resumed, deleted."""

import json

import pytest

from financial_model.base.config import TrainSettings
from financial_model.base.errors import BadSetting, NoSuchRun, UnsafePath, WorkspaceBusy
from financial_model.base.workspace import read_json, write_json
from financial_model.ui import runs
from financial_model.ui.checkpoints import MAX_WITHIN, choose_checkpoint, listed_checkpoints
from financial_model.ui.jobs import Jobs
from financial_model.ui.runs import RunReader
from financial_model.ui.tabs.runs import end_labels, overlay
from financial_model.ui.trail import MAX_POINTS
from financial_model.ui.translations import Translate

from .test_trail import ENSEMBLE, of_member


def write_run(workspace, stem="first_20180101_120000", checkpoints=("best",), history=True, **settings):
    folder = workspace.output_dir
    epoch = {
        "kind": "epoch",
        "epoch": 1,
        "best_epoch": 1,
        "valid_rank_ic": 0.05,
        "valid_loss": 0.9,
        "total_step": 3,
    }
    facts = {
        "settings": TrainSettings(**settings).to_json(),
        "data": {"is_simulated": True},
        "split": {"train": ["2015-01-05", "2016-12-30"]},
        "history": [epoch] if history else [],
        "result": {},
    }
    write_json(folder / f"{stem}_run.json", facts)
    (folder / f"{stem}_metrics.jsonl").write_text(json.dumps(epoch) + '\n{"kind": "ep', encoding="utf-8")
    for which in checkpoints:
        (folder / f"{stem}_{which}.pt").write_bytes(b"weights")
    return f"output/{stem}"


@pytest.fixture
def reader(workspace):
    return RunReader(workspace)


def test_a_run_is_listed_with_its_epochs_and_checkpoints(workspace, reader):
    name = write_run(workspace, checkpoints=("best", "epoch5", "final"))
    (run,) = reader.all([])
    assert (run.id, run.label, run.epochs) == (name, "first", (1, TrainSettings().epochs))
    assert run.best["valid_rank_ic"] == 0.05
    assert run.is_simulated
    assert run.span("train") == ("2015-01-05", "2016-12-30")
    assert len(run.checkpoints) == 3


def test_a_checkpoint_is_told_by_what_it_holds_in_both_languages(workspace, reader):
    write_run(workspace, checkpoints=("best", "epoch5", "epoch5_step12"))
    english = [label.split(" · ")[1] for label, _ in listed_checkpoints(reader.all([]), Translate("en"))]
    assert english == ["best", "epoch 5", "stopped 12 steps after epoch 5"]
    chinese = [label.split(" · ")[1] for label, _ in listed_checkpoints(reader.all([]), Translate("zh"))]
    assert chinese == ["最佳", "第 5 轮", "5 轮又 12 步时停下"]


def test_a_run_that_was_cut_off_tells_its_epochs_from_the_metrics(workspace, reader):
    write_run(workspace, history=False)
    assert reader.all([])[0].epochs == (1, TrainSettings().epochs)


def test_of_a_very_long_run_as_many_epochs_are_kept_as_can_be_seen(workspace, reader):
    name = write_run(workspace)
    epochs = [{"kind": "epoch", "epoch": n, "best_epoch": min(n, 1234), "member": 1} for n in range(1, 5001)]
    lines = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
    (workspace.root / f"{name}_metrics.jsonl").write_text(lines, encoding="utf-8")
    (run,) = reader.all([])
    assert len(run.history) <= MAX_POINTS
    assert (run.epochs[0], run.best["epoch"], run.history[0]["epoch"]) == (5000, 1234, 1)
    assert "history" not in run.facts


@pytest.mark.parametrize("length", [3, 900])  # of the longer one not all epochs are kept
def test_the_epochs_of_an_ensemble_are_those_of_all_its_members(workspace, reader, length):
    name = write_run(workspace, ensemble=3, epochs=1000)
    epochs = [*of_member(1, [0.01] * length, 1), *of_member(2, [0.02] * (length + 1), 1)]
    lines = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
    (workspace.root / f"{name}_metrics.jsonl").write_text(lines, encoding="utf-8")
    (run,) = reader.all([])
    assert run.last_epochs == (length, length + 1)
    assert run.epochs == (2 * length + 1, 3000)


def test_the_best_of_an_ensemble_is_said_of_its_best_checkpoint_alone(workspace, reader):
    name = write_run(workspace, checkpoints=("best", "epoch1", "final"), ensemble=2)
    lines = "".join(json.dumps(epoch) + "\n" for epoch in ENSEMBLE)
    (workspace.root / f"{name}_metrics.jsonl").write_text(lines, encoding="utf-8")
    (run,) = reader.all([])
    assert run.best["valid_rank_ic"] == pytest.approx(0.07)
    labels = [label for label, _ in listed_checkpoints([run], Translate("en"))]
    assert labels == ["first · best · RankIC 0.070", "first · final", "first · epoch 1"]
    path = workspace.root / f"{name}_run.json"
    for chosen, told in (([3, 2], 0.1), ([3], 0.07)):  # the second as a stop before left it
        result = {"best_epochs": chosen, "valid_rank_ic": 0.1, "valid_loss": 0.8}
        write_json(path, read_json(path) | {"result": result})
        (run,) = RunReader(workspace).all([])
        assert run.best["valid_rank_ic"] == pytest.approx(told)


def test_a_checkpoint_of_one_member_carries_the_figure_of_its_own_epoch(workspace, reader):
    name = write_run(workspace, checkpoints=("best", "epoch1", "epoch2_step3", "final"))
    lines = "".join(json.dumps(epoch) + "\n" for epoch in ENSEMBLE[3:])
    (workspace.root / f"{name}_metrics.jsonl").write_text(lines, encoding="utf-8")
    labels = [label.split(" · ")[1:] for label, _ in listed_checkpoints(reader.all([]), Translate("en"))]
    assert labels == [
        ["best", "RankIC 0.050"],
        ["final", "RankIC 0.030"],
        ["epoch 1", "RankIC 0.040"],
        ["stopped 3 steps after epoch 2"],
    ]


EIGHT_RUNS = [f"basic_2018010{n}_120000" for n in range(1, 9)]


def test_every_run_can_be_chosen_however_many_checkpoints_the_newer_ones_left(workspace, reader):
    many = ("best", "final", *(f"epoch{n}" for n in range(5, 55, 5)))
    for stem in EIGHT_RUNS:
        write_run(workspace, stem=stem, checkpoints=many)
    paths = [path for _, path in listed_checkpoints(reader.all([]), Translate("en"))]
    newest_first = [f"output/{stem}_{which}.pt" for stem in EIGHT_RUNS[::-1] for which in ("best", "final")]
    assert paths[:16] == newest_first
    assert paths[16:26] == [f"output/{EIGHT_RUNS[-1]}_epoch{n}.pt" for n in range(5, 55, 5)], "by number"
    assert len(paths) == 16 + MAX_WITHIN


def test_what_a_stop_left_of_a_run_stands_with_the_best_of_others(workspace, reader):
    write_run(workspace, stem=EIGHT_RUNS[0], checkpoints=("best", "epoch9", "epoch10"))
    write_run(workspace, stem=EIGHT_RUNS[1], checkpoints=("epoch9_step3", "epoch10_step1", "epoch10"))
    listed = [path.split("_120000_")[1] for _, path in listed_checkpoints(reader.all([]), Translate("en"))]
    ends, within = ["epoch10_step1", "best"], ["epoch9_step3", "epoch10", "epoch9", "epoch10"]
    assert listed == [f"{which}.pt" for which in ends + within]


def test_a_chosen_checkpoint_stays_chosen_as_long_as_it_is_there(workspace, reader, built):
    for stem in EIGHT_RUNS:
        write_run(workspace, stem=stem, checkpoints=("best", *(f"epoch{n}" for n in range(1, 20))))
    view = built().page.view("en")
    cut, own = f"output/{EIGHT_RUNS[0]}_epoch19.pt", "models/mine.pt"
    (workspace.root / "models").mkdir()
    (workspace.root / own).write_bytes(b"weights")
    for path, label in ((cut, f"{EIGHT_RUNS[0]} · epoch 19"), (own, own)):
        update = choose_checkpoint(reader, view, path)
        assert "value" not in update
        assert update["choices"][-1] == (label, path)
        assert "value" not in choose_checkpoint(reader, view, [path], is_many=True)
        (workspace.root / path).unlink()
        newest = f"output/{EIGHT_RUNS[-1]}_best.pt"
        assert choose_checkpoint(reader, view, path)["value"] == newest
        assert choose_checkpoint(reader, view, [path, cut], is_many=True)["value"] == [newest]


@pytest.mark.parametrize(
    "path", ["../x.pt", "~nosuch/x.pt", "a\0.pt", "x" * 300 + ".pt", "gone.pt", 3, ["a"]]
)
def test_what_is_no_checkpoint_gives_way_to_the_newest_best(workspace, reader, built, path):
    name = write_run(workspace)
    assert choose_checkpoint(reader, built().page.view("en"), path)["value"] == f"{name}_best.pt"


def test_files_of_others_and_torn_ones_are_passed_over(workspace, reader):
    workspace.output_dir.mkdir(parents=True)
    for name in ("notes.txt", "x_run.json", "a_20180101_120000_run.json", "b_20180101_120000_best.pt"):
        (workspace.output_dir / name).write_text("{", encoding="utf-8")
    assert reader.all([]) == []


def test_a_run_is_renamed_for_the_eye_and_keeps_its_files(workspace, reader):
    name = write_run(workspace)
    runs.rename(workspace, reader.get(name, []), "my best")
    assert reader.get(name, []).label == "my best"
    assert (workspace.output_dir / "first_20180101_120000_best.pt").is_file()
    with pytest.raises(UnsafePath):
        runs.rename(workspace, reader.get(name, []), "../evil")


def test_deleting_takes_the_files_of_this_run_alone(workspace, reader):
    name = write_run(workspace, checkpoints=("best", "epoch5", "epoch5_step12"))
    other = write_run(workspace, stem="first_20180101_120000_more_20190101_120000")
    (workspace.output_dir / "first_20180101_120000_report.html").write_text("mine", encoding="utf-8")
    assert runs.delete(workspace, reader.get(name, []), []) == 5
    assert [run.id for run in reader.all([])] == [other]
    assert (workspace.output_dir / "first_20180101_120000_report.html").is_file()


def test_deleting_takes_the_events_of_tensorboard_and_leaves_what_a_person_put_beside_them(workspace, reader):
    for stem, is_mine in (("first_20180101_120000", False), ("second_20180101_120000", True)):
        name = write_run(workspace, stem=stem)
        board = workspace.root / f"{name}_tensorboard"
        board.mkdir()
        (board / "events.out.tfevents.1514808000.host.1.0").write_bytes(b"scalars")
        if is_mine:
            (board / "notes.txt").write_text("mine", encoding="utf-8")
        assert runs.delete(workspace, reader.get(name, []), []) == 4
        left = [path.name for path in board.iterdir()] if board.is_dir() else None
        assert left == (["notes.txt"] if is_mine else None)


def test_a_run_that_is_being_trained_is_not_deleted(workspace, reader):
    name = write_run(workspace)
    jobs = Jobs(workspace)
    jobs.start("train", TrainSettings(resume=f"{name}_best.pt"))
    with pytest.raises(WorkspaceBusy):
        runs.delete(workspace, reader.get(name, []), jobs.all())
    assert reader.all([])


def test_a_stopped_run_goes_on_from_its_newest_checkpoint_and_a_finished_one_does_not(workspace, reader):
    name = write_run(workspace, checkpoints=("best",), epochs=7)
    settings = runs.resume_settings(reader.get(name, []))
    assert (settings.resume, settings.epochs) == (f"{name}_best.pt", 7)
    (workspace.output_dir / "first_20180101_120000_final.pt").write_bytes(b"weights")
    with pytest.raises(BadSetting):
        runs.resume_settings(reader.get(name, []))


def test_only_settings_that_differ_are_compared(workspace, reader):
    write_run(workspace, seed=1)
    write_run(workspace, stem="second_20180102_120000", seed=2)
    assert runs.differing_settings(reader.all([])) == [("seed", [2, 1])]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "output/none_20180101_120000", "x" * 500])
def test_a_run_that_is_not_there_is_an_error_of_ours(reader, name):
    with pytest.raises(NoSuchRun):
        reader.get(name, [])


def test_the_curves_of_runs_on_a_practice_market_carry_its_mark(workspace, reader):
    write_run(workspace)
    card = overlay(reader.all([]), "valid_rank_ic", "RankIC", Translate("en"))
    assert (card["mark"], card["name"]) == ("practice market", "practice_runs_valid_rank_ic")
    assert card["layout"]["xaxis"]["range"] == [0.8, 1.2]


def test_names_at_the_ends_of_curves_do_not_touch():
    notes = end_labels([(6, 0.05, "a", ""), (6, 0.051, "b", ""), (3, 0.0505, "c", "")], [0.0, 0.1])
    assert {note["text"]: note["y"] for note in notes} == {"a": 0.05, "c": 0.0505, "b": pytest.approx(0.058)}
