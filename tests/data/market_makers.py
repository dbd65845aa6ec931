"""Small markets, and the files in which people bring them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore, describe
from financial_model.data.reference_store import ReferenceStore
from financial_model.data.source import Bars
from financial_model.data.tdx_files import RECORD
from financial_model.market.calendar import announced_sessions

CODES = ("SH600000", "SH688001", "SZ000001", "SZ300001", "BJ920001")
CHINESE = {
    "date": "日期",
    "open": "开盘",
    "high": "最高",
    "low": "最低",
    "close": "收盘",
    "volume": "成交量",
    "amount": "成交额",
}
DATE_FORMATS = {
    "iso": lambda day: f"{day:%Y-%m-%d}",
    "slashes": lambda day: f"{day.year}/{day.month}/{day.day}",
    "digits": lambda day: f"{day:%Y%m%d}",
    "with time": lambda day: f"{day:%Y-%m-%d} 00:00:00",
}


def sessions(count: int, first: str = "2018-01-02") -> np.ndarray:
    known = announced_sessions()
    start = np.searchsorted(known, np.datetime64(first))
    return known[start : start + count]


def walk(code: str, dates: np.ndarray, seed: int = 0, start: float = 10.0) -> Bars:
    """A random walk inside the limits, in whole ticks, with amounts that fit its volumes."""
    rng = np.random.default_rng([seed, *code.encode()])
    count = len(dates)
    close = np.maximum(np.round(start * np.exp(np.cumsum(rng.normal(0, 0.01, count))), 2), 1.0)
    opened = np.maximum(np.round(close * (1 + rng.uniform(-0.005, 0.005, count)), 2), 0.9)
    high = np.round(np.maximum(opened, close) + np.round(rng.uniform(0, 0.03, count), 2), 2)
    low = np.round(np.minimum(opened, close) - np.round(rng.uniform(0, 0.03, count), 2), 2)
    volume = np.floor(rng.lognormal(12, 1, count)) * 100 + 100
    amount = np.round(volume * (high + low) / 2).astype(np.float32).astype(np.float64)
    return Bars(code, dates, opened, high, low, close, volume, amount)


def index_walk(dates: np.ndarray, code: str = "SH000300") -> Bars:
    return walk(code, dates, seed=7, start=3000.0)


def put(workspace: Workspace, *bars: Bars, simulated: bool = False) -> BarStore:
    """Lay bars into a store as a downloader would."""
    store = BarStore(workspace)
    for one in bars:
        store.write(one)
    store.update_metadata(simulated=simulated, codes={one.code: describe(one, "test") for one in bars})
    return store


def put_actions(workspace: Workspace, *rows: tuple) -> None:
    """Rows of (code, date, cash, bonus, rights, rights price), per 10 shares."""
    names = ("code", "date", "cash_per_10", "bonus_per_10", "rights_per_10", "rights_price")
    ReferenceStore(workspace).write(
        "corporate_actions", dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    )


def write_csv(
    path: Path,
    bars: Bars,
    *,
    encoding: str = "utf-8",
    headers: Mapping[str, str] | None = None,
    date_format: str = "iso",
    lots: bool = False,
    amount: bool = True,
    separator: str = ",",
    newline: str = "\n",
) -> Path:
    """A CSV as another program might have written it."""
    names = [name for name in bars.columns() if amount or name != "amount"]
    lines = [separator.join((headers or {}).get(name, name) for name in names)]
    for k in range(len(bars)):
        cells = []
        for name in names:
            value = getattr(bars, name)[k]
            if name == "date":
                cells.append(DATE_FORMATS[date_format](value.item()))
            elif name == "volume":
                cells.append(repr(float(value / 100)) if lots else str(int(value)))
            else:
                cells.append(repr(float(value)))
        lines.append(separator.join(cells))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((newline.join(lines) + newline).encode(encoding))
    return path


def write_day(path: Path, bars: Bars) -> Path:
    """A 通达信 day file."""
    records = np.zeros(len(bars), RECORD)
    day = bars.date.astype(object)
    records["date"] = [one.year * 10_000 + one.month * 100 + one.day for one in day]
    for name in ("open", "high", "low", "close"):
        records[name] = np.round(getattr(bars, name) * 100)
    records["amount"] = bars.amount
    records["volume"] = bars.volume / (100 if bars.is_index else 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(records.tobytes())
    return path


def day_path(folder: Path, code: str) -> Path:
    return folder / "vipdoc" / code[:2].lower() / "lday" / f"{code.lower()}.day"


@st.composite
def markets(draw, max_sessions: int = 40):
    """(bars by code, action rows): stocks listed at their own day, with gaps, actions, splits."""
    every = sessions(max_sessions)
    codes = draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=4, unique=True))
    market, actions = {}, []
    for code in codes:
        first = draw(st.integers(0, max_sessions - 3))
        held = np.array(
            draw(st.lists(st.booleans(), min_size=max_sessions - first, max_size=max_sessions - first))
        )
        held[:2] = True  # at least two bars
        market[code] = walk(code, every[first:][held], seed=draw(st.integers(0, 99)), start=20.0)
        for _ in range(draw(st.integers(0, 3))):
            day = str(every[draw(st.integers(0, max_sessions - 1))] + draw(st.integers(0, 1)))
            actions.append(
                (code, day, draw(st.integers(0, 20)) / 10, draw(st.sampled_from([0.0, 3.0, 10.0])), 0.0, 0.0)
            )
    return market, sorted(set(actions))
