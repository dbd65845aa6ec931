"""The short form of benchmarks/soak.py, a round of jobs; for half an hour see docs/RELIABILITY.md.

It starts a page and seven processes one after the other, a minute or more of a busy machine: behind --slow.
"""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the soak reads /proc")
def test_one_round_leaves_nothing_behind():
    command = [sys.executable, "benchmarks/soak.py", "--minutes", "0.05", "--epochs", "5", "--port", "19910"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bounds: all held" in done.stdout
