"""What a job has told, as a person reads it in either language."""

import json
import re

import pytest

from financial_model.base.config import DoctorSettings, PanelSettings, SimulateSettings, TrainSettings
from financial_model.ui.story import MAX_LINES, StoryReader, line, story
from financial_model.ui.translations import Translate

EN, ZH = Translate("en"), Translate("zh")
CHINESE = re.compile("[一-鿿]")


@pytest.fixture
def make_job(workspace, make_jobs):
    jobs = make_jobs({})

    def make(command, settings, *events):
        job = jobs.start(command, settings)
        with open(job.folder / "events.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"time": 1000.0, **event}) + "\n" for event in events)
        return jobs.get(job.id)

    return make


STAGE = {"kind": "stage", "stage": "simulate", "message": "Drawing 80 stocks over 1100 sessions"}


def test_a_stage_is_told_in_the_language_of_the_page_with_its_figures(make_job):
    job = make_job("simulate", SimulateSettings())
    event = STAGE | {"stocks": 80, "sessions": 1100}
    assert line(ZH, job, event) == "生成练习行情：80 只，1,100 个交易日"
    assert line(EN, job, event) == "Drawing 80 stocks over 1100 sessions"
    assert line(ZH, job, STAGE) == "生成练习行情", "an event of an earlier version tells no figures"
    unknown = {"kind": "stage", "stage": "magic", "message": "Doing magic"}
    assert line(ZH, job, unknown) == "Doing magic"


def test_a_warning_an_epoch_and_a_check_are_told_in_the_language_of_the_page(make_job):
    job = make_job("train", TrainSettings())
    epoch = {"kind": "epoch", "epoch": 2, "epoch_count": 6, "valid_loss": 1.9, "valid_rank_ic": None}
    assert line(ZH, job, epoch) == "第 2/6 轮 · 验证损失 1.9000"
    warning = {"kind": "warning", "key": "no_amp", "message": "Mixed precision is left out."}
    assert CHINESE.search(line(ZH, job, warning))
    assert line(EN, job, warning) == "Mixed precision is left out."
    check = make_job("doctor", DoctorSettings())
    note = {"kind": "note", "key": "doctor", "check": "disk", "value": "1.0 GB free", "remedy": "free_disk"}
    assert line(ZH, check, note).startswith("检查结果，磁盘剩余：1.0 GB 可用。")
    assert line(ZH, check, {"kind": "stage", "stage": "gpu", "message": "checking gpu"}) == "检查：GPU"


def test_what_passes_by_is_left_out_and_what_is_torn_waits(make_job):
    job = make_job("simulate", SimulateSettings(), STAGE, {"kind": "progress", "done": 1})
    reader = StoryReader()
    assert [event["kind"] for event in reader.events(job)] == ["stage"]
    with open(job.folder / "events.jsonl", "a", encoding="utf-8") as file:
        file.write('{"kind": "result", "mess')
        file.flush()
        assert len(reader.events(job)) == 1
        file.write('age": ""}\n')
    told = story(ZH, job, reader.events(job))
    assert told.count("<li") == 2
    assert "已完成" in told


def test_a_long_story_is_bounded_and_one_that_is_gone_is_empty(make_job):
    job = make_job("build-panel", PanelSettings(), *[STAGE] * (MAX_LINES + 7))
    reader = StoryReader()
    assert len(reader.events(job)) == MAX_LINES
    (job.folder / "events.jsonl").unlink()
    assert reader.events(job) == []
    assert story(ZH, job, []) == ""


def test_what_comes_from_data_is_escaped(make_job):
    job = make_job("simulate", SimulateSettings())
    told = story(ZH, job, [{"kind": "checkpoint", "time": 1.0, "path": "<script>"}])
    assert "<script>" not in told
