"""The practice market's oracle, judged by the same code as a model: its IC is known beforehand.

    python benchmarks/oracle.py [--stocks 300] [--sessions 2000] [--seeds 5] [--signal 0.10 0.06]

The last quarter of the sessions is tested, as of sessions after 1,502 of 2,000. For 300 stocks and 2,000
sessions the filtered oracle is stated at IC .0964 (signal .10) and .0657 (.06). Beside it stand the one who
knows the hidden regime (the ceiling), reversal and momentum, and the oracle's scores given to other stocks of
the same session, which must be chance.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import describe_machine, print_table
from financial_model.base.config import SimulateSettings
from financial_model.data.panel import Panel
from financial_model.data.simulated_market import SimulatedMarket, simulate_market
from financial_model.evaluation.baselines import baseline_scores
from financial_model.evaluation.result import evaluate_forecasts
from financial_model.evaluation.samples import Forecasts

STATED = {0.10: 0.0964, 0.06: 0.0657}


def panel_of(market: SimulatedMarket) -> Panel:
    """The market as a panel in memory, one row a bar."""
    row, session = np.nonzero(np.isfinite(market.close))
    factor = market.factor[row, session]
    raw = {name: getattr(market, name)[row, session] for name in ("open", "high", "low", "close")}
    return Panel.from_columns(
        np.array(market.codes)[row],
        market.sessions[session],
        {name: values * factor for name, values in raw.items()}
        | {"raw_close": raw["close"], "factor": factor},
        is_simulated=True,
    )


def judge_market(settings: SimulateSettings) -> dict[str, dict[str, Any]]:
    """The summary of each forecaster on the last quarter of one market."""
    market = simulate_market(settings)
    panel = panel_of(market)
    rows = np.flatnonzero(panel.session_index >= round(0.751 * len(panel.sessions)))
    position = np.searchsorted(market.sessions, panel.sessions)
    code = np.searchsorted(market.codes, panel.codes)
    place = code[panel.code_index[rows]], position[panel.session_index[rows]]
    oracle = market.oracle[place].astype(float)
    scores = {"oracle": oracle, "knows the regime": market.known_regime[place].astype(float)}
    scores |= baseline_scores(panel, rows, names=("reversal", "momentum"))
    rng = np.random.default_rng(settings.seed)
    session = panel.session_index[rows]
    shuffled = np.empty(len(rows))
    shuffled[np.argsort(session, kind="stable")] = oracle[np.lexsort((rng.random(len(rows)), session))]
    scores["oracle, shuffled"] = shuffled
    return {
        name: evaluate_forecasts(Forecasts(rows, np.nan_to_num(score), None), panel, name=name).facts
        for name, score in scores.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, default=300)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--signal", type=float, nargs="+", default=[0.10, 0.06])
    asked = parser.parse_args()
    print(describe_machine("numpy"))
    for signal in asked.signal:
        begun = time.perf_counter()
        found = [
            judge_market(
                SimulateSettings(stocks=asked.stocks, sessions=asked.sessions, seed=seed, signal=signal)
            )
            for seed in range(asked.seeds)
        ]
        rows = []
        for name in found[0]:
            ics = np.array([one[name]["summary"]["ic"]["mean"] for one in found])
            ranks = np.array([one[name]["summary"]["rank_ic"]["mean"] for one in found])
            error = np.mean([one[name]["summary"]["ic"]["se"] for one in found])
            verdicts = [one[name]["headline"]["verdict"] for one in found]
            spread = f"{ics.min():.4f} to {ics.max():.4f}"
            told = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in ("above", "chance", "below"))
            rows.append([name, f"{ics.mean():.4f}", spread, f"{error:.4f}", f"{ranks.mean():.4f}", told])
        stated = STATED.get(signal)
        title = f"signal {signal}: {asked.seeds} seeds, {asked.stocks} stocks x {asked.sessions} sessions"
        title += f", stated oracle IC {stated}" if stated else ""
        columns = ["forecaster", "IC", "over seeds", "s.e. of one", "RankIC", "verdicts"]
        print_table(f"{title} ({time.perf_counter() - begun:.0f} s)", columns, rows)


if __name__ == "__main__":
    main()
