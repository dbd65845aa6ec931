"""One connection: answers are bound to their questions, faults end it, nothing waits for ever."""

import gc
import socket
import struct
import threading

import numpy as np
import pytest

from financial_model.data.tdx_client import Patience, QuoteClient, ServerFault, shipped_servers
from tests.data.fake_tdx_server import INDICES, FakeMarket, FakeTdxServer, nobody

# Where an answer is to come it may take its time on a busy machine; where none comes the wait is short.
PATIENT, QUICK = Patience(connect_s=10.0, call_s=10.0), Patience(connect_s=10.0, call_s=0.3)


@pytest.fixture(scope="module")
def market():
    return FakeMarket(stock_count=14, session_count=900)


def connect(server, patience=PATIENT):
    return QuoteClient("127.0.0.1", server.port, patience)


def test_bars_of_every_board_and_of_indices_come_exactly(market):
    with FakeTdxServer(market) as server, connect(server) as client:
        for code in [*market.codes, *INDICES]:
            page, truth = client.bars(code, 0, 800, code in INDICES), market.visible(code)
            for name in ("date", "open", "high", "low", "close", "volume", "amount"):
                np.testing.assert_array_equal(getattr(page, name), truth[name][-800:])


def test_the_fake_server_leaves_no_socket_of_a_caller_it_never_heard(market):
    """Such a socket would fail a test that has nothing to do with it: its warning comes with collection."""
    with FakeTdxServer(market) as server:
        callers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    for caller in callers:
        caller.close()
    gc.collect()


def test_pytdx_itself_reads_the_fake_server(market):
    from pytdx.hq import TdxHq_API

    code = market.codes[0]
    with FakeTdxServer(market) as server:
        api = TdxHq_API()
        assert api.connect("127.0.0.1", server.port)
        rows = api.get_security_bars(9, 1, code[2:], 0, 5)
        assert [row["close"] for row in rows] == (market.visible(code)["close"][-5:] / 1000).tolist()
        assert api.get_security_count(1) == len(market.lines(1))
        api.disconnect()


def test_lists_facts_and_files_come_whole(market):
    with FakeTdxServer(market) as server, connect(server) as client:
        assert client.name_count(0) == len(client.names(0, 0))
        assert client.finance(market.codes[0]).code == market.codes[0]
        assert len(client.actions(market.codes[0]).corporate_actions) == 1
        assert client.file_piece("zhb.zip", 0) == market.files()["zhb.zip"]
        assert client.file_piece("zhb.zip", 10**6) == b""


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("close", {"closed"}),
        ("close_mid", {"closed"}),
        ("hang", {"timeout"}),
        ("late", {"timeout"}),
        ("bad_zlib", {"bad_answer"}),
        ("stub", {"stub"}),
        # A reset during set-up may arrive before `connect` has returned: then there never was a connection.
        ("reset_setup", {"closed", "unreachable"}),
        ("refuse", {"closed", "unreachable"}),
    ],
)
def test_a_fault_ends_the_connection_and_says_its_kind(market, fault, kinds):
    with FakeTdxServer(market, faults={fault: 1.0}) as server:
        client = None
        with pytest.raises(ServerFault) as caught:
            client = connect(server, QUICK if kinds == {"timeout"} else PATIENT)
            client.bars(market.codes[0], 0, 800, False)
        assert caught.value.kind in kinds
        if client is not None:
            assert not client.is_open
            with pytest.raises(ServerFault, match="closed"):
                client.bars(market.codes[0], 0, 800, False)


@pytest.mark.parametrize("fault", ["duplicate", "stale"])
def test_a_second_copy_of_an_answer_never_answers_the_next_question(market, fault):
    with FakeTdxServer(market, faults={fault: 1.0}) as server, connect(server) as client:
        client.bars(market.codes[0], 0, 800, False)
        with pytest.raises(ServerFault) as caught:
            client.bars(market.codes[1], 0, 800, False)
        assert caught.value.kind == "mixed_up"


def test_an_answer_numbered_otherwise_is_refused():
    """A server that learns our numbers and then answers with an older one."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            for k in range(4):
                head = connection.recv(12, socket.MSG_WAITALL)
                connection.recv(int.from_bytes(head[6:8], "little") - 2, socket.MSG_WAITALL)
                number = head[1:5] if k < 3 else b"\1\2\3\4"
                body = b"\0\0"
                header = b"\xb1\xcb\x74\0\x0c" + number + b"\0" + head[10:12] + struct.pack("<HH", 2, 2)
                connection.sendall(header + body)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener, QuoteClient("127.0.0.1", listener.getsockname()[1], PATIENT) as client:
        with pytest.raises(ServerFault) as caught:
            client.bars("SH600000", 0, 800, False)
        assert caught.value.kind == "mixed_up"
        thread.join(5)


def test_a_server_that_does_not_number_its_answers_is_noticed(market):
    with FakeTdxServer(market, silent_numbers=True) as server, connect(server) as client:
        assert not client.repeats_numbers
        assert len(client.bars(market.codes[0], 0, 800, False)) == 800


def test_a_trickle_of_bytes_does_not_stretch_the_deadline():
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)  # a byte before the question would be told as one out of turn
            while not done.wait(0.15):  # each byte within the patience, a whole header of 16 far beyond it
                try:
                    connection.sendall(b"\xb1")
                except OSError:
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener, pytest.raises(ServerFault) as caught:
        QuoteClient("127.0.0.1", listener.getsockname()[1], Patience(call_s=0.3))
    done.set()
    thread.join(5)
    assert caught.value.kind == "timeout"


def test_nothing_listening_is_unreachable_and_leaves_no_socket_open():
    with nobody() as address, pytest.raises(ServerFault) as caught:
        QuoteClient("127.0.0.1", int(address.rpartition(":")[2]), PATIENT)
    assert caught.value.kind == "unreachable"


def test_many_servers_are_shipped_and_the_reported_good_ones_come_first():
    addresses = list(shipped_servers())
    assert len(addresses) > 80
    assert addresses[0] == "59.36.5.11:7709"
    assert len(set(addresses)) == len(addresses)
