"""Links to files that this page made for a person: a report, a ranking as CSV.

A link is a name that cannot be guessed, known to this process alone. It leads to what was offered under it
and to nothing else, so no folder of the workspace is open to the browser.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

ROUTE = "hermes/file"
MAX_OFFERED = 200
BOM = "\ufeff"
# A report is a page of its own: it may run its scripts, and reach neither this page nor any host.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Offer:
    """A file, or a maker of a table's text, and the name it is saved under."""

    name: str
    path: Path | None = None
    make: Callable[[], str] | None = None


class FileLinks:
    """What is offered; the oldest offers are forgotten."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._offers: OrderedDict[str, Offer] = OrderedDict()

    def offer_file(self, path: Path, name: str) -> str:
        """The address, relative to the page, of a file. The same file has the same address."""
        return self._offer(f"file:{path}", Offer(name, path=path))

    def offer_csv(self, key: str, name: str, make: Callable[[], str]) -> str:
        """The address of a CSV that is made when it is asked for. `key` tells what it holds."""
        return self._offer(f"csv:{key}", Offer(name, make=make))

    def _offer(self, key: str, offer: Offer) -> str:
        token = hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()[:40]
        self._offers[token] = offer
        self._offers.move_to_end(token)
        while len(self._offers) > MAX_OFFERED:
            self._offers.popitem(last=False)
        return f"{ROUTE}/{token}"

    def add_route(self, app: FastAPI) -> None:
        """Have an application answer the links; `?view=1` shows a report instead of saving it."""

        @app.get(f"/{ROUTE}/{{token}}")
        async def offered(token: str, view: bool = False) -> Response:
            offer = self._offers.get(token)
            if offer is None:
                raise HTTPException(404)
            if offer.make is not None:
                text = BOM + await run_in_threadpool(offer.make)
                quoted = offer.name.encode("ascii", "replace").decode().replace('"', "_")
                headers = SAFE | {"Content-Disposition": f'attachment; filename="{quoted}"'}
                return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
            if offer.path is None or not offer.path.is_file():
                raise HTTPException(404)
            return FileResponse(
                offer.path,
                filename=offer.name,
                content_disposition_type="inline" if view else "attachment",
                headers=SAFE | {"Content-Security-Policy": REPORT_POLICY},
            )
