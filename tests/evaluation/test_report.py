import json
import re
from pathlib import Path

import numpy as np
import pytest

from financial_model.base.config import INDUSTRIES
from financial_model.conditions.market_regime import REGIMES
from financial_model.conditions.style import STYLES
from financial_model.evaluation.leakage import delay_check, permutation_check
from financial_model.evaluation.report import render, write_report
from financial_model.evaluation.report_texts import BASELINE_NAMES, TEXTS, WORDS
from financial_model.evaluation.result import judge, samples_of
from financial_model.evaluation.samples import Forecasts, tradable_return


@pytest.fixture(scope="module")
def result(makers):
    panel = makers.make_walk(
        40, 220, industry=np.arange(40)[:, None] % 3, regime=np.arange(220)[None] // 55 + 1
    )
    row = np.flatnonzero(panel.session_index >= 80)
    noise = np.random.default_rng(0).normal(size=len(row))
    fan = 0.02 * np.sqrt([1, 2])[:, None] * np.array([-1.64, -0.67, 0, 0.67, 1.64])
    score = noise + 5 * np.nan_to_num(tradable_return(panel, row))
    samples = samples_of(Forecasts(row, score, np.broadcast_to(fan, (len(row), 2, 5))), panel)
    baselines = {
        "zero": np.zeros(len(samples)),
        "reversal": np.random.default_rng(1).normal(size=len(samples)),
    }
    name = "<script>alert(1)</script>"
    judged = judge(samples, panel, name=name, baselines=baselines, settings={"note": "</script>"})
    checks = [permutation_check(samples), delay_check(samples, panel)]
    return {"kind": "evaluation", "models": [judged.with_leakage(checks).to_json()], "comparison": []}


@pytest.fixture(scope="module")
def page(result):
    return render(result)


def test_the_page_asks_no_other_host(page):
    own = page[: page.index("<script>/**")] if "<script>/**" in page else page
    without_library = re.sub(r"<script>(?!\nconst FIGURES).*?</script>", "", own, flags=re.S)
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="?https?:', without_library)
    assert "connect-src" not in page


def test_a_name_from_outside_is_text_and_never_markup(page):
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_every_text_stands_in_both_languages(page):
    for zh, en in [*TEXTS.values(), *BASELINE_NAMES.values()]:
        assert zh
        assert en
    for part in ("方向命中率", "hit rate", "5 日反转", "5-session reversal", WORDS["bear"], "bear"):
        assert part in page


def test_every_group_that_a_table_can_name_has_a_chinese_name():
    named = {*INDUSTRIES, *REGIMES, *STYLES["style_size"].buckets}
    assert not named - set(WORDS)


def test_the_headline_sentence_and_its_error_stand_on_the_page(result, page):
    model = result["models"][0]
    assert f"± {model['summary']['rank_ic']['se']:.4f} RankIC" in page
    assert model["headline"]["verdict"] in ("above", "chance")
    assert "Newey-West t = " in page


def test_figures_are_json_and_name_colours_by_variable(page):
    figures = json.loads(re.search(r"const FIGURES = (.*);\n", page).group(1))
    assert {key.split(".")[0] for key in figures} >= {"forest", "curve", "deciles", "coverage", "pit", "fan0"}
    assert figures["forest.zh"]["data"][0]["marker"]["color"][0] == "--accent"


def test_a_report_is_written_whole(result, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, result, lang="en")
    text = path.read_text(encoding="utf-8")
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert text.endswith("</html>\n")


def test_a_few_stocks_and_folds_have_a_page_too(makers):
    panel = makers.make_walk(2, 200)
    row = np.flatnonzero(panel.session_index >= 100)
    fan = np.broadcast_to(0.02 * np.array([-1.64, -0.67, 0.01, 0.67, 1.64]), (len(row), 1, 5))
    model = judge(samples_of(Forecasts(row, np.zeros(len(row)), fan), panel), panel).to_json()
    split = {"train": ["2017-01-02", "2017-06-30"], "valid": ["2017-09-01", "2017-12-01"]}
    folds = [{"fold": 1, "first": "2018-01-02", "last": "2018-06-29", "rank_ic": None, "split": split}]
    text = render({"kind": "walk_forward", "models": [model], "comparison": [], "folds": folds}, lang="en")
    assert "Too few stocks" in text
    assert "2017-09-01 – 2017-12-01" in text


CHROMIUM = Path("/usr/bin/chromium")


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")
def test_the_page_draws_its_charts_offline_in_both_languages(result, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "report.html"
    write_report(path, result)
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        errors, requests = [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(".plot .main-svg:visible")
        drawn = page.locator(".plot:visible .main-svg").count()
        page.click("[data-act=language]:visible")
        page.click("[data-act=theme]:visible")
        assert page.locator(".plot:visible .main-svg").count() == drawn > 10
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert errors == []
    assert requests == [path.as_uri()]
