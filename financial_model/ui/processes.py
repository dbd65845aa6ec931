"""Which process is still the one that was started: a number alone is given again to strangers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

NO_WINDOW = 0x08000000  # CREATE_NO_WINDOW
NEW_GROUP = 0x00000200  # CREATE_NEW_PROCESS_GROUP


def spawn(
    arguments: list[str], folder: Path, log_path: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one and whose output goes to a file, so that no pipe fills up."""
    options: dict[str, object] = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": NEW_GROUP | NO_WINDOW}
    with open(log_path, "ab") as log:
        return subprocess.Popen(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            close_fds=True,
            **options,  # type: ignore[call-overload]
        )


def identity(pid: int) -> str | None:
    """When a living process started, in the system's own words; None when there is none (or a zombie)."""
    if sys.platform == "win32":
        return _windows_identity(pid)
    stat_path = Path(f"/proc/{pid}/stat")
    if stat_path.parent.parent.joinpath("self").exists():
        try:
            # The name in parentheses may hold spaces: count the fields after it.
            fields = stat_path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=10
    )
    words = answer.stdout.split()
    return None if answer.returncode or not words or words[0].startswith("Z") else " ".join(words[1:])


def _windows_identity(pid: int) -> str | None:
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return None
    try:
        exit_code = wintypes.DWORD()
        times = [wintypes.FILETIME() for _ in range(4)]
        still_active = 259
        if not kernel.GetExitCodeProcess(handle, ctypes.byref(exit_code)) or exit_code.value != still_active:
            return None
        if not kernel.GetProcessTimes(handle, *(ctypes.byref(time) for time in times)):
            return None
        return str((times[0].dwHighDateTime << 32) | times[0].dwLowDateTime)
    finally:
        kernel.CloseHandle(handle)


def end_at_once(pid: int, known: str) -> None:
    """End a process and its children, if it still is the one that was known."""
    if identity(pid) != known:
        return
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
