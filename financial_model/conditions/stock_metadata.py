"""The industry of each stock as of a date, in eleven groups, from dated classifications.

Shenwan gave its level-1 prefixes new meanings twice: 44 was finance until 2013 and is nothing today, 25 was
building materials and construction together. So a row is read with the version that wrote it: the one its
scheme names, else the one in force on its first day. Where only names are given (TDX, a table of one's own)
the name of the broadest group is looked up; a code's digits are never asked, and a row that nobody can
read is `other`.

A row counts from its first day, `from`, up to the day before `to`. That is when Shenwan published it; the
`updated` column of the vendors says when their row was written, often years later, and counting from there
(`IndustryDates` "written", strict point in time) leaves nearly every stock without an industry before
2015-10. It is the option, not the default, because it hides what every investor could read on the day.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.config import INDUSTRIES, ConditionSettings
from ..data.panel import Panel
from ..data.reference_store import Facts, ReferenceStore, hold_from
from .blocks import each_row_in_force

OTHER = INDUSTRIES.index("other")
UNKNOWN_ROW = -1

# Prefix of the Shenwan code -> (group, level-1 name), the longest prefix wins.
Prefixes = dict[str, tuple[str, str]]
SHENWAN_2008: Prefixes = {
    "11": ("consumer", "农林牧渔"),
    "21": ("energy", "采掘"),
    "22": ("materials", "化工"),
    "23": ("materials", "黑色金属"),
    "24": ("materials", "有色金属"),
    "25": ("materials", "建筑建材"),
    "2502": ("industrial", "建筑建材"),  # construction and decoration; 2501 is building materials
    "26": ("industrial", "机械设备"),
    "27": ("technology", "电子元器件"),
    "31": ("consumer", "交运设备"),
    "3103": ("industrial", "交运设备"),  # ships, trains, aircraft; the others are cars, parts, their dealers
    "32": ("technology", "信息设备"),
    "3201": ("telecom", "信息设备"),  # communication equipment; 3202 is computers
    "33": ("consumer", "家用电器"),
    "34": ("consumer", "食品饮料"),
    "35": ("consumer", "纺织服装"),
    "36": ("consumer", "轻工制造"),
    "37": ("healthcare", "医药生物"),
    "41": ("utilities", "公用事业"),
    "42": ("industrial", "交通运输"),
    "43": ("real_estate", "房地产"),
    "44": ("finance", "金融服务"),
    "45": ("consumer", "商业贸易"),
    "46": ("consumer", "餐饮旅游"),
    "47": ("technology", "信息服务"),
    "4701": ("telecom", "信息服务"),  # operators; the others are net services, software, media
    "51": ("other", "综合"),
}
SHENWAN_2014: Prefixes = {
    "11": ("consumer", "农林牧渔"),
    "21": ("energy", "采掘"),
    "22": ("materials", "化工"),
    "23": ("materials", "钢铁"),
    "24": ("materials", "有色金属"),
    "27": ("technology", "电子"),
    "28": ("consumer", "汽车"),
    "33": ("consumer", "家用电器"),
    "34": ("consumer", "食品饮料"),
    "35": ("consumer", "纺织服装"),
    "36": ("consumer", "轻工制造"),
    "37": ("healthcare", "医药生物"),
    "41": ("utilities", "公用事业"),
    "42": ("industrial", "交通运输"),
    "43": ("real_estate", "房地产"),
    "45": ("consumer", "商业贸易"),
    "46": ("consumer", "休闲服务"),
    "48": ("finance", "银行"),
    "49": ("finance", "非银金融"),
    "51": ("other", "综合"),
    "61": ("materials", "建筑材料"),
    "62": ("industrial", "建筑装饰"),
    "63": ("industrial", "电气设备"),
    "64": ("industrial", "机械设备"),
    "65": ("industrial", "国防军工"),
    "71": ("technology", "计算机"),
    "72": ("technology", "传媒"),
    "73": ("telecom", "通信"),
}
SHENWAN_2021: Prefixes = {
    "11": ("consumer", "农林牧渔"),
    "22": ("materials", "基础化工"),
    "23": ("materials", "钢铁"),
    "24": ("materials", "有色金属"),
    "27": ("technology", "电子"),
    "28": ("consumer", "汽车"),
    "33": ("consumer", "家用电器"),
    "34": ("consumer", "食品饮料"),
    "35": ("consumer", "纺织服饰"),
    "36": ("consumer", "轻工制造"),
    "37": ("healthcare", "医药生物"),
    "41": ("utilities", "公用事业"),
    "42": ("industrial", "交通运输"),
    "43": ("real_estate", "房地产"),
    "45": ("consumer", "商贸零售"),
    "46": ("consumer", "社会服务"),
    "48": ("finance", "银行"),
    "49": ("finance", "非银金融"),
    "51": ("other", "综合"),
    "61": ("materials", "建筑材料"),
    "62": ("industrial", "建筑装饰"),
    "63": ("industrial", "电力设备"),
    "64": ("industrial", "机械设备"),
    "65": ("industrial", "国防军工"),
    "71": ("technology", "计算机"),
    "72": ("technology", "传媒"),
    "73": ("telecom", "通信"),
    "74": ("energy", "煤炭"),
    "75": ("energy", "石油石化"),
    "76": ("utilities", "环保"),
    "77": ("consumer", "美容护理"),
}
# first day in force, oldest first
SHENWAN_VERSIONS = (
    (date(1900, 1, 1), "SW2008", SHENWAN_2008),
    (date(2014, 1, 1), "SW2014", SHENWAN_2014),
    (date(2021, 7, 30), "SW2021", SHENWAN_2021),
)
# Names of broad groups that are no Shenwan level-1 name of any version: short forms, and those of TDX.
OTHER_NAMES = {
    "finance": "金融 银行 证券 保险 多元金融 银行类 证券类 保险类",
    "consumer": "农业 家电 食品 纺织 轻工 商贸 旅游 农林牧渔 纺织服饰 酿酒 家居用品 日用化工 汽车类 商业连锁"
    " 商贸代理 酒店餐饮 文教休闲 造纸 餐饮旅游 休闲服务 社会服务 零售 日常消费 可选消费",
    "technology": "IT设备 服务 半导体 元器件 软件服务 互联网 传媒娱乐 广告包装 信息技术 软件 计算机",
    "healthcare": "医药 医疗保健 医疗 生物制药",
    "industrial": "机械 交通 交运 通用机械 工业机械 工程机械 电气设备 电器仪表 运输设备 航空 船舶 运输服务 "
    "仓储物流 交通设施 公共交通 建筑 国防 军工",
    "materials": "化工 有色 钢铁 建材 化纤 矿物制品 建筑材料",
    "energy": "采掘 煤炭 石油 石油石化",
    "utilities": "公用 电力 水务 供气供热 环境保护 环保",
    "real_estate": "地产 房地产",
    "telecom": "电信运营 通信设备 通信",
    "other": "综合 综合类",
}


def _names() -> dict[str, int]:
    """Name of a broad group -> group; names that Shenwan used for a split group keep the larger part."""
    found = {}
    for _, _, prefixes in SHENWAN_VERSIONS:
        for prefix, (group, name) in prefixes.items():
            if len(prefix) == 2:
                found[name] = INDUSTRIES.index(group)
    for group, names in OTHER_NAMES.items():
        for name in names.split():
            found.setdefault(name, INDUSTRIES.index(group))
    return found


GROUP_OF_NAME = _names()


def industry_group(scheme: str, industry: str, source_code: str, since: date) -> tuple[int, str]:
    """(position in INDUSTRIES, the source's own name) of one dated row; `other` where nobody can read it.

    >>> industry_group("SW_old", "金融", "440101", date(1991, 4, 3)), INDUSTRIES[0]
    ((0, '金融'), 'finance')
    >>> industry_group("SW_old", "", "480101", date(2014, 1, 1))
    (0, '银行')
    >>> INDUSTRIES[industry_group("TDX", "酿酒", "T0305", date(2024, 1, 2))[0]]
    'consumer'
    """
    if scheme.upper().startswith("SW") and source_code[:2].isdigit():
        for prefixes in _versions(scheme, since):
            for length in (4, 2):
                if found := prefixes.get(source_code[:length]):
                    return INDUSTRIES.index(found[0]), industry or found[1]
    if industry in INDUSTRIES:  # a table of one's own may name the groups themselves
        return INDUSTRIES.index(industry), industry
    return GROUP_OF_NAME.get(industry, OTHER), industry


def _versions(scheme: str, since: date) -> list[Prefixes]:
    """The version in force on the row's first day; before it, one that the scheme names outright."""
    named = [prefixes for _, name, prefixes in SHENWAN_VERSIONS if scheme.upper() == name]
    return named or [[prefixes for first, _, prefixes in SHENWAN_VERSIONS if first <= since][-1]]


@dataclass(frozen=True, eq=False)
class Industries:
    """The dated rows of industries.csv with their groups, sorted by code, then by the day they count from.

    counts_from, until: datetime64[D], `until` exclusive, NaT open. group: int8. name: the source's own.
    """

    facts: Facts
    counts_from: npt.NDArray[np.datetime64]
    until: npt.NDArray[np.datetime64]
    group: npt.NDArray[np.int8]
    name: npt.NDArray[np.str_]

    @classmethod
    def read(cls, reference: ReferenceStore, dates: str = "start") -> "Industries":
        """dates: "start" counts a row from its first day, "written" from the day it was written if later."""
        facts = reference.read("industries")
        counts_from = facts["known_from"] if dates == "written" else facts["from"]
        order = np.lexsort((facts["from"], counts_from, facts["code"])) if len(facts) else np.empty(0, int)
        facts, counts_from = facts.take(order), counts_from[order]
        columns = [facts[name].tolist() for name in ("scheme", "industry", "source_code")]
        starts = facts["from"].astype(object)
        read = [industry_group(*row) for row in zip(*columns, starts, strict=True)]
        return cls(
            facts,
            counts_from,
            facts["to"],
            np.array([group for group, _ in read], dtype=np.int8),
            np.array([name for _, name in read], dtype=np.str_),
        )

    def rows_on(self, code: str, days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
        """The row that holds for `code` on each of `days` (sorted); UNKNOWN_ROW where there is none.

        Of rows that overlap the one that began last holds. When it has ended without a successor, the
        stock is in no known industry.
        """
        rows = self.facts.rows_of(code)
        first = np.searchsorted(days, self.counts_from[rows])
        found = hold_from(first, np.arange(rows.start, rows.stop), len(days), UNKNOWN_ROW)
        until = hold_from(first, self.until[rows], len(days), np.datetime64("NaT", "D"))
        found[days >= until] = UNKNOWN_ROW
        return found


def industry_column(panel: Panel, reference: ReferenceStore, settings: ConditionSettings) -> npt.NDArray[Any]:
    """The industry group of each row, int8 (N,), positions in INDUSTRIES; `other` where none is known."""
    industries = Industries.read(reference, settings.industry_dates)
    column = np.empty(len(panel), np.int8)
    # Behind the last fact, what NO_FACT finds.
    group = np.append(industries.group, np.int8(OTHER))
    until = np.append(np.searchsorted(panel.sessions, industries.until), len(panel.sessions))

    def fill(rows: slice, fact: npt.NDArray[np.int64], _: npt.NDArray[np.int64]) -> None:
        column[rows] = np.where(panel.session_index[rows] < until[fact], group[fact], OTHER)

    each_row_in_force(panel, industries.facts, industries.counts_from, fill)
    return column
