"""The universe in pictures and as a table; then the tab itself, in Chromium."""

import itertools
import json

import pytest

from financial_model.base.config import AnalyzeSettings
from financial_model.base.progress import Progress
from financial_model.ui.candles import candlestick, session_axis, session_ticks, weekly
from financial_model.ui.stock_table import plain, rows_of, select, stock_table, to_csv
from financial_model.ui.tabs.universe import headline, health_card, settings_of
from financial_model.ui.translations import Translate
from financial_model.ui.universe_charts import (
    coverage_chart,
    heat_chart,
    index_chart,
    industry_chart,
    style_chart,
)
from financial_model.workflows.analyze_universe import analyze_universe

from .conftest import running_page
from .test_browser import CHINESE, Visit, chromium  # noqa: F401

CHARTS = (index_chart, industry_chart, heat_chart, coverage_chart, style_chart)
ZH, EN = Translate("zh"), Translate("en")


@pytest.fixture(scope="module")
def result(trained):
    """What `analyze` tells of the practice market, as a job's file would hold it."""
    return json.loads(json.dumps(analyze_universe(AnalyzeSettings(), trained, Progress())))


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("t", [ZH, EN], ids=["zh", "en"])
def test_before_an_analysis_every_chart_is_a_sentence(chart, t):
    card = chart(None, t)
    assert card["empty"] == t("universe.empty")
    assert card["traces"] == []


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("t", [ZH, EN], ids=["zh", "en"])
def test_every_chart_of_a_practice_market_says_so_in_its_title_and_in_its_file(chart, t, result):
    card = chart(result, t)
    assert card["mark"] == t("word.practice_tag")
    assert card["name"].startswith("practice_")
    assert card["traces"]
    assert not card["empty"]


@pytest.mark.parametrize("chart", [industry_chart, heat_chart, coverage_chart, style_chart])
def test_every_chart_of_one_day_says_which(chart, result):
    card = chart(result, ZH)
    assert result["as_of"] in card["subtitle"] + card["note"]


def test_no_chart_names_a_colour_of_its_own(result):
    for chart in CHARTS:
        text = json.dumps(chart(result, ZH))
        assert "#" not in text.replace("#,", "")
        assert "rgb(" not in text


def test_rising_candles_are_hollow_and_falling_ones_filled_in_the_theme_s_colours():
    bars = {"date": ["2024-06-03"], "open": [1.0], "high": [2.0], "low": [0.5], "close": [1.5]}
    trace = candlestick(ZH, bars)
    assert trace["increasing"] == {"line": {"color": "@up", "width": 1}, "fillcolor": "@card"}
    assert trace["decreasing"]["fillcolor"] == "@down"
    assert candlestick(ZH, bars, filled=True)["increasing"]["fillcolor"] == "@up"


def test_the_axis_holds_sessions_and_no_weekends():
    axis = session_axis(["2024-06-07", "2024-06-11"])
    assert axis["type"] == "category"
    assert axis["categoryarray"] == ["2024-06-07", "2024-06-11"]
    assert axis["rangeslider"] == {"visible": False}


def test_ticks_of_a_long_span_are_years_and_of_a_short_one_days():
    years = [f"{year}-{month:02}-15" for year in range(2010, 2020) for month in range(1, 13)]
    assert session_ticks(years, 7)[1] == ["2011", "2013", "2015", "2017", "2019"]
    assert session_ticks(["2024-06-03", "2024-06-04"], 7)[1] == ["06-03", "06-04"]


def test_a_week_takes_its_first_open_its_extremes_and_its_last_regime():
    bars = {
        "date": ["2024-06-03", "2024-06-07", "2024-06-10"],
        "open": [1, 2, 3],
        "high": [9, 4, 5],
        "low": [1, 0, 3],
        "close": [2, 3, 4],
        "regime": [1, 2, 3],
    }
    assert weekly(bars) == {
        "date": ["2024-06-07", "2024-06-10"],
        "open": [1, 3],
        "high": [9, 5],
        "low": [0, 3],
        "close": [3, 4],
        "regime": [2, 3],
    }


def test_regime_bands_cover_exactly_the_bars_whose_regime_is_known(result):
    card = index_chart(result, EN)
    bars = card["layout"]["xaxis"]["categoryarray"]
    strip = [shape for shape in card["layout"]["shapes"] if shape["yref"] == "paper"]
    covered = sum(shape["x1"] - shape["x0"] for shape in strip)
    assert 0 < covered <= len(bars)
    for before, after in itertools.pairwise(strip):
        assert before["x1"] <= after["x0"]


def test_tiles_carry_their_industry_so_that_a_click_can_list_its_stocks(result):
    card = industry_chart(result, ZH, "count", "industry")
    trace = card["traces"][0]
    assert set(trace["customdata"]) == {row["industry"] for row in result["industries"] if row["stocks"]}
    assert sum(trace["values"]) == result["stocks"]
    assert trace["marker"]["colors"][0].startswith("@industry-")


def test_a_return_beyond_seven_percent_is_full_colour():
    rows = [
        {
            "industry": name,
            "stocks": 1,
            "unknown": 0,
            "market_cap_cny": 1e9,
            "return_1": 0.0,
            "return_20": value,
            "source_names": [],
            "codes": [],
        }
        for name, value in (("finance", 0.09), ("energy", -0.035), ("other", None))
    ]
    card = industry_chart({"industries": rows, "as_of": "2024-06-03", "simulated": False}, EN)
    assert card["traces"][0]["marker"]["colors"] == ["@flat~up*1", "@flat~down*0.5", "@flat"]
    assert card["mark"] == ""
    assert not card["name"].startswith("practice_")


def test_a_short_index_says_that_there_is_no_regime(result):
    short = result | {"regime": result["regime"] | {"is_too_short": True}}
    assert index_chart(short, ZH)["note"] == "指数日线不足 250 根，无法判定市场状态。"
    assert index_chart(result | {"timeline": {"date": []}}, ZH)["empty"] == ZH("universe.no_index")


def test_the_table_searches_narrows_and_sorts_with_the_unknown_last(result):
    rows = rows_of(result["table"])
    by_pe = [row["pe"] for row in select(rows, sort="pe", descending=False)]
    known = [value for value in by_pe if value is not None]
    assert known == sorted(known)
    assert by_pe[: len(known)] == known
    industry = rows[0]["industry"]
    assert {row["industry"] for row in select(rows, industry=industry)} == {industry}
    assert [row["code"] for row in select(rows, search=rows[3]["code"].lower())] == [rows[3]["code"]]


def test_names_from_data_cannot_write_html():
    row = {"code": "SH600000", "name": "<img src=x onerror=alert(1)>", "industry": "other", "close": 1.0}
    assert "<img" not in stock_table(ZH, [row], "close", True)


def test_the_csv_says_its_date_and_that_it_is_simulated(result):
    text = to_csv(result["table"], result["as_of"], True)
    head, first = text.splitlines()[:2]
    assert head.endswith("as_of,simulated")
    assert first.endswith(f"{result['as_of']},1")
    assert len(text.splitlines()) == 1 + result["stocks"]


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)"])
def test_a_spreadsheet_runs_nothing_of_a_cell(text):
    assert plain(text) == "'" + text


def test_the_headline_names_the_regime_and_since_when(result):
    told = headline(EN, result)
    assert EN(f"regime.{result['regime']['now']}") in told
    assert str(result["regime"]["since"]) in told
    assert headline(EN, None) == ""


def test_the_health_card_says_what_was_checked(result):
    assert "Quality report" in health_card(EN, result)
    assert CHINESE.search(health_card(EN, result)) is None


def test_the_toolbar_s_values_become_settings_or_an_error_in_place():
    from financial_model.base.errors import BadSetting

    assert settings_of("1,000", "2024-06-03").max_stocks == 1000
    assert settings_of("", "") == AnalyzeSettings()
    for stocks, day in (("many", ""), ("0", ""), ("", "yesterday")):
        with pytest.raises(BadSetting):
            settings_of(stocks, day)


@pytest.mark.browser
def test_the_tab_analyzes_lists_an_industry_and_speaks_both_languages(chromium, trained):  # noqa: F811
    with running_page(trained.root, port=18971) as url:
        window = Visit(chromium, url)
        window.tab("universe")
        window.page.fill("#universe-as-of :is(input, textarea)", "昨天")
        window.page.click("#universe-go")
        window.see("形如", ".message.failed")
        window.page.fill("#universe-as-of :is(input, textarea)", "")
        window.page.click("#universe-go")
        window.page.wait_for_selector("#universe-stocks tbody tr", timeout=120_000)
        count = window.page.locator("#universe-stocks tbody tr").count()
        assert count >= 10
        window.page.locator("#universe-stocks th", has_text="收盘").click()
        window.page.wait_for_selector("#universe-stocks th:has-text('收盘') i:has-text('▾')")
        window.page.locator("#language label").nth(1).click()
        window.see("Index and regime")
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 1280
        window.leave()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_tile_brings_the_stocks_of_its_industry_into_view_and_they_can_be_let_go(chromium, trained, width):  # noqa: F811
    with running_page(trained.root, port=18972) as url:
        window = Visit(chromium, url, language="en", width=width)
        window.tab("universe")
        page = window.page
        if not page.locator("#universe-stocks tbody tr").count():
            page.click("#universe-go")
        page.wait_for_selector("#universe-stocks tbody tr", timeout=120_000)
        everyone = page.locator("#universe-stocks tbody tr").count()
        seen = """() => { const stocks = document.getElementById("universe-stocks");
            const [head, row] = ["header", "tbody tr"].map((one) => stocks.querySelector(one));
            return [head.getBoundingClientRect().top, row.getBoundingClientRect().bottom - innerHeight]; }"""
        page.locator("#tab-universe .treemaplayer .slice").nth(1).click()
        window.until(
            lambda: page.evaluate(seen)[0] >= 80 and page.evaluate(seen)[1] <= 0, "the table in view"
        )
        chip = page.locator("#universe-stocks header button.tag")
        window.until(lambda: page.locator("#universe-stocks tbody tr").count() < everyone, "fewer stocks")
        chip.click()
        window.until(lambda: page.locator("#universe-stocks tbody tr").count() == everyone, "all stocks")
        assert chip.count() == 0
        window.leave()
        window.check()


def test_a_regime_tells_how_much_room_its_name_has_and_a_sliver_has_none(result):
    notes = index_chart(result, EN)["layout"]["annotations"]
    assert notes
    assert all(0.01 <= note["room"] <= 1 for note in notes)


def test_the_name_of_a_stock_carries_its_code_for_a_narrow_screen(result):
    told = stock_table(EN, rows_of(result["table"])[:1], "code", True)
    assert 'class="wide-only"' in told
    assert '<small class="narrow-only"><code>' in told
