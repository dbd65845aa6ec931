"""Makers of this folder, as fixtures: the import mode leaves no package to import them from."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def makers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluation_makers", Path(__file__).with_name("makers.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
