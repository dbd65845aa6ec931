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
        super().__init__(message)
        self.fields = {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    """A JSON-like twin of a field's value, so that an event file can carry it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)


class BadSetting(FinancialModelError):
    """A setting outside its range, of the wrong type, or at odds with another one."""

    def __init__(self, setting: str, seen: Any, expected: str) -> None:
        super().__init__(
            f"{setting} is {seen!r}; expected {expected}.", setting=setting, seen=seen, expected=expected
        )


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
    """Another process is writing to the same part of the workspace."""

    def __init__(self, what: str, owner: str) -> None:
        super().__init__(
            f"{what} is being written by another process ({owner}). Wait until it has ended, or stop it.",
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
    """A test range without a single session that has forecasts and labels."""

    def __init__(self, first: date | None, last: date | None, last_session: date) -> None:
        super().__init__(
            f"There is nothing to judge from {first} to {last}: no session there has forecasts whose outcome "
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


class CodeNotInPanel(FinancialModelError):
    """A code that is well formed and not part of the panel."""

    def __init__(self, code: str, known_count: int, similar: list[str]) -> None:
        hint = f"Did you mean {', '.join(similar)}? " if similar else ""
        super().__init__(
            f"{code} is not in the panel ({known_count} stocks). {hint}"
            "Download or import it, then build the panel again.",
            code=code,
            known_count=known_count,
            similar=similar,
        )


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
