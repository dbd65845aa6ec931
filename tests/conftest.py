"""What every test shares: the long forms behind flags, and the development data set where it lies."""

import importlib.util
import os
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# Small networks wait longer for a second thread than they gain by it. Set before torch comes in.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_DATA = Path(os.environ.get("HERMES_REAL_DATA", REPOSITORY.parent / "shared" / "data"))


# Files whose tests talk with a browser, sockets or other processes, whose order is the machine's choice.
TALKERS = (
    "ui/",
    "reliability/",
    "data/test_tdx_",
    "workflows/test_download.py",
    "training/test_distributed.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """The same drawn cases in each run, so that a run can be repeated; at night new ones.

    A busy machine is no fault of the code: nothing here is a timed test.
    """
    settings.register_profile(
        "untimed",
        deadline=None,
        derandomize=not config.getoption("--nightly"),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--second-try",
        action="store_true",
        help="try a failed test that talks with other processes once more; name it either way",
    )
    parser.addoption("--slow", action="store_true", help="also run the long forms")
    parser.addoption("--nightly", action="store_true", help="also run hours of fuzzing and soaking")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    nightly = config.getoption("--nightly")
    slow = config.getoption("--slow") or nightly
    for item in items:
        place = item.path.relative_to(REPOSITORY).as_posix()
        if config.getoption("--second-try") and place.startswith(tuple(f"tests/{name}" for name in TALKERS)):
            item.add_marker(pytest.mark.flaky(reruns=1))
        if "nightly" in item.keywords and not nightly:
            item.add_marker(pytest.mark.skip(reason="hours long; run with --nightly"))
        elif "slow" in item.keywords and not slow:
            item.add_marker(pytest.mark.skip(reason="the long form; run with --slow"))
        if "real_data" in item.keywords and not (REAL_DATA / "vipdoc").is_dir():
            item.add_marker(pytest.mark.skip(reason=f"the development data set is not at {REAL_DATA}"))


@pytest.fixture(autouse=True)
def same_dice() -> None:
    """What a test draws without a seed of its own does not depend on the tests before it in its process."""
    random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def walk() -> ModuleType:
    """`tests/walk_market.py`: makers of a random-walk market for the rooms from datasets to training."""
    spec = importlib.util.spec_from_file_location("walk_market", Path(__file__).with_name("walk_market.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def market(walk: ModuleType):
    return walk.make_market()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the development data set (vipdoc, csv, reference); use with the mark real_data."""
    return REAL_DATA
