import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.base.config import ImportSettings
from financial_model.base.errors import (
    MixedMarkets,
    NoBarsFound,
    NoFileNamedByCode,
    NothingUsable,
    PathNotFound,
    StopRequested,
)
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore
from financial_model.data.panel import CONDITIONS, UNKNOWN_ONLY, Panel
from financial_model.data.panel_builder import build_panel
from financial_model.data.reference_store import ReferenceStore
from financial_model.workflows.import_bars import import_bars
from tests.data.market_makers import (
    CHINESE,
    DATE_FORMATS,
    day_path,
    index_walk,
    markets,
    put,
    sessions,
    walk,
    write_csv,
    write_day,
)

DATES = sessions(30)
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def bring(path, workspace, **options):
    events = []
    result = import_bars(ImportSettings(str(path), **options), workspace, Progress(events.append))
    return result, [event for event in events if event["kind"] == "warning"]


def test_a_folder_of_csv_files_comes_in(workspace, source):
    bars = [walk(code, DATES) for code in ("SH600000", "SZ000001")]
    for one in bars:
        write_csv(source / f"{one.code}.csv", one)
    result, warnings = bring(source, workspace)
    assert (result["stocks"], result["indices"], result["bars"]) == (2, 0, 60)
    assert (result["failures"], result["quality"]) == ({}, {})
    assert [warning["key"] for warning in warnings] == ["import.unadjusted"]
    assert [BarStore(workspace).read(one.code) for one in bars] == bars
    metadata = BarStore(workspace).metadata()
    assert metadata["simulated"] is False
    assert metadata["codes"]["SH600000"]["source"] == "csv"
    json.dumps(result)


def test_a_vipdoc_folder_with_facts_beside_it_comes_in(workspace, source):
    for bars in (walk("SH600000", DATES), walk("BJ920001", DATES), index_walk(DATES)):
        write_day(day_path(source, bars.code), bars)
    facts = source / "reference"
    facts.mkdir()
    (facts / "corporate_actions.csv").write_text("code,date,cash_per_10\nSH600000,2018-01-10,1.5\n")
    (facts / "stock_list.csv").write_bytes("code,name\nSH600000,浦发银行\n".encode("gb18030"))
    result, _ = bring(source, workspace)
    assert (result["stocks"], result["indices"]) == (2, 1)
    assert result["facts"] == {"corporate_actions": 1, "stock_list": 1}
    assert ReferenceStore(workspace).read("stock_list")["name"].tolist() == ["浦发银行"]
    assert BarStore(workspace).read("SH000300") == index_walk(DATES)


@pytest.mark.parametrize("kind", ["csv", "vipdoc", "one file"])
def test_facts_in_a_reference_folder_beside_that_of_the_bars_come_in(workspace, source, kind):
    bars = walk("SH600000", DATES)
    folder = source / ("vipdoc" if kind == "vipdoc" else "csv")
    folder.mkdir()
    if kind == "vipdoc":
        write_day(day_path(folder, bars.code), bars)
    else:
        write_csv(folder / "SH600000.csv", bars)
    (source / "reference").mkdir()
    (source / "reference" / "corporate_actions.csv").write_text(
        "code,date,cash_per_10\nSH600000,2018-01-10,1.5\n"
    )
    result, warnings = bring(folder / "SH600000.csv" if kind == "one file" else folder, workspace)
    assert result["facts"] == {"corporate_actions": 1}
    assert (result["without_actions"], warnings) == (0, [])


def test_stocks_without_corporate_actions_are_said_to_stay_unadjusted(workspace, source):
    for code in ("SH600000", "SH600001", "SH600002"):
        write_csv(source / f"{code}.csv", walk(code, DATES))
    (source / "corporate_actions.csv").write_text("code,date,cash_per_10\nSH600000,2018-01-10,1.5\n")
    result, warnings = bring(source, workspace)
    assert result["without_actions"] == 2
    assert "2 of 3 stocks came in without corporate actions" in warnings[0]["message"]
    (source / "corporate_actions.csv").write_text(
        "code,date,cash_per_10\nSH600000,2018-01-10,1.5\nSH600001,2018-01-10,1.5\n"
    )
    assert bring(source, workspace)[1] == []


def test_a_table_of_facts_that_was_mended_or_left_out_is_no_failure_any_more(workspace, source):
    write_csv(source / "SH600000.csv", walk("SH600000", DATES))
    for name in ("corporate_actions", "industries"):
        (source / f"{name}.csv").write_text("code,date\nSH600000,soon\n")
    assert set(bring(source, workspace)[0]["failures"]) == {"corporate_actions.csv", "industries.csv"}
    store = BarStore(workspace)
    assert store.metadata()["failures"].keys() == {"corporate_actions.csv", "industries.csv"}
    (source / "corporate_actions.csv").write_text("code,date,cash_per_10\nSH600000,2018-01-10,1.5\n")
    (source / "industries.csv").unlink()
    bring(source, workspace)
    assert store.metadata()["failures"] == {}


def test_max_stocks_takes_the_first_by_code_and_every_index(workspace, source):
    for bars in (
        walk("SZ000001", DATES),
        walk("SH600001", DATES),
        walk("SH600000", DATES),
        index_walk(DATES),
    ):
        write_day(day_path(source, bars.code), bars)
    bring(source, workspace, max_stocks=2)
    assert BarStore(workspace).codes() == ["SH600000", "SH600001"]
    assert BarStore(workspace).index_codes() == ["SH000300"]


def test_one_bad_file_of_many_is_listed_and_the_others_are_taken(workspace, source):
    write_csv(source / "SH600000.csv", walk("SH600000", DATES))
    (source / "SH600001.csv").write_text("date,open,high,low,volume\n2018-01-02,1,1,1,1\n")
    (source / "SH600002.csv").write_text("date,open,high,low,close,volume\nsoon,1,1,1,1,1\n")
    (source / "notes.csv").write_text("hello\n")
    result, warnings = bring(source, workspace)
    assert BarStore(workspace).codes() == ["SH600000"]
    assert set(result["failures"]) == {"SH600001", "SH600002", "notes.csv"}
    assert "close not found" in result["failures"]["SH600001"]
    assert "found 'soon', expected a date" in result["failures"]["SH600002"]
    assert [warning["key"] for warning in warnings].count("import.left_out") == 3
    assert BarStore(workspace).metadata()["failures"].keys() == {"SH600001", "SH600002"}


def test_when_all_files_are_bad_the_import_fails_with_the_first_reasons(workspace, source):
    (source / "SH600001.csv").write_text("date,open,high,low,volume\n2018-01-02,1,1,1,1\n")
    with pytest.raises(NothingUsable, match=r"None of the 1 codes.*close not found"):
        bring(source, workspace)


def test_a_negative_price_is_set_aside_and_a_file_of_nothing_else_fails(workspace, source):
    bars = walk("SH600000", DATES)
    bad = bars.close.copy()
    bad[4] = -3.2
    write_csv(source / "SH600000.csv", replace(bars, close=bad))
    result, warnings = bring(source, workspace)
    assert result["quality"] == {"no_price": 1}
    assert result["set_aside"] == 1
    assert "set aside" in warnings[-1]["message"]
    assert BarStore(workspace).read("SH600000") == bars.take(np.arange(30) != 4)
    assert "-3.2" in BarStore(workspace).set_aside_path("SH600000").read_text()
    write_csv(source / "SH600000.csv", replace(bars, close=-bars.close))
    with pytest.raises(NothingUsable, match=r"2018-01-02: no_price \(open .*close -"):
        bring(source, workspace)
    assert len(BarStore(workspace).read("SH600000")) == 29


def test_an_empty_or_missing_folder_is_said_to_be_one(workspace, source):
    with pytest.raises(NoBarsFound, match="No bars in"):
        bring(source, workspace)
    with pytest.raises(PathNotFound, match="There is no file or folder"):
        bring(source / "nowhere", workspace)


@pytest.mark.parametrize("name", ["SH510300.csv", "all_stocks.csv", "510300.txt"])
def test_files_that_are_not_named_by_a_stock_are_told_with_what_to_do(workspace, source, name):
    write_csv(source / name, walk("SH600000", DATES))
    for path in (source, source / name):
        with pytest.raises(NoFileNamedByCode, match=f"{name}.*such as SH600000.csv.*Funds"):
            bring(path, workspace)


def test_importing_newer_bars_keeps_the_older_ones(workspace, source):
    whole = walk("SH600000", DATES)
    write_csv(source / "SH600000.csv", whole.take(slice(0, 20)))
    bring(source, workspace)
    write_csv(source / "SH600000.csv", whole.take(slice(15, 30)))
    bring(source, workspace)
    assert BarStore(workspace).read("SH600000") == whole


def test_a_bad_second_import_leaves_the_bars_of_the_first(workspace, source):
    write_csv(source / "SH600000.csv", walk("SH600000", DATES))
    bring(source, workspace)
    (source / "SH600000.csv").write_text("date,open,high,low,close,volume\n2018-01-02,1,x,1,1,1\n")
    write_csv(source / "SH600001.csv", walk("SH600001", DATES))
    result, _ = bring(source, workspace)
    assert set(result["failures"]) == {"SH600000"}
    assert BarStore(workspace).read("SH600000") == walk("SH600000", DATES)


def test_real_bars_are_not_added_to_a_practice_market(workspace, source):
    put(workspace, walk("SZ000001", DATES), simulated=True)
    write_csv(source / "SH600000.csv", walk("SH600000", DATES))
    with pytest.raises(MixedMarkets, match="Use another workspace"):
        bring(source, workspace)
    assert BarStore(workspace).codes() == ["SZ000001"]


def test_volumes_in_lots_are_told(workspace, source):
    write_csv(source / "SH600000.csv", walk("SH600000", DATES), lots=True)
    result, warnings = bring(source, workspace)
    assert result["volume_units"] == {"lots": 1}
    assert "1 in lots" in warnings[0]["message"]
    assert BarStore(workspace).read("SH600000") == walk("SH600000", DATES)


@pytest.mark.parametrize(("unit", "factor"), [(None, 1), ("shares", 1), ("lots", 100)])
def test_the_unit_of_volumes_without_amounts_is_the_one_asked_for_and_told(workspace, source, unit, factor):
    bars = walk("SH600000", DATES)
    rows = zip(bars.date, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    lines = [",".join(map(str, row)) for row in rows]
    (source / "SH600000.csv").write_text("trade_date,open,high,low,close,vol\n" + "\n".join(lines))
    events = []
    settings = ImportSettings(str(source), volume_unit=unit)
    result = import_bars(settings, workspace, Progress(events.append))
    np.testing.assert_allclose(BarStore(workspace).read("SH600000").volume, bars.volume * factor)
    assert result["volume_units"] == {unit or "assumed shares": 1}
    told = [event["key"] for event in events if event["kind"] == "warning"]
    assert ("import.volume_assumed" in told) == (unit is None)
    assert ("import.volume_units" in told) == (unit == "lots")


def test_a_bad_table_of_facts_is_listed_and_the_bars_are_taken(workspace, source):
    write_csv(source / "SH600000.csv", walk("SH600000", DATES))
    (source / "corporate_actions.csv").write_text("code,date\nSH600000,soon\n")
    result, _ = bring(source, workspace)
    assert "column date" in result["failures"]["corporate_actions.csv"]
    assert result["stocks"] == 1


def test_a_stop_keeps_what_came_in(workspace, source):
    for k in range(4):
        write_csv(source / f"SH60000{k}.csv", walk(f"SH60000{k}", DATES))
    asked = iter([False, True, True])
    with pytest.raises(StopRequested, match="2 of 4 codes"):
        import_bars(ImportSettings(str(source)), workspace, Progress(stop=lambda: next(asked)))
    assert BarStore(workspace).codes() == ["SH600000", "SH600001"]
    assert set(BarStore(workspace).metadata()["codes"]) == {"SH600000", "SH600001"}


@settings(max_examples=30, deadline=None)
@given(
    markets(),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]),
    st.sampled_from([None, CHINESE]),
    st.sampled_from(sorted(DATE_FORMATS)),
    st.sampled_from(["shares", "lots", "no amount", "day files"]),
)
def test_bars_that_go_in_come_out_of_the_panel(tmp_path_factory, market, encoding, headers, dates, kind):
    """import -> store -> panel: not a bar is lost or changed, whatever the file looked like."""
    bars, actions = market
    folder = tmp_path_factory.mktemp("market")
    for code, one in bars.items():
        if kind == "day files":
            write_day(day_path(folder / "source", code), one)
        else:
            path = folder / "source" / f"{code}.csv"
            options = {"encoding": encoding, "headers": headers, "date_format": dates}
            write_csv(path, one, lots=kind == "lots", amount=kind != "no amount", **options)
    lines = [",".join(map(str, row)) for row in actions]
    names = "code,date,cash_per_10,bonus_per_10,rights_per_10,rights_price"
    (folder / "source" / "corporate_actions.csv").write_text("\n".join([names, *lines]) + "\n")
    workspace = Workspace(folder / "workspace")
    result, _ = bring(folder / "source", workspace)
    assert result["set_aside"] == 0
    build_panel(
        workspace, lambda panel: {name: np.zeros(len(panel), np.int8) for name in CONDITIONS}, UNKNOWN_ONLY
    )
    panel = Panel.open(workspace)
    assert panel.codes == sorted(bars)
    for code, one in bars.items():
        stored = BarStore(workspace).read(code)
        expected = replace(one, amount=np.full(len(one), np.nan)) if kind == "no amount" else one
        assert stored == expected
        rows = panel.rows_of(code)
        np.testing.assert_array_equal(panel.column("date")[rows], one.date)
        np.testing.assert_array_equal(panel.column("raw_close")[rows], one.close)
        for name in ("open", "high", "low", "close"):
            raw = np.round(panel.column(name)[rows] / panel.column("factor")[rows], 2)
            np.testing.assert_array_equal(raw, getattr(one, name))


IMPORT = """
import sys
from financial_model.base.config import ImportSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.workflows.import_bars import import_bars
print("go", flush=True)
import_bars(ImportSettings(sys.argv[1]), Workspace(sys.argv[2]), Progress())
"""


@pytest.mark.parametrize("wanted", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_an_import_killed_at_any_moment_can_be_run_again(workspace, source, wanted):
    bars = [walk(f"SZ00{k:04}", sessions(400)) for k in range(1, 41)]
    for one in bars:
        write_day(day_path(source, one.code), one)
    rng = np.random.default_rng(0)
    command = [sys.executable, "-c", IMPORT, str(source), str(workspace.root)]
    killed = 0
    for _ in range(40 * wanted):  # an import that ended before its kill does not count
        if killed == wanted:
            break
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
        child.stdout.readline()
        try:
            child.wait(rng.uniform(0.02, 0.5))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            killed += 1
        child.stdout.close()
        store = BarStore(workspace)
        for code in store.codes():  # whatever is there is whole
            assert len(store.read(code)) == 400
        store.metadata()
    assert killed == wanted
    bring(source, workspace)
    assert [BarStore(workspace).read(one.code) for one in bars] == bars
    assert not list(workspace.stock_data_dir.rglob(".*.part"))
    assert len(BarStore(workspace).metadata()["codes"]) == 40


@pytest.mark.real_data
def test_the_real_set_comes_in_with_the_findings_of_the_report(real_data, workspace):
    result, _ = bring(real_data, workspace, max_stocks=40)
    assert (result["stocks"], result["indices"]) == (40, 17)
    assert result["failures"] == {}
    assert result["set_aside"] == 0
