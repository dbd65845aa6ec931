"""Store -> panel: adjusted prices, limits, shares and conditions of all stocks in one mapped table."""

import contextlib
import json
from typing import Any

from ..base.config import PanelSettings
from ..base.errors import DamagedFile
from ..base.progress import Progress
from ..base.workspace import Workspace, write_json
from ..conditions.condition_table import VOCABULARIES, ConditionColumns
from ..conditions.industry_coverage import unclassified
from ..data import panel_builder
from ..data.panel import Panel, conditions_path, read_conditions
from ..data.quality import QualityReport
from ..data.reference_store import ReferenceStore


def build_panel(settings: PanelSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Bring `data_cache/panel.arrow` up to date; what was built, copied and left out.

    `without_industry`: percent of the rows that lie before any classification of their stock, `since`: the
    first day of one; None where half of the rows or more have one.
    """
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
    missing = _tell_unclassified(Panel.open(workspace), reference, settings, progress)
    return result | {"quality": QualityReport.read(workspace).counts(), "without_industry": missing}


def _tell_unclassified(
    panel: Panel, reference: ReferenceStore, settings: PanelSettings, progress: Progress
) -> dict[str, Any] | None:
    """Warn where most rows have no industry, since one that is learned today says nothing of yesterday."""
    found = unclassified(panel, reference, settings.conditions)
    if found is None:
        return None
    fields = found.fields(panel)
    told = f"industries.csv begins on {fields['since']}" if fields["since"] else "there is no industries.csv"
    progress.warn(
        f"{fields['percent']} % of the panel's rows have no industry and count as `other`: {told}. Put an "
        "industries.csv with history (code, from, to, scheme, industry) into full_stock_data/, or into "
        "reference/ beside bars that you import, and build the panel again.",
        key="build.industry_late" if fields["since"] else "build.industry_none",
        **fields,
    )
    return fields
