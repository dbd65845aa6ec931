"""The universe as of a date in pictures: what `analyze` returned, in; figures, out."""

from collections.abc import Sequence
from typing import Any

from .candles import MANY, WEEKLY_FROM, candlestick, session_axis, spells, weekly
from .live_chart import card, empty_card, label, practice_mark, x_axis, y_axis
from .theme import mix, token
from .translations import Translate, percent

Json = dict[str, Any]

REGIME_STRIP = 0.075
# Of the width: a narrower spell has no room for its word on any screen; page.js measures the others.
LEAST_NAMED = 0.01
FULL_COLOR_AT, WHITE_TEXT_FROM = 0.07, 0.045
# Facts in the order of the coverage chart, from the top.
FACT_ORDER = (
    "bars",
    "stock_list",
    "industries",
    "share_capital",
    "fundamentals",
    "corporate_actions",
    "st_periods",
)


def _dated(text: str, t: Translate, result: Json) -> str:
    return f"{text} · {t('word.as_of', date=result['as_of'])}"


def index_chart(result: Json | None, t: Translate) -> Json:
    """The index as candles, behind them its regimes, and under them a strip with their names."""
    title = t("universe.chart.index")
    if not result:
        return empty_card(title, t("universe.empty"))
    timeline = result.get("timeline") or {}
    if not timeline.get("date"):
        return empty_card(title, t("universe.no_index"))
    bars = {name: timeline[name] for name in ("date", "open", "high", "low", "close", "regime")}
    is_weekly = len(bars["date"]) > WEEKLY_FROM
    if is_weekly:
        bars = weekly(bars)
    names, count = timeline["names"], len(bars["date"])
    shapes: list[Json] = []
    notes: list[Json] = []
    for value, first, last in spells(bars["regime"]):
        name = names[value]
        if name == "unknown":
            continue
        span = {"type": "rect", "xref": "x", "x0": first - 0.5, "x1": last + 0.5, "line": {"width": 0}}
        shapes.append(
            span
            | {
                "yref": "y domain",
                "y0": 0,
                "y1": 1,
                "layer": "below",
                "fillcolor": token(name, "regime-band"),
            }
        )
        shapes.append(
            span
            | {
                "yref": "paper",
                "y0": 0,
                "y1": REGIME_STRIP,
                "fillcolor": token(name),
                "line": {"width": 1, "color": token("card")},
            }
        )
        room = (last - first + 1) / count
        if room >= LEAST_NAMED:
            notes.append(
                label(
                    t(f"regime.short.{name}"),
                    (first + last) / 2,
                    REGIME_STRIP / 2,
                    yref="paper",
                    xanchor="center",
                    yanchor="middle",
                    xshift=0,
                    font={"size": 11, "color": token("ink")},
                    room=round(room, 4),
                )
            )
    layout = {
        "margin": {"l": 46, "r": 8, "t": 8, "b": 26},
        "shapes": shapes,
        "annotations": notes,
        "hovermode": "x",
        "xaxis": session_axis(bars["date"]) | {"anchor": "free", "position": 0, "showline": False},
        "yaxis": y_axis(domain=[REGIME_STRIP + 0.03, 1], tickformat=",.0f"),
    }
    kind = t("universe.chart.weekly" if is_weekly else "universe.chart.daily")
    regime = result.get("regime") or {}
    note = t("universe.too_short") if regime.get("is_too_short") else ""
    return card(
        title,
        [candlestick(t, bars, filled=is_weekly or count > MANY)],
        layout,
        subtitle=t("universe.chart.index.sub", index=timeline.get("index") or "", kind=kind),
        note=note,
        # A short spell has no room for its name.
        legend=[(t(f"regime.short.{name}"), token(name), "area") for name in names if name != "unknown"],
        name="index_regimes",
        revision=f"{result.get('panel')}{result.get('as_of')}",
        table={
            "date": timeline["date"],
            **{name: timeline[name] for name in ("open", "high", "low", "close")},
            "regime": [names[value] for value in timeline["regime"]],
        },
        mark=practice_mark(t, result.get("simulated")),
    )


def industry_chart(result: Json | None, t: Translate, area: str = "cap", color: str = "return") -> Json:
    """Industries as tiles: area by market cap or count, colour by the return of 20 sessions or industry.

    A tile carries its industry as `customdata`, so that a click can list its stocks.
    """
    title = t("universe.chart.industry")
    rows = [row for row in (result or {}).get("industries", []) if row["stocks"]]
    if not result or not rows:
        return empty_card(title, t("universe.empty"))
    sizes = (
        [row["market_cap_cny"] or 0.0 for row in rows] if area == "cap" else [row["stocks"] for row in rows]
    )
    if not sum(sizes):  # nobody's share capital is known
        area, sizes = "count", [row["stocks"] for row in rows]
    returns = [row["return_20"] for row in rows]
    is_return = color == "return"
    marker: Json = {
        "colors": [_return_color(value) for value in returns]
        if is_return
        else [token(f"industry-{row['industry']}") for row in rows],
        "line": {"color": token("card"), "width": 2},
        "pad": {"t": 0, "l": 0, "r": 0, "b": 0},
    }
    names = [t(f"industry.{row['industry']}") for row in rows]
    trace: Json = {
        "type": "treemap",
        "name": title,
        "labels": names,
        "parents": [""] * len(rows),
        "values": sizes,
        "text": [
            f"{percent(row['return_20'], 1, signed=True)}<br>{t('universe.stocks', count=row['stocks'])}"
            for row in rows
        ],
        "texttemplate": "<b>%{label}</b><br>%{text}",
        "hovertext": [_industry_told(t, row) for row in rows],
        "hoverinfo": "text",
        "customdata": [row["industry"] for row in rows],
        "marker": marker,
        "tiling": {"pad": 0, "packing": "squarify"},
        "pathbar": {"visible": False},
        "root": {"color": "rgba(0,0,0,0)"},
        "sort": True,
    }
    if is_return:
        trace["textfont"] = {"color": [_on_return(value) for value in returns], "size": 12}
    told = t(
        "universe.chart.industry.note",
        area=t(f"universe.area.{area}.sub"),
        color=t(f"universe.color.{color}.sub"),
        date=result["as_of"],
    )
    return card(
        title,
        [trace],
        {
            "margin": {"l": 0, "r": 0, "t": 4, "b": 4},
            "hovermode": "closest",
            # What could only be written too small to be read is told when pointed at.
            "uniformtext": {"minsize": 9, "mode": "hide"},
        },
        note=told,
        name="industries",
        revision=f"{area}{color}",
        table={
            "industry": names,
            "stocks": [row["stocks"] for row in rows],
            "market_cap_cny": [row["market_cap_cny"] for row in rows],
            "return_1": [row["return_1"] for row in rows],
            "return_20": returns,
            "as_of": [result["as_of"]] * len(rows),
        },
        mark=practice_mark(t, result.get("simulated")),
    )


def _return_color(value: float | None) -> str:
    if value is None:
        return token("flat")
    return mix("flat", "up" if value >= 0 else "down", abs(value) / FULL_COLOR_AT)


def _on_return(value: float | None) -> str:
    return token("on-accent" if value is not None and abs(value) > WHITE_TEXT_FROM else "ink")


def _industry_told(t: Translate, row: Json) -> str:
    cap, name = row["market_cap_cny"], t(f"industry.{row['industry']}")
    lines = [
        f"<b>{name}</b> {t('universe.stocks', count=row['stocks'])}",
        f"{t('universe.column.market_cap_cny')} {t.count(cap) if cap else '—'}",
        f"{t('universe.column.return_1')} {percent(row['return_1'], 2, signed=True)}",
        f"{t('universe.column.return_20')} {percent(row['return_20'], 2, signed=True)}",
    ]
    own = "、".join(f"{name} {count}" for name, count in row["source_names"][:6])
    return "<br>".join([*lines, *([own] if own else [])])


def heat_chart(result: Json | None, t: Translate) -> Json:
    """Where each industry stands in each style: median percentile among all stocks that traded."""
    title = t("universe.chart.heat")
    heat = (result or {}).get("heat")
    if not result or not heat:
        return empty_card(title, t("universe.empty"))
    industries = [name for name, stocks in zip(heat["industries"], heat["stocks"], strict=True) if stocks]
    columns = [values for values, stocks in zip(heat["percentile"], heat["stocks"], strict=True) if stocks]
    names = [
        t.choice("industry.short", name) if t.has(f"industry.short.{name}") else t(f"industry.{name}")
        for name in industries
    ]
    styles = [t(f"style.{name.removeprefix('style_')}") for name in heat["styles"]]
    z = [[column[row] for column in columns] for row in range(len(styles))]
    trace = {
        "type": "heatmap",
        "name": title,
        "x": names,
        "y": styles,
        "z": z,
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, token("heat-low")], [0.5, token("heat-mid")], [1, token("heat-high")]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "texttemplate": "%{z:.0f}",
        "textfont": {"size": 12},
        "hovertemplate": "%{x} · %{y} %{z:.0f}<extra></extra>",
        "hoverongaps": False,
    }
    # A style that nobody's facts can tell says so, rather than leaving a hole.
    notes = [
        label(t("word.unknown"), (len(names) - 1) / 2, style, xanchor="center", xshift=0)
        for style, row in zip(styles, z, strict=True)
        if all(value is None for value in row)
    ]
    layout = {
        "annotations": notes,
        "margin": {"l": 64, "r": 8, "t": 8, "b": 26},
        "hovermode": "closest",
        "xaxis": x_axis(type="category", showline=False, ticks="", automargin=True),
        "yaxis": y_axis(type="category", autorange="reversed", showgrid=False, showline=False, ticks=""),
    }
    return card(
        title,
        [trace],
        layout,
        subtitle=_dated(t("universe.chart.heat.sub"), t, result),
        name="industry_styles",
        table={"industry": names, **{style: z[row] for row, style in enumerate(styles)}},
        mark=practice_mark(t, result.get("simulated")),
    )


def coverage_chart(result: Json | None, t: Translate) -> Json:
    """Of how many stocks each kind of fact is known, and of how many not."""
    title = t("universe.chart.coverage")
    if not result or not result.get("coverage"):
        return empty_card(title, t("universe.empty"))
    by_fact = {row["fact"]: row for row in result["coverage"]}
    rows = [by_fact[name] for name in FACT_ORDER if name in by_fact]
    names = [t(f"universe.fact.{row['fact']}") for row in rows]
    total = result["stocks"]
    known = [row["known"] for row in rows]
    unknown = [row["unknown"] or 0 for row in rows]
    told = [
        f"{name}: {row['known']:,} / {total:,}<br>"
        + (f"{row['from']} – {row['to']}" if row["from"] else t("universe.fact.none"))
        + f"<br>{t('universe.fact.rows', rows=t.count(row['rows']))}"
        for name, row in zip(names, rows, strict=True)
    ]
    base: Json = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "width": 0.62,
        "hoverinfo": "text",
        "hovertext": told,
    }
    traces = [
        base
        | {
            "x": known,
            "name": t("universe.fact.known"),
            "marker": {"color": [token("accent", 0.55 if row["unknown"] is None else None) for row in rows]},
        },
        base
        | {
            "x": unknown,
            "name": t("word.unknown"),
            "marker": {"color": token("sunk"), "line": {"color": token("strong-line"), "width": 1}},
        },
    ]
    notes = [
        label(_coverage_text(t, row, total), 1, name, xref="paper", xanchor="left", xshift=8)
        for name, row in zip(names, rows, strict=True)
    ]
    layout = {
        "barmode": "stack",
        "hovermode": "closest",
        "margin": {"l": 84, "r": 128, "t": 4, "b": 24},
        "annotations": notes,
        "xaxis": x_axis(range=[0, max(total, 1)], tickformat=",d", nticks=5, tickangle=0),
        "yaxis": y_axis(type="category", autorange="reversed", showgrid=False, nticks=12),
    }
    return card(
        title,
        traces,
        layout,
        subtitle=_dated(t("universe.chart.coverage.sub", count=f"{total:,}"), t, result),
        note=t("universe.chart.coverage.note"),
        name="coverage",
        table={
            "fact": [row["fact"] for row in rows],
            **{name: [row[name] for row in rows] for name in ("known", "unknown", "rows", "from", "to")},
        },
        mark=practice_mark(t, result.get("simulated")),
    )


def _coverage_text(t: Translate, row: Json, total: int) -> str:
    if row["unknown"] is None:
        return t("universe.fact.had", count=f"{row['known']:,}")
    if row["unknown"]:
        return t("universe.fact.gap", count=f"{row['known']:,}", unknown=f"{row['unknown']:,}")
    return f"{row['known']:,}"


def style_chart(result: Json | None, t: Translate) -> Json:
    """How the stocks spread over the buckets of each style, from the lowest bucket to the highest."""
    title = t("universe.chart.style")
    styles = (result or {}).get("styles")
    if not result or not styles:
        return empty_card(title, t("universe.empty"))
    names = [t(f"style.{name.removeprefix('style_')}") for name in styles]
    tables = list(styles.values())
    longest = max(len(one["buckets"]) for one in tables)
    traces: list[Json] = []
    for place in range(longest):
        shares, texts, colors, told = [], [], [], []
        for name, one in zip(styles, tables, strict=True):
            buckets, stocks = one["buckets"], one["stocks"]
            count = stocks[place] if place < len(buckets) else 0
            share = count / max(sum(stocks), 1)
            word = t.choice(f"bucket.{name.removeprefix('style_')}", buckets[place]) if count else ""
            shares.append(share)
            texts.append(word if share > 0.09 else "")
            colors.append(_bucket_color(place, len(buckets)))
            told.append(f"{word} {count:,} ({percent(share)})" if count else "")
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": str(place),
                "y": names,
                "x": shares,
                "width": 0.66,
                "text": texts,
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "marker": {"color": colors, "line": {"color": token("card"), "width": 2}},
                "hoverinfo": "text",
                "hovertext": told,
            }
        )
    layout = {
        "barmode": "stack",
        "hovermode": "closest",
        "margin": {"l": 64, "r": 12, "t": 4, "b": 24},
        "xaxis": x_axis(range=[0, 1], tickformat=".0%", nticks=6),
        "yaxis": y_axis(type="category", autorange="reversed", showgrid=False, nticks=10),
    }
    return card(
        title,
        traces,
        layout,
        subtitle=_dated(t("universe.chart.style.sub"), t, result),
        name="styles",
        table=_style_columns(styles),
        mark=practice_mark(t, result.get("simulated")),
    )


def _style_columns(styles: Json) -> dict[str, Sequence[Any]]:
    rows = [
        (name.removeprefix("style_"), bucket, stocks, cap)
        for name, one in styles.items()
        for bucket, stocks, cap in zip(one["buckets"], one["stocks"], one["market_cap_cny"], strict=True)
    ]
    heads = ("style", "bucket", "stocks", "market_cap_cny")
    return dict(zip(heads, map(list, zip(*rows, strict=True)), strict=True))


def _bucket_color(place: int, count: int) -> str:
    """Unknown (the first) is grey; the others run from the low colour over the middle to the high one."""
    if place == 0:
        return token("strong-line")
    share = (place - 1) / max(count - 2, 1)
    return (
        mix("heat-low", "heat-mid", 2 * share) if share < 0.5 else mix("heat-mid", "heat-high", 2 * share - 1)
    )
