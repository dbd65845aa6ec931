"""How the scripts of this folder measure and print: medians with their spread, the machine, the versions."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds a call: the median of the repeats, and the fastest and slowest of them."""

    median_s: float
    fastest_s: float
    slowest_s: float

    def __str__(self) -> str:
        units = ((1, "s"), (1e3, "ms"), (1e6, "us"))
        scale, unit = next((s, u) for s, u in units if self.median_s * s >= 1 or u == "us")
        median, fastest, slowest = (
            f"{t * scale:.3g}" for t in (self.median_s, self.fastest_s, self.slowest_s)
        )
        return f"{median} ({fastest} to {slowest}) {unit}"


def measure(
    run: Callable[[], Any], repeats: int = 7, least_s: float = 0.05, wait: Callable[[], Any] = lambda: None
) -> Timing:
    """Time a call after one warm-up; short calls are looped until a repeat takes `least_s`.

    `wait` is called at both ends of a repeat: a device that works asynchronously must have finished.
    """
    run()
    wait()
    begun = time.perf_counter()
    run()
    wait()
    loops = max(1, round(least_s / max(time.perf_counter() - begun, 1e-9)))
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        for _ in range(loops):
            run()
        wait()
        seconds.append((time.perf_counter() - begun) / loops)
    return Timing(statistics.median(seconds), min(seconds), max(seconds))


def describe_machine(*packages: str) -> str:
    """One line: processor, cores, memory, system, Python, and the versions of the packages that are there."""
    parts = [_processor(), f"{os.cpu_count()} cores"]
    if hasattr(os, "sysconf"):
        parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB")
    parts += [f"{platform.system()} {platform.release()}", f"Python {platform.python_version()}"]
    for package in packages:
        try:
            parts.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"{package} absent")
    return ", ".join(parts)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table that reads well in a terminal and as markdown."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
    print(f"\n{title}\n")
    for position, row in enumerate(cells):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if position == 0:
            print("| " + " | ".join("-" * width for width in widths) + " |")


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
