"""Presets of a training: what the fields of its form begin with, for many stocks and for few."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ..base.config import ModelSettings, TrainSettings
from . import actions

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "max_stocks": "100",
        "context": 30,
        "hidden": 64,
        "layers": 2,
        "heads": 4,
        "epochs": 2,
        "batch_size": 512,
    },
    "recommended": {
        "max_stocks": "",
        "context": ModelSettings().context_length,
        "hidden": ModelSettings().hidden_size,
        "layers": ModelSettings().layers,
        "heads": ModelSettings().heads,
        "epochs": TrainSettings().epochs,
        "batch_size": TrainSettings().batch_size,
    },
    "large": {
        "max_stocks": "",
        "context": 60,
        "hidden": 256,
        "layers": 4,
        "heads": 8,
        "epochs": TrainSettings().epochs,
        "batch_size": TrainSettings().batch_size,
    },
}
# So few stocks are few samples: smaller batches and more passes over them, ended early by validation.
FEW = 10
FEW_STOCKS: dict[str, Any] = {"epochs": 30, "batch_size": 64}
PASSES = tuple(FEW_STOCKS)


def are_few(codes: Any) -> bool:
    """Whether a form's codes are one or a few stocks; without any it trains on all, where a pass is long."""
    return 0 < len(actions.words_of(codes)) <= FEW


def presets_of(few: bool) -> dict[str, dict[str, Any]]:
    """The presets of few stocks, or of many."""
    if not few:
        return PRESETS
    return {
        name: one | FEW_STOCKS | ({"epochs": one["epochs"]} if name == "quick" else {})
        for name, one in PRESETS.items()
    }


def named_preset(presets: dict[str, dict[str, Any]], values: Sequence[Any]) -> str | None:
    """Which of the presets these values are, None where one of them was changed."""
    now = [str(value) for value in values]
    return next((name for name, one in presets.items() if [str(v) for v in one.values()] == now), None)


def passes_for(codes: Any, values: Sequence[Any]) -> list[Any]:
    """Epochs and batch size of the preset that stands in the form, where its codes became few, or many again.

    What a person has changed stays.
    """
    few = are_few(codes)
    wanted = presets_of(few)
    name = None if named_preset(wanted, values) else named_preset(presets_of(not few), values)
    return [wanted[name][field] if name else gr.skip() for field in PASSES]
