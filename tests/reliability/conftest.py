"""A small whole workspace, made once, that the tests of this folder damage copies of."""

import shutil

import pytest
from hypothesis import HealthCheck, Phase, settings

from financial_model.base.config import ModelSettings, PanelSettings, SimulateSettings, TrainSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace

NETWORK = ModelSettings(
    model="lstm", context_length=10, prediction_length=2, hidden_size=8, layers=1, heads=2
)
TRAINING = TrainSettings(name="trip", model=NETWORK, epochs=1, batch_size=512)


def pytest_configure(config: pytest.Config) -> None:
    """A door is tried with the same 200 cases in each run, and with 10,000 new ones at night."""
    is_night = config.getoption("--nightly")
    settings.register_profile(
        "doors",
        deadline=None,
        max_examples=10_000 if is_night else 200,
        derandomize=not is_night,
        suppress_health_check=list(HealthCheck),
        # Explaining a failure traces every line of every later case: minutes, for what the trace says too.
        phases=[phase for phase in Phase if phase != Phase.explain],
    )


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> tuple[Workspace, dict]:
    """A practice market, its panel and a training: the workspace, and the result of the training."""
    from financial_model.workflows.build_panel import build_panel
    from financial_model.workflows.simulate import simulate
    from financial_model.workflows.train_model import train_model

    workspace = Workspace(tmp_path_factory.mktemp("whole"))
    simulate(SimulateSettings(stocks=8, sessions=300, seed=3), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return workspace, train_model(TRAINING, workspace, Progress())


@pytest.fixture
def copy(whole, tmp_path) -> Workspace:
    """The whole workspace, free to be damaged."""
    shutil.copytree(whole[0].root, tmp_path / "copy")
    return Workspace(tmp_path / "copy")
