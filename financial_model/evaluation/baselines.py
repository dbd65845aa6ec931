"""What a model has to beat, on the very samples it is judged by.

Zero, momentum and reversal need no fit. Ridge and LightGBM learn from Alpha158-like features on the sessions
the model was trained on, and choose their one knob (penalty, number of trees) on its validation sessions, so
they know neither more nor less of the calendar than the model does. Fits are kept in the cache folder under a
fingerprint of everything that went into them.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.progress import Progress
from ..base.workspace import write_atomically
from .alpha_features import NAMES, alpha_features
from .information_coefficient import grouped_mean, grouped_ranks, session_ic
from .samples import tradable_return

if TYPE_CHECKING:
    from ..data.panel import Panel

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Integers = NDArray[np.int64]

MOMENTUM_BARS, REVERSAL_BARS = 20, 5
CLIP = 3.0
RIDGE_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # times the number of samples
# Above this many rows every n-th session is learned from: neighbouring sessions say nearly the same.
TRAIN_ROWS = 700_000
VALID_ROWS = 150_000
INDEX_WINDOWS = (1, 5, 20, 60)
CONDITIONS = (
    "industry",
    "style_size",
    "style_value",
    "style_volatility",
    "style_momentum",
    "style_liquidity",
    "regime",
)
LIGHTGBM: dict[str, Any] = {
    "objective": "regression",
    "metric": "l2",
    "learning_rate": 0.05,
    "num_leaves": 63,
    "min_data_in_leaf": 500,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 127,
    "num_threads": 2,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}
LIGHTGBM_ROUNDS, LIGHTGBM_PATIENCE = 600, 50
# Part of the cache's key: raise it when what a fit means has changed.
FIT_VERSION = 2


@dataclass(frozen=True)
class LearningSpan:
    """As-of sessions first <= position < stop that the fitted baselines may see: train, then validation."""

    train: tuple[int, int]
    valid: tuple[int, int]

    @classmethod
    def of_split(cls, panel: "Panel", split: dict[str, Any], context_length: int) -> "LearningSpan | None":
        """The span of a checkpoint's split (dates) on a panel; None unless the panel holds all of it.

        What the model looked back on belongs to it: a panel that begins with the first session learned from
        would give baselines less history than the model had.
        """
        begins = np.searchsorted(panel.sessions, np.datetime64(split["train"][0]))
        if not split["valid"] or begins < context_length - 1:
            return None
        train, valid = (
            (int(np.searchsorted(panel.sessions, np.datetime64(first))), panel.position_of(last) + 1)
            for first, last in (split["train"], split["valid"])
        )
        session = panel.session_index
        for first, stop in (train, valid):
            if not ((session >= first) & (session < stop)).any():
                return None
        return cls(train, valid)


@dataclass(frozen=True)
class Task:
    """What every baseline is given: a panel, the rows to score (rising), what may be learned from."""

    panel: "Panel"
    rows: Integers
    span: LearningSpan | None
    holding: int
    cache_dir: Path | None
    progress: Progress


def baseline_scores(
    panel: "Panel",
    rows: Integers,
    *,
    span: LearningSpan | None = None,
    holding: int = 1,
    names: tuple[str, ...] | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Floats]:
    """Scores (len(rows),) of each baseline on the given panel rows, which must rise; NaN where it has none.

    Without a span to learn from, only those that need no fit are made; without LightGBM those that need it
    are left out with a warning. `cache_dir` keeps fits between calls.
    """
    task = Task(panel, rows, span, holding, cache_dir, progress or Progress())
    scores = {}
    for name in names or tuple(BASELINES):
        if name in FITTED and span is None:
            continue
        if name.startswith("lightgbm") and find_spec("lightgbm") is None:
            task.progress.warn("LightGBM is not installed: this baseline is left out", key="no_lightgbm")
            continue
        task.progress.check_stop("The baselines fitted so far are kept.")
        task.progress.stage("baseline", f"baseline {name}", baseline=name)
        scores[name] = BASELINES[name](task)
    return scores


def zero(task: Task) -> Floats:
    """No view at all: every stock alike."""
    return np.zeros(len(task.rows))


def momentum(task: Task) -> Floats:
    """The return over the last 20 bars."""
    return trailing_return(task.panel, task.rows, MOMENTUM_BARS)


def reversal(task: Task) -> Floats:
    """Minus the return over the last 5 bars."""
    return -trailing_return(task.panel, task.rows, REVERSAL_BARS)


def trailing_return(panel: "Panel", rows: Integers, bars: int) -> Floats:
    """Return (len(rows),) over the stock's own last `bars` bars; NaN where it is younger than that."""
    close = panel.column("close")
    before = rows - bars
    known = before >= panel.offsets[panel.code_index[rows]]
    value = close[rows].astype(np.float64) / close[np.where(known, before, rows)] - 1
    return np.where(known, value, np.nan)


def ridge(task: Task) -> Floats:
    """Ridge regression of the label's rank in its session on session-standardised features."""
    fit = _cached(task, "ridge", _fit_ridge)
    weights = np.array(json.loads(fit)["weights"])
    return _standardised(task.panel, task.rows) @ weights


def lightgbm(task: Task) -> Floats:
    """Gradient-boosted trees on the Alpha158-like features."""
    return _lightgbm_score(task, _cached(task, "lightgbm", lambda t: _fit_lightgbm(t, False)), False)


def lightgbm_conditions(task: Task) -> Floats:
    """The same trees, which also see industry, styles, regime and the state of the index."""
    fit = _cached(task, "lightgbm_conditions", lambda t: _fit_lightgbm(t, True))
    return _lightgbm_score(task, fit, True)


BASELINES: dict[str, Callable[[Task], Floats]] = {
    "zero": zero,
    "momentum": momentum,
    "reversal": reversal,
    "ridge": ridge,
    "lightgbm": lightgbm,
    "lightgbm_conditions": lightgbm_conditions,
}
FITTED = {"ridge", "lightgbm", "lightgbm_conditions"}


def ranked_label(panel: "Panel", rows: Integers, holding: int) -> Floats:
    """The rank of each row's tradable return within its session, uniform with mean 0 and deviation 1.

    A linear fit to returns chases their tails and loses a quarter of the RankIC (docs/LOG.md).
    """
    label = tradable_return(panel, rows, holding)
    known = np.isfinite(label)
    _, group = np.unique(panel.session_index[rows[known]], return_inverse=True)
    count = np.bincount(group)[group]
    result = np.full(len(rows), np.nan)
    result[known] = ((grouped_ranks(label[known], group) + 0.5) / count - 0.5) * np.sqrt(12)
    return result


def _z_score(values: NDArray[Any], session: NDArray[Any]) -> Floats:
    """Columns (N, K) standardised within each session over their known values, clipped; NaN stays."""
    _, group = np.unique(session, return_inverse=True)
    result = np.empty(values.shape)
    groups = int(group.max()) + 1 if len(group) else 0
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column])
        mine, x = group[known], values[known, column].astype(np.float64)
        count = np.bincount(mine, minlength=groups)
        deviation = x - grouped_mean(x, mine, count)[mine]
        spread = np.sqrt(grouped_mean(deviation**2, mine, count))[mine]
        result[:, column] = np.nan
        result[known, column] = np.clip(deviation / np.maximum(spread, 1e-12), -CLIP, CLIP)
    return result


def _standardised(panel: "Panel", rows: Integers) -> Float32:
    """Alpha features standardised within the session, missing ones at the mean."""
    return np.nan_to_num(_z_score(alpha_features(panel, rows), panel.session_index[rows])).astype(np.float32)


def _learning_rows(task: Task, span: tuple[int, int], most: int) -> tuple[Integers, Floats]:
    """Rows of a span with a known label, thinned by whole sessions to about `most`; their ranked labels."""
    session = task.panel.session_index
    rows = np.flatnonzero((session >= span[0]) & (session < span[1]))
    every = max(1, -(-len(rows) // most))
    rows = rows[(session[rows] - span[0]) % every == 0]
    label = ranked_label(task.panel, rows, task.holding)
    known = np.isfinite(label)
    return rows[known], label[known]


def _fit_ridge(task: Task) -> str:
    assert task.span is not None
    rows, label = _learning_rows(task, task.span.train, TRAIN_ROWS)
    x = _standardised(task.panel, rows)
    gram = (x.T @ x).astype(np.float64)
    moment = x.T.astype(np.float64) @ label
    valid_rows, valid_label = _learning_rows(task, task.span.valid, VALID_ROWS)
    valid_x = _standardised(task.panel, valid_rows)
    session = task.panel.session_index[valid_rows].astype(np.int64)
    best: tuple[float, float, list[float]] | None = None
    for penalty in RIDGE_PENALTIES:
        weights = np.linalg.solve(gram + penalty * len(rows) * np.eye(len(gram)), moment)
        quality = float(np.nanmean(session_ic(valid_x @ weights, valid_label, session).rank_ic))
        if best is None or quality > best[0]:
            best = quality, penalty, weights.tolist()
    assert best is not None
    return json.dumps({"names": NAMES, "penalty": best[1], "valid_rank_ic": best[0], "weights": best[2]})


def _tree_features(task: Task, rows: Integers, conditions: bool) -> Float32:
    x = alpha_features(task.panel, rows)
    if not conditions:
        return x
    panel = task.panel
    state = index_state(panel)[panel.session_index[rows]]
    columns = [panel.column(name)[rows].astype(np.float32)[:, None] for name in CONDITIONS]
    return np.concatenate([x, *columns, state.astype(np.float32)], axis=1)


def index_state(panel: "Panel") -> Floats:
    """(S, 5): return of the equal-weighted market over 1, 5, 20, 60 sessions, and volatility over 20."""
    close = panel.column("close").astype(np.float64)
    previous = np.r_[np.nan, close[:-1]]
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.log(close / previous)
    change[panel.offsets[:-1][np.diff(panel.offsets) > 0]] = np.nan
    known = np.isfinite(change)
    count = np.bincount(panel.session_index[known], minlength=len(panel.sessions))
    market = np.nan_to_num(grouped_mean(change[known], panel.session_index[known].astype(np.int64), count))
    path = np.cumsum(market)
    columns = []
    for window in INDEX_WINDOWS:
        columns.append(np.r_[np.full(min(window, len(path)), np.nan), path[window:] - path[:-window]])
    squared = np.cumsum(market**2)
    columns.append(np.r_[np.full(min(20, len(path)), np.nan), np.sqrt((squared[20:] - squared[:-20]) / 20)])
    return np.stack(columns, axis=1)


def _fit_lightgbm(task: Task, conditions: bool) -> str:
    import lightgbm as library

    assert task.span is not None
    rows, label = _learning_rows(task, task.span.train, TRAIN_ROWS)
    valid_rows, valid_label = _learning_rows(task, task.span.valid, VALID_ROWS)
    categorical = list(range(len(NAMES), len(NAMES) + len(CONDITIONS))) if conditions else "auto"
    train = library.Dataset(
        _tree_features(task, rows, conditions), label, categorical_feature=categorical, params=LIGHTGBM
    )
    valid = library.Dataset(_tree_features(task, valid_rows, conditions), valid_label, reference=train)
    session = task.panel.session_index[valid_rows].astype(np.int64)

    def rank_ic(prediction: Floats, _: Any) -> tuple[str, float, bool]:
        return "rank_ic", float(np.nanmean(session_ic(prediction, valid_label, session).rank_ic)), True

    def report(state: Any) -> None:
        task.progress.check_stop("The baselines fitted so far are kept.")
        if state.iteration % 10 == 0:
            task.progress.emit("progress", done=state.iteration, total=LIGHTGBM_ROUNDS, unit="trees")

    booster = library.train(
        {**LIGHTGBM, "metric": "none"},
        train,
        num_boost_round=LIGHTGBM_ROUNDS,
        valid_sets=[valid],
        feval=rank_ic,
        callbacks=[library.early_stopping(LIGHTGBM_PATIENCE, verbose=False), report],
    )
    return str(booster.model_to_string(num_iteration=booster.best_iteration))


def _lightgbm_score(task: Task, fit: str, conditions: bool) -> Floats:
    import lightgbm as library

    booster = library.Booster(model_str=fit)
    return np.asarray(
        booster.predict(_tree_features(task, task.rows, conditions), num_threads=LIGHTGBM["num_threads"])
    )


def _cached(task: Task, name: str, fit: Callable[[Task], str]) -> str:
    """The fit as text, from the cache folder where the same one was made before."""
    if task.cache_dir is None:
        return fit(task)
    path = task.cache_dir / "baselines" / f"{name}_{_key(task, name)}.txt"
    if path.exists():
        return path.read_text(encoding="utf-8")
    text = fit(task)
    with write_atomically(path, "w", encoding="utf-8") as file:
        file.write(text)
    return text


def _key(task: Task, name: str) -> str:
    assert task.span is not None
    facts = {
        "version": FIT_VERSION,
        "panel": str(task.panel.fingerprint),
        "train": list(task.span.train),
        "valid": list(task.span.valid),
        "holding": task.holding,
        "features": NAMES,
        "rows": [TRAIN_ROWS, VALID_ROWS],
        "parameters": {**LIGHTGBM, "rounds": LIGHTGBM_ROUNDS}
        if name.startswith("light")
        else RIDGE_PENALTIES,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
