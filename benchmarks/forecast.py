"""How long a forecast takes once its checkpoint is loaded, against the bare network on the same inputs.

    python benchmarks/forecast.py WORKSPACE CHECKPOINT [--stocks 100] [--repeats 5] [--threads 2]

WORKSPACE holds a panel, CHECKPOINT (output/NAME_best.pt) was trained on it. Each session asked for is another
one, of a predictor that is opened anew for each repeat: the first also steers the calibration over those
before it. Without --stocks all are asked for that traded. The bound is one pass of the network over that
session's batch, gathered beforehand. Wall seconds, medians with their spread.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import describe_machine, print_table
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.datasets.feature_cache import load_features
from financial_model.forecasting.conditional_inference import open_predictor
from financial_model.models.checkpoint import checkpoint_path

APART = 25  # sessions between those asked for


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def repeat(panel: Panel, path: Path, features: Any, stocks: int | None) -> tuple[dict[str, float], int]:
    """Seconds of each kind of asking, by one predictor, and how many stocks one session had."""
    codes = None if stocks is None else panel.codes[:stocks]
    days = [panel.sessions[-1 - k * APART].item() for k in range(3)]
    seconds: dict[str, float] = {}
    seconds["load"], predictor = timed(lambda: open_predictor(path, panel, features=features))
    if codes is not None:  # of the codes wanted those that can be forecast as of each of these sessions
        usable = [
            {panel.codes[panel.code_index[row]] for row in predictor.rows(None, as_of=day)} for day in days
        ]
        codes = sorted(set(codes).intersection(*usable))
    for name, day in zip(("first session", "another session", "that session again"), days, strict=False):
        day = days[1] if name == "that session again" else day
        seconds[name], table = timed(lambda day=day: predictor.forecast(codes, as_of=day))
    rows = predictor.rows(codes, as_of=days[1])
    batch = predictor.batch(torch.from_numpy(rows))
    with torch.inference_mode():
        seconds["bare network"], _ = timed(lambda: predictor.network(batch))
    return seconds, table.num_rows // predictor.prediction_length


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", metavar="WORKSPACE")
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("--stocks", type=int, help="the first so many codes of the panel; all when not given")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    workspace = Workspace(options.workspace)
    panel = Panel.open(workspace)
    features = load_features(panel, workspace)
    path = checkpoint_path(workspace, options.checkpoint)
    repeat(panel, path, features, options.stocks)  # what is loaded and mapped at the first use
    taken = [repeat(panel, path, features, options.stocks) for _ in range(options.repeats)]
    bound = statistics.median(seconds["bare network"] for seconds, _ in taken)
    rows = []
    for name in ("bare network", "first session", "another session", "that session again", "load"):
        every = [seconds[name] for seconds, _ in taken]
        median = statistics.median(every)
        rows.append((name, f"{median:.4f}", f"{min(every):.4f} to {max(every):.4f}", f"{median / bound:.2f}"))
    print(describe_machine("torch", "numpy"))
    title = f"{taken[0][1]} stocks, {options.repeats} repeats, {options.threads} threads"
    print_table(title, ("asked", "median s", "spread s", "times the bare network"), rows)


if __name__ == "__main__":
    main()
