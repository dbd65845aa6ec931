"""Training speed: the bare step, what the loop adds to it, and how near both come to the bound.

    python benchmarks/training.py                     the three networks at their default sizes
    python benchmarks/training.py --compile           the step compiled
    python benchmarks/training.py --cpu-time          on a machine with other work: one thread, processor time

A practice market is simulated into a temporary folder. The bare step takes a batch that lies ready through
forward pass, loss, backward pass, clipping and AdamW. The loop is `training.train.Trainer` itself, first on
that same batch, then gathering its own. Bare and loop alternate, so that a machine with other work on it
slows both alike. The bound is the speed of a matrix product of 1,024 x 1,024 in the same run.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import describe_machine, print_table
from financial_model.base.config import ModelSettings, PanelSettings, SimulateSettings, TrainSettings
from financial_model.base.progress import JobFolder, Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.datasets.loaders import Batch
from financial_model.datasets.multi_dim_dataset import open_dataset
from financial_model.forecasting.calibration import fit_calibration
from financial_model.training.compiled_trainer import CompiledTrainer
from financial_model.training.run_files import RunFiles
from financial_model.training.train import Trainer
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.simulate import simulate

MODELS = ("conditional", "transformer", "lstm")
# Samples per second of the original's conditional model (256 hidden, 4 layers, 60 sessions) on two cores.
ORIGINAL = 90
COLUMNS = (
    "model",
    "parameters",
    "bare step",
    "samples/s",
    "of the bound",
    "loop adds",
    "gather adds",
    "whole loop, samples/s",
    "against the original",
)


def make_market(workspace: Workspace, stocks: int, sessions: int) -> Panel:
    simulate(SimulateSettings(stocks=stocks, sessions=sessions), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return Panel.open(workspace)


def make_trainer(panel: Panel, workspace: Workspace, model: str, options: argparse.Namespace) -> Trainer:
    settings = TrainSettings(
        name=model,
        model=ModelSettings(model=model),  # type: ignore[arg-type]
        batch_size=options.batch_size,
        epochs=10_000,
    )
    kind = CompiledTrainer if options.compile else Trainer
    progress = Progress(JobFolder(workspace.jobs_dir / model))  # events are written as in any job
    files = RunFiles(workspace, settings.output, settings.name)
    return kind(open_dataset(panel, settings), files, progress, fit_calibration)


def run_bare(trainer: Trainer, batch: Batch, steps: int) -> None:
    """The step without the loop: no seed, no gather, no events, no stop file, no checks."""
    for _ in range(steps):
        trainer.optimizer.zero_grad(set_to_none=True)
        loss, _ = trainer.forward_loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(trainer.parameters, trainer.settings.gradient_clip, foreach=True)
        trainer.optimizer.step()


def run_loop(trainer: Trainer, plan: list[Any]) -> None:
    """An epoch of the trainer over these batches of rows."""
    trainer.place.step = 0
    trainer.loader = SimpleNamespace(plan=lambda epoch: plan)  # type: ignore[assignment]
    trainer._train_epoch()


def seconds(run: Callable[[], Any], clock: Callable[[], float]) -> float:
    begun = clock()
    run()
    return clock() - begun


def row_of(
    trainer: Trainer, options: argparse.Namespace, bound_flops: float, clock: Callable[[], float]
) -> tuple[Any, ...]:
    """Time bare step, loop on a ready batch and loop with its gather, in turn."""
    plan = [rows for rows in trainer.loader.plan(0) if len(rows) >= options.batch_size][: options.steps]
    matrices = trainer.matrices
    batch = matrices.gather(torch.from_numpy(plan[0]))
    ready = SimpleNamespace(gather=lambda rows: batch)
    trainer.model.train()
    run_bare(trainer, batch, 2)
    with FlopCounterMode(display=False) as counter:
        Trainer.forward_loss(trainer, batch)[0].backward()
    # torch counts no RNN; each weight of one multiplies and adds once a time step, thrice with the backward.
    flops = counter.get_total_flops() + 6 * len(batch) * recurrent_weights(trainer.model, batch)
    bare, loop, whole = [], [], []
    for _ in range(options.repeats):
        bare.append(seconds(lambda: run_bare(trainer, batch, len(plan)), clock) / len(plan))
        trainer.matrices = ready  # type: ignore[assignment]
        loop.append(seconds(lambda: run_loop(trainer, [plan[0]] * len(plan)), clock) / len(plan))
        trainer.matrices = matrices
        size = sum(map(len, plan)) / len(batch)
        whole.append(seconds(lambda: run_loop(trainer, plan), clock) / size)
    step_s, whole_s = statistics.median(bare), statistics.median(whole)
    adds = statistics.median(b / a - 1 for a, b in zip(bare, loop, strict=True))
    gather = statistics.median(c / b - 1 for b, c in zip(loop, whole, strict=True))
    return (
        trainer.settings.model.model + (", compiled" if options.compile else ""),
        f"{trainer.parameter_count:,}",
        f"{step_s * 1e3:.1f} ({min(bare) * 1e3:.1f} to {max(bare) * 1e3:.1f}) ms of {len(batch)}",
        f"{len(batch) / step_s:,.0f}",
        f"{flops / step_s / bound_flops:.0%}",
        f"{adds:+.1%}",
        f"{gather:+.1%}",
        f"{len(batch) / whole_s:,.0f}",
        f"{len(batch) / whole_s / ORIGINAL:.0f}x",
    )


def recurrent_weights(model: nn.Module, batch: Batch) -> int:
    """Weights of the LSTMs times the steps that each walks over this batch."""
    count = 0

    def hook(module: nn.Module, inputs: tuple[Any, ...], _: Any) -> None:
        nonlocal count
        count += inputs[0].shape[1] * sum(p.numel() for p in module.parameters() if p.dim() == 2)

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, nn.LSTM)]
    with torch.no_grad():
        model(batch)
    for handle in handles:
        handle.remove()
    return count


def matrix_product_speed(clock: Callable[[], float]) -> float:
    """Floating point operations a second of a 1,024 x 1,024 matrix product, the fastest of several."""
    a, b = torch.randn(2, 1024, 1024)
    return 2 * 1024**3 / min(seconds(lambda: a @ b, clock) for _ in range(20))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=800)
    parser.add_argument("--batch-size", type=int, default=TrainSettings().batch_size)
    parser.add_argument("--steps", type=int, default=8, help="steps a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, and its processor time")
    options = parser.parse_args()
    if options.cpu_time:
        torch.set_num_threads(1)
    clock = time.process_time if options.cpu_time else time.perf_counter
    print(describe_machine("torch", "numpy"))
    bound = matrix_product_speed(clock)
    print(f"{torch.get_num_threads()} threads; matrix product, the bound: {bound / 1e9:.0f} GFLOP/s")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        panel = make_market(workspace, options.stocks, options.sessions)
        rows = [
            row_of(make_trainer(panel, workspace, m, options), options, bound, clock) for m in options.models
        ]
    title = f"Training, {options.stocks} stocks x {options.sessions} sessions, whole sessions as batches"
    print_table(title, COLUMNS, rows)
    for row in rows:
        told = dict(zip(COLUMNS, row, strict=True))
        print(f"\nThe loop adds {told['loop adds']} to the bare step of {told['model']}; reach: 5 % at most.")
    print(f"\nThe original's conditional model trains {ORIGINAL} samples/s on two cores.")


if __name__ == "__main__":
    main()
