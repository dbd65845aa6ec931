"""Data Download: what its buttons do with the queue and with what stands in its fields."""

from datetime import date

import pytest

from financial_model.base.config import DownloadSettings, PanelSettings, TrainSettings
from financial_model.base.workspace import write_json
from financial_model.ui import actions
from financial_model.ui.tabs import download


def test_stop_takes_a_download_that_waits_out_of_the_queue_and_what_follows_it(make_jobs, wait, built):
    jobs = make_jobs({"sleep_s": 60}).open()
    heavy = jobs.start("train", TrainSettings())
    wait(lambda: jobs.get(heavy.id).state == "running")
    first, then = actions.load_market(jobs, "download", DownloadSettings())
    tab = built(download.build, jobs=jobs)
    assert tab.page.view("en").latest(*download.COMMANDS).id == first.id, "what is shown is what Stop stops"
    assert "Taken out of the queue" in tab.press("download-stop", "en")
    assert [jobs.get(job.id).state for job in (heavy, first, then)] == ["running", "stopped", "stopped"]


def test_stop_takes_what_runs_before_what_waits(make_jobs, wait, built):
    jobs = make_jobs({"sleep_s": 60}).open()
    first, then = actions.load_market(jobs, "download", DownloadSettings())
    other = jobs.start("build-panel", PanelSettings())
    wait(lambda: jobs.get(first.id).state == "running")
    built(download.build, jobs=jobs).press("download-stop", "en")
    wait(lambda: jobs.get(first.id).state == "stopped")
    assert jobs.get(then.id).state == "stopped"
    assert jobs.get(other.id).state in ("queued", "running")


def held(since, source="tdx"):
    return {"first": since, "last": "2024-12-31", "count": 9, "source": source, "asked_from": since}


def test_to_start_a_download_again_is_an_update_of_what_is_here(built, workspace):
    tab = built(download.build)
    assert download.last_asked(tab.page.view("en")) == (100, "1999-01-01", "")
    codes = {f"SH60000{n}": held("2015-01-01") for n in range(8)} | {"SH600008": held("2020-01-02")}
    codes["SZ000001"] = {"first": "2001-01-02", "last": "2024-12-31", "count": 9, "source": "csv"}
    write_json(workspace.metadata_path, {"codes": codes, "choice": {"stocks": 8}})
    assert download.last_asked(tab.page.view("en")) == (8, "2015-01-01", "")


@pytest.mark.parametrize(
    "metadata", [[], {"codes": 3}, {"codes": {"a": 1, "b": {"asked_from": 7}}, "choice": []}]
)
def test_metadata_that_are_torn_ask_for_the_defaults(built, workspace, metadata):
    write_json(workspace.metadata_path, metadata)
    assert download.last_asked(built().page.view("en")) == (100, "1999-01-01", "")


def test_both_doors_begin_where_their_help_says(built):
    tab = built(download.build)
    starts = [one for one in tab.demo.blocks.values() if getattr(one, "label", "") == "Start date"]
    assert [one.value for one in starts] == [DownloadSettings().start.isoformat()] * 2
    assert all(one.value in one.info for one in starts)


def test_a_download_that_runs_shows_what_it_was_asked_for(make_jobs, built):
    jobs = make_jobs()
    tab = built(download.build, jobs=jobs)
    asked = DownloadSettings(stocks=7, start=date(2012, 3, 1), codes=("SH600519", "SZ000001"))
    actions.load_market(jobs, "download", asked)
    view = tab.page.view("en")
    (part,) = (one for one in tab.page.parts(["download"]) if one.inputs)
    told = part.render(view, "download")
    shown = {getattr(one, "label", ""): update for one, update in zip(part.outputs, told, strict=True)}
    values = [shown[name]["value"] for name in ("Start date", "Stock codes (optional)")]
    assert values == ["2012-03-01", "SH600519, SZ000001"]
