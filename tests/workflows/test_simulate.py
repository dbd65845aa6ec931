import numpy as np
import pyarrow.parquet
import pytest

from financial_model.base.config import SimulateSettings
from financial_model.base.errors import MixedMarkets, StopRequested
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore
from financial_model.data.reference_store import KINDS, ReferenceStore
from financial_model.data.simulated_market import simulate_market
from financial_model.data.source import Bars
from financial_model.workflows.simulate import simulate

SETTINGS = SimulateSettings(stocks=12, sessions=320, seed=7)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


def test_a_practice_market_comes_out_of_the_store_as_it_was_drawn(workspace):
    result = simulate(SETTINGS, workspace, Progress())
    market, store = simulate_market(SETTINGS), BarStore(workspace)
    assert result["codes"] == 12
    assert result["simulated"] is True
    assert store.is_simulated
    assert store.codes() == market.codes
    assert store.index_codes() == sorted(market.indices)
    for code in (*market.codes, *market.indices):
        assert store.read(code) == market.bars(code)
    facts = ReferenceStore(workspace)
    for name in KINDS:
        assert len(facts.read(name)) == len(market.facts[name]["code"])


def test_the_oracle_lies_beside_the_bars_with_a_score_a_bar(workspace):
    result = simulate(SETTINGS, workspace, Progress())
    table = pyarrow.parquet.read_table(workspace.root / result["oracle"])
    market = simulate_market(SETTINGS)
    assert table.column_names == ["code", "as_of", "score"]
    assert table.num_rows == result["bars"] == np.isfinite(market.close).sum()
    row = table.slice(100, 1).to_pylist()[0]
    position = np.searchsorted(market.sessions, np.datetime64(row["as_of"]))
    assert row["score"] == pytest.approx(float(market.oracle[market.codes.index(row["code"]), position]))


def test_a_second_market_replaces_the_first_whole(workspace):
    simulate(SETTINGS, workspace, Progress())
    second = SimulateSettings(stocks=6, sessions=300, seed=8)
    simulate(second, workspace, Progress())
    store = BarStore(workspace)
    assert store.codes() == simulate_market(second).codes
    assert set(store.metadata()["codes"]) == {*store.codes(), *store.index_codes()}
    assert store.metadata()["simulation"] == second.to_json()


def test_practice_bars_never_join_real_ones(workspace):
    BarStore(workspace).write(Bars.of("SH600000", date=["2024-06-03"], close=[10.0]))
    with pytest.raises(MixedMarkets):
        simulate(SETTINGS, workspace, Progress())


def test_a_stop_ends_between_two_stocks(workspace):
    asked = iter([False, False, True])
    with pytest.raises(StopRequested):
        simulate(SETTINGS, workspace, Progress(stop=lambda: next(asked, True)))
    assert BarStore(workspace).is_simulated
