"""Each rule on days that can be computed by hand; whole runs are rebuilt from their own trades."""

from datetime import date

import numpy as np
import pytest

from financial_model.base.config import BacktestSettings
from financial_model.evaluation.backtest import Action, Market, make_market, run_backtest, trade
from financial_model.evaluation.backtest_result import capacity, tell_backtest, universe_curve
from financial_model.evaluation.samples import Forecasts
from financial_model.market.codes import board_of

NAN = np.nan
# Main board in 2019: transfer .002 %, handling .00487 %, supervision .002 %; stamp duty .1 % for the seller.
BUY_RATE, SELL_RATE = 0.0000887, 0.0010887


def make_market_of(
    close, score, *, codes=None, first="2019-06-03", actions=None, delisted=None, **columns
) -> Market:
    """A market of (stocks, sessions) lists; limits are free, opens are closes, unless told otherwise."""
    close = np.array(close, float).T
    sessions = np.busday_offset(first, np.arange(len(close)), roll="forward").astype("datetime64[D]")
    codes = codes or [f"SH60000{k}" for k in range(close.shape[1])]
    boards = [board_of(code) for code in codes]
    free = np.full(close.shape, NAN)
    dense = {"open": close, "limit_up": free, "limit_down": free, "amount": close * 1e6}
    dense |= {name: np.array(values, float).T for name, values in columns.items()}
    found = [[] for _ in sessions]
    for session, code, action in actions or []:
        found[session].append((code, action))
    gone = np.array(delisted if delisted is not None else [len(sessions)] * len(codes))
    return Market(
        sessions=sessions, codes=codes, boards=boards, close=close, score=np.array(score, float).T,
        actions=found, delisted=gone, **dense,
    )  # fmt: skip


def make_settings(**changes):
    values = {"checkpoint": "x", "top": 1, "drop": 1, "cash_cny": 100_000.0, "commission_rate": 0.0003}
    return BacktestSettings(**(values | {"slippage_rate": 0.0} | changes))


def test_a_round_trip_by_hand():
    # Bought at 10 after the score of day 0, sold at 11 after that of day 1, when the other stock is better.
    market = make_market_of([[9, 10, 11], [5, 5, 5]], [[2, 1, 1], [1, 2, 2]])
    run = trade(market, make_settings())
    first, sale, second = run.trades
    # 100,000 / (10 * (1 + .0003 + .0000887)) = 9,996.1 shares: 99 lots
    assert (first.session, first.code, first.shares, first.price) == (1, 0, 9900, 10.0)
    assert first.commission == pytest.approx(29.70)
    assert first.exchange_fees == pytest.approx(99_000 * BUY_RATE)
    assert (sale.session, sale.shares, sale.price) == (2, -9900, 11.0)
    assert sale.commission == pytest.approx(32.67)
    assert sale.exchange_fees == pytest.approx(108_900 * SELL_RATE)
    after_sale = 100_000 - 99_000 - 29.70 - 99_000 * BUY_RATE + 108_900 - 32.67 - 108_900 * SELL_RATE
    assert second.code == 1
    assert second.shares == int(after_sale / (5 * (1 + 0.0003 + BUY_RATE)) / 100) * 100
    assert run.cash[2] == pytest.approx(after_sale - second.amount - second.fees)
    assert run.equity[1] == pytest.approx(100_000 - 29.70 - 99_000 * BUY_RATE)


def test_an_order_at_the_open_is_filled_at_the_raw_open():
    market = make_market_of([[9, 10, 11]], [[1, 1, 1]], open=[[9, 9.5, 10.5]])
    assert trade(market, make_settings(order_price="open")).trades[0].price == 9.5
    assert trade(market, make_settings(order_price="close")).trades[0].price == 10.0


def test_slippage_is_paid_on_both_sides_and_never_passes_the_limit():
    close, score = [[10, 10, 10], [5, 5, 5]], [[2, 1, 1], [1, 2, 2]]
    free = trade(make_market_of(close, score), make_settings(slippage_rate=0.01))
    assert [round(one.price, 6) for one in free.trades] == [10.1, 9.9, 5.05]
    near = make_market_of(
        close, score, limit_up=[[11, 10.05, 11], [9, 9, 9]], limit_down=[[9, 9, 9.95], [1, 1, 1]]
    )
    bounded = trade(near, make_settings(slippage_rate=0.01))
    assert [round(one.price, 6) for one in bounded.trades] == [10.05, 9.95, 5.05]


def test_nobody_buys_at_limit_up_and_the_cash_waits():
    market = make_market_of([[10, 11, 11]], [[1, 1, 1]], limit_up=[[NAN, 11.0, 12.1]])
    run = trade(market, make_settings())
    assert run.blocked["limit_up"] == 1
    assert run.trades[0].session == 2
    assert run.cash[1] == 100_000


def test_nobody_sells_at_limit_down_and_the_loss_is_taken():
    market = make_market_of(
        [[10, 10, 9, 8.1], [5, 5, 5, 5]], [[2, 1, 1, 1], [1, 2, 2, 2]], limit_down=[[NAN, 9, 9, 8.0], [1] * 4]
    )
    run = trade(market, make_settings())
    assert run.blocked["limit_down"] == 1
    assert [(one.session, one.price) for one in run.trades if one.shares < 0] == [(3, 8.1)]


def test_a_suspended_stock_is_neither_bought_nor_sold_and_keeps_its_last_close():
    market = make_market_of([[10, 10, NAN, 12], [5, 5, 5, 5]], [[2, 1, NAN, 1], [1, 2, 2, 2]])
    run = trade(market, make_settings())
    assert run.blocked["suspended"] == 1
    assert run.positions[2] == run.positions[1] == 99_000
    assert [(one.session, one.price) for one in run.trades if one.shares < 0] == [(3, 12.0)]


def test_a_stock_is_sold_at_the_earliest_the_session_after_it_was_bought():
    rng = np.random.default_rng(0)
    market = make_market_of(rng.uniform(5, 20, (6, 40)), rng.normal(size=(6, 40)))
    run = trade(market, make_settings(top=2, drop=2))
    bought = {}
    for one in run.trades:
        if one.shares > 0:
            bought[one.code] = one.session
        else:
            assert one.session > bought[one.code]
    assert sum(one.shares < 0 for one in run.trades) > 20


def test_a_position_is_held_for_the_holding_period():
    rng = np.random.default_rng(0)
    market = make_market_of(rng.uniform(5, 20, (6, 40)), rng.normal(size=(6, 40)))
    run = trade(market, make_settings(top=2, drop=2, holding=7))
    bought = {}
    for one in run.trades:
        if one.shares > 0:
            bought[one.code] = one.session
        else:
            assert one.session - bought[one.code] >= 7


def test_at_most_drop_stocks_are_replaced_a_session():
    rng = np.random.default_rng(1)
    market = make_market_of(rng.uniform(5, 20, (30, 30)), rng.normal(size=(30, 30)))
    run = trade(market, make_settings(top=10, drop=3, cash_cny=1e6))
    for session in range(2, 30):
        assert sum(one.session == session and one.shares < 0 for one in run.trades) <= 3
    assert set(run.held[1:].tolist()) == {10}


def test_the_worst_of_the_held_and_the_best_of_the_others_change_places():
    # Top 2 of 4 hold A and B; then C passes B, and D stays last.
    close = [[10] * 3, [10] * 3, [10] * 3, [10] * 3]
    score = [[4, 4, 4], [3, 2, 2], [2, 3, 3], [1, 1, 1]]
    run = trade(make_market_of(close, score), make_settings(top=2))
    assert [(one.session, one.code, one.shares > 0) for one in run.trades] == [
        (1, 0, True), (1, 1, True), (2, 1, False), (2, 2, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "price", "cash", "shares"),
    [
        ("SH600000", 10.0, 10_000.0, 900),  # lots of 100, fees included
        ("SH688001", 33.0, 10_000.0, 302),  # 200, then by 1
        ("SH688001", 60.0, 10_000.0, 0),  # 166 shares are below 200
        ("BJ920001", 60.0, 10_000.0, 166),  # 100, then by 1
    ],
)
def test_lots_of_each_board(code, price, cash, shares):
    market = make_market_of([[price, price]], [[1, 1]], codes=[code], first="2024-06-03")
    run = trade(market, make_settings(cash_cny=cash))
    assert sum(one.shares for one in run.trades) == shares
    assert (run.blocked["no_cash"] == 1) is (shares == 0)


def test_an_order_pays_at_least_five_yuan():
    market = make_market_of([[10, 10]], [[1, 1]])
    assert trade(market, make_settings(cash_cny=10_000.0)).trades[0].commission == 5.0


@pytest.mark.parametrize(
    ("first", "seller"), [("2019-06-03", 0.0010887), ("2023-08-24", 0.0010787), ("2023-08-28", 0.0005641)]
)
def test_fees_are_those_of_the_day(first, seller):
    market = make_market_of([[10, 10, 10], [5, 5, 5]], [[2, 1, 1], [1, 2, 2]], first=first)
    run = trade(market, make_settings())
    sale = next(one for one in run.trades if one.shares < 0)
    expected = 0.0005641 if sale.session and str(market.sessions[sale.session]) >= "2023-08-28" else seller
    assert sale.exchange_fees == pytest.approx(-sale.amount * expected, rel=1e-6)


def test_a_cash_dividend_is_credited_on_the_ex_date_and_taxed_at_the_sale():
    # 1 CNY a share on session 2, sold within the month: 20 %.
    market = make_market_of(
        [[10, 10, 9, 9], [5, 5, 5, 5]], [[2, 2, 1, 1], [1, 1, 2, 2]], actions=[(2, 0, Action(1.0, 0, 0, 0))]
    )
    run = trade(market, make_settings())
    bought, sold = run.trades[0], run.trades[1]
    assert run.cash[2] - run.cash[1] == pytest.approx(9900.0)
    assert run.equity[2] == pytest.approx(run.equity[1])
    assert sold.dividend_tax == pytest.approx(0.2 * 9900)
    assert bought.dividend_tax == 0


def test_bonus_shares_are_credited_and_the_worth_stays_over_a_suspended_ex_date():
    # Ten for ten on session 2, when the stock is suspended; it comes back at half the price.
    market = make_market_of([[10, 10, NAN, 5]], [[1, 1, NAN, 1]], actions=[(2, 0, Action(0, 1.0, 0, 0))])
    run = trade(market, make_settings())
    assert run.income[0].shares == 9900
    assert run.positions.tolist() == [0, 99_000, 99_000, 99_000]


@pytest.mark.parametrize(("kept", "left"), [(0.1, 90), (0.101, 90), (0.5, 450)])
def test_a_consolidation_leaves_the_whole_shares_of_what_it_keeps(kept, left):
    # 900 shares, ten for one: 900 - 810 = 90; where 90.9 are due, the fraction is lost as well.
    market = make_market_of([[10, 10, 10 / kept]], [[1] * 3], actions=[(2, 0, Action(0, kept - 1, 0, 0))])
    run = trade(market, make_settings(cash_cny=10_000.0))
    assert run.trades[0].shares == 900
    assert 900 + run.income[0].shares == left


def test_rights_are_taken_up_where_the_cash_allows():
    # Three for ten at 4 CNY cost 11,880 CNY for 9,900 shares; cash is left only where half the purse waits.
    market = make_market_of(
        [[10, 10, 8.5], [5, NAN, 5]], [[2, 2, 2], [1, 1, 1]], actions=[(2, 0, Action(0, 0, 0.3, 4.0))]
    )
    rich = trade(market, make_settings(top=2, drop=0, cash_cny=200_000.0))
    assert (rich.income[0].shares, rich.income[0].cash) == (2970, -11_880.0)
    poor = trade(market, make_settings())
    assert (poor.income[0].shares, poor.income[0].cash) == (0, 0.0)


def test_what_is_held_at_a_delisting_is_written_off():
    market = make_market_of([[10, 10, 10, NAN]], [[1, 1, 1, NAN]], delisted=[3])
    run = trade(market, make_settings())
    assert run.write_offs == 99_000
    assert run.positions[3] == 0.0
    assert run.equity[3] < 1_000


def make_panel_and_forecasts(makers, stocks=30, sessions=150, seed=3):
    rng = np.random.default_rng(seed)
    raw = np.round(10 * np.exp(np.cumsum(rng.normal(0, 0.02, (stocks, sessions)), axis=1)), 2)
    raw[rng.random(raw.shape) < 0.03] = NAN
    factor = np.ones(raw.shape)
    reference = np.round(np.roll(np.where(np.isnan(raw), 10, raw), 1, axis=1), 2)
    panel = makers.MadePanel(
        raw * factor, raw_close=raw, factor=factor, open=raw,
        limit_up=np.round(reference * 1.1, 2), limit_down=np.round(reference * 0.9, 2),
        index_close=3000 * np.exp(np.cumsum(rng.normal(0, 0.01, sessions))),
    )  # fmt: skip
    row = np.flatnonzero((panel.session_index >= 20) & (panel.session_index < sessions - 1))
    days = rng.choice(panel.sessions[25:140], 80, replace=False)
    actions = {
        "code": rng.choice(panel.codes, 80), "date": days, "cash_per_10": rng.uniform(0, 3, 80),
        "bonus_per_10": rng.choice([0.0, 3.0, 10.0], 80), "rights_per_10": rng.choice([0.0, 0.0, 2.0], 80),
        "rights_price": np.full(80, 5.0),
    }  # fmt: skip
    return panel, Forecasts(row, rng.normal(size=len(row)), None), actions


def test_cash_and_positions_rebuilt_from_the_trades_give_the_equity_of_every_session(makers):
    panel, forecasts, actions = make_panel_and_forecasts(makers)
    settings = make_settings(top=8, drop=2, cash_cny=500_000.0, slippage_rate=0.001)
    run = run_backtest(forecasts, panel, settings, actions=actions)
    assert len(run.income) > 3
    cash, shares, last = 500_000.0, np.zeros(30), np.zeros(30)
    for session in range(len(run.sessions)):
        for one in (one for one in run.income if one.session == session):
            cash += one.cash
            # The carried price of a suspended stock goes ex with its dividend and new shares.
            last[one.code] = (shares[one.code] * last[one.code] - one.cash) / (shares[one.code] + one.shares)
            shares[one.code] += one.shares
        for one in (one for one in run.trades if one.session == session):
            cash -= one.shares * one.price + one.commission + one.exchange_fees + one.dividend_tax
            shares[one.code] += one.shares
        close = run.market.close[session]
        last = np.where(np.isfinite(close), close, last)
        assert (shares >= 0).all()
        assert run.cash[session] == pytest.approx(cash)
        assert run.equity[session] == pytest.approx(cash + shares @ last)


def test_a_run_reads_nothing_after_each_session(makers):
    panel, forecasts, actions = make_panel_and_forecasts(makers)
    settings = make_settings(top=8, drop=2, cash_cny=500_000.0)
    whole = run_backtest(forecasts, panel, settings, actions=actions)
    early = forecasts.only(panel.session_index[forecasts.row] < 80)
    part = run_backtest(early, panel, settings, actions=actions)
    count = len(part.sessions)
    np.testing.assert_array_equal(whole.equity[:count], part.equity)


def test_the_same_run_twice_is_the_same(makers):
    panel, forecasts, actions = make_panel_and_forecasts(makers)
    settings = make_settings(top=8, drop=2)
    results = [
        tell_backtest(run_backtest(forecasts, panel, settings, actions=actions), panel, settings, "x")
        for _ in "ab"
    ]
    assert results[0] == results[1]


def test_the_told_result_agrees_with_the_run(makers):
    panel, forecasts, actions = make_panel_and_forecasts(makers)
    settings = make_settings(top=8, drop=2, cash_cny=500_000.0, slippage_rate=0.001)
    run = run_backtest(forecasts, panel, settings, actions=actions)
    told = tell_backtest(run, panel, settings, "x")
    assert told["summary"]["portfolio"]["total"] == pytest.approx(run.equity[-1] / 500_000 - 1)
    assert told["curve"]["drawdown"] == pytest.approx(
        (run.equity / np.maximum.accumulate(run.equity) - 1).tolist(), abs=1e-6
    )
    index = panel.index_bars("SH000300").close[20:]
    assert told["curve"]["index"] == pytest.approx((index / index[0]).tolist(), abs=1e-6)
    assert told["orders"]["bought"] == sum(one.shares > 0 for one in run.trades)
    assert told["costs"]["total"] == pytest.approx(sum(one.fees for one in run.trades) + run.slippage)
    assert sum(row["sessions"] for row in told["by_year"]) == told["session_count"]


def test_the_pool_holds_what_was_scored_before_and_waits_out_suspensions(makers):
    panel = makers.MadePanel([[10, 11, 11, 11, 11], [10, NAN, NAN, 15, 18], [10, 20, 20, 22, NAN]])
    score = [[1, NAN, NAN, NAN, NAN], [1, NAN, NAN, NAN, NAN], [NAN, NAN, 1, NAN, NAN]]
    market = make_market_of(
        [[10] * 5] * 3, score, codes=panel.codes, first=panel.sessions[0], delisted=[5, 5, 4]
    )
    run = trade(market, make_settings())
    # 10 % and a suspended one; nothing; 0, 50 % over the suspension and 10 % of the newly scored;
    # 20 % of one of two, the third being delisted.
    expected = np.cumprod([1, 1 + 0.1 / 2, 1, 1 + 0.6 / 3, 1 + 0.2 / 2])
    np.testing.assert_allclose(universe_curve(run, panel), expected)


def test_the_pool_of_a_session_does_not_hang_on_later_scores(makers):
    panel, forecasts, _ = make_panel_and_forecasts(makers)
    late = forecasts.only((panel.code_index[forecasts.row] > 9) | (panel.session_index[forecasts.row] > 90))
    whole, part = (
        universe_curve(trade(make_market(one, panel), make_settings()), panel)
        for one in (late, late.only(panel.session_index[late.row] < 80))
    )
    np.testing.assert_array_equal(whole[: len(part)], part)


def test_capacity_is_the_purse_at_which_orders_are_a_twentieth_of_the_turnover():
    market = make_market_of([[10, 10]], [[1, 1]], amount=[[1e6, 1e6]])
    settings = make_settings()
    hint = capacity(trade(market, settings), settings)
    assert hint["median"] == pytest.approx(0.099)
    assert hint["purse_cny"] == pytest.approx(100_000 * 0.05 / 0.099)


def test_raw_prices_come_back_from_adjusted_ones_to_the_tick(makers):
    panel = makers.MadePanel(
        [[10.0, 11.0]], factor=[[1.237, 1.237]], raw_close=[[8.08, 8.89]], open=[[9.8, 10.7]]
    )
    market = make_market(Forecasts(np.array([0]), np.array([1.0]), None), panel)
    assert market.open[:, 0].tolist() == [7.92, 8.65]
    assert market.close[:, 0].tolist() == [8.08, 8.89]


def test_an_action_on_a_holiday_shows_on_the_next_session(makers):
    panel = makers.MadePanel([[10.0] * 10])
    saturday = np.datetime64("2018-01-06")
    actions = {
        "code": np.array([panel.codes[0]]), "date": np.array([saturday]), "cash_per_10": np.array([5.0]),
        "bonus_per_10": np.array([NAN]), "rights_per_10": np.array([0.0]), "rights_price": np.array([0.0]),
    }  # fmt: skip
    market = make_market(Forecasts(np.arange(9), np.ones(9), None), panel, actions)
    monday = int(np.searchsorted(market.sessions, np.datetime64("2018-01-08")))
    assert market.actions[monday] == [(0, Action(0.5, 0.0, 0.0, 0.0))]


def test_delistings_come_from_the_stock_list(makers):
    panel = makers.MadePanel([[10.0] * 10, [10.0] * 10])
    stocks = {"code": np.array(panel.codes), "delist_date": np.array(["NaT", "2018-01-08"], "datetime64[D]")}
    market = make_market(Forecasts(np.arange(9), np.ones(9), None), panel, None, stocks)
    assert market.delisted.tolist() == [10, 5]
    assert date(2018, 1, 8) == market.sessions[5].astype(date)


def test_random_scores_without_free_money_are_called_chance(makers):
    panel, forecasts, _ = make_panel_and_forecasts(makers)
    settings = make_settings(top=8, drop=2, cash_cny=500_000.0)
    told = tell_backtest(run_backtest(forecasts, panel, settings), panel, settings, "x")
    assert "indistinguishable from chance" in told["headline"]["en"]
    assert "与随机无法区分" in told["headline"]["zh"]
