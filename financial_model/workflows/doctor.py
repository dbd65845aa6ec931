"""Whether this machine can do the work: each check with what was measured and what to do about it.

A check is {name, state, value, remedy}: state "ok", "warn" or "fail"; value is what was seen; remedy is
a key that the page translates ("" where nothing is to be done), and `advice` the same in English.
"""

import http.client
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ..base.config import DoctorSettings
from ..base.progress import Progress
from ..base.workspace import Workspace

OLDEST_PYTHON = (3, 11)
FREE_DISK_WARN_GB, FREE_DISK_FAIL_GB = 5.0, 0.5
PACKAGES = (
    "torch",
    "gradio",
    "numpy",
    "pyarrow",
    "pandas",
    "plotly",
    "pytdx",
    "lightgbm",
    "exchange-calendars",
)
# Where a page of Hermes tells whether there is news; nobody else answers there so.
MARK_PATH = "/hermes/mark"
REMEDIES = {
    "install_python": "Install Python 3.11 or newer from python.org and run the start script again.",
    "install_requirements": "Run the start script again, or: pip install -r requirements.txt",
    "use_cpu": "Training runs on the CPU. With an NVIDIA card: install its driver and a CUDA torch.",
    "reinstall_torch": "Torch cannot use the card: install a CUDA build of torch that fits the driver.",
    "attention_fallback": "Nothing to do: another engine computes the same.",
    "free_disk": "Free some space, or choose another folder with --workspace.",
    "choose_workspace": "Choose a folder you may write to with --workspace.",
    "import_instead": "Import local files or use a practice market; check the firewall for port 7709.",
}


def doctor(settings: DoctorSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Run every check and return {verdict, checks, versions}; nothing is changed on the machine."""
    checks: list[dict[str, Any]] = []
    for name, check in _checks(settings, workspace, progress):
        progress.stage(name, f"checking {name}")
        state, value, remedy = check()
        advice = REMEDIES.get(remedy, "")
        checks.append({"name": name, "state": state, "value": value, "remedy": remedy, "advice": advice})
        if state != "ok":
            message = f"{name}: {value}. {advice}"
            progress.emit("note", message=message, key="doctor", check=name, value=value, remedy=remedy)
    worst = {check["state"] for check in checks}
    verdict = "fail" if "fail" in worst else "warn" if "warn" in worst else "ok"
    return {
        "message": {"ok": "ready to train", "warn": "ready, with notes", "fail": "not ready"}[verdict],
        "verdict": verdict,
        "checks": checks,
        "versions": _versions(),
        "summary": {check["name"]: f"{check['state']} ({check['value']})" for check in checks},
    }


Verdict = tuple[str, str, str]  # state, value, remedy


def _checks(
    settings: DoctorSettings, workspace: Workspace, progress: Progress
) -> list[tuple[str, Callable[[], Verdict]]]:
    table: list[tuple[str, Callable[[], Verdict]]] = [
        ("python", check_python),
        ("packages", check_packages),
        ("torch", check_torch),
        ("gpu", check_gpu),
        ("attention", check_attention),
        ("triton", check_triton),
        ("compiler", check_compiler),
        ("workspace", lambda: check_workspace(workspace.root)),
        ("disk", lambda: check_disk(workspace.root)),
        ("port", lambda: check_port(settings.port)),
    ]
    if not settings.skip_servers:
        table.append(("servers", lambda: check_servers(settings.servers, progress)))
    return table


def check_python() -> Verdict:
    value = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return ("ok", value, "") if sys.version_info >= OLDEST_PYTHON else ("fail", value, "install_python")


def check_packages() -> Verdict:
    missing = [name for name in PACKAGES if name not in _versions()]
    if missing:
        return "fail", "missing: " + ", ".join(missing), "install_requirements"
    return "ok", ", ".join(f"{name} {_versions()[name]}" for name in ("gradio", "pyarrow", "numpy")), ""


def check_torch() -> Verdict:
    if importlib.util.find_spec("torch") is None:
        return "fail", "torch is not installed", "install_requirements"
    import torch

    threads = torch.get_num_threads()
    return "ok", f"torch {torch.__version__}, {threads} {'thread' if threads == 1 else 'threads'}", ""


def check_gpu() -> Verdict:
    """One real operation on the card: a driver that lists a device it cannot run is not "ok"."""
    if importlib.util.find_spec("torch") is None:
        return "fail", "torch is not installed", "install_requirements"
    import torch

    if not torch.cuda.is_available():
        return "warn", "no CUDA device, the CPU is used", "use_cpu"
    name = torch.cuda.get_device_name(0)
    try:
        x = torch.randn(512, 512, device="cuda")
        started = time.perf_counter()
        is_right = bool(torch.isfinite((x @ x).sum()).item())
        elapsed_ms = 1000 * (time.perf_counter() - started)
    except RuntimeError as error:
        return "fail", f"{name}: {str(error).splitlines()[0]}", "reinstall_torch"
    memory_gb = torch.cuda.get_device_properties(0).total_memory / 2**30
    state = ("ok", "") if is_right else ("fail", "reinstall_torch")
    return state[0], f"{name}, {memory_gb:.0f} GB, a product took {elapsed_ms:.1f} ms", state[1]


def check_attention() -> Verdict:
    if importlib.util.find_spec("torch") is None:
        return "fail", "torch is not installed", "install_requirements"
    from ..models.flash_attention_layer import attention_engine

    engine = str(attention_engine())
    return "ok", engine, "" if "flash" in engine else "attention_fallback"


def check_triton() -> Verdict:
    if importlib.util.find_spec("triton") is None:
        return "warn", "not installed; eager kernels are used", "attention_fallback"
    return "ok", f"triton {importlib.metadata.version('triton')}; used on a CUDA device", ""


def check_compiler() -> Verdict:
    """torch.compile needs a C++ compiler on the CPU; without one the plain step runs."""
    found = next((name for name in ("c++", "g++", "clang++", "cl") if shutil.which(name)), None)
    return ("ok", found, "") if found else ("warn", "none; --compile falls back", "attention_fallback")


def check_workspace(root: Path) -> Verdict:
    """Whether files can be written: by the folder itself, or the nearest parent that exists."""
    folder = root
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if os.access(folder, os.W_OK):
        return "ok", str(root), ""
    return "fail", f"{root} cannot be written", "choose_workspace"


def check_disk(root: Path) -> Verdict:
    folder = root
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 2**30
    value = f"{free_gb:.1f} GB free"
    if free_gb < FREE_DISK_FAIL_GB:
        return "fail", value, "free_disk"
    return ("warn", value, "free_disk") if free_gb < FREE_DISK_WARN_GB else ("ok", value, "")


def check_port(port: int) -> Verdict:
    """Whether something answers where the page would be, and what to do then; either way a page can start."""
    match who_answers(port):
        case "nobody":
            return "ok", f"{port} is free", ""
        case "page":
            told = "open it, or start another with --port"
            return "ok", f"a page of Hermes is open at http://127.0.0.1:{port}: {told}", ""
        case _:
            told = "a page takes the next free port, or the one named with --port"
            return "ok", f"another program answers at {port}: {told}", ""


def who_answers(port: int) -> Literal["nobody", "page", "other"]:
    """Who is at a port of this machine, knocking as a browser does: a page of Hermes, or another program."""
    door = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        door.connect()
    except OSError:
        door.close()
        return "nobody"
    try:
        door.request("GET", MARK_PATH)
        answer = door.getresponse()
        is_page = answer.status == 200 and re.fullmatch(rb"[0-9a-f]{24}", answer.read(100)) is not None
    except (OSError, http.client.HTTPException):
        is_page = False
    finally:
        door.close()
    return "page" if is_page else "other"


def check_servers(servers: tuple[str, ...], progress: Progress) -> Verdict:
    from .download import server_health

    health = server_health(servers, progress)
    good = [server for server in health if server["state"] == "ok"]
    if good:
        best = min(good, key=lambda server: server["latency_ms"])
        return "ok", f"{len(good)} of {len(health)} answer, best {best['latency_ms']:.0f} ms", ""
    return "warn", f"none of {len(health)} servers answers", "import_instead"


def _versions() -> dict[str, str]:
    installed = {}
    for name in (*PACKAGES, "triton", "flash-attn", "tensorboard"):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
