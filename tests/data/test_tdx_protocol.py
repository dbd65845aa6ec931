"""Recorded answers of real servers decode exactly; damaged ones are refused."""

import json
import struct
import zlib
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.data import tdx_protocol as wire

# Recorded from real servers (pytdx's and rustdx's documentation, eltdx's and tdxrs's tests).
BARS_2017 = (
    "0a006ec73301b28c011e3254a081ad4816d6984d6fc7330154ae0182024ab0a51d4978090c4e70c733015414285e8003bb488b59a64d"
    "71c73301140086015ec059274945cb154e74c73301006828724060f648ae0edc4d75c73301000a1e7c40f6da48a37dc24d76c7330100"
    "680ad0018052b748ad68a24d77c7330100680072a0f0a448f8b9914d78c733010054285ee0a48b48c294764d7bc733010aa401b8014a"
    "001def4874abd44d"
)
BARS_2021 = (
    "0300eb643401b49a02e4069c03c207e86fa84959f7124fec643401d001fa039001c40400819a49b7b1034fef643401cc02a8059607d6"
    "02d83d8b494bf0eb4e"
)
INDEX_2026 = (
    "0300d02535018efdf203e850aa9f02dcf703de82e94a6e94815364029606d1253501aeaa03fa12a0f701d8ab02727ed24a5eac7853be"
    "063202d2253501cee20292d604a8a805009260c54a61e563531007ec01"
)
ACTION_1990 = "010000303030303031010000303030303031008da72f0101000000000ad76340000000000000803f"
FINANCE_2017 = (
    "010000303030303031b884ce4912000100bcc6330103cf2f018999d149c0f92f48e0bab94a700dd24b000000000000000052b89e3ee5"
    "2e334f00000000b0c5f74a6078904a203db54800000000000000009a65574c881d464d006dd34b00000000000000004019fb4a802b15"
    "49405cdbcc7157d7cc00000000e028fb4ae0a2bd4ae0a2bd4a3f87844c3d0a2f4100004040"
)
FINANCE_2024 = (
    "010001363030313135dfead04910000800d9fe340121bc3001270e084a0000cf4460f0f9ca8c08d94c00000000b9c5fc485c8f42bea6"
    "e4834d8cbe914badddbf4ca042334a40cc27488771d94c801c5649703d4a4c089e1a4cb8fffb4c9a46f14c80b6e649303f86ca00e196"
    "4874570e4c60bbedca0014cd4900486eca606c92caa0f780ca00000000fca9313f00004041"
)
LIST_TWO = (
    "02003339353030316400d6f7b0e5a3c1b9c957860000020060ba44000000003339353030326400d6f7b0e5a3c2b9c952070000020000"
    "184200000000"
)
LOGIN = (
    "b1cb74001c02189400000d005000bd00789c6378c9cec826c9c72069c5b4898987b9050ed1f90c8bfe9b304a7a3182692920fd9fe139"
    "03032323e37f8693e7772d3ebdfafcfd6bdfafee3364a016600421e5b32bb6bcbf701487120051371e55"
)
EMPTY = "b1cb74000c01086401002d05020002000000"


def test_recorded_bars_decode_to_the_prices_lots_and_amounts_of_that_week():
    bars = wire.decode_bars(bytes.fromhex(BARS_2021))
    assert bars.date.astype(str).tolist() == ["2021-09-23", "2021-09-24", "2021-09-27"]
    assert (bars.open / 1000).tolist() == [18.1, 17.6, 17.21]
    assert (bars.high / 1000).tolist() == [18.32, 17.68, 17.68]
    assert (bars.low / 1000).tolist() == [17.65, 17.34, 17.06]
    assert (bars.close / 1000).tolist() == [17.68, 17.35, 17.57]
    assert bars.volume.tolist() == [1379837.0, 1265696.0, 1140667.0]
    assert bars.amount.tolist() == [2465683712.0, 2209462016.0, 1979196800.0]


def test_recorded_bars_agree_with_the_local_day_file_of_the_same_days():
    bars = wire.decode_bars(bytes.fromhex(BARS_2017))
    assert len(bars) == 10
    assert (bars.close[:8] / 1000).tolist() == [9.04, 9.13, 9.13, 9.15, 9.11, 9.12, 9.08, 9.04]
    assert bars.volume[:4].tolist() == [355341.0, 645723.0, 383004.0, 685468.0]
    assert wire.volume_unit(bars, is_index=False) == 100.0


def test_recorded_index_bars_need_the_index_layout():
    body = bytes.fromhex(INDEX_2026)
    bars = wire.decode_bars(body, is_index=True)
    assert (bars.close / 1000).tolist() == [4082.47, 4108.57, 4124.19]
    assert bars.volume[0] * wire.volume_unit(bars, is_index=True) == 7651695.0 * 1e4
    with pytest.raises(wire.BadAnswer):
        wire.decode_bars(body, is_index=False)


def test_amount_over_volume_lies_between_low_and_high():
    for text in (BARS_2017, BARS_2021):
        bars = wire.decode_bars(bytes.fromhex(text))
        price = bars.amount / (bars.volume * wire.volume_unit(bars, is_index=False))
        assert ((price >= bars.low / 1000 * 0.999) & (price <= bars.high / 1000 * 1.001)).all()


def test_a_server_that_counts_shares_is_noticed():
    bars = wire.decode_bars(bytes.fromhex(BARS_2021))
    in_shares = wire.WireBars(
        bars.date, bars.open, bars.high, bars.low, bars.close, bars.volume * np.float32(100), bars.amount
    )
    assert wire.volume_unit(in_shares, is_index=False) == 1.0


def test_recorded_finance_comes_out_in_shares_and_cny_not_ten_times_too_large():
    bank = wire.decode_finance(bytes.fromhex(FINANCE_2017), "SZ000001")
    assert (bank.total_shares, bank.float_shares) == (17170411250.0, 16917990000.0)
    assert (bank.announced, bank.list_date, bank.period) == (
        date(2017, 4, 28),
        date(1991, 4, 3),
        date(2017, 3, 31),
    )
    assert (bank.eps_cny, bank.book_value_per_share_cny) == (0.31, 10.94)
    assert bank.money_cny["net_assets_cny"] == 207_739_008_000.0
    airline = wire.decode_finance(bytes.fromhex(FINANCE_2024), "SH600115")
    assert (airline.eps_cny, airline.period) == (-0.19, date(2024, 12, 31))
    assert airline.money_cny["net_profit_cny"] == -4_226_000_000.0


def test_facts_of_another_stock_are_refused():
    with pytest.raises(wire.BadAnswer, match="SZ000001 where SZ000002"):
        wire.decode_finance(bytes.fromhex(FINANCE_2017), "SZ000002")
    with pytest.raises(wire.BadAnswer, match="SZ000001 where SH600000"):
        wire.decode_actions(bytes.fromhex(ACTION_1990), "SH600000")


def test_a_recorded_rights_issue_is_read_per_ten_shares():
    actions = wire.decode_actions(bytes.fromhex(ACTION_1990), "SZ000001")
    assert actions.corporate_actions == [
        {
            "code": "SZ000001",
            "date": "1990-03-01",
            "cash_per_10": 0.0,
            "bonus_per_10": 0.0,
            "rights_per_10": 1.0,
            "rights_price": 3.56,
        }
    ]


def action_body(category, values, code=b"600000"):
    record = struct.pack("<B6sxIB4f", 1, code, 20140627, category, *values)
    return struct.pack("<HB6sH", 1, 1, code, 1) + record


def test_share_counts_below_128_are_read_right_where_pytdx_is_not():
    capital = wire.decode_actions(action_body(5, (0, 0, 1.0, 38.0)), "SH600000").share_capital
    assert capital[0]["float_shares"] == 10_000
    assert capital[0]["total_shares"] == 380_000


def test_a_consolidation_has_the_effect_of_a_bonus_and_warrants_have_none():
    halved = wire.decode_actions(action_body(11, (0, 0, 0.5, 0)), "SH600000").corporate_actions
    assert halved[0]["bonus_per_10"] == -5.0
    assert wire.decode_actions(action_body(13, (1, 0, 2, 0)), "SH600000") == wire.Actions([], [])


def test_a_list_keeps_its_lines_when_a_name_is_cut_in_half():
    lines = wire.decode_list(bytes.fromhex(LIST_TWO))
    assert [(line.digits, line.name, line.previous_close) for line in lines] == [
        ("395001", "主板Ａ股", 1491.0),
        ("395002", "主板Ｂ股", 38.0),
    ]
    cut = ("A" + "截断名称").encode("gbk")[:8]
    row = struct.pack("<6sH8s4sBf4s", b"600001", 100, cut, b"", 2, 1.0, b"")
    assert wire.decode_list(struct.pack("<H", 1) + row)[0].name == "A截断名"


def test_a_recorded_frame_is_inflated_to_the_size_it_states():
    frame = bytes.fromhex(LOGIN)
    header = wire.read_header(frame[:16])
    assert (header.command, header.packed_size, header.size) == (0x000D, 80, 189)
    assert len(wire.unpack_body(header, frame[16:])) == 189


def test_a_count_without_bars_is_a_stub_and_a_count_of_zero_is_empty():
    with pytest.raises(wire.StubAnswer):
        wire.decode_bars(bytes.fromhex("2003"))
    header = wire.read_header(bytes.fromhex(EMPTY)[:16])
    assert len(wire.decode_bars(wire.unpack_body(header, bytes.fromhex(EMPTY)[16:]))) == 0


@pytest.mark.parametrize("damage", ["cut", "longer", "flip"])
def test_damaged_compression_is_refused(damage):
    body = b"bars" * 100
    packed = bytearray(zlib.compress(body))
    if damage == "cut":
        packed = packed[:-3]
    elif damage == "flip":
        packed[12] ^= 0xFF
    size = len(body) - (damage == "longer")
    with pytest.raises(wire.BadAnswer):
        wire.unpack_body(wire.Header(0, 0, len(packed), size), bytes(packed))


def test_industry_and_beijing_files_are_read_by_line():
    industries = wire.decode_industries(
        b"0|000001|T1001|||X500102\r\n1|600000|T1001|||\r\nbroken\r\n2|920000||||X10\n"
    )
    assert industries == {"SZ000001": "X500102", "SH600000": "T1001", "BJ920000": "X10"}
    names = wire.decode_industry_names(
        "#TDXNHY\nT10|金融\n######\n#TDXRSHY\nX50|银行\nX500102|股份制银行\n".encode("gbk")
    )
    assert wire.level_one_name("X500102", names) == "银行"
    assert wire.level_one_name("T1001", names) == "金融"
    assert wire.level_one_name("X990102", names) == ""


DECODERS = {
    "bars": wire.decode_bars,
    "index": lambda body: wire.decode_bars(body, is_index=True),
    "actions": lambda body: wire.decode_actions(body, "SZ000001"),
    "finance": lambda body: wire.decode_finance(body, "SZ000001"),
    "list": wire.decode_list,
    "count": wire.decode_count,
    "chunk": wire.decode_chunk,
    "archive": wire.decode_archive,
    "blocks": wire.decode_blocks,
    "industries": wire.decode_industries,
    "names": wire.decode_industry_names,
    "beijing": wire.decode_beijing,
    "header": wire.read_header,
}
RECORDED = [BARS_2017, BARS_2021, INDEX_2026, ACTION_1990, FINANCE_2017, LIST_TWO, LOGIN]


def refuse_or_decode(name, body):
    try:
        DECODERS[name](body)
    except wire.BadAnswer as error:
        assert str(error)


@settings(max_examples=200, deadline=None, database=None)
@given(body=st.binary(max_size=400))
@pytest.mark.parametrize("name", DECODERS)
def test_random_bytes_are_decoded_or_refused(name, body):
    refuse_or_decode(name, body)


@settings(max_examples=200, deadline=None, database=None)
@given(
    text=st.sampled_from(RECORDED),
    at=st.integers(0, 300),
    octets=st.binary(max_size=6),
    cut=st.integers(0, 400),
)
@pytest.mark.parametrize("name", DECODERS)
def test_mutated_recordings_are_decoded_or_refused(name, text, at, octets, cut):
    body = bytearray(bytes.fromhex(text))
    body[at : at + len(octets)] = octets
    refuse_or_decode(name, bytes(body[:cut]))


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@given(text=st.sampled_from(RECORDED), flips=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255))))
@pytest.mark.parametrize("name", DECODERS)
def test_many_mutated_recordings_are_decoded_or_refused(name, text, flips):
    body = bytearray(bytes.fromhex(text))
    for at, octet in flips:
        body[at % len(body)] = octet
    refuse_or_decode(name, bytes(body))


@pytest.mark.real_data
def test_every_recorded_vector_decodes_to_what_independent_readers_found(real_data):
    checked = 0
    for vector in json.loads((real_data.parent / "tdx" / "vectors.json").read_text(encoding="utf-8")):
        if vector.get("frame_hex"):
            frame = bytes.fromhex(vector["frame_hex"])
            assert wire.unpack_body(wire.read_header(frame[:16]), frame[16:]).hex() == vector["body_hex"]
        body = bytes.fromhex(vector.get("body_hex") or "")
        check = CHECKS.get(vector["kind"])
        if check and vector["id"] != "bars_stub_2003":
            check(vector, body)
            checked += 1
    assert checked == 16


def check_bars(vector, body):
    is_index, is_newer = vector["kind"] == "index_bars", "0523" in vector["id"]
    bars = wire.decode_bars(body, is_index=is_index, relative=not is_newer)
    assert len(bars) == vector["n_records"]
    for k, row in enumerate(vector["decoded"]):
        assert str(bars.date[k]) == row["datetime"][:10]
        assert (bars.volume[k], bars.amount[k]) == (row["vol"], row["amount"])
        if not is_newer:
            got = [column[k] / 1000 for column in (bars.open, bars.high, bars.low, bars.close)]
            assert got == [row["open"], row["high"], row["low"], row["close"]]
    if is_newer:  # pytdx adds these prices up; stated in full they make sense
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        price = 1000 * bars.amount / bars.volume
        assert ((price >= bars.low) & (price <= bars.high)).all()
        assert wire.volume_unit(bars, is_index=False) == 1.0


def check_actions(vector, body):
    code = "SH600115" if "600115" in vector["id"] else "SZ000001"
    actions = wire.decode_actions(body, code)
    rows = vector["decoded"]
    dividends = [row for row in rows if row["category"] == 1]
    capital = [row for row in rows if row["category"] in wire.CAPITAL_CATEGORIES]
    assert [row["date"] for row in actions.corporate_actions] == [
        f"{row['year']}-{row['month']:02d}-{row['day']:02d}" for row in dividends
    ]
    for mine, row in zip(actions.corporate_actions, dividends, strict=True):
        assert mine["cash_per_10"] == pytest.approx(row["fenhong"], rel=1e-6)
        assert mine["bonus_per_10"] == pytest.approx(row["songzhuangu"], rel=1e-6)
    for mine, row in zip(actions.share_capital, capital, strict=True):
        if row["houzongguben"] >= 128:
            assert mine["total_shares"] == round(row["houzongguben"] * 1e4)


def check_finance(vector, body):
    facts = wire.decode_finance(body, "SH600115" if "600115" in vector["id"] else "SZ000001")
    assert facts.total_shares == vector["independent_expected"]["zongguben"]
    assert facts.money_cny["net_assets_cny"] == vector["decoded"]["jingzichan"] / 10


def check_list(vector, body):
    lines = wire.decode_list(body)
    assert len(lines) == vector["n_records"]
    found = {line.digits: line.name for line in lines}
    assert {row["code"]: row["name"] for row in vector["decoded"]}.items() <= found.items()


def check_count(vector, body):
    assert wire.decode_count(body) == vector["decoded"]


CHECKS = {
    "bars": check_bars,
    "index_bars": check_bars,
    "xdxr": check_actions,
    "finance": check_finance,
    "list": check_list,
    "count": check_count,
}
