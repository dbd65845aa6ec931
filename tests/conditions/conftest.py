"""Two workspaces with panels: part of the real set, and a practice market with published facts."""

import shutil
from pathlib import Path

import pytest

from financial_model.base.config import ImportSettings, PanelSettings, SimulateSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.import_bars import import_bars
from financial_model.workflows.simulate import simulate

WELL_KNOWN = ("SH601398", "SH600166", "SH600489", "SZ000001", "SZ000651", "SZ002594", "SZ300347", "SZ000671")
EVERY = 12  # of the 1,200 stocks


@pytest.fixture(scope="session")
def real_workspace(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """About a hundred real stocks, SH000300, and all reference tables."""
    source = tmp_path_factory.mktemp("real") / "data"
    paths = sorted((real_data / "vipdoc").glob("*/lday/*.day"))
    stocks = [path for path in paths if not path.stem.startswith(("sh000", "sz399"))]
    chosen = {*stocks[::EVERY], *(path for path in paths if path.stem.upper() in (*WELL_KNOWN, "SH000300"))}
    for path in chosen:
        target = source / path.relative_to(real_data)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (source / "reference").mkdir()
    for path in (real_data / "reference").glob("*.csv"):
        shutil.copyfile(path, source / "reference" / path.name)
    workspace = Workspace(tmp_path_factory.mktemp("real_workspace"))
    import_bars(ImportSettings(path=str(source)), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return workspace


@pytest.fixture(scope="session")
def practice_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("practice"))
    simulate(SimulateSettings(stocks=40, sessions=700, seed=21), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return workspace
