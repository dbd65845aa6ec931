"""A market of random walks in a workspace, as large as a measurement asks for, with dated facts.

    python benchmarks/market.py WORKSPACE --stocks 5000 --rows 6000
    python benchmarks/market.py WORKSPACE --blank-features

Bars lie in the store as an import writes them: raw prices, weekdays, an index beside them. Each stock has a
cash dividend a year and a bonus issue every fifth, four reports a year, its share capital and its industry,
so a build has to adjust and to rank as it does on a real market. The walks hold nothing to be learned.

`--blank-features` puts features of the right shape, all alike, beside a panel that is built: what opening a
large panel costs can then be measured without the minutes that its features take.
"""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore, describe
from financial_model.data.reference_store import ReferenceStore
from financial_model.data.source import Bars

INDEX = "SH000300"
PREFIXES = ("SH600", "SZ000", "SZ300", "SZ002", "SH601", "SH603")
SHENWAN = {
    "480101": "银行",
    "270101": "电子",
    "370101": "医药生物",
    "340101": "食品饮料",
    "640101": "机械设备",
}


def generate(workspace: Workspace, stocks: int, rows: int, seed: int = 0) -> None:
    """Write `stocks` codes of `rows` bars each, their facts, and an index."""
    rng, store = np.random.default_rng(seed), BarStore(workspace)
    codes = sorted([f"{prefix}{k:03}" for prefix in PREFIXES for k in range(1, 1000)][:stocks])
    days = np.arange("1990-01-01", "2026-01-01", dtype="datetime64[D]")
    days = days[np.is_busday(days)][-rows:]
    entries = {}
    for code in [*codes, INDEX]:
        bars = walk(rng, code, days)
        store.write(bars)
        entries[code] = describe(bars, "generated")
    store.update_metadata(simulated=False, codes=entries)
    write_facts(rng, ReferenceStore(workspace), codes, days)


def walk(rng: np.random.Generator, code: str, days: np.ndarray) -> Bars:
    count = len(days)
    close = np.round(10 * np.exp(np.clip(np.cumsum(rng.normal(0, 0.02, count)), -2, 4)), 2)
    opened = np.round(close * (1 + rng.uniform(-0.01, 0.01, count)), 2)
    high, low = np.maximum(opened, close) * 1.01, np.minimum(opened, close) * 0.99
    volume = np.floor(rng.lognormal(13, 1, count)) * 100
    return Bars(
        code, days, opened, np.round(high, 2), np.round(low, 2), close, volume, np.round(volume * close)
    )


def write_facts(rng: np.random.Generator, store: ReferenceStore, codes: list[str], days: np.ndarray) -> None:
    """The tables of facts: a day in June a year pays, reports come a month after their quarter."""
    begin, end = days[0], days[-1]
    count = len(codes)
    first = np.full(count, begin)
    years = np.arange(begin.astype("datetime64[Y]") + 1, end.astype("datetime64[Y]"))
    paid = years.astype("datetime64[D]") + 165
    quarters = np.arange(begin.astype("datetime64[M]"), end.astype("datetime64[M]"), 3)
    period = (quarters + 1).astype("datetime64[D]") - 1
    shares = np.round(rng.lognormal(20, 1, count))

    def each(values: np.ndarray) -> np.ndarray:
        return np.tile(values, count)

    def of(length: int) -> np.ndarray:
        return np.repeat(np.array(codes), length)

    store.write(
        "corporate_actions",
        {
            "code": of(len(paid)),
            "date": each(paid),
            "cash_per_10": np.round(rng.uniform(0.1, 2.0, count * len(paid)), 2),
            "bonus_per_10": each(np.where(np.arange(len(paid)) % 5 == 4, 3.0, 0.0)),
            "rights_per_10": np.zeros(count * len(paid)),
            "rights_price": np.zeros(count * len(paid)),
        },
    )
    store.write(
        "fundamentals",
        {
            "code": of(len(period)),
            "announced": each(period + 30),
            "period": each(period),
            "eps_cny": np.round(rng.normal(0.3, 0.2, count * len(period)), 4),
            "book_value_per_share_cny": np.round(rng.uniform(2, 12, count * len(period)), 4),
        },
    )
    store.write(
        "share_capital",
        {
            "code": np.array(codes),
            "date": first,
            "total_shares": shares,
            "float_shares": np.round(shares * 0.7),
        },
    )
    source_codes = list(SHENWAN)
    kinds = rng.integers(0, len(source_codes), count)
    store.write(
        "industries",
        {
            "code": np.array(codes),
            "from": first,
            "to": np.full(count, np.datetime64("NaT", "D")),
            "updated": first,
            "scheme": np.full(count, "SW2021"),
            "industry": np.array([SHENWAN[source_codes[k]] for k in kinds]),
            "source_code": np.array([source_codes[k] for k in kinds]),
        },
    )
    store.write(
        "stock_list",
        {
            "code": np.array(codes),
            "list_date": first,
            "delist_date": np.full(count, np.datetime64("NaT", "D")),
            "name": np.array([f"走 {code}" for code in codes]),
        },
    )


def blank_features(workspace: Workspace) -> None:
    """Features of the right names and shapes in the panel's cache, as holes but for the volatility."""
    from financial_model.data.panel import Panel
    from financial_model.datasets import feature_cache
    from financial_model.datasets.features import compute_features

    panel = Panel.open(workspace)
    small = compute_features(panel.subset(panel.codes[:2]))
    folder = workspace.cache_dir / f"features-{feature_cache._key(panel)}"
    folder.mkdir()
    names = {}
    for field in fields(small):
        values = getattr(small, field.name)
        if isinstance(values, tuple):
            names[field.name] = values
            continue
        count = len(values) if field.name == "market" else len(panel)
        shape = (count, *values.shape[1:])
        made = np.lib.format.open_memmap(folder / f"{field.name}.npy", "w+", values.dtype, shape)
        if field.name == "volatility":
            made[:] = 0.02
        made.flush()
    (folder / feature_cache.NAMES_FILE).write_text(json.dumps(names), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--stocks", type=int, default=100)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--blank-features", action="store_true", help="for the panel that lies there")
    options = parser.parse_args()
    if options.blank_features:
        blank_features(Workspace(options.workspace))
        return
    generate(Workspace(options.workspace), options.stocks, options.rows)


if __name__ == "__main__":
    main()
