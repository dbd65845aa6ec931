"""Files of the store that are read as one text say what each says by itself."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.errors import BadTable, FinancialModelError
from financial_model.data import store_csv
from financial_model.data.csv_source import table_text
from financial_model.data.source import Bars
from financial_model.data.store_csv import HEADER, count_lines, read_store_csv, read_store_csvs

ROW = b"2018-06-29,10.1,10.5,10,10.2,700,7140\n"
LATER = b"2018-07-02,10.2,10.3,9.9,10,500,5050\n"
# What a file may hold, as a store writes it or as a user left it.
TEXTS = {
    "ours": HEADER + ROW + LATER,
    "one row": HEADER + ROW,
    "no rows": HEADER,
    "empty": b"",
    "no end": HEADER + ROW + LATER.rstrip(),
    "blank line": HEADER + ROW + b"\n" + LATER,
    "blank end": HEADER + ROW + b"\n\n",
    "windows": (HEADER + ROW + LATER).replace(b"\n", b"\r\n"),
    "a lone return": HEADER + ROW.replace(b"\n", b"\r") + LATER,
    "a return and a blank line": HEADER + ROW.replace(b"\n", b"\r") + b"\n" + LATER,
    "quoted": HEADER + b'"2018-06-29","10.1","10.5","10","10.2","700","7140"\n',
    "an open quote": HEADER + b'"2018-06-29,10.1,10.5,10,10.2,700,7140\n' + LATER,
    "no mark": (HEADER + ROW).removeprefix("\ufeff".encode()),
    "no amount": b"date,open,high,low,close,volume\n2018-06-29,10.1,10.5,10,10.2,700\n",
    "amount unknown": HEADER + b"2018-06-29,10.1,10.5,10,10.2,700,\n" + LATER,
    "close unknown": HEADER + b"2018-06-29,10.1,10.5,10,,700,7140\n" + LATER,
    "too few": HEADER + b"2018-06-29,10.1\n",
    "too many": HEADER + ROW.rstrip() + b",9\n",
    "no number": HEADER + ROW.replace(b"10.5", b"ten"),
    "no date": HEADER + ROW.replace(b"2018-06-29", b"yesterday"),
    "chinese": "日期,开盘,最高,最低,收盘,成交量\n2018-06-29,10.1,10.5,10,10.2,700\n".encode("gb18030"),
    "noise": b"\x00\xff\x13,\n\n\r",
}


def written(folder, texts):
    codes = [f"SH6000{k:02}" for k in range(len(texts))]
    for code, text in zip(codes, texts, strict=True):
        (folder / f"{code}.csv").write_bytes(text)
    return codes


def alone(folder, code):
    try:
        return read_store_csv(folder / f"{code}.csv", code)
    except FinancialModelError as error:
        return error


def same(one, other):
    return one == other if isinstance(one, Bars) else (type(one), str(one)) == (type(other), str(other))


@given(st.lists(st.sampled_from(sorted(TEXTS)), max_size=6))
def test_files_read_as_one_say_what_each_says_alone(tmp_path_factory, kinds):
    folder = tmp_path_factory.mktemp("store")
    codes = written(folder, [TEXTS[kind] for kind in kinds])
    found = read_store_csvs(folder, codes)
    assert len(found) == len(codes)
    assert all(same(one, alone(folder, code)) for one, code in zip(found, codes, strict=True))


def test_files_of_the_store_are_parsed_once_and_none_by_itself(tmp_path, monkeypatch):
    days = np.arange("2018-01-01", "2018-04-01", dtype="datetime64[D]")
    bars = [Bars.of("SH600000", date=days[:n], close=np.arange(1.0, n + 1) / 7) for n in (90, 1, 0, 40)]
    codes = written(tmp_path, [table_text(one.columns()) for one in bars])
    monkeypatch.setattr(store_csv, "read_store_csv", None)
    found = read_store_csvs(tmp_path, codes)
    assert [one.columns().keys() for one in found] == [one.columns().keys() for one in bars]
    for one, other in zip(found, bars, strict=True):
        assert all(
            np.array_equal(one.columns()[k], v, equal_nan=k != "date") for k, v in other.columns().items()
        )


def test_a_file_that_is_no_table_stands_as_its_error_among_the_others(tmp_path):
    codes = written(tmp_path, [TEXTS["ours"], TEXTS["no number"], TEXTS["one row"]])
    first, wrong, last = read_store_csvs(tmp_path, codes)
    assert isinstance(wrong, BadTable)
    assert "SH600001.csv" in str(wrong)
    assert (len(first), len(last)) == (2, 1)


@pytest.mark.parametrize("text", [b"", b"a", b"a\n", b"a\n\nb", b"a\n\nb\n"])
def test_lines_are_counted_as_python_does(text):
    assert count_lines(text) == len(text.splitlines())


def test_a_text_that_is_longer_than_a_block_can_be_is_read_file_by_file(tmp_path, monkeypatch):
    codes = written(tmp_path, [TEXTS["ours"], TEXTS["no number"]])
    options = pa.csv.ReadOptions

    def of_short_blocks(**chosen):
        if chosen.get("block_size", 0) > 100:
            raise OverflowError("value too large to convert to int32_t")  # as Arrow says it
        return options(**chosen)

    monkeypatch.setattr(pa.csv, "ReadOptions", of_short_blocks)
    found = read_store_csvs(tmp_path, codes)
    assert all(same(one, alone(tmp_path, code)) for one, code in zip(found, codes, strict=True))
