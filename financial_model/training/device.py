"""How the loop treats its device: seeds, determinism, precision and the end of its memory."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from ..base.config import TrainSettings
from ..base.errors import OutOfMemory
from ..base.progress import Progress


def seed_generator(device: torch.device, *place: int) -> None:
    """Seed the device's generator from a place in a run."""
    seed = hash(place) & 0x7FFF_FFFF_FFFF_FFFF  # a tuple of integers has the same hash everywhere
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Same seed, same device, same result: kernels that add in any order are left aside on a GPU."""
    if device.type != "cuda":
        yield
        return
    # cuBLAS reads this when it is first used; without it its workspaces may differ between runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def out_of_memory(error: RuntimeError, device: torch.device, settings: TrainSettings) -> OutOfMemory | None:
    """The error a person can act on, when this one says that memory ran out."""
    text = str(error)
    if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in text:
        return None
    if settings.batch_size > 1:
        remedy = f"Try --batch-size {settings.batch_size // 2}, or a smaller hidden size."
    else:
        remedy = "Try a smaller hidden size or a shorter context."
    return OutOfMemory(str(device), settings.batch_size, remedy)


def peak_memory(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def precision(
    settings: TrainSettings, device: torch.device, progress: Progress
) -> tuple[Callable[[], AbstractContextManager[Any]], torch.amp.GradScaler]:
    """How a forward pass runs, and the scaler that half precision needs; both idle in full precision."""
    if not settings.mixed_precision or device.type != "cuda":
        if settings.mixed_precision:
            progress.warn("Mixed precision is left out: it is no faster on a CPU.", key="no_amp")
        return nullcontext, torch.amp.GradScaler(device.type, enabled=False)
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    scaler = torch.amp.GradScaler("cuda", enabled=dtype is torch.float16)
    return lambda: torch.autocast("cuda", dtype=dtype), scaler
