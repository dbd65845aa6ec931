"""The default network, and the factor path that carries its score."""

from dataclasses import replace

import pytest
import torch

from financial_model.base.config import ModelSettings
from financial_model.datasets.bar_features import FACTORS
from financial_model.datasets.market_features import LEADERS, STATES
from financial_model.models.conditional_model import ConditionalModel
from financial_model.models.factor_path import PACE, FactorPath
from financial_model.models.interface import InputSizes

SIZES = InputSizes(
    sequence=6,
    context_length=30,
    summary=len(FACTORS) + 7,
    market=len(STATES) + len(LEADERS) + 5,
    conditions={"industry": 11, "style_size": 6, "regime": 5},
)


def test_the_path_is_the_sum_of_its_products(makers):
    path, batch = FactorPath(SIZES, dropout=0.3).eval(), makers.make_batch(SIZES, size=3)
    industry, regime = batch.conditions[1, 0], batch.conditions[1, 2]
    factors = batch.summary[1, : len(FACTORS)]
    state, leaders = batch.market[1, : len(STATES)], batch.market[1, len(STATES) : len(STATES) + len(LEADERS)]
    weights = path.tables[0].weight[industry] + path.tables[1].weight[regime] + state @ path.by_state.weight
    by_hand = (
        path.common.weight[0] @ batch.summary[1] + weights @ factors + path.leading.weight[industry] @ leaders
    )
    assert path(batch)[1].item() == pytest.approx(PACE * by_hand.item(), abs=1e-5)


def test_the_path_learns_a_factor_that_reverses_between_industries(makers):
    torch.manual_seed(0)
    path, batch = FactorPath(SIZES, dropout=0.3), makers.make_batch(SIZES, size=2000)
    sign = torch.where(batch.conditions[:, 0] < 6, 1.0, -1.0)
    label = sign * batch.summary[:, 2] + torch.randn(2000)
    optimizer = torch.optim.AdamW(path.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        (path(batch) - label).square().mean().backward()
        optimizer.step()
    fresh = makers.make_batch(SIZES, size=2000, seed=1)
    planted = torch.where(fresh.conditions[:, 0] < 6, 1.0, -1.0) * fresh.summary[:, 2]
    score = path.eval()(fresh).detach()
    assert torch.corrcoef(torch.stack([score, planted]))[0, 1] > 0.7


@pytest.mark.parametrize("missing", ["conditions", "market", "summary"])
def test_the_network_does_without_what_the_data_do_not_have(makers, missing):
    sizes = replace(SIZES, **{missing: {} if missing == "conditions" else 0})
    model = ConditionalModel(sizes, ModelSettings(hidden_size=16, layers=1, heads=1), (0.05, 0.5, 0.95))
    output = model(makers.make_batch(sizes, size=4))
    assert output.score.shape == (4,)
    assert output.quantiles.shape == (4, 5, 3)
    assert output.score.isfinite().all()


def test_an_untrained_score_is_nearly_that_of_the_path_alone(makers):
    torch.manual_seed(0)
    model = ConditionalModel(SIZES, ModelSettings(hidden_size=32, layers=2, heads=1), (0.5,)).eval()
    batch = makers.make_batch(SIZES, size=400)
    score, path = model(batch).score, model.head.factor_path(batch)
    assert torch.corrcoef(torch.stack([score, path]))[0, 1] > 0.9
