"""Store -> panel: adjusted prices, limits, shares and conditions of all stocks in one mapped table."""

import contextlib
import json
from typing import Any

from ..base.config import PanelSettings
from ..base.errors import DamagedFile
from ..base.progress import Progress
from ..base.workspace import Workspace, write_json
from ..conditions.condition_table import VOCABULARIES, ConditionColumns
from ..data import panel_builder
from ..data.panel import Panel, conditions_path, read_conditions
from ..data.quality import QualityReport
from ..data.reference_store import ReferenceStore


def build_panel(settings: PanelSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Bring `data_cache/panel.arrow` up to date; what was built, copied and left out."""
    reference = ReferenceStore(workspace)
    progress.stage("build_panel", "Building the panel")

    def keep_settings(fingerprint: str) -> None:
        path = conditions_path(workspace.panel_path, fingerprint)
        with contextlib.suppress(DamagedFile):
            if path.is_file() and read_conditions(path) == settings.conditions:
                return
        write_json(path, settings.conditions.to_json())

    def conditions(panel: Panel) -> ConditionColumns:
        keep_settings(panel.fingerprint)  # before the panel that they belong to is put in its place
        return ConditionColumns(panel, reference, settings.conditions)

    result = panel_builder.build_panel(
        workspace,
        conditions,
        VOCABULARIES,
        conditions_key=json.dumps(settings.conditions.to_json(), sort_keys=True),
        rebuild=settings.rebuild,
        progress=progress,
    )
    keep_settings(result["fingerprint"])
    return result | {"quality": QualityReport.read(workspace).counts()}
