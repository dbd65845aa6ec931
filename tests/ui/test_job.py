import json
import os
import time

import pytest

from financial_model.base.config import TrainSettings
from financial_model.ui.job import _read_curves, tail


def told(epochs):
    return [{"kind": "epoch", "time": 1.0, "epoch": epoch, "train_loss": 2.0} for epoch in epochs]


def write(job, events):
    (job.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def test_an_ended_job_lets_its_curves_go_and_reads_them_again_where_asked(make_jobs):
    jobs = make_jobs()
    job = jobs.start("train", TrainSettings())
    events = told(range(1, 6))
    write(job, events[:3])
    assert jobs.get(job.id).live is not None
    assert jobs.get(job.id).curves.epochs == events[:3]
    write(job, [*events, {"kind": "result", "time": 2.0}])
    (job.folder / "process.json").write_text(json.dumps({"pid": 1, "started_at": 1.0, "exit_code": 0}))
    ended = jobs.get(job.id)
    assert (ended.state, ended.live, ended.trail.has_epochs) == ("done", None, True)
    assert ended.curves.epochs == events
    assert jobs.get(job.id).curves is ended.curves  # parsed once
    _read_curves.cache_clear()
    assert jobs.get(job.id).curves.epochs == events
    (job.folder / "events.jsonl").unlink()
    assert jobs.get(job.id).curves.epochs == []


def test_torn_and_foreign_lines_of_events_are_passed_over(make_jobs):
    jobs = make_jobs()
    job = jobs.start("train", TrainSettings())
    good = json.dumps({"kind": "epoch", "time": 1.0, "epoch": 1, "train_loss": 2.0})
    lines = [b"not json", b"[1, 2]", b"\xff\xfe", good.encode(), b"[" * 100_000, b'{"kind": "epoch", "tor']
    (job.folder / "events.jsonl").write_bytes(b"\n".join(lines))
    assert len(jobs.get(job.id).curves.epochs) == 1
    with open(job.folder / "events.jsonl", "ab") as file:
        file.write(b'n": 1, "time": 2.0}\n')
    assert len(jobs.get(job.id).curves.epochs) == 2


def test_a_line_of_events_that_is_too_long_hides_none_that_follow(make_jobs, monkeypatch):
    from financial_model.ui import job as module

    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    jobs = make_jobs()
    job = jobs.start("train", TrainSettings())
    epoch = {"kind": "epoch", "time": 1.0, "epoch": 1, "train_loss": 2.0}
    long = {"kind": "note", "message": "x" * 5000}
    (job.folder / "events.jsonl").write_text(json.dumps(long) + "\n" + json.dumps(epoch) + "\n")
    assert jobs.get(job.id).curves.epochs == [epoch]


@pytest.mark.parametrize("text", ["", '{"pid": 12', "[]", '"pid"'])
def test_a_torn_record_of_a_process_is_none_and_hides_no_job(make_jobs, text):
    jobs = make_jobs()
    torn, other = (jobs.start("train", TrainSettings()) for _ in range(2))
    (torn.folder / "process.json").write_text(text)
    assert {job.id: job.state for job in jobs.all()} == {torn.id: "queued", other.id: "queued"}


def test_a_job_whose_process_was_never_identified_is_lost_and_does_not_run_for_ever(make_jobs):
    jobs = make_jobs()
    job = jobs.start("train", TrainSettings())
    process = {"pid": os.getpid(), "identity": None, "started_at": time.time()}
    (job.folder / "process.json").write_text(json.dumps(process))
    assert jobs.get(job.id).state == "lost"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"command": "rm -rf"}', '{"command": "train", "settings": 3}']
)
def test_a_folder_without_proper_settings_is_no_job(make_jobs, workspace, text):
    jobs = make_jobs()
    folder = workspace.jobs_dir / "20180101_120000_train_abcd"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(text, encoding="utf-8")
    assert jobs.all() == []


def test_the_log_shows_a_rewritten_line_as_it_was_last(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"begin\n\r\x1b[K10 %\r\x1b[K20 %\nend\n")
    assert tail(path, 1000) == "begin\n20 %\nend"
