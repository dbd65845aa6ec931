import json

import numpy as np
import pytest

from financial_model.base.errors import CodeNotHeld, DamagedFile, MixedMarkets, WorkspaceBusy
from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore, describe
from tests.data.market_makers import CHINESE, index_walk, put, sessions, walk, write_csv

DATES = sessions(25)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def test_bars_come_back_equal_and_lie_where_the_design_says(workspace):
    store = put(workspace, walk("SH600000", DATES), index_walk(DATES))
    assert store.read("SH600000") == walk("SH600000", DATES)
    assert store.read("SH000300") == index_walk(DATES)
    assert store.codes() == ["SH600000"]
    assert store.index_codes() == ["SH000300"]
    text = (workspace.root / "full_stock_data/training_data/SH600000.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbfdate,open,high,low,close,volume,amount\n2018-01-02,")


def test_a_csv_that_a_user_put_there_is_read_as_well(workspace):
    bars = walk("SH600000", DATES)
    write_csv(
        workspace.bars_dir / "SH600000.csv", bars, encoding="gb18030", headers=CHINESE, date_format="slashes"
    )
    assert BarStore(workspace).read("SH600000") == bars


def test_a_code_that_is_not_held_is_named(workspace):
    with pytest.raises(CodeNotHeld, match="SH600001 is not in the store"):
        BarStore(workspace).read("SH600001")


def test_practice_and_real_bars_never_mix(workspace):
    store = put(workspace, walk("SH600000", DATES), simulated=True)
    assert store.is_simulated
    store.check_market(simulated=True)
    with pytest.raises(MixedMarkets, match=r"holds practice \(simulated\) bars; real ones"):
        store.check_market(simulated=False)


def test_metadata_is_merged_and_a_code_that_came_in_is_no_failure_any_more(workspace):
    store = put(workspace, walk("SH600000", DATES))
    store.update_metadata(simulated=False, codes={}, failures={"SZ000001": "no answer"}, server="a:7709")
    store.update_metadata(simulated=False, codes={"SZ000001": describe(walk("SZ000001", DATES), "tdx")})
    metadata = store.metadata()
    assert list(metadata["codes"]) == ["SH600000", "SZ000001"]
    assert metadata["failures"] == {}
    assert metadata["server"] == "a:7709"
    assert metadata["codes"]["SZ000001"]["count"] == 25
    assert metadata["codes"]["SZ000001"]["first"] == "2018-01-02"


def test_torn_metadata_is_named_with_its_path(workspace):
    store = put(workspace, walk("SH600000", DATES))
    workspace.metadata_path.write_text('{"codes": ')
    with pytest.raises(DamagedFile, match=r"metadata.json cannot be read"):
        store.metadata()
    for damaged in ([1], {"codes": []}, {"codes": {"SH600000": 1}}, {"failures": {"SH600000": None}}):
        workspace.metadata_path.write_text(json.dumps(damaged))
        with pytest.raises(DamagedFile, match="the bars stay"):
            store.metadata()


def test_a_second_writer_is_told_who_holds_the_store(workspace):
    store = BarStore(workspace)
    with store.locked("download"), pytest.raises(WorkspaceBusy, match="download"), store.locked("import"):
        pass


def test_set_aside_rows_are_added_and_kept_once(workspace):
    store, bars = BarStore(workspace), walk("SH600000", DATES)
    store.set_aside(bars.take(slice(0, 2)))
    store.set_aside(bars.take(slice(1, 3)))
    lines = store.set_aside_path("SH600000").read_text("utf-8-sig").splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("2018-01-02,")


def test_an_unwritten_amount_comes_back_as_unknown(workspace):
    bars = walk("SH600000", DATES)
    unknown = type(bars)(**(bars.columns() | {"code": "SH600000", "amount": np.full(len(bars), np.nan)}))
    assert put(workspace, unknown).read("SH600000") == unknown
