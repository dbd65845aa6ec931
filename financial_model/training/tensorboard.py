"""Events of a training as TensorBoard scalars, for those who have TensorBoard installed."""

from pathlib import Path

from ..base.errors import BadSetting
from ..base.progress import Event

STEP_SCALARS = ("loss", "learning_rate", "gradient_norm", "samples_per_s")
EPOCH_SCALARS = ("train_loss", "valid_loss", "valid_rank_ic", "valid_ic", "spread_ratio")


class TensorBoardSink:
    """Takes a Trainer's events and writes what is a number to a folder of event files."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            expected = "false, or TensorBoard installed (pip install tensorboard)"
            raise BadSetting("tensorboard", True, expected) from error
        self._writer = SummaryWriter(str(folder))

    def __call__(self, event: Event) -> None:
        names = {"step": STEP_SCALARS, "epoch": EPOCH_SCALARS}.get(event["kind"], ())
        scalars = {name: event[name] for name in names if event.get(name) is not None}
        scalars |= {f"parts/{name}": value for name, value in event.get("parts", {}).items()}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, event["total_step"], event["time"])

    def close(self) -> None:
        self._writer.close()
