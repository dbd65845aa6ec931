import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.base.errors import BadTable, FinancialModelError, NoBarsFound
from financial_model.data.csv_source import CsvSource, read_bars_csv, table_text
from financial_model.data.source import Bars
from tests.data.market_makers import CHINESE, DATE_FORMATS, sessions, walk, write_csv

BARS = walk("SH600000", sessions(30))


@pytest.mark.parametrize(
    ("encoding", "headers", "date_format"),
    list(itertools.product(["utf-8", "utf-8-sig", "gb18030", "utf-16"], [None, CHINESE], DATE_FORMATS)),
)
def test_every_encoding_header_and_date_format_gives_the_same_bars(tmp_path, encoding, headers, date_format):
    path = write_csv(
        tmp_path / "SH600000.csv", BARS, encoding=encoding, headers=headers, date_format=date_format
    )
    bars, unit = read_bars_csv(path, "SH600000")
    assert bars == BARS
    assert unit == "shares"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_separators_and_line_ends_are_found_out(tmp_path, separator, newline):
    path = write_csv(tmp_path / "a.csv", BARS, separator=separator, newline=newline)
    assert read_bars_csv(path, "SH600000")[0] == BARS


def test_volumes_in_lots_are_found_by_the_mean_price_and_turned_into_shares(tmp_path):
    path = write_csv(tmp_path / "a.csv", BARS, lots=True)
    bars, unit = read_bars_csv(path, "SH600000")
    assert unit == "lots"
    assert bars == BARS


@given(
    seed=st.integers(0, 50),
    start=st.sampled_from([1.5, 10.0, 300.0, 1800.0]),
    volume=st.sampled_from([("shares", 1, "股"), ("lots", 100, "手")]),
    amount=st.sampled_from(
        [("CNY", 1, "元"), ("thousand CNY", 1000, "千元"), ("ten thousand CNY", 10_000, "万元")]
    ),
    named=st.tuples(st.booleans(), st.booleans()),
)
def test_every_pair_of_units_gives_the_same_bars_and_is_told(
    tmp_path_factory, seed, start, volume, amount, named
):
    bars = walk("SH600000", sessions(30), seed=seed, start=start)
    written = replace(bars, volume=bars.volume / volume[1], amount=bars.amount / amount[1])
    headers = {"volume": f"成交量({volume[2]})"} if named[0] else {}
    headers |= {"amount": f"成交额（{amount[2]}）"} if named[1] else {}
    path = write_csv(tmp_path_factory.mktemp("units") / "a.csv", written, headers=headers)
    read, told = read_bars_csv(path, "SH600000")
    np.testing.assert_array_equal(read.volume, bars.volume)
    np.testing.assert_allclose(read.amount, bars.amount, rtol=1e-6)
    assert told == volume[0] + ("" if amount[1] == 1 else f" with amounts in {amount[0]}")


@pytest.mark.parametrize("headers", [{}, {"volume": "成交量(股)"}])
def test_units_that_fit_no_price_are_told_as_unclear(tmp_path, headers):
    odd = replace(BARS, volume=BARS.volume * 37)
    bars, told = read_bars_csv(write_csv(tmp_path / "a.csv", odd, headers=headers), "SH600000")
    assert told == "unclear units"
    np.testing.assert_array_equal(bars.volume, odd.volume)


def test_a_unit_in_the_header_that_nobody_knows_is_refused(tmp_path):
    path = write_csv(tmp_path / "a.csv", BARS, headers={"amount": "成交额(桶)"})
    with pytest.raises(BadTable, match=r"unit of amount: found '桶', expected one of 元"):
        read_bars_csv(path, "SH600000")


def test_without_amounts_shares_are_assumed_and_said_so(tmp_path):
    bars, unit = read_bars_csv(write_csv(tmp_path / "a.csv", BARS, amount=False), "SH600000")
    assert unit == "assumed shares"
    np.testing.assert_array_equal(bars.volume, BARS.volume)
    assert np.isnan(bars.amount).all()


@pytest.mark.parametrize(
    ("header", "said"), [("成交量(手)", "lots"), ("总手", "lots"), ("volume_shares", "shares")]
)
def test_a_header_that_names_a_unit_is_believed_without_amounts(tmp_path, header, said):
    path = write_csv(
        tmp_path / "a.csv",
        BARS,
        lots=said == "lots",
        amount=False,
        headers={"volume": header},
        encoding="gb18030",
    )
    bars, unit = read_bars_csv(path, "SH600000")
    assert unit == said
    np.testing.assert_array_equal(bars.volume, BARS.volume)


def test_other_columns_and_their_order_do_not_matter(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name,volume,close,low,high,open,date\nx,100,1.5,1,2,1,2018-06-29\n")
    assert read_bars_csv(path, "SH600000")[0].high.tolist() == [2.0]


@pytest.mark.parametrize(
    ("text", "seen", "expected"),
    [
        ("date,open,high,low,volume\n2018-06-29,1,1,1,1\n", "date,open,high,low,volume", "close not found"),
        (
            "date,open,high,low,close,volume\nsoon,1,1,1,1,1\n",
            "line 2, column date: found 'soon'",
            "such as 2018-06-29",
        ),
        ("date,open,high,low,close,volume\n2018-02-30,1,1,1,1,1\n", "'2018-02-30'", "a date"),
        (
            "date,open,high,low,close,volume\n2018-06-29,1,1,1,1,1\n2018-06-30,1,x,1,1,1\n",
            "line 3, column high: found 'x'",
            "a number",
        ),
        ("date,open,high,low,close,volume\n2018-06-29,1,1\n", "rows", "6 columns a row"),
        ("", "header", "columns date"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_what_was_expected(tmp_path, text, seen, expected):
    path = tmp_path / "SH600000.csv"
    path.write_text(text)
    with pytest.raises(BadTable) as caught:
        read_bars_csv(path, "SH600000")
    message = str(caught.value)
    assert "SH600000.csv" in message
    assert seen in message
    assert expected in message
    assert "\n" not in message


def test_a_folder_gives_codes_by_file_name_and_lists_what_it_skips(tmp_path):
    write_csv(tmp_path / "600000.csv", BARS)
    write_csv(tmp_path / "SZ000001.csv", walk("SZ000001", sessions(5)))
    write_csv(tmp_path / "notes.csv", BARS)
    write_csv(tmp_path / "sh600000.csv", BARS)
    source = CsvSource(tmp_path)
    assert source.codes() == ["SH600000", "SZ000001"]
    assert set(source.skipped) == {"notes.csv", "sh600000.csv"}


def test_an_empty_folder_is_said_to_be_one(tmp_path):
    with pytest.raises(NoBarsFound, match=r"No bars in .*SH600000.csv"):
        CsvSource(tmp_path)


numbers = st.floats(allow_nan=True, allow_infinity=False, width=64)


@given(st.lists(st.tuples(numbers, st.integers(0, 2**53)), min_size=1, max_size=20))
def test_numbers_come_back_from_our_csv_to_the_last_bit(tmp_path_factory, rows):
    values, volumes = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    bars = Bars.of(
        "SH600000", date=np.datetime64("2000-01-03") + np.arange(len(rows)), close=values, volume=volumes
    )
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(table_text(bars.columns()))
    assert read_bars_csv(path, "SH600000")[0] == bars


cells = st.one_of(
    st.sampled_from(
        ["", "nan", "inf", "-inf", "-1", "0", "1e308", "1e999", "1,5", '"', "2018-06-29", "20180629", "一"]
    ),
    st.text(max_size=8),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
)


def fuzz_csv(tmp_path_factory, table, encoding, separator, torn):
    text = "\n".join(separator.join(row) for row in table)
    data = (b"\xef\xbb\xbf" if torn % 2 else b"") + text.encode(encoding, "replace")
    path = tmp_path_factory.mktemp("fuzz") / "SH600000.csv"
    path.write_bytes(data[: len(data) - torn] if torn < len(data) else data)
    try:
        bars, _ = read_bars_csv(path, "SH600000")
    except FinancialModelError as error:
        assert "\n" not in str(error)
        return
    assert len(bars) < len(table)


tables = st.lists(st.lists(cells, min_size=6, max_size=7), max_size=6).map(
    lambda rows: [["date", "open", "high", "low", "close", "volume"], *rows]
) | st.lists(st.lists(cells, max_size=8), max_size=6)
fuzz = given(
    tables, st.sampled_from(["utf-8", "gb18030", "utf-16"]), st.sampled_from(",;\t"), st.integers(0, 5)
)


@settings(max_examples=200, deadline=None)
@fuzz
def test_any_csv_is_read_or_refused_in_one_clear_line(tmp_path_factory, table, encoding, separator, torn):
    fuzz_csv(tmp_path_factory, table, encoding, separator, torn)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@fuzz
def test_any_csv_is_read_or_refused_ten_thousand_times(tmp_path_factory, table, encoding, separator, torn):
    fuzz_csv(tmp_path_factory, table, encoding, separator, torn)


def tdx_export(bars: Bars, adjustment: str = "不复权") -> bytes:
    """A text export of a 通达信 client: a title, tabs, GBK, and a last line that names the source."""
    lines = [
        f"600000 浦发银行 日线 {adjustment}",
        "      日期\t    开盘\t    最高\t    最低\t    收盘\t    成交量\t    成交额",
    ]
    for k in range(len(bars)):
        row = (
            bars.date[k].item().strftime("%Y/%m/%d"),
            bars.open[k],
            bars.high[k],
            bars.low[k],
            bars.close[k],
        )
        lines.append("\t".join(str(cell) for cell in (*row, int(bars.volume[k]), bars.amount[k])))
    return ("\r\n".join([*lines, "数据来源:通达信"]) + "\r\n").encode("gb18030")


def test_the_text_export_of_a_local_client_is_read_under_its_own_name(tmp_path):
    (tmp_path / "SH#600000.txt").write_bytes(tdx_export(BARS))
    source = CsvSource(tmp_path)
    assert source.codes() == ["SH600000"]
    assert source.fetch_bars("SH600000") == BARS


@pytest.mark.parametrize("adjustment", ["前复权", "后复权"])
def test_an_export_of_adjusted_prices_is_refused(tmp_path, adjustment):
    (tmp_path / "SH#600000.txt").write_bytes(tdx_export(BARS, adjustment))
    with pytest.raises(BadTable, match="不复权"):
        CsvSource(tmp_path).fetch_bars("SH600000")


@pytest.mark.parametrize(
    ("codes", "seen"),
    [
        (("600000.SH", "000001.SZ"), "600000.SH, 000001.SZ"),
        (("000001.SZ",), "000001.SZ"),
        (("600000.SH",), None),
    ],
)
def test_a_file_of_other_stocks_than_its_name_says_is_refused(tmp_path, codes, seen):
    rows = [f"{codes[k % len(codes)]},2024060{3 + k},10,11,9,10,100" for k in range(4)]
    path = tmp_path / "SH600000.csv"
    path.write_text("\n".join(["ts_code,trade_date,open,high,low,close,vol", *rows]), encoding="utf-8")
    if seen is None:
        assert len(read_bars_csv(path, "SH600000")[0]) == 4
    else:
        with pytest.raises(BadTable, match=seen):
            read_bars_csv(path, "SH600000")


def test_grouped_thousands_and_empty_last_rows_of_a_spreadsheet_are_read(tmp_path):
    path = tmp_path / "SH600000.csv"
    path.write_text('date,open,high,low,close,volume\n2024-06-03,10,11,9,10,"1,794,200"\n,,,,,\n,,,,,\n')
    bars, _ = read_bars_csv(path, "SH600000")
    assert bars.volume.tolist() == [1_794_200.0]
    path.write_text('date,open,high,low,close,volume\n2024-06-03,10,11,9,"1,5",100\n')
    with pytest.raises(BadTable, match="column close"):
        read_bars_csv(path, "SH600000")
