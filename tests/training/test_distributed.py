"""Two processes: their summed gradients are those of one process with the joint batch, for every loss."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from financial_model.base.config import TrainSettings
from financial_model.base.progress import Progress
from financial_model.datasets.multi_dim_dataset import open_dataset
from financial_model.forecasting.calibration import fit_calibration
from financial_model.models.checkpoint import load_checkpoint
from financial_model.training.distributed import Ranks
from financial_model.training.run_files import RunFiles
from financial_model.training.train import Trainer

REPOSITORY = Path(__file__).resolve().parents[2]
LOSSES = ("trend_aware", "ic", "directional")

# What each of two processes runs: one loss after the other on an odd number of rows, then a short training.
WORKER = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, {tests!r})
import walk_market as walk
from financial_model.base.progress import Progress
from financial_model.datasets.multi_dim_dataset import open_dataset
from financial_model.forecasting.calibration import fit_calibration
from financial_model.training.distributed import Ranks
from financial_model.training.run_files import RunFiles
from financial_model.training.train import Trainer

torch.set_num_threads(1)
folder = Path({folder!r})
ranks = Ranks.join()
market = walk.make_market()
for loss in {losses!r}:
    settings = walk.small_settings(loss=loss, dropout=0.0)
    trainer = Trainer(
        open_dataset(market, settings), RunFiles(walk.Workspace(folder), "output", loss), Progress(),
        fit_calibration, ranks)
    rows = torch.from_numpy(trainer.loader.plan(0)[0])[:191]
    trainer.compute_loss(rows)[0].backward()
    ranks.sum_gradients(trainer.parameters)
    if ranks.is_writer:
        torch.save([p.grad for p in trainer.parameters], folder / (loss + ".pt"))
settings = walk.small_settings(epochs=1, batch_size=50, dropout=0.0)
trainer = Trainer(
    open_dataset(market, settings), RunFiles(walk.Workspace(folder), "output", "both"), Progress(),
    fit_calibration, ranks)
result = trainer.run()
if ranks.is_writer:
    (folder / "result").write_text(result["final"])
torch.save(trainer.finished[0].last.weights, folder / f"weights{{ranks.rank}}.pt")
ranks.leave()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder that two processes under torchrun's environment have written to."""
    folder = tmp_path_factory.mktemp("two")
    script = WORKER.format(tests=str(REPOSITORY / "tests"), folder=str(folder), losses=LOSSES)
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    environment = os.environ | shared | {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [worker.communicate(timeout=240)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)[-3000:]
    return folder


def make_trainer(walk, market, folder, **changes):
    settings = walk.small_settings(dropout=0.0, **changes)
    files = RunFiles(walk.Workspace(folder), "output", "one")
    return Trainer(open_dataset(market, settings), files, Progress(), fit_calibration)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_two_processes_are_those_of_one_with_the_double_batch(
    walk, market, tmp_path, two_processes, loss
):
    trainer = make_trainer(walk, market, tmp_path, loss=loss, batch_size=2 * 96)
    rows = torch.from_numpy(trainer.loader.plan(0)[0])[:191]
    assert len(rows) % 2 == 1  # the two shares differ
    trainer.compute_loss(rows)[0].backward()
    theirs = torch.load(two_processes / f"{loss}.pt", weights_only=True)
    for parameter, gradient in zip(trainer.parameters, theirs, strict=True):
        mine = torch.zeros_like(gradient) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradient, mine, rtol=1e-4, atol=1e-6)


def test_two_processes_keep_the_same_weights_and_one_of_them_writes(walk, market, tmp_path, two_processes):
    first, second = (torch.load(two_processes / f"weights{k}.pt", weights_only=True) for k in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    final = load_checkpoint(two_processes / (two_processes / "result").read_text())
    assert all(torch.equal(first[name], final.members[0][name]) for name in first)
    assert len(list((two_processes / "output").glob("both_*_final.pt"))) == 1
    # Without dropout the whole training is that of one process with the double batch.
    trainer = make_trainer(walk, market, tmp_path, epochs=1, batch_size=100)
    trainer.run()
    alone = trainer.finished[0].last.weights
    for name in first:
        # Adam makes of the rounding of a gradient that is almost nothing a step of up to a learning rate.
        torch.testing.assert_close(first[name], alone[name], rtol=1e-3, atol=TrainSettings().learning_rate)


@pytest.mark.parametrize("done", [0, 1])
def test_a_last_batch_of_fewer_rows_than_processes_counts_for_nothing(walk, market, tmp_path, done):
    """Also where a run is resumed just before it, so that no step of this epoch has been made here."""

    class Alone(Ranks):
        """One of two processes whose other half this test needs not."""

        def part(self, rows):
            return rows

        def gather(self, output, count):
            return output

        def sum_gradients(self, parameters):
            pass

        def any(self, flag):
            return flag

    events = []
    settings = walk.small_settings(epochs=1)
    files = RunFiles(walk.Workspace(tmp_path), "output", "alone")
    dataset = open_dataset(market, settings)
    trainer = Trainer(dataset, files, Progress(events.append), fit_calibration, Alone(size=2))
    rows = dataset.train_rows.astype("int64")
    trainer.loader.plan = lambda epoch: [rows[:96], rows[96:97]]
    trainer.place.step = done
    assert trainer._train_epoch()
    steps = [event for event in events if event["kind"] == "step"]
    assert trainer.place.step == 2
    assert trainer.place.sample_count == (0 if done else 96)
    assert len(steps) <= 1 - done
    if not done:
        first = trainer.place.loss_sum / 96
        assert 0 < first < 10
