"""Panel -> windows -> training -> checkpoint."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from ..base.config import TrainSettings
from ..base.errors import BadSetting
from ..base.progress import Progress
from ..base.workspace import Workspace
from ..data.panel import Panel
from ..data.reference_store import ReferenceStore
from ..datasets.feature_cache import load_features
from ..datasets.features import Features
from ..datasets.multi_dim_dataset import open_dataset
from ..forecasting.calibration import fit_calibration
from ..models.checkpoint import checkpoint_path, load_checkpoint
from ..training.compiled_trainer import CompiledTrainer
from ..training.distributed import Ranks
from ..training.run_files import RunFiles
from ..training.tensorboard import TensorBoardSink
from ..training.train import Trainer


def train_model(settings: TrainSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Train on the workspace's panel; returns where the checkpoints lie and how well they validated.

    A run that is resumed goes on with the settings it was started with; others that are given are refused.
    """
    asked, settings = settings, with_full_codes(settings, workspace)
    if asked.resume is not None:
        check_goes_on(
            asked, settings.codes, load_checkpoint(checkpoint_path(workspace, asked.resume)).settings
        )
    files = RunFiles(workspace, settings.output, settings.name)
    panel = Panel.open(workspace)
    return train_on_panel(panel, settings, files, progress, load_features(panel, workspace, progress))


def with_full_codes(settings: TrainSettings, workspace: Workspace) -> TrainSettings:
    """The settings with the stocks that a person wrote or named as full codes, which a checkpoint keeps."""
    return replace(settings, codes=tuple(ReferenceStore(workspace).codes_meant(settings.codes)))


def check_goes_on(asked: TrainSettings, codes: tuple[str, ...], begun: TrainSettings) -> None:
    """BadSetting names an option that was given and is not that of the run to be resumed.

    `codes` are those asked for, in full, as the checkpoint keeps them; none is whatever the run has.
    """
    for name, (mine, theirs) in asked.differences(begun).items():
        if name != "resume" and not (name == "codes" and codes in ((), theirs)):
            raise BadSetting(
                name,
                mine,
                f"{theirs!r}, as the run that is resumed has it: leave the option out, or train anew",
            )


def train_on_panel(
    panel: Panel,
    settings: TrainSettings,
    files: RunFiles,
    progress: Progress,
    features: Features | None = None,
) -> dict[str, Any]:
    """The training itself, for whoever has a panel at hand; features are computed where none are given."""
    checkpoint = None
    if settings.resume is not None:
        checkpoint = load_checkpoint(checkpoint_path(files.workspace, settings.resume))
        stamp = checkpoint.training.get("stamp") if checkpoint.training else None
        settings = replace(checkpoint.settings, resume=settings.resume)
        files = RunFiles(files.workspace, settings.output, settings.name, stamp)
    ranks = Ranks.join()
    board = None
    try:
        dataset = open_dataset(panel, settings, ranks.device, features)
        kind = CompiledTrainer if settings.compile else Trainer
        with files.held() if ranks.is_writer else nullcontext():
            if settings.tensorboard and ranks.is_writer:
                board = TensorBoardSink(files.path("tensorboard"))
                progress = progress.also(board)
            return kind(dataset, files, progress, fit_calibration, ranks, checkpoint).run()
    finally:
        ranks.leave()
        if board is not None:
            board.close()
