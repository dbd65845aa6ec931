"""How long the panel takes to build, to check and to open, against a bare read of the same CSV files.

    python benchmarks/panel.py [--stocks 100] [--rows 6000] [--repeats 5]

Generates a market of random walks in a temporary folder. Each trip runs in a process of its own, so that its
peak of resident memory is its own; builds alternate with the bare read, since other work on the machine
disturbs both alike. "parts" leaves the conditions out.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "benchmarks")]

import numpy as np  # noqa: E402
from measure import describe_machine, print_table  # noqa: E402

from financial_model.base.config import PanelSettings  # noqa: E402
from financial_model.base.progress import Progress  # noqa: E402
from financial_model.base.workspace import Workspace  # noqa: E402
from financial_model.data.bar_store import BarStore, describe  # noqa: E402
from financial_model.data.panel import CONDITIONS, UNKNOWN_ONLY, Panel  # noqa: E402
from financial_model.data.source import Bars  # noqa: E402

TRIPS = ("bare read", "build", "build without conditions", "nothing changed", "open")


def generate(workspace: Workspace, stocks: int, rows: int) -> None:
    """A store of random walks on weekdays, and an index; files as an import writes them."""
    store, rng = BarStore(workspace), np.random.default_rng(0)
    days = np.arange("1990-01-01", "2026-01-01", dtype="datetime64[D]")
    days = days[np.is_busday(days)][-rows:]
    entries = {}
    codes = [
        f"{prefix}{k:03}"
        for prefix in ("SH600", "SZ000", "SZ300", "SZ002", "SH601", "SH603")
        for k in range(1000)
    ]
    for code in [*codes[:stocks], "SH000300"]:
        walk = np.exp(np.clip(np.cumsum(rng.normal(0, 0.02, rows)), -2, 4))
        close = np.round(10 * walk, 2)
        opened = np.round(close * (1 + rng.uniform(-0.01, 0.01, rows)), 2)
        high, low = (
            np.round(np.maximum(opened, close) * 1.01, 2),
            np.round(np.minimum(opened, close) * 0.99, 2),
        )
        volume = np.floor(rng.lognormal(13, 1, rows)) * 100
        bars = Bars(code, days, opened, high, low, close, volume, np.round(volume * close))
        store.write(bars)
        entries[code] = describe(bars, "benchmark")
    store.update_metadata(simulated=False, codes=entries)


def take(trip: str, workspace: Workspace) -> None:
    """One trip, as a user or the builder would make it."""
    from financial_model.data import panel_builder
    from financial_model.workflows.build_panel import build_panel

    if trip == "bare read":
        import pyarrow.csv

        for path in sorted(workspace.bars_dir.glob("*.csv")):
            pyarrow.csv.read_csv(path)
    elif trip == "build":
        build_panel(PanelSettings(rebuild=True), workspace, Progress())
    elif trip == "build without conditions":

        def unknown(panel: Panel) -> dict[str, np.ndarray]:
            return {name: np.zeros(len(panel), np.int8) for name in CONDITIONS}

        panel_builder.build_panel(workspace, unknown, UNKNOWN_ONLY, rebuild=True)
    elif trip == "nothing changed":
        build_panel(PanelSettings(), workspace, Progress())
    else:
        Panel.open(workspace)


def child(trip: str, workspace: Workspace) -> None:
    """Time one trip after what it imports is there, and tell the seconds and the peak of memory."""

    import financial_model.workflows.build_panel  # noqa: F401

    begun = time.perf_counter()
    take(trip, workspace)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "peak_mib": peak / 2**20}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, default=100)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Workspace(options.child[1]))
        return
    found: dict[str, list[dict[str, float]]] = {trip: [] for trip in TRIPS}
    with tempfile.TemporaryDirectory() as folder:
        generate(Workspace(folder), options.stocks, options.rows)
        for _ in range(options.repeats):
            # "nothing changed" and "open" need the panel with its conditions, so that build comes after.
            for trip in ("bare read", "build without conditions", "build", "nothing changed", "open"):
                command = [sys.executable, __file__, "--child", trip, folder]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[trip].append(json.loads(told))
    bare = statistics.median(one["seconds"] for one in found["bare read"])
    rows = []
    for trip in TRIPS:
        seconds = [one["seconds"] for one in found[trip]]
        peak = max(one["peak_mib"] for one in found[trip])
        median = statistics.median(seconds)
        rows.append(
            (
                trip,
                f"{median:.3f}",
                f"{min(seconds):.3f} to {max(seconds):.3f}",
                f"{median / bare:.2f}",
                f"{peak:.0f}",
            )
        )
    print(describe_machine("pyarrow", "numpy"))
    title = f"{options.stocks} stocks x {options.rows} rows, {options.repeats} repeats"
    print_table(title, ("trip", "median s", "spread s", "times a bare read", "peak MiB"), rows)


if __name__ == "__main__":
    main()
