"""The run of a workflow: exit statuses, one clear line, one JSON object."""

import json

import pytest

from financial_model.base.errors import FinancialModelError, OutOfMemory, StopRequested

from .conftest import run


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
