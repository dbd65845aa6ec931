"""Retraining through time: each fold learns from what lay before its test span, all tests are one record.

A fold trains on the panel cut at the session before its test span, so nothing later is even in memory; the
purge of `datasets.splits` (context and label reach) lies between its training and validation, and between
validation and test. Folds only look back, so no embargo after a test span is needed. Each fold leaves a file;
a run that was stopped goes on where it stopped, one that was killed with the folds that are missing.
"""

import hashlib
import itertools
import json
import multiprocessing
import os
import queue
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch

from ..base.config import TrainSettings, WalkForwardSettings
from ..base.errors import PanelChanged, StopRequested, TooFewSessions
from ..base.progress import Event, Progress
from ..base.workspace import Workspace, locked, read_json, replace_when_done, write_json
from ..data.panel import Panel
from ..datasets.feature_cache import load_features
from ..datasets.multi_dim_dataset import MultiDimDataset
from ..datasets.splits import split_by_date
from ..evaluation.baselines import LearningSpan, baseline_scores
from ..evaluation.leakage import delay_check, permutation_check
from ..evaluation.report import write_report
from ..evaluation.result import judge
from ..evaluation.samples import Samples, make_samples, read_forecasts
from ..forecasting.conditional_inference import open_predictor
from ..forecasting.forecast import forecast_table
from ..models.checkpoint import checkpoint_path
from ..training.run_files import RunFiles
from .train_model import train_on_panel, with_full_codes

Json = dict[str, Any]

# Without a first date, the first half of the sessions is for the first fold to learn from.
FIRST_TEST_SHARE = 0.5
POLL_S = 0.2


@dataclass(frozen=True)
class Fold:
    """One retraining: learns from sessions before `first`, is judged on as-of sessions first..last."""

    number: int
    settings: TrainSettings
    first: date
    last: date
    fingerprint: str
    """Of the panel that the folds were planned on."""


def walk_forward(settings: WalkForwardSettings, workspace: Workspace, progress: Progress) -> Json:
    """Train and judge fold after fold; the result is one evaluation over all test spans, kind "walk_forward".

    It also lists the folds ("folds": dates, split, checkpoint, RankIC), and where the record of all
    forecasts lies ("record", a forecast table in Parquet).
    """
    progress.stage("load", "loading the panel")
    settings = replace(settings, train=with_full_codes(settings.train, workspace))
    panel = Panel.open(workspace)
    load_features(panel, workspace, progress)  # once, before the folds ask for them side by side
    folds = plan_folds(panel, settings)
    check_listed(panel, folds)
    folder = workspace.inside(f"output/{settings.train.name}_walk_{_key(panel, settings, folds)}")
    with locked(folder / ".lock", "walk-forward", f"The walk-forward {folder.name}"):
        return _walk(folder, folds, panel, settings, workspace, progress)


def _walk(
    folder: Path,
    folds: list[Fold],
    panel: Panel,
    settings: WalkForwardSettings,
    workspace: Workspace,
    progress: Progress,
) -> Json:
    missing = [fold for fold in folds if not _record_path(folder, fold).is_file()]
    done = len(folds) - len(missing)
    progress.stage(
        "walk_forward", f"{len(folds)} folds, {done} of them done before", folds=len(folds), done=done
    )
    run_folds(missing, workspace, folder, settings.workers, progress)

    record = pa.concat_tables([pa.parquet.read_table(_record_path(folder, fold)) for fold in folds])
    samples = make_samples(read_forecasts(record, panel), panel, settings.train.holding)
    progress.stage("baselines", "fitting the baselines of each fold, or taking them from the cache")
    baselines = baselines_of_folds(folds, samples, panel, workspace, progress) if settings.baselines else {}
    facts = {"walk_forward": settings.to_json()}
    result = judge(samples, panel, name=settings.train.name, baselines=baselines, settings=facts)
    result = result.with_leakage([permutation_check(samples), delay_check(samples, panel)])

    told: Json = {
        "kind": "walk_forward",
        "models": [result.to_json()],
        "comparison": [],
        "folds": [_tell_fold(fold, folder, result.facts["curve"]) for fold in folds],
        "record": str(folder / "record.parquet"),
        "message": result.facts["headline"]["en"],
    }
    with replace_when_done(folder / "record.parquet") as beside:
        pa.parquet.write_table(record, beside)
    write_json(folder / "walk_forward.json", told)
    write_report(folder / "walk_forward.html", told)
    return told | {"out": str(folder / "walk_forward.html")}


def plan_folds(panel: Panel, settings: WalkForwardSettings) -> list[Fold]:
    """The test spans, equal parts of first..last, each with the training settings of what lies before it.

    Where the training settings give both of their dates, every fold keeps that distance between them; else
    the share of `split_by_date` validates. TooFewSessions when the first fold has nothing to learn from.
    """
    sessions = panel.sessions
    count = len(sessions)
    begin = (
        round(FIRST_TEST_SHARE * count) if settings.first is None else _position_from(panel, settings.first)
    )
    end = count if settings.last is None else panel.position_of(settings.last) + 1
    if end - begin < settings.folds:
        raise TooFewSessions(
            "The test range",
            max(end - begin, 0),
            settings.folds,
            "Choose an earlier first date, or fewer folds.",
        )
    train = settings.train
    valid_count = None
    if train.train_end is not None and train.valid_end is not None:
        valid_count = panel.position_of(train.valid_end) - panel.position_of(train.train_end)
    folds = []
    bounds = np.linspace(begin, end, settings.folds + 1).round().astype(int)
    for number, (first, stop) in enumerate(itertools.pairwise(bounds), start=1):
        valid_end = sessions[first - 1].astype(date)
        train_end = None if valid_count is None else sessions[max(first - 1 - valid_count, 0)].astype(date)
        own = replace(train, train_end=train_end, valid_end=valid_end, name=f"fold{number}", resume=None)
        split_by_date(sessions[:first], own)  # says which span is too short before hours of training
        span = sessions[first].astype(date), sessions[stop - 1].astype(date)
        folds.append(Fold(number, own, *span, panel.fingerprint))
    return folds


def check_listed(panel: Panel, folds: list[Fold]) -> None:
    """TooFewSessions where none of the named stocks was listed before a fold's test span.

    One that lists later is absent from the folds before it; CodeNotHeld names one that the panel lacks.
    """
    codes = folds[0].settings.codes
    if not codes:
        return
    first = min(int(panel.session_index[panel.rows_of(code).start]) for code in codes)
    for fold in folds:
        if first > panel.position_of(fold.settings.valid_end):
            remedy = f"Name stocks listed before {fold.first}, or choose a later first date."
            raise TooFewSessions(f"Fold {fold.number} of the chosen stocks", 0, 1, remedy)


def _position_from(panel: Panel, day: date) -> int:
    return int(np.searchsorted(panel.sessions, np.datetime64(day)))


def _key(panel: Panel, settings: WalkForwardSettings, folds: list[Fold]) -> str:
    """What makes two walks the same one: data, training settings and test spans; not the workers."""
    facts = [
        panel.fingerprint,
        settings.train.to_json(),
        [(str(fold.first), str(fold.last)) for fold in folds],
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _record_path(folder: Path, fold: Fold) -> Path:
    return folder / f"fold_{fold.number}.parquet"


def run_folds(
    folds: list[Fold], workspace: Workspace, folder: Path, workers: int, progress: Progress
) -> None:
    """Run the folds here one by one, or `workers` at a time in processes of their own."""
    if workers == 1 or len(folds) < 2:
        for fold in folds:
            run_fold(fold, workspace, folder, progress)
        return
    # spawn: a fork would copy torch's threads half-way through whatever they do.
    context = multiprocessing.get_context("spawn")
    events, stop = context.Queue(), context.Event()
    workers = min(workers, len(folds))
    # The cores are shared out: threads of several trainings on one core wait for each other.
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(events, stop, threads)
    ) as pool:
        pending = {pool.submit(_run_in_worker, fold, str(workspace.root), folder) for fold in folds}
        try:
            while pending:
                done, pending = wait(pending, timeout=POLL_S)
                _hand_on(events.get_nowait, progress)
                for one in done:
                    one.result()
                if progress.is_stop_requested():
                    stop.set()
        except BaseException:
            stop.set()
            _cancel(pending)
            raise


def _hand_on(take: Callable[[], Event], progress: Progress) -> None:
    """Tell the parent's sinks what the workers have said since the last time."""
    while True:
        try:
            event = take()
        except queue.Empty:
            return
        progress.emit(event.pop("kind"), **{name: value for name, value in event.items() if name != "time"})


def _cancel(pending: set["Future[None]"]) -> None:
    for one in pending:
        one.cancel()


_worker_progress = Progress()


def _start_worker(events: Any, stop: Any, threads: int) -> None:
    global _worker_progress
    torch.set_num_threads(threads)
    _worker_progress = Progress(events.put, stop=stop.is_set)


def _run_in_worker(fold: Fold, root: str, folder: Path) -> None:
    run_fold(fold, Workspace(root), folder, _worker_progress)


def run_fold(fold: Fold, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train one fold, forecast its test span, and leave both as files; StopRequested when asked to."""
    progress.check_stop(_kept(folder))
    progress.stage(
        "fold",
        f"fold {fold.number}: testing {fold.first} to {fold.last}",
        fold=fold.number,
        first=str(fold.first),
        last=str(fold.last),
    )
    panel = Panel.open(workspace)
    if panel.fingerprint != fold.fingerprint:
        raise PanelChanged("The walk-forward", workspace.panel_path)
    known = panel.truncated(fold.settings.valid_end)
    relative = folder.relative_to(workspace.root).as_posix()
    # A training that was stopped half-way left word where to go on.
    halfway = folder / f"fold_{fold.number}_resume.json"
    resume = read_json(halfway)["resume"] if halfway.is_file() else None
    own = replace(fold.settings, output=relative, resume=resume)
    if own.codes:
        own = replace(own, codes=tuple(code for code in own.codes if code in known))
    elif own.max_stocks is not None:
        # By name, as of now: the first codes of the whole panel may be stocks that are not listed yet.
        own = replace(own, codes=tuple(known.codes[: own.max_stocks]), max_stocks=None)
    trained = train_on_panel(known, own, RunFiles(workspace, relative, own.name), progress)
    if trained["stopped"]:
        write_json(halfway, {"resume": trained["resume"]})
        raise StopRequested(_kept(folder))
    path = checkpoint_path(workspace, trained["checkpoint"])
    predictor = open_predictor(path, panel, features=load_features(panel, workspace))
    rows = predictor.rows(first=fold.first, last=fold.last)
    rows = rows[MultiDimDataset.choose(panel, own)[rows]]
    score, quantiles = predictor.forecast_rows(rows)
    table = forecast_table(panel, rows, quantiles, score)
    facts = {"checkpoint": trained["checkpoint"], "split": predictor.checkpoint.split}
    write_json(folder / f"fold_{fold.number}.json", facts)
    # The record last: its presence says that the fold is done.
    with replace_when_done(_record_path(folder, fold)) as beside:
        pa.parquet.write_table(table, beside)


def _kept(folder: Path) -> str:
    return f"The folds done so far are kept in {folder}; start again with the same settings to go on."


def baselines_of_folds(
    folds: list[Fold], samples: Samples, panel: Panel, workspace: Workspace, progress: Progress
) -> dict[str, np.ndarray]:
    """Baselines refitted fold by fold, on the sessions that fold's model had; aligned with the samples."""
    scores: dict[str, np.ndarray] = {}
    for fold in folds:
        # The sessions the model had: shares of a longer panel would end the baselines' training earlier.
        split = split_by_date(panel.sessions[: _position_from(panel, fold.first)], fold.settings)
        span = LearningSpan((split.train.first, split.train.stop), (split.valid.first, split.valid.stop))
        mine = (samples.session >= _position_from(panel, fold.first)) & (
            samples.session <= panel.position_of(fold.last)
        )
        made = baseline_scores(
            panel,
            samples.row[mine],
            span=span,
            holding=samples.holding,
            cache_dir=workspace.cache_dir,
            progress=progress,
        )
        for name, score in made.items():
            scores.setdefault(name, np.full(len(samples), np.nan))[mine] = score
    return scores


def _tell_fold(fold: Fold, folder: Path, curve: Json) -> Json:
    facts = read_json(folder / f"fold_{fold.number}.json")
    pairs = zip(curve["session"], curve["rank_ic"], strict=True)
    mine = [value for day, value in pairs if str(fold.first) <= day <= str(fold.last) and value is not None]
    return {
        "fold": fold.number,
        "first": str(fold.first),
        "last": str(fold.last),
        "rank_ic": float(np.mean(mine)) if mine else None,
        **facts,
    }
