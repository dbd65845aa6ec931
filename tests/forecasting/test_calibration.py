"""Calibration: levels hold what they say, and nothing steers before it is known."""

import numpy as np
import pytest

from financial_model.base.config import QUANTILE_LEVELS
from financial_model.forecasting.calibration import Calibration

LEVELS = np.array(QUANTILE_LEVELS)


def make_range(sessions, stocks=60, steps=2, spread=1.0, shift=0.0, seed=0):
    """(quantiles of a point network, targets, sessions): a flat point forecast of normal outcomes."""
    generator = np.random.default_rng(seed)
    session = np.repeat(np.arange(sessions), stocks)
    spread = np.broadcast_to(spread, sessions)[session][:, None]
    target = shift + spread * generator.standard_normal((len(session), steps))
    return np.zeros((len(session), steps, 1)), target, session


def steer(calibration, quantiles, target, session):
    sessions, asked, _ = calibration.walk(quantiles, target, session)
    return calibration.apply(quantiles, asked[np.searchsorted(sessions, session)])


def coverage(quantiles, target):
    return (target[:, :, None] <= quantiles).mean(axis=(0, 1))


def test_a_point_gets_a_fan_whose_levels_hold():
    calibration = Calibration.fit(*make_range(100), levels=(0.5,))
    quantiles, target, _ = make_range(100, seed=1)
    assert coverage(calibration.apply(quantiles), target) == pytest.approx(LEVELS, abs=0.02)


def test_intervals_that_are_too_narrow_are_stretched_to_where_they_hold():
    point, target, session = make_range(100, spread=2.0, shift=0.5)
    narrow = np.array([-0.5, -0.2, 0.0, 0.2, 0.5])
    calibration = Calibration.fit(point + narrow, target, session, QUANTILE_LEVELS)
    point, later, _ = make_range(100, spread=2.0, shift=0.5, seed=1)
    moved = calibration.apply(point + narrow)
    for low, high in ((0, 4), (1, 3)):
        inside = (later >= moved[..., low]) & (later <= moved[..., high])
        assert inside.mean() == pytest.approx(LEVELS[high] - LEVELS[low], abs=0.02)


def test_the_stretch_by_hand_keeps_the_leaning_of_the_network():
    quantiles = np.tile([-4.0, -1.0, 1.0, 2.0, 4.0], (5, 1))[:, None]
    # Distances from the median 0 (kept is 0: the outcomes' slope on it is negative), in half-widths of the
    # side: 3 above and 5 below of the outer interval, 1 above and 2 below of the inner one.
    target = np.array([[-10.0], [-10.0], [-10.0], [-10.0], [6.0]])
    calibration = Calibration.fit(quantiles, target, np.arange(5) * 0, QUANTILE_LEVELS)
    assert calibration.kept == 0.0
    np.testing.assert_allclose(calibration.stretch[0, :, 0], [2.0, 5.0], atol=0.01)
    np.testing.assert_allclose(calibration.stretch[0, :, -1], [2.0, 6.0], atol=0.1)
    moved = calibration.apply(quantiles[:1])[0, 0]
    assert moved == pytest.approx([-10.0, -10.0, 0.0, 5.0, 6.0])


@pytest.mark.parametrize(("slope", "kept"), [(0.3, 0.3), (-0.5, 0.0), (4.0, 1.0)])
def test_as_much_of_the_median_is_kept_as_the_outcomes_followed(slope, kept):
    _, noise, session = make_range(100)
    median = np.random.default_rng(7).standard_normal((*noise.shape, 1))
    calibration = Calibration.fit(median, slope * median[..., 0] + noise, session, (0.5,))
    assert calibration.kept == pytest.approx(kept, abs=0.02)
    np.testing.assert_allclose(calibration.apply(median)[..., 2], calibration.kept * median[..., 0])


def test_a_market_that_only_falls_moves_no_median():
    calibration = Calibration.fit(*make_range(100), levels=(0.5,))
    quantiles, target, session = make_range(60, shift=-1.0, seed=1)
    steered = steer(calibration, quantiles, target, session)
    assert (steered[..., 2] == 0).all()


def test_steering_follows_a_market_that_turns_wild():
    calibration = Calibration.fit(*make_range(100), levels=(0.5,))
    spread = np.r_[np.ones(50), np.full(250, 1.6)]
    quantiles, target, session = make_range(300, spread=spread, seed=1)
    still = calibration.apply(quantiles)
    steered = steer(calibration, quantiles, target, session)
    wild = session >= 100

    def inside(q):
        return ((target >= q[:, :, 0]) & (target <= q[:, :, 4]))[wild].mean()

    assert inside(still) < 0.75
    assert inside(steered) == pytest.approx(0.9, abs=0.02)


def test_an_outcome_steers_only_once_it_is_known():
    quantiles, target, session = make_range(40, steps=3, seed=1)
    calibration = Calibration.fit(*make_range(100, steps=3), levels=(0.5,))
    before = steer(calibration, quantiles, target, session)
    changed = target.copy()
    changed[session == 20] = 9.0
    after = steer(calibration, quantiles, changed, session)
    for step in range(3):
        differs = np.unique(session[(before[:, step] != after[:, step]).any(axis=1)])
        assert differs.min() == 20 + step + 1


def test_a_session_that_is_missing_delays_nothing_and_unknown_outcomes_steer_nothing():
    calibration = Calibration.fit(*make_range(100), levels=(0.5,))
    quantiles, target, session = make_range(10, seed=1)
    target[:] = np.nan
    steered = steer(calibration, quantiles, target, session * 7)
    np.testing.assert_array_equal(steered, calibration.apply(quantiles))
    np.testing.assert_array_equal(calibration.walk(quantiles, target, session * 7)[2], calibration.asked)


def test_what_a_checkpoint_holds_gives_the_same_calibration_back():
    made = Calibration.fit(*make_range(100), levels=(0.5,))
    back = Calibration.from_plain(made.to_plain())
    quantiles, target, session = make_range(20, seed=1)
    np.testing.assert_array_equal(
        steer(made, quantiles, target, session), steer(back, quantiles, target, session)
    )


def test_quantiles_never_cross_after_steering():
    calibration = Calibration.fit(*make_range(50), levels=(0.5,))
    quantiles, target, session = make_range(60, spread=np.linspace(0.2, 3, 60), seed=2)
    steered = steer(calibration, quantiles, target, session)
    assert (np.diff(steered, axis=2) >= 0).all()
