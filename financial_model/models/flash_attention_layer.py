"""Attention behind one call, with the fastest engine that the machine has.

| engine | runs where |
| --- | --- |
| flash_attn | the flash_attn package is installed, tensors on CUDA in half precision, no padding mask |
| sdpa | torch has scaled_dot_product_attention: everywhere else (its own flash kernels where they exist) |
| plain | the formula, for a torch without it, and the yardstick of the tests |

The choice depends on device and precision alone, is written once in the log, and told by `attention_engine`.
"""

import functools
import importlib.util
import logging
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

log = logging.getLogger(__name__)

HALF = (torch.float16, torch.bfloat16)
HAS_FLASH_ATTN = importlib.util.find_spec("flash_attn") is not None
HAS_SDPA = hasattr(functional, "scaled_dot_product_attention")


def attention_engine(device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """The engine that `attention` uses on a device in a precision: "flash_attn", "sdpa" or "plain".

    >>> attention_engine("cpu")
    'sdpa'
    """
    if HAS_FLASH_ATTN and torch.device(device).type == "cuda" and dtype in HALF:
        return "flash_attn"
    return "sdpa" if HAS_SDPA else "plain"


@functools.cache
def _log_engine(device_type: str, dtype: torch.dtype) -> None:
    log.info("attention on %s in %s runs on %s", device_type, dtype, attention_engine(device_type, dtype))


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    engine: str | None = None,
) -> Tensor:
    """softmax(q k^T / sqrt(D)) v for each head, in the shape and precision of q.

    q: (B, heads, T, D); k, v: (B, heads, S, D). mask: bool, broadcastable to (B, heads, T, S), True where a
    key may be seen; a query that may see none gets zeros. causal: query t sees keys up to t + S - T (the
    last query sees all). `dropout` is that of the attention weights; pass 0 outside training. `engine`
    forces one, for tests and benchmarks.
    """
    engine = engine or attention_engine(q.device, q.dtype)
    if engine == "flash_attn" and mask is None:
        return _flash(q, k, v, causal, dropout)
    if engine == "plain":
        return plain_attention(q, k, v, causal=causal, mask=mask, dropout=dropout)
    return _sdpa(q, k, v, causal, mask, dropout)


def plain_attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """The formula itself, with T x S weights in memory; arguments as in `attention`."""
    weights = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    allowed = _allowed(q, k, causal, mask)
    if allowed is not None:
        weights = weights.masked_fill(~allowed, -torch.inf)
        weights = torch.where(allowed.any(-1, keepdim=True), weights, 0.0).softmax(-1)
        weights = weights.masked_fill(~allowed, 0.0)
    else:
        weights = weights.softmax(-1)
    return functional.dropout(weights, dropout, training=dropout > 0) @ v


def _sdpa(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None, dropout: float) -> Tensor:
    square = q.shape[-2] == k.shape[-2]
    if mask is None and (square or not causal):
        # is_causal lets torch take its flash kernels; a mask in memory would rule them out.
        return functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)
    allowed = _allowed(q, k, causal, mask)
    assert allowed is not None
    seen = allowed.any(-1, keepdim=True)
    # A row without any key is NaN or zero by the kernel's mood: open it, then blank it.
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed | ~seen, dropout_p=dropout)
    return torch.where(seen, out, 0.0)


def _flash(q: Tensor, k: Tensor, v: Tensor, causal: bool, dropout: float) -> Tensor:
    from flash_attn import flash_attn_func

    # The package wants (B, T, heads, D), and aligns causal masks at the last query as we do.
    out = flash_attn_func(*(x.transpose(1, 2) for x in (q, k, v)), dropout_p=dropout, causal=causal)
    return out.transpose(1, 2)


def _allowed(q: Tensor, k: Tensor, causal: bool, mask: Tensor | None) -> Tensor | None:
    """The bool mask, broadcastable to (B, heads, T, S), of what may be seen; None where all may be."""
    if not causal:
        return mask
    queries, keys = q.shape[-2], k.shape[-2]
    triangle = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
    return triangle if mask is None else triangle & mask


class FlashAttention(nn.Module):
    """Multi-head self-attention over (B, T, D) on the engine of the machine."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, dim=-1))
        if not torch.compiler.is_compiling():
            _log_engine(q.device.type, q.dtype)
        dropout = self.dropout if self.training else 0.0
        y = attention(q, k, v, causal=self.causal, mask=mask, dropout=dropout)
        return self.out(y.transpose(1, 2).flatten(-2))
