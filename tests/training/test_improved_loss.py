"""The losses: cases by hand, gradients against finite differences, and where the gradient points."""

import math
from types import SimpleNamespace

import pytest
import torch

from financial_model.models.interface import Output
from financial_model.training.improved_loss import (
    LOSSES,
    beside_session,
    direction_error,
    normal_scores_within,
    pinball_error,
    rank_loss,
    session_groups,
    standardise_within,
)

NAN = float("nan")
NAMES = sorted(LOSSES)


def make_batch(size=24, steps=3, sessions=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return SimpleNamespace(
        target=torch.randn(size, steps, generator=generator, dtype=dtype),
        label=0.02 * torch.randn(size, generator=generator, dtype=dtype),
        session=torch.arange(size) % sessions,
    )


def make_output(loss, size=24, steps=3, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([2.0 * level - 1 for level in loss.levels], dtype=dtype)
    quantiles = 0.3 * torch.randn(size, steps, 1, generator=generator, dtype=dtype) + spread
    return Output(quantiles, torch.randn(size, generator=generator, dtype=dtype))


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_finite_differences(name):
    loss, batch = LOSSES[name](), make_batch(size=12, steps=2, sessions=2)
    batch.target[3, 1] = batch.label[5] = NAN
    output = make_output(loss, size=12, steps=2)
    inputs = [x.clone().requires_grad_() for x in output]
    assert torch.autograd.gradcheck(lambda q, s: loss(Output(q, s), batch)[0], inputs)


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_add_up_to_the_loss_and_carry_no_gradient(name):
    loss, batch = LOSSES[name](), make_batch()
    output = Output(*(x.requires_grad_() for x in make_output(loss)))
    total, parts = loss(output, batch)
    assert total.requires_grad
    assert not any(part.requires_grad for part in parts.values())
    assert sum(part.item() for part in parts.values()) == pytest.approx(total.item())
    assert "rank" in parts


@pytest.mark.parametrize("name", NAMES)
def test_unknown_targets_and_labels_do_not_count(name):
    loss, batch = LOSSES[name](), make_batch()
    output = make_output(loss)
    batch.target[::4] = NAN
    batch.label[::4] = NAN
    known = torch.arange(24) % 4 != 0
    few = SimpleNamespace(target=batch.target[known], label=batch.label[known], session=batch.session[known])
    among, _ = loss(output, batch)
    alone, _ = loss(Output(output.quantiles[known], output.score[known]), few)
    assert among.item() == pytest.approx(alone.item())


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_a_known_value_has_no_gradient(name):
    loss, batch = LOSSES[name](), make_batch()
    batch.target[:], batch.label[:] = NAN, NAN
    output = Output(*(x.requires_grad_() for x in make_output(loss)))
    loss(output, batch)[0].backward()
    assert output.quantiles.grad.abs().max() == 0
    assert output.score.grad.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_sign_is_pushed_towards_right(name):
    loss, batch = LOSSES[name](), make_batch(size=20, sessions=1)
    middle = loss.levels.index(0.5)
    quantiles = make_output(loss, size=20).quantiles.detach()
    quantiles = quantiles - quantiles[..., middle : middle + 1] - batch.target.sign()[..., None] * 0.2
    output = Output(quantiles.requires_grad_(), (-batch.label).clone().requires_grad_())
    loss(output, batch)[0].backward()
    step = -output.quantiles.grad.sum(-1)
    clear = batch.target.abs() > 0.3
    # A correlation also pulls back whoever is already ahead of its target's place.
    least = 0.7 if name == "ic" else 0.9
    assert (step[clear] * batch.target[clear] > 0).float().mean() > least
    better = output.score - 1e-3 * output.score.grad
    assert rank_loss(better, batch.label, batch.session) < rank_loss(output.score, batch.label, batch.session)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_summed_in_single(name):
    loss, batch = LOSSES[name](), make_batch(dtype=torch.float32)
    output = make_output(loss, dtype=torch.float32)
    exact, _ = loss(output, batch)
    half, _ = loss(Output(*(x.bfloat16() for x in output)), batch)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_other_samples_of_the_same_session_alone_move_the_score(name):
    loss, batch = LOSSES[name](), make_batch(size=20, sessions=2)
    output = make_output(loss, size=20)
    score = output.score.clone().requires_grad_()
    in_first = batch.session == 0
    batch.label[~in_first] = NAN
    loss(Output(output.quantiles, score), batch)[0].backward()
    assert score.grad[in_first].abs().min() > 0
    assert score.grad[~in_first].abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_neither_collapses_nor_overshoots(name):
    """Where x explains a share of the target, the fitted path spreads by that share."""
    generator, correlation = torch.Generator().manual_seed(2), 0.3
    x, noise = torch.randn(2, 2000, generator=generator, dtype=torch.float64)
    z = correlation * x + (1 - correlation**2) ** 0.5 * noise
    batch = SimpleNamespace(target=z[:, None], label=0.02 * z, session=torch.arange(2000) % 10)
    loss = LOSSES[name]()
    spread = torch.special.ndtri(torch.tensor(loss.levels, dtype=torch.float64))
    slopes = torch.full((2,), 0.01, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([slopes], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        output = Output((slopes[0] * x)[:, None, None] + spread, slopes[1] * x)
        loss(output, batch)[0].backward()
        optimizer.step()
    assert slopes[1] > 0
    spread_ratio = (slopes[0] * x).std() / z.std()
    assert 0.6 * correlation < spread_ratio < 1.4 * correlation


def test_mean_squared_error_by_hand():
    batch = SimpleNamespace(
        target=torch.tensor([[1.0, NAN], [3.0, -1.0]]),
        label=torch.full((2,), NAN),
        session=torch.zeros(2).long(),
    )
    output = Output(torch.tensor([[[0.0], [9.0]], [[1.0], [1.0]]]), torch.zeros(2))
    _, parts = LOSSES["mse"]()(output, batch)
    assert parts["regression"].item() == pytest.approx((1 + 4 + 4) / 3)
    assert parts["rank"].item() == 1.0


def test_huber_error_by_hand():
    batch = SimpleNamespace(
        target=torch.tensor([[0.5, 3.0]]), label=torch.full((1,), NAN), session=torch.zeros(1).long()
    )
    _, parts = LOSSES["huber_trend"]()(Output(torch.zeros(1, 2, 1), torch.zeros(1)), batch)
    assert parts["regression"].item() == pytest.approx(2 * (0.5**2 / 2 + (3 - 0.5)) / 2)


def test_pinball_error_by_hand():
    quantiles = torch.tensor([[[-1.0, 0.0, 2.0]]])
    # The target lies 2 above the low quantile, 1 above the middle one, 1 below the high one.
    expected = (0.1 * 2 + 0.5 * 1 + 0.1 * 1) / 3
    assert pinball_error(quantiles, torch.tensor([[1.0]]), (0.1, 0.5, 0.9)).item() == pytest.approx(expected)


def test_direction_error_by_hand():
    by_hand = (
        (math.log(1 + math.exp(-2 * 0.1 / 0.5)) + math.log(1 + math.exp(3 * 0.1 / 0.5))) / 2 / math.log(2)
    )
    # The second move of -9 counts as -3.
    error = direction_error(torch.tensor([[0.1, 0.1]]), torch.tensor([[2.0, -9.0]]), tau=0.5)
    assert error.item() == pytest.approx(by_hand, rel=1e-6)


def test_targets_beside_their_session_by_hand():
    target = torch.tensor([[1.0, NAN], [2.0, 7.0], [3.0, 3.0], [9.0, 3.0], [0.0, 3.0], [1.0, 1.0]])
    session = torch.tensor([4, 4, 4, 4, 4, 8])
    expected = torch.tensor([[-2.0, NAN], [-1.0, 3.0], [0.0, -1.0], [6.0, -1.0], [-3.0, -1.0], [0.0, 0.0]])
    torch.testing.assert_close(beside_session(target, session), expected, equal_nan=True)


def test_where_a_whole_session_went_teaches_the_median_nothing():
    loss, batch = LOSSES["trend_aware"](), make_batch(size=40, sessions=4)
    moved = SimpleNamespace(
        target=batch.target + batch.session[:, None], label=batch.label, session=batch.session
    )
    gradients = []
    for one in (batch, moved):
        output = make_output(loss, size=40)
        shift = torch.zeros(40, 3, dtype=torch.float64, requires_grad=True)
        loss(Output(output.quantiles + shift[..., None], output.score), one)[0].backward()
        gradients.append(shift.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().min() > 0


def test_trend_aware_by_hand():
    batch = SimpleNamespace(
        target=torch.tensor([[2.0], [2.0], [2.0], [2.0], [7.0]]),
        label=torch.full((5,), NAN),
        session=torch.zeros(5).long(),
    )
    _, parts = LOSSES["trend_aware"]()(
        Output(torch.tensor([-1.0, 0.0, 1.0, 2.0, 3.0]).repeat(5, 1, 1), torch.zeros(5)), batch
    )
    # Beside the session the moves are -1 and 4 where the median says 1; around it the levels lie at -2..2.
    assert parts["regression"].item() == pytest.approx(0.5 * (4 * 1.5 + 2.5) / 5)
    softplus = [math.log(1 + math.exp(-z * 1 / 0.5)) / math.log(2) for z in (-1, 3)]
    assert parts["direction"].item() == pytest.approx(0.5 * (4 * softplus[0] + softplus[1]) / 5)
    assert parts["magnitude"].item() == pytest.approx(0.25 * (4 * 1 + 6) / 5)
    errors = [
        [level * (z - q) for level, q in zip(loss_levels(), (-2, -1, 0, 1, 2), strict=True)] for z in (2, 7)
    ]
    assert parts["quantile"].item() == pytest.approx((4 * sum(errors[0]) + sum(errors[1])) / 25)


def loss_levels():
    return LOSSES["trend_aware"].levels


def test_the_best_small_forecast_of_the_direction_term_is_the_conditional_mean():
    generator = torch.Generator().manual_seed(3)
    z = 0.1 + torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    candidates = torch.arange(0.0, 0.21, 0.01, dtype=torch.float64)
    errors = torch.stack([direction_error(torch.full_like(z, c), z, tau=0.5) for c in candidates])
    assert candidates[errors.argmin()].item() == pytest.approx(z.mean().item(), abs=0.021)


def test_the_rank_loss_is_one_minus_the_mean_correlation_within_sessions():
    batch = make_batch(size=40, sessions=4)
    batch.label.clamp_(-0.03, 0.03)
    score = torch.randn(40, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    by_session = [
        torch.corrcoef(torch.stack([score[batch.session == s], batch.label[batch.session == s]]))[0, 1]
        for s in range(4)
    ]
    expected = 1 - torch.stack(by_session).mean().item()
    assert rank_loss(score, batch.label, batch.session).item() == pytest.approx(expected, abs=1e-3)


def test_a_shift_of_a_whole_session_does_not_change_the_rank_loss():
    batch = make_batch(size=40, sessions=4)
    score = torch.randn(40, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    moved = batch.label + batch.session
    expected = rank_loss(score, batch.label, batch.session).item()
    assert rank_loss(score, moved, batch.session).item() == pytest.approx(expected)
    assert rank_loss(score + batch.session, batch.label, batch.session).item() == pytest.approx(expected)


def test_ranked_labels_know_only_the_order_within_the_session():
    batch = make_batch(size=40, sessions=4)
    batch.label[::7] = NAN
    score = torch.randn(40, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    expected = rank_loss(score, batch.label, batch.session, ranked=True).item()
    bent = (batch.label * 40).exp() + batch.session
    assert rank_loss(score, bent, batch.session, ranked=True).item() == pytest.approx(expected)
    assert rank_loss(score, -batch.label, batch.session, ranked=True).item() == pytest.approx(2 - expected)


def test_normal_scores_are_those_of_each_session_alone():
    batch = make_batch(size=40, sessions=4)
    known = torch.arange(40) % 5 != 0
    scores = normal_scores_within(batch.label, known, batch.session)
    assert (scores[~known] == 0).all()
    for session in range(4):
        mine = known & (batch.session == session)
        rank = batch.label[mine].argsort().argsort()
        expected = torch.special.ndtri((rank + 0.5) / mine.sum())
        torch.testing.assert_close(scores[mine], expected.double(), rtol=1e-5, atol=1e-6)


def test_one_stock_through_time_is_one_group():
    session = torch.tensor([4, 9, 2, 7, 5, 11])
    assert session_groups(session, torch.ones(6, dtype=torch.bool)).tolist() == [6] * 6
    up = torch.arange(6.0)
    assert rank_loss(up, 0.01 * up, session).item() < 0.01


def test_a_constant_label_or_score_has_a_finite_gradient():
    session = torch.zeros(8, dtype=torch.int64)
    score = torch.ones(8, requires_grad=True)
    rank_loss(score, torch.arange(8.0), session).backward()
    assert score.grad.isfinite().all()
    assert standardise_within(torch.ones(8), torch.ones(8, dtype=torch.bool), session).abs().max() == 0


def test_the_step_compiles_to_one_graph_without_reading_the_data():
    loss = LOSSES["trend_aware"]()
    graphs = torch.compile(lambda q, s, b: loss(Output(q, s), b)[0], fullgraph=True, backend="eager")
    batch, output = make_batch(), make_output(loss)
    assert graphs(*output, batch).item() == pytest.approx(loss(output, batch)[0].item())


def test_every_loss_of_the_settings_is_in_the_table():
    from typing import get_args

    from financial_model.base.config import LossName

    assert set(LOSSES) == set(get_args(LossName))
