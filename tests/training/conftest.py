"""Hands the made-up market to the tests of this room."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Networks this small wait longer for a second thread than they gain by it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def walk() -> ModuleType:
    path = Path(__file__).parents[1] / "walk_market.py"
    spec = importlib.util.spec_from_file_location("walk_market", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def market(walk):
    return walk.make_market()
