"""The panel: `python gradio_app.py`, then http://127.0.0.1:7860."""

import argparse
import os
import sys

from financial_model.base.errors import FinancialModelError
from financial_model.ui.app import serve


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Hermes, an A-share forecasting workbench, as a page in the browser."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; beyond this machine needs --auth"
    )
    parser.add_argument("--port", type=int, help="first port to try (default 7860, then the next free one)")
    parser.add_argument(
        "--lang", choices=("zh", "en"), help="language until the reader chooses; else the browser's"
    )
    parser.add_argument("--workspace", default=".", help="the folder everything lies under")
    parser.add_argument(
        "--auth", help="USER:PASSWORD; the variable HERMES_AUTH does the same unseen by others"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    options = parser.parse_args(arguments)
    login = options.auth or os.environ.get("HERMES_AUTH")
    user, separator, password = (login or "").partition(":")
    if login and not (user and separator and password):
        parser.error("--auth takes USER:PASSWORD")
    try:
        serve(
            host=options.host,
            port=options.port,
            language=options.lang,
            workspace=options.workspace,
            auth=(user, password) if login else None,
            open_browser=not options.no_browser,
        )
    except FinancialModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
