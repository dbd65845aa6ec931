"""An evaluation and a backtest in pictures and tables; then the tab, in Chromium."""

import json

import pytest

from financial_model.base.config import BacktestSettings, EvaluateSettings, WalkForwardSettings
from financial_model.base.errors import BadSetting
from financial_model.base.progress import Progress
from financial_model.ui.backtest_cards import trading_card, trading_tables_card
from financial_model.ui.backtest_charts import drawdown_chart, equity_chart, turnover_chart
from financial_model.ui.evaluation_cards import group_tables, headline_card, leak_card
from financial_model.ui.evaluation_charts import coverage_chart, decile_chart, forest_chart, ic_chart
from financial_model.ui.file_links import FileLinks
from financial_model.ui.market_status import MarketStatus
from financial_model.ui.runs import RunReader
from financial_model.ui.tabs.evaluation import _notice, settings_of
from financial_model.ui.translations import Translate
from financial_model.ui.view import View
from financial_model.workflows.backtest_model import backtest_model
from financial_model.workflows.evaluate_model import evaluate_model

from .conftest import running_page
from .test_browser import CHINESE, Visit, chromium  # noqa: F401

ZH, EN = Translate("zh"), Translate("en")
JUDGED = (forest_chart, ic_chart, decile_chart, coverage_chart)
TRADED = (equity_chart, drawdown_chart, turnover_chart)
DEFAULTS = ("", "", True, 4, 1, 50, 5, 1, 1_000_000)


@pytest.fixture(scope="module")
def checkpoint(trained):
    return f"output/{next(trained.output_dir.glob('*_best.pt')).name}"


@pytest.fixture(scope="module")
def result(trained, checkpoint):
    settings = EvaluateSettings(checkpoints=(checkpoint,), baselines=False)
    return json.loads(json.dumps(evaluate_model(settings, trained, Progress())))


@pytest.fixture(scope="module")
def book(trained, checkpoint):
    settings = BacktestSettings(checkpoint=checkpoint, top=5, drop=2)
    return json.loads(json.dumps(backtest_model(settings, trained, Progress())))


@pytest.mark.parametrize("chart", [*JUDGED, *TRADED])
@pytest.mark.parametrize("t", [ZH, EN], ids=["zh", "en"])
def test_before_a_run_every_chart_is_a_sentence(chart, t):
    card = chart(None, t)
    assert card["empty"]
    assert card["traces"] == []


@pytest.mark.parametrize("chart", JUDGED)
def test_every_judgement_of_a_practice_market_says_so(chart, result):
    card = chart(result, ZH)
    assert card["mark"] == "练习行情"
    assert card["name"].startswith("practice_")


@pytest.mark.parametrize("chart", TRADED)
def test_every_picture_of_a_practice_backtest_says_so(chart, book):
    assert chart(book, EN)["mark"] == "practice market"
    assert chart(book, EN)["layout"]["xaxis"]["categoryarray"] == book["curve"]["session"]


def test_the_forest_holds_the_model_and_its_baselines_with_their_intervals(result):
    model = result["models"][0]
    rival = {"name": "lightgbm", "rank_ic": {"mean": 0.05, "se": 0.01, "t": 5.0}}
    chance = {"name": "zero", "rank_ic": {"mean": 0.0, "se": 0.0, "t": None}}
    card = forest_chart({**result, "models": [model | {"baselines": [chance, rival]}]}, ZH)
    assert card["table"]["name"] == ["本模型", "LightGBM", "零收益"]
    widths = card["traces"][0]["error_x"]["array"]
    assert widths[0] == pytest.approx(1.96 * model["summary"]["rank_ic"]["se"])
    assert widths[1:] == [pytest.approx(0.0196), 0.0]


def test_several_checkpoints_stand_side_by_side_with_their_paired_difference(result):
    one = result["models"][0]
    pair = {"first": "a", "second": "b", "rank_ic": {"mean": 0.01, "se": 0.002}}
    many = {**result, "models": [one | {"name": "a"}, one | {"name": "b"}], "comparison": [pair]}
    assert "a minus b: +0.0100 ± 0.0020 (paired)" in headline_card(EN, many)
    assert [trace["type"] for trace in ic_chart(many, EN)["traces"]] == ["scatter", "scatter"]
    assert forest_chart(many, EN)["table"]["name"][:2] == ["a", "b"]


def test_gaining_groups_are_in_the_colour_of_rising_and_losing_ones_in_that_of_falling(result):
    card = decile_chart(result, EN)
    trace = card["traces"][0]
    for value, color in zip(trace["y"], trace["marker"]["color"], strict=True):
        assert color.startswith("@up" if (value or 0) >= 0 else "@down")


def test_on_a_narrow_screen_the_names_of_the_outer_groups_take_two_lines(result):
    names = decile_chart(result, EN)["narrow"]["xaxis"]["ticktext"]
    assert (names[0], names[1], names[-1]) == ("1<br>lowest", "2", f"{len(names)}<br>highest")


def test_the_band_of_the_coverage_is_one_and_a_half_points_around_ninety(result):
    band = coverage_chart(result, EN)["layout"]["shapes"][0]
    assert (band["x0"], band["x1"]) == (pytest.approx(0.885), pytest.approx(0.915))


@pytest.mark.parametrize(("verdict", "kind"), [("above", "accent"), ("chance", "warn"), ("below", "failed")])
def test_the_headline_says_whether_it_is_chance_and_never_hides_its_error(result, verdict, kind):
    one = result["models"][0]
    told = one | {"headline": one["headline"] | {"verdict": verdict, "zh": "一句话", "against": None}}
    card = headline_card(ZH, {**result, "models": [told]})
    assert f"sentence {kind}" in card
    assert "±" in card
    assert "一句话" in card


def test_every_leak_check_stands_with_what_an_honest_model_gives(result):
    card = leak_card(ZH, result)
    assert card.count("<tr>") == 1 + len(result["models"][0]["leakage"])
    assert result["models"][0]["data_fingerprint"][:12] in card
    failing = [check | {"passed": False} for check in result["models"][0]["leakage"]]
    assert "! look" in leak_card(EN, {**result, "models": [result["models"][0] | {"leakage": failing}]})


def test_the_english_cards_hold_no_chinese(result, book):
    for card in (
        headline_card(EN, result),
        leak_card(EN, result),
        group_tables(EN, result),
        trading_card(EN, book),
        trading_tables_card(EN, book),
    ):
        assert CHINESE.search(card) is None


def test_the_backtest_tells_costs_blocked_orders_and_its_error(book):
    assert "±" in trading_card(ZH, book)
    tables = trading_tables_card(ZH, book)
    assert "涨停，不能买" in tables
    assert "佣金" in tables


def test_the_toolbar_s_values_become_the_settings_of_each_mode(trained, checkpoint):
    runs = RunReader(trained).all([])
    values = ([checkpoint], *DEFAULTS)
    assert settings_of("evaluate", runs, values) == EvaluateSettings(checkpoints=(checkpoint,))
    assert settings_of("backtest", runs, values) == BacktestSettings(checkpoint=checkpoint)
    walk = settings_of("walk", runs, values)
    assert isinstance(walk, WalkForwardSettings)
    assert walk.train.model.hidden_size == 16
    assert walk.train.train_end is None


@pytest.mark.parametrize(
    ("mode", "place", "value"),
    [("evaluate", 0, []), ("evaluate", 1, "soon"), ("walk", 4, 0), ("backtest", 6, 0), ("backtest", 9, 1)],
)
def test_bad_input_is_told_by_name(mode, place, value, trained, checkpoint):
    values = [[checkpoint], *DEFAULTS]
    values[place] = value
    with pytest.raises(BadSetting):
        settings_of(mode, RunReader(trained).all([]), tuple(values))


def test_a_link_leads_to_what_was_offered_and_to_nothing_else(tmp_path):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    report, secret = tmp_path / "report.html", tmp_path / "secret.txt"
    report.write_text("<p>fine</p>", encoding="utf-8")
    secret.write_text("hidden", encoding="utf-8")
    links, app = FileLinks(), FastAPI()
    links.add_route(app)
    address = links.offer_file(report, "report.html")
    assert links.offer_file(report, "report.html") == address
    table = links.offer_csv("t", "t.csv", lambda: "a,b\r\n")
    with TestClient(app) as client:
        answer = client.get(f"/{address}")
        assert answer.text == "<p>fine</p>"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in client.get(f"/{address}?view=1").headers["content-security-policy"]
        assert client.get(f"/{table}").content.startswith(b"\xef\xbb\xbfa,b")
        for wrong in (
            "hermes/file/secret.txt",
            "hermes/file/../secret.txt",
            f"{address[:-1]}x",
            "hermes/file/",
        ):
            assert client.get(f"/{wrong}").status_code == 404


@pytest.mark.browser
def test_the_tab_evaluates_and_shows_the_verdict_in_both_languages(chromium, trained):  # noqa: F811
    with running_page(trained.root, port=18974) as url:
        window = Visit(chromium, url)
        window.tab("evaluation")
        window.page.fill("#evaluation-first :is(input, textarea)", "昨天")
        window.page.click("#evaluation-go")
        window.see("形如", ".message.failed")
        window.page.fill("#evaluation-first :is(input, textarea)", "")
        window.page.click("#evaluation-go")
        window.page.wait_for_selector("#evaluation-headline .big", timeout=300_000)
        assert window.page.locator("#evaluation-leaks tbody tr").count() == 3
        window.page.locator("#language label").nth(1).click()
        window.see("Leak checks")
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 1280
        window.leave()


def test_a_first_evaluation_says_what_it_does_and_promises_no_earlier_result(workspace, make_jobs, wait):
    stage = {"kind": "stage", "stage": "baseline", "baseline": "ridge", "message": "baseline ridge"}
    jobs = make_jobs({"events": [stage], "sleep_s": 60})
    jobs.start("evaluate", EvaluateSettings(checkpoints=("output/x_best.pt",)))
    jobs.advance()
    wait(lambda: jobs.all()[0].trail.stage and jobs.all()[0].is_running)
    market = MarketStatus(stocks=3, has_panel=True)
    view = View(ZH, jobs.all(), market, workspace)
    busy = view.latest("evaluate")
    told = _notice(view, busy, busy, ["output/x_best.pt"], has_result=False)
    assert "正在评估 · 基线：岭回归。结果会出现在这里。" in told
    assert "上一次" in _notice(view, busy, busy, ["output/x_best.pt"], has_result=True)
