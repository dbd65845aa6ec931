"""What is shown of jobs at a moment: which of them, for whom it waits, and what its button says."""

import pytest

from financial_model.base.config import PanelSettings, SimulateSettings, TrainSettings
from financial_model.ui import actions, widgets
from financial_model.ui.frame import Page
from financial_model.ui.translations import Translate


@pytest.fixture
def page(workspace, make_jobs):
    return Page(workspace, make_jobs({"sleep_s": 60}), Translate("en"))


def start_and_wait(page, wait, name="long"):
    running = page.jobs.start("train", TrainSettings(name=name))
    page.jobs.advance()
    wait(lambda: page.jobs.get(running.id).state == "running")
    return running


def test_a_waiting_job_says_for_whom_it_waits_and_how_many_more(page, wait):
    running = start_and_wait(page, wait)
    first = page.jobs.start("simulate", SimulateSettings())
    second = page.jobs.start("build-panel", PanelSettings(), after=first.id)
    view = page.view("en")
    assert [job.id for job in view.ahead(page.jobs.get(first.id))] == [running.id]
    assert [job.id for job in view.ahead(page.jobs.get(second.id))] == [running.id, first.id]
    assert view.ahead(page.jobs.get(running.id)) == []
    told = widgets.job_message(view.t, page.jobs.get(first.id), view.ahead(page.jobs.get(first.id)))
    assert "waits for training long, then" in told
    assert 'data-open-tab="multi"' in told
    told = widgets.job_message(
        Translate("zh"), page.jobs.get(second.id), view.ahead(page.jobs.get(second.id))
    )
    assert "“训练 long”和另外 1 个任务" in told


def test_the_next_in_the_queue_is_shown_and_is_what_its_button_takes_out(page, wait):
    start_and_wait(page, wait)
    first = page.jobs.start("simulate", SimulateSettings())
    page.jobs.start("build-panel", PanelSettings(), after=first.id)
    view = page.view("en")
    shown = view.latest("simulate", "build-panel")
    assert shown.id == first.id
    assert widgets.stop_text(view.t, view.ahead(shown), "train.stop") == "Remove from Queue"
    told = actions.stop_at_work("en", page.jobs, lambda job: job.command in ("simulate", "build-panel"))
    assert "Taken out of the queue" in told
    view = page.view("en")
    assert view.latest("simulate", "build-panel") is None, (
        "what never ran says nothing, nor what waited for it"
    )
    assert view.queued == []


def test_what_runs_is_stopped_not_taken_out_of_a_queue(page, wait):
    running = start_and_wait(page, wait)
    view = page.view("en")
    shown = view.latest("train")
    assert shown.id == running.id
    assert widgets.stop_text(view.t, view.ahead(shown), "train.stop") == "Stop and Save"
    assert actions.stop_at_work("en", page.jobs, lambda job: job.command == "train") == ""
    wait(lambda: page.jobs.get(running.id).state == "stopped")
    assert page.view("en").latest("train").id == running.id


def test_a_job_that_starts_in_a_moment_waits_for_nobody(page):
    page.workspace.root.mkdir(exist_ok=True)
    job = page.jobs.start("train", TrainSettings())
    view = page.view("en")
    assert "Starting" in widgets.job_message(view.t, job, view.ahead(job))
    assert widgets.stop_text(view.t, view.ahead(job), "train.stop") == "Stop and Save"
