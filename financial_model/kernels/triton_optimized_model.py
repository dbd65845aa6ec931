"""Three fused operations as Triton kernels, each beside an eager twin that defines what it means.

| operation | fuses |
| --- | --- |
| gather_windows | the gather of windows from the feature matrix and their normalisation |
| normalise_rows | layer norm or RMS norm over the last dimension, with its backward pass |
| embed_conditions | several embedding tables gathered side by side, with their gradient |

The public functions choose by device: Triton on a GPU, eager elsewhere, in float64 and
inside torch.compile. Triton's own
interpreter (TRITON_INTERPRET=1 before the first import) runs the kernels on the CPU, for tests.
A kernel reads its input once and writes its output once. Sums are in float32 whatever comes in, and none
uses atomics, so that the same seed on the same device gives the same weights.
"""

# A kernel is typed when it is compiled.
# mypy: disable-error-code="no-untyped-def"

import functools
import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

log = logging.getLogger(__name__)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CLIP = 5.0
EPSILON = 1e-6
# A spread below this share of the mean is rounding in float32: the window is constant.
CONSTANT = 1e-5

try:
    if not (INTERPRETED or torch.version.cuda or torch.version.hip):
        raise ImportError("this torch drives no GPU")
    import triton
    import triton.language as tl
except ImportError as error:
    triton, _missing = None, str(error)


@functools.cache
def kernel_engine(device_type: str) -> str:
    """What the operations of this module run on for tensors of a device: "triton" or "eager".

    >>> kernel_engine("meta")
    'eager'
    """
    if triton is not None and (device_type == "cuda" or (INTERPRETED and device_type == "cpu")):
        return "triton"
    if device_type == "cuda":
        log.warning("Triton is missing (%s): windows, norms and embeddings run eager on the GPU", _missing)
    return "eager"


def _use_triton(x: Tensor) -> bool:
    # Inside torch.compile the twin is what the compiler can fuse with what stands around it.
    if torch.compiler.is_compiling() or x.dtype == torch.float64:
        return False
    return kernel_engine(x.device.type) == "triton"


# --- windows ------------------------------------------------------------------------------------------


def gather_windows(
    features: Tensor, last_rows: Tensor, first_rows: Tensor, context_length: int, normalise: bool = True
) -> Tensor:
    """Windows (B, T, F) that end at last_rows (B,), read from the feature matrix (N, F); T = context_length.

    first_rows (B,): the first row of each window's stock. Positions before it, and NaN, are zero and do not
    count. Each feature of each window is brought to mean 0 and standard deviation 1 over its own
    positions and clipped at 5; a feature that is constant through the window becomes zero.
    """
    if _use_triton(features):
        return _gather_windows_triton(features, last_rows, first_rows, context_length, normalise)
    return gather_windows_eager(features, last_rows, first_rows, context_length, normalise)


def gather_windows_eager(
    features: Tensor, last_rows: Tensor, first_rows: Tensor, context_length: int, normalise: bool = True
) -> Tensor:
    """The twin of the kernel: an index, then one reduction after the other."""
    back = torch.arange(1 - context_length, 1, device=features.device)
    rows = last_rows[:, None] + back  # (B, T)
    x = features.index_select(0, rows.clamp(min=0).flatten()).unflatten(0, rows.shape)  # (B, T, F)
    x = x if x.dtype == torch.float64 else x.float()
    known = (rows >= first_rows[:, None])[:, :, None] & ~x.isnan()
    x = torch.where(known, x, 0.0)
    if normalise:
        count = known.sum(1, keepdim=True).clamp(min=1)
        mean = x.sum(1, keepdim=True) / count
        x = torch.where(known, x - mean, 0.0)
        deviation = (x.square().sum(1, keepdim=True) / count).sqrt()
        scale = torch.where(deviation > CONSTANT * mean.abs(), 1 / (deviation + EPSILON), 0.0)
        x = (x * scale).clamp_(-CLIP, CLIP)
    return x.to(features.dtype)


# --- row normalisation --------------------------------------------------------------------------------


def normalise_rows(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, centre: bool = True, epsilon: float = 1e-5
) -> Tensor:
    """Layer norm over the last dimension, or RMS norm where centre is False; in the shape and precision of x.

    weight and bias: (D,). Differentiable in all three.
    """
    if _use_triton(x):
        return _NormaliseRows.apply(x, weight, bias, centre, epsilon)
    return normalise_rows_eager(x, weight, bias, centre, epsilon)


def normalise_rows_eager(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, centre: bool = True, epsilon: float = 1e-5
) -> Tensor:
    """The twin of the kernel, on torch's own norms."""
    width = (x.shape[-1],)
    if centre:
        return functional.layer_norm(x, width, weight, bias, epsilon)
    y = functional.rms_norm(x, width, weight, epsilon)
    return y if bias is None else y + bias


# --- embeddings of conditions -------------------------------------------------------------------------


class TableLayout:
    """Where several embedding tables lie in one flat vector, and which column of the result reads which.

    counts, widths: rows and columns of each table. `size` is the length of the flat vector.
    """

    def __init__(self, counts: Sequence[int], widths: Sequence[int]) -> None:
        self.counts, self.widths = tuple(counts), tuple(widths)
        self.sizes = [count * width for count, width in zip(counts, widths, strict=True)]
        self.size, self.width = sum(self.sizes), sum(widths)
        self._columns: dict[torch.device, Tensor] = {}

    def tables(self, flat: Tensor) -> list[Tensor]:
        """Each table (count, width) as a view of the flat vector."""
        parts = flat.split(self.sizes)
        return [part.view(-1, width) for part, width in zip(parts, self.widths, strict=True)]

    def columns(self, device: torch.device) -> Tensor:
        """(4, width) int32, for each column: table, place in the flat vector of its row 0, stride, count."""
        if device not in self._columns:
            rows, base = [], 0
            for table, (count, width) in enumerate(zip(self.counts, self.widths, strict=True)):
                rows += [(table, base + column, width, count) for column in range(width)]
                base += count * width
            self._columns[device] = torch.tensor(rows, dtype=torch.int32).T.contiguous().to(device)
        return self._columns[device]


def embed_conditions(indices: Tensor, flat: Tensor, layout: TableLayout) -> Tensor:
    """One row of each table side by side, (B, width), for indices (B, C); differentiable in the tables.

    Eagerly an index outside its table raises IndexError; the kernel, which cannot raise, answers zeros.
    """
    if _use_triton(flat):
        return _EmbedConditions.apply(indices, flat, layout)
    return embed_conditions_eager(indices, flat, layout)


def embed_conditions_eager(indices: Tensor, flat: Tensor, layout: TableLayout) -> Tensor:
    """The twin of the kernel: one lookup a table, then a copy of all."""
    tables = layout.tables(flat)
    return torch.cat([functional.embedding(indices[:, c], table) for c, table in enumerate(tables)], dim=1)


# --- the kernels --------------------------------------------------------------------------------------

if triton is not None:

    @triton.jit
    def _gather_windows_kernel(
        features, last_rows, first_rows, out, T, F, CONSTANT, EPSILON, CLIP,
        NORMALISE: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_F: tl.constexpr,
    ):  # fmt: skip
        window = tl.program_id(0).to(tl.int64)
        t, f = tl.arange(0, BLOCK_T), tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
        rows = tl.load(last_rows + window) - (T - 1) + t  # int64: minute bars pass 2^31 values
        inside = (t < T)[:, None] & (f < F)[None, :]
        known = inside & (rows >= tl.load(first_rows + window))[:, None]
        x = tl.load(features + rows[:, None] * F + f[None, :], mask=known, other=0.0).to(tl.float32)
        known = known & (x == x)
        x = tl.where(known, x, 0.0)
        if NORMALISE:
            count = tl.maximum(tl.sum(known.to(tl.float32), axis=0), 1.0)
            mean = tl.sum(x, axis=0) / count
            x = tl.where(known, x - mean[None, :], 0.0)
            deviation = tl.sqrt(tl.sum(x * x, axis=0) / count)
            scale = tl.where(deviation > CONSTANT * tl.abs(mean), 1.0 / (deviation + EPSILON), 0.0)
            x = tl.minimum(tl.maximum(x * scale[None, :], -CLIP), CLIP)
        place = out + (window * T + t[:, None]) * F + f[None, :]
        tl.store(place, x.to(out.dtype.element_ty), mask=inside)

    @triton.jit
    def _normalise_rows_kernel(
        x, weight, bias, y, means, scales, M, N, epsilon,
        CENTRE: tl.constexpr, BIAS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    ):  # fmt: skip
        m, n = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
        inside = (m < M)[:, None] & (n < N)[None, :]
        place = m[:, None] * N + n[None, :]
        v = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        if CENTRE:
            mean = tl.sum(v, axis=1) / N
            v = tl.where(inside, v - mean[:, None], 0.0)
            tl.store(means + m, mean, mask=m < M)
        scale = 1.0 / tl.sqrt(tl.sum(v * v, axis=1) / N + epsilon)
        tl.store(scales + m, scale, mask=m < M)
        v = v * scale[:, None] * tl.load(weight + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
        if BIAS:
            v += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
        tl.store(y + place, v.to(y.dtype.element_ty), mask=inside)

    @triton.jit
    def _normalise_rows_backward_kernel(
        x, weight, means, scales, dy, dx, dweight, dbias, M, N, STRIDE,
        CENTRE: tl.constexpr, BIAS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    ):  # fmt: skip
        # Each program walks over every STRIDE-th block of rows and keeps its own sums over rows.
        n = tl.arange(0, BLOCK_N)
        w = tl.load(weight + n, mask=n < N, other=0.0).to(tl.float32)
        weight_sum = tl.zeros([BLOCK_N], dtype=tl.float32)
        bias_sum = tl.zeros([BLOCK_N], dtype=tl.float32)
        for first in range(tl.program_id(0) * BLOCK_M, M, STRIDE):
            m = tl.arange(0, BLOCK_M).to(tl.int64) + first
            inside = (m < M)[:, None] & (n < N)[None, :]
            place = m[:, None] * N + n[None, :]
            scale = tl.load(scales + m, mask=m < M, other=0.0)
            v = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
            if CENTRE:
                v = v - tl.load(means + m, mask=m < M, other=0.0)[:, None]
            hat = tl.where(inside, v * scale[:, None], 0.0)
            g = tl.load(dy + place, mask=inside, other=0.0).to(tl.float32)
            weight_sum += tl.sum(g * hat, axis=0)
            if BIAS:
                bias_sum += tl.sum(g, axis=0)
            g = g * w[None, :]
            d = g - hat * (tl.sum(g * hat, axis=1) / N)[:, None]
            if CENTRE:
                d -= (tl.sum(g, axis=1) / N)[:, None]
            tl.store(dx + place, (d * scale[:, None]).to(dx.dtype.element_ty), mask=inside)
        tl.store(dweight + tl.program_id(0) * N + n, weight_sum, mask=n < N)
        if BIAS:
            tl.store(dbias + tl.program_id(0) * N + n, bias_sum, mask=n < N)

    @triton.jit
    def _embed_kernel(indices, flat, columns, out, B, C, WIDTH, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr):
        b = tl.program_id(0).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
        d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
        inside = (b < B)[:, None] & (d < WIDTH)[None, :]
        table = tl.load(columns + d, mask=d < WIDTH, other=0)
        base = tl.load(columns + WIDTH + d, mask=d < WIDTH, other=0)
        stride = tl.load(columns + 2 * WIDTH + d, mask=d < WIDTH, other=0)
        count = tl.load(columns + 3 * WIDTH + d, mask=d < WIDTH, other=0)
        index = tl.load(indices + b[:, None] * C + table[None, :], mask=inside, other=0)
        valid = inside & (index >= 0) & (index < count[None, :])
        x = tl.load(flat + base[None, :] + index * stride[None, :], mask=valid, other=0.0)
        tl.store(out + b[:, None] * WIDTH + d[None, :], x, mask=inside)

    @triton.jit
    def _embed_backward_kernel(
        indices, dy, columns, dflat, B, C, WIDTH, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr
    ):
        # A program owns one row of the tables and sums what the batch sent there. The usual scatter with
        # atomics would queue up on these few rows, and add in another order at every run.
        row = tl.program_id(0)
        d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
        table = tl.load(columns + d, mask=d < WIDTH, other=0)
        base = tl.load(columns + WIDTH + d, mask=d < WIDTH, other=0)
        stride = tl.load(columns + 2 * WIDTH + d, mask=d < WIDTH, other=0)
        count = tl.load(columns + 3 * WIDTH + d, mask=d < WIDTH, other=0)
        total = tl.zeros([BLOCK_D], dtype=tl.float32)
        for first in range(0, B, BLOCK_B):
            b = tl.arange(0, BLOCK_B).to(tl.int64) + first
            inside = (b < B)[:, None] & (d < WIDTH)[None, :]
            index = tl.load(indices + b[:, None] * C + table[None, :], mask=inside, other=-1)
            g = tl.load(dy + b[:, None] * WIDTH + d[None, :], mask=inside & (index == row), other=0.0)
            total += tl.sum(g.to(tl.float32), axis=0)
        tl.store(
            dflat + base + row * stride, total.to(dflat.dtype.element_ty), mask=(d < WIDTH) & (row < count)
        )


def _gather_windows_triton(
    features: Tensor, last_rows: Tensor, first_rows: Tensor, context_length: int, normalise: bool
) -> Tensor:
    features = features.contiguous()
    width = features.shape[1]
    out = features.new_empty((len(last_rows), context_length, width))
    block_t, block_f = triton.next_power_of_2(context_length), min(triton.next_power_of_2(width), 16)
    if len(last_rows):
        _gather_windows_kernel[(len(last_rows), triton.cdiv(width, block_f))](
            features, last_rows.contiguous(), first_rows.contiguous(), out, context_length, width,
            CONSTANT, EPSILON, CLIP, NORMALISE=normalise, BLOCK_T=block_t, BLOCK_F=block_f,
        )  # fmt: skip
    return out


class _NormaliseRows(torch.autograd.Function):
    PROGRAMS = 256  # of the backward pass; each leaves one row of partial sums

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, centre: bool, epsilon: float
    ) -> Tensor:
        rows = x.contiguous().view(-1, x.shape[-1])
        count, width = rows.shape
        y = torch.empty_like(rows)
        means, scales = (torch.empty(count, dtype=torch.float32, device=x.device) for _ in range(2))
        block_n = triton.next_power_of_2(width)
        block_m = max(1, min(16, 4096 // block_n))
        if count:
            _normalise_rows_kernel[(triton.cdiv(count, block_m),)](
                rows, weight, bias, y, means, scales, count, width, epsilon,
                CENTRE=centre, BIAS=bias is not None, BLOCK_M=block_m, BLOCK_N=block_n,
            )  # fmt: skip
        ctx.save_for_backward(rows, weight, bias, means, scales)
        ctx.centre, ctx.blocks = centre, (block_m, block_n)
        return y.view(x.shape)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias, means, scales = ctx.saved_tensors
        block_m, block_n = ctx.blocks
        count, width = rows.shape
        dx = torch.empty_like(rows)
        programs = max(1, min(_NormaliseRows.PROGRAMS, triton.cdiv(count, block_m)))
        dweight, dbias = (torch.zeros(programs, width, device=rows.device) for _ in range(2))
        if count:
            _normalise_rows_backward_kernel[(programs,)](
                rows, weight, means, scales, dy.contiguous(), dx, dweight, dbias,
                count, width, programs * block_m,
                CENTRE=ctx.centre, BIAS=bias is not None, BLOCK_M=block_m, BLOCK_N=block_n,
            )  # fmt: skip
        bias_gradient = None if bias is None else dbias.sum(0).to(bias.dtype)
        return dx.view(dy.shape), dweight.sum(0).to(weight.dtype), bias_gradient, None, None


class _EmbedConditions(torch.autograd.Function):
    BLOCK_B, BLOCK_D = 64, 32

    @staticmethod
    def forward(ctx: Any, indices: Tensor, flat: Tensor, layout: TableLayout) -> Tensor:
        indices = indices.contiguous()
        count, width = len(indices), layout.width
        columns = layout.columns(flat.device)
        out = flat.new_empty((count, width))
        block_b, block_d = _EmbedConditions.BLOCK_B, _EmbedConditions.BLOCK_D
        if count:
            _embed_kernel[(triton.cdiv(count, block_b), triton.cdiv(width, block_d))](
                indices, flat, columns, out, count, indices.shape[1], width, BLOCK_B=block_b, BLOCK_D=block_d
            )
        ctx.save_for_backward(indices, columns)
        ctx.layout = layout
        return out

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        indices, columns = ctx.saved_tensors
        layout = ctx.layout
        dflat = dy.new_zeros(layout.size)
        block_b, block_d = _EmbedConditions.BLOCK_B, _EmbedConditions.BLOCK_D
        if len(indices):
            _embed_backward_kernel[(max(layout.counts), triton.cdiv(layout.width, block_d))](
                indices, dy.contiguous(), columns, dflat, len(indices), indices.shape[1], layout.width,
                BLOCK_B=block_b, BLOCK_D=block_d,
            )  # fmt: skip
        return None, dflat, None
