"""The shared parts of the networks."""

from statistics import NormalDist

import pytest
import torch

from financial_model.base.config import QUANTILE_LEVELS, ModelSettings
from financial_model.models.interface import InputSizes
from financial_model.models.layers import ConditionEmbedding, FiLM, PatchEmbedding, QuantileHead, RowNorm


@pytest.mark.parametrize("levels", [QUANTILE_LEVELS, (0.1, 0.9), (0.5,)])
def test_quantiles_cannot_cross_whatever_the_weights(levels):
    torch.manual_seed(0)
    head = QuantileHead(16, steps=4, levels=levels)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=10)
    quantiles = head(torch.randn(64, 16))
    assert quantiles.shape == (64, 4, len(levels))
    assert (quantiles.diff(dim=-1) >= 0).all()


def test_an_untrained_head_forecasts_the_standard_normal():
    torch.manual_seed(0)
    quantiles = QuantileHead(16, steps=3, levels=QUANTILE_LEVELS)(torch.zeros(1, 16))
    expected = torch.tensor([NormalDist().inv_cdf(level) for level in QUANTILE_LEVELS])
    torch.testing.assert_close(quantiles[0], expected.expand(3, 5), rtol=0, atol=1e-5)


def test_every_quantile_learns():
    head = QuantileHead(4, steps=2, levels=QUANTILE_LEVELS)
    head(torch.ones(1, 4)).square().sum().backward()
    assert (head.linear.bias.grad.abs() > 0).all()


def test_modulation_starts_as_the_identity_and_then_scales_and_shifts():
    film, x, context = FiLM(3, 2), torch.ones(1, 3), torch.ones(1, 2)
    assert torch.equal(film(x, context), x)
    with torch.no_grad():
        film.modulation.bias.copy_(torch.tensor([1.0, 2, 3, 10, 20, 30]))
    assert film(x, context).tolist() == [[12, 23, 34]]


def test_the_last_patch_ends_at_the_last_session():
    patches = PatchEmbedding(InputSizes(sequence=2, context_length=10), 3, patch=4)
    with torch.no_grad():
        patches.linear.weight.fill_(1.0)
        patches.linear.bias.zero_()
    window = torch.arange(10.0).repeat_interleave(2).reshape(1, 10, 2)
    assert patches.count == 3
    # Sessions 0 and 1 after two of zeros, then 2..5, then 6..9, each in two features; GELU(2) is 2 * 0.97725.
    assert patches(window)[0, :, 0].tolist() == pytest.approx([2 * 0.97725, 28, 60])


def test_each_condition_reads_its_own_table():
    torch.manual_seed(0)
    embedding = ConditionEmbedding({"industry": 3, "regime": 2}, [4, 2])
    rows = embedding(torch.tensor([[0, 0], [0, 1], [2, 1]]))
    assert rows.shape == (3, 6)
    assert torch.equal(rows[0, :4], rows[1, :4])
    assert torch.equal(rows[1, 4:], rows[2, 4:])
    assert not torch.equal(rows[0, 4:], rows[1, 4:])


def test_the_row_norm_is_layer_norm():
    torch.manual_seed(0)
    x = torch.randn(5, 7)
    torch.testing.assert_close(RowNorm(7)(x), torch.nn.LayerNorm(7)(x))


def test_widths_of_embeddings_come_from_the_settings():
    from financial_model.models.layers import condition_widths

    settings = ModelSettings(industry_embedding=7, style_embedding=5, regime_embedding=3)
    assert condition_widths({"industry": 12, "style_size": 6, "style_value": 6, "regime": 5}, settings) == [
        7,
        5,
        5,
        3,
    ]
