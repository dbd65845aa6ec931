import time
from pathlib import Path

import numpy as np
import pytest

from financial_model.base.config import INDUSTRIES, ConditionSettings
from financial_model.base.workspace import Workspace
from financial_model.conditions.condition_table import CONDITIONS, VOCABULARIES, ConditionColumns
from financial_model.data.panel import CONDITIONS as PANEL_CONDITIONS
from financial_model.data.panel import Panel
from financial_model.data.reference_store import KINDS, ReferenceStore

SETTINGS = (
    ConditionSettings(),
    ConditionSettings(regime="markov", buckets="threshold"),
    ConditionSettings(industry_dates="written"),
)


def truncated_reference(
    reference: ReferenceStore, root: Path, day: np.datetime64, strict: bool
) -> ReferenceStore:
    """The facts as they stood at the close of `day`: later rows gone, ends to come not yet told."""
    store = ReferenceStore(Workspace(root))
    for name, kind in KINDS.items():
        facts = reference.as_of(name, day)
        if name == "industries" and not strict:
            # A row counts from its first day, so that is what is cut.
            facts = reference.read(name)
            facts = facts.take(facts["from"] <= day)
            for column in kind.ends:
                ends = facts[column]
                facts.columns[column] = np.where(ends > day, np.datetime64("NaT", "D"), ends)
        store.write(name, facts.columns)
    return store


def check_truncation(workspace: Workspace, root: Path, day: str, settings: ConditionSettings) -> None:
    panel, reference = Panel.open(workspace), ReferenceStore(workspace)
    whole = ConditionColumns(panel, reference, settings)
    cut = panel.truncated(day)
    strict = settings.industry_dates == "written"
    known = truncated_reference(reference, root, np.datetime64(day), strict)
    earlier = ConditionColumns(cut, known, settings)
    kept = panel.sessions[panel.session_index] <= np.datetime64(day)
    assert len(cut) == kept.sum() > 0
    for name, column in whole.items():
        np.testing.assert_array_equal(column[kept], earlier[name], err_msg=f"{name} at {day}")


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("day", ["2022-12-30", "2023-07-14", "2024-05-31", "2024-12-30"])
def test_truncating_a_practice_market_leaves_every_condition_unchanged(
    practice_workspace, tmp_path, day, settings
):
    check_truncation(practice_workspace, tmp_path, day, settings)


@pytest.mark.real_data
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("day", ["2010-09-30", "2013-12-31", "2015-07-08", "2018-02-14"])
def test_truncating_the_real_set_leaves_every_condition_unchanged(real_workspace, tmp_path, day, settings):
    check_truncation(real_workspace, tmp_path, day, settings)


def test_the_panel_holds_what_the_table_computes_with_its_words(practice_workspace):
    panel = Panel.open(practice_workspace)
    found = ConditionColumns(panel, ReferenceStore(practice_workspace), ConditionSettings())
    assert tuple(found) == tuple(CONDITIONS) == PANEL_CONDITIONS
    for name, column in found.items():
        assert column.dtype == np.int8
        assert panel.names(name) == VOCABULARIES[name]
        np.testing.assert_array_equal(panel.column(name), column)
        assert 0 <= column.min() <= column.max() < len(VOCABULARIES[name])


def test_every_vocabulary_can_say_that_nothing_is_known():
    assert VOCABULARIES["industry"] == INDUSTRIES
    assert all("unknown" in words for name, words in VOCABULARIES.items() if name != "industry")


def test_a_practice_market_fills_every_bucket(practice_workspace):
    panel = Panel.open(practice_workspace)
    for name, words in VOCABULARIES.items():
        seen = {words[value] for value in np.unique(panel.column(name))}
        missing = set(words) - seen - {"unknown"}
        assert not missing if name != "regime" else len(seen) >= 3, (name, missing)


@pytest.mark.real_data
def test_conditions_of_a_real_universe_take_moments(real_workspace):
    """The benchmark has the figure for 1,200 stocks; here a twelfth of it, with room for a busy machine."""
    panel, reference = Panel.open(real_workspace), ReferenceStore(real_workspace)
    start = time.perf_counter()
    dict(ConditionColumns(panel, reference, ConditionSettings()))
    assert time.perf_counter() - start < 10
