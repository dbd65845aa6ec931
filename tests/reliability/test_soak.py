"""The short forms of benchmarks/soak.py; for half an hour see docs/RELIABILITY.md."""

import contextlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the soak reads /proc")


def soak(*arguments):
    command = [sys.executable, "benchmarks/soak.py", "--answer-s", "120", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bounds: all held" in done.stdout
    return dict(line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.count("|") == 3)


def test_a_training_that_is_killed_resumed_and_stopped_under_a_page_leaves_nothing_behind(copy):
    """Memory, handles, processes, files: the bounds are those of the long form."""
    told = {name.strip(): value.strip() for name, value in soak("--brief", "--workspace", copy.root).items()}
    assert (told["killed"], told["resumed"], told["stopped"]) == ("1", "1", "1")
    assert (told["poll_faults"], told["processes_left"], told["part_files_left"]) == ("0", "0", "0")
    assert float(told["rss_mib_most"]) > 50


def test_a_question_without_an_answer_is_a_fault_that_names_it_and_no_hang(monkeypatch):
    """The page keeps a stream alive with heartbeats, so no wait on its socket would ever end."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import soak as benchmark

    class Heart(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b'data: {"msg":"heartbeat"}\n\n')
                    time.sleep(0.05)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(benchmark, "ANSWER_S", 0.3)
    with HTTPServer(("127.0.0.1", 0), Heart) as page:
        threading.Thread(target=page.handle_request, daemon=True).start()
        server = benchmark.Server(f"http://127.0.0.1:{page.server_port}")
        with pytest.raises(TimeoutError, match=r"event 7 was not answered within 0\.3 s"):
            for _ in server.stream("gradio_api/queue/data?session_hash=x", "event 7"):
                pass


@pytest.mark.slow
def test_one_round_leaves_nothing_behind():
    soak("--minutes", 0.05, "--epochs", 5, "--port", 19910)
