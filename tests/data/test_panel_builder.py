import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.base.errors import BadConditions, DamagedFile, NoBarsFound, StopRequested, WorkspaceBusy
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace, locked
from financial_model.data import panel_builder
from financial_model.data.bar_store import BarStore
from financial_model.data.panel import CONDITIONS, FLOAT_COLUMNS, UNKNOWN_ONLY, Panel
from financial_model.data.reference_store import ReferenceStore
from tests.data.market_makers import CODES, index_walk, markets, put, put_actions, sessions, walk, write_csv

DATES = sessions(40)


def nothing_known(panel):
    return {name: np.zeros(len(panel), np.int8) for name in CONDITIONS}


def build(workspace, conditions=nothing_known, vocabularies=UNKNOWN_ONLY, **options):
    return panel_builder.build_panel(workspace, conditions, vocabularies, **options)


def a_market(folder):
    workspace = Workspace(folder)
    put(workspace, *(walk(code, DATES[k:]) for k, code in enumerate(CODES)), index_walk(DATES))
    put_actions(
        workspace,
        ("SZ000001", str(DATES[20]), 1.0, 10.0, 0.0, 0.0),
        ("SH600000", str(DATES[9]), 2.0, 0.0, 0.0, 0.0),
    )
    ReferenceStore(workspace).write(
        "st_periods", {"code": ["SH600000"], "from": [str(DATES[5])], "to": [str(DATES[8])]}
    )
    ReferenceStore(workspace).write(
        "share_capital",
        {
            "code": ["SZ000001"] * 2,
            "date": ["2017-01-03", str(DATES[20])],
            "total_shares": [1e9, 2e9],
            "float_shares": [5e8, 1e9],
        },
    )
    return workspace


@pytest.fixture
def workspace(tmp_path):
    return a_market(tmp_path)


def every_column(panel):
    return {name: panel.column(name) for name in ("date", *panel.column_names)}


def assert_equal(one, other):
    assert one.codes == other.codes
    np.testing.assert_array_equal(one.sessions, other.sessions)
    np.testing.assert_array_equal(one.offsets, other.offsets)
    for name, values in every_column(one).items():
        np.testing.assert_array_equal(values, other.column(name), err_msg=name)
    for position in range(len(one.sessions)):
        np.testing.assert_array_equal(one.rows_at(position), other.rows_at(position))


def test_the_panel_holds_what_the_store_and_the_facts_say(workspace):
    result = build(workspace)
    panel = Panel.open(workspace)
    assert (result["stocks"], result["rows"], result["sessions"]) == (5, 190, 40)
    assert panel.codes == sorted(CODES)
    bars, rows = walk("SZ000001", DATES[2:]), panel.rows_of("SZ000001")
    np.testing.assert_array_equal(panel.column("raw_close")[rows], bars.close)
    np.testing.assert_array_equal(panel.column("date")[rows], bars.date)
    ex = 18  # session 20 of a stock that was listed at session 2
    reference = panel.column("reference_close")[rows]
    assert reference[ex] == np.floor((bars.close[ex - 1] - 0.1) / 2 * 100 + 0.5 + 1e-6) / 100
    assert panel.column("factor")[rows][ex] == bars.close[ex - 1] / reference[ex]
    np.testing.assert_allclose(panel.column("volume")[rows][ex:], bars.volume[ex:] / 2)
    assert panel.column("total_shares")[rows][[0, ex - 1, ex]].tolist() == [1e9, 1e9, 2e9]
    assert panel.column("is_st")[panel.rows_of("SH600000")][4:9].tolist() == [0, 1, 1, 1, 0]
    up = panel.column("limit_up")[panel.rows_of("SH600000")]
    before = walk("SH600000", DATES).close
    assert up[5] == np.floor(np.round(before[4] * 100) * 1.05 + 0.5) / 100
    assert np.isnan(up[0])
    assert panel.index_bars("SH000300") == index_walk(DATES)


def test_columns_are_views_of_the_map_without_a_copy(workspace):
    build(workspace)
    panel = Panel.open(workspace)
    close = panel.column("close")
    assert not close.flags.owndata
    assert not close.flags.writeable
    before = pa.total_allocated_bytes()
    for name in FLOAT_COLUMNS:
        panel.column(name)
    assert pa.total_allocated_bytes() == before


def test_torch_takes_a_column_without_a_copy(workspace):
    torch = pytest.importorskip("torch")
    build(workspace)
    close = Panel.open(workspace).column("close")
    with warnings.catch_warnings():  # torch says once a process that the map is not writable
        warnings.filterwarnings("ignore", message=".*not writable", category=UserWarning)
        tensor = torch.from_numpy(close)
    assert tensor.data_ptr() == close.ctypes.data


def test_any_program_with_arrow_reads_the_panel_as_it_is(workspace):
    words = dict.fromkeys(CONDITIONS, ("unknown", "known"))
    build(workspace, lambda panel: {name: np.ones(len(panel), np.int8) for name in CONDITIONS}, words)
    table = pa.ipc.open_file(workspace.panel_path).read_all()
    assert table.schema.field("code").type == pa.dictionary(pa.int32(), pa.string())
    assert table.schema.field("date").type == pa.date32()
    frame = table.to_pandas()
    assert frame.code.astype(str).is_monotonic_increasing
    assert frame.date.iloc[0] == DATES[CODES.index("BJ920001")].item()
    assert set(frame.industry) == {1}
    for name in ("open", "high", "low", "close", "raw_close", "volume", "amount"):
        assert table.schema.field(name).type == pa.float64()
        assert table[name].null_count == 0


def test_nothing_changed_means_nothing_written(workspace):
    build(workspace)
    files = {path: path.stat().st_mtime_ns for path in workspace.cache_dir.iterdir() if path.name != ".lock"}
    result = build(workspace, conditions=lambda panel: pytest.fail("computed"))
    assert result["changed"] is False
    assert (result["built"], result["copied"]) == (0, 5)
    assert files == {path: path.stat().st_mtime_ns for path in files}


def test_a_file_that_was_touched_but_not_changed_builds_nothing(workspace):
    build(workspace)
    os.utime(workspace.bars_dir / "SH600000.csv")
    assert build(workspace)["changed"] is False


def add_a_bar(workspace):
    put(workspace, walk("SH600000", sessions(41)))


def drop_a_stock(workspace):
    (workspace.bars_dir / "SZ300001.csv").unlink()


def add_a_stock(workspace):
    put(workspace, walk("SH601000", DATES[3:]))


def change_an_action(workspace):
    put_actions(
        workspace,
        ("SZ000001", str(DATES[20]), 2.0, 10.0, 0.0, 0.0),
        ("SH600000", str(DATES[9]), 2.0, 0.0, 0.0, 0.0),
    )


def change_the_index(workspace):
    put(workspace, index_walk(DATES[:-1]))


def change_nothing(workspace):
    pass


@pytest.mark.parametrize(
    ("change", "built", "copied"),
    [
        (add_a_bar, 1, 4),
        (drop_a_stock, 0, 4),
        (add_a_stock, 1, 5),
        (change_an_action, 1, 4),
        (change_the_index, 0, 5),
    ],
)
def test_only_what_changed_is_rebuilt_and_the_panel_is_as_if_built_anew(
    workspace, tmp_path, change, built, copied
):
    first = build(workspace)["fingerprint"]
    change(workspace)
    result = build(workspace)
    assert (result["built"], result["copied"]) == (built, copied)
    assert result["fingerprint"] != first
    panel = Panel.open(workspace)
    columns = {name: values.copy() for name, values in every_column(panel).items()}
    fresh = build(workspace, rebuild=True)
    assert fresh["fingerprint"] == result["fingerprint"]
    for name, values in every_column(Panel.open(workspace)).items():
        np.testing.assert_array_equal(values, columns[name], err_msg=name)
    assert len(list(workspace.cache_dir.glob("panel-*"))) == 2


def test_other_condition_settings_make_another_panel(workspace):
    first = build(workspace, conditions_key="rules")["fingerprint"]
    again = build(workspace, conditions_key="markov")
    assert again["fingerprint"] != first
    assert again["copied"] == 5


def tear(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    "damage",
    [
        lambda cache: tear(cache / "panel.arrow"),
        lambda cache: (cache / "panel.arrow").write_bytes(b""),
        lambda cache: (cache / "panel.arrow").unlink(),
        lambda cache: (cache / "panel.json").write_text("{"),
        lambda cache: (cache / "panel.json").write_text("[]"),
        lambda cache: (cache / "panel.json").unlink(),
        lambda cache: [path.unlink() for path in cache.glob("panel-*")],
        lambda cache: [tear(path) for path in cache.glob("panel-*")],
        lambda cache: (cache / "panel.json").write_text(
            (cache / "panel.json").read_text().replace("hermes-panel-2", "hermes-panel-0")
        ),
    ],
)
def test_a_torn_or_foreign_cache_is_noticed_and_rebuilt(workspace, tmp_path, damage):
    build(workspace)
    expected = {name: values.copy() for name, values in every_column(Panel.open(workspace)).items()}
    damage(workspace.cache_dir)
    result = build(workspace)
    assert result["changed"]
    for name, values in every_column(Panel.open(workspace)).items():
        np.testing.assert_array_equal(values, expected[name])


def test_a_torn_panel_is_refused_with_the_remedy(workspace):
    build(workspace)
    tear(workspace.panel_path)
    with pytest.raises(DamagedFile, match=r"build-panel --rebuild"):
        Panel.open(workspace)


@pytest.mark.parametrize("cut", [0, 1, 12, 25, 39])
def test_a_panel_of_a_truncated_store_equals_the_truncated_panel(workspace, tmp_path, cut):
    """Bars, actions and facts after the cut are taken away: no row up to it may differ."""
    build(workspace)
    panel, day = Panel.open(workspace).truncated(DATES[cut]), DATES[cut]
    earlier = Workspace(tmp_path / "earlier")
    store = BarStore(workspace)
    bars = [store.read(code).up_to(day) for code in (*CODES, "SH000300")]
    put(earlier, *(one for one in bars if len(one)))
    reference = ReferenceStore(workspace)
    for name in ("corporate_actions", "st_periods", "share_capital"):
        ReferenceStore(earlier).write(name, reference.as_of(name, day).columns)
    build(earlier)
    assert_equal(Panel.open(earlier), panel)


def test_rows_that_a_user_put_into_the_store_and_cannot_be_right_are_left_out_and_told(workspace):
    bars = walk("SH600000", DATES)
    bad = bars.close.copy()
    bad[7] = -1.0
    put(workspace, replace(bars, close=bad))
    path = workspace.bars_dir / "SZ000001.csv"
    path.write_text(path.read_text("utf-8-sig") + "\n\n")
    (workspace.bars_dir / "SZ300001.csv").write_text("date,open\n2018-01-02,1\n")
    result = build(workspace)
    assert "1 of 40 rows cannot be right" in result["failures"]["SH600000"]
    assert "SZ300001" in result["failures"]
    panel = Panel.open(workspace)
    assert "SZ300001" not in panel
    assert len(panel.column("close")[panel.rows_of("SH600000")]) == 39
    assert len(panel.column("close")[panel.rows_of("SZ000001")]) == 38
    again = build(workspace)
    assert again["changed"] is False
    assert again["failures"] == result["failures"]


@pytest.mark.parametrize("text", [b"", b"\0" * 99, b"code,name"], ids=["empty", "torn", "header"])
def test_a_file_of_one_line_that_is_no_table_is_told(workspace, text):
    (workspace.bars_dir / "SZ000001.csv").write_bytes(text)
    for _ in range(2):
        result = build(workspace)
        assert result["stocks"] == 4
        assert "SZ000001.csv, the header" in result["failures"]["SZ000001"]
    assert result["changed"] is False


def test_a_file_whose_lines_end_in_returns_alone_is_read(workspace):
    path = workspace.bars_dir / "SZ000001.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
    assert build(workspace)["failures"] == {}
    assert "SZ000001" in Panel.open(workspace)


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "2300-01-04", "9999-12-31"])
def test_a_day_that_no_panel_can_hold_costs_its_row_and_no_other(workspace, day):
    build(workspace)
    sessions = Panel.open(workspace).sessions
    path = workspace.bars_dir / "SZ000001.csv"
    header, *rows = path.read_text("utf-8-sig").splitlines()
    rows = sorted([*rows, f"{day},10,10.5,9.5,10,100,1000"])
    path.write_text("\n".join([header, *rows]) + "\n")
    assert build(workspace)["failures"] == {"SZ000001": "1 of 39 rows cannot be right; left out"}
    np.testing.assert_array_equal(Panel.open(workspace).sessions, sessions)


def test_an_empty_store_says_what_to_do(tmp_path):
    with pytest.raises(NoBarsFound, match="import or download"):
        build(Workspace(tmp_path))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"industry": np.zeros(3, np.int8)}, "has the shape"),
        ({"industry": np.full(190, 1, np.int8)}, "outside its 1 words"),
        ({"regime": None}, "was not computed"),
    ],
)
def test_conditions_that_do_not_fit_leave_the_old_panel_standing(workspace, values, told):
    first = build(workspace)["fingerprint"]

    def wrong(panel):
        made = nothing_known(panel) | values
        return {name: column for name, column in made.items() if column is not None}

    with pytest.raises(BadConditions, match=told):
        build(workspace, wrong, rebuild=True)
    assert Panel.open(workspace).fingerprint == first
    assert not list(workspace.cache_dir.glob("*.part"))


def test_conditions_see_a_panel_without_condition_columns(workspace):
    def look(panel):
        assert panel.conditions == ()
        assert "industry" not in panel.column_names
        assert len(panel.rows_at(39)) == 5
        assert np.isfinite(panel.column("close")).all()
        return nothing_known(panel)

    build(workspace, look)


def test_a_stop_leaves_the_old_panel_standing(tmp_path):
    workspace = Workspace(tmp_path)
    put(workspace, *(walk(f"SH6000{k:02}", DATES) for k in range(20)), index_walk(DATES))
    first = build(workspace)["fingerprint"]
    with pytest.raises(StopRequested, match="untouched"):
        build(workspace, rebuild=True, progress=Progress(stop=lambda: True))
    assert Panel.open(workspace).fingerprint == first


def test_two_builds_at_once_are_refused(workspace):
    with locked(workspace.cache_dir / ".lock", "someone", "x"), pytest.raises(WorkspaceBusy, match="someone"):
        build(workspace)


def test_a_reader_keeps_its_panel_while_a_new_one_is_put_in_place(workspace):
    build(workspace)
    old = Panel.open(workspace)
    close = old.column("close").copy()
    add_a_bar(workspace)
    build(workspace)
    np.testing.assert_array_equal(old.column("close"), close)
    assert len(Panel.open(workspace)) == len(old) + 1


def test_the_practice_market_is_marked_in_the_panel(tmp_path):
    workspace = Workspace(tmp_path)
    put(workspace, walk("SH600000", DATES), simulated=True)
    build(workspace)
    assert Panel.open(workspace).is_simulated


@settings(max_examples=25, deadline=None)
@given(markets(), st.sampled_from([1, 3]))
def test_no_bar_is_lost_or_changed_on_the_way_from_the_store_to_the_panel(tmp_path_factory, market, workers):
    bars, actions = market
    workspace = Workspace(tmp_path_factory.mktemp("market"))
    put(workspace, *bars.values())
    if actions:
        put_actions(workspace, *actions)
    build(workspace, workers=workers)
    panel = Panel.open(workspace)
    assert panel.codes == sorted(bars)
    for code, one in bars.items():
        rows = panel.rows_of(code)
        factor = panel.column("factor")[rows]
        np.testing.assert_array_equal(panel.column("date")[rows], one.date)
        np.testing.assert_array_equal(panel.column("raw_close")[rows], one.close)
        np.testing.assert_array_equal(panel.column("amount")[rows], one.amount)
        for name in ("open", "high", "low", "close"):
            back = np.round(panel.column(name)[rows] / factor, 2)
            np.testing.assert_array_equal(back, getattr(one, name))


KILLED = """
import sys
import numpy as np
from financial_model.base.workspace import Workspace
from financial_model.data.panel import CONDITIONS, UNKNOWN_ONLY
from financial_model.data.panel_builder import build_panel
print("go", flush=True)
while True:
    nothing_known = lambda panel: {name: np.zeros(len(panel), np.int8) for name in CONDITIONS}
    build_panel(Workspace(sys.argv[1]), nothing_known, UNKNOWN_ONLY, rebuild=True)
"""


@pytest.mark.parametrize("tries", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_a_build_killed_at_any_moment_leaves_a_whole_panel(workspace, tries):
    build(workspace)
    expected = Panel.open(workspace).column("close").copy()
    rng = np.random.default_rng(0)
    for _ in range(tries):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(workspace.root)], stdout=subprocess.PIPE, cwd=os.getcwd()
        )
        child.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(rng.uniform(0.0, 0.2))
        child.kill()
        child.wait()
        child.stdout.close()
        np.testing.assert_array_equal(Panel.open(workspace).column("close"), expected)
    build(workspace, rebuild=True)
    np.testing.assert_array_equal(Panel.open(workspace).column("close"), expected)
    assert not list(workspace.cache_dir.glob(".*.part"))


def test_a_csv_of_a_user_in_lots_reaches_the_panel_in_shares(tmp_path):
    workspace, bars = Workspace(tmp_path), walk("SH600000", DATES)
    write_csv(workspace.bars_dir / "SH600000.csv", bars, lots=True, headers={"volume": "成交量"})
    build(workspace)
    np.testing.assert_array_equal(Panel.open(workspace).column("volume"), bars.volume)
