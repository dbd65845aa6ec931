"""How many rows have no industry yet: a table that was learned on one day says nothing of those before."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.config import ConditionSettings
from ..data.panel import Panel
from ..data.reference_store import ReferenceStore
from .stock_metadata import OTHER, Industries


@dataclass(frozen=True)
class Unclassified:
    """Rows of a panel before the first classification of their stock; since: that of the whole market."""

    row_count: int
    since: np.datetime64 | None

    def fields(self, panel: Panel) -> dict[str, Any]:
        percent = round(100 * self.row_count / len(panel))
        return {"percent": percent, "since": str(self.since) if self.since is not None else None}


def unclassified(panel: Panel, reference: ReferenceStore, settings: ConditionSettings) -> Unclassified | None:
    """What is unknown where that is more than half of the panel's rows, else None."""
    if 2 * int(np.count_nonzero(panel.column("industry") == OTHER)) <= len(panel):
        return None
    industries = Industries.read(reference, settings.industry_dates)
    count = 0
    for k, code in enumerate(panel.codes):
        first = industries.counts_from[industries.facts.rows_of(code)][:1]
        sessions = panel.session_index[panel.offsets[k] : panel.offsets[k + 1]]
        known = np.searchsorted(panel.sessions, first)
        count += int(np.searchsorted(sessions, known[0])) if len(known) else len(sessions)
    if 2 * count <= len(panel):
        return None
    return Unclassified(count, industries.counts_from.min() if len(industries.counts_from) else None)
