"""What a run tells of itself while it goes: events, lines of metrics, its run.json, and its result."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..base.progress import Progress
from ..datasets.dataset import StockDataset
from .device import peak_memory
from .distributed import Ranks
from .place import Place
from .run_files import RunFiles
from .validation_span import Validation, told


@dataclass
class Window:
    """What the next step event tells: samples and seconds since the last one."""

    begun: float = field(default_factory=time.perf_counter)
    samples: int = 0


class RunRecord:
    """The story of one run, told to its watchers by the first process alone.

    `history` holds a line for every epoch that ended; the run.json repeats it.
    """

    def __init__(
        self,
        dataset: StockDataset,
        files: RunFiles,
        progress: Progress,
        ranks: Ranks,
        device: torch.device,
        parameter_count: int,
    ) -> None:
        self.dataset, self.files, self.progress, self.ranks = dataset, files, progress, ranks
        self.device, self.parameter_count = device, parameter_count
        self.settings = dataset.settings
        self.history: list[dict[str, Any]] = []

    def tell_start(self) -> None:
        dataset = self.dataset
        self.progress.stage(
            "train",
            f"training {self.settings.model.model}: {len(dataset.train_rows):,} samples, "
            f"validating on {len(dataset.valid_rows):,}, {self.parameter_count:,} parameters, {self.device}",
            train_samples=len(dataset.train_rows),
            valid_samples=len(dataset.valid_rows),
            parameters=self.parameter_count,
            device=str(self.device),
            split=dataset.split.dates(dataset.panel.sessions),
            is_simulated=bool(dataset.panel.is_simulated),
        )
        self.write_run({"stopped": None})

    def tell_step(
        self,
        place: Place,
        step_count: int,
        window: Window,
        loss: float,
        parts: dict[str, Tensor],
        rate: float,
        norm: float,
        elapsed_s: float,
    ) -> None:
        if not self.ranks.is_writer:
            return
        done = place.member * self.settings.epochs + place.epoch + place.step / step_count
        total = self.settings.ensemble * self.settings.epochs
        line = {
            "step": place.step,
            "step_count": step_count,
            "total_step": place.total_step,
            "epoch": place.epoch + 1,
            "epoch_count": self.settings.epochs,
            "member": place.member + 1,
            "member_count": self.settings.ensemble,
            "loss": loss,
            "parts": {name: float(part) for name, part in parts.items()},
            "samples_per_s": round(window.samples / max(time.perf_counter() - window.begun, 1e-9), 1),
            "learning_rate": rate,
            "gradient_norm": norm if math.isfinite(norm) else None,
            "left_s": round(elapsed_s * (total - done) / done, 1),
            "device_memory_bytes": peak_memory(self.device),
        }
        self.progress.emit("step", **line)
        self.files.add_metrics({"kind": "step", **line})

    def tell_epoch(
        self, place: Place, train_loss: float, validation: Validation, spread_ratio: float | None
    ) -> None:
        line = {
            "epoch": place.epoch,
            "epoch_count": self.settings.epochs,
            "total_step": place.total_step,
            "member": place.member + 1,
            "member_count": self.settings.ensemble,
            "train_loss": train_loss,
            **told(validation.loss, validation.rank),
            "best_epoch": place.best_epoch,
            "spread_ratio": spread_ratio,
        }
        self.history.append(line)
        if self.ranks.is_writer:
            self.progress.emit("epoch", **line)
            self.files.add_metrics({"kind": "epoch", **line})

    def result(
        self, place: Place, which: str, stopped: bool, joint: dict[str, float | None] | None
    ) -> dict[str, Any]:
        """A job's result, of a run that stands at `place` and whose best checkpoint is `which`.

        joint: what the members score together at their best epochs, where there are several; the figures of
        one alone stand in its history.
        """
        chosen = {line.get("member", 1): line["best_epoch"] for line in self.history}
        best = [line for line in self.history if line["epoch"] == chosen[line.get("member", 1)]]
        figures = joint if joint is not None else best[-1] if best else {}
        path = self.files.told(self.files.checkpoint(which))
        result = {
            "stopped": stopped,
            "checkpoint": path,
            "run": self.files.told(self.files.path("run.json")),
            "epochs": place.total_epoch,
            "best_epoch": best[0]["epoch"] if len(best) == 1 else None,
            "best_epochs": [line["epoch"] for line in best],
            "valid_loss": figures.get("valid_loss"),
            "valid_rank_ic": figures.get("valid_rank_ic"),
            "valid_rank_ic_se": figures.get("valid_rank_ic_se"),
            "parameters": self.parameter_count,
            "train_s": round(place.elapsed_s, 1),
        }
        if stopped:
            return result | {"resume": path, "message": f"Stopped as asked; go on with --resume {path}"}
        final = self.files.told(self.files.checkpoint("final"))
        return result | {"final": final, "message": f"Trained {place.total_epoch} epochs: {path}"}

    def write_run(self, result: dict[str, Any]) -> None:
        """The run.json, with this result."""
        if not self.ranks.is_writer:
            return
        dataset, panel = self.dataset, self.dataset.panel
        self.files.write_run(
            {
                "settings": self.settings.to_json(),
                "data": {"fingerprint": panel.fingerprint, "is_simulated": bool(panel.is_simulated)},
                "stocks": len(panel.codes),
                "split": dataset.split.dates(panel.sessions),
                "samples": {"train": len(dataset.train_rows), "valid": len(dataset.valid_rows)},
                "parameters": self.parameter_count,
                "device": str(self.device),
                "processes": self.ranks.size,
                "torch": str(torch.__version__),
                "history": self.history,
                "result": result,
            }
        )
