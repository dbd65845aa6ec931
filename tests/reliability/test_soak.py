"""The short forms of benchmarks/soak.py; for half an hour see docs/RELIABILITY.md."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the soak reads /proc")


def soak(*arguments):
    command = [sys.executable, "benchmarks/soak.py", "--answer-s", "300", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bounds: all held" in done.stdout
    return dict(line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.count("|") == 3)


@pytest.mark.slow
def test_a_training_that_is_killed_resumed_and_stopped_under_a_page_leaves_nothing_behind(copy):
    """Memory, handles, processes, files: the bounds are those of the long form."""
    told = {name.strip(): value.strip() for name, value in soak("--brief", "--workspace", copy.root).items()}
    assert (told["killed"], told["resumed"], told["stopped"]) == ("1", "1", "1")
    assert (told["poll_faults"], told["processes_left"], told["part_files_left"]) == ("0", "0", "0")
    assert float(told["rss_mib_most"]) > 50


@pytest.mark.slow
def test_one_round_leaves_nothing_behind():
    soak("--minutes", 0.05, "--epochs", 5, "--port", 19910)
