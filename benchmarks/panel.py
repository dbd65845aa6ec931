"""How long the panel takes to build, to check and to open, against a bare read of the same CSV files.

    python benchmarks/panel.py [--stocks 100] [--rows 6000] [--repeats 5]

Generates a market of random walks with dated facts in a temporary folder. Each trip runs in a process of its
own, so that its peak of resident memory is its own; builds alternate with the bare read, since other work on
the machine disturbs both alike. Processor seconds count all threads.
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
from market import generate  # noqa: E402
from measure import describe_machine, print_table  # noqa: E402

from financial_model.base.config import PanelSettings  # noqa: E402
from financial_model.base.progress import Progress  # noqa: E402
from financial_model.base.workspace import Workspace  # noqa: E402
from financial_model.data.panel import CONDITIONS, UNKNOWN_ONLY, Panel  # noqa: E402

TRIPS = ("bare read", "build", "build without conditions", "nothing changed", "open")


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

    # Arrow imports pandas, where it is installed, at the first array it makes.
    import pandas  # noqa: F401

    import financial_model.workflows.build_panel  # noqa: F401

    begun, cpu = time.perf_counter(), time.process_time()
    take(trip, workspace)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_mib": peak / 2**20}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, default=100)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--market", help="a workspace made by benchmarks/market.py, taken as it is")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Workspace(options.child[1]))
        return
    found: dict[str, list[dict[str, float]]] = {trip: [] for trip in TRIPS}
    with tempfile.TemporaryDirectory() as folder:
        if options.market:
            folder = options.market
        else:
            generate(Workspace(folder), options.stocks, options.rows)
        for _ in range(options.repeats):
            # "nothing changed" and "open" need the panel with its conditions, so that build comes after.
            for trip in ("bare read", "build without conditions", "build", "nothing changed", "open"):
                command = [sys.executable, __file__, "--child", trip, folder]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[trip].append(json.loads(told))
    # Processor seconds of all threads: what is left of the ratio where other work takes the cores.
    bare, bare_cpu = (
        statistics.median(one[kind] for one in found["bare read"]) for kind in ("seconds", "cpu_s")
    )
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
                f"{statistics.median(one['cpu_s'] for one in found[trip]):.3f}",
                f"{statistics.median(one['cpu_s'] for one in found[trip]) / bare_cpu:.2f}",
                f"{peak:.0f}",
            )
        )
    print(describe_machine("pyarrow", "numpy"))
    title = f"{options.stocks} stocks x {options.rows} rows, {options.repeats} repeats"
    print_table(
        title,
        ("trip", "median s", "spread s", "times a bare read", "processor s", "times a bare read", "peak MiB"),
        rows,
    )


if __name__ == "__main__":
    main()
