"""Panel -> windows -> training -> checkpoint."""

from dataclasses import replace
from typing import Any

from ..base.config import TrainSettings
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

    A run that is resumed goes on with the settings it was started with.
    """
    settings = with_full_codes(settings, workspace)
    files = RunFiles(workspace, settings.output, settings.name)
    panel = Panel.open(workspace)
    return train_on_panel(panel, settings, files, progress, load_features(panel, workspace, progress))


def with_full_codes(settings: TrainSettings, workspace: Workspace) -> TrainSettings:
    """The settings with the stocks that a person wrote or named as full codes, which a checkpoint keeps."""
    return replace(settings, codes=tuple(ReferenceStore(workspace).codes_meant(settings.codes)))


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
    if settings.tensorboard and ranks.is_writer:
        board = TensorBoardSink(files.path("tensorboard"))
        progress = progress.also(board)
    try:
        dataset = open_dataset(panel, settings, ranks.device, features)
        kind = CompiledTrainer if settings.compile else Trainer
        return kind(dataset, files, progress, fit_calibration, ranks, checkpoint).run()
    finally:
        ranks.leave()
        if board is not None:
            board.close()
