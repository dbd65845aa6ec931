"""Train, validation and test spans, by calendar date and the same for all stocks.

An as-of session looks `context_length` sessions back and its labels reach `horizon` sessions ahead, so
neighbouring spans share prices unless a purge lies between them. The purge is taken from the end of the
earlier span, whose labels would reach into the next one; the spans that judge keep their first session.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.config import TrainSettings
from ..base.errors import DamagedCheckpoint, TooFewSessions

TEST_SHARE = 0.25
VALID_SHARE = 0.125
# What is left of a validation span after its purge, as a share of all sessions, when no date fixes it.
LEAST_VALID_SHARE = 0.05

Sessions = NDArray[np.datetime64]


@dataclass(frozen=True)
class Span:
    """As-of sessions first <= position < stop, counted in the panel's sessions."""

    first: int
    stop: int

    def __len__(self) -> int:
        return max(self.stop - self.first, 0)

    def holds(self, sessions: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of these session positions lie in the span; (N,) -> (N,)."""
        return (sessions >= self.first) & (sessions < self.stop)


@dataclass(frozen=True)
class Split:
    """The three spans of as-of sessions, and the purge between them in sessions."""

    train: Span
    valid: Span
    test: Span
    purge: int

    def dates(self, sessions: Sessions) -> dict[str, Any]:
        """First and last as-of date of each span as ISO text (None where it is empty), and the purge."""
        told: dict[str, Any] = {"purge": self.purge}
        for name in ("train", "valid", "test"):
            span: Span = getattr(self, name)
            told[name] = [str(sessions[span.first]), str(sessions[span.stop - 1])] if len(span) else None
        return told


def first_unseen(split: dict[str, Any], data: dict[str, Any]) -> date:
    """The first date of which a model with this split has seen neither prices as labels nor as-of sessions.

    split: `Split.dates`, data: what the checkpoint says of its panel. A date and no position, for the panel
    it is asked about may begin later than the one it learned from. Without a test span it has seen all.

    >>> first_unseen({"test": ["2018-01-02", "2019-12-31"]}, {})
    datetime.date(2018, 1, 2)
    >>> first_unseen({"test": None}, {"last_session": "2017-12-29"})
    datetime.date(2017, 12, 30)
    """
    if split["test"]:
        return date.fromisoformat(split["test"][0])
    try:
        return date.fromisoformat(data["last_session"]) + timedelta(days=1)
    except (KeyError, TypeError, ValueError):
        raise DamagedCheckpoint(
            "The checkpoint", "it does not say where its data ended", "Train again, or restore a copy."
        ) from None


def label_reach(prediction_length: int, holding: int) -> int:
    """Sessions after the as-of session whose closes a label may hold: the path, or the trade after it."""
    return max(prediction_length, 1 + holding)


def split_by_date(sessions: Sessions, settings: TrainSettings) -> Split:
    """The split of the panel's sessions that these settings ask for.

    `train_end` and `valid_end` are the last calendar dates of train and validation, labels included.
    Without them the last quarter of the sessions is the test span and an eighth before it validates; with
    `train_end` alone a third of what follows validates. TooFewSessions when nothing is left to learn from
    or to judge by.
    """
    count = len(sessions)
    context = settings.model.context_length
    purge = context + label_reach(settings.model.prediction_length, settings.holding)

    def after(day: date) -> int:
        return int(np.searchsorted(sessions, np.datetime64(day), side="right"))

    train_bound = None if settings.train_end is None else after(settings.train_end)
    if settings.valid_end is not None:
        valid_bound = after(settings.valid_end)
    elif train_bound is not None:
        valid_bound = train_bound + max(round((count - train_bound) / 3), purge + 1)
    else:
        valid_bound = count - round(TEST_SHARE * count)
    if train_bound is None:
        valid_count = max(round(VALID_SHARE * count) - purge, round(LEAST_VALID_SHARE * count))
        train_bound = valid_bound - purge - valid_count

    begin = context - 1
    if settings.train_start is not None:
        begin = max(begin, int(np.searchsorted(sessions, np.datetime64(settings.train_start))))
    train = Span(begin, train_bound - purge)
    valid = Span(max(train_bound, begin), valid_bound - purge)
    for name, span in (("The training span", train), ("The validation span", valid)):
        if not len(span):
            raise TooFewSessions(
                name,
                max(span.stop + purge - span.first, 0),
                purge + 1,
                f"A purge of {purge} sessions (context and horizon) lies at its end: move the dates, use a "
                "longer history, or a shorter context.",
            )
    return Split(train, valid, Span(min(valid_bound, count), count), purge)
