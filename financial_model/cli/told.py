"""What a command prints at its end: the result, or what went wrong; as text or as one JSON object."""

import json
import sys
from typing import Any

from ..base.errors import FinancialModelError

TOLD_STOCKS = 20
RANKING_COLUMNS = ("rank", "code", "name", "close", "limit", "industry", "score")


def fail(error: FinancialModelError, as_json: bool) -> None:
    print(f"error: {error}", file=sys.stderr)
    if as_json:
        failure = {"error": type(error).__name__, "message": str(error), "fields": error.fields}
        print(json.dumps(failure, ensure_ascii=False))


def tell(result: dict[str, Any], as_json: bool) -> None:
    """The result on standard output: one JSON object, or what a person reads at a glance."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str))
        return
    if message := result.get("message"):
        print(message)
    for name, value in result.items():
        if name in ("message", "headline", "notes") or value is None:  # told: as the message, and as warnings
            continue
        if isinstance(value, (str, int, float, bool)):
            print(f"  {name}: {_plain(value)}")
        elif (
            isinstance(value, dict)
            and value
            and all(isinstance(v, (str, int, float)) for v in value.values())
        ):
            print(
                f"  {name}: " + ", ".join(f"{key} {_plain(item)}" for key, item in list(value.items())[:12])
            )
        elif name == "ranking" and isinstance(value, list):
            _tell_ranking(value)
        elif isinstance(value, list):
            print(f"  {name}: {len(value)}" + (" (all of it with --json)" if value else ""))


def _tell_ranking(rows: list[dict[str, Any]]) -> None:
    """The first stocks of a ranking as a table; all of them stand in the JSON and in the file of --out."""
    columns = [name for name in RANKING_COLUMNS if rows and name in rows[0]]
    for line in [columns, *([_plain(row[name]) for name in columns] for row in rows[:TOLD_STOCKS])]:
        print("  " + "  ".join(f"{cell:<12}" for cell in line).rstrip())
    if len(rows) > TOLD_STOCKS:
        print(f"  and {len(rows) - TOLD_STOCKS} more: with --json, or as a file with --out")


def _plain(value: object) -> str:
    """A figure with the digits a person reads; all of them stand in the JSON."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.6g}"
