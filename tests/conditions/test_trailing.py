import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from financial_model.conditions.trailing import trailing_deviation, trailing_mean, trailing_sum


@given(seed=st.integers(0, 2**16), cut=st.integers(1, 199), window=st.integers(2, 60))
def test_the_past_of_a_window_keeps_every_bit_when_the_future_is_cut(seed, cut, window):
    values = np.random.default_rng(seed).normal(size=200)
    for compute in (trailing_sum, trailing_mean, trailing_deviation):
        np.testing.assert_array_equal(compute(values, window)[:cut], compute(values[:cut], window))


def test_windows_are_what_numpy_says_of_each():
    values = np.random.default_rng(1).normal(size=80)
    deviation = trailing_deviation(values, 20, least=5)
    for k in range(80):
        inside = values[max(0, k - 19) : k + 1]
        assert np.isclose(trailing_sum(values, 20)[k], inside.sum())
        assert np.isnan(deviation[k]) if len(inside) < 5 else np.isclose(deviation[k], inside.std(ddof=1))
    assert np.isnan(trailing_mean(values, 20)[:19]).all()
    assert np.isclose(trailing_mean(values, 20)[19], values[:20].mean())
