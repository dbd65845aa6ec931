"""Basic Training in Chromium: how many passes its presets take over few stocks, and over all."""

import pytest

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.base.workspace import write_json

from .conftest import running_page
from .test_browser import Visit, chromium  # noqa: F401

pytestmark = pytest.mark.browser
FEW = TrainSettings(name="few", model=ModelSettings(model="transformer"), codes=("SH600519",))


def test_codes_bring_the_passes_of_few_stocks_along_and_saved_settings_stay_as_they_are(chromium, tmp_path):  # noqa: F811
    write_json(tmp_path / "settings" / "few.json", FEW.to_json())
    with running_page(tmp_path, port=18995) as url:
        window = Visit(chromium, url, language="en")
        window.tab("basic")
        codes = window.field("basic", "Stock codes (optional)")

        def shows(*wanted, preset):
            def is_so():
                passes = tuple(window.field("basic", name).input_value() for name in ("Epochs", "Batch size"))
                chosen = window.page.locator("#basic-preset input:checked")
                told = chosen.input_value() if chosen.count() else ""
                return (*passes, told) == (*wanted, preset)

            window.until(is_so, f"{wanted}, {preset}")

        shows("4", "2048", preset="recommended")
        codes.fill("600519")  # as by pasting: not typed letter by letter
        shows("30", "64", preset="recommended")
        window.page.locator("#basic-preset label").nth(0).click()
        shows("2", "64", preset="quick")
        codes.fill("")
        shows("2", "512", preset="quick")
        window.page.locator("#tab-basic .fold > button").filter(has_text="Name and output").click()
        window.page.locator("#tab-basic").get_by_label("Saved settings").click()
        window.page.locator("ul[role=listbox] li").filter(has_text="few").click()
        window.until(lambda: codes.input_value() == "SH600519")
        window.page.wait_for_timeout(1500)
        shows("4", "2048", preset="")
        window.leave()
        window.check()


def test_the_help_of_no_field_leaves_the_column_of_settings(chromium, tmp_path):  # noqa: F811
    with running_page(tmp_path, port=18996) as url:
        window = Visit(chromium, url, language="en")
        for tab in ("basic", "multi"):
            window.tab(tab)
            outside = window.page.evaluate(
                """(tab) => {
                  const column = document.querySelector(`#tab-${tab} .settings`).getBoundingClientRect();
                  return [...document.querySelectorAll(`#tab-${tab} .settings .info-text`)].filter((one) => {
                    const box = one.getBoundingClientRect();
                    return box.width && (box.left < column.left || box.right > column.right);
                  }).map((one) => one.textContent); }""",
                tab,
            )
            assert outside == []
        window.leave()
        window.check()
