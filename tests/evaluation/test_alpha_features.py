import numpy as np
import pandas as pd
import pytest

from financial_model.evaluation.alpha_features import NAMES, alpha_features


def make_bars(makers, stocks=5, sessions=130, seed=0, suspended=0.1):
    rng = np.random.default_rng(seed)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.02, (stocks, sessions)), axis=1))
    open_ = close * np.exp(rng.normal(0, 0.01, close.shape))
    high, low = np.maximum(open_, close) * 1.01, np.minimum(open_, close) * 0.99
    volume = np.exp(rng.normal(13, 0.5, close.shape))
    missing = rng.random(close.shape) < suspended
    missing[0, 40:] = True  # a stock with a short history
    columns = {"open": open_, "high": high, "low": low, "volume": volume}
    return makers.MadePanel(np.where(missing, np.nan, close), **columns)


@pytest.fixture(scope="module")
def panel(makers):
    return make_bars(makers)


@pytest.fixture(scope="module")
def features(panel):
    values = alpha_features(panel, np.arange(len(panel.code_index)))
    return {name: values[:, place] for place, name in enumerate(NAMES)}


@pytest.mark.parametrize("window", [5, 20, 60])
def test_rolling_features_agree_with_pandas(panel, features, window):
    for code in panel.codes:
        rows = panel.rows_of(code)
        bars = pd.DataFrame({name: panel.column(name)[rows] for name in ("close", "high", "low", "volume")})
        close, volume = bars["close"], bars["volume"]
        rolling = close.rolling(window)
        change = close.diff()
        log_volume = np.log(volume + 1)
        weighted = (close.pct_change().abs() * volume).rolling(window)
        expected = {
            "roc": close.shift(window) / close,
            "ma": rolling.mean() / close,
            "std": rolling.std() / close,
            "max": bars["high"].rolling(window).max() / close,
            "min": bars["low"].rolling(window).min() / close,
            "qtlu": rolling.quantile(0.8) / close,
            "qtld": rolling.quantile(0.2) / close,
            "rank": rolling.rank(pct=True),
            "imax": bars["high"].rolling(window).apply(lambda w: w.argmax() + 1, raw=True) / window,
            "corr": rolling.corr(log_volume),
            "cord": np.log(close).diff().rolling(window).corr(log_volume.diff()),
            "cntp": (change > 0).where(change.notna()).astype(float).rolling(window).mean(),
            "sump": change.clip(lower=0).rolling(window).sum() / change.abs().rolling(window).sum(),
            "vma": volume.rolling(window).mean() / volume,
            "vstd": volume.rolling(window).std() / volume,
            "wvma": weighted.std() / weighted.mean(),
            "beta": rolling.apply(lambda w: np.polyfit(np.arange(len(w)), w, 1)[0], raw=True) / close,
            "rsqr": rolling.apply(lambda w: np.corrcoef(np.arange(len(w)), w)[0, 1] ** 2, raw=True),
        }
        for name, values in expected.items():
            got = features[f"{name}{window}"][rows]
            np.testing.assert_allclose(got, values.to_numpy(float), rtol=2e-4, atol=2e-5, err_msg=name)


def test_bar_features_by_hand(makers):
    panel = makers.MadePanel([[11.0]], open=[[10.0]], high=[[12.0]], low=[[9.0]])
    values = dict(zip(NAMES, alpha_features(panel, np.array([0]))[0], strict=True))
    assert values["kmid"] == pytest.approx(0.1)
    assert values["klen"] == pytest.approx(0.3)
    assert values["kup"] == pytest.approx(0.1)
    assert values["klow"] == pytest.approx(0.1)
    assert np.isnan(values["ma5"])


def test_features_do_not_see_the_future(makers):
    whole, cut = make_bars(makers, sessions=130), 90
    dense = {name: np.full((5, 130), np.nan) for name in ("close", "open", "high", "low", "volume")}
    for name, values in dense.items():
        values[whole.code_index, whole.session_index] = whole.column(name)
        values[:, cut:] *= 3.0
    changed = makers.MadePanel(**dense)
    early = np.flatnonzero(whole.session_index < cut)
    np.testing.assert_array_equal(alpha_features(whole, early), alpha_features(changed, early))


def test_some_rows_alone_are_the_rows_of_the_whole(panel, features):
    late = np.flatnonzero(panel.session_index >= 100)
    for some in (np.arange(7, len(panel.code_index), 3), late, late[:1]):
        got = alpha_features(panel, some)
        for place, name in enumerate(NAMES):
            np.testing.assert_array_equal(got[:, place], features[name][some], err_msg=name)
    assert len(NAMES) == 12 + 27 * 5 >= 133


def test_a_market_younger_than_a_window_has_no_such_feature(makers):
    values = alpha_features(make_bars(makers, sessions=30, suspended=0.0), np.arange(100))
    assert np.isnan(values[:, NAMES.index("ma60")]).all()
    assert np.isfinite(values[29, NAMES.index("ma10")])
