"""Every kernel against its eager twin, in Triton's interpreter on the CPU.

Collected by name alone, with TRITON_INTERPRET=1 set: `test_triton_optimized_model.py` does so.
"""

import pytest
import torch

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


def test_the_interpreter_is_what_runs():
    assert kernel_engine("cpu") == "triton"


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


def test_the_window_kernel_takes_an_empty_batch():
    none = torch.zeros(0, dtype=torch.int64)
    assert gather_windows(make_features(), none, none, 60).shape == (0, 60, 7)


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


def test_a_constant_row_stays_finite_under_the_norm_kernel():
    x = torch.full((4, 9), 3.0, requires_grad=True)
    y = normalise_rows(x, torch.ones(9), torch.zeros(9))
    y.sum().backward()
    assert y.abs().max() < 1e-3
    assert x.grad.isfinite().all()


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


def test_the_embedding_kernel_answers_zeros_outside_its_tables():
    layout = TableLayout([3, 2], [2, 3])
    y = embed_conditions(torch.tensor([[0, 2], [-1, 1]]), torch.arange(12.0), layout)
    assert y.tolist() == [[0, 1, 0, 0, 0], [0, 0, 9, 10, 11]]
