"""Every error a person may meet, as one readable tree.

A message says what was seen, what was expected, and what to do now. `fields` holds the same facts as
JSON-like values, so that the page can tell them in Chinese (`ui/translations.py` has a template for each
class name) without ever parsing English text.
"""

from datetime import date
from pathlib import Path
from typing import Any


class FinancialModelError(Exception):
    """The root of the tree: something a person can mend, told in one clear line."""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(_printable(message))
        self.fields = {name: _plain(value) for name, value in fields.items()}


def _printable(text: str) -> str:
    """The text with half signs (lone surrogates, which JSON can bring) spelled out: no file takes them.

    >>> _printable("a" + chr(0xD800))
    'a\\\\ud800'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """A JSON-like twin of a field's value, so that an event file can carry it."""
    if isinstance(value, str):
        return _printable(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_printable(str(key)): _plain(item) for key, item in value.items()}
    return _printable(str(value))


class BadSetting(FinancialModelError):
    """A setting outside its range, of the wrong type, or at odds with another one."""

    def __init__(self, setting: str, seen: Any, expected: str) -> None:
        super().__init__(
            f"{setting} is {seen!r}; expected {expected}.", setting=setting, seen=seen, expected=expected
        )


class MissingSetting(FinancialModelError):
    """A setting without a default that was not given."""

    def __init__(self, setting: str, expected: str) -> None:
        super().__init__(f"No {setting} was given: name {expected}.", setting=setting, expected=expected)


class UnsafePath(FinancialModelError):
    """A name or folder from a user that would leave the workspace or cannot be a file name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"{name!r} cannot be used as a name here: {reason}. "
            "Use letters, digits, '_' and '-' in a folder inside the workspace.",
            name=name,
            reason=reason,
        )


class WorkspaceBusy(FinancialModelError):
    """Another process is at work on the same part of the workspace."""

    def __init__(self, what: str, owner: str) -> None:
        super().__init__(
            f"{what} is in use by another process ({owner}). Wait until it has ended, or stop it.",
            what=what,
            owner=owner,
        )


class DiskFull(FinancialModelError):
    """A file could not be written for lack of room; what stood there before still stands."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} could not be written: {reason}. The old file is untouched. "
            "Free some disk space and try again.",
            path=path,
            reason=reason,
        )


class UnwritablePath(FinancialModelError):
    """A file or folder that a person asked for and that cannot be made there."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written: {reason}. Choose another place.", path=path, reason=reason
        )


class DamagedFile(FinancialModelError):
    """A file of ours that is torn, of another kind, or from another version."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(
            f"{path} cannot be read: {reason}. {remedy}", path=path, reason=reason, remedy=remedy
        )


class StopRequested(FinancialModelError):
    """The user asked to stop; not a fault. `saved` says where the work so far lies."""

    def __init__(self, saved: str) -> None:
        super().__init__(f"Stopped as asked. {saved}", saved=saved)


class UnusableForecasts(FinancialModelError):
    """A forecast table that cannot be judged: columns missing, rows twice, or stocks and days unknown."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(
            f"These forecasts cannot be judged: {reason}. {remedy}", reason=reason, remedy=remedy
        )


class SeenInTraining(FinancialModelError):
    """A test range that begins before the first session the checkpoint has not learned from."""

    def __init__(self, first: date, first_allowed: date, last_seen: date) -> None:
        super().__init__(
            f"A test from {first} would judge the model on sessions it has seen: training and validation "
            f"reach up to {last_seen}. Start at {first_allowed} or later.",
            first=first,
            first_allowed=first_allowed,
            last_seen=last_seen,
        )


class EmptyTestRange(FinancialModelError):
    """A test range without a single session that has forecasts and labels; `last` None: to the data's end."""

    def __init__(self, first: date, last: date | None, last_session: date) -> None:
        last = last or max(first, last_session)
        span = f"from {first} to {last}" if first <= last_session else f"from {first} on"
        super().__init__(
            f"There is nothing to judge {span}: no session there has forecasts whose outcome "
            f"is known (data end on {last_session}). Choose other dates, or download newer data.",
            first=first,
            last=last,
            last_session=last_session,
        )


class CheckpointError(FinancialModelError):
    """A checkpoint that cannot be used."""

    def __init__(self, path: Path | str, reason: str, remedy: str) -> None:
        super().__init__(
            f"{path} cannot be used: {reason}. {remedy}", path=path, reason=reason, remedy=remedy
        )


class DamagedCheckpoint(CheckpointError):
    """A file that is torn, or no checkpoint at all; nothing in it was run."""


class ForeignCheckpoint(CheckpointError):
    """A checkpoint of another kind, version or model than what was asked for."""


class CheckpointMismatch(CheckpointError):
    """A sound checkpoint whose inputs this panel cannot give."""


class TooFewSessions(FinancialModelError):
    """A history too short for what was asked; `what` is a code or a part of the split."""

    def __init__(self, what: str, found: int, needed: int, remedy: str) -> None:
        super().__init__(
            f"{what} has {found} sessions, {needed} are needed. {remedy}",
            what=what,
            found=found,
            needed=needed,
            remedy=remedy,
        )


class NotTraded(FinancialModelError):
    """A stock that has no bar on the session asked for: suspended, not yet listed, or delisted."""

    def __init__(self, code: str, as_of: date, nearest: date | None) -> None:
        hint = (
            f"The nearest session that can be forecast is {nearest}." if nearest else "Choose another stock."
        )
        super().__init__(f"{code} did not trade on {as_of}. {hint}", code=code, as_of=as_of, nearest=nearest)


class NonFiniteLoss(FinancialModelError):
    """A loss that became NaN or infinite; the last checkpoint is sound."""

    def __init__(self, step: int, codes: list[str], dates: list[date], saved: str) -> None:
        super().__init__(
            f"The loss was not a number at step {step}, in a batch of {', '.join(codes)} "
            f"from {dates[0]} to {dates[-1]}. {saved} Try a lower learning rate or gradient clip.",
            step=step,
            codes=codes,
            dates=dates,
            saved=saved,
        )


class OutOfMemory(FinancialModelError):
    """A batch that did not fit into the memory of the device."""

    def __init__(self, device: str, batch_size: int, remedy: str) -> None:
        super().__init__(
            f"A batch of {batch_size} samples did not fit into the memory of {device}. {remedy}",
            device=device,
            batch_size=batch_size,
            remedy=remedy,
        )


class UnknownCode(FinancialModelError):
    """Text that names no A share or index."""

    def __init__(self, seen: Any) -> None:
        super().__init__(
            f"{str(seen)[:40]!r} is no code of an A share or index (funds, bonds and B shares are not "
            "taken). Write six digits with their exchange, such as SH600519, SZ000001 or BJ920001.",
            seen=str(seen)[:40],
        )


class CodeNotHeld(FinancialModelError):
    """A code that is well written but of which nothing lies here."""

    def __init__(self, code: str, where: str, remedy: str) -> None:
        super().__init__(f"{code} is not in {where}. {remedy}", code=code, where=where, remedy=remedy)


class NoBarsFound(FinancialModelError):
    """A folder or file that was to hold bars and holds none."""

    def __init__(self, path: Path, expected: str) -> None:
        super().__init__(f"No bars in {path}; expected {expected}.", path=path, expected=expected)


class PathNotFound(FinancialModelError):
    """A file or folder that a person named and that is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is no file or folder {path}. Check how it is written.", path=path)


class NoFileNamedByCode(FinancialModelError):
    """Files of bars of which none says in its name what stock it holds."""

    def __init__(self, path: Path, files: list[str]) -> None:
        some = files[:3]
        shown = ", ".join(some) + (" ..." if len(files) > len(some) else "")
        super().__init__(
            f"No file of {path} is named by the code of an A share or index ({shown}). Name each by its "
            "code, such as SH600000.csv, one stock a file: a file of several stocks has to be split first. "
            "Funds, bonds and B shares are not taken.",
            path=path,
            files=some,
        )


class BadTable(FinancialModelError):
    """A CSV or day file that cannot be read as what it should hold; `where` is a row, date or column."""

    def __init__(self, path: Path, where: str, seen: Any, expected: str) -> None:
        super().__init__(
            f"{path.name}, {where}: found {str(seen)[:80]!r}, expected {expected}. "
            "Correct the file and try again.",
            path=path,
            where=where,
            seen=str(seen)[:80],
            expected=expected,
        )


class NothingUsable(FinancialModelError):
    """Every one of several files or codes failed; the first reasons are told."""

    def __init__(self, what: str, failures: dict[str, str]) -> None:
        shown = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:3])
        super().__init__(
            f"None of the {len(failures)} {what} could be used. {shown}", what=what, failures=dict(failures)
        )


class MixedMarkets(FinancialModelError):
    """Practice bars and real bars were about to lie in one workspace."""

    def __init__(self, held: str, offered: str) -> None:
        super().__init__(
            f"This workspace holds {held} bars; {offered} ones cannot be added to it. "
            "Use another workspace folder for them.",
            held=held,
            offered=offered,
        )


class NoPanel(FinancialModelError):
    """The panel was asked for before it was built."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is no panel at {path}. Build it first (build-panel).", path=path)


class PanelChanged(FinancialModelError):
    """The panel was built anew, with other contents, while a work of several parts went on with it."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(
            f"{what} was begun on another panel than now lies at {path}: the data was built anew meanwhile. "
            "Start again, on the panel as it is now.",
            what=what,
            path=path,
        )


class BadConditions(FinancialModelError):
    """The condition columns handed to the panel do not fit it: a fault of the caller."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Condition {name!r} {reason}.", name=name, reason=reason)


class QueueFull(FinancialModelError):
    """More jobs wait than anyone will read through."""

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} jobs wait already. Stop one, or let some end, before starting another.",
            waiting=waiting,
        )


class NoSuchJob(FinancialModelError):
    """A job's id that no folder of the workspace bears."""

    def __init__(self, job: Any) -> None:
        shown = str(job)[:80]  # a program may ask for anything
        super().__init__(f"There is no job {shown!r} in this workspace.", job=shown)


class NoServerAnswers(FinancialModelError):
    """No quote server gave a bar; `summary` says how they failed."""

    def __init__(self, tried: list[str], summary: str, own: bool = False) -> None:
        who = f"The {len(tried)} server(s) you named" if own else f"All {len(tried)} quote servers tried"
        super().__init__(
            f"No quote server serves daily bars here. {who}: {summary}. Try another server "
            "(--server HOST:PORT), check that the firewall lets port 7709 out, or import without a network: "
            "the folder of a local 通达信 client (the one that holds vipdoc) or CSV files. "
            "What was downloaded before is untouched.",
            tried=tried[:20],
            tried_count=len(tried),
            summary=summary,
            own=own,
        )


class NothingToRetry(FinancialModelError):
    """--retry-failed where no download has failed."""

    def __init__(self, codes: list[str]) -> None:
        what = f"None of {', '.join(codes[:5])} has" if codes else "No stock has"
        super().__init__(f"{what} a failed download to retry.", codes=codes[:20])


class NoSuchRun(FinancialModelError):
    """A training that no file of the workspace tells of."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"There is no run {run[:80]!r} in this workspace. Choose one of the list.", run=run[:80]
        )
