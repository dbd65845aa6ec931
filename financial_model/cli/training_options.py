"""The options of a training, for every command that trains."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from .options import Stocks, only_given, split


def _training_values(
    model: Annotated[str | None, typer.Option(help="conditional, transformer or lstm.")] = None,
    mode: Annotated[str | None, typer.Option(help="unified, or industry with --industry.")] = None,
    industry: Annotated[str | None, typer.Option(help="The industry of a single industry model.")] = None,
    codes: Stocks = None,
    max_stocks: Annotated[int | None, typer.Option(help="Train on the first N stocks by code.")] = None,
    loss: Annotated[
        str | None, typer.Option(help="trend_aware, mse, huber_trend, directional, quantile or ic.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most this many passes.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step; whole sessions reach it.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest step size.")] = None,
    context_length: Annotated[int | None, typer.Option(help="Sessions seen.")] = None,
    prediction_length: Annotated[int | None, typer.Option(help="Sessions forecast.")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Width of the network.")] = None,
    layers: Annotated[int | None, typer.Option(help="Depth of the network.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads; a divisor of the hidden size.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Share of units dropped in training.")] = None,
    industry_embedding: Annotated[int | None, typer.Option(help="Width of what an industry says.")] = None,
    style_embedding: Annotated[int | None, typer.Option(help="Width of what a style says.")] = None,
    regime_embedding: Annotated[int | None, typer.Option(help="Width of what the regime says.")] = None,
    with_conditions: Annotated[
        bool | None,
        typer.Option("--with-conditions/--without-conditions", help="Industry, style, regime, market state."),
    ] = None,
    save_interval: Annotated[int | None, typer.Option(help="Keep a checkpoint every N epochs.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without progress before the end.")] = None,
    name: Annotated[str | None, typer.Option(help="First part of the checkpoint's file name.")] = None,
    output: Annotated[str | None, typer.Option(help="Folder inside the workspace.")] = None,
    train_start: Annotated[str | None, typer.Option(help="First session trained on.")] = None,
    train_end: Annotated[str | None, typer.Option(help="Last session trained on.")] = None,
    valid_end: Annotated[str | None, typer.Option(help="Last session validated on.")] = None,
    holding: Annotated[int | None, typer.Option(help="Sessions of the return that is ranked.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same device, same weights.")] = None,
    ensemble: Annotated[int | None, typer.Option(help="Members, each with a seed of its own.")] = None,
    mixed_precision: Annotated[bool | None, typer.Option("--mixed-precision/--full-precision")] = None,
    compile_step: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the step.")
    ] = None,
    tensorboard: Annotated[bool | None, typer.Option("--tensorboard", help="Also its event files.")] = None,
) -> dict[str, Any]:
    """What the options of a training say, as the values of TrainSettings."""
    model_values = only_given(
        model=model,
        context_length=context_length,
        prediction_length=prediction_length,
        hidden_size=hidden_size,
        layers=layers,
        heads=heads,
        dropout=dropout,
        industry_embedding=industry_embedding,
        style_embedding=style_embedding,
        regime_embedding=regime_embedding,
        with_conditions=with_conditions,
    )
    return only_given(
        model=model_values or None,
        mode=mode,
        industry=industry,
        codes=split(codes),
        max_stocks=max_stocks,
        loss=loss,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        save_interval=save_interval,
        patience=patience,
        name=name,
        output=output,
        train_start=train_start,
        train_end=train_end,
        valid_end=valid_end,
        holding=holding,
        seed=seed,
        ensemble=ensemble,
        mixed_precision=mixed_precision,
        compile=compile_step,
        tensorboard=tensorboard,
    )


def with_training(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of a training beside its own; it is handed them as `training`."""
    own = {name: one for name, one in inspect.signature(command).parameters.items() if name != "training"}
    options = inspect.signature(_training_values).parameters
    joint = {**own, **options}

    @functools.wraps(command)
    def run(**given: Any) -> None:
        training = _training_values(**{name: given.pop(name) for name in options})
        command(**given, training=training)

    run.__signature__ = inspect.Signature(list(joint.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: one.annotation for name, one in joint.items()}
    return run
