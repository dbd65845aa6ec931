"""The start scripts: what can be checked of them on a machine that is not Windows."""

import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BATCH = (REPOSITORY / "start.bat").read_bytes()
LINES = [line.strip() for line in BATCH.decode("ascii").splitlines()]
COMMANDS = [line for line in LINES if line and not line.lower().startswith(("rem ", ":", "echo", "@echo"))]


def test_the_batch_file_is_ascii_with_windows_line_ends():
    assert BATCH.isascii()
    assert BATCH.count(b"\r\n") == BATCH.count(b"\n")


def test_no_block_stands_in_parentheses():
    # cmd expands variables in a block once, before its first line runs.
    without_strings = [re.sub(r'"[^"]*"', '""', line) for line in COMMANDS]
    assert not [line for line in without_strings if line.startswith(")") or line.endswith("(")]


def test_paths_that_may_hold_spaces_are_quoted():
    for line in COMMANDS:
        bare = re.sub(r'"[^"]*"', "", line)
        for name in ("%~dp0", "%VPY%", "%STAMP%", "%TEMP%", "%EXTRA%"):
            assert name not in bare, line


def test_every_jump_has_its_label_and_every_label_a_jump():
    labels = {line[1:].lower() for line in LINES if line.startswith(":")}
    jumps = {jump.lower() for line in COMMANDS for jump in re.findall(r"goto (\w+)", line)}
    fallen_into = {"check_python", "have_venv", "install", "failed"}
    assert jumps <= labels
    assert labels <= jumps | fallen_into


def test_every_step_that_can_fail_is_checked():
    steps = ("-m pip install", "-m venv", "gradio_app.py", "-m pytest", "cd /d", "copy ")
    for number, line in enumerate(LINES):
        if any(step in line for step in steps) and not line.startswith(("rem", "echo", "@")):
            assert "errorlevel" in LINES[number + 1], line


def test_the_window_stays_open_on_errors():
    assert LINES[LINES.index(":failed") :].count("pause") == 1


def test_utf8_is_asked_of_python():
    assert "set PYTHONUTF8=1" in LINES


def test_the_shell_script_parses():
    subprocess.run(["bash", "-n", str(REPOSITORY / "start.sh")], check=True)


def test_torch_is_pinned_the_same_everywhere():
    wanted = re.search(r"^torch(\S+)", (REPOSITORY / "requirements.txt").read_text("utf-8"), re.M).group(1)
    assert f'"torch{wanted}"' in BATCH.decode("ascii")
