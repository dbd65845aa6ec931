"""The floors of docs/ARCHITECTURE.md, read from the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "financial_model"
FLOORS = {
    "base": 1,
    "market": 2,
    "kernels": 2,
    "data": 3,
    "conditions": 4,
    "datasets": 5,
    "models": 6,
    "training": 7,
    "forecasting": 7,
    "evaluation": 8,
    "workflows": 9,
    "ui": 10,
    "cli": 10,
    "__main__": 11,
    "__init__": 0,
}
TORCH_ROOMS = {
    "kernels",
    "datasets",
    "models",
    "training",
    "forecasting",
    "evaluation",
    "workflows",
    "ui",
    "cli",
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """Absolute names of everything a file imports, wherever in the file the import stands."""
    found = set()
    package = ("financial_model", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_imports_a_floor_above_or_beside_it(path):
    mine = room_of(path)
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] != "financial_model" or len(parts) < 2 or parts[1] == mine:
            continue
        if parts[1] in FLOORS:
            assert FLOORS[parts[1]] < FLOORS[mine], f"{mine} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path):
    tops = {module.split(".")[0] for module in imported_modules(path)}
    room = room_of(path)
    if "gradio" in tops:
        assert room == "ui"
    if "plotly" in tops:
        assert room == "ui" or path.match("evaluation/report.py")
    if "torch" in tops:
        assert room in TORCH_ROOMS
    if "socket" in tops or "pytdx" in tops:
        assert path.match("data/tdx_client.py") or path.match("ui/app.py"), "sockets live in data/tdx_client"
    assert not tops & {"pickle", "dill", "cloudpickle", "joblib"}, "nothing here reads or writes pickles"


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120
    )
    return set(run.stdout.split())


def test_importing_the_package_loads_no_heavy_library():
    assert not modules_after("import financial_model") & {"torch", "gradio", "pandas", "plotly", "lightgbm"}


def test_opening_the_page_loads_no_torch():
    assert "torch" not in modules_after("import gradio_app")


def test_the_command_line_opens_without_numpy_or_torch():
    assert not modules_after("import financial_model.cli") & {"torch", "numpy", "pandas", "pyarrow", "gradio"}
