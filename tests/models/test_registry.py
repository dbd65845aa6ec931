"""What every network of the table owes: shapes, order, gradients, repeatability, causes."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from financial_model.base.config import QUANTILE_LEVELS, ModelName, ModelSettings
from financial_model.models.registry import MODELS, build_model, valid_heads

NAMES = sorted(MODELS)


def make_model(name, sizes, levels=QUANTILE_LEVELS, seed=0, **settings):
    torch.manual_seed(seed)
    small = {"hidden_size": 16, "layers": 2, "heads": 4, "prediction_length": 5} | settings
    return build_model(sizes, ModelSettings(model=name, context_length=sizes.context_length, **small), levels)


@pytest.fixture(params=["FULL", "BARE"])
def sizes(request, makers):
    return getattr(makers, request.param)


@pytest.mark.parametrize("levels", [QUANTILE_LEVELS, (0.5,)])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_answers_rising_quantiles_and_a_score(name, levels, sizes, makers):
    output = make_model(name, sizes, levels)(makers.make_batch(sizes, 7))
    assert output.quantiles.shape == (7, 5, len(levels))
    assert output.score.shape == (7,)
    assert (output.quantiles.diff(dim=-1) >= 0).all()
    assert all(x.isfinite().all() for x in output)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_reached_by_the_gradient(name, sizes, makers):
    model = make_model(name, sizes)
    batch = makers.make_batch(sizes, 64)
    torch.manual_seed(0)
    for parameter in model.parameters():  # modulation starts at zero and would hide what lies before it
        torch.nn.init.normal_(parameter, std=0.1)
    output = model(batch)
    (output.quantiles.square().sum() + output.score.square().sum()).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert still == []


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_forecast(name, sizes, makers):
    batch = makers.make_batch(sizes)
    first, second = (make_model(name, sizes).eval()(batch) for _ in range(2))
    assert torch.equal(first.score, second.score)
    assert torch.equal(first.quantiles, second.quantiles)


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_does_not_depend_on_who_else_is_in_the_batch(name, makers):
    batch, model = makers.make_batch(makers.FULL, 12), make_model(name, makers.FULL).eval()
    together, alone = model(batch), model(batch[3:4])
    torch.testing.assert_close(together.score[3:4], alone.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.quantiles[3:4], alone.quantiles, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", ["window", "summary", "market", "conditions"])
@pytest.mark.parametrize("name", NAMES)
def test_each_input_moves_the_score(name, part, makers):
    model = make_model(name, makers.FULL).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    batch = makers.make_batch(makers.FULL)
    other = replace(batch, **{part: getattr(makers.make_batch(makers.FULL, seed=1), part)})
    assert not torch.allclose(model(batch).score, model(other).score)


@pytest.mark.parametrize("name", NAMES)
def test_targets_and_labels_are_never_read(name, makers):
    model, batch = make_model(name, makers.FULL).eval(), makers.make_batch(makers.FULL)
    nothing = torch.full_like
    hidden = replace(batch, target=nothing(batch.target, torch.nan), label=nothing(batch.label, torch.nan))
    assert torch.equal(model(batch).score, model(hidden).score)


@pytest.mark.parametrize("name", NAMES)
def test_odd_sizes_work(name, makers):
    odd = replace(makers.FULL, context_length=13, sequence=1)
    model = make_model(name, odd, hidden_size=24, heads=3, layers=1, prediction_length=1)
    assert model(makers.make_batch(odd, 3)).quantiles.shape == (3, 1, 5)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_learn_a_planted_rule(name, makers):
    """The score of a batch follows the last bar of its windows after 60 steps."""
    model = make_model(name, makers.BARE, dropout=0.0)
    batch = makers.make_batch(makers.BARE, 100)
    wanted = batch.window[:, -1, 0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        (model(batch).score - wanted).square().mean().backward()
        optimizer.step()
    score = model.eval()(batch).score
    assert torch.corrcoef(torch.stack([score, wanted]))[0, 1] > 0.5


def test_the_network_of_the_large_preset_has_about_two_and_a_half_million_parameters():
    from financial_model.models.interface import InputSizes

    styles = {f"style_{name}": 6 for name in ("size", "value", "volatility", "momentum", "liquidity")}
    sizes = InputSizes(8, 60, summary=40, market=24, conditions={"industry": 12, **styles, "regime": 5})
    model = build_model(sizes, ModelSettings(hidden_size=256, layers=4), QUANTILE_LEVELS)
    assert 1.8e6 < sum(parameter.numel() for parameter in model.parameters()) < 3.2e6


def test_every_model_of_the_settings_is_in_the_table():
    assert set(MODELS) == set(get_args(ModelName))


def test_only_heads_that_divide_are_offered():
    assert valid_heads(12, most=8) == [1, 2, 3, 4, 6]
