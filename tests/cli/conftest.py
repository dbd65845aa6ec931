"""A command as a shell calls it, and a workflow of the test's own behind it."""

import sys
import types

import pytest

from financial_model import cli


@pytest.fixture
def workflow(monkeypatch):
    """Put a function of the test's own in the place of `workflows.simulate.simulate`."""

    def replace(function):
        module = types.ModuleType("financial_model.workflows.simulate")
        module.simulate = function
        monkeypatch.setitem(sys.modules, "financial_model.workflows.simulate", module)

    return replace


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leave:
        cli.main([*arguments])
    return leave.value.code
