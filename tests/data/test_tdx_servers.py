"""Which servers are asked: probing with a real bar, resting after faults, failing over."""

import threading

import pytest

from financial_model.base.errors import BadSetting, NoServerAnswers
from financial_model.data import tdx_servers
from financial_model.data.tdx_client import Patience, ServerFault
from financial_model.data.tdx_servers import (
    QuoteSession,
    Server,
    ServerPool,
    find_servers,
    parse_address,
    probe,
    probe_all,
)
from tests.data.fake_tdx_server import FakeMarket, FakeTdxServer, nobody

# A call may take long: on a busy machine a server that answers does so late, and what is silent stays so.
QUICK = Patience(connect_s=5.0, call_s=3.0, backoff_s=0.005, longest_backoff_s=0.02, rest_s=0.1, give_up_s=2)


@pytest.fixture(scope="module")
def market():
    return FakeMarket(stock_count=7, session_count=300)


def test_a_server_that_serves_real_bars_is_told_from_stubs_empty_ones_and_silence(market):
    with (
        FakeTdxServer(market) as good,
        FakeTdxServer(market, mode="stub") as stub,
        FakeTdxServer(market, mode="empty") as empty,
        FakeTdxServer(market, faults={"hang": 1.0}) as silent,
        nobody() as closed,
    ):
        addresses = [good.address, stub.address, empty.address, silent.address, closed]
        rows = {s.address: s for s in probe_all([Server(a) for a in addresses], QUICK)}
        states = [rows[address].state for address in addresses]
        assert states[0] in ("ok", "slow")  # how soon it answers is the machine's affair
        assert states[1:] == ["stub", "empty", "timeout", "unreachable"]
        assert rows[good.address].last_bar == str(market.sessions[-1])


def test_one_clear_error_says_how_all_servers_failed_and_what_to_try(market):
    with (
        FakeTdxServer(market, mode="stub") as stub,
        nobody() as closed,
        pytest.raises(NoServerAnswers) as caught,
    ):
        find_servers((stub.address, closed), [], QUICK)
    message = str(caught.value)
    assert "1 answer without bars" in message
    assert "1 could not be reached" in message
    for advice in ("--server HOST:PORT", "firewall", "7709", "通达信", "CSV"):
        assert advice in message


def test_the_latency_is_that_of_an_answer_and_a_slow_server_is_called_slow(market):
    with FakeTdxServer(market, delay_s=0.31) as server:
        probed = probe(Server(server.address), QUICK)
    assert probed.latency_ms >= 310
    assert probed.state == "slow"


def test_the_fastest_server_comes_first(monkeypatch):
    latencies_ms = {"a.example:7709": 50.0, "b.example:7709": 3.0, "c.example:7709": 20.0}

    def measured(server, patience):
        server.state, server.latency_ms = "ok", latencies_ms[server.address]
        return server

    monkeypatch.setattr(tdx_servers, "probe", measured)
    found = find_servers(tuple(latencies_ms), [], QUICK)
    assert [server.address for server in found] == ["b.example:7709", "c.example:7709", "a.example:7709"]


def test_probing_stops_once_enough_servers_answer(market):
    with FakeTdxServer(market) as good:
        done = probe_all([Server(good.address) for _ in range(50)], QUICK, enough=2)
    assert 2 <= len(done) < 50


def test_a_server_rests_after_several_faults_twice_as_long_each_time():
    now = [0.0]
    pool = ServerPool([Server("a:1", state="ok")], Patience(faults_in_a_row=2, rest_s=10), lambda: now[0])
    rests = []
    for _ in range(2):
        for _ in range(2):
            server, _ = pool.choose()
            pool.left(server)
            pool.failed(server, ServerFault("a:1", "closed", "closed"))
        nobody_awake, wait_s = pool.choose()
        assert nobody_awake is None
        rests.append(wait_s)
        now[0] += wait_s + 1
    assert 7.5 <= rests[0] <= 12.5
    assert 15 <= rests[1] <= 25


def test_work_moves_to_another_server_after_a_fault(market):
    with FakeTdxServer(market) as good, FakeTdxServer(market, die_after=1) as dying:
        servers = [probe(Server(address), QUICK) for address in (dying.address, good.address)]
        servers[0].latency_ms = 0.001
        session = QuoteSession(ServerPool(servers, QUICK), QUICK, threading.Event())
        bars = session.ask(lambda client: client.bars(market.codes[0], 0, 10, False))
        assert len(bars) == 10
        assert session.address == good.address
        session.close()


def test_a_run_gives_up_when_every_server_has_stopped_answering():
    patient = Patience(
        connect_s=0.2, tries=10**6, backoff_s=0.001, longest_backoff_s=0.01, rest_s=0.05, give_up_s=0.5
    )
    with nobody() as address:
        once_good = Server(address, state="ok", latency_ms=1.0)
        session = QuoteSession(ServerPool([once_good], patient), patient, threading.Event())
        with pytest.raises(NoServerAnswers, match="stopped answering"):
            session.ask(lambda client: client.bars("SH600001", 0, 10, False))
        session.close()


@pytest.mark.parametrize(
    "text", ["", ":7709", "host:", "host:port", "host:70000", "a b:1", "http://x:1", "x" * 300]
)
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(BadSetting):
        parse_address(text)
