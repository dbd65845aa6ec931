"""Nothing here runs what a file holds: no pickles, no eval, no shell."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    [
        *(REPOSITORY / "financial_model").rglob("*.py"),
        *(REPOSITORY / "benchmarks").glob("*.py"),
        *REPOSITORY.glob("*.py"),
    ]
)
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load"}
METHODS = {"read_pickle", "to_pickle", "getoutput", "getstatusoutput"}


def faults_of(source: str) -> list[str]:
    """What in a module could run something that it was handed."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        faults += [f"line {node.lineno}: {name}" for name in names if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        is_wrong = (
            called in CALLS
            or called.rpartition(".")[2] in METHODS
            or (called in ("torch.load", "load") and given.get("weights_only") != "True")
            or given.get("allow_pickle", "False") != "False"
            or given.get("shell", "False") != "False"
            or called in ("torch.package.PackageImporter", "torch.jit.load", "torch.hub.load")
        )
        if is_wrong:
            faults.append(f"line {node.lineno}: {called}")
    return faults


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_no_module_could_run_what_a_file_holds(path):
    assert faults_of(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
    ],
)
def test_the_walk_finds_each_of_them(line):
    assert faults_of(line)


def test_what_is_harmless_passes():
    assert (
        faults_of("model.eval()\ntorch.load(path, weights_only=True)\nnp.load(path)\nre.compile(text)") == []
    )
