"""Killed at random moments, a command that is given again ends as if nothing had happened.

Import and download have their own such tests (tests/workflows), with twenty kills and more behind --slow; the
long form here, twenty kills a trip, is run with --slow too.
"""

import json
import multiprocessing
import os
import random
import shutil
import time

import pytest
import torch

from financial_model import cli
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.models.checkpoint import load_checkpoint
from financial_model.ui.jobs import Jobs
from financial_model.ui.runs import RunReader

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
kills = pytest.mark.parametrize("wanted", [3, pytest.param(20, marks=pytest.mark.slow)])
MODULES = ["train_model", "build_panel", "evaluate_model", "forecast_stock"]


@pytest.fixture(scope="module")
def spawn():
    """Run the command line in a process that has everything imported, so that a kill falls into the work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"financial_model.workflows.{name}" for name in MODULES])

    def start(*arguments):
        process = context.Process(target=quietly, args=([str(one) for one in arguments],))
        process.start()
        return process

    start("--help").join()
    return start


def quietly(arguments):
    torch.set_num_threads(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    cli.main(arguments)


def run(spawn, *arguments):
    """The seconds that an undisturbed run took."""
    begun = time.monotonic()
    process = spawn(*arguments)
    process.join(300)
    assert process.exitcode == 0
    return time.monotonic() - begun


def kill_some(spawn, command, seconds, wanted, seed, check):
    """Kill runs of a command at seeded moments until `wanted` were; `check` looks after each."""
    dice = random.Random(seed)
    killed = 0
    while killed < wanted:
        process = spawn(*command())
        process.join(dice.random() * seconds)
        if process.exitcode is None:
            process.kill()
            killed += 1
        process.join(60)
        check()


@kills
def test_a_panel(spawn, whole, copy, wanted):
    expected = whole[0].panel_path.read_bytes()
    command = ["build-panel", "--rebuild", "--workspace", copy.root]
    seconds = run(spawn, *command)

    def check():
        panel = Panel.open(copy)  # there is always a whole one
        assert panel.fingerprint == Panel.open(whole[0]).fingerprint
        del panel

    kill_some(spawn, lambda: command, seconds, wanted, seed=1, check=check)
    run(spawn, *command)
    assert copy.panel_path.read_bytes() == expected
    assert not list(copy.cache_dir.glob(".*.part"))


@kills
@pytest.mark.parametrize("trip", ["forecast", "evaluate"])
def test_a_result_file(spawn, whole, copy, wanted, trip):
    checkpoint = whole[1]["final"]
    out = copy.output_dir / {"forecast": "f.csv", "evaluate": "e.html"}[trip]
    made = out if trip == "forecast" else out.with_suffix(".json")
    range_ = ["--from", str(Panel.open(copy).sessions[-30])] if trip == "forecast" else []
    command = [trip, "--checkpoint", checkpoint, "--workspace", copy.root, "--out", out, *range_]
    command += ["--all"] if trip == "forecast" else ["--no-baselines"]
    seconds = run(spawn, *command)
    expected = made.read_bytes()
    out.unlink()
    made.unlink(missing_ok=True)

    def check():
        assert not made.exists() or made.read_bytes() == expected

    kill_some(spawn, lambda: command, seconds, wanted, seed=2, check=check)
    run(spawn, *command)
    assert made.read_bytes() == expected


@kills
def test_a_training(spawn, whole, tmp_path, wanted):
    """Killed, resumed from its last checkpoint, killed again: the weights of a run that nobody disturbed."""
    shutil.copytree(whole[0].root, tmp_path / "straight", ignore=shutil.ignore_patterns("output"))
    shutil.copytree(tmp_path / "straight", tmp_path / "cut")
    cut = Workspace(tmp_path / "cut")
    config = tmp_path / "train.json"
    settings = json.loads(next(whole[0].output_dir.glob("*_run.json")).read_text())["settings"]
    settings |= {"epochs": 6, "save_interval": 1, "patience": 100, "batch_size": 128}
    config.write_text(json.dumps(settings))
    job = cut.jobs_dir / "20200102_000000_train_abcd"
    seconds = run(spawn, "train", "--config", config, "--workspace", tmp_path / "straight")

    def newest():
        found = list(cut.output_dir.glob("*_epoch*.pt"))
        order = [int(path.stem.rpartition("epoch")[2]) for path in found]
        return max(zip(order, found, strict=True))[1] if found else None

    def command():
        begun = ["--config", config] if newest() is None else ["--resume", newest().relative_to(cut.root)]
        return ["train", *begun, "--workspace", cut.root, "--job", job]

    def check():
        for path in cut.output_dir.glob("*.pt"):
            load_checkpoint(path)  # whatever bears the name is whole
        for path in cut.output_dir.glob("*_run.json"):
            json.loads(path.read_text())
        jobs = Jobs(cut)
        jobs.all()
        RunReader(cut).all([])
        if list(cut.output_dir.glob("*_final.pt")):
            shutil.rmtree(cut.output_dir)  # it ended before its kill: once more from the start

    kill_some(spawn, command, seconds, wanted, seed=3, check=check)
    run(spawn, *command())
    finals = [next(w.output_dir.glob("*_final.pt")) for w in (Workspace(tmp_path / "straight"), cut)]
    one, other = (load_checkpoint(path) for path in finals)
    for name, weights in one.members[0].items():
        assert torch.equal(weights, other.members[0][name]), name
    history = [[epoch["train_loss"] for epoch in c.metrics["history"]] for c in (one, other)]
    assert history[0] == history[1]
    # A run that was killed before its first checkpoint has left its own metrics beside these.
    metrics = finals[1].with_name(finals[1].name.replace("_final.pt", "_metrics.jsonl"))
    lines = metrics.read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines if '"kind": "epoch"' in line] == [1, 2, 3, 4, 5, 6]


def test_a_forecast_is_the_same_in_another_process(spawn, whole, tmp_path):
    outs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for out, path in zip(outs, (whole[1]["final"], tmp_path / "again.pt"), strict=True):
        if out is outs[1]:
            from financial_model.models.checkpoint import save_checkpoint

            save_checkpoint(path, load_checkpoint(whole[0].inside(whole[1]["final"])))
        run(spawn, "forecast", "--checkpoint", path, "--workspace", whole[0].root, "--all", "--out", out)
    assert outs[0].read_bytes() == outs[1].read_bytes()


@pytest.mark.parametrize("command", [["build-panel"], ["import", "csv"]])
def test_a_second_writer_is_told_who_holds_the_workspace(copy, capsys, tmp_path, command):
    from financial_model.base.workspace import locked

    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "SH600000.csv").write_text(
        "date,open,high,low,close,volume\n2018-06-29,1,1,1,1,100\n"
    )
    arguments = [command[0], *(str(tmp_path / name) for name in command[1:]), "--workspace", str(copy.root)]
    folder = copy.cache_dir if command == ["build-panel"] else copy.stock_data_dir
    [lock] = folder.glob(".*lock*") or [folder / ".lock"]
    before = copy.panel_path.read_bytes(), copy.metadata_path.read_bytes()
    with locked(lock, "the download of another window", "x"), pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert "the download of another window" in capsys.readouterr().err
    assert before == (copy.panel_path.read_bytes(), copy.metadata_path.read_bytes())
