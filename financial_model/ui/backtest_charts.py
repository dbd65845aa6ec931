"""Charts of a backtest: equity beside the index, drawdown, turnover."""

from typing import Any

from .candles import session_axis
from .evaluation_charts import base_of
from .live_chart import PERCENT_TICKS, card, empty_card, y_axis
from .theme import token
from .translations import Translate, percent

Json = dict[str, Any]


def equity_chart(result: Json | None, t: Translate) -> Json:
    """Equity of the portfolio, of the index, and of the whole pool in equal parts, each from 1."""
    title = t("evaluation.chart.equity")
    if not result:
        return empty_card(title, t("evaluation.empty.backtest"))
    curve = result["curve"]
    lines = (("equity", "accent", 2.5), ("index", "muted", 1.5), ("universe", "earlier", 1.5))
    names = {
        "equity": t("evaluation.equity.portfolio"),
        "index": str(result.get("index") or t("evaluation.equity.index")),
        "universe": t("evaluation.equity.universe"),
    }
    traces: list[Json] = []
    notes: list[Json] = []
    last = len(curve["session"]) - 1
    for name, color, width in lines:
        values = curve.get(name) or []
        if not any(value is not None for value in values):
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": names[name],
                "x": curve["session"],
                "y": values,
                "line": {"color": token(color), "width": width},
                "hovertemplate": "%{y:.3f}",
            }
        )
    layout = {
        "margin": {"l": 46, "r": 12, "t": 8, "b": 24},
        "annotations": notes,
        "hovermode": "x unified",
        "xaxis": session_axis(curve["session"], ticks=6) | {"range": [-0.5, last + 0.5]},
        "yaxis": y_axis(),
    }
    return card(
        title,
        traces,
        layout,
        subtitle=t("evaluation.chart.equity.sub"),
        legend=[(trace["name"], trace["line"]["color"]) for trace in traces],
        table={"session": curve["session"], **{name: curve[name] for name, _, _ in lines if curve.get(name)}},
        **base_of(result, t, "equity"),
    )


def drawdown_chart(result: Json | None, t: Translate) -> Json:
    """How far the equity lies below its highest point so far."""
    title = t("evaluation.chart.drawdown")
    if not result:
        return empty_card(title, t("evaluation.empty.backtest"))
    curve = result["curve"]
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": title,
        "x": curve["session"],
        "y": curve["drawdown"],
        "fill": "tozeroy",
        "fillcolor": token("down", 0.2),
        "line": {"color": token("down"), "width": 1.5},
        "hovertemplate": "%{y:.1%}",
    }
    layout = {
        "margin": {"l": 46, "r": 12, "t": 8, "b": 24},
        "xaxis": session_axis(curve["session"], ticks=6),
        "yaxis": y_axis(tickformat=PERCENT_TICKS),
    }
    return card(
        title,
        [trace],
        layout,
        table={"session": curve["session"], "drawdown": curve["drawdown"]},
        **base_of(result, t, "drawdown"),
    )


def turnover_chart(result: Json | None, t: Translate) -> Json:
    """Two-way turnover of each session, as a share of the equity."""
    title = t("evaluation.chart.turnover")
    if not result:
        return empty_card(title, t("evaluation.empty.backtest"))
    curve = result["curve"]
    trace = {
        "type": "bar",
        "name": title,
        "x": curve["session"],
        "y": curve["turnover"],
        "marker": {"color": token("accent", 0.55), "line": {"width": 0}},
        "hovertemplate": "%{x} %{y:.1%}<extra></extra>",
    }
    layout = {
        "margin": {"l": 46, "r": 12, "t": 8, "b": 24},
        "hovermode": "closest",
        "xaxis": session_axis(curve["session"], ticks=6),
        "yaxis": y_axis(tickformat=PERCENT_TICKS, rangemode="tozero"),
    }
    mean = result["summary"].get("turnover")
    return card(
        title,
        [trace],
        layout,
        subtitle=t("evaluation.chart.turnover.sub", mean=percent(mean)),
        table={"session": curve["session"], "turnover": curve["turnover"], "held": curve.get("held")},
        **base_of(result, t, "turnover"),
    )
