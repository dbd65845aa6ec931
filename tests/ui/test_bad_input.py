"""Bad input in each form of the page: one clear sentence in its language, gone once it is mended."""

import pytest

from financial_model.ui.translations import LANGUAGES, Translate

from .conftest import running_page
from .test_browser import CHINESE, Visit, chromium  # noqa: F401

pytestmark = pytest.mark.browser

SOURCES = ("download", "import", "practice")
# (form, its tab, the key of a field, what does not fit in it, the button)
FORMS = (
    ("download", "download", "download.start", "yesterday", "#download-go"),
    ("import", "download", "download.path", "/nowhere/at/all", "#download-go"),
    ("practice", "download", "download.stocks", "3", "#download-go"),
    ("universe", "universe", "universe.as_of", "31.12.2020", "#universe-go"),
    ("basic", "basic", "train.learning_rate", "-1", "#basic-start"),
    ("multi", "multi", "train.batch_size", "0", "#multi-start"),
    ("inference", "inference", "inference.as_of", "2020-13-45", "#inference-go"),
    ("evaluation", "evaluation", "evaluation.first", "soon", "#evaluation-go"),
)


@pytest.fixture(scope="module")
def page_of_trained(trained):
    with running_page(trained.root, port=18990) as url:
        yield url


@pytest.mark.parametrize("language", LANGUAGES)
def test_bad_input_in_each_form_is_told_in_one_sentence(chromium, page_of_trained, trained, language):  # noqa: F811
    window = Visit(chromium, page_of_trained, language=language)
    t, page = Translate(language), window.page
    commands = {path.name for path in trained.jobs_dir.glob("[0-9]*") if "doctor" not in path.name}
    for form, tab, key, bad, button in FORMS:
        window.tab(tab)
        if form in SOURCES:
            page.locator("#tab-download .settings .seg label").nth(SOURCES.index(form)).click()
            window.see(t(f"download.go.{'simulate' if form == 'practice' else form}"), button)
        told = page.locator(f"#tab-{tab} .message.failed")
        field = page.locator(f"#tab-{tab}").get_by_label(t(key), exact=True).locator("visible=true").first
        before = field.input_value()
        window.until(lambda told=told: told.count() == 0)
        field.fill(bad)
        field.blur()
        page.click(button)
        window.until(lambda told=told: told.count() == 1, f"{form}: one message")
        text = told.inner_text()
        assert bool(CHINESE.search(text)) == (language == "zh"), f"{form}: {text}"
        assert bad in text, f"{form}: {text}"
        assert "Traceback" not in text
        assert len(text.splitlines()) == 1
        field.fill(before)
        field.blur()
        window.until(lambda told=told: told.count() == 0, f"{form}: nothing left to mend")
    assert {path.name for path in trained.jobs_dir.glob("[0-9]*") if "doctor" not in path.name} == commands
    window.leave()
    window.check()


def test_every_field_has_a_name_that_a_reader_of_the_screen_finds(chromium, page_of_trained):  # noqa: F811
    window = Visit(chromium, page_of_trained, language="zh")
    for tab in ("download", "universe", "basic", "multi", "inference", "evaluation", "runs", "system"):
        window.tab(tab)
        for fold in window.page.locator(f"#tab-{tab} .fold > button.label-wrap").all():
            if fold.is_visible() and "open" not in (fold.get_attribute("class") or "").split():
                fold.click()
        window.until(lambda tab=tab: _nameless(window.page, tab) == [], f"{tab}: fields without a name")
    window.leave()
    window.check()


def _nameless(page, tab):
    """What stands in or around the fields of a tab that have no name, or a whole paragraph for one."""
    return page.evaluate(
        """(tab) => [...document.querySelectorAll(`#tab-${tab} :is(input, textarea, select)`)].filter(
          (one) => {
            const label = one.labels && one.labels.length ? one.labels[0].innerText : "";
            const name = one.getAttribute("aria-label") || label;
            return !name.trim() || name.trim().includes("\\n");
          }).map((one) => one.closest(".block")?.innerText ?? one.outerHTML)""",
        tab,
    )
