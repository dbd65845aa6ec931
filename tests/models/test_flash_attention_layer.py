"""Attention: every engine of this machine against the formula in float64."""

import sys
from types import ModuleType

import pytest
import torch

from financial_model.models import flash_attention_layer as layer
from financial_model.models.flash_attention_layer import (
    FlashAttention,
    attention,
    attention_engine,
    plain_attention,
)

# Queries, keys: one, odd, more keys than queries, more queries than keys.
LENGTHS = [(1, 1), (7, 7), (33, 33), (5, 12), (12, 5)]


def make_heads(queries=7, keys=None, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    keys = queries if keys is None else keys
    return [torch.randn(2, 3, n, 8, generator=generator, dtype=dtype) for n in (queries, keys, keys)]


def make_mask(queries, keys, seed=0):
    mask = torch.rand(2, 1, queries, keys, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[0, 0, 0] = False  # a query that may see nothing
    return mask


def by_hand(q, k, v, causal, mask):
    """One query at a time, as the formula is written."""
    out = torch.zeros_like(q)
    for b, h, t in torch.cartesian_prod(*(torch.arange(n) for n in q.shape[:3])).tolist():
        seen = [
            s
            for s in range(k.shape[2])
            if (not causal or s <= t + k.shape[2] - q.shape[2]) and (mask is None or mask[b, 0, t, s])
        ]
        if seen:
            weights = torch.stack([q[b, h, t] @ k[b, h, s] for s in seen]) / q.shape[-1] ** 0.5
            out[b, h, t] = weights.softmax(0) @ v[b, h, seen]
    return out


@pytest.mark.parametrize("engine", ["sdpa", "plain"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_an_engine_gives_the_formula(queries, keys, masked, causal, engine):
    q, k, v = make_heads(queries, keys)
    mask = make_mask(queries, keys) if masked else None
    seen = attention(q, k, v, causal=causal, mask=mask, engine=engine)
    torch.testing.assert_close(seen, by_hand(q, k, v, causal, mask))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradients_of_sdpa_are_those_of_the_formula(masked, causal):
    gradients = []
    for engine in ("sdpa", "plain"):
        heads = [x.requires_grad_() for x in make_heads(9)]
        out = attention(*heads, causal=causal, mask=make_mask(9, 9) if masked else None, engine=engine)
        out.square().sum().backward()
        gradients.append([x.grad for x in heads])
    for sdpa, plain in zip(*gradients, strict=True):
        assert plain.isfinite().all()
        torch.testing.assert_close(sdpa, plain)


def test_the_formula_has_the_gradient_of_finite_differences():
    heads = [x[:1, :1].requires_grad_() for x in make_heads(4)]
    mask = make_mask(4, 4)[:1]
    assert torch.autograd.gradcheck(lambda q, k, v: plain_attention(q, k, v, causal=True, mask=mask), heads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_stays_near_the_formula(dtype):
    q, k, v = make_heads(33)
    exact = plain_attention(q, k, v, causal=True)
    seen = attention(*(x.to(dtype) for x in (q, k, v)), causal=True)
    assert seen.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(seen.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ["sdpa", "plain"])
def test_dropout_acts_when_asked_for_and_keeps_the_mean(engine):
    torch.manual_seed(0)
    q, k, v = make_heads(6)
    clear = attention(q, k, v, engine=engine)
    dropped = torch.stack([attention(q, k, v, dropout=0.3, engine=engine) for _ in range(600)])
    assert not torch.equal(dropped[0], dropped[1])
    torch.testing.assert_close(dropped.mean(0), clear, rtol=0, atol=0.2)


def test_the_layer_drops_nothing_outside_training():
    torch.manual_seed(0)
    model = FlashAttention(16, heads=4, dropout=0.5)
    x = torch.randn(2, 5, 16)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_a_causal_layer_sees_no_later_position():
    torch.manual_seed(0)
    model = FlashAttention(16, heads=4).eval()
    x = torch.randn(2, 9, 16)
    later = x.clone()
    later[:, 5:] += 3
    torch.testing.assert_close(model(x)[:, :5], model(later)[:, :5])
    assert not torch.allclose(model(x)[:, 5:], model(later)[:, 5:])


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="5 heads do not divide a width of 16"):
        FlashAttention(16, heads=5)


def test_the_cpu_runs_on_sdpa():
    assert attention_engine("cpu", torch.float32) == "sdpa"


def test_the_package_is_chosen_on_cuda_in_half_precision_alone(monkeypatch):
    monkeypatch.setattr(layer, "HAS_FLASH_ATTN", True)
    assert attention_engine("cuda", torch.bfloat16) == "flash_attn"
    assert attention_engine("cuda", torch.float16) == "flash_attn"
    assert attention_engine("cuda", torch.float32) == "sdpa"
    assert attention_engine("cpu", torch.bfloat16) == "sdpa"


def test_a_torch_without_its_own_attention_runs_the_formula(monkeypatch):
    monkeypatch.setattr(layer, "HAS_SDPA", False)
    assert attention_engine("cpu", torch.float32) == "plain"


def test_the_engine_is_written_in_the_log_once(caplog):
    layer._log_engine.cache_clear()
    model = FlashAttention(8, heads=2)
    with caplog.at_level("INFO"):
        model(torch.randn(1, 3, 8))
        model(torch.randn(1, 3, 8))
    assert [record.getMessage() for record in caplog.records] == [
        "attention on cpu in torch.float32 runs on sdpa"
    ]


def test_the_package_is_handed_its_own_layout(monkeypatch):
    """A stand-in for flash_attn that demands (B, T, heads, D) and computes the formula."""

    def flash_attn_func(q, k, v, dropout_p=0.0, causal=False):
        assert q.shape == (2, 7, 3, 8)
        out = plain_attention(*(x.transpose(1, 2) for x in (q, k, v)), causal=causal, dropout=dropout_p)
        return out.transpose(1, 2)

    package = ModuleType("flash_attn")
    package.flash_attn_func = flash_attn_func
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    q, k, v = make_heads(7)
    seen = attention(q, k, v, causal=True, engine="flash_attn")
    torch.testing.assert_close(seen, plain_attention(q, k, v, causal=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_engine_of_the_gpu_gives_the_formula(dtype):
    q, k, v = make_heads(33)
    seen = attention(*(x.to("cuda", dtype) for x in (q, k, v)), causal=True)
    torch.testing.assert_close(
        seen.cpu().double(), plain_attention(q, k, v, causal=True), rtol=3e-2, atol=3e-2
    )
