"""Evaluate and backtest, walked through a small practice market from simulation to report."""

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from financial_model.base.config import (
    BacktestSettings,
    EvaluateSettings,
    ForecastSettings,
    ModelSettings,
    PanelSettings,
    SimulateSettings,
    TrainSettings,
)
from financial_model.base.errors import (
    BadSetting,
    CodeNotHeld,
    EmptyTestRange,
    SeenInTraining,
    StopRequested,
    UnwritablePath,
)
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore
from financial_model.data.panel import Panel
from financial_model.evaluation import baselines
from financial_model.market.codes import board_of
from financial_model.models.checkpoint import load_checkpoint, save_checkpoint
from financial_model.workflows.backtest_model import backtest_model
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.evaluate_model import evaluate_model
from financial_model.workflows.forecast_stock import forecast_stock
from financial_model.workflows.scan_universe import scan_universe
from financial_model.workflows.simulate import simulate
from financial_model.workflows.train_model import train_model

MODEL = ModelSettings(context_length=12, prediction_length=2, hidden_size=8, layers=1, heads=2)
TRAIN = TrainSettings(name="tiny", model=MODEL, epochs=1, batch_size=256, learning_rate=0.01)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("market"))
    simulate(SimulateSettings(stocks=24, sessions=420, seed=2), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return workspace


@pytest.fixture(scope="module")
def checkpoint(workspace) -> str:
    return train_model(TRAIN, workspace, Progress())["checkpoint"]


def cut_head(workspace: Workspace, root: Path, first) -> Workspace:
    """A copy of the workspace whose bars and panel begin at a date."""
    later = Workspace(root)
    shutil.copytree(workspace.stock_data_dir, later.stock_data_dir)
    bars = BarStore(later)
    for code in [*bars.codes(), *bars.index_codes()]:
        kept = bars.read(code)
        kept = kept.take(kept.date >= first)
        bars.write(kept) if len(kept) else bars.path_of(code).unlink()
    build_panel(PanelSettings(), later, Progress())
    return later


@pytest.fixture(scope="module")
def evaluated(workspace, checkpoint) -> dict:
    return evaluate_model(EvaluateSettings((checkpoint,), baselines=False), workspace, Progress())


def test_the_result_holds_headline_curve_calibration_and_passed_leak_checks(evaluated):
    (model,) = evaluated["models"]
    assert evaluated["message"] == model["headline"]["en"]
    assert model["session_count"] > 80
    assert {check["name"]: check["passed"] for check in model["leakage"]} == {
        "truncation": True, "permutation": True, "delay": True,
    }  # fmt: skip
    assert model["leakage"][0]["value"] == 0.0
    assert set(model["calibration"]["coverage"]) == {"90", "50"}
    assert len(model["fans"]) == 6
    assert model["is_simulated"]
    json.dumps(evaluated, allow_nan=False)


def test_the_report_and_its_json_lie_beside_each_other(evaluated):
    out = Path(evaluated["out"])
    text = out.read_text(encoding="utf-8")
    assert "练习行情" in text
    kept = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert kept["models"] == evaluated["models"]


def test_evaluation_begins_at_the_first_session_the_checkpoint_has_not_seen(workspace, checkpoint, evaluated):
    split = evaluated["models"][0]["settings"]["split"]
    assert evaluated["models"][0]["first"] == split["test"][0]


@pytest.mark.parametrize("begins", [60, 200, 330])
def test_a_panel_that_begins_after_the_learning_did_is_judged_without_fitted_baselines(
    workspace, checkpoint, evaluated, tmp_path, begins
):
    sessions = Panel.open(workspace).sessions
    later = cut_head(workspace, tmp_path, sessions[begins])
    settings = EvaluateSettings((str(workspace.root / checkpoint),), out=str(tmp_path / "report.html"))
    events = []
    result = evaluate_model(settings, later, Progress(events.append))
    (model,) = result["models"]
    assert [row["name"] for row in model["baselines"]] == ["zero", "momentum", "reversal"]
    # The first session it has not seen that has its context in this panel.
    first = max(evaluated["models"][0]["first"], str(sessions[begins]))
    assert first <= model["first"] <= str(sessions[max(315, begins + 45)])
    assert begins > 300 or model["first"] == first
    (told,) = result["notes"]
    assert str(sessions[begins]) in told["en"]
    assert [one["message"] for one in events if one["kind"] == "warning"] == [told["en"]]
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert told["en"] in report
    assert told["zh"] in report


def test_what_was_seen_is_told_by_date_on_a_panel_that_begins_later(
    workspace, checkpoint, evaluated, tmp_path
):
    sessions = Panel.open(workspace).sessions
    allowed = date.fromisoformat(evaluated["models"][0]["first"])
    position = Panel.open(workspace).position_of(allowed)
    later = cut_head(workspace, tmp_path, sessions[position - 5])
    path = str(workspace.root / checkpoint)
    with pytest.raises(SeenInTraining) as caught:
        evaluate_model(EvaluateSettings((path,), first=sessions[position - 3].item()), later, Progress())
    assert caught.value.fields["first_allowed"] == str(allowed)
    assert caught.value.fields["last_seen"] == str(sessions[position - 1])


def test_a_range_that_ends_before_the_first_unseen_session_is_refused(workspace, checkpoint, evaluated):
    allowed = date.fromisoformat(evaluated["models"][0]["first"])
    with pytest.raises(SeenInTraining, match=str(allowed)):
        evaluate_model(EvaluateSettings((checkpoint,), last=date(2012, 1, 4)), workspace, Progress())


def test_a_checkpoint_trained_to_the_end_of_its_data_has_seen_all_of_it(workspace, tmp_path):
    sessions = Panel.open(workspace).sessions
    settings = replace(TRAIN, name="whole", train_end=sessions[300].item(), valid_end=sessions[-1].item())
    path = train_model(settings, workspace, Progress())["checkpoint"]
    with pytest.raises(EmptyTestRange, match=f"from {sessions[-1] + 1} on") as caught:
        evaluate_model(EvaluateSettings((path,)), workspace, Progress())
    assert "None" not in str(caught.value)


def test_dates_that_training_or_validation_saw_are_refused_with_the_first_allowed_one(
    workspace, checkpoint, evaluated
):
    allowed = date.fromisoformat(evaluated["models"][0]["first"])
    panel = Panel.open(workspace)
    before = panel.sessions[panel.position_of(allowed) - 1].astype(date)
    with pytest.raises(SeenInTraining, match=str(allowed)) as caught:
        evaluate_model(EvaluateSettings((checkpoint,), first=before), workspace, Progress())
    assert caught.value.fields["first_allowed"] == str(allowed)
    with pytest.raises(SeenInTraining):
        backtest_model(BacktestSettings(checkpoint, first=before), workspace, Progress())


def test_two_checkpoints_stand_side_by_side_on_the_same_samples(workspace, checkpoint):
    other = train_model(replace(TRAIN, name="other", seed=1), workspace, Progress())["checkpoint"]
    result = evaluate_model(EvaluateSettings((checkpoint, other), baselines=False), workspace, Progress())
    first, second = result["models"]
    assert first["sample_count"] == second["sample_count"]
    (pair,) = result["comparison"]
    expected = first["summary"]["rank_ic"]["mean"] - second["summary"]["rank_ic"]["mean"]
    assert pair["rank_ic"]["mean"] == pytest.approx(expected)


def test_baselines_stand_beside_the_model_on_its_samples(workspace, checkpoint, monkeypatch):
    monkeypatch.setitem(baselines.LIGHTGBM, "num_threads", 1)
    monkeypatch.setattr(baselines, "LIGHTGBM_ROUNDS", 5)
    result = evaluate_model(EvaluateSettings((checkpoint,)), workspace, Progress())
    (model,) = result["models"]
    assert [row["name"] for row in model["baselines"]] == list(baselines.BASELINES)
    assert model["headline"]["against"] in baselines.BASELINES
    # How the same network without conditions comes beside them, in both languages.
    report = Path(result["out"]).read_text(encoding="utf-8")
    assert report.count("train --without-conditions") == 2
    assert all(row["rank_ic"]["count"] == model["summary"]["rank_ic"]["count"] for row in model["baselines"])


def test_a_range_after_the_data_is_an_empty_one(workspace, checkpoint):
    with pytest.raises(EmptyTestRange):
        evaluate_model(EvaluateSettings((checkpoint,), first=date(2031, 1, 1)), workspace, Progress())


def test_one_session_can_be_judged(workspace, checkpoint, evaluated):
    day = date.fromisoformat(evaluated["models"][0]["first"])
    settings = EvaluateSettings((checkpoint,), first=day, last=day, baselines=False)
    (model,) = evaluate_model(settings, workspace, Progress())["models"]
    assert model["first"] == model["last"] == str(day)
    assert model["session_count"] == 1


@pytest.mark.parametrize("is_practice_panel", [True, False])
def test_a_checkpoint_of_the_other_market_is_warned_of_wherever_it_is_used(
    workspace, checkpoint, tmp_path, monkeypatch, is_practice_panel
):
    learned = load_checkpoint(workspace.root / checkpoint)
    learned.data["is_simulated"] = not is_practice_panel
    del learned.data["codes"]  # whom it did not learn from is a note of its own
    path = tmp_path / "other.pt"
    save_checkpoint(path, learned)
    panel = Panel.open(workspace)
    panel.is_simulated = is_practice_panel
    monkeypatch.setattr(Panel, "open", lambda _: panel)
    key = "trained_on_real" if is_practice_panel else "trained_on_practice"
    out = str(tmp_path / "result")
    for run in (
        lambda told: evaluate_model(
            EvaluateSettings((str(path),), baselines=False, out=f"{out}.html"), workspace, told
        ),
        lambda told: backtest_model(BacktestSettings(str(path), out=f"{out}.html"), workspace, told),
        lambda told: forecast_stock(ForecastSettings(str(path), all=True, out=f"{out}.csv"), workspace, told),
        lambda told: scan_universe(ForecastSettings(str(path), all=True), workspace, told),
    ):
        events = []
        result = run(Progress(events.append))
        assert [one["key"] for one in result["notes"]] == [key]
        assert [one["key"] for one in events if one["kind"] == "warning"] == [key]


def test_no_checkpoint_is_said_at_once(workspace):
    with pytest.raises(BadSetting, match="checkpoints"):
        evaluate_model(EvaluateSettings(()), workspace, Progress())


def test_a_strangers_file_beside_a_report_is_not_written_over(workspace, checkpoint, tmp_path):
    mine, events = tmp_path / "mine.json", []
    mine.write_text("mine")
    settings = EvaluateSettings((checkpoint,), out=str(tmp_path / "mine.html"))
    with pytest.raises(UnwritablePath, match=r"mine\.json"):
        evaluate_model(settings, workspace, Progress(events.append))
    mine.rename(tmp_path / "trades.csv")
    trades = BacktestSettings(checkpoint, out=str(tmp_path / "trades.html"))
    with pytest.raises(UnwritablePath, match=r"trades\.csv"):
        backtest_model(trades, workspace, Progress(events.append))
    assert events == []


@pytest.mark.parametrize("name", ["rep.json", "tr.csv", "folder.html", "file/rep.html"])
def test_a_report_that_could_not_be_written_is_refused_before_the_work(workspace, checkpoint, tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("mine")
    events, out = [], str(tmp_path / name)
    for run in (
        lambda told: evaluate_model(EvaluateSettings((checkpoint,), out=out), workspace, told),
        lambda told: backtest_model(BacktestSettings(checkpoint, out=out), workspace, told),
    ):
        with pytest.raises((BadSetting, UnwritablePath)):
            run(Progress(events.append))
    assert events == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.html"]


def test_an_evaluation_stops_when_asked_and_writes_nothing(workspace, checkpoint, tmp_path):
    out = tmp_path / "report.html"
    with pytest.raises(StopRequested):
        settings = EvaluateSettings((checkpoint,), out=str(out))
        evaluate_model(settings, workspace, Progress(stop=lambda: True))
    assert not out.exists()


@pytest.fixture(scope="module")
def traded(workspace, checkpoint) -> dict:
    settings = BacktestSettings(checkpoint, top=5, drop=1, cash_cny=500_000.0)
    return backtest_model(settings, workspace, Progress())


def test_a_backtest_tells_equity_costs_and_blocked_orders_against_the_index(traded):
    curve = traded["curve"]
    assert curve["equity"][0] == curve["index"][0] == 1.0
    assert len(curve["equity"]) == len(curve["session"]) == traded["session_count"]
    assert traded["costs"]["total"] > 0
    assert set(traded["blocked"]) == {"suspended", "limit_up", "limit_down", "below_lot", "no_cash"}
    assert "after costs" in traded["message"]
    report = Path(traded["out"]).read_text(encoding="utf-8")
    assert "不含分红的价格指数" in report
    assert "the index is a price index without them" in report
    json.dumps(traded, allow_nan=False)


def test_a_backtest_goes_on_without_the_default_index_and_says_so(workspace, checkpoint, tmp_path, traded):
    bare = Workspace(tmp_path / "bare")
    shutil.copytree(workspace.stock_data_dir, bare.stock_data_dir)
    (bare.index_dir / "SH000300.csv").unlink()
    build_panel(PanelSettings(), bare, Progress())
    path, out = str(workspace.root / checkpoint), tmp_path / "report.html"
    settings = BacktestSettings(path, top=5, drop=1, cash_cny=500_000.0, out=str(out))
    result = backtest_model(settings, bare, Progress())
    assert [one["key"] for one in result["notes"]] == ["no_index"]
    assert result["notes"][0]["en"] in out.read_text(encoding="utf-8")
    assert "no index to compare with" in result["message"]
    assert result["summary"]["excess"]["annualised"] is None
    assert set(result["curve"]["index"]) == {None}
    assert result["summary"]["excess_universe"]["annualised"] is not None
    json.dumps(result, allow_nan=False)
    with pytest.raises(CodeNotHeld, match="SH000852"):
        backtest_model(replace(settings, index="000852.SH"), bare, Progress())


def test_the_backtest_trades_only_sessions_after_the_split(traded):
    assert traded["first"] >= traded["settings"]["split"]["test"][0]


def test_every_trade_of_a_backtest_is_listed(traded):
    table = pa.csv.read_csv(Path(traded["out"]).with_suffix(".csv"))
    assert table.column_names == [
        "date", "code", "shares", "price", "commission", "exchange_fees", "dividend_tax",
    ]  # fmt: skip
    assert table.num_rows == traded["orders"]["bought"] + traded["orders"]["sold"]
    lots = [
        row["shares"] % 100
        for row in table.to_pylist()
        if row["shares"] > 0 and board_of(row["code"]) in ("main", "chinext")
    ]
    assert set(lots) == {0}


def test_a_backtest_twice_is_the_same(workspace, checkpoint, traded):
    settings = BacktestSettings(checkpoint, top=5, drop=1, cash_cny=500_000.0)
    assert backtest_model(settings, workspace, Progress()) == traded


def test_a_backtest_with_other_settings_leaves_the_first_alone(workspace, checkpoint, traded):
    first = Path(traded["out"])
    before = first.read_bytes()
    settings = BacktestSettings(checkpoint, top=3, order_price="open")
    other = Path(backtest_model(settings, workspace, Progress())["out"])
    plain = Path(checkpoint).stem
    assert other.name == f"{plain}_backtest_top3_order_price-open.html"
    assert first.read_bytes() == before


def test_a_comparison_leaves_the_evaluation_of_the_first_checkpoint_alone(workspace, checkpoint):
    plain = Path(checkpoint).stem
    copy = workspace.output_dir / "other.pt"
    copy.write_bytes(workspace.inside(checkpoint).read_bytes())
    settings = EvaluateSettings((checkpoint,), baselines=False)
    alone = Path(evaluate_model(settings, workspace, Progress())["out"])
    assert alone.name == f"{plain}_evaluation_no_baselines.html"
    compared = replace(settings, checkpoints=(checkpoint, str(copy)))
    both = Path(evaluate_model(compared, workspace, Progress())["out"])
    assert both.name == f"{plain}_evaluation_vs_other_no_baselines.html"


def test_comparisons_with_files_of_one_name_in_different_folders_leave_each_other_alone(
    workspace, checkpoint, tmp_path
):
    asked = []
    for folder in ("monday", "tuesday"):
        copy = tmp_path / folder / "other.pt"
        copy.parent.mkdir()
        copy.write_bytes(workspace.inside(checkpoint).read_bytes())
        asked.append(EvaluateSettings((checkpoint, str(copy)), baselines=False))
    first, second, again = (evaluate_model(one, workspace, Progress())["out"] for one in [*asked, asked[0]])
    assert first != second
    assert again == first
    assert Path(first).is_file()
