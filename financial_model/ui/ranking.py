"""The ranking of the universe as a table: score, a small interval a row, tags of what cannot be traded."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from . import widgets
from .forecast_charts import simple
from .job import Job
from .stock_table import to_csv
from .translations import Translate, figure, percent

if TYPE_CHECKING:
    from .frame import Page

Json = dict[str, Any]

MAX_SHOWN = 200


def ranked(
    page: "Page",
    t: Translate,
    job: Job | None,
    scan: Json | None,
    find: str,
    industry: str,
    tradable: bool,
    chosen: str | None,
) -> list[str]:
    """The head of the card, with the link to all of it as CSV, and the rows that fit."""
    title = escape(t("inference.ranking"))
    if not scan or job is None:
        return [
            f"<header><h3>{title}</h3></header>",
            f'<p class="help">{escape(t("inference.ranking.empty"))}</p>',
        ]
    rows = narrow(scan["ranking"], find, industry, tradable)
    mark = widgets.tag(t("word.practice_tag"), "warn") if scan.get("is_simulated") else ""
    sub = t("inference.ranking.sub", count=f"{len(rows):,}", date=scan["as_of"])
    practice = "practice_" if scan.get("is_simulated") else ""
    address = page.files.offer_csv(
        f"ranking {job.id}",
        f"{practice}ranking_{scan['as_of']}.csv",
        lambda: to_csv(ranking_columns(scan["ranking"]), scan["as_of"], bool(scan.get("is_simulated"))),
    )
    head = (
        f'<header><h3>{title}</h3>{mark}<span class="sub">{escape(sub)}</span>'
        f'<a class="link-button" href="{address}" download>{escape(t("word.export_csv"))}</a></header>'
    )
    notes = [t("inference.ranking.note")]
    if len(rows) > MAX_SHOWN:
        notes.insert(0, t("inference.ranking.more", count=MAX_SHOWN))
    told = widgets.notes(t.language, scan)
    body = f'{told}<div class="scroll ranking-scroll">{ranking_table(t, rows, chosen)}</div>'
    return [head, f'{body}<p class="note">{escape(" ".join(notes))}</p>']


def narrow(rows: Sequence[Json], search: str = "", industry: str = "", tradable: bool = False) -> list[Json]:
    """The rows that fit; `tradable` leaves out what closed at a limit or is under special treatment.

    >>> rows = [{"code": "A", "name": "x", "limit": "up", "is_st": False, "industry": "other"}]
    >>> len(narrow(rows, "a")), len(narrow(rows, tradable=True))
    (1, 0)
    """
    wanted = search.strip().casefold()
    return [
        row
        for row in rows
        if (not wanted or wanted in f"{row['code']} {row['name']}".casefold())
        and (not industry or row["industry"] == industry)
        and not (tradable and (row["limit"] or row["is_st"]))
    ]


def ranking_table(t: Translate, rows: Sequence[Json], chosen: str | None) -> str:
    """The first rows as HTML; each is a choice, told by its code."""
    shown = rows[:MAX_SHOWN]
    if not shown:
        return f'<p class="help">{escape(t("inference.ranking.none"))}</p>'
    ends = [abs(simple(row[name])) for row in shown for name in ("q05", "q95")]
    # One wild interval must not flatten all the others.
    reach = sorted(ends)[int(0.97 * (len(ends) - 1))] or 0.01
    heads = [t(f"inference.ranking.{name}") for name in ("rank", "name", "industry", "score", "interval")]
    cells = [
        (
            row["rank"],
            widgets.Markup(_named(t, row)),
            t.choice("industry", row["industry"]),
            figure(row["score"], 2),
            widgets.Markup(interval_bar(row, reach)),
        )
        for row in shown
    ]
    return widgets.table(
        heads, cells, numbers=(0, 3), optional=(2,), codes=[row["code"] for row in shown], chosen=chosen
    )


def _named(t: Translate, row: Json) -> str:
    tags = []
    if row["limit"]:
        tags.append(widgets.tag(t(f"inference.limit.{row['limit']}"), "warn"))
    if row["is_st"]:
        tags.append(widgets.tag("ST", "warn"))
    name = f'<span title="{escape(row["code"], quote=True)}">{escape(row["name"] or row["code"])}</span>'
    return " ".join([name, *tags])


def interval_bar(row: Json, reach: float) -> str:
    """The intervals of the last step around zero, which stands in the middle, as spans of a small bar."""
    q = [simple(row[name]) for name in ("q05", "q25", "q50", "q75", "q95")]

    def place(value: float) -> float:
        return 50 + 50 * max(-1.0, min(1.0, value / reach))

    def span(kind: str, low: float, high: float) -> str:
        left, right = place(low), place(high)
        return f'<i class="{kind}" style="left:{left:.1f}%;width:{max(right - left, 0.5):.1f}%"></i>'

    told = f"{percent(q[0], 1, signed=True)} ~ {percent(q[4], 1, signed=True)}"
    median = f'<i class="median" style="left:{place(q[2]):.1f}%"></i>'
    return (
        f'<span class="interval" role="img" aria-label="{told}" title="{told}"><i class="zero"></i>'
        f"{span('outer', q[0], q[4])}{span('inner', q[1], q[3])}{median}</span>"
    )


def ranking_columns(rows: Sequence[Json]) -> Json:
    """{"columns", "rows"} of a ranking, for its CSV."""
    columns = list(rows[0]) if rows else ["rank", "code"]
    return {"columns": columns, "rows": [[row.get(name) for name in columns] for row in rows]}
