"""The small drawings on the three doors, made from fixed shapes in the colours of the theme."""

import math
from itertools import pairwise

WIDTH, HEIGHT = 400, 96


def _walk(seed: int, count: int) -> list[float]:
    """A smooth wandering line, the same each time; it shows no market."""
    return [math.sin(i * 0.21 + seed) + 0.6 * math.sin(i * 0.53 + 2 * seed) + i / count for i in range(count)]


def _path(values: list[float], low: float, high: float, style: str) -> str:
    step = WIDTH / (len(values) - 1)
    points = " ".join(
        f"{i * step:.1f},{8 + (HEIGHT - 16) * (high - value) / (high - low):.1f}"
        for i, value in enumerate(values)
    )
    return f'<polyline points="{points}" fill="none" {style}/>'


def _svg(content: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true" '
        f'role="presentation">{content}</svg>'
    )


def _candles() -> str:
    values = [40 + 16 * value for value in _walk(3, 38)]
    low, high = min(values) - 6, max(values) + 6
    place = (HEIGHT - 12) / (high - low)
    parts = []
    for i, (start, end) in enumerate(pairwise(values)):
        x, top, bottom = 6 + i * 10.5, max(start, end), min(start, end)
        color = "var(--h-up)" if end >= start else "var(--h-down)"
        fill = "none" if end >= start else color
        y, height = 6 + (high - top) * place, max((top - bottom) * place, 1.0)
        wick = 3 + 2 * math.sin(i * 1.7)
        parts.append(
            f'<path d="M{x + 2.5:.1f} {y - wick:.1f}V{y:.1f}M{x + 2.5:.1f} {y + height:.1f}v{wick:.1f}" '
            f'stroke="{color}"/>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="5" height="{height:.1f}" stroke="{color}" fill="{fill}"/>'
        )
    return _svg("".join(parts))


def _line() -> str:
    values = _walk(1, 60)
    return _svg(_path(values, min(values), max(values), 'stroke="var(--h-ink)" stroke-width="1.6"'))


def _fan() -> str:
    walks = [[value * (0.25 + 0.02 * i) for i, value in enumerate(_walk(seed, 50))] for seed in range(1, 9)]
    low, high = min(map(min, walks)), max(map(max, walks))
    pale = "".join(_path(walk, low, high, 'stroke="var(--h-strong-line)"') for walk in walks[1:])
    return _svg(pale + _path(walks[0], low, high, 'stroke="var(--h-accent)" stroke-width="2"'))


DOOR_PICTURES = {"download": _candles(), "import": _line(), "practice": _fan()}
