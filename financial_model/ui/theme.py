"""One table of colours, written once and used everywhere: as CSS variables and in every chart.

A chart never holds a colour of its own. It names a token, and the browser resolves it against the CSS
variables each time it draws, so that dark mode and "green rises" need no new figure:

| token | is |
| --- | --- |
| `@up` | the variable `--h-up` |
| `@accent*0.3` | the same at 30 % opacity |
| `@flat~up*0.4` | 40 % of the way from `flat` to `up` |
"""

from collections.abc import Iterator
from typing import Any

# name -> (light, dark); contrast of text on its ground is at least 4.5:1
COLORS: dict[str, tuple[str, str]] = {
    "page": ("#F5F6F8", "#0F131A"),
    "card": ("#FFFFFF", "#171D27"),
    "sunk": ("#EEF0F4", "#1F2733"),
    "line": ("#E1E5EB", "#2A3342"),
    "strong-line": ("#CBD2DC", "#3B4759"),
    "ink": ("#1A2233", "#E7EBF2"),
    "muted": ("#566176", "#A6B0C0"),
    "faint": ("#626D84", "#8D98AB"),
    "accent": ("#2B57C9", "#85A7FF"),
    "on-accent": ("#FFFFFF", "#0E1526"),
    "accent-soft": ("#E8EEFB", "#1E2B4A"),
    "warn": ("#8A5A00", "#E9B44C"),
    "warn-soft": ("#FBF1DA", "#332A16"),
    "failed": ("#9C1C66", "#F08BC4"),
    "failed-soft": ("#FAE8F2", "#3A1D30"),
    "earlier": ("#97A2B5", "#6E7B92"),
    "up": ("#C92A2A", "#FF6B63"),
    "down": ("#0B7A4B", "#36BE86"),
    "flat": ("#EBEEF2", "#2A3342"),
    "bull": ("#F6D3CF", "#5A2A2A"),
    "bear": ("#CBE8D8", "#1C4A38"),
    "sideways": ("#DDE2EA", "#343D4C"),
    "volatile": ("#F3DFA6", "#54441B"),
    "heat-low": ("#D9973B", "#B8792A"),
    "heat-mid": ("#F4F5F7", "#1F2733"),
    "heat-high": ("#3F6CCB", "#5B86E8"),
}
# Opacities that differ between light and dark, as percent in CSS and resolved by the same tokens.
FAN: dict[str, tuple[float, float]] = {
    "fan-core": (0.30, 0.36),
    "fan-wide": (0.13, 0.16),
    "regime-band": (0.35, 0.28),
}
INDUSTRY_COLORS: dict[str, tuple[str, str]] = {
    "finance": ("#0960D3", "#547CFC"),
    "consumer": ("#CA5204", "#E56600"),
    "technology": ("#50A9DB", "#B9E5FF"),
    "healthcare": ("#076068", "#5BDC9C"),
    "industrial": ("#787983", "#979FA4"),
    "materials": ("#592101", "#9A2B01"),
    "energy": ("#32007C", "#7421A8"),
    "utilities": ("#E8C100", "#EBE538"),
    "real_estate": ("#F98491", "#A75EAC"),
    "telecom": ("#8B79FE", "#DC99FF"),
    "other": ("#B3C6DE", "#435868"),
}
# With "green rises" these change places, everywhere at once.
SWAPPED = {"up": "down", "down": "up", "bull": "bear", "bear": "bull"}

FONT = (
    '"Segoe UI","PingFang SC","Microsoft YaHei UI","Microsoft YaHei","Noto Sans CJK SC",'
    '"Source Han Sans SC",sans-serif'
)
MONO = 'ui-monospace,"Cascadia Mono",Consolas,Menlo,"Noto Sans Mono CJK SC",monospace'


def css_variables() -> str:
    """The table as CSS: light on :root, dark under .dark, both again with up and down swapped."""
    rules = []
    for theme, selector in enumerate((":root", ".dark")):
        colors = dict(_tokens(theme))
        rules.append(_rule(selector, colors))
        swapped = {name: colors[other] for name, other in SWAPPED.items()}
        rules.append(_rule("html.green-rises" + (" .dark" if theme else ""), swapped))
    fonts = f":root{{--h-font:{FONT};--h-mono:{MONO}}}"
    return "\n".join([fonts, *rules])


def _tokens(theme: int) -> Iterator[tuple[str, str]]:
    for name, pair in COLORS.items():
        yield name, pair[theme]
    for name, pair in INDUSTRY_COLORS.items():
        yield f"industry-{name}", pair[theme]
    for name, opacities in FAN.items():
        yield name, str(opacities[theme])


def _rule(selector: str, colors: dict[str, str]) -> str:
    return selector + "{" + ";".join(f"--h-{name}:{value}" for name, value in colors.items()) + "}"


def token(name: str, opacity: float | str | None = None) -> str:
    """The token of a colour, for a chart; an opacity may be a number or the name of one, such as "fan-core".

    >>> token("accent", 0.3), token("accent", "fan-wide")
    ('@accent*0.3', '@accent*fan-wide')
    """
    if name not in COLORS and name.removeprefix("industry-") not in INDUSTRY_COLORS:
        raise KeyError(name)
    return f"@{name}" if opacity is None else f"@{name}*{opacity}"


def mix(first: str, second: str, share: float) -> str:
    """The token of a colour `share` of the way from the first to the second.

    >>> mix("flat", "up", 0.25)
    '@flat~up*0.25'
    """
    return f"@{first}~{second}*{min(max(share, 0.0), 1.0):.3g}"


AXIS: dict[str, Any] = {
    "gridcolor": "@line",
    "linecolor": "@strong-line",
    "zerolinecolor": "@strong-line",
    "tickfont": {"size": 11, "color": "@muted"},
    "title": {"text": ""},
    "automargin": False,
    "fixedrange": False,
}
LAYOUT: dict[str, Any] = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": FONT, "size": 12, "color": "@ink"},
    "margin": {"l": 44, "r": 16, "t": 8, "b": 28},
    "showlegend": False,
    "hoverlabel": {
        "bgcolor": "@card",
        "bordercolor": "@strong-line",
        "font": {"family": FONT, "size": 12, "color": "@ink"},
    },
    "hovermode": "x",
    "dragmode": "zoom",
    "uirevision": "keep",
    "colorway": [f"@industry-{name}" for name in INDUSTRY_COLORS],
}
