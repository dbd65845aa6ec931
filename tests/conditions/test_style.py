import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.config import ConditionSettings
from financial_model.base.workspace import Workspace
from financial_model.conditions import style
from financial_model.conditions.style import STYLES, quantile_buckets, session_ranks
from financial_model.data.panel import Panel
from financial_model.data.reference_store import ReferenceStore, make_facts

THRESHOLD = ConditionSettings(buckets="threshold")
# Market cap = raw close times total shares, as anyone can read them in the day file and share_capital.csv.
# day, code, raw close (CNY), total shares, then the buckets by the fixed thresholds.
BY_HAND = [
    ("2012-06-29", "SH601398", 3.95, 349_313_440_000, "mega", "low", "neutral", "low"),
    ("2012-06-29", "SZ000651", 20.85, 3_007_865_312, "large", "low", "positive", "low"),
    ("2012-06-29", "SZ002594", 19.86, 2_354_100_000, "mid", "medium", "reversal", "high"),
    ("2015-06-12", "SH601398", 5.44, 356_406_240_000, "mega", "medium", "positive", "low"),
    ("2015-06-12", "SZ000651", 61.71, 3_007_865_312, "large", "high", "strong", "medium"),
    ("2015-06-12", "SH600166", 11.80, 3_335_065_625, "mid", "medium", "strong", "high"),
    ("2018-12-28", "SH601398", 5.29, 356_406_240_000, "mega", "low", "negative", "low"),
    ("2018-12-28", "SZ002594", 51.00, 2_728_142_812, "large", "medium", "neutral", "medium"),
    ("2018-12-28", "SZ300347", 42.75, 500_176_523, "mid", "high", "reversal", "medium"),
]
DAY_RECORD = np.dtype("<u4, <u4, <u4, <u4, <u4, <f4, <u4, <u4")  # date, prices in 0.01 CNY, amount, ...


def raw_history(
    real_data: Path, code: str, day: str, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(adjusted close over `count` bars up to `day`, amount, raw close), straight from the day file."""
    bars = np.fromfile(real_data / "vipdoc" / code[:2].lower() / "lday" / f"{code.lower()}.day", DAY_RECORD)
    bars = bars[bars["f0"] <= int(day.replace("-", ""))][-count:]
    raw = bars["f4"] / 100
    factor = np.ones(count)
    with (real_data / "reference" / "corporate_actions.csv").open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            ex = int(row["date"].replace("-", ""))
            first = int(np.searchsorted(bars["f0"], ex))
            if row["code"] == code and 0 < first < count:
                share = 1 + (float(row["bonus_per_10"]) + float(row["rights_per_10"])) / 10
                cash = float(row["cash_per_10"]) / 10 - float(row["rights_per_10"]) / 10 * float(
                    row["rights_price"]
                )
                reference = np.floor((raw[first - 1] - cash) / share * 100 + 0.5 + 1e-6) / 100
                factor[first:] *= raw[first - 1] / reference
    return raw * factor, bars["f5"].astype(np.float64), raw


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("day", "code", "close", "shares", "size", "volatility", "momentum", "liquidity"), BY_HAND
)
def test_styles_of_three_dates_are_those_computed_by_hand(
    real_workspace, real_data, day, code, close, shares, size, volatility, momentum, liquidity
):
    panel, reference = Panel.open(real_workspace), ReferenceStore(real_workspace)
    rows = panel.rows_of(code)
    row = rows.start + int(np.flatnonzero(panel.session_index[rows] == panel.position_of(day))[0])
    adjusted, amount, raw = raw_history(real_data, code, day, 61)
    float_shares = panel.column("float_shares")[rows.start : row + 1][-20:]
    by_hand = {
        "style_size": close * shares,
        "style_volatility": np.diff(np.log(adjusted)).std(ddof=1) * np.sqrt(244),
        "style_momentum": adjusted[-1] / adjusted[0] - 1,
        "style_liquidity": (amount[-20:] / (raw[-20:] * float_shares)).mean(),
    }
    words = dict(zip(by_hand, (size, volatility, momentum, liquidity), strict=True))
    for name, value in by_hand.items():
        # The panel holds floats of 32 bits where that is enough.
        assert STYLES[name].factor(panel, reference)[row] == pytest.approx(value, rel=2e-4), name
        column = STYLES[name].column(panel, reference, THRESHOLD)
        assert STYLES[name].vocabulary[column[row]] == words[name], name


@pytest.mark.real_data
def test_quantile_buckets_of_a_real_session_hold_equal_shares(real_workspace):
    panel, reference = Panel.open(real_workspace), ReferenceStore(real_workspace)
    for day in ("2012-06-29", "2015-06-12", "2018-12-28"):
        rows = panel.rows_at(panel.position_of(day))
        caps = style.market_cap(panel, reference)[rows]
        column = STYLES["style_size"].column(panel, reference, ConditionSettings())[rows]
        counts = np.bincount(column, minlength=6)
        assert counts[0] == np.isnan(caps).sum()
        assert counts[1:].max() - counts[1:].min() <= 1
        for low, high in zip(range(1, 5), range(2, 6), strict=True):
            assert caps[column == low].max() < caps[column == high].min()


@pytest.mark.real_data
def test_value_is_unknown_where_no_facts_were_published(real_workspace):
    panel, reference = Panel.open(real_workspace), ReferenceStore(real_workspace)
    assert not STYLES["style_value"].column(panel, reference, ConditionSettings()).any()


def one_session(values) -> Panel:
    codes = [f"SH6000{k:02d}" for k in range(len(values))]
    return Panel.from_columns(codes, ["2024-06-03"] * len(values), {"close": np.ones(len(values))})


def test_buckets_split_a_session_evenly_and_missing_values_are_unknown():
    factor = np.array([5.0, np.nan, 1.0, 2.0, 4.0, 3.0])
    assert quantile_buckets(one_session(factor), factor, 5).tolist() == [5, 0, 1, 2, 4, 3]


def test_equal_values_share_a_bucket_and_too_few_are_not_ranked():
    factor = np.array([1.0, 1.0, 1.0, 2.0])
    buckets = quantile_buckets(one_session(factor), factor, 3)
    assert len(set(buckets[:3])) == 1 < buckets[3]
    assert quantile_buckets(one_session([1.0, 2.0]), np.array([1.0, 2.0]), 3).tolist() == [0, 0]


def test_ranks_lie_between_zero_and_one_and_tie_together():
    factor = np.array([3.0, np.nan, 1.0, 3.0])
    np.testing.assert_allclose(session_ranks(one_session(factor), factor), [2 / 3, np.nan, 1 / 6, 2 / 3])


def fundamentals(rows) -> dict:
    names = ("code", "announced", "period", "eps_cny", "book_value_per_share_cny")
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def test_earnings_of_four_quarters_come_from_figures_of_the_year_so_far():
    facts = make_facts(
        "fundamentals",
        fundamentals(
            [
                ("SH600001", "2023-04-20", "2023-03-31", 0.10, 5.0),
                ("SH600001", "2024-03-28", "2023-12-31", 1.00, 6.0),
                ("SH600001", "2024-04-25", "2024-03-31", 0.30, 6.3),
                ("SH600001", "2024-08-25", "2024-06-30", 0.70, 6.7),
            ]
        ),
    )
    # After the first quarter: .30 + 1.00 - .10. After the second no half-year figure of 2023 is known.
    np.testing.assert_allclose(style.trailing_earnings(facts), [np.nan, 1.0, 1.2, 1.0])
    np.testing.assert_allclose(style.latest_book(facts), [5.0, 6.0, 6.3, 6.7])


def told_one_by_one(facts):
    """(earnings of four quarters, book value) after each announcement, by a plain walk."""
    year_so_far, earnings, book = {}, [], []
    value_of_newest, newest_day = np.nan, None
    for eps, value, period in zip(
        facts["eps_cny"], facts["book_value_per_share_cny"], facts["period"].tolist(), strict=True
    ):
        if not np.isnan(eps) and period is not None:
            year_so_far[period.year, (period.month - 1) // 3 + 1] = eps
        full_years = [year_so_far[key] for key in sorted(year_so_far) if key[1] == 4]
        found = full_years[-1] if full_years else np.nan
        if year_so_far:
            year, quarter = max(year_so_far)
            parts = [year_so_far.get(key, np.nan) for key in ((year - 1, 4), (year - 1, quarter))]
            if quarter == 4:
                found = year_so_far[year, 4]
            elif not np.isnan(parts).any():
                found = year_so_far[year, quarter] + parts[0] - parts[1]
        earnings.append(found)
        if not np.isnan(value) and (period is None or newest_day is None or period >= newest_day):
            value_of_newest, newest_day = value, newest_day if period is None else period
        book.append(value_of_newest)
    return earnings, book


@given(st.integers(0, 2**16), st.integers(1, 40))
def test_reports_read_at_once_tell_what_a_walk_through_them_tells(seed, count):
    rng = np.random.default_rng(seed)
    ends = np.arange("2019-01", "2023-01", 3, dtype="datetime64[M]").astype("datetime64[D]") - 1
    period = np.where(rng.random(count) < 0.1, np.datetime64("NaT"), rng.choice(ends, count))
    columns = {
        "code": rng.choice(["SH600001", "SH600002", "SZ000001"], count),
        "announced": np.datetime64("2019-06-03") + np.arange(count),
        "period": period,
        "eps_cny": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
        "book_value_per_share_cny": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
    }
    facts = make_facts("fundamentals", columns)
    earnings, book = style.trailing_earnings(facts), style.latest_book(facts)
    for code in np.unique(facts["code"]).tolist():
        rows = facts.rows_of(code)
        expected_earnings, expected_book = told_one_by_one(facts.take(rows))
        np.testing.assert_array_equal(earnings[rows], expected_earnings)
        np.testing.assert_array_equal(book[rows], expected_book)


def test_yields_use_only_what_was_announced_and_follow_the_share_count(tmp_path):
    store = ReferenceStore(Workspace(tmp_path))
    store.write(
        "fundamentals",
        fundamentals(
            [
                ("SH600001", "2024-03-28", "2023-12-31", 1.0, 6.0),
                ("SH600001", "2024-06-05", "2024-03-31", 9.0, 9.0),
            ]
        ),
    )
    days = ["2024-03-27", "2024-03-28", "2024-06-03", "2024-06-04"]
    # Ten for ten on the last session: twice the shares at half the price.
    panel = Panel.from_columns(
        ["SH600001"] * 4,
        days,
        {"close": np.full(4, 10.0), "raw_close": [10.0, 10, 10, 5], "total_shares": [1e8, 1e8, 1e8, 2e8]},
    )
    earnings, book = style.published_yields(panel, store)
    np.testing.assert_allclose(earnings, [np.nan, 0.1, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(book, [np.nan, 0.6, 0.6, 0.6], rtol=1e-6)


def test_value_goes_from_growth_to_deep_value_as_stocks_get_cheaper(practice_workspace):
    panel, reference = Panel.open(practice_workspace), ReferenceStore(practice_workspace)
    column = STYLES["style_value"].column(panel, reference, ConditionSettings())
    cheap = style.cheapness(panel, reference)
    rows = panel.rows_at(len(panel.sessions) - 1)
    assert set(column[rows]) >= {1, 2, 3, 4}
    assert np.nanmean(cheap[rows][column[rows] == 1]) < np.nanmean(cheap[rows][column[rows] == 4])
    fixed = STYLES["style_value"].column(panel, reference, THRESHOLD)[rows]
    assert ((style.book_to_price(panel, reference)[rows] >= 1) == (fixed == 4)).all()


def test_momentum_and_volatility_need_their_bars():
    days = np.arange("2024-01-01", "2024-04-30", dtype="datetime64[D]")
    panel = Panel.from_columns(["SH600001"] * len(days), days, {"close": 1.01 ** np.arange(len(days))})
    store = ReferenceStore(Workspace("."))
    momentum, volatility = style.momentum(panel, store), style.volatility(panel, store)
    assert np.isnan(momentum[:60]).all()
    np.testing.assert_allclose(momentum[60:], 1.01**60 - 1, rtol=1e-6)
    assert np.isnan(volatility[:40]).all()
    np.testing.assert_allclose(volatility[40:], 0, atol=1e-6)
