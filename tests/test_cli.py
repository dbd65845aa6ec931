"""The command line: exit statuses, one clear line, one JSON object."""

import json
import sys
import types

import pytest

from financial_model import cli
from financial_model.base.errors import FinancialModelError, OutOfMemory, StopRequested


@pytest.fixture
def workflow(monkeypatch):
    """Put a function of the test's own in the place of `workflows.simulate.simulate`."""

    def replace(function):
        module = types.ModuleType("financial_model.workflows.simulate")
        module.simulate = function
        monkeypatch.setitem(sys.modules, "financial_model.workflows.simulate", module)

    return replace


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leave:
        cli.main([*arguments])
    return leave.value.code


def test_settings_and_workspace_reach_the_workflow(workflow, tmp_path, capsys):
    seen = {}

    def simulate(settings, workspace, progress):
        seen.update(settings=settings, root=workspace.root)
        return {"message": "done", "stocks": settings.stocks}

    workflow(simulate)
    assert run("simulate", "--stocks", "12", "--workspace", str(tmp_path), "--json") == 0
    assert seen["settings"].stocks == 12
    assert seen["root"] == tmp_path.resolve()
    assert json.loads(capsys.readouterr().out) == {"message": "done", "stocks": 12}


def test_options_win_over_the_config_file(workflow, tmp_path):
    seen = []
    workflow(lambda settings, workspace, progress: seen.append(settings) or {})
    config = tmp_path / "s.json"
    config.write_text('{"stocks": 50, "seed": 9}')
    assert run("simulate", "--config", str(config), "--stocks", "12") == 0
    assert (seen[0].stocks, seen[0].seed) == (12, 9)


def test_a_walk_forward_takes_the_options_of_its_trainings_over_those_of_the_file(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(cli, "_run", lambda target, settings, *_: seen.append(settings))
    config = tmp_path / "s.json"
    config.write_text('{"train": {"epochs": 3, "model": {"hidden_size": 64, "layers": 1}}, "folds": 2}')
    assert run("walk-forward", "--config", str(config), "--epochs", "5", "--layers", "3") == 0
    train = seen[0].train
    assert (seen[0].folds, train.epochs, train.model.hidden_size, train.model.layers) == (2, 5, 64, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--stocks", "many"],
        ["simulate", "--stocks", "-3"],
        ["simulate", "--unheard-of"],
        ["unheard-of"],
        ["import"],
        ["train", "--heads", "7"],
        ["train", "--train-end", "yesterday"],
        ["train", "--loss", "hope"],
        ["simulate", "--config", "missing.json"],
    ],
)
def test_bad_usage_is_one_line_and_status_two(arguments, capsys):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--workspace", "--job"])
def test_a_file_where_a_folder_is_asked_for_is_one_line_and_status_two(option, tmp_path, capsys):
    stone = tmp_path / "stone"
    stone.write_text("x")
    assert run("simulate", "--stocks", "5", "--sessions", "300", option, str(stone)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "stone" in captured.err


def test_bad_input_is_told_as_text_and_as_json(workflow, capsys):
    def simulate(settings, workspace, progress):
        raise FinancialModelError("SH600000.csv has no column 'close'.", file="SH600000.csv")

    workflow(simulate)
    assert run("simulate", "--json") == 2
    captured = capsys.readouterr()
    assert captured.err == "error: SH600000.csv has no column 'close'.\n"
    assert json.loads(captured.out)["fields"] == {"file": "SH600000.csv"}


def test_a_stop_is_status_130(workflow, capsys):
    def simulate(settings, workspace, progress):
        raise StopRequested("Nothing was written.")

    workflow(simulate)
    assert run("simulate") == 130
    workflow(lambda *_: {"stopped": True, "message": "saved"})
    assert run("simulate") == 130


def test_a_job_folder_gets_the_result_and_its_stop_file_is_asked(workflow, tmp_path):
    job = tmp_path / "jobs" / "1"

    def simulate(settings, workspace, progress):
        progress.stage("simulate")
        before = progress.is_stop_requested()
        (job / "stop").touch()
        return {"before": before, "after": progress.is_stop_requested()}

    workflow(simulate)
    assert run("simulate", "--job", str(job)) == 0
    assert json.loads((job / "result.json").read_text("utf-8")) == {"before": False, "after": True}
    kinds = [json.loads(line)["kind"] for line in (job / "events.jsonl").read_text("utf-8").splitlines()]
    assert kinds == ["stage", "result"]


def test_a_fault_of_ours_is_status_one_with_its_trace_and_an_event(workflow, tmp_path, capsys):
    workflow(lambda *_: 1 / 0)
    assert run("simulate", "--job", str(tmp_path)) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    last = json.loads((tmp_path / "events.jsonl").read_text("utf-8").splitlines()[-1])
    assert (last["kind"], last["error"]) == ("error", "InternalError")


def test_a_pattern_finds_the_newest_checkpoint_in_the_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "w" / "output"
    output.mkdir(parents=True)
    for day, name in enumerate(["first_20240101_000000_best.pt", "first_20240102_000000_best.pt"]):
        (output / name).touch()
        import os

        os.utime(output / name, (day, day))
    found = cli._newest_match("output/first_*_best.pt", tmp_path / "w")
    assert found == str(output / "first_20240102_000000_best.pt")


def test_a_person_reads_few_digits_and_a_program_all(capsys):
    result = {"message": "Done.", "headline": {"en": "Done."}, "cost": 37981.2776491625, "share": 1 / 3}
    cli._tell(result, as_json=False)
    assert capsys.readouterr().out == "Done.\n  cost: 37,981\n  share: 0.333333\n"
    cli._tell(result, as_json=True)
    assert json.loads(capsys.readouterr().out) == result


def test_a_ranking_is_shown_best_first_and_says_where_the_rest_is(capsys):
    rows = [{"rank": k + 1, "code": f"SH60000{k % 10}", "name": "浦发银行", "score": 0.5} for k in range(25)]
    cli._tell({"ranking": rows}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "code", "name", "score"]
    assert lines[1].split() == ["1", "SH600000", "浦发银行", "0.5"]
    assert len(lines) == 22
    assert lines[-1].strip().startswith("and 5 more")


@pytest.mark.parametrize(
    ("raised", "status"), [(FinancialModelError("no panel"), 2), (StopRequested("asked"), 130), (None, 0)]
)
def test_one_process_of_several_tells_how_it_ended(workflow, monkeypatch, capsys, raised, status):
    def simulate(settings, workspace, progress):
        if raised is not None:
            raise raised
        return {"message": "done"}

    workflow(simulate)
    objects = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert run("simulate", "--json") == status
        told = capsys.readouterr()
        objects += told.out.splitlines()
        assert (told.err == "") if rank == "1" else (("error: no panel" in told.err) == (status == 2))
    assert len(objects) == 1
    for wrong in (["simulate", "--stocks", "0", "--json"], ["simulate", "--nonsense"]):
        assert run(*wrong) == 2
        assert capsys.readouterr() == ("", "")


def test_what_one_process_of_several_meets_alone_it_says_itself(workflow, monkeypatch, capsys):
    def simulate(settings, workspace, progress):
        raise OutOfMemory("cuda:1", 96, "Try --batch-size 48.")

    workflow(simulate)
    monkeypatch.setenv("RANK", "1")
    assert run("simulate", "--json") == 2
    told = capsys.readouterr()
    assert (told.out, "--batch-size 48" in told.err) == ("", True)


def test_a_forecast_of_named_stocks_and_of_all_is_refused(capsys):
    assert run("forecast", "--checkpoint", "a.pt", "--codes", "SH600000", "--all") == 2
    assert "one or the other" in capsys.readouterr().err
    assert run("forecast", "--checkpoint", "a.pt", "--codes", "SH600000", "--bars", "mine.csv") == 2
    assert "one or the other" in capsys.readouterr().err
