"""The fields of a training's form: their order, and the settings that their values mean."""

from collections.abc import Sequence
from typing import Any

from ..base.config import ModelSettings, TrainSettings
from ..base.workspace import check_name
from . import actions

# The fields of the form in the order in which handlers are handed them.
FIELDS = (
    *("kind", "mode", "industry", "max_stocks", "codes", "context", "prediction", "train_end", "valid_end"),
    *(
        "loss",
        "epochs",
        "batch_size",
        "learning_rate",
        "save_interval",
        "hidden",
        "layers",
        "heads",
        "dropout",
    ),
    *("with_conditions", "industry_embedding", "style_embedding", "regime_embedding"),
    *("mixed_precision", "compile", "patience"),
    *("seed", "ensemble", "name", "output"),
)


def settings_of(values: Sequence[Any]) -> TrainSettings:
    """The settings that the form's values mean; BadSetting names the field that does not fit."""
    form = dict(zip(FIELDS, values, strict=True))
    model = ModelSettings.from_json(
        {
            "model": form["kind"],
            "context_length": form["context"],
            "prediction_length": form["prediction"],
            "hidden_size": form["hidden"],
            "layers": form["layers"],
            # An LSTM has no heads: any number would do, one always fits.
            "heads": 1 if form["kind"] == "lstm" else form["heads"],
            "dropout": form["dropout"],
            "industry_embedding": form["industry_embedding"],
            "style_embedding": form["style_embedding"],
            "regime_embedding": form["regime_embedding"],
            "with_conditions": form["with_conditions"],
        }
    )
    is_industry = form["mode"] == "industry"
    return TrainSettings.from_json(
        {
            "name": check_name(str(form["name"] or "")),
            "output": str(form["output"] or ""),
            "model": model,
            "mode": form["mode"],
            "industry": form["industry"] if is_industry else None,
            "codes": actions.words_of(form["codes"]),
            "max_stocks": actions.optional_count("max_stocks", form["max_stocks"]),
            "loss": form["loss"],
            "epochs": form["epochs"],
            "batch_size": form["batch_size"],
            "learning_rate": form["learning_rate"],
            "save_interval": form["save_interval"],
            "patience": form["patience"],
            "train_end": actions.optional(form["train_end"]),
            "valid_end": actions.optional(form["valid_end"]),
            "seed": form["seed"],
            "ensemble": form["ensemble"],
            "mixed_precision": form["mixed_precision"],
            "compile": form["compile"],
        }
    )


def values_of(settings: TrainSettings) -> dict[str, Any]:
    """The form's values that mean these settings."""
    model = settings.model
    return {
        "kind": model.model,
        "mode": settings.mode,
        "industry": settings.industry or "finance",
        "max_stocks": str(settings.max_stocks or ""),
        "codes": ", ".join(settings.codes),
        "context": model.context_length,
        "prediction": model.prediction_length,
        "train_end": settings.train_end.isoformat() if settings.train_end else "",
        "valid_end": settings.valid_end.isoformat() if settings.valid_end else "",
        "loss": settings.loss,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "save_interval": settings.save_interval,
        "hidden": model.hidden_size,
        "layers": model.layers,
        "heads": model.heads,
        "dropout": model.dropout,
        "industry_embedding": model.industry_embedding,
        "style_embedding": model.style_embedding,
        "regime_embedding": model.regime_embedding,
        "with_conditions": model.with_conditions,
        "mixed_precision": settings.mixed_precision,
        "compile": settings.compile,
        "patience": settings.patience,
        "seed": settings.seed,
        "ensemble": settings.ensemble,
        "name": settings.name,
        "output": settings.output,
    }


def divisors(hidden: Any) -> list[int]:
    """How many heads a hidden size can be split into."""
    size = int(hidden) if isinstance(hidden, (int, float)) and hidden >= 1 else ModelSettings().hidden_size
    return [count for count in range(1, 65) if size % count == 0]
