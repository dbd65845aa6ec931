"""The loop: the same seed gives the same weights, stopped or not; what goes wrong is said in one line."""

import dataclasses
import datetime
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from financial_model.base.errors import CheckpointMismatch, NonFiniteLoss, OutOfMemory
from financial_model.base.progress import Progress
from financial_model.datasets.multi_dim_dataset import open_dataset
from financial_model.forecasting.calibration import fit_calibration
from financial_model.models.checkpoint import load_checkpoint
from financial_model.models.interface import Output
from financial_model.training.improved_loss import LOSSES
from financial_model.training.run_files import RunFiles
from financial_model.training.schedule import rate_share
from financial_model.training.train import Trainer
from financial_model.training.validation_span import ValidationSpan


def weights_of(path):
    return load_checkpoint(path).members


def assert_same_weights(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert torch.equal(one[name], other[name]), name


def tensors_of(plain):
    return {name: torch.as_tensor(value) for name, value in plain.items()}


class StopAt:
    """Asks to stop at the n-th question."""

    def __init__(self, question: int) -> None:
        self.left = question

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="module")
def straight(walk, market, tmp_path_factory):
    """A run that was never stopped, its events with it."""
    events = []
    folder = tmp_path_factory.mktemp("straight")
    settings = walk.small_settings(ensemble=2, save_interval=1, patience=1000)
    result, workspace = walk.train(market, folder, settings, Progress(events.append))
    return result, workspace, events


def test_the_same_seed_gives_the_same_weights(walk, market, straight, tmp_path):
    settings = walk.small_settings(ensemble=2, patience=1000)
    result, workspace = walk.train(market, tmp_path, settings)
    first, second = straight[1].inside(straight[0]["final"]), workspace.inside(result["final"])
    assert_same_weights(weights_of(first), weights_of(second))


def test_another_seed_gives_other_weights(walk, market, straight, tmp_path):
    result, workspace = walk.train(market, tmp_path, walk.small_settings(seed=1, epochs=1))
    first = weights_of(straight[1].inside(straight[0]["final"]))[0]
    second = weights_of(workspace.inside(result["final"]))[0]
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("question", [0, 4, 13, 30], ids=lambda n: f"stopped at step {n}")
def test_a_run_that_was_stopped_goes_on_to_the_weights_of_one_that_never_was(
    walk, market, straight, tmp_path, question
):
    settings = walk.small_settings(ensemble=2, save_interval=1, patience=1000)
    stopped, workspace = walk.train(market, tmp_path, settings, Progress(stop=StopAt(question)))
    assert stopped["stopped"]
    assert workspace.inside(stopped["resume"]).is_file()
    place = load_checkpoint(workspace.inside(stopped["resume"])).training["place"]
    assert stopped["resume"].endswith(f"_epoch{stopped['epochs']}_step{place['step']}.pt")
    assert (place["total_epoch"], place["total_step"]) == (stopped["epochs"], question)
    again = walk.small_settings(resume=stopped["resume"])  # all other settings come from the checkpoint
    result, _ = walk.train(market, tmp_path, again)
    assert not result["stopped"]
    for which in ("checkpoint", "final"):
        first = load_checkpoint(straight[1].inside(straight[0][which]))
        second = load_checkpoint(workspace.inside(result[which]))
        assert_same_weights(first.members, second.members)
        assert first.score_scales == second.score_scales
        assert torch.equal(first.calibration["stretch"], second.calibration["stretch"])
        assert first.metrics == second.metrics


def test_a_run_that_was_killed_goes_on_from_its_last_saved_epoch(
    walk, market, straight, tmp_path, monkeypatch
):
    class Killed(Exception):
        pass

    def kill(event):
        if event["kind"] == "step" and event["total_step"] == straight_steps - 1:
            raise Killed

    straight_steps = [e["total_step"] for e in straight[2] if e["kind"] == "step"][-1]
    settings = walk.small_settings(ensemble=2, save_interval=1, patience=1000)
    # Step events come at intervals, so that they cost nothing; here each step has one.
    monkeypatch.setattr("financial_model.training.train.EVENT_INTERVAL_S", 0.0)
    with pytest.raises(Killed):
        walk.train(market, tmp_path, settings, Progress(kill))
    saved = sorted((tmp_path / "output").glob("*_epoch3.pt"))
    assert saved
    resume = saved[-1].relative_to(tmp_path).as_posix()
    result, workspace = walk.train(market, tmp_path, walk.small_settings(resume=resume))
    assert_same_weights(
        weights_of(straight[1].inside(straight[0]["final"])), weights_of(workspace.inside(result["final"]))
    )
    metrics = next((tmp_path / "output").glob("*_metrics.jsonl"))
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [line["total_step"] for line in lines if line["kind"] == "step"]
    assert steps == sorted(set(steps))
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2, 1, 2]


def test_an_ensemble_is_told_by_what_its_members_score_together(walk, market, straight):
    result, workspace, events = straight
    epochs = [event for event in events if event["kind"] == "epoch"]
    assert result["best_epochs"] == [epochs[1]["best_epoch"], epochs[3]["best_epoch"]]
    assert result["best_epoch"] is None
    # The checkpoint itself, asked again over the validation span.
    checkpoint = load_checkpoint(workspace.inside(result["checkpoint"]))
    dataset = open_dataset(market, walk.small_settings(ensemble=2, save_interval=1, patience=1000))
    span, network = ValidationSpan(dataset), checkpoint.build().eval()
    with torch.no_grad():
        parts = [network(dataset.matrices.gather(rows)) for rows in span.batches]
    joint = Output(*(torch.cat(values) for values in zip(*parts, strict=True)))
    loss, rank = span.judge(joint, LOSSES[checkpoint.settings.loss]())
    assert (result["valid_loss"], result["valid_rank_ic"]) == pytest.approx((loss, rank.rank_ic), abs=1e-5)
    assert result["valid_rank_ic_se"] == pytest.approx(rank.rank_ic_se, abs=1e-5)
    alone = [event["valid_loss"] for event in epochs]
    assert min(abs(result["valid_loss"] - one) for one in alone) > 1e-5
    run = json.loads(workspace.inside(result["run"]).read_text())
    assert run["result"]["valid_rank_ic"] == result["valid_rank_ic"]


def test_one_network_is_told_by_its_best_epoch(walk, market, tmp_path):
    events = []
    result, _ = walk.train(market, tmp_path, walk.small_settings(), Progress(events.append))
    [best] = [e for e in events if e["kind"] == "epoch" and e["epoch"] == result["best_epoch"]]
    assert result["best_epochs"] == [result["best_epoch"]]
    for name in ("valid_loss", "valid_rank_ic", "valid_rank_ic_se"):
        assert result[name] == best[name]


def test_a_finished_run_has_nothing_left_to_resume_and_says_the_same(walk, market, straight):
    result, workspace, _ = straight
    again, _ = walk.train(market, workspace.root, walk.small_settings(resume=result["final"]))
    assert again["epochs"] == result["epochs"]
    assert again["checkpoint"] == result["checkpoint"]


def test_a_run_is_not_resumed_on_other_data(walk, market, straight):
    result, workspace, _ = straight
    other = market.truncated(market.sessions[-2])
    with pytest.raises(CheckpointMismatch, match="other data"):
        walk.train(other, workspace.root, walk.small_settings(resume=result["final"]))


def test_files_are_named_after_the_run_and_events_tell_them(straight):
    result, workspace, events = straight
    names = {path.name.removeprefix("walk_")[16:] for path in workspace.output_dir.iterdir()}
    epochs = {f"epoch{n}.pt" for n in (1, 2, 3, 4)}
    assert names == {"best.pt", "final.pt", "run.json", "metrics.jsonl"} | epochs
    told = [event for event in events if event["kind"] == "checkpoint"]
    assert {event["which"] for event in told} == {"best", "epoch", "final"}
    assert all(workspace.inside(event["path"]).is_file() for event in told)
    run = json.loads(workspace.inside(result["run"]).read_text())
    assert run["settings"]["name"] == "walk"
    assert run["result"]["checkpoint"] == result["checkpoint"]
    step = next(event for event in events if event["kind"] == "step")
    fields = "step step_count epoch epoch_count loss parts samples_per_s learning_rate gradient_norm left_s"
    assert set(fields.split()) <= set(step)
    epoch = next(event for event in events if event["kind"] == "epoch")
    assert {"train_loss", "valid_loss", "valid_rank_ic", "valid_rank_ic_se", "best_epoch"} <= set(epoch)
    json.dumps(events, allow_nan=False)


def test_training_lowers_the_loss(walk, market, tmp_path):
    events = []
    walk.train(market, tmp_path, walk.small_settings(epochs=4), Progress(events.append))
    losses = [event["train_loss"] for event in events if event["kind"] == "epoch"]
    assert losses[-1] < losses[0]


def test_early_stopping_ends_a_run_and_keeps_its_best_epoch(walk, market, tmp_path):
    settings = walk.small_settings(epochs=30, patience=2, learning_rate=0.02)
    events = []
    result, _ = walk.train(market, tmp_path, settings, Progress(events.append))
    epochs = [event for event in events if event["kind"] == "epoch"]
    assert result["epochs"] == result["best_epoch"] + 2 < 30
    best = max(epochs, key=lambda event: event["valid_rank_ic"])
    assert best["epoch"] == result["best_epoch"]


def make_trainer(walk, market, folder, progress=None, **changes):
    settings = walk.small_settings(**changes)
    files = RunFiles(walk.Workspace(folder), "output", "walk")
    return Trainer(open_dataset(market, settings), files, progress or Progress(), fit_calibration)


def test_a_loss_that_is_no_number_names_the_stocks_and_dates_of_its_batch(walk, market, tmp_path):
    trainer = make_trainer(walk, market, tmp_path, epochs=1)
    rows = trainer.loader.plan(0)[2]
    trainer.matrices.market[trainer.matrices.session[int(rows[0])]] = float("inf")
    with pytest.raises(NonFiniteLoss) as caught:
        trainer.run()
    position = market.session_index[rows[0]]
    assert caught.value.fields["step"] == 3
    assert str(market.sessions[position]) in caught.value.fields["dates"]
    assert market.codes[market.code_index[rows[0]]] in caught.value.fields["codes"]


def test_memory_that_runs_out_names_the_batch_size_to_try(walk, market, tmp_path, monkeypatch):
    trainer = make_trainer(walk, market, tmp_path)

    def full(rows):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(trainer, "compute_loss", full)
    with pytest.raises(OutOfMemory, match="--batch-size 48"):
        trainer.run()


def test_the_validation_span_never_reaches_a_gradient(walk, market, tmp_path):
    first = make_trainer(walk, market, tmp_path, epochs=1, patience=1000)
    second = make_trainer(walk, market, tmp_path, epochs=1, patience=1000)
    later = torch.from_numpy(second.dataset.split.valid.first <= market.session_index)
    close = torch.where(later, 1 / second.matrices.close, second.matrices.close)  # returns of the other sign
    second.matrices = replace(second.matrices, close=close)
    second.matrices.sequence[later] += 1
    second.matrices.summary[later] += 1
    second.matrices.market[second.dataset.split.valid.first :] += 1
    first.run(), second.run()
    assert_same_weights([first.finished[0].last.weights], [second.finished[0].last.weights])


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        *(("conditional", loss) for loss in sorted(LOSSES)),
        *((m, "trend_aware") for m in ("transformer", "lstm")),
    ],
)
def test_what_is_learned_is_the_same_from_data_cut_after_the_validation_span(
    walk, market, tmp_path, model, loss
):
    train_end, valid_end = (market.sessions[k].astype(datetime.date) for k in (140, 180))
    settings = walk.small_settings(
        model, loss=loss, epochs=1, codes=market.codes[:12], train_end=train_end, valid_end=valid_end
    )
    learned = []
    for name, panel in (("whole", market), ("cut", market.truncated(valid_end))):
        result, workspace = walk.train(panel, tmp_path / name, settings)
        learned.append(load_checkpoint(workspace.inside(result["checkpoint"])))
    whole, cut = learned
    assert_same_weights(whole.members, cut.members)
    assert_same_weights([tensors_of(whole.calibration)], [tensors_of(cut.calibration)])
    assert whole.metrics["history"][0]["valid_loss"] == cut.metrics["history"][0]["valid_loss"]


def test_a_stock_alone_is_trained_in_plain_samples_and_judged_by_its_loss(walk, market, tmp_path):
    events = []
    settings = walk.small_settings("lstm", codes=("SH600001",), batch_size=16)
    result, _ = walk.train(market, tmp_path, settings, Progress(events.append))
    epoch = next(event for event in events if event["kind"] == "epoch")
    assert epoch["valid_rank_ic"] is None
    assert result["valid_loss"] is not None


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_every_model_trains(walk, market, tmp_path, model):
    result, workspace = walk.train(market, tmp_path, walk.small_settings(model, epochs=1))
    assert load_checkpoint(workspace.inside(result["checkpoint"])).model.model == model


def test_the_rate_rises_then_falls():
    rates = [rate_share(share) for share in np.linspace(0.001, 1, 200)]
    top = int(np.argmax(rates))
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)


def test_the_loop_seeds_each_step_by_its_place(walk, market, tmp_path):
    trainer = make_trainer(walk, market, tmp_path)
    rows = torch.from_numpy(trainer.loader.plan(0)[0])
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    first = trainer.step(rows)[0]
    trainer.model.load_state_dict(before)
    torch.manual_seed(99)
    assert trainer.step(rows)[0] == first
    trainer.model.load_state_dict(before)
    trainer.place = dataclasses.replace(trainer.place, step=1)
    assert trainer.step(rows)[0] != first
