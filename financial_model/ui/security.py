"""Who may talk to the page: this machine's own browser, and nobody in its name.

A page of another origin can send requests to 127.0.0.1 from the user's browser, and a name that resolves to
127.0.0.1 (DNS rebinding) can even read the answers. So a request must name a host that is ours, and one
that a browser marks as coming from elsewhere is refused. Programs without a browser send no such marks.
Nor may a page of another origin hold this one in a frame, invisible under what it has the user click on.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# Nothing here takes uploads; settings and codes are small.
MAX_BODY_BYTES = 1 << 20
REFUSED_PATHS = ("/gradio_api/upload", "/gradio_api/proxy=", "/proxy=", "/upload")

UNFRAMED = (b"x-frame-options", b"SAMEORIGIN")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class SameOrigin:
    """ASGI middleware that lets only the page itself (and programs on this machine) in."""

    def __init__(self, app: App, is_local: bool = True) -> None:
        self.app = app
        self.is_local = is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        refusal = self.refusal(scope.get("method", "GET"), scope["path"], headers)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return

        async def send_unframed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), UNFRAMED]}
            await send(message)

        await self.app(scope, _Bounded(receive), send_unframed)

    def refusal(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and reason, or None for a request that may pass."""
        host = headers.get("host", "")
        if self.is_local and _name_of(f"//{host}") not in LOOPBACK:
            return 421, "This page answers only under 127.0.0.1 and localhost."
        origin = headers.get("origin")
        if origin is not None and (origin == "null" or urlsplit(origin).netloc.lower() != host.lower()):
            return 403, "Requests from other pages are refused."
        is_visit = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_visit:
            return 403, "Requests from other pages are refused."
        if path.startswith(REFUSED_PATHS):
            return 404, "There is nothing here."
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY_BYTES:
            return 413, "That is more than this page takes."
        return None


class _Bounded:
    """A body that never says its length is cut off all the same."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY_BYTES:
            return {"type": "http.disconnect"}
        return message


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})


def names_a_file(value: Any) -> bool:
    """Whether what came from a browser or a program holds one of Gradio's references to a file.

    Gradio copies what such a reference names, any path of this machine or address of another, to where the
    sender can fetch it. Nothing here takes files, so a reference is never meant well.

    >>> names_a_file([{"a": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}])
    True
    """
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if "path" in one and "meta" in one:
                return True
            left.extend(one.values())
        elif isinstance(one, (list, tuple)):
            left.extend(one)
    return False


def _name_of(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def password_check(user: str, password: str) -> Callable[[str, str], bool]:
    """Whether a name and a password are the right ones, in a time that does not tell how close they came."""

    def check(given_user: str, given_password: str) -> bool:
        is_user = hmac.compare_digest(given_user.encode(), user.encode())
        is_password = hmac.compare_digest(given_password.encode(), password.encode())
        return is_user and is_password

    return check
