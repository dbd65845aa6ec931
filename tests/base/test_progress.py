"""Events: what a workflow tells, and the stop file that it asks."""

import io
import json

import pytest

from financial_model.base.errors import StopRequested
from financial_model.base.progress import EVENT_FILE, STOP_FILE, JobFolder, Progress, TerminalSink


def test_a_job_folder_holds_one_json_line_an_event(tmp_path):
    folder = JobFolder(tmp_path / "job")
    progress = Progress(folder, stop=folder.is_stop_requested)
    progress.emit("progress", done=1, total=2, unit="只", detail="SH600519")
    progress.warn("a volume in lots")
    folder.close()
    events = [json.loads(line) for line in (tmp_path / "job" / EVENT_FILE).read_text("utf-8").splitlines()]
    assert [event["kind"] for event in events] == ["progress", "warning"]
    assert events[0]["unit"] == "只"


def test_the_stop_file_stops(tmp_path):
    folder = JobFolder(tmp_path)
    progress = Progress(folder, stop=folder.is_stop_requested)
    progress.check_stop("nothing yet")
    (tmp_path / STOP_FILE).touch()
    with pytest.raises(StopRequested, match="saved in a"):
        progress.check_stop("saved in a")
    folder.close()


def test_the_terminal_shows_epochs_and_skips_most_steps():
    stream = io.StringIO()
    progress = Progress(TerminalSink(stream))
    for step in range(100):
        progress.emit("step", epoch=1, epoch_count=2, step=step, step_count=100, loss=1.0, samples_per_s=10.0)
    progress.emit("epoch", epoch=1, epoch_count=2, train_loss=1.0, valid_rank_ic=0.05)
    lines = stream.getvalue().splitlines()
    assert len(lines) < 5
    assert "RankIC +0.0500" in lines[-1]
