"""What blocks of stocks and sessions are worked out to is what each is worked out to alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base import threads
from financial_model.conditions import blocks
from financial_model.conditions.blocks import NO_FACT, each_row_in_force, each_session, each_stock
from financial_model.data.panel import Panel
from financial_model.data.reference_store import make_facts

FIRST = np.datetime64("2018-01-01", "D")


@pytest.fixture(autouse=True, params=[(1, 10**6), (2, 40), (3, 1)], ids=["one block", "some", "each alone"])
def cut(request, monkeypatch):
    """Cores and the cells of a block."""
    cores, cells = request.param
    monkeypatch.setattr(threads, "CORES", cores)
    monkeypatch.setattr(blocks, "BLOCK_CELLS", cells)


def make_panel(seed: int) -> Panel:
    """Some stocks, each trading on days of its own."""
    rng = np.random.default_rng(seed)
    codes, days = [], []
    for k in range(rng.integers(1, 7)):
        mine = np.flatnonzero(rng.random(30) < rng.choice([0.1, 0.6, 1.0]))
        mine = mine if len(mine) else np.array([int(rng.integers(30))])
        codes += [f"SH60000{k}"] * len(mine)
        days += [FIRST + int(day) for day in mine]
    return Panel.from_columns(codes, np.array(days), {"close": rng.random(len(codes)) + 1})


@given(seed=st.integers(0, 2**16))
def test_a_fact_is_in_force_from_its_first_session_on_as_of_each_stock_alone(seed):
    panel, rng = make_panel(seed), np.random.default_rng(seed + 1)
    count = int(rng.integers(0, 25))
    table = {
        "code": [f"SH60000{k}" for k in rng.integers(0, 9, count)],  # some of stocks that the panel lacks
        "announced": FIRST + rng.integers(-5, 36, count).astype("timedelta64[D]"),
        "eps_cny": rng.random(count),
    }
    facts = make_facts("fundamentals", table)
    held = np.full(len(panel), -9)
    since = np.full(len(panel), -9)

    def keep(rows, fact, row):
        held[rows] = fact
        since[rows] = row + rows.start

    each_row_in_force(panel, facts, facts["known_from"], keep)
    for code in panel.codes:
        rows, told = panel.rows_of(code), facts.rows_of(code)
        days = panel.sessions[panel.session_index[rows]]
        for position, day in enumerate(days):
            known = [k for k in range(told.start, told.stop) if facts["known_from"][k] <= day]
            assert held[rows.start + position] == (known[-1] if known else NO_FACT)
            if known:
                first = int(np.flatnonzero(days >= facts["known_from"][known[-1]])[0])
                assert since[rows.start + position] == rows.start + first


@given(seed=st.integers(0, 2**16))
def test_stocks_and_sessions_are_worked_out_as_if_alone(seed):
    panel = make_panel(seed)
    close = panel.column("close")
    total = each_stock(panel, ("close",), lambda table: np.cumsum(table, axis=1))
    for code in panel.codes:
        rows = panel.rows_of(code)
        np.testing.assert_array_equal(total[rows], np.cumsum(close[rows]).astype(np.float32))

    def above(one, other):
        return one - np.nanmin(other, axis=1, keepdims=True)

    found = each_session(panel, [close, 2 * close], above, np.empty(len(panel)))
    for position in range(len(panel.sessions)):
        rows = panel.rows_at(position)
        np.testing.assert_array_equal(found[rows], close[rows] - 2 * close[rows].min())
