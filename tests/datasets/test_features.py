"""Features: what they say about a bar, and that no later bar changes them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from financial_model.data.panel import Panel
from financial_model.datasets.features import CLIP, compute_features, without_surroundings

COLUMNS = ("open", "high", "low", "close", "raw_close", "reference_close", "volume", "amount", "float_shares")


@dataclass
class Bars:
    date: np.ndarray
    close: np.ndarray


@dataclass
class WalkPanel:
    """The members of a panel that features read, over made-up random walks with gaps and late listings."""

    codes: list[str]
    offsets: np.ndarray
    sessions: np.ndarray
    code_index: np.ndarray
    session_index: np.ndarray
    columns: dict[str, np.ndarray]
    index: Bars

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    def names(self, condition: str) -> list[str]:
        return ["technology", "finance", "unknown"]

    def index_bars(self, code: str) -> Bars:
        return self.index

    def until(self, cut: int) -> "WalkPanel":
        """The panel as it was known after `cut` sessions."""
        keep = self.session_index < cut
        counts = np.bincount(self.code_index[keep], minlength=len(self.codes))
        live = counts > 0
        return WalkPanel(
            codes=[code for code, alive in zip(self.codes, live, strict=True) if alive],
            offsets=np.r_[0, np.cumsum(counts[live])],
            sessions=self.sessions[:cut],
            code_index=(np.cumsum(live) - 1)[self.code_index[keep]].astype(np.int32),
            session_index=self.session_index[keep],
            columns={name: values[keep] for name, values in self.columns.items()},
            index=Bars(self.index.date[:cut], self.index.close[:cut]),
        )


def make_panel(stocks: int = 14, sessions: int = 320, seed: int = 0) -> WalkPanel:
    rng = np.random.default_rng(seed)
    days = np.datetime64("2015-01-05") + np.arange(sessions)
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in (*COLUMNS, "limit_up", "limit_down", "industry")
    }
    session_index, counts = [], []
    for stock in range(stocks):
        listed = 0 if stock < stocks // 2 else int(rng.integers(0, sessions - 90))
        here = np.flatnonzero(rng.random(sessions - listed) > 0.03) + listed
        steps = 0.02 * rng.standard_t(4, len(here)).clip(-4, 4)
        close = 10 * np.exp(np.cumsum(steps))
        reference = np.r_[10.0, close[:-1]]
        open_ = reference * np.exp(0.005 * rng.standard_normal(len(here)))
        volume = np.exp(13 + 0.5 * rng.standard_normal(len(here)))
        bar = {
            "open": open_,
            "high": np.maximum(open_, close) * 1.004,
            "low": np.minimum(open_, close) * 0.996,
            "close": close,
            "raw_close": close,
            "reference_close": reference,
            "volume": volume,
            "amount": volume * close,
            "float_shares": np.full(len(here), np.nan if stock == 0 else 1e8 * (stock + 1)),
            "limit_up": reference * 1.1,
            "limit_down": reference * 0.9,
            "industry": np.full(len(here), stock % 3, np.int8),
        }
        for name, values in bar.items():
            columns[name].append(values)
        session_index.append(here)
        counts.append(len(here))
    return WalkPanel(
        codes=[f"SH{600000 + i}" for i in range(stocks)],
        offsets=np.r_[0, np.cumsum(counts)],
        sessions=days,
        code_index=np.repeat(np.arange(stocks), counts).astype(np.int32),
        session_index=np.concatenate(session_index).astype(np.int32),
        columns={name: np.concatenate(values) for name, values in columns.items()},
        index=Bars(days, 3000 * np.exp(np.cumsum(0.01 * rng.standard_normal(sessions)))),
    )


@pytest.mark.parametrize("cut", [70, 131, 319])
def test_rows_up_to_a_session_are_bit_identical_when_later_bars_are_unknown(cut):
    panel = make_panel()
    full, known = compute_features(panel), compute_features(panel.until(cut))
    rows = panel.session_index < cut
    np.testing.assert_array_equal(full.sequence[rows], known.sequence)
    np.testing.assert_array_equal(full.summary[rows], known.summary)
    np.testing.assert_array_equal(full.volatility[rows], known.volatility)
    np.testing.assert_array_equal(full.market[:cut], known.market)


def test_without_an_index_the_mean_of_the_universe_stands_in():
    days = np.arange("2018-01-01", "2018-03-02", dtype="datetime64[D]")
    close = 10 * np.exp(np.cumsum(0.02 * np.random.default_rng(0).standard_normal((4, len(days))), axis=1))
    code = np.repeat([f"SH60000{k}" for k in range(4)], len(days))
    features = compute_features(Panel.from_columns(code, np.tile(days, 4), {"close": close.ravel()}))
    names = features.market_names
    index = [k for k, name in enumerate(names) if name.startswith("index_")]
    market = [names.index(names[k].replace("index_", "market_")) for k in index]
    np.testing.assert_array_equal(features.market[:, index], features.market[:, market])
    assert features.market[:, index].any()


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_features_do_not_depend_on_how_many_stocks_are_computed_at_once(monkeypatch, cores):
    panel = make_panel()
    full = compute_features(panel)
    monkeypatch.setattr("financial_model.base.threads.CORES", cores)
    monkeypatch.setattr("financial_model.datasets.bar_features.CORES", cores)
    monkeypatch.setattr("financial_model.datasets.bar_features.BLOCK_CELLS", 900)
    monkeypatch.setattr("financial_model.datasets.features.BLOCK_ROWS", 70)
    blocks = compute_features(panel)
    np.testing.assert_array_equal(full.sequence, blocks.sequence)
    np.testing.assert_array_equal(full.summary, blocks.summary)
    np.testing.assert_array_equal(full.market, blocks.market)


def test_features_are_free_of_the_scale_of_prices():
    panel = make_panel()
    tenfold = replace(panel, columns=dict(panel.columns))
    for name in ("open", "high", "low", "close"):  # adjusted prices; the raw ones stay what was quoted
        tenfold.columns[name] = panel.columns[name] * 10
    one, ten = compute_features(panel), compute_features(tenfold)
    np.testing.assert_allclose(one.sequence, ten.sequence, atol=1e-5)
    np.testing.assert_allclose(one.summary.astype(float), ten.summary.astype(float), atol=5e-3)


def test_a_summary_feature_has_mean_zero_within_its_session_and_stays_within_the_clip():
    features, panel = compute_features(make_panel()), make_panel()
    assert np.isfinite(features.summary).all()
    assert np.abs(features.summary).max() <= CLIP
    today = features.summary[panel.session_index == 300].astype(float)
    assert np.abs(today.mean(axis=0)).max() < 0.25
    assert np.isfinite(features.sequence).all()
    assert np.isfinite(features.market).all()


def test_the_return_channel_is_the_log_return_in_units_of_the_volatility():
    panel = make_panel()
    features = compute_features(panel)
    row = int(panel.offsets[0]) + 50
    change = np.log(panel.columns["close"][row] / panel.columns["close"][row - 1])
    position = features.sequence_names.index("return")
    assert features.sequence[row, position] == pytest.approx(change / features.volatility[row], rel=1e-4)


def test_an_unknown_number_of_shares_is_the_mean_of_the_session_and_not_a_guess():
    panel = make_panel()
    features = compute_features(panel)
    size = features.summary[:, features.summary_names.index("log_size")]
    assert (size[panel.code_index == 0] == 0).all()
    assert np.abs(size[panel.code_index == 3]).max() > 0.5


def test_without_surroundings_nothing_is_told_of_market_or_industry():
    panel = make_panel()
    features = without_surroundings(compute_features(panel))
    other = replace(panel, columns=dict(panel.columns))
    other.columns["industry"] = np.roll(panel.columns["industry"], 400)
    moved = without_surroundings(compute_features(other))
    assert not features.market.any()
    np.testing.assert_array_equal(features.sequence, moved.sequence)
    np.testing.assert_array_equal(features.summary, moved.summary)
    assert not np.array_equal(compute_features(panel).summary, compute_features(other).summary)


def test_a_missing_amount_is_unknown_while_it_lies_in_the_window_and_no_longer():
    panel = make_panel()
    start, end = int(panel.offsets[3]), int(panel.offsets[4])
    row = start + 100
    amount = panel.columns["amount"].copy()
    amount[row] = np.nan
    holed = replace(panel, columns=panel.columns | {"amount": amount})
    whole, missing = compute_features(panel), compute_features(holed)
    place = whole.summary_names.index("log_amount_20")
    assert (missing.summary[row : row + 20, place] == 0).all()  # unknown: the mean of the session
    assert (missing.summary[row + 20 : end, place] != 0).mean() > 0.95
    np.testing.assert_array_equal(missing.sequence[:row], whole.sequence[:row])
