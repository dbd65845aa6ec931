"""How long a backtest takes as the universe grows.

    python benchmarks/backtest.py [--stocks 100 300 1000 1200] [--sessions 485] [--top 50]

Random walks and random scores in memory: every rank changes every day, so this is more trading than a model
does. Seconds are of the processor (one thread); the bound is one pass that reads the dense price arrays.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.evaluation import CONTEXT, exponent, make_panel, processor_s
from benchmarks.measure import describe_machine, print_table
from financial_model.base.config import BacktestSettings
from financial_model.data.source import Bars
from financial_model.evaluation.backtest import make_market, trade
from financial_model.evaluation.backtest_result import tell_backtest
from financial_model.evaluation.samples import Forecasts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, nargs="+", default=[100, 300, 1000, 1200])
    parser.add_argument("--sessions", type=int, default=485)
    parser.add_argument("--top", type=int, default=50)
    asked = parser.parse_args()
    print(describe_machine("numpy"))
    settings = BacktestSettings(checkpoint="none", top=asked.top)
    rows, sizes, totals = [], [], []
    for stocks in asked.stocks:
        panel = make_panel(stocks, asked.sessions + CONTEXT)
        index = Bars.of(settings.index, date=panel.sessions, close=np.full(len(panel.sessions), 3000.0))
        panel._indices[settings.index] = index
        tested = np.flatnonzero(panel.session_index >= CONTEXT)
        forecasts = Forecasts(tested, np.random.default_rng(1).standard_normal(len(tested)), None)
        prepare_s, market = processor_s(lambda f=forecasts, p=panel: make_market(f, p))
        trade_s, run = processor_s(lambda m=market: trade(m, settings))
        tell_s, told = processor_s(lambda r=run, p=panel: tell_backtest(r, p, settings, "random"))
        pass_s, _ = processor_s(lambda m=market: [np.nansum(grid) for grid in (m.open, m.close, m.amount)])
        total = prepare_s + trade_s + tell_s
        sizes.append(len(tested))
        totals.append(total)
        seconds = [f"{value:.2f}" for value in (prepare_s, trade_s, tell_s, total)]
        orders = sum(told["orders"].values())
        rows.append([stocks, f"{orders:,}", *seconds, f"{total / pass_s:.0f}"])
    columns = ["stocks", "orders", "prepare s", "trade s", "tell s", "total s", "times a pass"]
    slope = exponent(sizes, totals)
    print_table(
        f"backtest of {asked.sessions} sessions, top {asked.top}, exponent {slope:.2f}", columns, rows
    )


if __name__ == "__main__":
    main()
