"""The training script runs end to end on a tiny market."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_training_script_prints_a_row_for_each_network():
    sizes = ["--stocks", "12", "--sessions", "400", "--steps", "2", "--repeats", "1", "--batch-size", "16"]
    run = subprocess.run(
        [sys.executable, "benchmarks/training.py", *sizes, "--cpu-time"],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    for model in ("conditional", "transformer", "lstm"):
        assert f"| {model} " in run.stdout
