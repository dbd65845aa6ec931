"""How soon the page answers and can be used, against a minimal Gradio page; how soon the command line does.

    python benchmarks/page.py [--repeats 5] [--server-only]
    python benchmarks/page.py --idle 30
    python benchmarks/page.py --calls 60

From the start of a fresh process to the last byte of its first answer to `GET /`, and on to where a browser
has drawn it and a click was answered (where Playwright and Chromium are there). The bound is a page of one
text box on the same Gradio in the same run; the two alternate, so that other work on the machine slows both
alike. `--help` is held against a Python that does nothing. Processor seconds are those of the server.

With --idle: what a browser without a GPU spends on a page that is open and looked at while nothing happens,
in processor seconds of all its processes (Linux), once the page has stood for as long before.

With --calls: how long a program waits for `list_jobs` on an empty workspace, so many times one after another,
against a function that answers an empty list on a minimal page; as often on each page before they count.
"""

import argparse
import contextlib
import http.client
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import describe_machine, print_table

REPOSITORY = Path(__file__).resolve().parents[1]
MINIMAL = """
import sys, gradio as gr
with gr.Blocks() as page:
    gr.Textbox()
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""
CALLED = MINIMAL.replace(
    "    gr.Textbox()\n",
    "    gr.Textbox()\n    def nothing() -> list: return []\n    gr.api(nothing)\n",
)
PATIENCE_S = 120.0
Seconds = tuple[float, float]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int) -> bool:
    """Whether the page has answered, whole."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return bool(answer.read()) and answer.status == 200
    except OSError:
        return False
    finally:
        connection.close()


def opened(command: list[str], port: int, folder: str, use: Callable[[], None] | None) -> tuple[float, ...]:
    """(seconds to the first answer, seconds until it can be used, processor seconds) of a fresh page."""
    begun, before = time.perf_counter(), children_cpu_s()
    with subprocess.Popen(
        command, cwd=folder, env=quiet(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not ask(port):
                if process.poll() is not None or time.perf_counter() - begun > PATIENCE_S:
                    raise SystemExit(f"no answer from: {' '.join(command)}")
                time.sleep(0.01)
            answered = time.perf_counter() - begun
            if use is not None:
                use()
            usable = time.perf_counter() - begun
        finally:
            process.kill()
            process.wait()
    return answered, usable, children_cpu_s() - before


def whole_run(command: list[str], folder: str) -> tuple[float, ...]:
    """(seconds, the same, processor seconds) of a process that ends by itself."""
    begun, before = time.perf_counter(), children_cpu_s()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    return seconds, seconds, children_cpu_s() - before


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def browser(is_wanted: bool) -> Iterator[Any]:
    """Chromium, or None where it is not wanted, or it or Playwright is not there."""
    program = shutil.which("chromium") or shutil.which("google-chrome") if is_wanted else None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        yield None
        return
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def user(chromium: Any, port: int, click: str, then: str) -> Callable[[], None] | None:
    """A visit with an empty cache that clicks on something and sees what comes of it."""
    if chromium is None:
        return None

    def visit() -> None:
        context = chromium.new_context(locale="en-US")
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.click(click)
        page.wait_for_selector(then)
        context.close()

    return visit


def idle_cpu_s(chromium: Any, command: list[str], port: int, folder: str, seconds: float) -> float:
    """Processor seconds of the browser while a page is open and idle for so long."""
    with subprocess.Popen(
        command, cwd=folder, env=quiet(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not ask(port):
                time.sleep(0.1)
            context = chromium.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/", timeout=1000 * PATIENCE_S)
            page.wait_for_selector("textarea, #chips .name", timeout=1000 * PATIENCE_S)
            page.wait_for_timeout(1000 * seconds)
            before = browser_cpu_s()
            page.wait_for_timeout(1000 * seconds)
            spent = browser_cpu_s() - before
            context.close()
        finally:
            process.kill()
            process.wait()
    return spent


def browser_cpu_s() -> float:
    """Processor seconds so far of every process of the browser that this one has started."""
    parents, spent = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            name, fields = (folder / "stat").read_text().rsplit(")", 1)
            cells = fields.split()
            parents[int(folder.name)] = int(cells[1])
            if "chrom" in name:
                spent[int(folder.name)] = (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")

    def is_mine(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_mine(parents[pid]))

    return sum(seconds for pid, seconds in spent.items() if is_mine(pid))


def quiet() -> dict[str, str]:
    return {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": str(REPOSITORY)}


def report_idle(chromium: Any, script: Path, folder: str, seconds: float, repeats: int) -> None:
    found: dict[str, list[float]] = {"minimal": [], "page": []}
    for _ in range(repeats):
        port = free_port()
        minimal = [sys.executable, str(script), str(port)]
        found["minimal"].append(idle_cpu_s(chromium, minimal, port, folder, seconds))
        port = free_port()
        page = [sys.executable, str(REPOSITORY / "gradio_app.py"), "--no-browser", "--port", str(port)]
        found["page"].append(idle_cpu_s(chromium, [*page, "--workspace", folder], port, folder, seconds))
    rows = [
        [name, f"{statistics.median(spent):.2f} ({min(spent):.2f} to {max(spent):.2f})"]
        for name, spent in (("minimal Gradio page", found["minimal"]), ("the page", found["page"]))
    ]
    print_table(
        f"Idle for {seconds:.0f} s, {repeats} repeats", ("what", "browser, processor s (spread)"), rows
    )


def calls_s(command: list[str], port: int, folder: str, name: str, count: int) -> list[float]:
    """Seconds of each of so many calls of a page's function, as any program makes them: asked, then read."""
    with subprocess.Popen(
        command, cwd=folder, env=quiet(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not ask(port):
                time.sleep(0.1)
            url, seconds = f"http://127.0.0.1:{port}/gradio_api/call/{name}", []
            head = {"Content-Type": "application/json"}
            for _ in range(2 * count):
                begun = time.perf_counter()
                request = urllib.request.Request(url, b'{"data": []}', head)
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                    event = json.load(answer)["event_id"]
                with urllib.request.urlopen(f"{url}/{event}", timeout=PATIENCE_S) as answer:
                    told = answer.read()
                seconds.append(time.perf_counter() - begun)
                if b"event: complete" not in told:
                    raise SystemExit(f"{name} answered {told[:200]!r}")
        finally:
            process.kill()
            process.wait()
    return seconds[count:]


def report_calls(folder: str, count: int) -> None:
    script, port = Path(folder) / "called.py", free_port()
    script.write_text(CALLED)
    bound = calls_s([sys.executable, str(script), str(port)], port, folder, "nothing", count)
    port = free_port()
    page = [sys.executable, str(REPOSITORY / "gradio_app.py"), "--no-browser", "--port", str(port)]
    found = calls_s([*page, "--workspace", folder], port, folder, "list_jobs", count)
    rows = []
    for what, seconds in (("minimal Gradio page, the bound", bound), ("list_jobs of the page", found)):
        spread = (
            f"{1e3 * statistics.median(seconds):.1f} ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
        )
        rows.append([what, spread, f"{statistics.median(seconds) / statistics.median(bound):.2f}"])
    print_table(f"{count} calls of a program", ("what", "ms (spread)", "times the bound"), rows)


def row(name: str, found: list[tuple[float, ...]], bound: list[tuple[float, ...]]) -> list[str]:
    cells = [name]
    for kind in range(3):
        seconds = [one[kind] for one in found]
        ratio = statistics.median(a[kind] / b[kind] for a, b in zip(found, bound, strict=True))
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        cells += [spread, f"{ratio:.2f}"]
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--server-only", action="store_true", help="no visits of a browser")
    parser.add_argument("--idle", type=float, help="seconds that a browser rests on an open page")
    parser.add_argument("--calls", type=int, help="calls of a program that are timed")
    options = parser.parse_args()
    if options.calls:
        print(describe_machine("gradio"))
        with tempfile.TemporaryDirectory() as folder:
            report_calls(folder, options.calls)
        return
    found: dict[str, list[tuple[float, ...]]] = {"minimal": [], "page": [], "python": [], "help": []}
    with tempfile.TemporaryDirectory() as folder, browser(not options.server_only) as chromium:
        script = Path(folder) / "minimal.py"
        script.write_text(MINIMAL)
        if options.idle:
            print(describe_machine("gradio"))
            report_idle(chromium, script, folder, options.idle, options.repeats)
            return
        for repeat in range(options.repeats + 1):
            once = {}
            port = free_port()
            use = user(chromium, port, "textarea", "textarea:focus")
            once["minimal"] = opened([sys.executable, str(script), str(port)], port, folder, use)
            port = free_port()
            page = [sys.executable, str(REPOSITORY / "gradio_app.py"), "--no-browser", "--port", str(port)]
            # What was told by the server stands in the header, and the tabs answer.
            use = user(chromium, port, "#tab-multi-button", "body:has(#chips .name) #multi-start")
            once["page"] = opened([*page, "--workspace", folder], port, folder, use)
            once["python"] = whole_run([sys.executable, "-c", "pass"], folder)
            once["help"] = whole_run([sys.executable, "-m", "financial_model", "--help"], folder)
            if repeat:  # the first reads files from disk that the others find in memory
                for name, seconds in once.items():
                    found[name].append(seconds)
    print(describe_machine("gradio", "typer"))
    times = "times the bound"
    columns = ("what", "answered, s (spread)", times, "usable, s (spread)", times, "processor s", times)
    rows = [
        row("minimal Gradio page, the bound", found["minimal"], found["minimal"]),
        row("the page", found["page"], found["minimal"]),
        row("Python that does nothing, the bound", found["python"], found["python"]),
        row("python -m financial_model --help", found["help"], found["python"]),
    ]
    print_table(f"From its start, {options.repeats} repeats", columns, rows)


if __name__ == "__main__":
    main()
