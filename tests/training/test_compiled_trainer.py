"""The compiled step: the numbers of the plain one, and a word when there is no compiler."""

import shutil

import pytest
import torch

from financial_model.base.progress import Progress
from financial_model.datasets.multi_dim_dataset import open_dataset
from financial_model.forecasting.calibration import fit_calibration
from financial_model.training.compiled_trainer import CompiledTrainer
from financial_model.training.run_files import RunFiles
from financial_model.training.train import Trainer

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="no C++ compiler is installed"
)


def losses_of(kind, walk, market, folder, progress=None, model="conditional"):
    settings = walk.small_settings(model, dropout=0.0)
    files = RunFiles(walk.Workspace(folder), "output", "compiled")
    trainer = kind(open_dataset(market, settings), files, progress or Progress(), fit_calibration)
    trainer.model.train()
    plan = trainer.loader.plan(0)[:2]
    return [float(trainer.step(torch.from_numpy(rows))[0]) for rows in plan], trainer


@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=[pytest.mark.slow, needs_compiler])]
)
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own parts
def test_the_compiled_step_is_the_plain_step(walk, market, tmp_path, monkeypatch, backend):
    """The short form traces forward and backward and runs the traced graphs; the long one compiles them."""
    monkeypatch.setattr(CompiledTrainer, "backend", backend)
    # A pool of compiling processes costs more to start than this takes.
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    events = []
    progress = Progress(events.append)
    compiled, trainer = losses_of(CompiledTrainer, walk, market, tmp_path, progress, "transformer")
    plain, _ = losses_of(Trainer, walk, market, tmp_path, model="transformer")
    assert trainer.is_compiled, events
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_without_a_compiler_the_run_says_so_once_and_goes_on(walk, market, tmp_path, monkeypatch):
    def refuse(forward, **options):
        def run(batch):
            raise torch._dynamo.exc.BackendCompilerFailed(forward, RuntimeError("no compiler"), None)

        return run

    monkeypatch.setattr(torch, "compile", refuse)
    events = []
    compiled, _ = losses_of(CompiledTrainer, walk, market, tmp_path, Progress(events.append))
    plain, _ = losses_of(Trainer, walk, market, tmp_path)
    assert compiled == plain
    assert [event["key"] for event in events if event["kind"] == "warning"] == ["not_compiled"]


def test_an_error_of_the_network_is_not_taken_for_one_of_the_compiler(walk, market, tmp_path, monkeypatch):
    def broken(forward, **options):
        def run(batch):
            raise ValueError("a bug")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ValueError, match="a bug"):
        losses_of(CompiledTrainer, walk, market, tmp_path)
