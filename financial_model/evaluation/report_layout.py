"""Sections, tables and figures of a report page, one language at a time; plain dicts, no plotting library.

A figure names colours by CSS variable ("--accent"), which the page replaces when it draws, so that light and
dark are one figure.
"""

from html import escape
from typing import Any

from .report_texts import BASELINE_NAMES, LANGUAGES, TEXTS, WORDS

Json = dict[str, Any]

MINUS = "\N{MINUS SIGN}"
# Without it months are named in English on either page.
DATE_AXIS = {"type": "date", "tickformat": "%Y-%m"}
MARGIN = {"l": 44, "r": 16, "t": 8, "b": 32}


class Page:
    """Collects the sections and figures of one language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.figures: dict[str, Json] = {}
        self.sections: list[str] = []

    def text(self, key: str) -> str:
        return TEXTS[key][LANGUAGES.index(self.lang)]

    def name(self, key: str) -> str:
        """A baseline's, regime's or industry's name in this language; other names stay as they are."""
        if key in BASELINE_NAMES:
            return BASELINE_NAMES[key][LANGUAGES.index(self.lang)]
        return WORDS.get(key, key) if self.lang == "zh" else key.replace("_", " ")

    def figure(self, key: str, data: list[Json], height: int, **layout: Any) -> str:
        """A place for a figure, which the page draws; returns its HTML."""
        axis = {
            "gridcolor": "--line",
            "zerolinecolor": "--strong-line",
            "linecolor": "--strong-line",
            "tickfont": {"size": 11},
        }
        whole: Json = {
            "height": height,
            "margin": MARGIN,
            "paper_bgcolor": "--card",
            "plot_bgcolor": "--card",
            "font": {"color": "--ink", "size": 12, "family": "inherit"},
            "showlegend": False,
            "separators": ".,",
        }
        for name, value in layout.items():
            if name.startswith(("xaxis", "yaxis")):
                value = axis | {"showgrid": name.startswith("y")} | value
            whole[name] = value
        self.figures[f"{key}.{self.lang}"] = {"data": data, "layout": whole}
        return f'<div class="plot" style="height:{height}px" data-figure="{key}.{self.lang}"></div>'

    def section(self, title: str, body: str, *, note: str | None = None, wide: bool = False) -> None:
        small = f"<small>{escape(self.text(note))}</small>" if note else ""
        css = ' class="wide"' if wide else ""
        self.sections.append(f"<section{css}><h2>{escape(self.text(title))}{small}</h2>{body}</section>")

    def notes(self, notes: list[Json]) -> None:
        """What must be known beside the figures, under the headline."""
        if notes:
            told = "".join(f'<p class="warn">{escape(one[self.lang])}</p>' for one in notes)
            self.sections.append(f'<section class="wide">{told}</section>')

    def table(self, head: list[str], rows: list[list[str]]) -> str:
        """Rows of HTML cells; the first column is text, the others are figures."""

        def line(cells: list[str], tag: str) -> str:
            parts = [
                f"<{tag}{' class=n' if place else ''}>{cell}</{tag}>" for place, cell in enumerate(cells)
            ]
            return f"<tr>{''.join(parts)}</tr>"

        return (
            f'<div class="scroll"><table><thead>{line([escape(cell) for cell in head], "th")}</thead>'
            f"<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table></div>"
        )


def number(value: float | None, digits: int = 4) -> str:
    """A figure with U+2212 as its minus, "–" where it is unknown."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %".replace("-", MINUS)


def with_error(mean: Json, digits: int = 4) -> str:
    if mean["mean"] is None:
        return number(None)
    return f"{number(mean['mean'], digits)} <small>± {number(mean['se'], digits)}</small>"


def percent_with_error(mean: Json) -> str:
    if mean["mean"] is None:
        return number(None)
    error = "–" if mean["se"] is None else f"{100 * mean['se']:.1f}"
    return f"{percent(mean['mean'])} <small>± {error}</small>"
