"""A forecast in pictures, the ranking, and what the page itself forecasts; then the tab, in Chromium."""

import json
import math
from datetime import date

import numpy as np
import pytest

from financial_model.base.config import ForecastSettings
from financial_model.base.errors import BadSetting, NotTraded, UnknownCode
from financial_model.base.progress import Progress
from financial_model.data.panel import Panel
from financial_model.forecasting.conditional_inference import open_predictor
from financial_model.ui.actions import scan_settings
from financial_model.ui.forecast_cards import steps_card
from financial_model.ui.forecast_charts import accuracy_chart, fan_chart, hits_chart, in_prices, simple
from financial_model.ui.forecaster import Forecaster, chance_of_rise, past_forecasts
from financial_model.ui.market_status import read_market
from financial_model.ui.ranking import interval_bar, narrow, ranking_columns, ranking_table
from financial_model.ui.result_reader import ResultReader
from financial_model.ui.stock_search import StockSearch
from financial_model.ui.tabs import inference
from financial_model.ui.tabs.inference import _is_ranked, sample_count
from financial_model.ui.tabs.own_file import own_result
from financial_model.ui.translations import Translate
from financial_model.workflows.scan_universe import scan_universe

from .conftest import running_page
from .test_browser import Visit, chromium  # noqa: F401

ZH, EN = Translate("zh"), Translate("en")


@pytest.fixture(scope="module")
def checkpoint(trained):
    return f"output/{next(trained.output_dir.glob('*_best.pt')).name}"


@pytest.fixture(scope="module")
def forecaster(trained):
    return Forecaster(trained)


@pytest.fixture(scope="module")
def code(trained):
    return Panel.open(trained).codes[0]


@pytest.fixture(scope="module")
def told(forecaster, checkpoint, code):
    """A stock as of a day that has a future in the panel, as JSON would carry it."""
    as_of = forecaster_day(forecaster)
    return json.loads(json.dumps(forecaster.stock(checkpoint, code, as_of, 30)))


def forecaster_day(forecaster, back=12) -> date:
    return Panel.open(forecaster.workspace).sessions[-1 - back].item()


def test_the_fan_starts_at_the_as_of_close_and_ends_at_its_quantiles(told):
    card = fan_chart(told, EN)
    wide = next(trace for trace in card["traces"] if trace["name"] == "fan-wide")
    assert wide["x"][0] == told["as_of"]
    assert wide["y"][0] == told["close"]
    steps = len(told["future"])
    assert wide["x"][1 : 1 + steps] == told["future"]
    assert wide["y"][steps] == pytest.approx(told["close"] * math.exp(told["quantiles"][-1][4]))


def test_the_fan_lies_on_true_sessions_after_the_as_of_one(told, trained):
    panel = Panel.open(trained)
    position = panel.position_of(told["as_of"])
    after = panel.sessions[position + 1 : position + 6].astype(str).tolist()
    assert told["future"] == after
    assert fan_chart(told, EN)["layout"]["xaxis"]["categoryarray"] == [*told["bars"]["date"], *after]


def test_what_came_true_is_drawn_where_it_is_known_and_only_there(told, forecaster, checkpoint, code):
    assert ZH("inference.actual") in [trace["name"] for trace in fan_chart(told, ZH)["traces"]]
    latest = forecaster.stock(checkpoint, code, None, 0)
    assert latest["actual"] == [None] * len(latest["future"])
    assert ZH("inference.actual") not in [trace["name"] for trace in fan_chart(latest, ZH)["traces"]]


def test_adjusted_prices_meet_raw_ones_at_the_as_of_close(told, trained):
    panel = Panel.open(trained)
    raw = in_prices(told, "raw")
    assert told["bars"]["close"][-1] == pytest.approx(told["close"], abs=1e-4)
    rows = panel.rows_of(told["code"])
    at = panel.session_index[rows] <= panel.position_of(told["as_of"])
    traded = panel.column("raw_close")[rows][at][-len(raw["close"]) :]
    np.testing.assert_allclose(raw["close"], traded, atol=0.02)


def test_a_stock_as_of_a_day_is_told_from_data_up_to_that_day(told, trained, checkpoint):
    """Forecast, bars and past forecasts are those of a panel that ends at the as-of close."""
    panel = Panel.open(trained)
    cut = open_predictor(trained.root / checkpoint, panel.truncated(told["as_of"]))
    rows = cut.rows([told["code"]])
    score, quantiles = cut.forecast_rows(rows)
    assert float(score[0]) == pytest.approx(told["score"], abs=1e-5)
    np.testing.assert_allclose(quantiles[0], told["quantiles"], atol=2e-5)
    position = cut.panel.position_of(told["as_of"])
    past = past_forecasts(cut, cut.panel.rows_of(told["code"]), position, 30)
    assert past["date"] == told["samples"]["date"]
    assert past["last"]["actual"] == told["samples"]["last"]["actual"]
    np.testing.assert_allclose(past["first"]["quantiles"], told["samples"]["first"]["quantiles"], atol=2e-5)


def test_past_forecasts_end_where_their_outcome_was_known(told, trained):
    panel = Panel.open(trained)
    newest = panel.position_of(told["samples"]["date"][-1])
    assert newest + told["samples"]["horizon"] <= panel.position_of(told["as_of"])
    assert len(told["samples"]["date"]) == 30


def test_hits_are_counted_and_misses_stand_out():
    one = {
        "code": "SH600000",
        "as_of": "2024-06-07",
        "is_simulated": False,
        "samples": {
            "date": ["2024-06-03", "2024-06-04", "2024-06-05"],
            "seen": [True, False, False],
            "horizon": 1,
            "first": {"quantiles": [[-0.1, -0.05, 0.0, 0.05, 0.1]] * 3, "actual": [0.0, 0.2, None]},
            "last": {"quantiles": [[-0.1, -0.05, 0.01, 0.05, 0.1]] * 3, "actual": [0.02, -0.2, None]},
        },
    }
    hits = hits_chart(one, EN)
    assert "50.0 %" in hits["subtitle"]
    assert "1 of them" in hits["note"]
    outside = next(trace for trace in hits["traces"] if trace["name"] == EN("inference.hits.outside"))
    assert outside["x"] == ["2024-06-04"]
    accuracy = accuracy_chart(one, EN)
    assert accuracy["table"]["direction_right"] == [1, 0]
    assert accuracy["table"]["error"][0] == pytest.approx(simple(0.02) - simple(0.01))


def test_a_narrow_screen_draws_the_prices_that_it_shows_over_the_whole_height(told):
    card = fan_chart(told, EN)
    first = math.ceil(card["narrow"]["xaxis"]["range"][0])
    shown = told["bars"]["low"][first:] + told["bars"]["high"][first:]
    low, high = card["narrow"]["yaxis"]["range"]
    wide_low, wide_high = card["layout"]["yaxis"]["range"]
    assert wide_low <= low < min(shown)
    assert max(shown) < high <= wide_high
    assert card["narrow"]["yaxis2"]["tickvals"][-1] == max(told["bars"]["volume"][first:])


@pytest.mark.parametrize("chart", [fan_chart, hits_chart, accuracy_chart])
def test_before_a_forecast_every_chart_is_a_sentence(chart):
    assert chart(None, ZH)["empty"]
    assert chart(None, EN)["traces"] == []


def test_the_chance_of_a_rise_is_never_surer_than_the_quantiles_can_say():
    assert chance_of_rise([-0.5, -0.4, -0.3, -0.2, -0.1]) == pytest.approx(0.05)
    assert chance_of_rise([-0.2, -0.1, 0.1, 0.2, 0.3]) == pytest.approx(0.625)


def test_the_steps_name_sessions_and_mark_those_not_announced(told):
    text = steps_card(ZH, told | {"announced": 3})
    assert text.count("*") >= 2
    assert told["future"][0][5:] in text


@pytest.fixture(scope="module")
def ranking(trained, checkpoint):
    settings = ForecastSettings(checkpoint=checkpoint)
    return json.loads(json.dumps(scan_universe(settings, trained, Progress()), default=str))


def test_every_row_of_the_ranking_is_a_choice_and_the_shown_stock_is_marked(ranking):
    rows = ranking["ranking"]
    text = ranking_table(ZH, rows, rows[1]["code"])
    assert text.count("data-code=") == len(rows)
    assert text.count('class="chosen"') == 1
    assert len(ranking_columns(rows)["rows"]) == len(rows)


def test_what_cannot_be_bought_is_tagged_and_can_be_left_out(ranking):
    rows = [dict(ranking["ranking"][0], limit="up"), dict(ranking["ranking"][1], limit="", is_st=False)]
    assert "涨停" in ranking_table(ZH, rows, None)
    assert [row["code"] for row in narrow(rows, tradable=True)] == [rows[1]["code"]]


def test_a_small_interval_stands_around_zero():
    row = {"q05": -0.1, "q25": -0.05, "q50": 0.0, "q75": 0.05, "q95": 0.1}
    assert 'class="median" style="left:50.0%"' in interval_bar(row, 0.2)


def test_names_of_stocks_cannot_write_html(ranking):
    row = dict(ranking["ranking"][0], name="<script>alert(1)</script>")
    assert "<script>" not in ranking_table(ZH, [row], None)


def test_a_stock_is_found_by_code_number_or_name(trained, code):
    search, market = StockSearch(trained), read_market(trained)
    assert list(search.names(market)) == Panel.open(trained).codes
    name = search.names(market)[code]
    assert search.resolve(market, code[2:]) == code
    assert search.resolve(market, name) == code
    assert search.resolve(market, f"{code} {name}") == code
    assert search.find(market, code[2:])[0][1] == code
    with pytest.raises(UnknownCode):
        search.resolve(market, "no such stock")


def test_a_day_without_trade_names_the_nearest_one(forecaster, checkpoint, trained):
    panel = Panel.open(trained)
    late = next((one for one in panel.codes if panel.session_index[panel.rows_of(one).start] > 30), None)
    if late is None:
        pytest.skip("every stock of this market is as old as it")
    with pytest.raises(NotTraded):
        forecaster.stock(checkpoint, late, panel.sessions[25].item(), 0)


def test_the_toolbar_s_values_become_settings_or_an_error_in_place():
    assert scan_settings("output/a.pt", "2024-06-03").as_of == date(2024, 6, 3)
    assert sample_count(30.0) == 30
    for act in (
        lambda: scan_settings("", ""),
        lambda: scan_settings("output/a.pt", "soon"),
        lambda: sample_count(-1),
        lambda: sample_count(None),
        lambda: sample_count(1e9),
    ):
        with pytest.raises(BadSetting):
            act()


OWN = {
    "out": "small_forecast.csv",
    "is_simulated": True,
    "notes": [
        {"key": "own_bars_other", "zh": "收盘价都不一致", "en": "its closes match neither"},
        {"key": "unlearned_stock", "zh": "模型没有学过", "en": "The model did not learn from it"},
    ],
    "forecasts": [
        {"code": "SH600000", "as_of": "2024-06-03", "step": 1}
        | {"q05": -0.1, "q25": -0.05, "q50": 0.0, "q75": 0.05, "q95": 0.1}
    ],
}


def test_a_forecast_of_an_own_file_tells_what_its_figures_rest_on(make_jobs, wait, built):
    jobs = make_jobs({"result": OWN}).open()
    job = jobs.start("forecast", ForecastSettings(checkpoint="output/a.pt", bars="mine.csv"))
    wait(lambda: jobs.get(job.id).state == "done")
    page = built(jobs=jobs).page
    for language, texts in (
        ("en", ["its closes match neither", "The model did not learn from it", "practice market"]),
        ("zh", ["收盘价都不一致", "模型没有学过", "练习行情"]),
    ):
        shown = own_result(page, page.view(language), jobs.get(job.id))
        assert [text for text in texts if text not in shown] == []


@pytest.mark.parametrize("path", ["", "~nosuch/x.csv", "x" * 300 + ".csv", "a\0b.csv", "/", "gone.csv"])
def test_a_path_of_an_own_file_that_leads_nowhere_is_told_in_place(built, path):
    told = built(inference.build).press("inference-own-go", "en", "output/a.pt", "", path)
    assert "No bars in" in told


def test_without_a_panel_enter_in_as_of_says_so_and_starts_nothing(make_jobs, wait, built, workspace):
    jobs = make_jobs({"result": {"as_of": "2024-06-03", "ranking": []}}).open()
    scan = jobs.start("scan", scan_settings("output/a.pt", ""))
    wait(lambda: jobs.get(scan.id).state == "done")
    tab = built(inference.build, jobs=jobs)
    told, *_ = tab.press("inference-as-of", "en", "output/a.pt", "", "2024-06-03", 0, event="submit")
    assert "There is no panel at" in told
    assert [job.id for job in jobs.all()] == [scan.id]
    assert not _is_ranked(tab.page.view("en"), ResultReader(), scan_settings("output/a.pt", ""))


@pytest.mark.parametrize("path", ["../x", "~nosuch/x.pt", "a\0b"])
def test_what_can_be_no_checkpoint_is_not_loaded(forecaster, told, path):
    assert forecaster.is_loaded(told["checkpoint"])
    assert not forecaster.is_loaded(path)


@pytest.mark.browser
def test_the_tab_forecasts_ranks_and_follows_a_click(chromium, trained):  # noqa: F811
    with running_page(trained.root, port=18972) as url:
        window = Visit(chromium, url)
        window.tab("inference")
        window.page.fill("#inference-as-of :is(input, textarea)", "昨天")
        window.page.click("#inference-go")
        window.see("形如", ".message.failed")
        window.page.fill("#inference-as-of :is(input, textarea)", "")
        window.page.click("#inference-go")
        window.page.wait_for_selector("#inference-ranking tr[data-code]", timeout=180_000)
        window.page.wait_for_selector("#inference-headline .figures", timeout=180_000)
        row = window.page.locator("#inference-ranking tr[data-code]").nth(3)
        chosen = row.get_attribute("data-code")
        row.click()
        window.see(chosen, "#inference-headline")
        window.page.wait_for_selector(f"#inference-ranking tr.chosen[data-code='{chosen}']")
        window.page.locator("#language label").nth(1).click()
        window.see("Quantiles by step")
        window.open()
        # The reload cuts off whatever the old page was asking for.
        window.errors = [text for text in window.errors if "Connection errored out" not in text]
        window.tab("inference")
        window.see(chosen, "#inference-headline")
        window.leave()


@pytest.mark.browser
def test_at_390_the_toolbar_is_one_field_and_a_button(chromium, trained):  # noqa: F811
    with running_page(trained.root, port=18973) as url:
        window = Visit(chromium, url, width=390)
        window.tab("inference")
        assert not window.page.get_by_label("测试样本").is_visible()
        window.page.locator("#inference-toolbar .unfold").click()
        window.page.get_by_label("测试样本").wait_for(state="visible")
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 390
        window.leave()
