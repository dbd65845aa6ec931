"""What the default model is worth on practice markets, beside baselines and the oracle, on the same samples.

    python benchmarks/skill.py --seeds 101 102 103 104 105 --signals 0.10 0.06 --work DIR [--ablations]

Each market is simulated, built and trained with default settings, then every contender ranks the test
sessions: the label is the return close t+1 -> close t+2. Results lie in DIR, one file a market and contender,
and are not made twice, so a run that was stopped goes on. Prints the tables of docs/RESULTS.md in Markdown.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from financial_model.base.config import ModelSettings, PanelSettings, SimulateSettings, TrainSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import CONDITIONS, Panel
from financial_model.datasets.dataset import StockDataset
from financial_model.datasets.market_features import LEADERS
from financial_model.datasets.multi_dim_dataset import open_dataset
from financial_model.datasets.splits import Span, split_by_date
from financial_model.datasets.targets import tradable_return
from financial_model.evaluation.baselines import LearningSpan, baseline_scores
from financial_model.evaluation.information_coefficient import (
    newey_west_lags,
    newey_west_se,
    session_ic,
)
from financial_model.forecasting.calibration import fit_calibration
from financial_model.models.ensemble import Ensemble
from financial_model.training.run_files import RunFiles
from financial_model.training.train import Trainer
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.simulate import simulate

BASELINES = ("lightgbm_conditions", "lightgbm", "ridge", "reversal", "momentum")
BATCH = 4096
Floats = NDArray[np.float64]
Figures = dict[str, Any]


def without(dataset: StockDataset, parts: tuple[str, ...]) -> StockDataset:
    """The dataset with these parts of what surrounds a stock told as constants, so that they say nothing."""
    matrices = dataset.matrices
    market, summary = matrices.market.clone(), matrices.summary.clone()
    names = dataset.feature_names
    conditions = tuple(
        torch.zeros_like(column) if name.split("_")[0] in parts else column
        for name, column in zip(CONDITIONS, matrices.conditions, strict=True)
    )
    if "industry" in parts:
        lags = [i for i, name in enumerate(names["market"]) if name.rsplit("_lag_")[0] + "_lag_0" in LEADERS]
        market[:, lags] = 0
        summary[:, [i for i, name in enumerate(names["summary"]) if name.startswith("industry")]] = 0
    if "market" in parts:
        market.zero_()
    return replace(dataset, matrices=replace(matrices, conditions=conditions, market=market, summary=summary))


ABLATIONS: dict[str, tuple[str, ...]] = {
    "no industry": ("industry",),
    "no style": ("style",),
    "no regime": ("regime",),
    "no market context": ("market",),
    "none of them": ("industry", "style", "regime", "market"),
}


def train_and_score(
    panel: Panel, settings: TrainSettings, workspace: Workspace, parts: tuple[str, ...] = ()
) -> tuple[NDArray[np.int64], Floats, float]:
    """Test rows, their scores, and the seconds the training took, features included."""
    begun = time.perf_counter()
    dataset = open_dataset(panel, settings)
    if parts:
        dataset = without(dataset, parts)
    trainer = Trainer(
        dataset, RunFiles(workspace, settings.output, settings.name), Progress(), fit_calibration
    )
    trainer.run()
    seconds = time.perf_counter() - begun
    best = [member.best for member in trainer.finished]
    ensemble = Ensemble(trainer.sizes, settings.model, trainer.levels, [one.scale for one in best]).eval()
    for network, one in zip(ensemble.members, best, strict=True):
        network.load_state_dict(one.weights)
    rows = np.flatnonzero(dataset.is_chosen & dataset.split.test.holds(panel.session_index))
    with torch.no_grad():
        parts_of = torch.from_numpy(rows).split(BATCH)
        score = torch.cat([ensemble(dataset.matrices.gather(some)).score for some in parts_of])
    return rows, score.numpy().astype(float), seconds


def test_figures(panel: Panel, rows: NDArray[np.int64], score: Floats) -> Figures:
    """IC and RankIC of each test session."""
    label = tradable_return(panel, 1)[rows].astype(float)
    found = session_ic(score, label, panel.session_index[rows].astype(np.int64))
    return {"session": found.session.tolist(), "ic": found.ic.tolist(), "rank_ic": found.rank_ic.tolist()}


def oracle_scores(panel: Panel, workspace: Workspace, rows: NDArray[np.int64]) -> Floats:
    table = pyarrow.parquet.read_table(workspace.stock_data_dir / "oracle.parquet")
    code = {name: i for i, name in enumerate(panel.codes)}
    width = len(panel.sessions)
    index = np.array([code[name] for name in table["code"].to_pylist()], np.int64)
    day = table["as_of"].to_numpy().astype("datetime64[D]")
    key = index * width + np.searchsorted(panel.sessions, day)
    order = np.argsort(key)
    wanted = panel.code_index[rows].astype(np.int64) * width + panel.session_index[rows]
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    hit = key[order][place] == wanted
    return np.where(hit, table["score"].to_numpy()[order][place], np.nan).astype(float)


def run_market(market: SimulateSettings, folder: Path, settings: TrainSettings, ablations: bool) -> None:
    """Everything about one market that is not in its folder yet."""
    workspace, progress = Workspace(folder), Progress()
    if not (folder / "built").exists():
        simulate(market, workspace, progress)
        build_panel(PanelSettings(), workspace, progress)
        (folder / "built").touch()
    panel = Panel.open(workspace)

    def once(name: str, make: Callable[[], Figures]) -> None:
        path = folder / f"{name.replace(' ', '_')}.json"
        if not path.exists():
            path.write_text(json.dumps(make()), encoding="utf-8")
            print(f"seed {market.seed} signal {market.signal}: {name} done", file=sys.stderr, flush=True)

    def model(parts: tuple[str, ...] = ()) -> Figures:
        rows, score, seconds = train_and_score(panel, settings, workspace, parts)
        return test_figures(panel, rows, score) | {"seconds": seconds}

    once("model", model)
    split = split_by_date(panel.sessions, settings)
    rows = test_rows(panel, settings, split.test)
    span = LearningSpan((split.train.first, split.train.stop), (split.valid.first, split.valid.stop))

    def baseline(name: str) -> Figures:
        return test_figures(panel, rows, baseline_scores(panel, rows, span=span, names=(name,))[name])

    for name in BASELINES:
        once(name, partial(baseline, name))
    once("oracle", lambda: test_figures(panel, rows, oracle_scores(panel, workspace, rows)))
    if ablations:
        for name, parts in ABLATIONS.items():
            once(name, partial(model, parts))


def test_rows(panel: Panel, settings: TrainSettings, span: Span) -> NDArray[np.int64]:
    """Rows of the test span that have a whole context, which is what the model forecasts."""
    offsets = np.asarray(panel.offsets, np.int64)
    position = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    is_whole = position >= settings.model.context_length - 1
    return np.flatnonzero(is_whole & span.holds(panel.session_index))


def tell(signal: float, folders: dict[int, Path], names: list[str]) -> None:
    """One Markdown table: IC by market, mean, share of the oracle, difference to LightGBM with conditions."""
    found = {
        name: [
            json.loads((folder / f"{name.replace(' ', '_')}.json").read_text()) for folder in folders.values()
        ]
        for name in names
    }
    oracle = float(np.mean([np.nanmean(one["ic"]) for one in found["oracle"]]))
    print(f"\nsignal {signal:.2f}, mean daily IC of the test sessions\n")
    print(
        "| contender | " + " | ".join(str(seed) for seed in folders) + " | mean | RankIC | of the oracle | "
        "less LightGBM with conditions | t |"
    )
    print("| --- " * (len(folders) + 6) + "|")
    for name in names:
        each = [float(np.nanmean(one["ic"])) for one in found[name]]
        rank = float(np.mean([np.nanmean(one["rank_ic"]) for one in found[name]]))
        gaps = [
            np.array(one["ic"], float) - np.array(other["ic"], float)
            for one, other in zip(found[name], found["lightgbm_conditions"], strict=True)
        ]
        # Markets are independent draws: their variances add.
        error = float(
            np.sqrt(sum(newey_west_se(g[np.isfinite(g)], newey_west_lags(len(g))) ** 2 for g in gaps))
        ) / len(gaps)
        gap = float(np.mean([np.nanmean(g) for g in gaps]))
        t = f"{gap / error:.1f}" if error > 0 else ""
        cells = " | ".join(f"{value:.4f}" for value in each)
        share = np.mean(each) / oracle
        print(f"| {name} | {cells} | {np.mean(each):.4f} | {rank:.4f} | {share:.3f} | {gap:+.4f} | {t} |")
    print("\ntraining, features included: " + ", ".join(f"{one['seconds']:.0f} s" for one in found["model"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--signals", type=float, nargs="+", default=[0.10, 0.06])
    parser.add_argument("--work", type=Path, required=True, help="folder for markets and results")
    parser.add_argument("--stocks", type=int, default=SimulateSettings.stocks)
    parser.add_argument("--sessions", type=int, default=SimulateSettings.sessions)
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--epochs", type=int, help="other than the default, for trying out")
    parser.add_argument("--hidden-size", type=int, help="other than the default, for trying out")
    parser.add_argument("--ensemble", type=int, help="members of the model, other than the default")
    options = parser.parse_args()
    settings = TrainSettings()
    if options.epochs:
        settings = replace(settings, epochs=options.epochs)
    if options.ensemble:
        settings = replace(settings, ensemble=options.ensemble)
    if options.hidden_size:
        settings = replace(settings, model=ModelSettings(hidden_size=options.hidden_size))
    for signal in options.signals:
        folders = {seed: options.work / f"{signal:.2f}" / str(seed) for seed in options.seeds}
        for seed, folder in folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            market = SimulateSettings(options.stocks, options.sessions, seed, signal)
            run_market(market, folder.resolve(), settings, options.ablations)
        names = ["model", *BASELINES, "oracle", *(ABLATIONS if options.ablations else ())]
        tell(signal, folders, names)


if __name__ == "__main__":
    main()
