"""How a backtest is laid out on the report page."""

import json
from html import escape
from typing import Any

from .report_layout import DATE_AXIS, MARGIN, Page, number, percent
from .report_texts import BLOCK_REASONS, LANGUAGES

Json = dict[str, Any]


def lay_out_backtest(page: Page, result: Json) -> None:
    """All sections of one backtest."""
    _headline(page, result)
    page.notes(result.get("notes") or [])
    _equity(page, result)
    _drawdown(page, result)
    _turnover(page, result)
    _costs(page, result)
    _blocked(page, result)
    _years(page, result)
    shown = escape(json.dumps(result["settings"], ensure_ascii=False, indent=1))
    title = escape(page.text("settings"))
    fingerprint = f'<p class="note">{page.text("fingerprint")} {escape(str(result["data_fingerprint"]))}</p>'
    page.section(
        "settings", f"{fingerprint}<details><summary>{title}</summary><pre>{shown}</pre></details>", wide=True
    )


def _headline(page: Page, result: Json) -> None:
    summary, costs = result["summary"], result["costs"]
    portfolio = summary["portfolio"]
    figures = [
        (page.text("excess"), _yearly(summary["excess"])),
        (page.text("excess.universe"), _yearly(summary["excess_universe"])),
        (page.text("sharpe"), number(portfolio["sharpe"], 2)),
        (page.text("max_drawdown"), percent(portfolio["max_drawdown"])),
        (page.text("two_way"), percent(summary["turnover"])),
        (page.text("cost"), percent(costs["yearly_share"])),
        (page.text("blocked"), f"{result['orders']['blocked']:,}"),
    ]
    purse = result["capacity"]["purse_cny"]
    if purse is not None:
        figures.append((page.text("capacity"), f"{purse / 1e6:,.0f} M CNY"))
    cells = "".join(f"<div><span>{escape(name)}</span><b>{value}</b></div>" for name, value in figures)
    facts = " · ".join(
        [
            page.text("out_of_sample"),
            escape(result["name"]),
            f"{result['first']} – {result['last']}",
            f"{result['session_count']:,} {page.text('sessions')}",
            f"{result['stock_count']:,} {page.text('stocks')}",
        ]
    )
    page.sections.append(
        f'<section class="wide"><p class="note">{facts}</p>'
        f'<div class="big">{percent(portfolio["annualised"])}<small>{page.text("annual")}</small></div>'
        f'<p class="verdict">{escape(result["headline"][page.lang])}</p>'
        f'<div class="figures">{cells}</div>'
        f'<p class="note">{escape(page.text("index.price"))}</p></section>'
    )


def _yearly(mean: Json) -> str:
    error = "" if mean["annualised_se"] is None else f" <small>± {100 * mean['annualised_se']:.1f}</small>"
    return percent(mean["annualised"]) + error


def _line(x: list[str], y: list[float | None], colour: str, name: str, width: float = 2) -> Json:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": width},
        "hovertemplate": "%{x}: %{y:.3f}<extra>" + escape(name) + "</extra>",
    }


def _equity(page: Page, result: Json) -> None:
    curve = result["curve"]
    names = [page.text("portfolio"), result["index"], page.text("universe")]
    lines = [("equity", "--accent"), ("index", "--ink"), ("universe", "--earlier")]
    data = [
        _line(curve["session"], curve[key], colour, name)
        for (key, colour), name in zip(lines, names, strict=True)
    ]
    ends = [
        {
            "x": 1.005,
            "xref": "paper",
            "xanchor": "left",
            "y": curve[key][-1],
            "text": escape(name),
            "showarrow": False,
            "font": {"color": colour, "size": 12},
        }
        for (key, colour), name in zip(lines, names, strict=True)
        if curve[key][-1] is not None
    ]
    body = page.figure(
        "equity",
        data,
        320,
        xaxis=DATE_AXIS,
        yaxis={"tickformat": ".2f"},
        annotations=ends,
        margin={**MARGIN, "r": 96},
    )
    page.section("equity", body, note="equity.note", wide=True)


def _drawdown(page: Page, result: Json) -> None:
    curve = result["curve"]
    data = [
        _line(curve["session"], curve["drawdown"], "--down", page.text("drawdown"), 1.5) | {"fill": "tozeroy"}
    ]
    body = page.figure("drawdown", data, 240, xaxis=DATE_AXIS, yaxis={"tickformat": ".0%"})
    page.section("drawdown", body)


def _turnover(page: Page, result: Json) -> None:
    curve = result["curve"]
    data = [
        {
            "type": "bar",
            "x": curve["session"],
            "y": curve["turnover"],
            "marker": {"color": "--accent", "opacity": 0.55},
            "hovertemplate": "%{x}: %{y:.1%}<extra></extra>",
        }
    ]
    body = page.figure("turnover", data, 240, xaxis=DATE_AXIS, yaxis={"tickformat": ".0%"})
    page.section("turnover", body)


def _costs(page: Page, result: Json) -> None:
    costs = result["costs"]
    kinds = ("commission", "exchange_fees", "dividend_tax", "slippage", "total")
    rows = [[escape(page.text(f"cost.{kind}")), f"{costs[kind]:,.0f}"] for kind in kinds]
    page.section("costs", page.table(["", "CNY"], rows))


def _blocked(page: Page, result: Json) -> None:
    orders = result["orders"]
    rows = [[escape(page.text(f"orders.{kind}")), f"{orders[kind]:,}"] for kind in ("bought", "sold")]
    language = LANGUAGES.index(page.lang)
    rows += [
        [escape(BLOCK_REASONS[kind][language]), f"{count:,}"] for kind, count in result["blocked"].items()
    ]
    page.section("orders", page.table(["", page.text("count")], rows))


def _years(page: Page, result: Json) -> None:
    rows = [
        [row["name"], percent(row["return"]), percent(row["index"]), percent(row["max_drawdown"])]
        for row in result["by_year"]
    ]
    head = ["", page.text("portfolio"), escape(result["index"]), page.text("max_drawdown")]
    page.section("by.year", page.table(head, rows), wide=True)
