"""The GPU script runs end to end without a GPU: kernels in Triton's interpreter, the rest on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
WORK = ("gather_windows", "normalise_rows", "embed_conditions", "attention", "training step")


def run_script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/gpu.py", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is made for Linux alone")
def test_the_gpu_script_finds_every_variant_correct_at_toy_sizes():
    pytest.importorskip("triton")
    run = run_script("--toy", TRITON_INTERPRET="1")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    rows = [line for line in run.stdout.splitlines() if line.startswith("| ")]
    for work in WORK:
        assert any(work in row for row in rows), work
    assert sum("triton" in row for row in rows) == 4
    assert "WRONG" not in run.stdout


def test_without_a_gpu_the_script_says_so():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    run = run_script()
    assert run.returncode == 1
    assert "--toy" in run.stderr
