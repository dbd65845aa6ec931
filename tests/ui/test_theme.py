"""Colours that can be read, and tokens that are all known to the browser."""

import json
import re
from pathlib import Path

import pytest

import financial_model.ui as ui
from financial_model.ui.live_chart import card, empty_card, merged
from financial_model.ui.theme import COLORS, LAYOUT, css_variables, mix, token

STATIC = Path(ui.__file__).parent / "static"


def luminance(color):
    def linear(part):
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


TEXT_ON = [
    *((ink, ground) for ink in ("ink", "muted", "faint") for ground in ("page", "card", "sunk")),
    *(("accent", "card"), ("on-accent", "accent"), ("accent", "accent-soft"), ("warn", "warn-soft")),
    *(("failed", "failed-soft"), ("failed", "card"), ("up", "card"), ("down", "card")),
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT_ON)
def test_text_stands_out_from_its_ground(ink, ground, theme):
    assert contrast(COLORS[ink][theme], COLORS[ground][theme]) >= 4.5


def test_green_rises_swaps_up_and_down_in_both_themes():
    css = css_variables()
    assert f"html.green-rises{{--h-up:{COLORS['down'][0]}" in css
    assert f"html.green-rises .dark{{--h-up:{COLORS['down'][1]}" in css


def test_every_variable_that_the_styles_use_is_in_the_table():
    known = set(re.findall(r"(--h-[\w-]+):", css_variables()))
    used = set()
    for path in STATIC.glob("*.css"):
        used |= set(re.findall(r"var\((--h-[\w-]+)", path.read_text(encoding="utf-8")))
    assert used <= known


def test_the_styles_name_no_colour_of_their_own():
    for path in STATIC.glob("*.css"):
        rules = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        assert not re.search(r"#[0-9a-fA-F]{6}\b|\brgb", rules), path.name


def test_a_token_of_a_colour_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        token("mauve")
    assert mix("flat", "up", 7.0) == "@flat~up*1"


def test_a_chart_is_plain_data_and_leaves_the_house_style_untouched():
    before = json.dumps(LAYOUT)
    value = card("T", [{"type": "bar", "x": ["a"], "y": [1]}], {"margin": {"l": 99}}, name="n")
    assert json.loads(json.dumps(value)) == value
    assert value["layout"]["margin"] == {**LAYOUT["margin"], "l": 99}
    assert json.dumps(LAYOUT) == before
    assert empty_card("T", "why")["empty"] == "why"
    assert merged({"a": {"b": 1}}, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
