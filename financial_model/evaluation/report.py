"""One self-contained HTML page of a result: opens offline, asks nobody for anything, can be sent to people.

The result is told once, by `result.judge` and `backtest`; here it is only laid out. Both languages stand in
the page and one button swaps them.
"""

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..base.workspace import write_atomically
from .backtest_page import lay_out_backtest
from .evaluation_page import lay_out_evaluation
from .report_layout import Page
from .report_texts import LANGUAGES, TEXTS

Json = dict[str, Any]

PAGE = Path(__file__).with_name("report_page.html")
LAYOUTS: dict[str, Callable[[Page, Json], None]] = {
    "evaluation": lay_out_evaluation,
    "walk_forward": lay_out_evaluation,
    "backtest": lay_out_backtest,
}
TITLES = {"evaluation": "title", "walk_forward": "title.walk_forward", "backtest": "title.backtest"}


def write_report(path: Path, result: Json, lang: str = "zh") -> None:
    """Write the page of a result (kind evaluation, walk_forward or backtest) to `path`, whole or not at all.

    lang: the language it opens in; the other is one button away.
    """
    with write_atomically(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(render(result, lang))


def render(result: Json, lang: str = "zh") -> str:
    """The page as text; see write_report."""
    from plotly.offline import get_plotlyjs

    lay_out = LAYOUTS[result["kind"]]
    pages = [Page(one) for one in LANGUAGES]
    for page in pages:
        lay_out(page, result)
    body = "".join(
        f'<div data-lang="{page.lang}">{_header(page, result)}<main>{"".join(page.sections)}</main></div>'
        for page in pages
    )
    figures = {key: figure for page in pages for key, figure in page.figures.items()}
    # A text that holds "</script>" must not end the script it stands in.
    drawn = json.dumps(figures, ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
    title = TEXTS[TITLES[result["kind"]]][LANGUAGES.index(lang)]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        LANG=lang, TITLE=escape(title), BODY=body, PLOTLY=get_plotlyjs(), FIGURES=drawn
    )


def _header(page: Page, result: Json) -> str:
    simulated = is_simulated(result)
    kind, css = ("practice", "chip warn") if simulated else ("real", "chip")
    data = f'<span class="{css}">{page.text(kind)}</span>'
    other = "EN" if page.lang == "zh" else "中文"
    title = page.text(TITLES[result["kind"]])
    return (
        f"<header><b>{escape(title)}</b>{data}<span class=space></span>"
        f'<button type="button" data-act="language">{other}</button>'
        f'<button type="button" data-act="theme">{escape(page.text("theme"))}</button></header>'
    )


def is_simulated(result: Json) -> bool:
    """Whether a result speaks of a practice market."""
    models = result.get("models") or [result]
    return bool(models[0].get("is_simulated"))
