"""A full disk is told as one, and what stood there before still stands.

The disk is a small one in memory, mounted for the test; where that is not allowed the tests are skipped.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time

import pytest

from financial_model import cli
from financial_model.base.config import SimulateSettings
from financial_model.base.errors import DiskFull
from financial_model.base.workspace import Workspace
from financial_model.ui.jobs import Jobs


@pytest.fixture
def small_disk(whole, tmp_path):
    """The whole workspace on a disk of its own, and a way to leave only so many bytes free on it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("mount is not there")
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root alone")
    try:
        shutil.copytree(whole[0].root, disk / "w")

        def leave(free_bytes):
            stats = os.statvfs(disk)
            with open(disk / "filler", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(stats.f_bavail * stats.f_frsize - free_bytes, 1))

        yield Workspace(disk / "w"), leave
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def digests(workspace):
    return {
        path.relative_to(workspace.root): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in workspace.root.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


@pytest.mark.parametrize("trip", ["import", "build-panel", "train", "forecast"])
@pytest.mark.parametrize("free_kib", [0, 16])
def test_a_trip_on_a_full_disk(small_disk, whole, capsys, tmp_path, trip, free_kib):
    workspace, leave = small_disk
    arguments = {
        "import": ["import", str(tmp_path / "csv")],
        "build-panel": ["build-panel", "--rebuild"],
        "train": ["train", "--config", str(tmp_path / "train.json")],
        "forecast": ["forecast", "--all", "--checkpoint", whole[1]["final"], "--from", "2000-01-01"],
    }[trip]
    if trip == "import":  # its own market: practice bars and real ones do not mix
        shutil.rmtree(workspace.stock_data_dir)
        (tmp_path / "csv").mkdir()
        rows = "".join(f"2018-06-{day:02},10,10,10,10,100\n" for day in range(1, 30)) * 40
        for number in range(4):
            path = tmp_path / "csv" / f"SH60000{number}.csv"
            path.write_text("date,open,high,low,close,volume\n" + rows)
    if trip == "forecast":
        arguments += ["--out", str(workspace.output_dir / "f.csv")]
    run_file = next(whole[0].output_dir.glob("*_run.json"))
    (tmp_path / "train.json").write_text(json.dumps(json.loads(run_file.read_text())["settings"]))
    before = digests(workspace)
    leave(1024 * free_kib)
    with pytest.raises(SystemExit) as left:
        cli.main([*arguments, "--workspace", str(workspace.root)])
    told = capsys.readouterr().err
    assert left.value.code == 2, told
    assert "could not be written" in told
    assert "Free some disk space" in told
    assert "Traceback" not in told
    after = digests(workspace)
    assert {path: after.get(path) for path in before} == before
    assert not list(workspace.root.rglob(".*.part"))


def test_the_page_lives_on_a_full_disk(small_disk):
    workspace, leave = small_disk
    jobs = Jobs(workspace)
    waiting = jobs.start("simulate", SimulateSettings())
    (workspace.jobs_dir / ".queue.lock").touch()
    leave(0)
    with pytest.raises(DiskFull):
        jobs.start("simulate", SimulateSettings())
    with pytest.raises(DiskFull):
        jobs.advance()
    jobs.open()  # the thread of the queue passes over it and looks again
    time.sleep(0.7)
    assert jobs._thread is not None
    assert jobs._thread.is_alive()
    jobs.stop(waiting.id)
    assert [(job.id, job.state) for job in jobs.all()] == [(waiting.id, "stopped")]
    jobs.close()
