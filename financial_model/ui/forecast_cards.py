"""The forecast of one stock in figures and as a table of its steps."""

from html import escape
from typing import Any

from . import widgets
from .forecast_charts import simple
from .translations import Translate, figure, percent

Json = dict[str, Any]


def stock_figures(t: Translate, result: Json | None) -> str:
    """The stock, its close, and where its last step lies; what must be known beside them."""
    if not result:
        return ""
    q, steps = result["quantiles"][-1], len(result["quantiles"])
    change = result.get("change")
    entries: list[Any] = [
        (f"{result['code']} · {t.choice('industry', result['industry'])}", result["name"], ""),
        (
            t("inference.figure.close"),
            figure(result["close"], 2),
            percent(change, 2, signed=True),
            "rise" if (change or 0) > 0 else "fall" if (change or 0) < 0 else "",
        ),
        (
            t("inference.figure.interval", steps=steps),
            f"{percent(simple(q[0]), 1, signed=True)} ~ {percent(simple(q[4]), 1, signed=True)}",
            "",
        ),
        (t("inference.figure.median"), percent(simple(q[2]), 1, signed=True), ""),
        (t("inference.figure.up"), percent(result["up"][-1], 0), ""),
    ]
    tags = (
        widgets.message(t(f"inference.limit.{result['limit']}.note"), "warn") if result.get("limit") else ""
    )
    tags += widgets.notes(t.language, result)
    return f'<div class="stock-figures">{widgets.figures(entries)}</div>{tags}'


def steps_card(t: Translate, result: Json | None) -> str:
    """The quantiles of each step as returns against the as-of close."""
    title = t("inference.steps")
    if not result:
        return widgets.card(title, f'<p class="help">{escape(t("inference.empty"))}</p>')
    announced = result.get("announced", len(result["future"]))
    rows = []
    for step, (day, q) in enumerate(zip(result["future"], result["quantiles"], strict=True), start=1):
        median = simple(q[2])
        color = "rise" if median > 0 else "fall" if median < 0 else ""
        mark = "" if step <= announced else "*"
        rows.append(
            [
                widgets.Markup(
                    f'<span class="year">{escape(day[:5])}</span>{escape(day[5:])}{mark} '
                    f"<small>+{step}</small>"
                ),
                *(percent(simple(value), 1, signed=True).removesuffix(" %") for value in q[:2]),
                widgets.Markup(
                    f'<b class="{color}">{percent(median, 1, signed=True).removesuffix(" %")}</b>'
                ),
                *(percent(simple(value), 1, signed=True).removesuffix(" %") for value in q[3:]),
                percent(result["up"][step - 1], 0),
            ]
        )
    heads = [t("inference.steps.session"), "5 %", "25 %", "50 %", "75 %", "95 %", t("inference.figure.up")]
    body = f'<div class="scroll">{widgets.table(heads, rows, numbers=range(1, 7), optional=(2, 4))}</div>'
    note = t("inference.unannounced", count=len(rows) - announced) if announced < len(rows) else ""
    return widgets.card(title, body, t("inference.steps.sub"), note)
