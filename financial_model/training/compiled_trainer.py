"""The same loop with its step compiled by torch.compile.

Compiling needs a compiler (Triton on a GPU, a C++ one on a CPU) and shows it only at the first step. Where
that fails, the run says so once and goes on uncompiled, with the same numbers.
"""

import torch
from torch import Tensor

from ..datasets.loaders import Batch
from ..models.interface import Output
from .train import Trainer


class CompiledTrainer(Trainer):
    """A Trainer whose forward pass, and by it the backward pass, runs as compiled code."""

    is_compiled = True
    backend = "inductor"

    def prepare_step(self) -> None:
        # Sessions differ in how many stocks traded: one program for all batch sizes, not one for each.
        self._compiled = (
            torch.compile(super().forward, dynamic=True, backend=self.backend) if self.is_compiled else None
        )

    def forward(self, batch: Batch) -> Output:
        if self._compiled is None:
            return super().forward(batch)
        try:
            return self._compiled(batch)
        except Exception as error:
            if not _is_of_compiler(error):
                raise
            self._fall_back(error)
            return super().forward(batch)

    def _fall_back(self, error: Exception) -> None:
        self.is_compiled, self._compiled = False, None
        reason = " ".join(str(error).split())[:200]
        self.progress.warn(
            f"The step could not be compiled and runs uncompiled: {reason}", key="not_compiled", reason=reason
        )

    def step(self, rows: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        try:
            return super().step(rows)
        except Exception as error:
            # The backward pass is compiled when it is first called, after the forward pass has returned.
            if self._compiled is None or not _is_of_compiler(error):
                raise
            self._fall_back(error)
            return super().step(rows)


def _is_of_compiler(error: BaseException) -> bool:
    """Whether an error was raised by torch's compiler and not by the network or the device."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__.startswith(("torch._dynamo", "torch._inductor", "triton")):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
