"""How fast the download is: against a plain pytdx loop, and against what the delay of a server allows.

    python benchmarks/download.py [--stocks 40] [--sessions 6400]

A server of our own (tests/data/fake_tdx_server.py) runs in a process of its own on loopback. Every part runs
several times in turn and the median is told, since other work on the machine disturbs all of them alike.
Prints one JSON object: bars a second of a plain pytdx loop, of our connection and of the whole download with
its checks and files; then the requests a second at 40 ms of delay over 8 connections.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from financial_model.base.config import DownloadSettings  # noqa: E402
from financial_model.base.progress import Progress  # noqa: E402
from financial_model.base.workspace import Workspace  # noqa: E402
from financial_model.data.quality import Judge  # noqa: E402
from financial_model.data.tdx_client import Patience, TdxHq_API  # noqa: E402
from financial_model.data.tdx_market import Plan, fetch_code  # noqa: E402
from financial_model.data.tdx_protocol import MARKETS  # noqa: E402
from financial_model.data.tdx_servers import QuoteSession, Server, ServerPool, probe  # noqa: E402
from financial_model.workflows.download import download  # noqa: E402

DELAY_S, CONNECTIONS = 0.04, 8


@contextlib.contextmanager
def serving(stocks: int, sessions: int, delay_s: float) -> Iterator[int]:
    """The port of a fake server in a process of its own."""
    command = [sys.executable, str(REPOSITORY / "tests" / "data" / "fake_tdx_server.py")]
    command += ["--stocks", str(stocks), "--sessions", str(sessions), "--delay", str(delay_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def plain_loop(port: int, codes: list[str]) -> int:
    """Bars that a plain pytdx loop fetches: what most scripts do."""
    api, bars = TdxHq_API(), 0
    assert api.connect("127.0.0.1", port)
    for code in codes:
        start = 0
        while page := api.get_security_bars(9, MARKETS[code[:2]], code[2:], start, 800):
            bars += len(page)
            start += len(page)
            if len(page) < 800:
                break
    api.disconnect()
    return bars


def our_connection(port: int, codes: list[str]) -> int:
    """Bars that one connection of ours fetches, decodes and checks, facts included."""
    server = probe(Server(f"127.0.0.1:{port}"), Patience())
    session = QuoteSession(ServerPool([server], Patience()), Patience(), threading.Event())
    start, bars = date(1990, 1, 1), 0
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge.of_workspace(Workspace(folder))
    index = fetch_code(session, Plan("SH000001", start, None), judge).bars
    assert index is not None
    judge = judge.learning(index)
    for code in codes:
        fetched = fetch_code(session, Plan(code, start, None), judge)
        bars += fetched.new_count
    session.close()
    return bars


def whole_download(port: int, codes: list[str], connections: int) -> tuple[int, list[dict[str, Any]]]:
    """Bars that a download writes, and its events."""
    events: list[dict[str, Any]] = []
    settings = DownloadSettings(
        codes=tuple(codes), start=date(1990, 1, 1), servers=(f"127.0.0.1:{port}",), connections=connections
    )
    with tempfile.TemporaryDirectory() as folder:
        result = download(
            settings, Workspace(folder), Progress(events.append), now=datetime(2059, 1, 1, tzinfo=UTC)
        )
    assert not result["failures"]
    return result["bars"], events


def speed(work: Callable[[], int]) -> float:
    started = time.monotonic()
    return work() / (time.monotonic() - started)


def requests_per_s(events: list[dict[str, Any]]) -> float:
    """Answers a second while stocks were fetched."""
    first = next(k for k, event in enumerate(events) if event.get("stage") == "fetch_stocks")
    before = next(event for event in reversed(events[:first]) if event.get("servers"))
    last = [event for event in events if event["kind"] == "progress"][-1]
    answers = [sum(row["answers"] for row in event["servers"]) for event in (before, last)]
    return (answers[1] - answers[0]) / (last["time"] - events[first]["time"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stocks", type=int, default=40)
    parser.add_argument("--sessions", type=int, default=6400)
    parser.add_argument("--delayed-stocks", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY / "tests" / "data"))
    from fake_tdx_server import PREFIXES

    codes = [PREFIXES[k % len(PREFIXES)] + f"{k // len(PREFIXES) + 1:03d}" for k in range(options.stocks)]
    codes = [code for code in codes if code[:2] != "BJ"]  # pytdx's loop is asked for what it knows
    few = codes[: max(4, len(codes) // 4)]
    figures: dict[str, list[float]] = {"pytdx": [], "connection": [], "download": []}
    with serving(options.stocks, options.sessions, 0.0) as port:
        our_connection(port, codes)  # the server encodes each page once
        for _ in range(options.rounds):
            figures["pytdx"].append(speed(lambda: plain_loop(port, few)))
            figures["connection"].append(speed(lambda: our_connection(port, codes)))
            figures["download"].append(speed(lambda: whole_download(port, codes, 4)[0]))
    bars = {name: statistics.median(values) for name, values in figures.items()}
    # Enough stocks that the last ones, which end one by one, do not count for much.
    many = [PREFIXES[k % 2] + f"{k // 2 + 1:03d}" for k in range(options.delayed_stocks)]
    with serving(options.delayed_stocks * 4, options.sessions, DELAY_S) as port:
        rates = [requests_per_s(whole_download(port, many, CONNECTIONS)[1]) for _ in range(options.rounds)]
    allowed = CONNECTIONS / DELAY_S
    print(
        json.dumps(
            {
                "bars_per_s": {name: round(value) for name, value in bars.items()},
                "connection_over_pytdx": round(bars["connection"] / bars["pytdx"], 2),
                "download_over_pytdx": round(bars["download"] / bars["pytdx"], 2),
                "requests_per_s": round(statistics.median(rates), 1),
                "requests_per_s_allowed": allowed,
                "share_of_allowed": round(statistics.median(rates) / allowed, 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
