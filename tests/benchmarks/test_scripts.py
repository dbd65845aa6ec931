"""Every script of benchmarks/ starts as its first lines say: from the repository, with nothing installed."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(
    path for path in (REPOSITORY / "benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8")
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_says_how_it_is_used(script):
    told = subprocess.run(
        [sys.executable, script.relative_to(REPOSITORY), "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode == 0, told.stderr[-2000:]
    assert told.stdout.startswith("usage:")
