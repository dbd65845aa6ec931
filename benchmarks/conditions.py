"""How long the conditions of a panel take, condition by condition, and how much memory.

    python benchmarks/conditions.py WORKSPACE

WORKSPACE holds a panel (`import` and `build-panel` before). One thread is used; seconds are of the processor,
so that other work on the machine does not count.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from financial_model.base.config import ConditionSettings
from financial_model.base.workspace import Workspace
from financial_model.conditions.condition_table import CONDITIONS
from financial_model.data.panel import Panel
from financial_model.data.reference_store import ReferenceStore


def main(root: str) -> None:
    workspace = Workspace(root)
    panel, reference = Panel.open(workspace), ReferenceStore(workspace)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{panel!r}")
    total = 0.0
    for settings in (ConditionSettings(), ConditionSettings(regime="markov", buckets="threshold")):
        total = 0.0
        for name, condition in CONDITIONS.items():
            start = time.process_time()
            column = condition.compute(panel, reference, settings)
            seconds = time.process_time() - start
            total += seconds
            words = condition.vocabulary
            shares = np.bincount(column, minlength=len(words)) / len(column)
            told = ", ".join(f"{word} {share:.3f}" for word, share in zip(words, shares, strict=True))
            print(f"{name:18} {seconds:6.2f} s  {told}")
        print(f"{'all, ' + settings.regime + ', ' + settings.buckets:18} {total:.2f} s")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"memory grew by {grown:.0f} MiB over the map; {len(panel)} rows")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", metavar="WORKSPACE")
    main(parser.parse_args().workspace)
