"""What a person trains on: the universe as of a date, its industries, styles, regime and gaps."""

from typing import Any

from ..base.config import AnalyzeSettings
from ..base.errors import BadSetting
from ..base.progress import Progress
from ..base.workspace import Workspace
from ..conditions.universe import Universe, regime_timeline
from ..data.bar_store import BarStore
from ..data.panel import Panel
from ..data.quality import QualityReport, csv_path
from ..data.reference_store import ReferenceStore

LEAST_INDEX_BARS = 250


def analyze_universe(settings: AnalyzeSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """The universe at the close of `as_of` (the last session when not given), from what was known then.

    JSON-like; every part speaks of the session in "as_of". Raises NoPanel, and BadSetting for a date
    before the first session.
    """
    progress.stage("analyze", "Reading the universe")
    panel, reference = Panel.open(workspace), ReferenceStore(workspace)
    position = len(panel.sessions) - 1 if settings.as_of is None else panel.position_of(settings.as_of)
    if position < 0:
        raise BadSetting("as_of", str(settings.as_of), f"a date from {panel.sessions[0]} on")
    universe = Universe.at(panel, reference, position, settings.max_stocks)
    progress.check_stop("Nothing was changed.")

    progress.stage("analyze", "Industries, styles and regime")
    timeline = regime_timeline(panel, position, panel.made_with)
    result: dict[str, Any] = {
        "as_of": str(universe.session),
        "first": str(panel.sessions[0]),
        "last": str(panel.last_session),
        "simulated": panel.is_simulated,
        "panel": panel.fingerprint,
        "stocks": len(universe.codes),
        "counts": universe.counts(),
        "regime": {name: timeline[name] for name in ("index", "now", "since", "sessions")}
        | {"is_too_short": len(timeline["date"]) < LEAST_INDEX_BARS},
        "timeline": timeline,
        "industries": universe.industry_table(),
    }
    progress.check_stop("Nothing was changed.")
    result |= {
        "styles": universe.style_table(),
        "heat": universe.style_heat(),
        "coverage": universe.coverage(),
        "health": health(workspace),
        "table": universe.stock_table(),
    }
    return result


def health(workspace: Workspace) -> dict[str, Any]:
    """What the last judgement of the bars found, and which codes could not be fetched."""
    report = QualityReport.read(workspace)
    failures = BarStore(workspace).metadata()["failures"]
    path = csv_path(workspace)
    return report.summary() | {
        "failures": failures,
        "report": str(path.relative_to(workspace.root)) if path.is_file() else None,
    }
