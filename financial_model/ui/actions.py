"""What a person can ask the page to do, said once for its buttons and its interface to programs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..base.config import (
    DownloadSettings,
    ForecastSettings,
    ImportSettings,
    PanelSettings,
    Settings,
    SimulateSettings,
)
from ..base.errors import BadSetting, FinancialModelError, UnsafePath
from ..base.workspace import user_path
from .job import Job, at_work
from .jobs import Jobs
from .translations import Translate
from .widgets import message

S = TypeVar("S", bound=Settings)


def load_market(jobs: Jobs, command: str, settings: Settings) -> tuple[Job, Job]:
    """Queue what brings a market in, and the building of the panel behind it."""
    first = jobs.start(command, settings)
    return first, jobs.start("build-panel", PanelSettings(), after=first.id)


def stop_at_work(language: str, jobs: Jobs, is_mine: Callable[[Job], bool]) -> str:
    """Stop of these jobs the one that runs, else the first that waits; what follows it goes with it.

    That one which had not begun has left the queue is said: it leaves no other trace.
    """
    job = at_work(filter(is_mine, jobs.all()))
    told: list[str] = []

    def act() -> None:
        if job is None:
            return
        ended = jobs.stop(job.id)
        if ended.state == "stopped" and ended.started_at is None:
            told.append(message(Translate(language)("job.left_queue")))

    return attempt(language, act) or "".join(told)


def simulate_settings(stocks: Any, sessions: Any, signal: Any, seed: Any = 0) -> SimulateSettings:
    return SimulateSettings.from_json(
        {"stocks": stocks, "sessions": sessions, "signal": signal, "seed": seed}
    )


def download_settings(
    stocks: Any,
    start: str,
    codes: str = "",
    connections: Any = 4,
    servers: str = "",
    retry_failed: bool = False,
) -> DownloadSettings:
    return DownloadSettings.from_json(
        {
            "stocks": stocks,
            "start": start.strip(),
            "codes": words_of(codes),
            "connections": connections,
            "servers": words_of(servers),
            "retry_failed": retry_failed,
        }
    )


def import_settings(path: str, max_stocks: Any = None, volume_unit: Any = None) -> ImportSettings:
    """Settings of an import; BadSetting where the path is empty or is not there."""
    found = existing_path(path)
    if found is None:
        raise BadSetting("path", written_path(path)[:200], "a folder or file that exists")
    return ImportSettings.from_json(
        {
            "path": str(found),
            "max_stocks": optional_count("max_stocks", max_stocks),
            "volume_unit": volume_unit or None,
        }
    )


def scan_settings(checkpoint: str | None, as_of: str | None) -> ForecastSettings:
    """The settings of a ranking; BadSetting names the field that does not fit."""
    if not checkpoint:
        raise BadSetting("checkpoint", "", "a trained model")
    return ForecastSettings.from_json({"checkpoint": checkpoint, "as_of": optional(as_of)})


def existing_path(text: Any) -> Path | None:
    """The file or folder that a person wrote, None where there is none."""
    path = written_path(text)
    try:
        return user_path(path).resolve(strict=True) if path else None
    except (UnsafePath, OSError, RuntimeError):  # no path, not there, too long, a link that leads to itself
        return None


def written_path(text: Any) -> str:
    """A path as it stands in a field, without the quotation marks that copying it brings along."""
    return str(text or "").strip().strip('"')


def words_of(text: Any) -> list[str]:
    """What stands between commas (of either language), semicolons, spaces and line breaks.

    >>> words_of("600519，SZ000001; 300750")
    ['600519', 'SZ000001', '300750']
    """
    plain = str(text or "")
    for separator in "，；;、\n\t":
        plain = plain.replace(separator, ",")
    return [word for part in plain.split(",") for word in part.split()]


def optional(text: Any) -> str | None:
    """A text field that may be left empty."""
    return str(text or "").strip() or None


def optional_count(name: str, value: Any) -> int | None:
    """A count that may be left empty; BadSetting when it is not a whole number.

    >>> optional_count("max_stocks", " 1,000 "), optional_count("max_stocks", "")
    (1000, None)
    """
    text = str(value if value is not None else "").replace(",", "").replace("，", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadSetting(name, str(value)[:40], "a number from 1 to 100000")
    return int(text)


def attempt(language: str, act: Callable[[], object]) -> str:
    """Do it; what a person has to mend comes back as a message in place, else nothing."""
    try:
        act()
    except FinancialModelError as error:
        return error_message(language, error)
    return ""


def error_message(language: str, error: FinancialModelError) -> str:
    t = Translate(language)
    return message(t.error(type(error).__name__, str(error), error.fields), "failed")
