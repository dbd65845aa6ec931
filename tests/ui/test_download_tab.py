"""Data Download: what its buttons do with the queue and with what stands in its fields."""

from financial_model.base.config import DownloadSettings, PanelSettings, TrainSettings
from financial_model.ui import actions
from financial_model.ui.tabs import download


def test_stop_takes_a_download_that_waits_out_of_the_queue_and_what_follows_it(make_jobs, wait, built):
    jobs = make_jobs({"sleep_s": 60}).open()
    heavy = jobs.start("train", TrainSettings())
    wait(lambda: jobs.get(heavy.id).state == "running")
    first, then = actions.load_market(jobs, "download", DownloadSettings())
    tab = built(download.build, jobs=jobs)
    assert tab.page.view("en").latest(*download.COMMANDS).id == first.id, "what is shown is what Stop stops"
    assert tab.press("download-stop", "en") == ""
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
