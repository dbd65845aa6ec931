"""The kernels: eager twins against the definition, and Triton against its twins in Triton's interpreter.

The interpreter must be chosen before Triton is imported, so the tests that are marked `interpreted` run in
a process of their own, which the last test starts on this same file.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from financial_model.kernels import triton_optimized_model as kernels
from financial_model.kernels.triton_optimized_model import (
    TableLayout,
    embed_conditions,
    embed_conditions_eager,
    gather_windows,
    gather_windows_eager,
    kernel_engine,
    normalise_rows,
    normalise_rows_eager,
)

HERE = Path(__file__)
interpreted = pytest.mark.skipif(not kernels.INTERPRETED, reason="runs in the interpreter's own process")
PRECISIONS = [torch.float32, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}


def make_features(rows=200, width=7, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(rows, width, generator=generator) + 3) * torch.logspace(-3, 1, width)
    x[:, 2] = 0.1  # constant throughout
    x[50:80, 3] = 7.3  # constant for a while
    x[120, 4] = torch.nan
    return x.to(dtype)


def make_windows(count=13, rows=200, seed=1):
    generator = torch.Generator().manual_seed(seed)
    last = torch.randint(0, rows, (count,), generator=generator)
    first = torch.where(last >= 100, 100, 0)
    return last, first


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


@pytest.mark.skipif(kernels.INTERPRETED, reason="the interpreter takes the CPU's place")
def test_the_cpu_runs_eager():
    assert kernel_engine("cpu") == "eager"


@interpreted
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("length", "width"), [(1, 1), (8, 3), (31, 7), (60, 7), (65, 17)])
def test_the_window_kernel_agrees_with_its_twin(length, width, dtype):
    features = make_features(width=max(width, 5), dtype=dtype)[:, :width]
    last, first = make_windows()
    for normalise in (True, False):
        seen = gather_windows(features, last, first, length, normalise)
        expected = gather_windows_eager(features, last, first, length, normalise)
        assert seen.dtype == dtype
        torch.testing.assert_close(seen, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@interpreted
def test_the_window_kernel_takes_an_empty_batch():
    none = torch.zeros(0, dtype=torch.int64)
    assert gather_windows(make_features(), none, none, 60).shape == (0, 60, 7)


@interpreted
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (2, 3, 33), (300, 16)])
def test_the_norm_kernel_agrees_with_its_twin(shape, with_bias, centre, dtype):
    if shape[-1] == 1 and centre:
        pytest.skip("a single centred value is zero whatever it was")
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    weight = torch.randn(shape[-1], generator=generator)
    bias = torch.randn(shape[-1], generator=generator) if with_bias else None

    def run(function, dtype):
        inputs = [None if p is None else p.to(dtype, copy=True).requires_grad_() for p in (x, weight, bias)]
        y = function(*inputs, centre=centre)
        y.backward(dy.to(dtype))
        return y, *(p.grad for p in inputs if p is not None)

    # bfloat16 sums round at every step, so the twin works in single precision there.
    for seen, expected in zip(
        run(normalise_rows, dtype), run(normalise_rows_eager, torch.float32), strict=True
    ):
        assert seen.dtype == dtype
        scale = max(expected.abs().max().item(), 1)
        torch.testing.assert_close(
            seen.float(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale
        )


@interpreted
def test_a_constant_row_stays_finite_under_the_norm_kernel():
    x = torch.full((4, 9), 3.0, requires_grad=True)
    y = normalise_rows(x, torch.ones(9), torch.zeros(9))
    y.sum().backward()
    assert y.abs().max() < 1e-3
    assert x.grad.isfinite().all()


@interpreted
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("size", [1, 13, 200])
@pytest.mark.parametrize(("counts", "widths"), [([3], [1]), ([12, 6, 5], [32, 16, 16]), ([4, 9], [5, 40])])
def test_the_embedding_kernel_agrees_with_its_twin(counts, widths, size, dtype):
    generator = torch.Generator().manual_seed(0)
    layout = TableLayout(counts, widths)
    flat = torch.randn(layout.size, generator=generator).to(dtype)
    indices = torch.stack([torch.randint(0, n, (size,), generator=generator) for n in counts], dim=1)
    dy = torch.randn(size, layout.width, generator=generator).to(dtype)

    def run(function, dtype):
        tables = flat.to(dtype, copy=True).requires_grad_()
        y = function(indices, tables, layout)
        y.backward(dy.to(dtype))
        return y, tables.grad

    for seen, expected in zip(
        run(embed_conditions, dtype), run(embed_conditions_eager, torch.float32), strict=True
    ):
        assert seen.dtype == dtype
        scale = max(expected.abs().max().item(), 1)
        torch.testing.assert_close(
            seen.float(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale
        )


@interpreted
def test_the_embedding_kernel_answers_zeros_outside_its_tables():
    layout = TableLayout([3, 2], [2, 3])
    y = embed_conditions(torch.tensor([[0, 2], [-1, 1]]), torch.arange(12.0), layout)
    assert y.tolist() == [[0, 1, 0, 0, 0], [0, 0, 9, 10, 11]]


@interpreted
def test_the_interpreter_is_what_runs():
    assert kernel_engine("cpu") == "triton"


@pytest.mark.skipif(kernels.INTERPRETED, reason="this is the interpreter's own process")
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is made for Linux alone")
def test_triton_agrees_with_every_twin_in_the_interpreter():
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", str(HERE), "-k", "kernel or interpreter", "-W", "ignore", "-rs"],
        cwd=HERE.parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "runs in the interpreter's own process" not in run.stdout
    assert " passed" in run.stdout
