"""A chart that is redrawn in place: the node, the zoom and the hover stay through every update.

`gr.Plot` mounts anew at each value. This is a `gr.HTML` whose value is a plain dict, drawn by
`static/page.js` with `Plotly.react`; plotly's script is fetched from this server when the first chart
becomes visible, so the page opens without it.
"""

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

from .theme import AXIS, LAYOUT
from .translations import Translate

TEMPLATE = """<section class="card chart">
<header><h3></h3><span class="tag warn mark" hidden></span><span class="sub"></span>
<span class="legend"></span>
<span class="tools"><button type="button" data-save="png" hidden>PNG</button>
<button type="button" data-save="csv" hidden>CSV</button></span></header>
<div class="body"><div class="plot"></div><p class="empty"></p></div><p class="note"></p></section>"""


def LiveChart(height: int = 260, **options: Any) -> gr.HTML:
    """A card with title, chart, PNG and CSV; its value comes from `card` or `empty_card`.

    A click on a mark that carries `customdata` triggers `click` with {"code": ...}. (A function: Gradio
    writes a stub file beside every class of component.)
    """
    return gr.HTML(
        value=None,
        html_template=TEMPLATE,
        js_on_load=f"window.Hermes.chart(element, props, trigger, watch, {height})",
        apply_default_css=False,
        elem_classes=["live-chart", *options.pop("elem_classes", [])],
        **options,
    )


def card(
    title: str,
    traces: Sequence[dict[str, Any]],
    layout: dict[str, Any] | None = None,
    *,
    subtitle: str = "",
    note: str = "",
    legend: Sequence[tuple[str, ...]] = (),
    name: str = "chart",
    height: int | None = None,
    revision: str = "keep",
    table: dict[str, Sequence[Any]] | None = None,
    mark: str = "",
    narrow: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The value of a LiveChart.

    legend: (text, token) of lines and (text, token, "area", "dot" or "ring") of other marks, only for what
    cannot be labelled directly. name: of the files that PNG and CSV are saved as. revision: zoom is kept
    while it stays the same (give the run's or the stock's name). table: the columns of the CSV; without it
    they are made from the traces. mark: an amber word behind the title, in pictures too; "practice market"
    where no real price is shown. narrow: parts of the layout (axes, margin) that are otherwise on the screen
    of a telephone.
    """
    return {
        "title": title,
        "subtitle": subtitle,
        "note": note,
        "legend": [list(entry) for entry in legend],
        "traces": list(traces),
        "layout": merged(LAYOUT, {"uirevision": revision}, layout or {}),
        "name": f"practice_{name}" if mark else name,
        "height": height,
        "table": table,
        "mark": mark,
        "narrow": narrow or {},
        "empty": "",
    }


def empty_card(title: str, sentence: str, subtitle: str = "") -> dict[str, Any]:
    """A card that says why there is nothing to draw yet, and what to do."""
    return {"title": title, "subtitle": subtitle, "empty": sentence, "traces": [], "legend": [], "note": ""}


def practice_mark(t: Translate, is_simulated: Any) -> str:
    """The amber word of a card whose figures come from a practice market."""
    return t("word.practice_tag") if is_simulated else ""


def axis(**options: Any) -> dict[str, Any]:
    """An axis in the house style; horizontal grid lines only, so x axes come without."""
    return merged(AXIS, options)


def x_axis(**options: Any) -> dict[str, Any]:
    return axis(**{"showgrid": False, "showline": True, "ticks": "", **options})


# As many digits as tell the ticks apart; where nothing is asked for, Plotly chooses them so by itself.
PERCENT_TICKS = ".2~%"


def y_axis(**options: Any) -> dict[str, Any]:
    return axis(**{"showgrid": True, "zeroline": False, "nticks": 5, **options})


def count_axis(t: Translate, top: float, **options: Any) -> dict[str, Any]:
    """A y axis from zero up to `top` whose ticks are counts as each language writes them: 2 万, 20 k.

    >>> count_axis(Translate("en"), 23_000)["ticktext"]
    ['0', '5,000', '10 k', '15 k', '20 k']
    """
    power = 10.0 ** math.floor(math.log10(max(top, 1.0) / 4))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power * 5 >= top)
    places = [step * k for k in range(int(top / step) + 1)]
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": [t.count(place) for place in places]}
    return y_axis(rangemode="tozero", **ticks, **options)


def label(text: str, x: Any, y: Any, **options: Any) -> dict[str, Any]:
    """An annotation that labels a line where it ends."""
    return {
        "text": text,
        "x": x,
        "y": y,
        "showarrow": False,
        "xanchor": "left",
        "xshift": 6,
        "font": {"size": 11, "color": "@muted"},
        **options,
    }


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Dicts merged from left to right, nested ones too; nothing given is changed."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(whole.get(name), dict)
            whole[name] = merged(whole[name], value) if both else value
    return whole
