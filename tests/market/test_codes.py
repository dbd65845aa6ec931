import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.errors import UnknownCode
from financial_model.market.codes import board_of, is_index, is_stock, parse_code


@pytest.mark.parametrize(
    "text",
    ["SH600519", "sh600519", "600519", "600519.SH", "sh.600519", "600519.XSHG", "SS600519", " 600519 "],
)
def test_a_code_is_read_however_it_is_written(text):
    assert parse_code(text) == "SH600519"


def test_the_same_digits_are_an_index_in_shanghai_and_a_bank_in_shenzhen():
    assert is_index(parse_code("SH000001"))
    assert not is_stock("SH000001")
    assert parse_code("000001") == "SZ000001"
    assert board_of("SZ000001") == "main"
    assert not is_index("SZ000001")


@pytest.mark.parametrize(
    ("code", "board"),
    [
        ("SH600000", "main"),
        ("SH605000", "main"),
        ("SH688981", "star"),
        ("SH689009", "star"),
        ("SZ003000", "main"),
        ("SZ300750", "chinext"),
        ("SZ302132", "chinext"),
        ("BJ430047", "beijing"),
        ("BJ832000", "beijing"),
        ("BJ920001", "beijing"),
    ],
)
def test_each_prefix_has_its_board(code, board):
    assert board_of(code) == board
    assert parse_code(code[2:]) == code


@pytest.mark.parametrize(
    "text",
    ["", "60051", "6005190", "SH", "SZ600519", "900901", "SH900901", "SZ200002", "XX600519", "SH600519SH"],
)
def test_what_is_no_a_share_or_index_is_refused(text):
    with pytest.raises(UnknownCode, match="is no code"):
        parse_code(text)


def test_b_shares_are_left_out():
    assert not is_stock("SH900901")
    assert not is_stock("SZ200002")


@given(st.text(max_size=20))
def test_any_text_is_a_well_formed_code_or_refused(text):
    try:
        code = parse_code(text)
    except UnknownCode:
        return
    assert len(code) == 8
    assert parse_code(code) == code
    assert is_stock(code) != is_index(code)
