"""A script that runs before Gradio's own: what Gradio is given as `head` it adds only once it has started."""

from collections.abc import MutableMapping
from typing import Any

from .security import App, Receive, Scope, Send


class FirstScript:
    """ASGI middleware that puts a script first in the page at /; all other answers pass as they are."""

    def __init__(self, app: App, script: str) -> None:
        self.app = app
        self.head = f"<head><script>{script}</script>".encode()

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
            parts.append(bytes(message.get("body", b"")))
            if message.get("more_body"):
                return
            body, headers = b"".join(parts), dict(start["headers"])
            if headers.get(b"content-type", b"").startswith(b"text/html"):
                body = body.replace(b"<head>", self.head, 1)
            length = [(b"content-length", str(len(body)).encode())]
            kept = [pair for pair in start["headers"] if pair[0] != b"content-length"]
            await send({**start, "headers": kept + length})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, hold)
