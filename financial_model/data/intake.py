"""Bars on their way into the store, whoever brings them: what cannot be right goes beside it, and is told.

A writer of any thread puts away rows and bars; one thread keeps the report and writes it with the metadata.
"""

from typing import Any

from ..base.progress import Progress
from .bar_store import BarStore
from .quality import Judged, QualityReport
from .source import Bars


class Intake:
    """The report of a workspace, and what this run has added to it."""

    def __init__(self, store: BarStore) -> None:
        self.store = store
        self.report = QualityReport.read(store.workspace)
        self.set_aside_count = 0
        self._codes: set[str] = set()
        self._is_told = True

    def write(self, judged: Judged, bars: Bars | None) -> int:
        """Put away rows that cannot be right, then the bars of their code (None: they stay as they are).

        Returns how many rows had not been set aside before. For any thread, each code once at a time.
        """
        count = self.store.set_aside(judged.set_aside) if len(judged.set_aside) else 0
        if bars is not None:
            self.store.write(bars)
        return count

    def note(self, judged: Judged, set_aside: int) -> None:
        """Take one code's findings into the report; set_aside: how many rows to tell of."""
        self.report.add(judged)
        self._codes.add(judged.bars.code)
        self.set_aside_count += set_aside
        self._is_told = False

    def write_report(self) -> None:
        """Write the report where something was noted since it was; before the metadata of the same bars."""
        if not self._is_told:
            self.report.write(self.store.workspace)
            self._is_told = True

    def result(self) -> dict[str, Any]:
        """`quality`: findings by class in the codes that came; `set_aside`: rows set aside."""
        return {"quality": self.report.of(self._codes).counts(), "set_aside": self.set_aside_count}

    def warn(self, progress: Progress) -> None:
        if self.set_aside_count:
            progress.warn(
                f"{self.set_aside_count} rows cannot be right and were set aside in "
                "full_stock_data/set_aside; quality.csv says why.",
                key="quality.set_aside",
                count=self.set_aside_count,
            )
