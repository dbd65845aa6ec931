import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.base.errors import BadTable, FinancialModelError, NoBarsFound
from financial_model.data.tdx_files import TdxFiles, decode_day_records, find_vipdoc, read_day_file
from tests.data.market_makers import day_path, index_walk, sessions, walk, write_day

DATES = sessions(20)


def test_a_stock_comes_back_in_shares_and_cny(tmp_path):
    bars = walk("SZ000001", DATES)
    assert read_day_file(write_day(tmp_path / "sz000001.day", bars), "SZ000001") == bars


def test_the_volume_of_an_index_is_read_as_lots(tmp_path):
    bars = index_walk(DATES)
    assert read_day_file(write_day(tmp_path / "sh000300.day", bars), "SH000300") == bars


def test_a_client_folder_gives_stocks_and_indices_and_leaves_funds_and_bonds(tmp_path):
    for code in ("SH600000", "SZ000001", "BJ920001", "SH510300", "SZ128001", "SH900901"):
        write_day(day_path(tmp_path, code), walk(code, DATES))
    write_day(day_path(tmp_path, "SH000300"), index_walk(DATES))
    vipdoc = find_vipdoc(tmp_path)
    assert vipdoc == tmp_path / "vipdoc" == find_vipdoc(vipdoc)
    assert TdxFiles(vipdoc).codes() == ["BJ920001", "SH000300", "SH600000", "SZ000001"]


def test_a_folder_without_day_files_is_said_to_be_empty(tmp_path):
    (tmp_path / "vipdoc" / "sh" / "lday").mkdir(parents=True)
    with pytest.raises(NoBarsFound, match="day files such as"):
        TdxFiles(tmp_path / "vipdoc")


def test_a_torn_file_is_refused_with_its_length(tmp_path):
    path = write_day(tmp_path / "sh600000.day", walk("SH600000", DATES))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BadTable, match=r"635 bytes.*32 bytes"):
        read_day_file(path, "SH600000")


def test_a_record_without_a_date_is_named(tmp_path):
    path = write_day(tmp_path / "sh600000.day", walk("SH600000", DATES))
    data = bytearray(path.read_bytes())
    data[64:68] = (20181399).to_bytes(4, "little")
    with pytest.raises(BadTable, match=r"record 3.*20181399"):
        decode_day_records(bytes(data), "SH600000", path)


def test_an_amount_that_is_a_signalling_nan_is_unknown_without_a_warning():
    data = (20180629).to_bytes(4, "little") + (100).to_bytes(4, "little") * 4
    data += bytes.fromhex("0000817f") + (100).to_bytes(4, "little") + bytes(4)
    bars = decode_day_records(data, "SH600000", Path("sh600000.day"))
    assert np.isnan(bars.amount).all()


def fuzz_day(data):
    try:
        bars = decode_day_records(data, "SH600000", Path("sh600000.day"))
    except FinancialModelError:
        return
    assert len(bars) == len(data) // 32
    assert not np.isnat(bars.date).any()


records = st.builds(
    lambda day, rest: day.to_bytes(4, "little") + rest,
    st.sampled_from([20180629, 19991231, 0, 2**32 - 1]) | st.integers(0, 2**32 - 1),
    st.binary(min_size=28, max_size=28),
)
day_files = st.binary(max_size=200) | st.lists(records, max_size=6).map(b"".join)


@settings(max_examples=200)
@given(day_files)
def test_any_bytes_are_read_or_refused(data):
    fuzz_day(data)


@pytest.mark.nightly
@settings(max_examples=10_000)
@given(day_files)
def test_any_bytes_are_read_or_refused_ten_thousand_times(data):
    fuzz_day(data)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders there")
def test_a_pipe_that_is_named_like_a_day_file_is_not_waited_for(tmp_path):
    folder = tmp_path / "sh" / "lday"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "sh600000.day")
    with pytest.raises(NoBarsFound):
        TdxFiles(tmp_path)


@pytest.mark.real_data
def test_real_day_files_agree_with_the_csv_of_the_same_stock(real_data):
    from financial_model.data.csv_source import CsvSource

    source, files = CsvSource(real_data / "csv"), TdxFiles(real_data / "vipdoc")
    for code in source.codes()[:5]:
        plain, bars = source.fetch_bars(code), files.fetch_bars(code)
        for name in ("date", "open", "high", "low", "close", "volume"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(bars, name))
