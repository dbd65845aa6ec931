"""Store -> panel: adjusted prices, limits, shares and conditions of all stocks in one mapped table."""

import json
from typing import Any

from ..base.config import PanelSettings
from ..base.progress import Progress
from ..base.workspace import Workspace
from ..conditions.condition_table import VOCABULARIES, ConditionColumns
from ..data import panel_builder
from ..data.panel import Panel
from ..data.quality import QualityReport
from ..data.reference_store import ReferenceStore


def build_panel(settings: PanelSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Bring `data_cache/panel.arrow` up to date; what was built, copied and left out."""
    reference = ReferenceStore(workspace)
    progress.stage("build_panel", "Building the panel")

    def conditions(panel: Panel) -> ConditionColumns:
        return ConditionColumns(panel, reference, settings.conditions)

    result = panel_builder.build_panel(
        workspace,
        conditions,
        VOCABULARIES,
        conditions_key=json.dumps(settings.conditions.to_json(), sort_keys=True),
        rebuild=settings.rebuild,
        progress=progress,
    )
    return result | {"quality": QualityReport.read(workspace).counts()}
