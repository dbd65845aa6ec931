"""The command line: `python -m financial_model COMMAND`, one thin command a workflow.

Every command makes the settings of its workflow, hands it a workspace and a way to tell progress, and
prints what comes back. Exit status: 0 done, 2 bad usage or bad input (one clear line), 130 stopped by
the user, 1 a fault of ours (with its trace).

Options that are not given stay at the defaults of `base/config`, or at those of `--config FILE` (a JSON
of the settings), so there is one place where a default stands.
"""

import contextlib
import functools
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from .base.config import (
    AnalyzeSettings,
    BacktestSettings,
    DoctorSettings,
    DownloadSettings,
    EvaluateSettings,
    ForecastSettings,
    ImportSettings,
    PanelSettings,
    Settings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from .base.errors import BadSetting, DiskFull, FinancialModelError, OutOfMemory, StopRequested
from .base.progress import RESULT_FILE, JobFolder, Progress, Sink, TerminalSink
from .base.workspace import NO_ROOM, Workspace, read_json, user_path, write_json

S = TypeVar("S", bound=Settings)

TOLD_STOCKS = 20
RANKING_COLUMNS = ("rank", "code", "name", "close", "limit", "industry", "score")
DONE, FAULT, BAD_INPUT, STOPPED = 0, 1, 2, 130
# What a single process of several can meet alone, and then has to say itself; all else they meet alike.
OF_ONE_PROCESS = (DiskFull, OutOfMemory)

app = typer.Typer(
    name="financial_model",
    help="Hermes: an A-share forecasting workbench. Every command takes --workspace, --json, --config.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

WorkspaceDir = Annotated[Path, typer.Option("--workspace", help="The folder everything lies under.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "--settings", help="A JSON of settings; options win over it."),
]
JobDir = Annotated[
    Path | None,
    typer.Option("--job", help="A folder for events and result; a file 'stop' in it stops."),
]
Codes = Annotated[str | None, typer.Option("--codes", help="Codes separated by commas: SH600519,000001.SZ.")]
Stocks = Annotated[
    str | None, typer.Option("--codes", help="Codes or names separated by commas: SH600519,000001.SZ.")
]
First = Annotated[str | None, typer.Option("--from", help="First as-of session, such as 2018-01-02.")]
Last = Annotated[str | None, typer.Option("--to", help="Last as-of session.")]
Checkpoint = Annotated[
    str | None, typer.Option("--checkpoint", help="A .pt file, or a pattern (newest match).")
]
OutFile = Annotated[str | None, typer.Option("--out", help="Where to write the result as a file.")]


@app.command()
def simulate(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    stocks: Annotated[int | None, typer.Option(help="How many stocks.")] = None,
    sessions: Annotated[int | None, typer.Option(help="How many sessions.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same market.")] = None,
    signal: Annotated[float | None, typer.Option(help="Strength of the planted signal.")] = None,
) -> None:
    """Write a practice market (simulated, and marked so) with its oracle."""
    settings = _settings(SimulateSettings, config, stocks=stocks, sessions=sessions, seed=seed, signal=signal)
    _run("simulate:simulate", settings, workspace, as_json, job)


@app.command()
def download(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    stocks: Annotated[int | None, typer.Option(help="How many stocks, in a repeatable choice.")] = None,
    codes: Codes = None,
    start: Annotated[str | None, typer.Option(help="First date of the history.")] = None,
    server: Annotated[list[str] | None, typer.Option(help="HOST:PORT of a quote server; repeatable.")] = None,
    connections: Annotated[int | None, typer.Option(help="How many connections at once.")] = None,
    retry_failed: Annotated[bool | None, typer.Option("--retry-failed", help="Only what failed.")] = None,
) -> None:
    """Download A-share history from quote servers; a run that was cut off goes on where it was."""
    settings = _settings(
        DownloadSettings,
        config,
        stocks=stocks,
        codes=_split(codes),
        start=start,
        servers=server or None,
        connections=connections,
        retry_failed=retry_failed,
    )
    _run("download:download", settings, workspace, as_json, job)


@app.command(name="import")
def import_bars(
    path: Annotated[str | None, typer.Argument(help="CSV files, or a folder that holds a vipdoc.")] = None,
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    max_stocks: Annotated[int | None, typer.Option(help="Take the first N stocks by code.")] = None,
    volume_unit: Annotated[
        str | None, typer.Option(help="shares or lots (of 100), of files without amounts to tell it by.")
    ] = None,
) -> None:
    """Import CSV bars or the .day files of a local client, with reference/ CSVs beside them."""
    settings = _settings(ImportSettings, config, path=path, max_stocks=max_stocks, volume_unit=volume_unit)
    _run("import_bars:import_bars", settings, workspace, as_json, job)


@app.command()
def build_panel(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    rebuild: Annotated[bool | None, typer.Option("--rebuild", help="From scratch.")] = None,
) -> None:
    """Build the panel: all stocks in one memory-mapped table, adjusted, with their conditions."""
    _run(
        "build_panel:build_panel", _settings(PanelSettings, config, rebuild=rebuild), workspace, as_json, job
    )


@app.command()
def analyze(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    as_of: Annotated[str | None, typer.Option(help="The last session whose close may be known.")] = None,
    max_stocks: Annotated[int | None, typer.Option(help="Look at the first N stocks by code.")] = None,
) -> None:
    """Industries, styles and regimes of the universe as of a date."""
    settings = _settings(AnalyzeSettings, config, as_of=as_of, max_stocks=max_stocks)
    _run("analyze_universe:analyze_universe", settings, workspace, as_json, job)


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
    model_values = _given(
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
    return _given(
        model=model_values or None,
        mode=mode,
        industry=industry,
        codes=_split(codes),
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


def _with_training(command: Callable[..., None]) -> Callable[..., None]:
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


@app.command()
@_with_training
def train(
    training: dict[str, Any],
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    resume: Annotated[
        str | None, typer.Option(help="A checkpoint of a run, to go on as it was begun.")
    ] = None,
) -> None:
    """Train a model on the panel; runs under torchrun unchanged."""
    settings = _settings(TrainSettings, config, **training, resume=_newest_match(resume, workspace))
    _run("train_model:train_model", settings, workspace, as_json, job)


@app.command()
def forecast(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    checkpoint: Checkpoint = None,
    codes: Stocks = None,
    everything: Annotated[bool | None, typer.Option("--all", help="Every stock of the day.")] = None,
    as_of: Annotated[str | None, typer.Option(help="The last session whose close may be known.")] = None,
    first: First = None,
    last: Last = None,
    bars: Annotated[str | None, typer.Option(help="A CSV of your own to forecast instead.")] = None,
    out: OutFile = None,
) -> None:
    """Forecast quantiles of returns a step, and the score that ranks a session."""
    settings = _settings(
        ForecastSettings,
        config,
        checkpoint=_newest_match(checkpoint, workspace),
        codes=_split(codes),
        all=everything,
        as_of=as_of,
        first=first,
        last=last,
        bars=_from_here(bars),
        out=_from_here(out),
    )
    _run("forecast_stock:forecast_stock", settings, workspace, as_json, job)


@app.command()
def scan(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    checkpoint: Checkpoint = None,
    as_of: Annotated[str | None, typer.Option(help="The last session whose close may be known.")] = None,
    out: OutFile = None,
) -> None:
    """Rank the whole universe as of a date."""
    settings = _settings(
        ForecastSettings,
        config,
        checkpoint=_newest_match(checkpoint, workspace),
        all=True,
        as_of=as_of,
        out=_from_here(out),
    )
    _run("scan_universe:scan_universe", settings, workspace, as_json, job)


@app.command()
def evaluate(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    checkpoint: Annotated[list[str] | None, typer.Option(help="A .pt file; repeat it to compare.")] = None,
    first: First = None,
    last: Last = None,
    baselines: Annotated[bool | None, typer.Option("--baselines/--no-baselines")] = None,
    out: OutFile = None,
) -> None:
    """Judge a checkpoint out of sample, beside baselines on the same samples."""
    settings = _settings(
        EvaluateSettings,
        config,
        checkpoints=[_newest_match(path, workspace) for path in checkpoint] if checkpoint else None,
        first=first,
        last=last,
        baselines=baselines,
        out=_from_here(out),
    )
    _run("evaluate_model:evaluate_model", settings, workspace, as_json, job)


@app.command()
@_with_training
def walk_forward(
    training: dict[str, Any],
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    first: First = None,
    last: Last = None,
    folds: Annotated[int | None, typer.Option(help="How many times to retrain.")] = None,
    workers: Annotated[int | None, typer.Option(help="Folds at the same time.")] = None,
    baselines: Annotated[bool | None, typer.Option("--baselines/--no-baselines")] = None,
) -> None:
    """Retrain through time and judge the one out-of-sample record; resumable."""
    settings = _settings(
        WalkForwardSettings,
        config,
        train=training or None,
        first=first,
        last=last,
        folds=folds,
        workers=workers,
        baselines=baselines,
    )
    _run("walk_forward:walk_forward", settings, workspace, as_json, job)


@app.command()
def backtest(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    checkpoint: Checkpoint = None,
    first: First = None,
    last: Last = None,
    top: Annotated[int | None, typer.Option(help="Stocks held.")] = None,
    drop: Annotated[int | None, typer.Option(help="At most this many replaced a session.")] = None,
    holding: Annotated[int | None, typer.Option(help="Sessions a position is held at least.")] = None,
    cash: Annotated[float | None, typer.Option(help="Starting cash in CNY.")] = None,
    order_price: Annotated[str | None, typer.Option(help="open or close of the next session.")] = None,
    index: Annotated[str | None, typer.Option(help="Index to compare with, such as SH000905.")] = None,
    out: OutFile = None,
) -> None:
    """Trade the scores long-only under A-share rules, against the index."""
    settings = _settings(
        BacktestSettings,
        config,
        checkpoint=_newest_match(checkpoint, workspace),
        first=first,
        last=last,
        top=top,
        drop=drop,
        holding=holding,
        cash_cny=cash,
        order_price=order_price,
        index=index,
        out=_from_here(out),
    )
    _run("backtest_model:backtest_model", settings, workspace, as_json, job)


@app.command()
def doctor(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    server: Annotated[list[str] | None, typer.Option(help="HOST:PORT of a quote server; repeatable.")] = None,
    skip_servers: Annotated[bool | None, typer.Option("--skip-servers", help="Ask no server.")] = None,
    port: Annotated[int | None, typer.Option(help="The port the page would use.")] = None,
) -> None:
    """Check Python, torch, the GPU, attention, Triton, disk, port and quote servers."""
    settings = _settings(DoctorSettings, config, servers=server or None, skip_servers=skip_servers, port=port)
    _run("doctor:doctor", settings, workspace, as_json, job)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit status; usage errors are one line like all others."""
    try:
        status = app(args=arguments, standalone_mode=False)
    except FinancialModelError as error:  # a setting that no settings object accepts
        if _is_writer():
            _fail(error, as_json="--json" in (arguments if arguments is not None else sys.argv[1:]))
        status = BAD_INPUT
    except typer.Exit as leave:
        status = leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        status = STOPPED
    except Exception as error:
        format_message = getattr(error, "format_message", None)  # what click's usage errors share
        if format_message is None:
            raise
        message = format_message()
        is_help = message.startswith("Usage:")  # no command given
        if _is_writer():
            print(message if is_help else f"error: {message} (see --help)", file=sys.stderr)
        status = BAD_INPUT
    sys.exit(status if isinstance(status, int) else DONE)


def _is_writer() -> bool:
    """Under torchrun one process tells and writes, the others work."""
    return os.environ.get("RANK", "0") == "0"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _split(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.replace("，", ",").split(",") if part.strip()] if text else None


def _from_here(path: str | None) -> str | None:
    """A file that a person at the shell names lies relative to where they stand."""
    return str(user_path(path).absolute()) if path else None


def _newest_match(pattern: str | None, workspace: Path) -> str | None:
    """The file itself, or the newest that matches, seen from here and then from the workspace."""
    if pattern is None:
        return None
    for root in (Path.cwd(), Workspace(workspace).root):
        path = root / user_path(pattern)
        if path.exists():
            return str(path)
        if any(sign in pattern for sign in "*?["):
            anchor = Path(path.anchor)
            try:
                matches = sorted(
                    anchor.glob(str(path.relative_to(anchor))), key=lambda match: match.stat().st_mtime
                )
            except (ValueError, NotImplementedError) as error:
                raise BadSetting("checkpoint", pattern[:200], f"a file or a pattern ({error})") from None
            if matches:
                return str(matches[-1])
    return pattern


def _settings(kind: type[S], config: Path | None, **options: Any) -> S:
    """Settings from a file, then from the options that were given."""
    values: dict[str, Any] = {}
    if config is not None:
        config = user_path(config)
        if not config.is_file():
            raise BadSetting("config", str(config), "a JSON file of settings")
        values = read_json(config)
        if not isinstance(values, dict):
            raise BadSetting("config", str(config), "a JSON object of settings")
    return kind.from_json(_over(values, _given(**options)))


def _over(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The values with what was given in their place, nested ones too."""
    joint = dict(values)
    for name, value in given.items():
        both = isinstance(value, dict) and isinstance(values.get(name), dict)
        joint[name] = _over(values[name], value) if both else value
    return joint


def _run(target: str, settings: Settings, workspace: Path, as_json: bool, job: Path | None) -> None:
    """Call `workflows.MODULE:FUNCTION`, imported only now, and leave with the exit status it earned."""
    stop = _StopFlag()
    is_writer = _is_writer()
    folder = JobFolder(job) if job is not None and is_writer else None
    sinks: list[Sink] = [TerminalSink()] if is_writer else []
    if folder is not None:
        sinks.append(folder)
    progress = Progress(
        *sinks, stop=lambda: stop.is_set or (folder is not None and folder.is_stop_requested())
    )
    module, _, function = target.partition(":")
    try:
        with stop:
            workflow = getattr(importlib.import_module(f"financial_model.workflows.{module}"), function)
            result = workflow(settings, Workspace(workspace), progress)
        if folder is not None:
            write_json(folder.folder / RESULT_FILE, result)
        stopped = bool(result.get("stopped"))
        progress.emit("stopped" if stopped else "result", message=str(result.get("message", "")))
        if is_writer:
            _tell(result, as_json)
        status = STOPPED if stopped else DONE
    except StopRequested as error:
        progress.emit("stopped", message=str(error), fields=error.fields)
        if is_writer:
            _tell({"stopped": True, "message": str(error), **error.fields}, as_json)
        status = STOPPED
    except KeyboardInterrupt:
        progress.emit("stopped", message="Stopped at once; what was saved before stands.")
        status = STOPPED
    except FinancialModelError as error:
        _last_words(progress, error)
        if is_writer or isinstance(error, OF_ONE_PROCESS):
            _fail(error, as_json and is_writer)
        status = BAD_INPUT
    except Exception as error:
        status = FAULT
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            told = DiskFull(Path(error.filename or workspace), error.strerror or "no space left")
            _last_words(progress, told)
            _fail(told, as_json and is_writer)
            status = BAD_INPUT
        else:
            traceback.print_exc()
            _last_words(progress, error)
    finally:
        if folder is not None:
            folder.close()
    raise typer.Exit(status)


def _last_words(progress: Progress, error: Exception) -> None:
    """Tell why it ended; a disk that has no room even for that must not hide the reason."""
    told = {"error": "InternalError", "message": f"{type(error).__name__}: {error}", "fields": {}}
    if isinstance(error, FinancialModelError):
        told = {"error": type(error).__name__, "message": str(error), "fields": error.fields}
    with contextlib.suppress(OSError):
        progress.emit("error", **told)


class _StopFlag:
    """The first Ctrl-C asks the workflow to stop at its next step, the second stops at once."""

    def __init__(self) -> None:
        self.is_set = False

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.is_set:
            raise KeyboardInterrupt
        self.is_set = True
        if not _is_writer():
            return
        print("\nstopping at the next step; once more stops at once", file=sys.stderr)


def _fail(error: FinancialModelError, as_json: bool) -> None:
    print(f"error: {error}", file=sys.stderr)
    if as_json:
        failure = {"error": type(error).__name__, "message": str(error), "fields": error.fields}
        print(json.dumps(failure, ensure_ascii=False))


def _tell(result: dict[str, Any], as_json: bool) -> None:
    """The result on standard output: one JSON object, or what a person reads at a glance."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str))
        return
    if message := result.get("message"):
        print(message)
    for name, value in result.items():
        if name in ("message", "headline", "notes") or value is None:  # told: as the message, and as warnings
            continue
        if isinstance(value, (str, int, float, bool)):
            print(f"  {name}: {_plain(value)}")
        elif (
            isinstance(value, dict)
            and value
            and all(isinstance(v, (str, int, float)) for v in value.values())
        ):
            print(
                f"  {name}: " + ", ".join(f"{key} {_plain(item)}" for key, item in list(value.items())[:12])
            )
        elif name == "ranking" and isinstance(value, list):
            _tell_ranking(value)
        elif isinstance(value, list):
            print(f"  {name}: {len(value)}" + (" (all of it with --json)" if value else ""))


def _tell_ranking(rows: list[dict[str, Any]]) -> None:
    """The first stocks of a ranking as a table; all of them stand in the JSON and in the file of --out."""
    columns = [name for name in RANKING_COLUMNS if rows and name in rows[0]]
    for line in [columns, *([_plain(row[name]) for name in columns] for row in rows[:TOLD_STOCKS])]:
        print("  " + "  ".join(f"{cell:<12}" for cell in line).rstrip())
    if len(rows) > TOLD_STOCKS:
        print(f"  and {len(rows) - TOLD_STOCKS} more: with --json, or as a file with --out")


def _plain(value: object) -> str:
    """A figure with the digits a person reads; all of them stand in the JSON."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.6g}"
