"""The download against a server of ours that misbehaves: every bar, once, under its own code."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from financial_model.base.config import DownloadSettings
from financial_model.base.errors import (
    BadTable,
    FinancialModelError,
    MixedMarkets,
    NoServerAnswers,
    NothingToRetry,
    StopRequested,
    UnknownCode,
    WorkspaceBusy,
)
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace, read_json, write_json
from financial_model.data.bar_store import BarStore
from financial_model.data.quality import QualityReport
from financial_model.data.reference_store import ReferenceStore
from financial_model.data.source import Bars
from financial_model.data.tdx_client import Patience
from financial_model.workflows.download import chosen_stocks, download, server_health
from tests.data.fake_tdx_server import FAULTS, INDICES, FakeMarket, FakeTdxServer, nobody

REPOSITORY = Path(__file__).resolve().parents[2]
QUALITY_FILES = ("quality.csv", "quality.json")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
# Where every question is answered, late on a busy machine, a call may take its time; QUICK is for silence.
PATIENT = Patience(
    connect_s=10.0,
    call_s=20.0,
    backoff_s=0.003,
    longest_backoff_s=0.03,
    rest_s=0.05,
    longest_rest_s=0.3,
    give_up_s=60.0,
)
QUICK = replace(PATIENT, call_s=0.4)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def run(
    server, workspace, stocks=1000, events=None, stop=lambda: False, now=NOW, patience=PATIENT, **settings
):
    addresses = tuple(s.address for s in (server if isinstance(server, list) else [server]))
    asked = DownloadSettings(**({"stocks": stocks, "servers": addresses} | settings))
    sinks = [events.append] if events is not None else []
    return download(asked, workspace, Progress(*sinks, stop=stop), patience=patience, now=now)


def differences(market, workspace, codes=None):
    """What is on disk and not as the market has it; stocks and indices, every column, to the bit."""
    store, wrong = BarStore(workspace), []
    for code in codes or [*market.codes, *INDICES]:
        truth = market.visible(code)
        if code not in store:
            wrong.append(f"{code} is missing")
            continue
        bars = store.read(code)
        unit = 1e4 if code in INDICES else 100.0
        same = np.array_equal(bars.date, truth["date"]) and all(
            np.array_equal(getattr(bars, name), truth[name] / 1000)
            for name in ("open", "high", "low", "close")
        )
        same = same and np.array_equal(bars.volume, truth["volume"].astype(float) * unit)
        if not (same and np.array_equal(bars.amount, truth["amount"].astype(float))):
            wrong.append(f"{code}: {len(bars)} bars, {len(truth['date'])} served")
    return wrong


def files_of(workspace):
    """Every file of the store but metadata.json and the lock, by name."""
    folder = workspace.stock_data_dir
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("metadata.json", ".lock")
    }


# ---------------------------------------------------------------------- a quiet server


def test_a_download_brings_every_bar_and_every_fact(workspace):
    market, events = FakeMarket(stock_count=15, session_count=900), []
    with FakeTdxServer(market) as server:
        result = run(server, workspace, events=events)
    assert differences(market, workspace) == []
    assert (result["new"], result["failed"], result["indices"]) == (15, 0, sorted(INDICES))
    facts = ReferenceStore(workspace)
    names = facts.read("stock_list")
    assert set(names["code"].tolist()) == set(market.codes)
    assert "A截断名" in names["name"].tolist()
    assert set(facts.read("industries")["industry"].tolist()) == {"煤炭", "电子", "银行", "食品饮料"}
    assert set(facts.read("industries")["updated"].astype(str).tolist()) == {"2030-01-01"}
    action = facts.read("corporate_actions").of(market.codes[0])
    assert action["cash_per_10"].tolist() == [0.2]
    assert facts.read("share_capital").of(market.codes[0])["total_shares"].tolist() == [1e8, 1.5e8]
    assert facts.read("fundamentals").of(market.codes[0])["net_assets_cny"].tolist() == [207_739_008_000.0]
    last = [event for event in events if event["kind"] == "progress"][-1]
    assert (last["done"], last["total"], last["unit"], last["failed"]) == (15, 15, "stocks", 0)
    assert {"bars", "bytes", "bars_per_s", "left_s", "detail"} <= last.keys()
    assert {"address", "state", "latency_ms", "bars"} <= last["servers"][0].keys()
    entry = read_json(workspace.metadata_path)["codes"][market.codes[0]]
    assert (entry["source"], entry["server"], entry["checked"]) == (
        "tdx",
        server.address,
        str(market.sessions[-1]),
    )


def test_a_delisted_stock_that_still_answers_stays_in_the_universe(workspace):
    market = FakeMarket(stock_count=12, session_count=300)
    with FakeTdxServer(market) as server:
        run(server, workspace)
    assert differences(market, workspace, market.delisted) == []


def test_bonds_funds_and_indices_of_the_lists_are_no_stocks(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    with FakeTdxServer(market) as server:
        run(server, workspace)
    assert BarStore(workspace).codes() == sorted(market.codes)


def test_a_repeated_run_asks_for_no_stock_again(workspace):
    market = FakeMarket(stock_count=7, session_count=300)
    with FakeTdxServer(market) as server:
        run(server, workspace)
        before = files_of(workspace)
        server.asked_bars.clear()
        result = run(server, workspace)
    assert (result["current"], result["new"], result["bars"]) == (7, 0, 0)
    assert not {code for code, *_ in server.asked_bars} & set(market.codes[1:])
    assert files_of(workspace) == before


def test_an_update_appends_new_sessions_and_asks_for_a_short_overlap_alone(workspace):
    market = FakeMarket(stock_count=8, session_count=1500)
    market.through = 1480
    with FakeTdxServer(market) as server:
        run(server, workspace)
        market.through = 1500
        server.asked_bars.clear()
        result = run(server, workspace)
    assert differences(market, workspace) == []
    assert (result["updated"], result["new"], result["failed"], result["revisions"]) == (8, 0, 0, [])
    asked = [count for code, _, count in server.asked_bars if code in market.codes[1:]]
    assert max(asked) < 60


def test_a_revision_keeps_both_versions_and_is_reported(workspace):
    market = FakeMarket(stock_count=7, session_count=400)
    market.through = 390
    code = market.codes[0]
    with FakeTdxServer(market) as server:
        run(server, workspace)
        old = BarStore(workspace).read(code).close[385]
        market.revise(code, 385, 77_770)
        market.through = 400
        result = run(server, workspace)
    assert differences(market, workspace) == []
    assert [(row["code"], row["sessions"]) for row in result["revisions"]] == [(code, 1)]
    lines = (workspace.root / result["revisions"][0]["file"]).read_text("utf-8-sig").splitlines()
    assert lines[0] == "noticed,version,date,open,high,low,close,volume,amount"
    assert [line.split(",")[1].strip('"') for line in lines[1:]] == ["held", "served"]
    assert float(lines[1].split(",")[6]) == old
    assert float(lines[2].split(",")[6]) == 77.77


def test_the_start_date_limits_the_history_and_an_earlier_one_extends_it(workspace):
    market = FakeMarket(stock_count=7, session_count=700)
    first = market.sessions[500]
    with FakeTdxServer(market) as server:
        run(server, workspace, start=first.astype(object))
        code = market.codes[0]
        assert BarStore(workspace).read(code).date[0] == first
        run(server, workspace)
    assert differences(market, workspace) == []


def test_a_bar_of_a_session_that_still_trades_is_not_kept(workspace):
    market = FakeMarket(stock_count=7, session_count=300)
    last = market.sessions[-1].astype(object)
    noon = datetime(last.year, last.month, last.day, 4, 0, tzinfo=UTC)
    with FakeTdxServer(market) as server:
        result = run(server, workspace, now=noon)
        assert result["last_session"] == str(market.sessions[-2])
        evening = noon.replace(hour=9)
        run(server, workspace, now=evening)
    assert differences(market, workspace) == []


def test_a_choice_of_stocks_is_repeatable_and_part_of_any_larger_one(workspace):
    codes = FakeMarket(stock_count=70, session_count=20).codes
    few, more = chosen_stocks(codes, 10), chosen_stocks(codes[::-1], 30)
    assert set(few) < set(more)
    assert len({code[:5] for code in more}) >= 5
    market = FakeMarket(stock_count=14, session_count=100)
    with FakeTdxServer(market) as server:
        result = run(server, workspace, stocks=5)
    assert BarStore(workspace).codes() == chosen_stocks(market.codes, 5)
    assert result["choice"]["stocks"] == 5
    assert "SHA-256" in read_json(workspace.metadata_path)["choice"]["rule"]


def test_named_codes_win_and_an_unknown_one_is_refused_at_the_door(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    with FakeTdxServer(market) as server:
        run(server, workspace, codes=("600001", "sz.000001"))
        assert BarStore(workspace).codes() == ["SH600001", "SZ000001"]
        with pytest.raises(UnknownCode):
            run(server, workspace, codes=("banana",))


def test_industries_that_change_close_the_old_row_on_the_day_it_was_learned(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    with FakeTdxServer(market) as server:
        run(server, workspace)
        server._files["tdxhy.cfg"] = f"1|{market.codes[0][2:]}|T10|||X500102\r\n".encode()
        run(server, workspace, now=datetime(2030, 2, 1, tzinfo=UTC))
    rows = ReferenceStore(workspace).read("industries").of(market.codes[0])
    assert rows["industry"].tolist() == ["煤炭", "银行"]
    assert rows["to"].astype(str).tolist() == ["2030-02-01", "NaT"]
    assert rows["from"].astype(str).tolist() == ["2030-01-01", "2030-02-01"]


# ---------------------------------------------------------------------- judged


def spoiled_market(**settings):
    """A market, and per code the sessions of its bars that cannot be right."""
    market = FakeMarket(stock_count=7, session_count=400, **settings)
    first, second, third = market.codes[0], market.codes[3], market.codes[6]
    market.spoil(first, 100, volume=0, amount=0)
    market.spoil(first, 392, volume=0, amount=0)
    market.spoil(second, -3, high=market.bars[second]["low"][-3])
    market.spoil(second, -3, close=market.bars[second]["low"][-3] + 500)
    friday = int(np.flatnonzero(market.sessions.astype(int)[:380] % 7 == 1)[-1])
    saturday = market.sessions[friday] + np.timedelta64(1, "D")
    market.spoil(third, friday - 400, date=saturday)
    return market, {
        first: [str(market.sessions[100]), str(market.sessions[392])],
        second: [str(market.bars[second]["date"][-3])],
        third: [str(saturday)],
    }


def test_a_bar_that_cannot_be_right_is_set_aside_as_an_import_does(workspace):
    market, bad = spoiled_market()
    events = []
    with FakeTdxServer(market) as server:
        result = run(server, workspace, events=events)
    assert (result["new"], result["failed"], result["set_aside"]) == (7, 0, 4)
    wanted = {"not_traded": 2, "high_below": 1, "closed_day": 1}
    assert {name: result["quality"].get(name) for name in wanted} == wanted
    store, report = BarStore(workspace), QualityReport.read(workspace)
    for code, days in bad.items():
        assert not set(days) & set(store.read(code).date.astype(str).tolist())
        assert [
            line.split(",")[0] for line in store.set_aside_path(code).read_text().splitlines()[1:]
        ] == days
        outcomes = [one.date for one in report.findings[code] if one.outcome == "set_aside"]
        assert outcomes == days
    [warning] = [event for event in events if event.get("key") == "quality.set_aside"]
    assert warning["count"] == 4


def test_a_history_in_pieces_leaves_the_files_and_the_report_of_one_that_came_at_once(tmp_path):
    market, _ = spoiled_market()
    straight, pieces = Workspace(tmp_path / "straight"), Workspace(tmp_path / "pieces")
    with FakeTdxServer(market) as server:
        run(server, straight)
        told = []
        for through in (210, 215, 300, 391, 393, 399, 400):
            market.through = through
            told.append(run(server, pieces))
    assert [result["revisions"] for result in told] == [[]] * 7
    assert sum(result["set_aside"] for result in told) == 4
    assert files_of(pieces) == files_of(straight)
    held, read = BarStore(straight), QualityReport.read(pieces)
    assert read.bars == {code: len(held.read(code)) for code in (*market.codes, *INDICES)}


def test_a_kill_before_the_report_was_written_loses_no_finding(workspace, monkeypatch):
    market, _ = spoiled_market()
    market.through = 360
    with FakeTdxServer(market) as server:
        run(server, workspace)
        folder = workspace.stock_data_dir
        before = {name: (folder / name).read_bytes() for name in ("metadata.json", *QUALITY_FILES)}
        market.through = 400
        run(server, workspace)
        wanted = files_of(workspace)
        for name, data in before.items():
            (folder / name).write_bytes(data)
        run(server, workspace)
    assert files_of(workspace) == wanted


def test_bars_that_no_report_speaks_of_are_judged_by_the_next_run(workspace):
    market, bad = spoiled_market()
    store = BarStore(workspace)
    with FakeTdxServer(market) as server:
        run(server, workspace)
        wanted = QualityReport.read(workspace).counts()
        for name in QUALITY_FILES:
            (workspace.stock_data_dir / name).unlink()
        result = run(server, workspace)
        assert (result["updated"], result["current"], result["revisions"]) == (7, 0, [])
        assert run(server, workspace)["current"] == 7
        assert QualityReport.read(workspace).counts() == wanted
        # As a program that did not judge left it: with a row that cannot be right.
        third = market.codes[6]
        sound, served = store.read(third), market.bars[third]
        at = served["date"].astype(str) == bad[third][0]
        prices = {name: served[name][at] / 1000 for name in ("open", "high", "low", "close")}
        units = {"volume": served["volume"][at] * 100.0, "amount": served["amount"][at].astype(float)}
        store.write(sound.followed_by(Bars(third, served["date"][at], **prices, **units)))
        assert len(store.read(third)) == len(sound) + 1
        for name in QUALITY_FILES:
            (workspace.stock_data_dir / name).unlink()
        run(server, workspace)
    assert store.read(third) == sound
    assert QualityReport.read(workspace).counts() == wanted


def test_a_sound_bar_stays_where_the_servers_come_to_tell_one_that_cannot_be_right(workspace):
    market = FakeMarket(stock_count=7, session_count=400)
    code = market.codes[0]
    market.through = 390
    with FakeTdxServer(market) as server:
        run(server, workspace)
        held = BarStore(workspace).read(code)
        low = market.bars[code]["low"][388]
        market.spoil(code, 388, high=low, close=low + 500)
        market.through = 400
        result = run(server, workspace)
    bars = BarStore(workspace).read(code)
    assert bars.up_to(held.date[-1]) == held
    assert (len(bars), result["revisions"]) == (len(held) + 10, [])
    told = {(one.date, one.finding) for one in QualityReport.read(workspace).findings[code]}
    assert (str(market.sessions[388]), "high_below") in told


def test_a_code_of_which_no_bar_can_be_used_is_listed_with_the_first_reason(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    code = market.codes[0]
    market.spoil(code, slice(None), volume=0, amount=0)
    with FakeTdxServer(market) as server:
        result = run(server, workspace)
    [failure] = result["failures"]
    assert (failure["code"], failure["kind"]) == (code, "no_bars")
    assert f"{market.sessions[0]}: not_traded" in failure["reason"]
    assert (code in BarStore(workspace), result["set_aside"]) == (False, 100)
    assert len(QualityReport.read(workspace).findings[code]) == 100


# ---------------------------------------------------------------------- failures


def test_a_code_without_bars_is_listed_with_reason_next_try_and_remedy(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    with FakeTdxServer(market) as server:
        result = run(server, workspace, codes=("SH600999", "SH600001"))
    [failure] = result["failures"]
    assert (failure["code"], failure["kind"], failure["remedy"]) == ("SH600999", "no_bars", "import")
    assert failure["next_try"] > NOW.isoformat()
    assert read_json(workspace.metadata_path)["failures"].keys() == {"SH600999"}
    assert result["new"] == 1


def test_one_failed_stock_is_retried_alone_and_leaves_the_list_when_it_comes(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    market.hidden = set(market.codes[:2])
    with FakeTdxServer(market) as server:
        assert run(server, workspace)["failed"] == 2
        market.hidden = set()
        result = run(server, workspace, codes=(market.codes[0],), retry_failed=True)
        assert (result["stocks"], result["new"]) == (1, 1)
        assert read_json(workspace.metadata_path)["failures"].keys() == {market.codes[1]}
        run(server, workspace, retry_failed=True)
        assert differences(market, workspace) == []
        with pytest.raises(NothingToRetry):
            run(server, workspace, retry_failed=True)


def test_no_reachable_server_is_one_clear_error_and_leaves_the_store_alone(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    with FakeTdxServer(market) as server:
        run(server, workspace)
    before = files_of(workspace)
    with nobody() as closed, pytest.raises(NoServerAnswers, match="firewall"):
        run(server, workspace, servers=(closed,))
    assert files_of(workspace) == before


def test_a_bad_calendar_is_told_before_any_server_is_asked(workspace):
    path = workspace.reference_path("calendar")
    path.parent.mkdir(parents=True)
    path.write_text("date\n2030-02-31\n", encoding="utf-8")
    events = []
    with nobody() as closed, pytest.raises(BadTable, match=r"calendar\.csv"):
        run([], workspace, events=events, servers=(closed,))
    assert events == []


def test_health_lists_all_servers_the_good_ones_first():
    market, events = FakeMarket(stock_count=3, session_count=50), []
    with FakeTdxServer(market) as good, FakeTdxServer(market, mode="stub") as stub:
        rows = server_health((stub.address, good.address), Progress(events.append), PATIENT)
    assert rows[0]["state"] in ("ok", "slow")  # how soon it answers is the machine's affair
    assert rows[1]["state"] == "stub"
    assert rows[0]["latency_ms"] > 0
    assert events[-1]["done"] == 2


def test_a_stop_ends_soon_keeps_what_came_and_goes_on_later(workspace):
    # More stocks than may wait for the disk: a main thread held up for a second does not find them all.
    market = FakeMarket(stock_count=80, session_count=300)
    asked = threading.Event()
    with FakeTdxServer(market, delay_s=0.01) as server:

        def seen(event):
            if event["kind"] == "progress" and event["unit"] == "stocks" and event["done"] >= 3:
                asked.set()

        settings = DownloadSettings(stocks=100, servers=(server.address,), connections=2)
        with pytest.raises(StopRequested, match="start again"):
            download(settings, workspace, Progress(seen, stop=asked.is_set), PATIENT, NOW)
        kept = len(read_json(workspace.metadata_path)["codes"])
        assert 3 <= kept < 80
        run(server, workspace)
    assert differences(market, workspace) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("quotes")]


def test_a_second_download_into_the_same_workspace_is_told_who_holds_it(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    with FakeTdxServer(market) as server, BarStore(workspace).locked("import"), pytest.raises(WorkspaceBusy):
        run(server, workspace)


def test_real_bars_do_not_mix_with_practice_bars(workspace):
    market = FakeMarket(stock_count=7, session_count=100)
    with FakeTdxServer(market) as server:
        run(server, workspace)
        BarStore(workspace).update_metadata(simulated=True, codes={})
        with pytest.raises(MixedMarkets):
            run(server, workspace)


def test_a_full_disk_ends_the_run_with_the_reason_and_no_thread_left(workspace, monkeypatch):
    market = FakeMarket(stock_count=7, session_count=100)

    def full(self, bars):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BarStore, "write", full)
    with FakeTdxServer(market) as server, pytest.raises(OSError, match="No space"):
        run(server, workspace)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("quotes")]


# ---------------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_loses_doubles_or_misplaces_a_bar(workspace, fault):
    market = FakeMarket(stock_count=15, session_count=900, seed=1)
    with FakeTdxServer(market, faults={fault: 0.05}, late_s=0.5, seed=2) as server:
        result = run(server, workspace, patience=QUICK)
    assert result["failures"] == []
    assert differences(market, workspace) == []


def all_faults(workspace, stocks, sessions, rate, connections=4):
    market = FakeMarket(stock_count=stocks, session_count=sessions, seed=3)
    with FakeTdxServer(market, faults=dict.fromkeys(FAULTS, rate), late_s=0.5, seed=4) as server:
        result = run(server, workspace, connections=connections, patience=QUICK)
        listed = {failure["code"] for failure in result["failures"]}
        assert differences(market, workspace, [c for c in market.codes if c not in listed]) == []
        return result, server


def test_all_faults_together_leave_every_bar_right_or_its_code_listed(workspace):
    result, server = all_faults(workspace, stocks=40, sessions=900, rate=0.02)
    assert result["failures"] == []
    assert sum(server.faulted.values()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.01, 0.03, 0.05])
def test_all_faults_together_at_500_stocks(workspace, rate):
    result, server = all_faults(workspace, stocks=500, sessions=2000, rate=rate, connections=8)
    print(rate, result["new"], len(result["failures"]), result["seconds"], server.requests, server.faulted)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_each_fault_alone_at_500_stocks(workspace, fault, rate):
    market = FakeMarket(stock_count=500, session_count=900, seed=5)
    with FakeTdxServer(market, faults={fault: rate}, late_s=0.5, seed=6) as server:
        result = run(server, workspace, connections=8, patience=QUICK)
    print(fault, rate, result["new"], len(result["failures"]), result["seconds"], server.faulted)
    listed = {failure["code"] for failure in result["failures"]}
    assert differences(market, workspace, [c for c in market.codes if c not in listed]) == []


def test_one_server_dies_in_mid_run_and_the_other_takes_over(workspace):
    market = FakeMarket(stock_count=30, session_count=900)
    with FakeTdxServer(market, die_after=60) as dying, FakeTdxServer(market, delay_s=0.001) as living:
        result = run([dying, living], workspace)
    assert differences(market, workspace) == []
    assert result["failures"] == []
    rows = {row["address"]: row for row in result["servers"]}
    assert rows[living.address]["bars"] > 0


def test_a_server_that_bans_the_hasty_is_asked_more_slowly(workspace):
    market = FakeMarket(stock_count=30, session_count=900)
    with FakeTdxServer(market, ban_above=80, ban_s=0.3) as server:
        result = run(server, workspace)
    assert server.bans > 0
    assert result["failures"] == []
    assert differences(market, workspace) == []


def test_a_server_that_does_not_number_its_answers_still_gives_right_bars(workspace):
    market = FakeMarket(stock_count=15, session_count=900)
    with FakeTdxServer(market, silent_numbers=True, faults={"duplicate": 0.1, "stale": 0.1}) as server:
        run(server, workspace)
    assert differences(market, workspace) == []


def test_a_slow_server_is_told_with_what_helps(workspace):
    market, events = FakeMarket(stock_count=2, session_count=50), []
    with FakeTdxServer(market, delay_s=0.32) as server:
        run(server, workspace, events=events, codes=("SH600001",))
    [warning] = [event for event in events if event["kind"] == "warning" and "slow" in event["message"]]
    assert "--connections" in warning["message"]
    parts = [event["detail"] for event in events if event.get("unit") == "lists"]
    assert "tdxhy.cfg" in parts


def test_no_more_connections_are_opened_than_asked_for(workspace):
    market = FakeMarket(stock_count=15, session_count=300)
    with FakeTdxServer(market, delay_s=0.002) as server:
        run(server, workspace, connections=3)
    assert server.most_connections <= 4  # the threads' and the one that reads the lists


def test_a_delay_is_hidden_by_as_many_connections_as_were_asked_for(workspace):
    market = FakeMarket(stock_count=12, session_count=300)
    with FakeTdxServer(market, delay_s=0.03) as server:
        run(server, workspace, connections=6)
    assert server.most_connections >= 6


# ---------------------------------------------------------------------- kills


def stay_within_a_day(needed_s=120):
    """Facts hold the day, in Shanghai, on which they were learned: across a midnight two runs differ."""
    now = datetime.now(UTC) + timedelta(hours=8)
    left_s = 86_400 - (now.hour * 60 + now.minute) * 60 - now.second
    if left_s < needed_s:
        time.sleep(left_s + 1)


def killed_runs(tmp_path, stocks, sessions, kills, seed):
    """The files after a run that was killed `kills` times, those of an undisturbed one, the market."""
    market = FakeMarket(stock_count=stocks, session_count=sessions, seed=7)
    dice = random.Random(seed)
    straight, cut = Workspace(tmp_path / "straight"), Workspace(tmp_path / "cut")
    stay_within_a_day()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with FakeTdxServer(market, delay_s=0.004) as server:
        command = [sys.executable, "-m", "financial_model", "download", "--stocks", "10000"]
        command += ["--server", server.address, "--connections", "4", "--workspace"]
        run(server, straight, now=datetime.now(UTC))
        survived = 0
        for _ in range(5 * kills):  # a start that fails by itself is no kill, and must not go on for ever
            if survived == kills:
                break
            process = subprocess.Popen(
                [*command, str(cut.root)],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            until = server.requests + dice.randrange(1, stocks * 10 // kills)
            while process.poll() is None and server.requests < until:
                time.sleep(0.005)
            time.sleep(dice.random() * 0.1)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                survived += 1
            process.wait(30)
            if process.returncode == 0:
                break
        subprocess.run(
            [*command, str(cut.root)], env=environment, check=True, capture_output=True, timeout=300
        )
    return files_of(straight), files_of(cut), market, cut, survived


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_killed_at_random_moments_a_run_ends_with_the_files_of_an_undisturbed_one(tmp_path):
    straight, cut, market, workspace, kills = killed_runs(tmp_path, 40, 900, kills=4, seed=8)
    assert kills >= 2
    assert cut == straight
    assert differences(market, workspace) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_killed_twenty_times_at_300_stocks(tmp_path):
    straight, cut, market, workspace, kills = killed_runs(tmp_path, 300, 2000, kills=20, seed=9)
    assert kills == 20
    assert cut == straight
    assert differences(market, workspace) == []


def test_a_file_that_lies_in_the_store_without_metadata_loses_no_bar(workspace):
    market = FakeMarket(stock_count=7, session_count=300)
    code = market.codes[0]
    with FakeTdxServer(market) as server:
        run(server, workspace)
        store = BarStore(workspace)
        bars = store.read(code)
        early = bars.take(slice(0, 5))
        moved = type(bars)(**{**vars(early), "date": early.date - np.timedelta64(4000, "D")})
        store.write(moved.followed_by(bars))
        metadata = read_json(workspace.metadata_path)
        del metadata["codes"][code]
        write_json(workspace.metadata_path, metadata)
        result = run(server, workspace)
    assert len(store.read(code)) == len(bars) + 5
    assert result["revisions"] == []


def test_every_error_of_this_room_is_one_of_ours():
    from financial_model.data.tdx_client import ServerFault
    from financial_model.data.tdx_protocol import BadAnswer

    assert issubclass(ServerFault, FinancialModelError)
    assert issubclass(BadAnswer, FinancialModelError)
