import numpy as np
import pytest

from financial_model.evaluation.metrics import (
    clustered_mean,
    covered,
    expected_hit_rate,
    group_means,
    hit,
    monotonicity,
    pinball,
    pit_bins,
    portfolio_excess,
    share_below,
)

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
NORMAL_QUANTILES = np.array([-1.6448536, -0.6744898, 0.0, 0.6744898, 1.6448536])


def test_clustered_error_is_the_spread_of_the_truth_over_repeated_draws():
    def draw(seed):
        rng = np.random.default_rng(seed)
        session = np.repeat(np.arange(60), 50)
        return clustered_mean(rng.normal(size=60)[session] * 0.5 + rng.normal(size=3000), session)

    results = [draw(seed) for seed in range(300)]
    truth = np.std([result.mean for result in results])
    assert np.mean([result.se for result in results]) == pytest.approx(truth, rel=0.1)
    naive = np.sqrt(1.25 / 3000)
    assert truth > 3 * naive


def test_clustered_mean_of_nothing_is_none_in_json():
    assert clustered_mean(np.array([np.nan]), np.array([0])).to_json()["mean"] is None


def test_the_true_quantiles_have_the_lowest_pinball_loss():
    actual = np.random.default_rng(0).normal(size=(20000, 1))
    losses = [
        pinball(scale * NORMAL_QUANTILES[None, None], actual, LEVELS).mean() for scale in (0.7, 1.0, 1.4)
    ]
    assert losses[1] == min(losses)


def test_true_quantiles_cover_at_their_levels_and_fill_the_bins():
    rng = np.random.default_rng(1)
    actual = rng.normal(size=(40000, 2))
    actual[0, 0] = np.nan
    quantiles = np.broadcast_to(NORMAL_QUANTILES, (40000, 2, 5))
    inside = covered(quantiles[..., 0], quantiles[..., 4], actual)
    assert np.isnan(inside[0, 0])
    assert np.nanmean(inside) == pytest.approx(0.9, abs=0.005)
    assert np.nanmean(share_below(quantiles, actual), axis=(0, 1)) == pytest.approx(LEVELS, abs=0.005)
    bins = pit_bins(quantiles, actual)
    shares = [np.mean(bins[np.isfinite(bins)] == k) for k in range(6)]
    assert shares == pytest.approx([0.05, 0.2, 0.25, 0.25, 0.2, 0.05], abs=0.006)


def test_hit_rate_of_a_normal_score_is_one_half_plus_asin_ic_over_pi():
    rng = np.random.default_rng(2)
    session = np.repeat(np.arange(400), 500)
    score = rng.normal(size=len(session))
    label = (
        0.2 * score + np.sqrt(1 - 0.04) * rng.normal(size=len(session)) + 3 * rng.normal(size=400)[session]
    )
    assert np.nanmean(hit(score, label, session)) == pytest.approx(expected_hit_rate(0.2), abs=0.004)


def test_a_hit_is_counted_against_the_median_of_the_session():
    score, label = np.array([1.0, 2, 3, 4]), np.array([5.0, 7, 8, 6])
    # medians lie between ranks 1 and 2: score sides - - + +, label sides - + + -
    assert hit(score, label, np.zeros(4, int)).tolist() == [1.0, 0.0, 1.0, 0.0]


def test_deciles_by_hand():
    score = np.arange(20.0)[::-1].copy()
    label = np.r_[np.zeros(18), 2.0, 4.0]
    sessions, excess = portfolio_excess(score, label, np.zeros(20, int), groups=10)
    assert sessions.tolist() == [0]
    assert excess[0].round(9).tolist() == [2.7, *[-0.3] * 9]


def test_deciles_of_uneven_sessions_lose_nobody():
    rng = np.random.default_rng(3)
    session = np.repeat([0, 1], [37, 113])
    score, label = rng.normal(size=150), rng.normal(size=150)
    _, excess = portfolio_excess(score, label, session)
    for place, one in enumerate((0, 1)):
        mine = session == one
        rank = np.argsort(np.argsort(score[mine]))
        bucket = rank * 10 // mine.sum()
        expected = [label[mine][bucket == k].mean() - label[mine].mean() for k in range(10)]
        assert excess[place] == pytest.approx(expected)


def test_a_session_with_fewer_stocks_than_groups_is_left_out():
    sessions, _ = portfolio_excess(np.arange(9.0), np.arange(9.0), np.zeros(9, int))
    assert not len(sessions)


def test_monotonicity_of_rising_groups_is_one():
    rng = np.random.default_rng(4)
    excess = np.arange(5) + rng.normal(0, 0.01, (50, 5))
    assert monotonicity(np.array([mean.mean for mean in group_means(excess, 1)])) == pytest.approx(1.0)
