"""Jobs as folders: queue, order, stop, what a new page finds, and what ends without a word."""

import json
import os
import signal
import time

import pytest

from financial_model.base.config import (
    DoctorSettings,
    DownloadSettings,
    EvaluateSettings,
    ImportSettings,
    ModelSettings,
    PanelSettings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from financial_model.base.errors import NoSuchJob, QueueFull
from financial_model.cli import app as shell
from financial_model.ui import processes
from financial_model.ui.command_line import command_line
from financial_model.ui.jobs import JOB_ID, MAX_WAITING, Jobs


def state_of(jobs, job):
    return jobs.get(job.id).state


def test_a_job_runs_in_a_process_of_its_own_and_leaves_its_result(make_jobs, wait):
    jobs = make_jobs({"word": "the child"}).open()
    job = jobs.start("simulate", SimulateSettings(stocks=7))
    wait(lambda: state_of(jobs, job) == "done")
    ended = jobs.get(job.id)
    assert JOB_ID.fullmatch(job.id)
    assert ended.result() == {"stocks": 3}
    assert ended.log_tail() == "hello from the child"
    assert ended.settings["stocks"] == 7
    assert ended.pid != os.getpid()


def test_heavy_jobs_wait_for_each_other_in_the_order_they_came(make_jobs, wait):
    jobs = make_jobs({"sleep_s": 60}).open()
    first = jobs.start("train", TrainSettings(name="a"))
    second = jobs.start("train", TrainSettings(name="b"))
    wait(lambda: state_of(jobs, first) == "running")
    assert state_of(jobs, second) == "queued"
    for job in (first, second):
        (job.folder / "finish").touch()
    wait(lambda: state_of(jobs, second) == "done")
    one, two = jobs.get(first.id), jobs.get(second.id)
    assert first.id < second.id
    assert two.started_at >= one.ended_at - 0.1


def test_a_light_job_runs_beside_a_heavy_one(make_jobs, wait):
    jobs = make_jobs(train={"sleep_s": 60}, doctor={}).open()
    heavy = jobs.start("train", TrainSettings())
    wait(lambda: state_of(jobs, heavy) == "running")
    light = jobs.start("doctor", DoctorSettings(skip_servers=True))
    wait(lambda: state_of(jobs, light) == "done")
    assert state_of(jobs, heavy) == "running"


def test_what_waits_for_a_job_that_failed_never_starts(make_jobs, wait):
    jobs = make_jobs(download={"end": "error"}).open()
    first = jobs.start("download", DownloadSettings())
    then = jobs.start("build-panel", PanelSettings(), after=first.id)
    wait(lambda: state_of(jobs, first) == "failed")
    assert state_of(jobs, then) == "stopped"
    assert jobs.get(first.id).trail.end["error"] == "NoPanel"
    jobs.advance()
    assert jobs.get(then.id).started_at is None


def test_a_stop_is_asked_for_and_the_job_says_where_it_saved(make_jobs, wait):
    jobs = make_jobs({"sleep_s": 30}).open()
    job = jobs.start("train", TrainSettings())
    wait(lambda: state_of(jobs, job) == "running")
    assert jobs.stop(job.id).state in ("stopping", "stopped")
    wait(lambda: state_of(jobs, job) == "stopped")
    assert jobs.get(job.id).trail.end["fields"]["saved"] == "output/x_final.pt"


def test_a_waiting_job_that_is_stopped_never_starts(make_jobs, wait):
    jobs = make_jobs({"sleep_s": 30}).open()
    running = jobs.start("train", TrainSettings())
    waiting = jobs.start("train", TrainSettings())
    wait(lambda: state_of(jobs, running) == "running")
    assert jobs.stop(waiting.id).state == "stopped"


def test_a_job_that_does_not_hear_can_be_ended_at_once(make_jobs, wait):
    jobs = make_jobs({"sleep_s": 60, "deaf": True}).open()
    job = jobs.start("train", TrainSettings())
    wait(lambda: state_of(jobs, job) == "running")
    jobs.stop(job.id)
    assert state_of(jobs, job) == "stopping"
    jobs.stop(job.id, at_once=True)
    wait(lambda: state_of(jobs, job) == "stopped")


def test_a_job_told_to_end_at_once_while_it_is_being_started_ends(make_jobs, wait, monkeypatch):
    """Between the two records of a start it counts as running and nobody else knows its pid."""
    jobs = make_jobs({"sleep_s": 600, "deaf": True})
    job = jobs.start("train", TrainSettings())
    spawn = processes.spawn

    def stopped_meanwhile(*arguments):
        child = spawn(*arguments)
        jobs.stop(job.id, at_once=True)
        return child

    monkeypatch.setattr(processes, "spawn", stopped_meanwhile)
    jobs.advance()
    wait(lambda: state_of(jobs, job) == "stopped")


def test_a_job_outlives_the_page_and_a_new_page_finds_it(make_jobs, wait):
    plan = {"sleep_s": 60, "events": [{"kind": "progress", "done": 5, "total": 10, "unit": "stocks"}]}
    old = make_jobs(plan).open()
    job = old.start("download", DownloadSettings())
    wait(lambda: state_of(old, job) == "running")
    old.close()
    new = make_jobs(like=old)
    wait(lambda: new.get(job.id).trail.progress.get("done") == 5)
    found = new.get(job.id)
    assert found.state == "running"
    assert found.share() == 0.5
    (job.folder / "finish").touch()
    old._children[job.id].wait(timeout=30)  # the parent of this test reaps it; a real page has ended by now
    wait(lambda: new.get(job.id).state == "done")


def test_what_waits_is_started_by_the_next_page(make_jobs, wait):
    closed = make_jobs()
    job = closed.start("simulate", SimulateSettings())
    assert state_of(closed, job) == "queued"
    later = make_jobs(like=closed).open()
    wait(lambda: state_of(later, job) == "done")


def test_a_job_that_was_killed_is_lost_and_shows_its_last_lines(make_jobs, wait):
    jobs = make_jobs({"sleep_s": 60, "word": "the lost one"}).open()
    job = jobs.start("train", TrainSettings())
    wait(lambda: jobs.get(job.id).log_tail() != "" and jobs.get(job.id).pid is not None)
    os.kill(jobs.get(job.id).pid, signal.SIGKILL)
    wait(lambda: state_of(jobs, job) == "lost")
    assert "the lost one" in jobs.get(job.id).log_tail()


def test_a_process_that_ends_without_a_word_is_lost(make_jobs, wait):
    jobs = make_jobs({"end": "silence"}).open()
    job = jobs.start("train", TrainSettings())
    wait(lambda: state_of(jobs, job) == "lost")
    assert jobs.get(job.id).exit_code == 1


def test_a_stranger_with_the_same_number_is_not_the_job(make_jobs, wait):
    jobs = make_jobs({"sleep_s": 60})
    job = jobs.start("train", TrainSettings())
    record = {"pid": os.getpid(), "identity": "another start", "started_at": time.time()}
    (job.folder / "process.json").write_text(json.dumps(record), encoding="utf-8")
    assert state_of(jobs, job) == "lost"
    processes.end_at_once(os.getpid(), "another start")  # and is left alone: this test goes on
    assert processes.identity(os.getpid()) is not None


def test_a_command_that_cannot_be_started_fails_with_its_reason(workspace, wait):
    workspace.root.mkdir()
    jobs = Jobs(workspace, lambda job: ["/nonexistent/python"]).open()
    try:
        job = jobs.start("simulate", SimulateSettings())
        wait(lambda: state_of(jobs, job) == "failed")
        assert "could not be started" in jobs.get(job.id).trail.end["message"]
    finally:
        jobs.close()


def test_two_pages_on_one_workspace_start_a_job_once(make_jobs, wait):
    first = make_jobs({"sleep_s": 0.3}).open()
    make_jobs(like=first).open()
    for _ in range(3):
        job = first.start("train", TrainSettings())
    wait(lambda: state_of(first, job) == "done")
    for done in first.all():
        assert done.log_tail().count("hello") == 1


def test_the_queue_is_bounded(make_jobs):
    jobs = make_jobs()
    for _ in range(MAX_WAITING):
        jobs.start("train", TrainSettings())
    with pytest.raises(QueueFull):
        jobs.start("train", TrainSettings())


@pytest.mark.parametrize("name", ["", "../../etc", "20180101_120000_train_zzzz", "x" * 3000, "\0"])
def test_a_job_that_is_not_there_is_an_error_of_ours(make_jobs, name):
    with pytest.raises(NoSuchJob):
        make_jobs().get(name)


def test_a_folder_named_after_no_date_keeps_no_new_job_from_starting(make_jobs, workspace):
    jobs = make_jobs()
    strange = workspace.jobs_dir / "99991399_999999_train_abcd"
    old = jobs.start("train", TrainSettings())
    old.folder.rename(strange)
    assert jobs.start("train", TrainSettings()).state == "queued"
    assert len(jobs.all()) == 2


def test_a_log_that_grew_too_long_keeps_its_end(make_jobs, monkeypatch):
    from financial_model.ui import jobs as module

    monkeypatch.setattr(module, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(module, "KEPT_LOG_BYTES", 300)
    jobs = make_jobs()
    job = jobs.start("train", TrainSettings())
    path = job.folder / "log.txt"
    path.write_text("\n".join(f"line {i}" for i in range(500)), encoding="utf-8")
    module._bound_log(path)
    assert path.stat().st_size < 400
    assert jobs.get(job.id).log_tail().endswith("line 499")


SETTINGS = [
    ("simulate", SimulateSettings(stocks=20, signal=0.2)),
    (
        "download",
        DownloadSettings(stocks=300, servers=("a.example:7709", "b.example:7709"), retry_failed=True),
    ),
    ("download", DownloadSettings(codes=("SH600519", "SZ000001"))),
    ("import", ImportSettings(path="/a folder/with spaces", max_stocks=3)),
    ("build-panel", PanelSettings(rebuild=True)),
    (
        "train",
        TrainSettings(
            name="x",
            epochs=2,
            model=ModelSettings(model="lstm", hidden_size=64, heads=1),
            mixed_precision=True,
            compile=True,
            max_stocks=10,
        ),
    ),
    ("train", TrainSettings(mode="industry", industry="finance", loss="ic")),
    ("train", TrainSettings(holding=5, model=ModelSettings(style_embedding=8, with_conditions=False))),
    ("evaluate", EvaluateSettings(checkpoints=("output/a_best.pt", "output/b_best.pt"), baselines=False)),
    (
        "walk-forward",
        WalkForwardSettings(
            train=TrainSettings(name="x", epochs=2, model=ModelSettings(hidden_size=64)),
            folds=2,
            baselines=False,
        ),
    ),
]


@pytest.mark.parametrize(
    ("command", "settings"), SETTINGS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_command_line_that_is_shown_means_the_same_settings(command, settings, monkeypatch):
    import shlex

    from financial_model.cli import commands

    seen = []
    monkeypatch.setattr(commands, "run", lambda target, settings, *_: seen.append(settings))
    words = shlex.split(command_line(command, settings))
    assert words[:3] == ["python", "-m", "financial_model"]
    shell(words[3:], standalone_mode=False)
    assert seen == [settings]


def test_a_job_is_handed_what_was_asked_for_and_no_more(make_jobs):
    """All settings would count as asked for: a run that is resumed refuses those it has otherwise."""
    asked = {"resume": "output/a_best.pt", "epochs": 4, "model": {"heads": 4}}
    job = make_jobs("work").start("train", TrainSettings.from_json(asked))
    assert json.loads((job.folder / "input.json").read_text()) == asked
    assert job.settings == TrainSettings.from_json(asked).to_json()


def test_settings_that_only_a_file_can_say_are_not_left_out_silently():
    line = command_line("train", TrainSettings(weight_decay=0.1))
    assert line.endswith("--config settings.json")
