"""A table of stocks that can be searched, narrowed to an industry, sorted by any column and saved."""

import csv
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..base.config import INDUSTRIES
from . import widgets
from .translations import Translate, figure, percent

if TYPE_CHECKING:
    from .frame import Page

Json = dict[str, Any]

MAX_SHOWN = 200
# Column -> kind; in the order shown. A narrow screen leaves the optional ones out; a telephone has the code
# under the name.
COLUMNS: dict[str, str] = {
    "code": "code",
    "name": "name",
    "industry": "industry",
    "close": "price",
    "return_1": "change",
    "return_20": "change",
    "market_cap_cny": "count",
    "turnover": "share",
    "volatility": "share",
    "momentum": "change",
    "pe": "ratio",
    "pb": "ratio",
    "style_size": "bucket",
    "style_value": "bucket",
    "style_volatility": "bucket",
    "style_momentum": "bucket",
    "style_liquidity": "bucket",
}
BUCKETS = tuple(name for name, kind in COLUMNS.items() if kind == "bucket")
OPTIONAL = ("industry", "turnover", "volatility", "momentum", "pe", "pb", *BUCKETS)
NUMBERS = ("price", "change", "count", "share", "ratio")
# A click on a head is told like a click on a row, under this mark.
SORT_MARK = "sort:"


def rows_of(table: Json | None) -> list[Json]:
    """The rows of {"columns", "rows"} as dicts."""
    if not table:
        return []
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def select(
    rows: Iterable[Json], search: str = "", industry: str = "", sort: str = "", descending: bool = True
) -> list[Json]:
    """The rows whose code or name holds `search`, of one industry, sorted; unknown values come last.

    >>> rows = [{"code": "A", "name": "x", "pe": 2.0}, {"code": "B", "name": "y", "pe": None},
    ...         {"code": "C", "name": "z", "pe": 9.0}]
    >>> [row["code"] for row in select(rows, sort="pe")], [row["code"] for row in select(rows, "Z")]
    (['C', 'A', 'B'], ['C'])
    """
    wanted = search.strip().casefold()
    kept = [
        row
        for row in rows
        if (not wanted or wanted in f"{row['code']} {row.get('name') or ''}".casefold())
        and (not industry or row.get("industry") == industry)
    ]
    if not sort:
        return kept
    known = [row for row in kept if row.get(sort) is not None]
    unknown = [row for row in kept if row.get(sort) is None]
    return sorted(known, key=lambda row: row[sort], reverse=descending) + unknown


def stock_table(
    t: Translate, rows: Sequence[Json], sort: str, descending: bool, shown: int = MAX_SHOWN
) -> str:
    """The first rows as HTML; heads sort, each a button to the keyboard too."""
    heads = []
    for name, kind in COLUMNS.items():
        arrow = ("▾" if descending else "▴") if name == sort else ""
        heads.append(
            f'<th class="{_classes(name, kind)}" data-code="{SORT_MARK}{name}" tabindex="0">'
            f"{escape(t(f'universe.column.{name}'))}<i>{arrow}</i></th>"
        )
    body = []
    for row in rows[:shown]:
        cells = "".join(
            f'<td class="{_classes(name, kind)}">{_cell(t, name, kind, row)}</td>'
            for name, kind in COLUMNS.items()
        )
        body.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll tall"><table class="plain sortable"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _classes(name: str, kind: str) -> str:
    return " ".join(
        [
            *(["number"] if kind in NUMBERS else []),
            *(["optional-column"] if name in OPTIONAL else []),
            *(["wide-only"] if kind == "code" else ["named"] if kind == "name" else []),
        ]
    )


def _cell(t: Translate, name: str, kind: str, row: Json) -> str:
    value = row.get(name)
    if kind == "code":
        return f"<code>{escape(str(value))}</code>"
    if kind == "name":
        tags = [widgets.tag("ST", "warn")] if row.get("is_st") else []
        if row.get("is_suspended"):
            tags.append(widgets.tag(t("universe.suspended"), "warn"))
        code = f'<small class="narrow-only"><code>{escape(str(row["code"]))}</code></small>'
        return " ".join([escape(str(value or "—")), *tags, code])
    if kind == "industry":
        own = escape(str(row.get("source_industry") or ""), quote=True)
        return f'<span title="{own}">{escape(t.choice("industry", value))}</span>'
    if kind == "bucket":
        return escape(t.choice(f"bucket.{name.removeprefix('style_')}", value))
    if value is None:
        return "—"
    if kind == "change":
        color = "rise" if value > 0 else "fall" if value < 0 else ""
        return f'<span class="{color}">{percent(value, 1, signed=True)}</span>'
    if kind == "count":
        return escape(t.count(value))
    return percent(value, 1) if kind == "share" else figure(value, 2 if kind == "price" else 1)


def to_csv(table: Json, as_of: str, is_simulated: bool) -> str:
    """The whole table as CSV text; every row says its as-of date and whether it is simulated."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*table["columns"], "as_of", "simulated"])
    for row in table["rows"]:
        writer.writerow([*(plain(value) for value in row), as_of, int(is_simulated)])
    return out.getvalue()


def plain(value: Any) -> Any:
    """A cell that a spreadsheet will not run as a formula.

    >>> plain("=1+1"), plain(-2.5), plain(None)
    ("'=1+1", -2.5, '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def industry_menu(page: "Page", min_width: int) -> gr.Dropdown:
    """The menu that narrows a table of stocks to one industry, or to none."""
    return page.retell(
        gr.Dropdown(
            industry_choices(page.t),
            value="",
            show_label=False,
            min_width=min_width,
            scale=0,
            filterable=False,
            label=page.t("universe.industry"),
        ),
        lambda t: {"choices": industry_choices(t), "label": t("universe.industry")},
    )


def industry_choices(t: Translate) -> list[tuple[str, str]]:
    return [(t("universe.all_industries"), ""), *((t(f"industry.{name}"), name) for name in INDUSTRIES)]
