"""The trips from a panel to a forecast: train, resume, forecast, rank, and a CSV of one's own."""

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from financial_model.base.config import (
    ForecastSettings,
    ModelSettings,
    PanelSettings,
    SimulateSettings,
    TrainSettings,
)
from financial_model.base.errors import BadSetting, NoBarsFound, NoPanel, StopRequested, UnsafePath
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore
from financial_model.data.csv_source import table_text
from financial_model.data.panel import Panel
from financial_model.data.reference_store import ReferenceStore
from financial_model.models.checkpoint import load_checkpoint
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.forecast_stock import forecast_stock
from financial_model.workflows.scan_universe import scan_universe
from financial_model.workflows.simulate import simulate
from financial_model.workflows.train_model import train_model

NETWORK = ModelSettings(context_length=20, hidden_size=16, layers=1, heads=2)
SETTINGS = TrainSettings(name="trip", model=NETWORK, epochs=1, batch_size=256)


@pytest.fixture(scope="module")
def trip(tmp_path_factory):
    """A workspace with a practice market, its panel and a checkpoint; the training's result."""
    workspace = Workspace(tmp_path_factory.mktemp("trip"))
    simulate(SimulateSettings(stocks=24, sessions=420, seed=7), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return workspace, train_model(SETTINGS, workspace, Progress())


def ask(trip, **settings):
    return ForecastSettings(checkpoint=trip[1]["checkpoint"], **settings)


def test_a_training_tells_where_its_files_lie(trip):
    workspace, result = trip
    assert result["checkpoint"].startswith("output/trip_")
    assert workspace.inside(result["final"]).is_file()
    json.dumps(result, allow_nan=False)


def test_the_whole_universe_is_forecast_into_a_file(trip, tmp_path):
    workspace, _ = trip
    result = forecast_stock(ask(trip, all=True, out=str(tmp_path / "f.csv")), workspace, Progress())
    table = pyarrow.csv.read_csv(tmp_path / "f.csv")
    assert table.num_rows == result["rows"] == 5 * result["stocks"]
    assert result["is_simulated"]
    json.dumps(result, allow_nan=False)


def test_named_stocks_are_told_in_the_result_too(trip):
    workspace, _ = trip
    scan = scan_universe(ask(trip, all=True), workspace, Progress())
    code = scan["ranking"][3]["code"]
    result = forecast_stock(ask(trip, codes=(code[2:] + "." + code[:2],)), workspace, Progress())
    assert [row["code"] for row in result["forecasts"]] == [code] * 5
    assert list(workspace.output_dir.glob("trip_*_forecast_codes-*.csv"))


def test_a_stock_that_is_asked_for_twice_is_forecast_once(trip):
    workspace, _ = trip
    code = scan_universe(ask(trip, all=True), workspace, Progress())["ranking"][0]["code"]
    result = forecast_stock(ask(trip, codes=(code[2:], code, code.lower())), workspace, Progress())
    assert (result["rows"], result["stocks"]) == (5, 1)


def test_a_training_on_a_few_stocks_keeps_their_full_codes(trip):
    workspace, _ = trip
    listed = ReferenceStore(workspace).read("stock_list")
    codes, name = listed["code"].tolist()[:11], listed["name"].tolist()[0]
    asked = (name, codes[1][2:], *codes[1:])
    result = train_model(replace(SETTINGS, codes=asked, name="few"), workspace, Progress())
    checkpoint = load_checkpoint(workspace.inside(result["checkpoint"]))
    assert checkpoint.settings.codes == tuple(codes)


def test_a_ranking_has_names_conditions_and_limits_and_the_best_score_first(trip, tmp_path):
    workspace, _ = trip
    settings = ask(trip, all=True, out=str(tmp_path / "ranking.parquet"))
    result = scan_universe(settings, workspace, Progress())
    scores = [row["score"] for row in result["ranking"]]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in result["ranking"]] == list(range(1, len(scores) + 1))
    first = result["ranking"][0]
    assert first["name"]
    assert first["industry"] != ""
    assert {row["limit"] for row in result["ranking"]} <= {"up", "down", ""}
    assert pyarrow.parquet.read_table(tmp_path / "ranking.parquet").num_rows == len(scores)
    json.dumps(result, allow_nan=False)


def test_stocks_that_the_model_did_not_learn_from_are_counted(trip):
    workspace, _ = trip
    codes = Panel.open(workspace).codes[:11]
    few = train_model(replace(SETTINGS, codes=tuple(codes), name="few"), workspace, Progress())
    scan = scan_universe(ForecastSettings(checkpoint=few["checkpoint"], all=True), workspace, Progress())
    ranked = {row["code"] for row in scan["ranking"]}
    learned = load_checkpoint(workspace.inside(few["checkpoint"])).learned_codes
    assert 5 < len(learned) < 11, "some of the stocks were listed after the training span"
    assert learned < set(codes)
    assert scan["stocks_not_trained_on"] == len(ranked - learned) > 0
    (told,) = scan["notes"]
    assert f"{len(ranked - learned)} of these {len(ranked)} stocks" in told["en"]
    asked = ForecastSettings(checkpoint=few["checkpoint"], codes=(max(ranked - learned),))
    alone = forecast_stock(asked, workspace, Progress())
    assert alone["stocks_not_trained_on"] == 1
    assert told_of(alone) == ["unlearned_stock"]
    known = forecast_stock(replace(asked, codes=(min(ranked & learned),)), workspace, Progress())
    assert known["stocks_not_trained_on"] == 0
    assert known["notes"] == []


def test_a_csv_of_ones_own_is_forecast(trip, tmp_path):
    workspace, _ = trip
    source = next(path for path in sorted(workspace.bars_dir.iterdir()) if len(path.read_text()) > 20_000)
    shutil.copy(source, tmp_path / "mine.csv")
    result = forecast_stock(ask(trip, bars=str(tmp_path / "mine.csv")), workspace, Progress())
    assert {row["code"] for row in result["forecasts"]} == {"mine"}
    assert np.isfinite([row["q50"] for row in result["forecasts"]]).all()
    assert told_of(result) == ["own_bars_unknown", "unlearned_stock"]
    with pytest.raises(NoBarsFound):
        forecast_stock(ask(trip, bars=str(tmp_path / "none.csv")), workspace, Progress())


def told_of(result):
    return [one["key"] for one in result["notes"]]


def forecasts_of(result):
    return [[row[name] for name in ("q05", "q50", "q95", "score")] for row in result["forecasts"]]


@pytest.fixture(scope="module")
def with_actions(trip):
    """A stock whose corporate actions fall inside its history, its raw bars and its rows in the panel."""
    workspace, _ = trip
    panel = Panel.open(workspace)
    code = max(panel.codes, key=lambda code: len(np.unique(panel.column("factor")[panel.rows_of(code)])))
    assert panel.column("factor")[panel.rows_of(code)][-1] > 1.01
    return code, BarStore(workspace).read(code), panel


def write_bars(folder, bars):
    path = folder / f"{bars.code}.csv"
    path.write_bytes(table_text(bars.columns()))
    return str(path)


def test_raw_bars_of_ones_own_are_forecast_as_the_panels(trip, with_actions, tmp_path):
    workspace, _ = trip
    code, bars, panel = with_actions
    last = panel.sessions[panel.session_index[panel.rows_of(code)]][-1].item()
    expected = forecasts_of(forecast_stock(ask(trip, codes=(code,), as_of=last), workspace, Progress()))
    newest_first = bars.take(np.arange(len(bars))[::-1])
    for mine in (bars, newest_first):
        asked = ask(trip, bars=write_bars(tmp_path, mine), as_of=last)
        result = forecast_stock(asked, workspace, Progress())
        assert told_of(result) == ["own_bars_raw"]
        np.testing.assert_allclose(forecasts_of(result), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", ["backward", "forward"])
def test_adjusted_bars_of_ones_own_are_taken_as_they_are(trip, with_actions, tmp_path, factor):
    workspace, _ = trip
    code, bars, panel = with_actions
    rows = panel.rows_of(code)
    lift = panel.column("factor")[rows] / (panel.column("factor")[rows][-1] if factor == "forward" else 1)
    prices = {name: np.round(getattr(bars, name) * lift, 6) for name in ("open", "high", "low", "close")}
    mine = replace(bars, **prices, volume=panel.column("volume")[rows])
    last = panel.sessions[panel.session_index[rows]][-1].item()
    result = forecast_stock(ask(trip, bars=write_bars(tmp_path, mine), as_of=last), workspace, Progress())
    assert told_of(result) == ["own_bars_adjusted"]
    expected = forecast_stock(ask(trip, codes=(code,), as_of=last), workspace, Progress())
    np.testing.assert_allclose(forecasts_of(result), forecasts_of(expected), rtol=1e-2, atol=1e-4)


def test_prices_that_match_nothing_stored_count_as_adjusted_and_it_is_said(trip, with_actions, tmp_path):
    workspace, _ = trip
    _, bars, _ = with_actions
    mine = replace(bars, close=bars.close * np.linspace(1, 2, len(bars)))
    result = forecast_stock(ask(trip, bars=write_bars(tmp_path, mine)), workspace, Progress())
    assert told_of(result) == ["own_bars_other"]


def test_an_action_after_the_session_changes_no_forecast_from_raw_bars(trip, with_actions, tmp_path):
    workspace, _ = trip
    code, bars, panel = with_actions
    rows = panel.rows_of(code)
    steps = np.flatnonzero(np.diff(panel.column("factor")[rows])) + 1
    days = panel.sessions[panel.session_index[rows]]
    as_of = days[steps[-1] - 1].item()  # the session before the last ex-day
    asked = ask(trip, bars=write_bars(tmp_path, bars), as_of=as_of)
    result = forecast_stock(asked, workspace, Progress())
    other = Workspace(tmp_path / "other")
    shutil.copytree(workspace.root, other.root)
    path = other.reference_path("corporate_actions")
    lines = path.read_text("utf-8-sig").splitlines()
    date = lines[0].split(",").index("date")
    kept = [line for line in lines[1:] if line.split(",")[date] <= as_of.isoformat()]
    assert len(kept) < len(lines) - 1
    path.write_text("\n".join([lines[0], *kept]) + "\n")
    write_bars(tmp_path, bars.up_to(as_of))
    without = forecast_stock(asked, other, Progress())
    assert forecasts_of(without) == forecasts_of(result)


def test_a_run_is_resumed_by_its_path_alone(trip):
    workspace, result = trip
    stopped = train_model(SETTINGS, workspace, Progress(stop=lambda: True))
    assert stopped["stopped"]
    again = train_model(TrainSettings(resume=stopped["resume"]), workspace, Progress())
    assert not again["stopped"]
    assert again["valid_loss"] == result["valid_loss"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"epochs": 2}, "epochs is 2; expected 1, as the run"),
        ({"batch_size": 2048}, "batch_size is 2048; expected 256"),  # the default, but asked for
        ({"model": {"hidden_size": 32}}, "hidden_size is 32; expected 16"),
        ({"codes": ["600519"]}, "codes is "),
    ],
)
def test_an_option_that_the_resumed_run_has_otherwise_is_refused(trip, asked, told):
    workspace, result = trip
    settings = TrainSettings.from_json({"resume": result["final"], **asked})
    with pytest.raises(BadSetting, match=told):
        train_model(settings, workspace, Progress())


def test_a_resumed_run_takes_its_codes_as_people_write_them(trip):
    workspace, _ = trip
    codes = ReferenceStore(workspace).read("stock_list")["code"].tolist()[:11]
    settings = replace(SETTINGS, codes=tuple(codes), name="again")
    stopped = train_model(settings, workspace, Progress(stop=lambda: True))
    asked = {"codes": [code[2:] for code in codes], "resume": stopped["resume"]}
    assert not train_model(TrainSettings.from_json(asked), workspace, Progress())["stopped"]


def test_a_resumed_run_may_be_told_the_settings_it_was_begun_with_again(trip):
    """They name no stocks, and a run of a few keeps those that it then took."""
    workspace, _ = trip
    begun = replace(SETTINGS, max_stocks=5, name="begun")
    stopped = train_model(begun, workspace, Progress(stop=lambda: True))
    assert load_checkpoint(workspace.inside(stopped["resume"])).settings.codes
    settings = TrainSettings.from_json({**begun.to_json(), "resume": stopped["resume"]})
    assert not train_model(settings, workspace, Progress())["stopped"]


def test_a_resumed_run_may_be_told_its_own_settings_again(trip):
    workspace, result = trip
    settings = TrainSettings.from_json({**SETTINGS.to_json(), "resume": result["final"]})
    assert train_model(settings, workspace, Progress())["checkpoint"] == result["checkpoint"]


def test_what_is_asked_wrongly_is_said_in_one_line(trip, tmp_path):
    workspace, _ = trip
    with pytest.raises(BadSetting, match="--all"):
        forecast_stock(ask(trip), workspace, Progress())
    with pytest.raises(BadSetting, match=r"\.parquet"):
        forecast_stock(ask(trip, all=True, out=str(tmp_path / "f.xlsx")), workspace, Progress())
    with pytest.raises(BadSetting, match="can be forecast"):
        saturday = date(1999, 1, 2)
        forecast_stock(ask(trip, all=True, first=saturday, last=saturday), workspace, Progress())
    events = []
    with pytest.raises(BadSetting, match=r"\.csv or \.parquet"):
        scan_universe(ask(trip, out=str(tmp_path / "f.html")), workspace, Progress(events.append))
    assert events == []
    with pytest.raises(UnsafePath):
        train_model(TrainSettings(output="../elsewhere"), workspace, Progress())
    with pytest.raises(UnsafePath):
        train_model(TrainSettings(name="../x"), workspace, Progress())
    with pytest.raises(NoPanel):
        train_model(SETTINGS, Workspace(tmp_path), Progress())
    with pytest.raises(BadSetting, match="not both"):
        ask(trip, as_of=date(2024, 1, 2), first=date(2024, 1, 2))


def test_a_stop_before_the_forecast_writes_nothing(trip, tmp_path):
    settings = ask(trip, all=True, out=str(tmp_path / "f.csv"))
    with pytest.raises(StopRequested, match="Nothing was written"):
        forecast_stock(settings, trip[0], Progress(stop=lambda: True))
    assert not (tmp_path / "f.csv").exists()


def test_files_of_one_name_in_different_folders_are_forecast_into_files_of_their_own(trip, tmp_path):
    workspace, _ = trip
    code = Panel.open(workspace).codes[0]
    asked = []
    for folder in ("bought", "sold"):
        (tmp_path / folder).mkdir()
        shutil.copy(workspace.bars_dir / f"{code}.csv", tmp_path / folder / "mine.csv")
        asked.append(ask(trip, bars=str(tmp_path / folder / "mine.csv")))
    first, second, again = (forecast_stock(one, workspace, Progress())["out"] for one in [*asked, asked[0]])
    assert first != second
    assert again == first
    assert Path(first).is_file()
    assert "_forecast_bars-mine-" in Path(first).name


def test_a_forecast_of_a_few_leaves_that_of_the_universe_alone(trip, tmp_path):
    workspace, result = trip
    plain = Path(result["checkpoint"]).stem
    whole = Path(forecast_stock(ask(trip, all=True), workspace, Progress())["out"])
    before = whole.read_bytes()
    assert whole.name == f"{plain}_forecast.csv"
    panel = Panel.open(workspace)
    day, last = panel.sessions[-20].item(), len(panel.sessions) - 1
    then, now = ({panel.codes[k] for k in panel.code_index[panel.rows_at(at)]} for at in (last - 19, last))
    code = min(then & now)
    one = forecast_stock(ask(trip, codes=(code,), as_of=day), workspace, Progress())
    assert Path(one["out"]).name == f"{plain}_forecast_codes-{code}_as_of{day:%Y%m%d}.csv"
    shutil.copy(workspace.bars_dir / f"{code}.csv", tmp_path / "mine.csv")
    shutil.copy(tmp_path / "mine.csv", workspace.root)
    mine = forecast_stock(ask(trip, bars=str(workspace.root / "mine.csv")), workspace, Progress())
    assert Path(mine["out"]).name == f"{plain}_forecast_bars-mine.csv"
    many = forecast_stock(ask(trip, codes=tuple(sorted(now))), workspace, Progress())
    assert len(Path(many["out"]).name) < 120
    assert whole.read_bytes() == before
