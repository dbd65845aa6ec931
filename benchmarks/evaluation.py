"""How long judging takes as the universe grows: baselines and forecasts excluded, everything else in.

    python benchmarks/evaluation.py [--stocks 100 300 1000 1200] [--sessions 485] [--steps 5]

Random walks in memory; quantiles and scores for each stock and session. Seconds are of the processor (one
thread), so that other work on the machine does not count; the bound is one argsort of the scores, which no
ranking can do without. The exponent is that of seconds over samples, fitted through all sizes.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import describe_machine, print_table
from financial_model.data.panel import CONDITIONS, Panel
from financial_model.evaluation.leakage import delay_check, permutation_check
from financial_model.evaluation.result import judge, samples_of
from financial_model.evaluation.samples import Forecasts

CONTEXT = 120  # sessions before the tested ones
NORMAL = np.array([-1.645, -0.674, 0.0, 0.674, 1.645])


def make_panel(stocks: int, sessions: int, seed: int = 0) -> Panel:
    """Random walks with limits, shares and conditions; every stock trades in every session."""
    rng = np.random.default_rng(seed)
    close = 10 * np.exp(np.cumsum(0.02 * rng.standard_normal((stocks, sessions)), axis=1))
    open_ = close * np.exp(0.005 * rng.standard_normal(close.shape))
    previous = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    days = np.busday_offset("2018-01-01", np.arange(sessions), roll="forward").astype("datetime64[D]")
    columns = {
        "close": close,
        "open": open_,
        "high": np.maximum(open_, close),
        "low": np.minimum(open_, close),
        "volume": np.exp(rng.normal(13, 0.5, close.shape)),
        "amount": np.exp(rng.normal(17, 0.5, close.shape)),
        "limit_up": previous * 1.1,
        "limit_down": previous * 0.9,
        **{name: rng.integers(0, 6, close.shape) for name in CONDITIONS},
    }
    words = {name: ("unknown", *(f"{name}{k}" for k in range(5))) for name in CONDITIONS}
    codes = np.repeat([f"SH{600000 + k}" for k in range(stocks)], sessions)
    return Panel.from_columns(
        codes,
        np.tile(days, stocks),
        {name: values.ravel() for name, values in columns.items()},
        vocabularies=words,
    )


def make_forecasts(panel: Panel, steps: int) -> Forecasts:
    rng = np.random.default_rng(1)
    rows = np.flatnonzero(panel.session_index >= CONTEXT)
    fan = 0.02 * np.sqrt(np.arange(1, steps + 1))[:, None] * NORMAL
    return Forecasts(rows, rng.standard_normal(len(rows)), np.broadcast_to(fan, (len(rows), steps, 5)).copy())


def processor_s(run: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The least processor seconds of some runs, and what the last one gave."""
    seconds, result = [], None
    for _ in range(repeats):
        begun = time.process_time()
        result = run()
        seconds.append(time.process_time() - begun)
    return min(seconds), result


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, nargs="+", default=[100, 300, 1000, 1200])
    parser.add_argument("--sessions", type=int, default=485)
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    print(describe_machine("numpy"))
    rows, sizes, totals = [], [], []
    for stocks in asked.stocks:
        panel = make_panel(stocks, asked.sessions + CONTEXT)
        forecasts = make_forecasts(panel, asked.steps)
        join_s, samples = processor_s(lambda f=forecasts, p=panel: samples_of(f, p))
        judge_s, _ = processor_s(lambda s=samples, p=panel: judge(s, p))
        leak_s, _ = processor_s(lambda s=samples, p=panel: (permutation_check(s), delay_check(s, p)))
        sort_s, _ = processor_s(lambda s=samples: np.argsort(s.score))
        total = join_s + judge_s + leak_s
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sizes.append(len(samples))
        totals.append(total)
        seconds = [f"{value:.2f}" for value in (join_s, judge_s, leak_s, total)]
        rows.append([stocks, f"{len(samples):,}", *seconds, f"{total / sort_s:.0f}", f"{peak:.0f}"])
    columns = [
        "stocks",
        "samples",
        "join s",
        "judge s",
        "leaks s",
        "total s",
        "times an argsort",
        "peak MiB",
    ]
    title = f"evaluation of {asked.sessions} sessions x {asked.steps} steps"
    title += f", exponent {exponent(sizes, totals):.2f}"
    print_table(title, columns, rows)


if __name__ == "__main__":
    main()
