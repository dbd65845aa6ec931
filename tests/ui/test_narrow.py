"""A training that is started on a telephone, where its results lie below the form, and on a wide screen."""

import shutil

import pytest

from .conftest import running_page
from .test_browser import Visit, chromium  # noqa: F401

pytestmark = pytest.mark.browser
TOP = "document.querySelector('#tab-multi .results').getBoundingClientRect().top"


@pytest.mark.parametrize("width", [1280, 390])
def test_what_was_started_comes_into_view_where_it_lay_below_its_form(chromium, trained, tmp_path, width):  # noqa: F811
    shutil.copytree(trained.root, tmp_path / "own")  # others look at the runs of that workspace
    with running_page(tmp_path / "own", port=18973) as url:
        window = Visit(chromium, url, language="en", width=width)
        window.tab("multi")
        page = window.page
        page.locator("#multi-preset label").nth(0).click()
        page.wait_for_selector("#multi-start:not([disabled])")
        page.locator("#multi-start").scroll_into_view_if_needed()
        before = page.evaluate("window.scrollY")
        page.click("#multi-start")
        page.wait_for_selector("#multi-stop")
        if width == 390:
            window.until(lambda: 80 <= page.evaluate(TOP) <= 300, "the results in view")
            page.wait_for_timeout(1000)
            page.evaluate("window.scrollTo(0, 0)")
            page.wait_for_timeout(1500)
            assert page.evaluate(TOP) > 300  # brought into view once, and never again
        else:
            page.wait_for_timeout(1500)
            assert page.evaluate("window.scrollY") == before
        page.click("#multi-stop")
        page.wait_for_selector("#multi-start")
        window.leave()
        window.check()
