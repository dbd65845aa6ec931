"""The growth script takes a market part by part and keeps what it has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_growth_that_was_cut_off_goes_on_where_it_was(tmp_path):
    def run(*arguments):
        told = subprocess.run(
            [
                sys.executable,
                "benchmarks/growth.py",
                "--work",
                tmp_path,
                "--rows",
                "90",
                "--repeats",
                "1",
                *arguments,
            ],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert told.returncode == 0, told.stderr[-3000:]
        return told.stdout

    def held():
        return json.loads((tmp_path / "growth.json").read_text())["sizes"]

    run("--stocks", "12", "--trips", "bare read", "build")
    first = held()["12"]
    assert list(first) == ["bare read", "build"]
    told = run("--stocks", "12", "24", "--trips", "bare read", "build", "evaluate")
    assert {name: held()["12"][name] for name in first} == first
    assert list(held()["24"]) == ["bare read", "build", "evaluate"]
    assert "| 12 " in told
    assert "| exponent |" in told
    assert not (tmp_path / "24").exists()
