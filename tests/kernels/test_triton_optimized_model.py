"""The kernels: eager twins against the definition, and Triton against its twins in Triton's interpreter.

The interpreter must be chosen before Triton is imported, so `interpreter_checks.py` runs in a process of
its own, which the last test starts.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from financial_model.kernels.triton_optimized_model import (
    TableLayout,
    embed_conditions_eager,
    gather_windows_eager,
    kernel_engine,
    normalise_rows,
    normalise_rows_eager,
)

HERE = Path(__file__).parent


def make_features(rows=200, width=7, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(rows, width, generator=generator) + 3) * torch.logspace(-3, 1, width)
    x[:, 2] = 0.1  # constant throughout
    x[50:80, 3] = 7.3  # constant for a while
    x[120, 4] = torch.nan
    return x.to(dtype)


def by_hand(x):
    """One feature of one window, positions known all of them."""
    return ((x - x.mean()) / (x.std(correction=0) + 1e-6)).clamp(-5, 5)


def test_a_window_is_normalised_from_its_own_past():
    features = make_features().double()
    windows = gather_windows_eager(features, torch.tensor([40, 199]), torch.tensor([0, 0]), 31)
    assert windows.shape == (2, 31, 7)
    for f in (0, 1, 5, 6):
        torch.testing.assert_close(windows[0, :, f], by_hand(features[10:41, f]))
        torch.testing.assert_close(windows[1, :, f], by_hand(features[169:200, f]))


def test_a_constant_feature_is_zero_and_not_amplified_rounding():
    features = torch.full((64, 3), 0.1)
    features[:, 1], features[:, 2] = 12345.678, 0.0
    windows = gather_windows_eager(features, torch.tensor([63]), torch.tensor([0]), 60)
    assert windows.abs().max() == 0


def test_positions_before_the_stock_are_zero_and_do_not_count():
    features = make_features().double()
    window = gather_windows_eager(features, torch.tensor([109]), torch.tensor([100]), 30)[0]
    assert window[:20].abs().max() == 0
    torch.testing.assert_close(window[20:, 0], by_hand(features[100:110, 0]))


def test_a_missing_value_is_zero_and_does_not_count():
    features = make_features().double()
    window = gather_windows_eager(features, torch.tensor([125]), torch.tensor([100]), 20)[0, :, 4]
    expected = torch.cat([features[106:120, 4], features[121:126, 4]])
    assert window[14] == 0
    torch.testing.assert_close(torch.cat([window[:14], window[15:]]), by_hand(expected))


def test_an_outlier_is_clipped():
    features = torch.zeros(60, 1)
    features[30] = 100.0
    assert gather_windows_eager(features, torch.tensor([59]), torch.tensor([0]), 60).max() == 5


def test_raw_windows_are_the_rows_themselves():
    features = make_features()
    window = gather_windows_eager(features, torch.tensor([40]), torch.tensor([0]), 10, normalise=False)
    torch.testing.assert_close(window[0], features[31:41])


def test_a_later_row_changes_no_window():
    features = make_features()
    last, first = torch.tensor([90]), torch.tensor([0])
    before = gather_windows_eager(features, last, first, 60)
    features[91:] = 1e6
    torch.testing.assert_close(gather_windows_eager(features, last, first, 60), before, rtol=0, atol=0)


def test_tables_are_views_of_the_flat_vector_and_rows_stand_side_by_side():
    layout = TableLayout([3, 2], [2, 3])
    flat = torch.arange(12.0)
    assert [table.tolist() for table in layout.tables(flat)] == [
        [[0, 1], [2, 3], [4, 5]],
        [[6, 7, 8], [9, 10, 11]],
    ]
    assert embed_conditions_eager(torch.tensor([[2, 0]]), flat, layout).tolist() == [[4, 5, 6, 7, 8]]


def test_an_index_outside_its_table_is_an_error():
    with pytest.raises(IndexError):
        embed_conditions_eager(torch.tensor([[0, 2]]), torch.zeros(12), TableLayout([3, 2], [2, 3]))


def test_the_root_mean_square_norm_does_not_centre():
    x, weight = torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0])
    y = normalise_rows_eager(x, weight, centre=False, epsilon=0.0)
    torch.testing.assert_close(y, torch.tensor([[3.0, 8.0]]) / 12.5**0.5)


def test_the_norms_have_the_gradient_of_finite_differences():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for centre in (True, False):
        assert torch.autograd.gradcheck(lambda *a, c=centre: normalise_rows(*a, centre=c), (x, weight, bias))


def test_the_cpu_runs_eager():
    assert kernel_engine("cpu") == "eager"


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is made for Linux alone")
def test_triton_agrees_with_every_twin_in_its_interpreter():
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", str(HERE / "interpreter_checks.py"), "-W", "ignore"],
        cwd=HERE.parents[1],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
