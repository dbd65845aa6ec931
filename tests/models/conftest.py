"""Hands the makers of this room to its tests."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def makers():
    spec = importlib.util.spec_from_file_location("models_makers", Path(__file__).with_name("makers.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
