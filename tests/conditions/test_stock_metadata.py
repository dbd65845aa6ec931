from datetime import date

import numpy as np
import pytest

from financial_model.base.config import INDUSTRIES, ConditionSettings
from financial_model.base.workspace import Workspace
from financial_model.conditions.stock_metadata import (
    GROUP_OF_NAME,
    SHENWAN_VERSIONS,
    Industries,
    industry_column,
    industry_group,
)
from financial_model.data.panel import Panel
from financial_model.data.reference_store import ReferenceStore, read_facts

# (code, day, group, the source's own name): stocks that people know, over the versions of Shenwan.
KNOWN_CASES = [
    ("SZ000001", "2010-01-04", "finance", "金融"),  # Ping An Bank
    ("SZ000001", "2014-01-02", "finance", "银行"),
    ("SZ000001", "2019-12-31", "finance", "银行"),
    ("SH601398", "2010-01-04", "finance", "金融"),  # ICBC
    ("SH601398", "2016-06-30", "finance", "银行"),
    ("SH601988", "2012-06-29", "finance", "金融"),  # Bank of China
    ("SZ000776", "2006-06-30", "industrial", "交通"),  # GF Securities before its back-door listing
    ("SZ000776", "2008-06-30", "finance", "金融"),
    ("SZ000776", "2015-06-12", "finance", "非银金融"),
    ("SH601099", "2013-12-31", "finance", "金融"),  # Pacific Securities
    ("SZ002594", "2012-06-29", "consumer", "交运"),  # BYD: cars
    ("SZ002594", "2018-12-28", "consumer", "汽车"),
    ("SZ000651", "2015-06-12", "consumer", "家用电器"),  # Gree
    ("SH600690", "2010-06-30", "consumer", "家电"),  # Haier
    ("SH600887", "2018-06-29", "consumer", "食品"),  # Yili
    ("SH600900", "2010-06-30", "utilities", "公用事业"),  # Yangtze Power
    ("SH600011", "2015-06-12", "utilities", "公用事业"),  # Huaneng Power
    ("SH600008", "2005-06-30", "utilities", "公用"),  # Capital Environment
    ("SH600019", "2010-06-30", "materials", "钢铁"),  # Baosteel
    ("SH600585", "2010-06-30", "materials", "建筑"),  # Conch Cement: 25 is building materials ...
    ("SH601668", "2010-06-30", "industrial", "建筑"),  # ... and CSCEC: 25 is construction too
    ("SH600585", "2015-06-12", "materials", "建筑材料"),
    ("SH601668", "2015-06-12", "industrial", "建筑装饰"),
    ("SH601766", "2010-06-30", "industrial", "交运"),  # CRRC: trains, not cars
    ("SH601766", "2016-06-30", "industrial", "机械设备"),
    ("SZ300750", "2018-12-28", "industrial", "电气设备"),  # CATL
    ("SZ002371", "2012-06-29", "technology", "电子"),  # Naura
    ("SH600570", "2005-06-30", "technology", "服务"),  # Hundsun
    ("SH600588", "2016-06-30", "technology", "计算机"),  # Yonyou
    ("SH600498", "2010-06-30", "telecom", "IT设备"),  # FiberHome
    ("SH600498", "2016-06-30", "telecom", "通信"),
    ("SH600489", "2012-06-29", "materials", "有色"),  # Zhongjin Gold
    ("SH600489", "2015-06-12", "materials", "有色金属"),
    ("SZ000671", "2005-06-30", "other", "综合"),  # Yango, before it was a developer
    ("SZ000671", "2015-06-12", "real_estate", "房地产"),
    ("SZ300347", "2015-06-12", "healthcare", "医药"),  # Tigermed
    ("SZ002001", "2015-06-12", "healthcare", "医药生物"),  # NHU
    ("SH600871", "2010-06-30", "materials", "化工"),  # Yizheng Chemical Fibre ...
    ("SH600871", "2016-06-30", "energy", "采掘"),  # ... and what Sinopec Oilfield Service made of it
    ("SH600893", "2005-06-30", "consumer", "农业"),  # Jifa, then AECC Aviation Power
    ("SH600893", "2012-06-29", "industrial", "交运"),
    ("SH600893", "2016-06-30", "industrial", "国防军工"),
    ("SH600029", "2012-06-29", "industrial", "交通"),  # China Southern Airlines
    ("SZ000009", "2012-06-29", "real_estate", "地产"),  # China Baoan
    ("SZ000009", "2016-06-30", "other", "综合"),
]


@pytest.fixture(scope="module")
def real_industries(real_data, tmp_path_factory) -> Industries:
    workspace = Workspace(tmp_path_factory.mktemp("industries"))
    facts = read_facts(real_data / "reference" / "industries.csv", "industries")
    store = ReferenceStore(workspace)
    store.write("industries", facts.columns)
    return Industries.read(store)


@pytest.mark.real_data
@pytest.mark.parametrize(("code", "day", "group", "name"), KNOWN_CASES)
def test_a_well_known_stock_is_in_the_industry_its_source_says(real_industries, code, day, group, name):
    row = real_industries.rows_on(code, np.array([day], dtype="datetime64[D]"))[0]
    assert (INDUSTRIES[real_industries.group[row]], real_industries.name[row]) == (group, name)


@pytest.mark.real_data
def test_every_real_row_can_be_read_and_only_conglomerates_are_other(real_industries):
    assert len(real_industries.group) == 2212
    others = real_industries.group == INDUSTRIES.index("other")
    prefixes = {code[:2] for code in real_industries.facts["source_code"][others]}
    assert prefixes == {"51"}
    assert all(real_industries.name)


@pytest.mark.real_data
def test_no_stock_has_an_industry_before_its_first_row(real_industries):
    day = np.array(["1989-01-01"], dtype="datetime64[D]")
    assert all(real_industries.rows_on(code, day)[0] < 0 for code in ("SZ000001", "SH600000", "SH601398"))


def test_a_prefix_is_read_with_the_version_of_its_row():
    assert industry_group("SW_old", "金融", "440101", date(2013, 12, 31))[0] == INDUSTRIES.index("finance")
    assert industry_group("SW_old", "", "440101", date(2014, 1, 1))[0] == INDUSTRIES.index("other")
    assert industry_group("SW2021", "煤炭", "740101", date(2022, 1, 4))[0] == INDUSTRIES.index("energy")
    assert industry_group("SW_old", "", "740101", date(2019, 1, 2))[0] == INDUSTRIES.index("other")
    # A scheme that names its version is believed also on an earlier day.
    assert industry_group("SW2021", "环保", "760101", date(2013, 1, 4))[0] == INDUSTRIES.index("utilities")


def test_groups_of_shenwan_2021_are_those_of_the_market_rules():
    rules = {
        "finance": "48 49",
        "consumer": "11 28 33 34 35 36 45 46 77",
        "technology": "27 71 72",
        "healthcare": "37",
        "industrial": "42 62 63 64 65",
        "materials": "22 23 24 61",
        "energy": "74 75",
        "utilities": "41 76",
        "real_estate": "43",
        "telecom": "73",
        "other": "51",
    }
    expected = {prefix: group for group, prefixes in rules.items() for prefix in prefixes.split()}
    assert {prefix: group for prefix, (group, _) in SHENWAN_VERSIONS[-1][2].items()} == expected


def test_names_alone_are_enough_and_a_code_s_digits_never_are():
    assert industry_group("TDX", "银行", "X500102", date(2024, 1, 2)) == (0, "银行")
    assert industry_group("TDX", "", "T1001", date(2024, 1, 2)) == (INDUSTRIES.index("other"), "")
    assert industry_group("mine", "healthcare", "", date(2024, 1, 2)) == (3, "healthcare")
    assert industry_group("mine", "奇怪的行业", "370101", date(2024, 1, 2)) == (10, "奇怪的行业")
    assert set(GROUP_OF_NAME.values()) == set(range(len(INDUSTRIES)))


@pytest.fixture
def dated(tmp_path):
    """One stock: electronics from 2015, software from 2016-07 on, written down in 2017; ended in 2018."""
    store = ReferenceStore(Workspace(tmp_path))
    store.write(
        "industries",
        {
            "code": ["SH600001", "SH600001"],
            "from": ["2015-01-05", "2016-07-01"],
            "to": ["2016-07-01", "2018-01-02"],
            "scheme": ["SW2014", "SW2014"],
            "industry": ["电子", "银行"],
            "source_code": ["270101", "480101"],
            "updated": ["2015-01-05", "2017-03-01"],
        },
    )
    days = np.array(
        ["2014-12-31", "2015-01-05", "2016-06-30", "2016-07-01", "2017-03-01", "2018-01-02"],
        dtype="datetime64[D]",
    )
    panel = Panel.from_columns(["SH600001"] * 6 + ["SH600002"] * 6, np.tile(days, 2), {"close": np.ones(12)})
    return panel, store


def words(panel, store, **settings):
    column = industry_column(panel, store, ConditionSettings(**settings))
    return [INDUSTRIES[value] for value in column]


def test_a_row_holds_from_its_first_day_to_the_day_before_its_end(dated):
    expected = ["other", "technology", "technology", "finance", "finance", "other"]
    assert words(*dated) == expected + ["other"] * 6


def test_strictly_a_row_counts_from_the_day_it_was_written(dated):
    # Between the end of the old row and the writing of the new one nobody knew.
    expected = ["other", "technology", "technology", "other", "finance", "other"]
    assert words(*dated, industry_dates="written") == expected + ["other"] * 6


def test_without_any_classification_all_is_other(tmp_path):
    panel = Panel.from_columns(["SH600001"], ["2020-01-02"], {"close": np.ones(1)})
    assert words(panel, ReferenceStore(Workspace(tmp_path))) == ["other"]
