"""The command line: `python -m financial_model COMMAND`, one thin command a workflow.

Every command makes the settings of its workflow, hands it a workspace and a way to tell progress, and
prints what comes back. Exit status: 0 done, 2 bad usage or bad input (one clear line), 130 stopped by
the user, 1 a fault of ours (with its trace).

Options that are not given stay at the defaults of `base/config`, or at those of `--config FILE` (a JSON
of the settings), so there is one place where a default stands.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..base.config import (
    AnalyzeSettings,
    BacktestSettings,
    DoctorSettings,
    DownloadSettings,
    EvaluateSettings,
    ForecastSettings,
    ImportSettings,
    PanelSettings,
    SimulateSettings,
    TrainSettings,
    WalkForwardSettings,
)
from ..base.errors import FinancialModelError
from .options import (
    AsJson,
    Checkpoint,
    Codes,
    ConfigFile,
    First,
    JobDir,
    Last,
    OutFile,
    Stocks,
    WorkspaceDir,
    from_here,
    newest_match,
    settings_of,
    split,
)
from .run import BAD_INPUT, DONE, STOPPED, is_writer, run
from .told import fail
from .training_options import with_training

app = typer.Typer(
    name="financial_model",
    help="Hermes: an A-share forecasting workbench. Every command takes --workspace, --json, --config.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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
    settings = settings_of(
        SimulateSettings, config, stocks=stocks, sessions=sessions, seed=seed, signal=signal
    )
    run("simulate:simulate", settings, workspace, as_json, job)


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
    settings = settings_of(
        DownloadSettings,
        config,
        stocks=stocks,
        codes=split(codes),
        start=start,
        servers=server or None,
        connections=connections,
        retry_failed=retry_failed,
    )
    run("download:download", settings, workspace, as_json, job)


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
    settings = settings_of(ImportSettings, config, path=path, max_stocks=max_stocks, volume_unit=volume_unit)
    run("import_bars:import_bars", settings, workspace, as_json, job)


@app.command()
def build_panel(
    workspace: WorkspaceDir = Path(),
    as_json: AsJson = False,
    config: ConfigFile = None,
    job: JobDir = None,
    rebuild: Annotated[bool | None, typer.Option("--rebuild", help="From scratch.")] = None,
) -> None:
    """Build the panel: all stocks in one memory-mapped table, adjusted, with their conditions."""
    run(
        "build_panel:build_panel",
        settings_of(PanelSettings, config, rebuild=rebuild),
        workspace,
        as_json,
        job,
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
    settings = settings_of(AnalyzeSettings, config, as_of=as_of, max_stocks=max_stocks)
    run("analyze_universe:analyze_universe", settings, workspace, as_json, job)


@app.command()
@with_training
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
    settings = settings_of(TrainSettings, config, **training, resume=newest_match(resume, workspace))
    run("train_model:train_model", settings, workspace, as_json, job)


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
    settings = settings_of(
        ForecastSettings,
        config,
        checkpoint=newest_match(checkpoint, workspace),
        codes=split(codes),
        all=everything,
        as_of=as_of,
        first=first,
        last=last,
        bars=from_here(bars),
        out=from_here(out),
    )
    run("forecast_stock:forecast_stock", settings, workspace, as_json, job)


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
    settings = settings_of(
        ForecastSettings,
        config,
        checkpoint=newest_match(checkpoint, workspace),
        all=True,
        as_of=as_of,
        out=from_here(out),
    )
    run("scan_universe:scan_universe", settings, workspace, as_json, job)


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
    settings = settings_of(
        EvaluateSettings,
        config,
        checkpoints=[newest_match(path, workspace) for path in checkpoint] if checkpoint else None,
        first=first,
        last=last,
        baselines=baselines,
        out=from_here(out),
    )
    run("evaluate_model:evaluate_model", settings, workspace, as_json, job)


@app.command()
@with_training
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
    settings = settings_of(
        WalkForwardSettings,
        config,
        train=training or None,
        first=first,
        last=last,
        folds=folds,
        workers=workers,
        baselines=baselines,
    )
    run("walk_forward:walk_forward", settings, workspace, as_json, job)


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
    settings = settings_of(
        BacktestSettings,
        config,
        checkpoint=newest_match(checkpoint, workspace),
        first=first,
        last=last,
        top=top,
        drop=drop,
        holding=holding,
        cash_cny=cash,
        order_price=order_price,
        index=index,
        out=from_here(out),
    )
    run("backtest_model:backtest_model", settings, workspace, as_json, job)


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
    settings = settings_of(
        DoctorSettings, config, servers=server or None, skip_servers=skip_servers, port=port
    )
    run("doctor:doctor", settings, workspace, as_json, job)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit status; usage errors are one line like all others."""
    try:
        status = app(args=arguments, standalone_mode=False)
    except FinancialModelError as error:  # a setting that no settings object accepts
        if is_writer():
            fail(error, as_json="--json" in (arguments if arguments is not None else sys.argv[1:]))
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
        if is_writer():
            print(message if is_help else f"error: {message} (see --help)", file=sys.stderr)
        status = BAD_INPUT
    sys.exit(status if isinstance(status, int) else DONE)
