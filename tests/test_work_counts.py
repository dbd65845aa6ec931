"""Counts of work that hold on any machine, asserted exactly: they show a slow-down before seconds do."""

import dataclasses
import mmap
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from financial_model.base.config import ModelSettings, PanelSettings, SimulateSettings, TrainSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.conditions import condition_table
from financial_model.data import panel_builder, store_csv
from financial_model.data.panel import Panel
from financial_model.data.panel_file import ColumnFile
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.simulate import simulate

HEAVY = ("torch", "pandas", "pyarrow", "gradio", "plotly", "lightgbm", "scipy", "matplotlib")
STOCKS = 12


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = Workspace(tmp_path_factory.mktemp("counts"))
    simulate(SimulateSettings(stocks=STOCKS, sessions=400), made, Progress())
    build_panel(PanelSettings(), made, Progress())
    return made


def loaded_after(code):
    """Which heavy packages a fresh Python holds after running this."""
    tell = f"import sys; {code}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_the_command_line_starts_without_any_heavy_package():
    assert loaded_after("import financial_model.cli") == []


def test_opening_a_panel_loads_arrow_alone(workspace):
    code = (
        "from financial_model.base.workspace import Workspace; from financial_model.data.panel import Panel; "
        f"Panel.open(Workspace({str(workspace.root)!r})).column('close')"
    )
    assert loaded_after(code) == ["pyarrow"]


@pytest.fixture
def work(monkeypatch):
    """Counts of files decoded, conditions computed and bytes of columns written by a build."""
    counts = Counter()
    decode, write, alone = panel_builder.read_store_csvs, ColumnFile.write, store_csv.read_store_csv

    def counted_decode(folder, codes):
        found = decode(folder, codes)
        counts["files"] += len(found)
        counts["rows"] += sum(map(len, found))
        return found

    def counted_alone(path, code):
        counts["files parsed alone"] += 1
        return alone(path, code)

    def counted_write(self, name, row, values):
        counts["bytes"] += len(values) * self._layout.dtype_of[name].itemsize
        return write(self, name, row, values)

    def counted(condition):
        def compute(*arguments):
            counts["conditions"] += 1
            return condition.compute(*arguments)

        return condition_table.Condition(condition.vocabulary, compute)

    monkeypatch.setattr(panel_builder, "read_store_csvs", counted_decode)
    monkeypatch.setattr(store_csv, "read_store_csv", counted_alone)
    monkeypatch.setattr(ColumnFile, "write", counted_write)
    for name, condition in condition_table.CONDITIONS.items():
        monkeypatch.setitem(condition_table.CONDITIONS, name, counted(condition))
    return counts


def test_a_build_decodes_each_row_and_computes_each_condition_once(workspace, work):
    told = build_panel(PanelSettings(rebuild=True), workspace, Progress())
    floats, small = 13, len(condition_table.CONDITIONS) + 2
    assert (work["files"], work["files parsed alone"]) == (STOCKS, 0)
    assert work["rows"] == told["rows"]
    assert work["conditions"] == len(condition_table.CONDITIONS)
    # 13 columns of 8 bytes, date and position of 4, flags and conditions of 1: nothing is written twice.
    assert work["bytes"] == told["rows"] * (8 * floats + 2 * 4 + small)


def test_a_build_of_what_has_not_changed_decodes_and_computes_nothing(workspace, work):
    assert build_panel(PanelSettings(), workspace, Progress())["changed"] is False
    assert not work


def test_a_changed_stock_is_the_only_one_decoded(workspace, work):
    path = sorted(workspace.bars_dir.glob("*.csv"))[3]
    lines = path.read_text(encoding="utf-8").splitlines()
    before = path.read_bytes()
    try:
        path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
        build_panel(PanelSettings(), workspace, Progress())
        assert (work["files"], work["rows"]) == (1, len(lines) - 2)
    finally:
        path.write_bytes(before)
        build_panel(PanelSettings(), workspace, Progress())


def test_a_dataset_copies_no_column_of_the_panel_or_its_features(workspace):
    from financial_model.datasets.feature_cache import load_features
    from financial_model.datasets.multi_dim_dataset import open_dataset

    load_features(Panel.open(workspace), workspace)
    panel = Panel.open(workspace)
    features = load_features(panel, workspace)
    settings = TrainSettings(model=ModelSettings(context_length=20))
    matrices = open_dataset(panel, settings, features=features).matrices
    pairs = [
        (matrices.sequence, features.sequence),
        (matrices.summary, features.summary),
        (matrices.volatility, features.volatility),
        (matrices.close, panel.column("close")),
        (matrices.session, panel.session_index),
        *zip(matrices.conditions, map(panel.column, condition_table.CONDITIONS), strict=True),
    ]
    assert [tensor.data_ptr() == values.ctypes.data for tensor, values in pairs] == [True] * len(pairs)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system keeps what it has mapped")
def test_features_too_large_to_stay_are_given_back_after_each_part_of_a_batch(workspace, monkeypatch):
    import torch

    from financial_model.datasets import windows
    from financial_model.datasets.feature_cache import load_features
    from financial_model.datasets.multi_dim_dataset import open_dataset

    load_features(Panel.open(workspace), workspace)
    panel = Panel.open(workspace)
    features = load_features(panel, workspace)
    settings = TrainSettings(model=ModelSettings(context_length=20))
    whole = open_dataset(panel, settings, features=features)
    monkeypatch.setattr(windows, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(windows, "ROWS_AT_ONCE", 25)
    large = open_dataset(panel, settings, features=features)
    assert (len(whole.matrices.maps), len(large.matrices.maps)) == (0, 3)
    rows = torch.from_numpy(whole.train_rows[:60]).long()
    batch, expected = large.matrices.gather(rows), whole.matrices.gather(rows)
    for one in dataclasses.fields(batch):
        assert torch.equal(getattr(batch, one.name).nan_to_num(7), getattr(expected, one.name).nan_to_num(7))

    given_back = []
    told = type("Map", (), {"madvise": lambda self, advice: given_back.append(advice)})()
    dataclasses.replace(large.matrices, maps=(told,)).gather(rows)
    assert given_back == [mmap.MADV_DONTNEED] * 3


def test_opening_a_panel_and_a_batch_read_no_column_of_codes(workspace, monkeypatch):
    import torch

    from financial_model.datasets.feature_cache import load_features
    from financial_model.datasets.multi_dim_dataset import open_dataset

    load_features(Panel.open(workspace), workspace)
    asked = []
    get = Panel._get
    monkeypatch.setattr(Panel, "_get", lambda self, name: asked.append(name) or get(self, name))
    panel = Panel.open(workspace)
    asked.clear()  # opening looks at the length of each column, and at no value
    settings = TrainSettings(model=ModelSettings(context_length=20))
    dataset = open_dataset(panel, settings, features=load_features(panel, workspace))
    dataset.matrices.gather(torch.from_numpy(dataset.train_rows[:60]).long())
    assert set(asked) == {"close", "session_index", "is_locked", *condition_table.CONDITIONS}


def test_a_forecast_calls_the_network_once_a_chunk():
    import torch

    from financial_model.forecasting import inference

    calls = []

    class Counting(inference.Predictor):
        def __init__(self):
            self.matrices = type("Matrices", (), {"device": torch.device("cpu")})

        def batch(self, rows):
            return rows

        def network(self, rows):
            calls.append(len(rows))
            return type("Output", (), {"score": rows.float(), "quantiles": torch.zeros(len(rows), 5, 5)})

    Counting().raw_forecast(np.arange(5000))
    assert calls == [2048, 2048, 904]
