"""The page: the table of its tabs, and the server that shows it."""

import contextlib
import importlib.metadata
import locale
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .before_gradio import prepare

prepare()

import gradio as gr  # noqa: E402
import uvicorn  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from fastapi.responses import FileResponse, PlainTextResponse  # noqa: E402

from ..base.config import DoctorSettings  # noqa: E402
from ..base.errors import BadSetting  # noqa: E402
from ..base.workspace import Workspace  # noqa: E402
from ..workflows.doctor import MARK_PATH, who_answers  # noqa: E402
from . import api  # noqa: E402
from .first_script import FirstScript, Opening  # noqa: E402
from .frame import Page  # noqa: E402
from .jobs import Jobs  # noqa: E402
from .security import LOOPBACK, SameOrigin, names_a_file, password_check  # noqa: E402
from .sessions import keep_little  # noqa: E402
from .tabs import (  # noqa: E402
    basic_training,
    download,
    evaluation,
    inference,
    multi_dim_training,
    runs,
    system,
    universe,
)
from .theme import css_variables  # noqa: E402
from .translations import LANGUAGES, Translate  # noqa: E402

# In the order of the work; each module has `build(page)`.
TABS: tuple[ModuleType, ...] = (
    download,
    universe,
    basic_training,
    multi_dim_training,
    inference,
    evaluation,
    runs,
    system,
)

STATIC = Path(__file__).parent / "static"
TITLE = "Hermes · A 股预测工作台 · A-share forecasting"
FIRST_PORT, PORTS_TRIED = 7860, 50
CHECK_AFTER_S, CHECK_AGAIN_S = 4.0, 86_400.0
MAX_WAITING_EVENTS = 64
PLOTLY_PATH = "hermes/plotly.min.js"


def build_page(page: Page) -> gr.Blocks:
    """The whole page as a Gradio application, in the language of `page.t` until a browser chooses."""
    with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as demo:
        page.header()
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            # Whatever a tab makes belongs inside its gr.Tab: a stray component here would shift the strip.
            for tab in TABS:
                tab.build(page)
        page.footer()
        page.wire(demo)
        api.publish(page)
    return demo


def page_head() -> str:
    """What stands in <head>: variables and scripts of our own, all from this server."""
    script = (STATIC / "page.js").read_text(encoding="utf-8")
    return f"<style>{css_variables()}</style><script>{script}</script>"


def make_server_app(page: Page, language: str | None, auth: tuple[str, str] | None, port: int) -> FastAPI:
    """The page mounted in an application of our own, behind the check of who may talk to it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    package = importlib.metadata.distribution("plotly")
    plotly = Path(str(package.locate_file("plotly/package_data/plotly.min.js")))
    version = importlib.metadata.version("plotly")

    @app.get(f"/{PLOTLY_PATH}")
    def plotly_script() -> FileResponse:
        headers = {"Cache-Control": "public, max-age=604800", "ETag": f'"{version}"'}
        return FileResponse(plotly, media_type="text/javascript", headers=headers)

    @app.get(MARK_PATH)
    def mark() -> PlainTextResponse:
        return PlainTextResponse(page.view(page.t.language).mark(), headers={"Cache-Control": "no-store"})

    page.files.add_route(app)
    demo = build_page(page)
    app.add_middleware(FirstScript, script=Opening(page, language, PLOTLY_PATH, is_open=auth is None))
    app.add_middleware(SameOrigin, is_local=page.is_local)
    # demo.queue() would say the same and build Gradio's whole server once more.
    demo._queue.max_size = MAX_WAITING_EVENTS
    keep_little(demo)
    _take_no_files(demo)
    return gr.mount_gradio_app(
        app,
        demo,
        path="/",
        server_port=port,
        auth=password_check(*auth) if auth else None,
        theme=gr.themes.Base(font=["sans-serif"], font_mono=["monospace"]),
        css_paths=[STATIC / "style.css", STATIC / "results.css"],
        head=page_head(),
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=1,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
    )


def _take_no_files(demo: gr.Blocks) -> None:
    """Refuse references to files in whatever is sent to the page, before Gradio looks at them."""
    preprocess_data = demo.preprocess_data

    async def checked(block_fn: Any, inputs: list[Any], *others: Any, **named: Any) -> Any:
        if names_a_file(inputs):
            raise gr.Error("This page takes no files.", print_exception=False)
        return await preprocess_data(block_fn, inputs, *others, **named)

    demo.preprocess_data = checked
    # What a mounted page is never asked, and a launched one is: whether a path may be handed out at all.
    demo.has_launched = True


def serve(
    host: str = "127.0.0.1",
    port: int | None = None,
    language: str | None = None,
    workspace: str | Path = ".",
    auth: tuple[str, str] | None = None,
    open_browser: bool = True,
    tell: Callable[[str], None] = print,
) -> None:
    """Show the page until it is interrupted. BadSetting for a host beyond this machine without `auth`."""
    is_local = host.lower().strip("[]") in LOOPBACK
    if not is_local and auth is None:
        raise BadSetting(
            "host", host, "127.0.0.1, or --auth USER:PASSWORD with it: others could reach the page"
        )
    listening = listen(host, port)
    chosen = listening.getsockname()[1]
    space = Workspace(workspace)
    jobs = Jobs(space).open()
    device = Device()
    t = Translate(language or LANGUAGES[0])
    page = Page(space, jobs, t, is_local=is_local, gpu=device.name, port=chosen)
    app = make_server_app(page, language, auth, chosen)
    check_machine_soon(jobs, chosen)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{chosen}"
    words = Translate(language or language_of_terminal())
    tell(words("start.address", address=address, workspace=space.root))
    if chosen != (wanted := port or FIRST_PORT):
        tell(
            words(
                "start.taken.page" if who_answers(wanted) == "page" else "start.taken",
                port=wanted,
                chosen=chosen,
            )
        )
    if open_browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    # Browsers that are open hold a stream each; that these are cut when the page ends is no error to tell of.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not server.should_exit)
    try:
        server.run(sockets=[listening])
    finally:
        jobs.close()


def language_of_terminal() -> str:
    """Chinese where this terminal speaks and can write it, else English."""
    spoken = (locale.getlocale()[0] or "").lower()
    with contextlib.suppress(UnicodeEncodeError, LookupError):
        "中".encode(sys.stdout.encoding or "ascii")
        if spoken.startswith(("zh", "chinese")):
            return "zh"
    return "en"


def check_machine_soon(jobs: Jobs, port: int) -> None:
    """Check the machine once a day, some seconds after the start: the page opens first."""

    def check() -> None:
        latest = next((job for job in reversed(jobs.all()) if job.command == "doctor"), None)
        if latest is None or latest.state != "done" or time.time() - (latest.ended_at or 0.0) > CHECK_AGAIN_S:
            jobs.start("doctor", DoctorSettings(port=port))

    timer = threading.Timer(CHECK_AFTER_S, check)
    timer.daemon = True
    timer.start()


def listen(host: str, port: int | None) -> socket.socket:
    """A socket on the wanted port, or on the next free one where it is taken."""
    first = port or FIRST_PORT
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(first, min(first + PORTS_TRIED, 65536)):
        listening = socket.socket(family, socket.SOCK_STREAM)
        if os.name != "nt":
            # Windows would hand a taken port to a second listener with this option.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host.strip("[]"), candidate))
            listening.listen(128)
        except OSError as error:
            listening.close()
            if candidate == first and isinstance(error, socket.gaierror):
                raise BadSetting("host", host, "an address of this machine") from error
            continue
        return listening
    raise BadSetting("port", first, f"a port with a free one among the {PORTS_TRIED} from it on")


class Device:
    """The name of the GPU as its driver tells it, asked once and in the background; torch stays unloaded."""

    def __init__(self) -> None:
        self._name: str | None = None
        threading.Thread(target=self._ask, daemon=True).start()

    def name(self) -> str | None:
        return self._name

    def _ask(self) -> None:
        program = shutil.which("nvidia-smi")
        if program is None:
            return
        try:
            answer: Any = subprocess.run(
                [program, "--query-gpu=name", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        names = answer.stdout.strip().splitlines()
        if answer.returncode == 0 and names:
            self._name = names[0].replace("NVIDIA ", "").replace("GeForce ", "").strip()
