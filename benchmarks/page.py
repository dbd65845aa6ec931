"""How soon the page answers after its start, against a minimal Gradio page; how soon the command line does.

    python benchmarks/page.py [--repeats 7]

From the start of a fresh process to the last byte of its first answer to `GET /`. The bound is a page of one
text box on the same Gradio in the same run; the two alternate, so that other work on the machine slows both
alike. `--help` is held against a Python that does nothing. Processor seconds are those of the process.
"""

import argparse
import http.client
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import describe_machine, print_table

REPOSITORY = Path(__file__).resolve().parents[1]
MINIMAL = """
import sys, gradio as gr
with gr.Blocks() as page:
    gr.Textbox()
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""
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


def first_answer(command: list[str], port: int, folder: str) -> Seconds:
    """(wall, processor) seconds from the start of a process to its page's first answer."""
    begun, before = time.perf_counter(), children_cpu_s()
    quiet = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command, cwd=folder, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not ask(port):
                if process.poll() is not None or time.perf_counter() - begun > PATIENCE_S:
                    raise SystemExit(f"no answer from: {' '.join(command)}")
                time.sleep(0.01)
            seconds = time.perf_counter() - begun
        finally:
            process.kill()
            process.wait()
    return seconds, children_cpu_s() - before


def whole_run(command: list[str], folder: str) -> Seconds:
    """(wall, processor) seconds of a process that ends by itself."""
    begun, before = time.perf_counter(), children_cpu_s()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun, children_cpu_s() - before


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(name: str, found: list[Seconds], bound: list[Seconds]) -> list[str]:
    wall, cpu = ([one[kind] for one in found] for kind in (0, 1))
    times = [
        statistics.median(a[kind] / b[kind] for a, b in zip(found, bound, strict=True)) for kind in (0, 1)
    ]
    return [
        name,
        f"{statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})",
        f"{times[0]:.2f}",
        f"{statistics.median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})",
        f"{times[1]:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    found: dict[str, list[Seconds]] = {"minimal": [], "page": [], "python": [], "help": []}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "minimal.py"
        script.write_text(MINIMAL)
        for repeat in range(options.repeats + 1):
            once = {}
            port = free_port()
            once["minimal"] = first_answer([sys.executable, str(script), str(port)], port, folder)
            port = free_port()
            page = [sys.executable, str(REPOSITORY / "gradio_app.py"), "--no-browser", "--port", str(port)]
            once["page"] = first_answer([*page, "--workspace", folder], port, folder)
            once["python"] = whole_run([sys.executable, "-c", "pass"], folder)
            once["help"] = whole_run([sys.executable, "-m", "financial_model", "--help"], folder)
            if repeat:  # the first reads files from disk that the others find in memory
                for name, seconds in once.items():
                    found[name].append(seconds)
    print(describe_machine("gradio", "typer"))
    columns = ("what", "median s (spread)", "times the bound", "processor s (spread)", "times the bound")
    rows = [
        row("minimal Gradio page, the bound", found["minimal"], found["minimal"]),
        row("the page", found["page"], found["minimal"]),
        row("Python that does nothing, the bound", found["python"], found["python"]),
        row("python -m financial_model --help", found["help"], found["python"]),
    ]
    print_table(f"From start to first answer, {options.repeats} repeats", columns, rows)


if __name__ == "__main__":
    main()
