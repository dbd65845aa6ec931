"""The line that a person could type to have the same done from a shell."""

import shlex
from dataclasses import MISSING, fields
from datetime import date

from ..base.config import ImportSettings, Settings, TrainSettings, WalkForwardSettings

# settings field -> the option of the shell, where it is not the field's own name
OPTION_NAMES = {
    "first": "from",
    "last": "to",
    "servers": "server",
    "checkpoints": "checkpoint",
    "cash_cny": "cash",
}
REPEATED = {"servers", "checkpoints"}
ON_OFF = {
    "mixed_precision": "full-precision",
    "compile": "no-compile",
    "baselines": "no-baselines",
    "with_conditions": "without-conditions",
}
# Fields that no option sets; they travel in a file of settings.
FILE_ONLY = {
    "weight_decay",
    "gradient_clip",
    "commission_rate",
    "slippage_rate",
    "index",
    "conditions",
}


def command_line(command: str, settings: Settings) -> str:
    """The line that does the same from a shell, with the options that differ from their defaults.

    >>> command_line("train", TrainSettings(epochs=2))
    'python -m financial_model train --model conditional --epochs 2'
    """
    words = ["python", "-m", "financial_model", command]
    needs_file = False
    # A walk forward takes the options of its trainings beside its own.
    training = settings.train if isinstance(settings, WalkForwardSettings) else settings
    if isinstance(training, TrainSettings):
        words += ["--model", training.model.model]
        needs_file = _add_options(words, training.model, {"model"}, command)
    if training is not settings:
        needs_file = _add_options(words, training, {"model"}, command) or needs_file
    needs_file = _add_options(words, settings, {"model", "path", "train"}, command) or needs_file
    if isinstance(settings, ImportSettings):
        words.append(settings.path)
    if needs_file:
        words += ["--config", "settings.json"]
    return shlex.join(words)


def _add_options(words: list[str], settings: Settings, skipped: set[str], command: str) -> bool:
    """Append the options; whether something is left that only a file can say."""
    needs_file = False
    for item in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, item.name)
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if item.name in skipped or value == default or (command == "scan" and item.name == "all"):
            continue
        if item.name in FILE_ONLY:
            needs_file = True
            continue
        option = "--" + OPTION_NAMES.get(item.name, item.name).replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else "--" + ON_OFF[item.name])
        elif isinstance(value, tuple):
            texts = [str(part) for part in value]
            for text in texts if item.name in REPEATED else [",".join(texts)]:
                words += [option, text]
        else:
            words += [option, value.isoformat() if isinstance(value, date) else str(value)]
    return needs_file
