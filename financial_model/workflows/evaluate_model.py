"""Checkpoint -> forecasts of a range it never saw -> what they were worth, beside baselines."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..base.config import EvaluateSettings, TrainSettings
from ..base.errors import BadSetting, EmptyTestRange, SeenInTraining
from ..base.progress import Progress
from ..base.workspace import Workspace, output_path, write_json
from ..data.panel import Panel
from ..datasets.feature_cache import load_features
from ..datasets.multi_dim_dataset import MultiDimDataset
from ..datasets.splits import first_unseen
from ..evaluation.baselines import LearningSpan, baseline_scores
from ..evaluation.information_coefficient import paired_difference
from ..evaluation.leakage import delay_check, permutation_check, truncation_check
from ..evaluation.notes import note, note_other_market
from ..evaluation.report import write_report
from ..evaluation.result import EvaluationResult, judge
from ..evaluation.samples import Forecasts, Samples, make_samples
from ..forecasting.conditional_inference import open_predictor
from ..forecasting.inference import Predictor
from ..models.checkpoint import checkpoint_path

Json = dict[str, Any]

TRUNCATION_DAYS = 2


@dataclass(frozen=True)
class Contender:
    """One checkpoint, opened on the panel, with its name on the page."""

    name: str
    path: Path
    predictor: Predictor

    @property
    def settings(self) -> TrainSettings:
        return self.predictor.checkpoint.settings

    @property
    def first_unseen(self) -> date:
        return first_unseen(self.predictor.checkpoint.split, self.predictor.checkpoint.data)


def evaluate_model(settings: EvaluateSettings, workspace: Workspace, progress: Progress) -> Json:
    """Judge checkpoints on sessions none of them has seen; several stand side by side on the same samples.

    The result: {"kind": "evaluation", "models": [EvaluationResult.to_json() ..], "comparison": [paired
    differences of RankIC, first minus second], "notes": what to know beside them, "out": the report,
    "message"}. SeenInTraining names the first
    session allowed.
    """
    if not settings.checkpoints:
        raise BadSetting("checkpoints", [], "at least one checkpoint file")
    paths = [checkpoint_path(workspace, one) for one in settings.checkpoints]
    stem, *others = (workspace.stem_of(path, workspace.output_dir) for path in paths)
    tags = [*(f"vs_{other}" for other in others), *settings.tags("checkpoints", "out")]
    default = workspace.result_path(stem, "evaluation", tags, ".html")
    out = output_path(settings.out or default, ".html", companions=(".json",))
    progress.stage("load", "loading the panel and the checkpoints")
    panel = Panel.open(workspace)
    contenders = open_contenders(settings.checkpoints, panel, workspace, progress)
    first, last = allowed_range(contenders, panel, settings.first, settings.last)
    progress.check_stop("Nothing was written.")

    until = str(last or panel.last_session)
    progress.stage("forecast", f"forecasting {first} to {until}", first=str(first), last=until)
    samples = common_samples(
        [
            make_samples(forecasts_of_range(one, panel, first, last), panel, one.settings.holding)
            for one in contenders
        ]
    )
    if not np.isfinite(samples[0].label).any():
        raise EmptyTestRange(first, last, panel.last_session.astype(date))

    results: list[EvaluationResult] = []
    notes = other_markets(contenders, panel, progress)
    for one, mine in zip(contenders, samples, strict=True):
        progress.check_stop("Nothing was written.")
        baselines = {}
        # The first checkpoint's samples are everybody's, so its baselines serve for all.
        if settings.baselines and not results:
            progress.stage("baselines", "fitting the baselines, or taking them from the cache")
            split, context = one.predictor.checkpoint.split, one.settings.model.context_length
            span = LearningSpan.of_split(panel, split, context)
            if span is None:
                notes.append(
                    note(
                        progress,
                        "baselines_left_out",
                        begins=str(panel.sessions[0]),
                        first=split["train"][0],
                        last=(split["valid"] or split["train"])[1],
                        looked_back=context - 1,
                    )
                )
            baselines = baseline_scores(
                panel,
                mine.row,
                span=span,
                holding=mine.holding,
                cache_dir=workspace.cache_dir,
                progress=progress,
            )
        progress.stage("judge", f"judging {one.name}", name=one.name)
        result = judge(mine, panel, name=one.name, baselines=baselines, settings=facts_of(one, settings))
        results.append(result.with_leakage(leak_checks(one, mine, panel, progress)))
    return tell(results, out, notes)


def open_contenders(
    paths: tuple[str, ...], panel: Panel, workspace: Workspace, progress: Progress
) -> list[Contender]:
    """The checkpoints on one panel, whose features are computed once for all."""
    features = load_features(panel, workspace, progress)
    contenders = []
    for text in paths:
        path = checkpoint_path(workspace, text)
        contenders.append(Contender(path.stem, path, open_predictor(path, panel, features=features)))
    return contenders


def other_markets(contenders: list[Contender], panel: Panel, progress: Progress) -> list[Json]:
    """Notes of the checkpoints that learned from practice and are judged on reality, or the reverse."""
    return [
        told
        for one in contenders
        for told in note_other_market(progress, one.name, one.predictor.checkpoint.data, panel.is_simulated)
    ]


def allowed_range(
    contenders: list[Contender], panel: Panel, first: date | None, last: date | None
) -> tuple[date, date | None]:
    """The range to judge: from the first session no contender has learned from, unless told a later one."""
    unseen = max(one.first_unseen for one in contenders)
    position = int(np.searchsorted(panel.sessions, np.datetime64(unseen)))
    if position >= len(panel.sessions):
        raise EmptyTestRange(first or unseen, last, panel.last_session.astype(date))
    allowed = panel.sessions[position].astype(date)
    seen = panel.sessions[position - 1].astype(date) if position else unseen - timedelta(days=1)
    if first is not None and np.searchsorted(panel.sessions, np.datetime64(first)) < position:
        raise SeenInTraining(first, allowed, seen)
    if last is not None and last < unseen:
        raise SeenInTraining(first or last, allowed, seen)
    return first or allowed, last


def forecasts_of_range(one: Contender, panel: Panel, first: date, last: date | None) -> Forecasts:
    """Forecasts of the stocks a checkpoint was made for, in panel order."""
    rows = one.predictor.rows(first=first, last=last)
    rows = rows[MultiDimDataset.choose(panel, one.settings)[rows]]
    if not len(rows):
        raise EmptyTestRange(first, last, panel.last_session.astype(date))
    # By session, as the calibration walks; the judge wants them in panel order.
    score, quantiles = one.predictor.forecast_rows(rows)
    order = np.argsort(rows)
    return Forecasts(rows[order], score[order].astype(np.float64), quantiles[order])


def common_samples(many: list[Samples]) -> list[Samples]:
    """Cut to the (stock, session) pairs that all contenders forecast, so that they are judged alike."""
    if len({one.holding for one in many}) > 1:
        raise BadSetting("checkpoints", sorted({one.holding for one in many}), "models of one holding period")
    rows = many[0].row
    for other in many[1:]:
        rows = np.intersect1d(rows, other.row, assume_unique=True)
    return [one.only(np.isin(one.row, rows, assume_unique=True)) for one in many]


def leak_checks(one: Contender, samples: Samples, panel: Panel, progress: Progress) -> list[Json]:
    """The three checks of the report; the truncated panels are the costly ones, so there are few."""
    progress.stage("leakage", f"leak checks of {one.name}", name=one.name)
    known = np.unique(samples.session[np.isfinite(samples.label)])
    places = np.linspace(0, len(known) - 1, TRUNCATION_DAYS + 2)[1:-1].astype(int)
    days = [panel.sessions[known[place]].astype(date) for place in sorted(set(places.tolist()))]

    def forecast(data: Panel, day: date) -> pa.Table:
        predictor = one.predictor if data is panel else open_predictor(one.path, data)
        return predictor.forecast(as_of=day)

    checks = []
    for check in (
        lambda: truncation_check(forecast, panel, days),
        lambda: permutation_check(samples),
        lambda: delay_check(samples, panel),
    ):
        progress.check_stop("Nothing was written.")
        checks.append(check())
    return checks


def facts_of(one: Contender, settings: EvaluateSettings) -> Json:
    """What made the forecasts: the settings of training and evaluation, the split and the data."""
    checkpoint = one.predictor.checkpoint
    return {
        "checkpoint": one.path.name,
        "evaluate": settings.to_json(),
        "train": checkpoint.settings.to_json(),
        "split": checkpoint.split,
        "trained_on": {name: value for name, value in checkpoint.data.items() if name != "codes"},
    }


def compare(results: list[EvaluationResult]) -> list[Json]:
    """Paired difference of RankIC (and IC) of each checkpoint against each later one."""
    rows = []
    for place, first in enumerate(results):
        for second in results[place + 1 :]:
            overlap = int(first.facts["holding"])
            rows.append(
                {
                    "first": first.facts["name"],
                    "second": second.facts["name"],
                    "rank_ic": paired_difference(
                        first.series.rank_ic, second.series.rank_ic, overlap
                    ).to_json(),
                    "ic": paired_difference(first.series.ic, second.series.ic, overlap).to_json(),
                }
            )
    return rows


def tell(results: list[EvaluationResult], out: Path, notes: list[Json]) -> Json:
    """Write the report and hand back the result."""
    result: Json = {
        "kind": "evaluation",
        "models": [one.to_json() for one in results],
        "comparison": compare(results),
        "notes": notes,
        "message": results[0].facts["headline"]["en"],
    }
    write_report(out, result)  # first: what lies beside it is known as ours by it
    write_json(out.with_suffix(".json"), result)
    return result | {"out": str(out)}
