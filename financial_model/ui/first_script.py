"""A script that runs before Gradio's own: what Gradio is given as `head` it adds only once it has started."""

import json
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from .frame import Page
from .security import App, Receive, Scope, Send
from .translations import LANGUAGES

SOURCE = Path(__file__).parent / "static" / "early.js"


class FirstScript:
    """ASGI middleware that puts a script first in the page at /; all other answers pass as they are."""

    def __init__(self, app: App, script: Callable[[], str]) -> None:
        self.app = app
        self.script = script

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        start: MutableMapping[str, Any] = {}
        parts: list[bytes] = []

        async def hold(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            if message["type"] != "http.response.body":
                return
            parts.append(bytes(message.get("body", b"")))
            if message.get("more_body"):
                return
            body, headers = b"".join(parts), dict(start["headers"])
            if headers.get(b"content-type", b"").startswith(b"text/html"):
                script = await run_in_threadpool(self.script)
                body = body.replace(b"<head>", f"<head><script>{script}</script>".encode(), 1)
            length = [(b"content-length", str(len(body)).encode())]
            kept = [pair for pair in start["headers"] if pair[0] != b"content-length"]
            await send({**start, "headers": kept + length})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, hold)


class Opening:
    """What a page shows from its first picture on, as `early.js` with the texts and the header filled in.

    language: what a browser that has not chosen is shown, else what it speaks. is_open: whether anyone may
    see the page; where a login stands before it, the script tells nothing of the work.
    """

    def __init__(self, page: Page, language: str | None, plotly: str, is_open: bool) -> None:
        built = page.t.language
        known = {"language": language or "", "built": built, "plotly": plotly}
        texts = {other: page.texts(other) for other in LANGUAGES if other != built}
        script = SOURCE.read_text(encoding="utf-8").replace("KNOWN", _in_script(known))
        self._before, self._after = script.replace("TEXTS", _in_script(texts)).split("NOW")
        self._page, self._is_open = page, is_open

    def __call__(self) -> str:
        now: dict[str, Any] = {"mark": "", "header": {}}
        if self._is_open:
            now["mark"] = self._page.view(self._page.t.language).mark()
            now["header"] = {one: self._page.header_now(one) for one in LANGUAGES}
        return self._before + _in_script(now) + self._after


def _in_script(value: Any) -> str:
    """A value as a script can hold it, whatever its texts are."""
    return json.dumps(value).replace("<", "\\u003c")
