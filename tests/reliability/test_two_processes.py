"""Two processes on one workspace: the second waits or is told who holds it, and readers see a whole state."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from financial_model import cli
from financial_model.base.config import PanelSettings, WalkForwardSettings
from financial_model.base.errors import PanelChanged, WorkspaceBusy
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace, _try_lock, locked
from financial_model.data import panel as panel_module
from financial_model.data import panel_builder
from financial_model.data.bar_store import BarStore
from financial_model.data.panel import CONDITIONS, UNKNOWN_ONLY, Panel
from financial_model.training.run_files import RunFiles, hold_run
from financial_model.ui import runs
from financial_model.ui.translations import Translate
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.walk_forward import plan_folds, run_fold

from .conftest import TRAINING

REPOSITORY = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------------- locks


def test_an_owner_that_has_not_yet_said_its_name_is_waited_for(tmp_path):
    path = tmp_path / ".lock"
    with open(path, "a+b", buffering=0) as file:
        assert _try_lock(file)
        late = threading.Timer(0.3, file.write, [b"import pid 1"])
        late.start()
        with pytest.raises(WorkspaceBusy, match="import pid 1"), locked(path, "download", "The store"):
            pass
        late.join()


def test_an_owner_that_lets_go_without_a_name_is_followed(tmp_path):
    path = tmp_path / ".lock"
    file = open(path, "a+b", buffering=0)  # noqa: SIM115
    assert _try_lock(file)
    threading.Timer(0.2, file.close).start()
    with locked(path, "download", "The store"):
        assert path.read_text().startswith("download pid ")


@pytest.mark.skipif(os.name == "nt", reason="an open file is not removed there")
def test_a_lock_that_was_removed_while_it_was_being_opened_is_none(tmp_path, monkeypatch):
    """Else two would hold locks of one name: one on the file that is gone, one on the file that is there."""
    import financial_model.base.workspace as module

    path = tmp_path / ".lock"

    def try_lock(file, real=module._try_lock):
        monkeypatch.setattr(module, "_try_lock", real)
        path.unlink()  # by its owner, who ends just now
        return real(file)

    monkeypatch.setattr(module, "_try_lock", try_lock)
    with (
        locked(path, "train", "The run x", is_removed=True),
        pytest.raises(WorkspaceBusy),
        locked(path, "train", "The run x"),
    ):
        pass
    assert not path.exists()


BUSY = (
    ("The panel (data_cache)", "build-panel", "面板（data_cache）", "整理面板"),
    ("The run a_20200101_000000", "train", "训练 a_20200101_000000 ", "训练"),
    ("The store of bars (full_stock_data)", "import", "行情数据（full_stock_data）", "导入"),
)


@pytest.mark.parametrize(("what", "owner", "part", "work"), BUSY)
def test_who_holds_what_is_told_in_chinese(what, owner, part, work):
    error = WorkspaceBusy(what, f"{owner} pid 7")
    told = Translate("zh").error("WorkspaceBusy", str(error), error.fields)
    assert told.startswith(f"{part}正被另一个进程占用（{work}，进程 7）。")
    assert str(error).startswith(f"{what} is in use by another process ({owner} pid 7).")


# ---------------------------------------------------------------------- store and panel


def test_no_panel_is_built_from_a_store_that_is_being_written(copy, capsys):
    """It would be of some stocks the old bars and of some the new."""
    before = copy.panel_path.read_bytes()
    with BarStore(copy).locked("import"), pytest.raises(SystemExit) as left:
        cli.main(["build-panel", "--rebuild", "--workspace", str(copy.root)])
    assert left.value.code == 2
    assert f"The store of bars (full_stock_data) is in use by another process (import pid {os.getpid()})" in (
        capsys.readouterr().err
    )
    assert copy.panel_path.read_bytes() == before


def test_nothing_is_written_into_the_store_while_a_panel_is_built_from_it(copy):
    def conditions(panel):
        with pytest.raises(WorkspaceBusy, match="build-panel pid"), BarStore(copy).locked("import"):
            pass
        return {name: np.zeros(len(panel), np.int8) for name in CONDITIONS}

    panel_builder.build_panel(copy, conditions, UNKNOWN_ONLY, rebuild=True)
    with BarStore(copy).locked("import"):
        pass


def test_a_build_does_not_trip_over_the_unfinished_features_of_a_training(copy):
    unfinished = copy.cache_dir / ".features-0123456789abcdef.99.part"
    unfinished.mkdir()
    (unfinished / "sequence.npy").write_bytes(b"half")
    build_panel(PanelSettings(rebuild=True), copy, Progress())
    assert (unfinished / "sequence.npy").is_file()  # its writer may be at work


def test_a_panel_that_is_replaced_while_it_is_opened_is_opened_as_it_is_now(copy, monkeypatch):
    """Its parts are mapped one after the other; offsets of another panel would cut the rows wrongly."""
    codes = Panel.open(copy).codes
    files = [copy.bars_dir / f"{code}.csv" for code in (codes[0], codes[-1])]
    kept = [path.read_bytes() for path in files]
    # As many rows as before, of another choice of stocks.
    files[0].unlink()
    build_panel(PanelSettings(), copy, Progress())
    real, calls = panel_module._code_offsets, []

    def replace_first(path, *others):
        if not calls:
            calls.append(path)
            files[0].write_bytes(kept[0])
            files[1].unlink()
            build_panel(PanelSettings(), copy, Progress())
        return real(path, *others)

    monkeypatch.setattr(panel_module, "_code_offsets", replace_first)
    opened = Panel.open(copy)
    assert opened.codes == codes[:-1]
    expected = np.searchsorted(opened.code_index, np.arange(len(opened.codes) + 1))
    np.testing.assert_array_equal(opened.offsets, expected)


# ---------------------------------------------------------------------- runs


def test_two_trainings_of_one_name_that_begin_in_one_second_do_not_share_their_files(copy):
    one, other = (RunFiles(copy, "output", "same") for _ in range(2))
    second = other.stamp = one.stamp
    with one.held(), other.held():
        one.write_run({})
        other.write_run({})
        assert one.stamp == second < other.stamp
    assert len(list(copy.output_dir.glob("same_*_run.json"))) == 2
    assert not list(copy.output_dir.glob(".same_*"))


def test_a_run_is_resumed_once_at_a_time_and_not_deleted_meanwhile(whole, copy, capsys):
    final = whole[1]["final"]
    stem = Path(final).name.removesuffix("_final.pt")
    run = runs.RunReader(copy).get(f"output/{stem}", [])
    before = {path.name: path.read_bytes() for path in copy.output_dir.iterdir()}
    with hold_run(copy.output_dir, stem):
        with pytest.raises(SystemExit) as left:
            cli.main(["train", "--resume", final, "--workspace", str(copy.root)])
        assert left.value.code == 2
        told = f"The run {stem} is in use by another process (train pid {os.getpid()})"
        assert told in capsys.readouterr().err
        with pytest.raises(WorkspaceBusy, match="train pid"):
            runs.delete(copy, run, [])
    assert before == {path.name: path.read_bytes() for path in copy.output_dir.iterdir()}
    (copy.output_dir / f".{stem}_best.pt.7-0.part").write_text("a killed training left it half written")
    others = copy.output_dir / f".{stem}_best_forecast.csv.8-0.part"
    others.write_text("a forecast that is being written")
    assert runs.delete(copy, run, []) == len(before)
    assert list(copy.output_dir.iterdir()) == [others]


def test_a_fold_is_not_trained_on_another_panel_than_the_walk_was_planned_on(copy):
    settings = WalkForwardSettings(folds=1, train=TRAINING)
    [fold] = plan_folds(Panel.open(copy), settings)
    with pytest.raises(PanelChanged, match="Start again"):
        run_fold(replace(fold, fingerprint="another"), copy, copy.output_dir / "walk", Progress())


# ---------------------------------------------------------------------- whole commands


def start(workspace: Workspace, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "financial_model", *map(str, arguments), "--workspace", str(workspace.root)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    _, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors
    assert process.returncode in (0, 2), errors
    if process.returncode == 2:
        assert "is in use by another process (" in errors.splitlines()[-1], errors
        assert " pid " in errors
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("lag_s", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(
    "pair", ["build build", "simulate build", "train build", "train train", "forecast build"]
)
def test_pairs_end_as_one_after_the_other_or_say_who_is_at_work(whole, copy, tmp_path, pair, lag_s):
    config = tmp_path / "train.json"
    config.write_text(json.dumps({**TRAINING.to_json(), "name": "pair"}))
    out = tmp_path / "f.csv"
    commands = {
        "build": ["build-panel", "--rebuild"],
        "simulate": ["simulate", "--stocks", 8, "--sessions", 300, "--seed", 3],
        "train": ["train", "--config", config],
        "forecast": ["forecast", "--checkpoint", whole[1]["final"], "--all", "--out", out],
    }
    first, second = pair.split()
    processes = [start(copy, *commands[first])]
    time.sleep(lag_s)
    processes.append(start(copy, *commands[second]))
    codes = [end(process) for process in processes]
    assert 0 in codes
    for name, code in zip((first, second), codes, strict=True):
        assert code == 0 or name in ("build", "simulate")
    panel = Panel.open(copy)
    assert panel.fingerprint == Panel.open(whole[0]).fingerprint
    assert copy.panel_path.read_bytes() == whole[0].panel_path.read_bytes()
    trained = sorted(copy.output_dir.glob("pair_*_metrics.jsonl"))
    assert len(trained) == [first, second].count("train")
    for path in trained:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1]
    assert not list(copy.root.rglob("*.part"))
