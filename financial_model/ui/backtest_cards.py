"""A backtest in words and tables: its sentence and figures, years, orders, costs."""

from html import escape
from typing import Any

from . import widgets
from .translations import Translate, figure, percent

Json = dict[str, Any]


def trading_card(t: Translate, result: Json | None) -> str:
    """The backtest's sentence and its figures."""
    title = t("evaluation.verdict")
    if not result:
        return widgets.card(title, f'<p class="help">{escape(t("evaluation.empty.backtest"))}</p>')
    summary = result["summary"]
    mine, index, excess = summary["portfolio"], summary["index"], summary["excess"]
    headline = result.get("headline") or {}
    entries = [
        (
            t("evaluation.annualised"),
            percent(mine.get("annualised"), 1, signed=True),
            t("evaluation.index_had", value=percent(index.get("annualised"), 1, signed=True)),
        ),
        (
            t("evaluation.excess"),
            percent(excess.get("annualised"), 1, signed=True),
            f"± {figure(100 * (excess.get('annualised_se') or 0.0), 1)}",
        ),
        (t("evaluation.drawdown"), percent(mine.get("max_drawdown"), 1), ""),
        (t("evaluation.sharpe"), figure(mine.get("sharpe"), 2), ""),
        (t("evaluation.turnover"), percent(summary.get("turnover")), t("evaluation.a_session")),
        (t("evaluation.cost"), percent(result["costs"].get("yearly_share"), 1), t("evaluation.a_year")),
    ]
    sentence = str(headline.get(t.language, ""))
    kind = {"above": "accent", "chance": "warn", "below": "failed"}.get(str(headline.get("verdict")), "")
    stamp = f"{result['first']} – {result['last']} · " + t(
        "evaluation.sessions.count", count=result["session_count"]
    )
    mark = widgets.tag(t("word.practice_tag"), "warn") if result.get("is_simulated") else ""
    return (
        f'<section class="card verdict"><p class="help">{mark} {escape(stamp)}</p>'
        f'<p class="sentence {kind}">{escape(sentence)}</p>{widgets.figures(entries)}'
        f"{widgets.notes(t.language, result)}"
        f'<p class="note">{escape(t("evaluation.backtest.note"))}</p></section>'
    )


def trading_tables_card(t: Translate, result: Json | None) -> str:
    """By year; orders and what blocked them; costs; how large a purse it could carry."""
    if not result:
        return ""
    years = [
        [
            row["name"],
            percent(row.get("return"), 1, signed=True),
            percent(row.get("index"), 1, signed=True),
            percent(row.get("max_drawdown"), 1),
        ]
        for row in result.get("by_year") or []
    ]
    heads = [
        t("evaluation.by.year"),
        t("evaluation.equity.portfolio").capitalize(),
        t("evaluation.equity.index").capitalize(),
        t("evaluation.drawdown"),
    ]
    by_year = widgets.card(t("evaluation.yearly"), widgets.table(heads, years, numbers=(1, 2, 3)))
    orders = [(t(f"evaluation.orders.{name}"), f"{count:,}") for name, count in result["orders"].items()]
    orders += [
        ("· " + t.choice("evaluation.blocked", name), f"{count:,}")
        for name, count in result["blocked"].items()
    ]
    costs = result["costs"]
    money = [
        (t(f"evaluation.cost.{name}"), t.count(costs[name]))
        for name in ("commission", "exchange_fees", "dividend_tax", "slippage", "total")
        if name in costs
    ]
    purse = (result.get("capacity") or {}).get("purse_cny")
    if purse is not None:
        money.append((t("evaluation.capacity"), t.count(purse)))
    cards = [
        by_year,
        widgets.card(
            t("evaluation.orders"),
            f'<div class="headless">{widgets.table(["", ""], orders, numbers=(1,))}</div>',
        ),
        widgets.card(
            t("evaluation.costs"),
            f'<div class="headless">{widgets.table(["", ""], money, numbers=(1,))}</div>',
        ),
    ]
    return f'<div class="table-grid">{"".join(cards)}</div>'
