"""What a training's charts and figures tell of a run."""

import json

import pytest

from financial_model.base.config import TrainSettings
from financial_model.base.workspace import write_json
from financial_model.ui.job import Job
from financial_model.ui.tabs.training_results import training_figures
from financial_model.ui.trail import Curves, Trail
from financial_model.ui.training_charts import industry_chart, loss_chart, parts_chart, rank_ic_chart
from financial_model.ui.translations import Translate

from .test_trail import ENSEMBLE


def told(tmp_path, epochs=3, steps=4, state="running", **changed):
    trail, curves = Trail(), Curves()

    def tell(event):
        trail.add(event)
        curves.add(event)

    for epoch in range(1, epochs + 1):
        for step in range(1, steps + 1):
            parts = {"regression": 0.6, "direction": 0.4, **changed.get("parts", {})}
            tell(
                {
                    "kind": "step",
                    "time": 100.0 * epoch + step,
                    "step": step,
                    "step_count": steps,
                    "epoch": epoch,
                    "epoch_count": 30,
                    "member": 1,
                    "member_count": 1,
                    "loss": 1.0 / epoch,
                    "parts": parts,
                    "samples_per_s": 4860.0,
                    "left_s": 400.0,
                }
            )
        tell(
            {
                "kind": "epoch",
                "time": 100.0 * epoch + 50,
                "epoch": epoch,
                "epoch_count": 30,
                "train_loss": 1.0 / epoch,
                "valid_loss": 1.1 / epoch,
                "valid_rank_ic": 0.02 * epoch,
                "valid_rank_ic_se": 0.0048,
                "best_epoch": epoch,
                **changed.get("epoch", {}),
            }
        )
    settings = TrainSettings().to_json()
    return Job(
        "20180101_120000_train_abcd",
        "train",
        settings,
        "",
        0.0,
        state,
        tmp_path,
        trail,
        started_at=100.0,
        live=curves,
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_charts_of_a_run_are_plain_data_in_both_languages(tmp_path, language):
    t, job = Translate(language), told(tmp_path)
    for chart in (
        rank_ic_chart(job, job, t),
        loss_chart(job, t),
        parts_chart(job, t),
        industry_chart(job, t),
    ):
        assert chart["traces"]
        json.dumps(chart, allow_nan=False)


def test_the_charts_of_a_run_on_a_practice_market_carry_its_mark(tmp_path):
    t, job = Translate("en"), told(tmp_path)
    charts = (
        lambda: rank_ic_chart(job, None, t),
        *(lambda f=f: f(job, t) for f in (loss_chart, parts_chart)),
    )
    assert [chart()["mark"] for chart in charts] == [""] * 3
    job.trail.add({"kind": "stage", "stage": "train", "is_simulated": True})
    job.trail.add({"kind": "stage", "stage": "after"})
    assert [chart()["mark"] for chart in charts] == ["practice market"] * 3


def test_labels_at_the_ends_of_the_axis_stay_within_it(tmp_path):
    sides = {}
    for epochs in (1, 15, 29):
        notes = rank_ic_chart(told(tmp_path, epochs=epochs), None, Translate("en"))["layout"]["annotations"]
        sides[epochs] = notes[0]["xanchor"]
    assert sides == {1: "left", 15: "center", 29: "right"}


def test_before_a_run_each_chart_says_what_will_stand_there(tmp_path):
    t = Translate("en")
    for chart in (
        rank_ic_chart(None, None, t),
        loss_chart(None, t),
        parts_chart(None, t),
        industry_chart(None, t),
    ):
        assert chart["empty"] == "Curves appear here once training starts."


def test_the_best_epoch_is_marked_and_labelled(tmp_path):
    chart = rank_ic_chart(told(tmp_path), None, Translate("en"))
    marker = next(trace for trace in chart["traces"] if trace.get("mode") == "markers")
    assert (marker["x"], marker["y"]) == ([3], [0.06])
    assert "best 0.0600" in [note["text"] for note in chart["layout"]["annotations"]]


def test_the_axis_reaches_to_the_last_epoch_from_the_start(tmp_path):
    chart = rank_ic_chart(told(tmp_path, epochs=1), None, Translate("en"))
    assert chart["layout"]["xaxis"]["range"] == [0.5, 30.5]


def test_parts_are_stacked_unless_one_is_negative(tmp_path):
    t = Translate("en")
    assert all("stackgroup" in trace for trace in parts_chart(told(tmp_path), t)["traces"])
    negative = told(tmp_path, parts={"correlation": -0.5})
    assert not any("stackgroup" in trace for trace in parts_chart(negative, t)["traces"])


def test_industries_are_shown_with_their_intervals_where_the_run_tells_them(tmp_path):
    industries = {
        "finance": {"rank_ic": 0.03, "rank_ic_se": 0.01},
        "energy": {"rank_ic": 0.05, "rank_ic_se": None},
    }
    chart = industry_chart(told(tmp_path, epoch={"industries": industries}), Translate("en"))
    assert chart["traces"][0]["y"] == ["Finance", "Energy"]
    assert chart["traces"][0]["error_x"]["array"] == [pytest.approx(0.0196), 0.0]


def test_the_figures_say_epoch_time_error_and_throughput(tmp_path):
    html = training_figures(Translate("en"), told(tmp_path))
    for text in ("/ 30 epochs", "6:40", "0.0600", "± 0.0048, best: epoch 3", "4,860", "samples/s"):
        assert text in html


def test_of_an_ensemble_headline_and_chart_tell_each_member_at_its_best(tmp_path):
    job = told(tmp_path)
    job.live.epochs[:] = ENSEMBLE
    html = training_figures(Translate("en"), job)
    assert "0.0700" in html
    assert "± 0.0060, mean of 2 members at best" in html
    together = {"best_epochs": [3, 2], "valid_rank_ic": 0.1, "valid_rank_ic_se": 0.004, "valid_loss": 0.8}
    write_json(tmp_path / "result.json", together)
    html = training_figures(Translate("en"), job)
    assert "0.1000" in html
    assert "± 0.0040, 2 members together" in html
    chart = rank_ic_chart(job, None, Translate("en"))
    marker = next(trace for trace in chart["traces"] if trace.get("mode") == "markers")
    assert marker["y"] == [0.09, 0.05]


def test_the_share_of_an_ensemble_counts_all_its_members(tmp_path):
    job = told(tmp_path, epochs=30)
    job.trail.step = {**job.trail.step, "member": 2, "member_count": 4}
    assert job.share() == pytest.approx(0.5)
