"""The loop: from a dataset to checkpoints that can be watched, stopped, resumed and spread over processes.

Everything random is a function of (seed, member, epoch, step): the order of batches, the first weights, the
dropout of a step. So a run that was stopped anywhere goes on to the same weights, bit for bit, as one that
never was, and a checkpoint needs no random state.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..base.config import TrainSettings
from ..base.errors import CheckpointMismatch, DamagedCheckpoint, NonFiniteLoss
from ..base.progress import Progress
from ..datasets.dataset import StockDataset
from ..datasets.loaders import Batch
from ..models.checkpoint import Checkpoint, save_checkpoint
from ..models.ensemble import average, score_scale
from ..models.interface import InputSizes, Output
from ..models.registry import build_model
from .device import deterministic, out_of_memory, precision, seed_generator
from .distributed import Ranks
from .improved_loss import LOSSES
from .member import Finished, Trained, Weights
from .place import Place
from .run_files import RunFiles
from .run_record import RunRecord, Window
from .schedule import rate_share
from .validation_span import Validation, ValidationSpan, told

EVENT_INTERVAL_S = 0.25
# A device that works asynchronously is asked for its losses now and then; waiting for each would idle it.
CHECK_INTERVAL = 16
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of each parameter

Calibrate = Callable[[Output, Tensor, Tensor, tuple[float, ...]], dict[str, Any]]


class Trainer:
    """Trains the members of one run, one after the other.

    `calibrate(output, target, session, levels)` makes the calibration that each checkpoint carries from
    validation outputs alone; target (N, H) standardised, session (N,).
    """

    def __init__(
        self,
        dataset: StockDataset,
        files: RunFiles,
        progress: Progress,
        calibrate: Calibrate,
        ranks: Ranks | None = None,
        resume: Checkpoint | None = None,
    ) -> None:
        self.dataset, self.files, self.progress, self.calibrate = dataset, files, progress, calibrate
        self.settings: TrainSettings = dataset.settings
        self.matrices = dataset.matrices
        self.ranks = ranks or Ranks(device=dataset.matrices.device)
        self.device = self.matrices.device
        self.loss = LOSSES[self.settings.loss]()
        self.levels = tuple(self.loss.levels)
        self.sizes = InputSizes(
            sequence=self.matrices.sequence.shape[1],
            context_length=self.settings.model.context_length,
            summary=self.matrices.summary.shape[1],
            market=self.matrices.market.shape[1],
            conditions={name: len(names) for name, names in dataset.vocabulary.items()},
        )
        self.autocast, self.scaler = precision(self.settings, self.device, progress)
        self.place = Place()
        self.finished: list[Finished] = []
        self.best: Trained | None = None
        self.last: Trained | None = None
        self._calibration: dict[str, Any] | None = None
        self._begun = time.perf_counter()
        self._unchecked: list[tuple[Tensor, Tensor]] = []
        self.valid = ValidationSpan(dataset)
        self._start_member()
        self.record = RunRecord(dataset, files, progress, self.ranks, self.device, self.parameter_count)
        if resume is not None:
            self._restore(resume)

    # ---- the story

    def run(self) -> dict[str, Any]:
        """Train to the end, or to the step at which a stop was asked for; returns a job's result."""
        with deterministic(self.device):
            self.record.tell_start()
            while self.place.member < self.settings.ensemble:
                while not self._is_member_done():
                    if not self._train_epoch():
                        return self._stopped()
                    self._end_epoch(self.validate())
                self._end_member()
                if self.place.member < self.settings.ensemble:
                    self._start_member()
            return self._end()

    def _start_member(self) -> None:
        """A fresh network and optimizer; the seed of member k is seed + k."""
        torch.manual_seed(self.settings.seed + self.place.member)
        self.model = build_model(self.sizes, self.settings.model, self.levels).to(self.device)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        # Decay pulls on matrices; on a bias or a norm's scale it only shifts what the data say.
        decayed = [p for p in self.parameters if p.dim() > 1]
        free = [p for p in self.parameters if p.dim() <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=True)
        self.best = self.last = None
        self.loader = self.dataset.train_loader(
            self.settings.batch_size * self.ranks.size, self.settings.seed + self.place.member
        )
        self.prepare_step()

    def _is_member_done(self) -> bool:
        return self.place.epoch >= self.settings.epochs or self.place.stale_epochs >= self.settings.patience

    def _train_epoch(self) -> bool:
        """The steps of an epoch that are still to do; False when a stop was asked for, with all saved."""
        place = self.place
        plan = self.loader.plan(place.epoch)
        rows: Sequence[Any] = plan
        if self.device.type != "cpu":  # one transfer, not one a step
            whole = [torch.from_numpy(batch) for batch in plan]
            rows = torch.cat(whole).to(self.device).split([len(batch) for batch in whole])
        self.model.train()
        window = Window()
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        while place.step < len(rows):
            if self.ranks.any(self.progress.is_stop_requested()):
                self._check_losses()
                place.loss_sum += float(loss_sum)
                self._save(self._halfway, self._members("best", self._current()))
                return False
            batch_rows = torch.as_tensor(rows[place.step])
            rate = self._set_rate((place.epoch + (place.step + 1) / len(rows)) / self.settings.epochs)
            if len(batch_rows) >= self.ranks.size:  # a last batch of fewer rows than processes is left out
                try:
                    loss, parts, norm = self.step(batch_rows)
                except RuntimeError as error:
                    raise out_of_memory(error, self.device, self.settings) or error from error
                loss_sum += loss * len(batch_rows)
                self._unchecked.append((torch.stack([loss, norm]), batch_rows))
                place.sample_count += len(batch_rows)
                window.samples += len(batch_rows)
            place.step += 1
            place.total_step += 1
            if self.device.type == "cpu" or len(self._unchecked) >= CHECK_INTERVAL:
                self._check_losses()
            is_last = place.step == len(rows)
            is_due = is_last or time.perf_counter() - window.begun > EVENT_INTERVAL_S
            if is_due and window.samples:  # nothing to tell where the only batch since was left out
                self._check_losses()
                self.record.tell_step(
                    place, len(rows), window, float(loss), parts, rate, float(norm), self._elapsed_s
                )
                window = Window()
        self._check_losses()
        place.loss_sum += float(loss_sum)
        return True

    def step(self, rows: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """One update on the joint batch of these rows; detached loss, its parts, and the gradient's norm."""
        place = self.place
        seed_generator(
            self.device, self.settings.seed, place.member, place.epoch, place.step, self.ranks.rank
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss, parts = self.compute_loss(rows)
        self.scaler.scale(loss).backward()
        self.ranks.sum_gradients(self.parameters)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clip, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach(), parts, norm

    def compute_loss(self, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the joint batch and its parts, with gradients through this process's samples."""
        batch = self.matrices.gather(self.ranks.part(rows))
        if self.ranks.size == 1:
            return self.forward_loss(batch)
        output = self.ranks.gather(self.forward(batch), len(rows))
        return self.loss(output, self.matrices.gather_labels(rows))

    def prepare_step(self) -> None:
        """A hook for what must be made anew with each network; the compiled trainer compiles here."""

    def forward(self, batch: Batch) -> Output:
        with self.autocast():
            quantiles, score = self.model(batch)
        return Output(quantiles.float(), score.float())

    def forward_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss(self.forward(batch), batch)

    def validate(self) -> Validation:
        """Loss, RankIC and outputs of the current weights on the validation span."""
        self.model.eval()
        outputs, loss_sum = [], 0.0
        with torch.no_grad():
            for rows in self.valid.batches:
                rows = rows.to(self.device)
                if len(rows) < self.ranks.size:
                    # Too few rows to share: every process answers for all of them.
                    output = Trainer.forward(self, self.matrices.gather(rows))
                else:
                    own = Trainer.forward(self, self.matrices.gather(self.ranks.part(rows)))
                    output = self.ranks.gather(own, len(rows))
                loss, _ = self.loss(output, self.matrices.gather_labels(rows))
                loss_sum += float(loss) * len(rows)
                outputs.append(Output(output.quantiles.cpu(), output.score.cpu()))
        joint = Output(torch.cat([o.quantiles for o in outputs]), torch.cat([o.score for o in outputs]))
        scale = score_scale(joint.score, self.valid.outcomes[2])
        trained = Trained(self._weights(), scale, joint)
        return Validation(loss_sum / len(self.valid.rows), self.valid.rank_figures(joint.score), trained)

    def _end_epoch(self, validation: Validation) -> None:
        place = self.place
        place.epoch += 1
        place.total_epoch += 1
        train_loss = place.loss_sum / max(place.sample_count, 1)
        place.step, place.loss_sum, place.sample_count = 0, 0.0, 0
        is_best = validation.value > place.best_value
        if is_best:
            place.best_value, place.best_epoch, place.stale_epochs = validation.value, place.epoch, 0
            self.best = validation.trained
        else:
            place.stale_epochs += 1
        self.last = validation.trained
        spread_ratio = self.valid.spread_ratio(validation.trained.output, self.levels)
        self.record.tell_epoch(place, train_loss, validation, spread_ratio)
        if is_best:
            self._save("best", self._members("best", validation.trained))
        if place.total_epoch % self.settings.save_interval == 0:
            self._save(f"epoch{place.total_epoch}", self._members("best", validation.trained))

    def _end_member(self) -> None:
        assert self.best is not None, "a member ends after at least one validation"
        assert self.last is not None
        self.finished.append(Finished(self.best, self.last))
        place = self.place
        self.place = Place(
            member=place.member + 1,
            total_step=place.total_step,
            total_epoch=place.total_epoch,
            elapsed_s=place.elapsed_s,
        )

    def _end(self) -> dict[str, Any]:
        """The last checkpoints, with every member in them."""
        if self.settings.ensemble > 1:
            self._save("best", self._members("best"))
        self._save("final", self._members("last"))
        return self._told_result("best", stopped=False)

    def _stopped(self) -> dict[str, Any]:
        return self._told_result(self._halfway, stopped=True)

    def _told_result(self, which: str, stopped: bool) -> dict[str, Any]:
        """The result of a job, written to the run.json too."""
        self._count_time()
        result = self.record.result(self.place, which, stopped, self._joint_figures())
        self.record.write_run(result)
        return result

    def _joint_figures(self) -> dict[str, float | None] | None:
        """What the members score together, each at its best so far; None of one alone."""
        is_training = self.place.member < self.settings.ensemble
        members = self._members("best", self.best if is_training else None)
        outputs = [member.output for member in members if member.output is not None]
        if len(members) < 2 or len(outputs) < len(members):
            return None
        joint = average(outputs, [member.scale for member in members])
        return told(*self.valid.judge(joint, self.loss))

    # ---- what is saved

    @property
    def _halfway(self) -> str:
        """What a checkpoint in mid-epoch holds: the epochs that ended, and the steps done since."""
        return f"epoch{self.place.total_epoch}_step{self.place.step}"

    def _members(self, kind: str, current: Trained | None = None) -> list[Trained]:
        """The finished members at their "best" or their "last", and the one in training."""
        done = [getattr(member, kind) for member in self.finished]
        return [*done, current] if current is not None else done

    def _current(self) -> Trained:
        """The weights in the middle of an epoch; their outputs are not known, the last calibration stands."""
        return Trained(self._weights(), self.last.scale if self.last else 1.0)

    def _weights(self) -> Weights:
        return {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}

    def _save(self, which: str, members: list[Trained]) -> None:
        if not self.ranks.is_writer:
            return
        outputs = [member.output for member in members]
        if all(output is not None for output in outputs):
            joint = average([o for o in outputs if o is not None], [member.scale for member in members])
            target, _, session = self.valid.outcomes
            self._calibration = self.calibrate(joint, target, session, self.levels)
        path = self.files.checkpoint(which)
        panel = self.dataset.panel
        data = {
            "fingerprint": panel.fingerprint,
            "is_simulated": bool(panel.is_simulated),
            "stocks": len(panel.codes),
            "first_session": str(panel.sessions[0]),
            "last_session": str(panel.sessions[-1]),
            "codes": self._learned_codes,
        }
        save_checkpoint(
            path,
            Checkpoint(
                settings=self.settings,
                sizes=self.sizes,
                levels=self.levels,
                members=[member.weights for member in members],
                score_scales=[member.scale for member in members],
                feature_names=self.dataset.feature_names,
                vocabulary=self.dataset.vocabulary,
                split=self.dataset.split.dates(panel.sessions),
                data=data,
                metrics={"history": self.record.history},
                calibration=self._calibration,
                training=self._training_state(),
            ),
        )
        kind = "epoch" if which.startswith("epoch") else which
        self.progress.emit("checkpoint", path=self.files.told(path), which=kind)

    @cached_property
    def _learned_codes(self) -> list[str]:
        """The stocks that have a sample to learn from."""
        panel = self.dataset.panel
        return [panel.codes[position] for position in np.unique(panel.code_index[self.dataset.train_rows])]

    def _training_state(self) -> dict[str, Any]:
        self._count_time()

        def plain(trained: Trained | None) -> dict[str, Any] | None:
            return None if trained is None else {"weights": trained.weights, "scale": trained.scale}

        return {
            "place": asdict(self.place),
            "stamp": self.files.stamp,
            "weights": self._weights(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": plain(self.best),
            "last": plain(self.last),
            "finished": [{"best": plain(one.best), "last": plain(one.last)} for one in self.finished],
        }

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Take up a run where a checkpoint left it; DamagedCheckpoint where its state is not whole."""
        try:
            self._take_up(checkpoint)
        except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, IndexError) as error:
            told = (
                out_of_memory(error, self.device, self.settings) if isinstance(error, RuntimeError) else None
            )
            reason = f"the state of its training is not whole ({' '.join(str(error).split())[:120]})"
            raise told or DamagedCheckpoint("The checkpoint", reason, "Resume from another one.") from error

    def _take_up(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.training
        if state is None:
            raise CheckpointMismatch("The checkpoint", "it holds no training to resume", "Train anew.")
        seen, now = checkpoint.data["fingerprint"], self.dataset.panel.fingerprint
        if seen != now:
            raise CheckpointMismatch(
                "The checkpoint",
                f"it was trained on other data (fingerprint {seen[:12]}, the panel has {now[:12]})",
                "Train anew on this panel, or bring back the data of that run.",
            )
        self.place = Place.of(state["place"])
        self.record.history = list(checkpoint.metrics["history"])
        self._calibration = checkpoint.calibration
        self.finished = [
            Finished(self._revive(one["best"]), self._revive(one["last"])) for one in state["finished"]
        ]
        if len(self.finished) != self.place.member:
            raise ValueError(f"{len(self.finished)} members where {self.place.member} are finished")
        if self.place.member < self.settings.ensemble:
            self._start_member()
            self.best = self._revive(state["best"]) if state["best"] else None
            self.last = self._revive(state["last"]) if state["last"] else None
            self.model.load_state_dict(state["weights"])
            self._restore_moments(state["optimizer"]["state"])
            self.scaler.load_state_dict(state["scaler"])
            if self.last is None and self._is_member_done():
                raise ValueError("a member that is done and was never validated")
        if self.ranks.is_writer:
            self.files.cut_metrics(self.place.total_step)

    def _restore_moments(self, saved: dict[int, dict[str, Tensor]]) -> None:
        """Give the optimizer its moments back; what else it holds follows from the settings."""
        own = self.optimizer.state_dict()
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        for position, moments in saved.items():
            shape = parameters[position].shape
            if set(moments) != set(MOMENTS) or [moments[name].shape for name in MOMENTS] != [
                (),
                shape,
                shape,
            ]:
                raise ValueError("the moments of its optimizer do not fit the network")
            if not all(bool(moment.isfinite().all()) for moment in moments.values()):
                raise ValueError("the moments of its optimizer are no numbers")
        self.optimizer.load_state_dict(own | {"state": saved})

    def _revive(self, saved: dict[str, Any]) -> Trained:
        """Weights with their validation outputs, which a checkpoint leaves out: they are made anew."""
        scale = saved["scale"]
        if type(scale) is not float or not 0 < scale < math.inf:
            raise ValueError(f"the spread of a member's score is {str(scale)[:40]}")
        self.model.load_state_dict(saved["weights"])
        return Trained(saved["weights"], scale, self.validate().trained.output)

    # ---- details

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters)

    @property
    def _elapsed_s(self) -> float:
        return self.place.elapsed_s + time.perf_counter() - self._begun

    def _count_time(self) -> None:
        """Bring the elapsed time of the place up to date."""
        self.place.elapsed_s = self._elapsed_s
        self._begun = time.perf_counter()

    def _set_rate(self, share: float) -> float:
        rate = self.settings.learning_rate * rate_share(share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _check_losses(self) -> None:
        """NonFiniteLoss when a step since the last check had a loss that is no number, or a gradient."""
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        figures = torch.stack([figure for figure, _ in unchecked])
        if self.scaler.is_enabled():
            figures = figures[:, :1]  # the scaler expects infinite gradients, and leaves out their step
        is_finite = figures.isfinite().all(dim=1).tolist()
        if all(is_finite):
            return
        at = is_finite.index(False)
        rows = unchecked[at][1].cpu().numpy()
        panel = self.dataset.panel
        codes = sorted({panel.codes[position] for position in panel.code_index[rows]})
        dates = sorted({panel.sessions[position].item() for position in panel.session_index[rows]})
        best = self.files.checkpoint("best")
        saved = f"{self.files.told(best)} is sound." if best.is_file() else "Nothing was saved yet."
        step = self.place.total_step - len(unchecked) + at + 1
        raise NonFiniteLoss(step, codes[:20], dates, saved)
