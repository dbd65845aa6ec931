"""Forecasts: nothing after the close is read, and who is forecast beside does not matter."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from financial_model.base.errors import (
    BadSetting,
    CheckpointError,
    CheckpointMismatch,
    CodeNotHeld,
    ForeignCheckpoint,
    NotTraded,
    TooFewSessions,
)
from financial_model.base.progress import Progress
from financial_model.data.source import Bars
from financial_model.forecasting.conditional_inference import ConditionalPredictor, open_predictor
from financial_model.forecasting.forecast import QUANTILE_NAMES, write_forecast
from financial_model.forecasting.own_stock import with_stock

MODELS = ("conditional", "transformer", "lstm")


@pytest.fixture(scope="module")
def checkpoints(walk, market, tmp_path_factory):
    """A checkpoint of each model, and one with a point loss and two members."""
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {}
    for name in MODELS:
        result, workspace = walk.train(market, folder, walk.small_settings(name, name=name, epochs=1))
        made[name] = workspace.inside(result["checkpoint"])
    settings = walk.small_settings(name="pair", loss="mse", ensemble=2, epochs=1)
    result, workspace = walk.train(market, folder, settings)
    return made | {"pair": workspace.inside(result["checkpoint"])}


def day(panel, position):
    return panel.sessions[position].item()


def values(table):
    return np.stack([table[name].to_numpy() for name in (*QUANTILE_NAMES, "score")], axis=1)


@pytest.mark.parametrize("name", [*MODELS, "pair"])
def test_a_forecast_from_data_cut_after_its_session_is_the_same(market, checkpoints, name):
    whole = open_predictor(checkpoints[name], market)
    for position in (150, 200, 238):
        as_of = day(market, position)
        cut = open_predictor(checkpoints[name], market.truncated(as_of))
        # A truncated panel has fewer rows to multiply at once; beyond that the last digits may differ.
        one, other = whole.forecast(as_of=as_of), cut.forecast(as_of=as_of)
        assert one.select(["code", "as_of", "step"]).equals(other.select(["code", "as_of", "step"]))
        np.testing.assert_allclose(values(one), values(other), rtol=1e-5, atol=1e-7)


def test_without_conditions_neither_training_nor_forecast_sees_them(market, tmp_path, walk):
    settings = walk.small_settings(name="alone", epochs=1)
    settings = replace(settings, model=replace(settings.model, with_conditions=False))
    result, workspace = walk.train(market, tmp_path, settings)
    predictor = open_predictor(workspace.inside(result["checkpoint"]), market)
    assert not predictor.checkpoint.model.with_conditions
    matrices = predictor.matrices
    assert not matrices.market.any()
    assert not any(column.any() for column in matrices.conditions)
    assert np.isfinite(values(predictor.forecast())).all()


def test_a_session_and_a_range_one_stock_and_all_are_steered_alike(market, checkpoints):
    predictor = open_predictor(checkpoints["conditional"], market)
    whole = predictor.forecast(first=day(market, 180), last=day(market, 239))
    still = predictor.calibration.apply(predictor.raw_forecast(predictor.rows())[1])
    dates = np.array(whole["as_of"].to_pylist())
    for position in (180, 215, 239):
        alone = open_predictor(checkpoints["conditional"], market).forecast(as_of=day(market, position))
        mine = whole.filter(dates == day(market, position))
        np.testing.assert_allclose(values(alone), values(mine), rtol=1e-5, atol=1e-7)
        code = alone["code"][3].as_py()
        stock = open_predictor(checkpoints["conditional"], market).forecast([code], first=day(market, 180))
        picked = (np.array(stock["as_of"].to_pylist()) == day(market, position)).nonzero()[0]
        of_all = alone.filter(np.array(alone["code"].to_pylist()) == code)
        np.testing.assert_allclose(values(stock.take(picked)), values(of_all), rtol=1e-5, atol=1e-7)
    _, now = predictor.forecast_rows(predictor.rows())
    scale = predictor.features.volatility[predictor.rows()].astype(float)[:, None, None]
    assert (
        np.abs(now[:, :1] / scale - still[:, :1]).max() > 1e-3
    )  # the test would not see a steering of nothing


def test_a_range_is_steered_by_outcomes_known_at_each_close(market, checkpoints):
    first, last = day(market, 180), day(market, 220)
    whole = open_predictor(checkpoints["conditional"], market).forecast(first=first, last=last)
    cut = open_predictor(checkpoints["conditional"], market.truncated(last)).forecast(first=first, last=last)
    np.testing.assert_allclose(values(whole), values(cut), rtol=1e-5, atol=1e-7)


def test_who_is_forecast_beside_does_not_matter(market, checkpoints):
    predictor = open_predictor(checkpoints["pair"], market)
    every = predictor.forecast()
    code = every["code"][6].as_py()
    alone = predictor.forecast([code])
    mine = every.filter(np.array(every["code"].to_pylist()) == code)
    np.testing.assert_allclose(values(alone), values(mine), rtol=1e-5, atol=1e-7)


def test_the_same_question_has_the_same_answer_bit_for_bit(market, checkpoints):
    first = open_predictor(checkpoints["conditional"], market).forecast()
    assert first.equals(open_predictor(checkpoints["conditional"], market).forecast())


@pytest.mark.parametrize("name", [*MODELS, "pair"])
def test_quantiles_rise_and_are_finite(market, checkpoints, name):
    table = open_predictor(checkpoints[name], market).forecast(first=day(market, 190))
    quantiles = values(table)[:, :-1]
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles[:, -1] > quantiles[:, 0]).all()  # a point loss has its fan from calibration
    assert set(table["step"].to_pylist()) == {1, 2, 3}


def test_a_date_without_a_session_means_the_last_one_before(market, checkpoints):
    predictor = open_predictor(checkpoints["lstm"], market)
    friday = next(d for d in market.sessions[200:].tolist() if d.weekday() == 4)
    table = predictor.forecast(as_of=friday + timedelta(days=1))
    assert set(table["as_of"].to_pylist()) == {friday}


def test_a_suspended_stock_is_told_its_nearest_session(market, checkpoints):
    predictor = open_predictor(checkpoints["lstm"], market)
    rows = market.session_index[market.rows_of("SH600001")]
    missing = next(p for p in range(100, 240) if p not in rows)
    with pytest.raises(NotTraded) as caught:
        predictor.forecast(["SH600001"], as_of=day(market, missing))
    nearest = np.searchsorted(market.sessions, np.datetime64(caught.value.fields["nearest"]))
    assert nearest in rows
    assert abs(nearest - missing) <= 3
    # In a range such a session is left out.
    table = predictor.forecast(["SH600001"], first=day(market, missing - 1), last=day(market, missing + 1))
    assert day(market, missing) not in table["as_of"].to_pylist()


def test_what_cannot_be_forecast_says_why(market, checkpoints):
    predictor = open_predictor(checkpoints["lstm"], market)
    listed = int(market.session_index[market.rows_of("SH600005")][4])
    with pytest.raises(TooFewSessions, match=r"SH600005 up to .* has 5 sessions, 12 are needed"):
        predictor.forecast(["SH600005"], as_of=day(market, listed))
    with pytest.raises(CodeNotHeld, match="SH601999"):
        predictor.forecast(["SH601999"])
    with pytest.raises(TooFewSessions, match="first session"):
        predictor.forecast(as_of=day(market, 0) - timedelta(days=1))
    assert predictor.forecast(as_of=day(market, 3)).num_rows == 0


def test_a_checkpoint_is_held_to_the_panels_words(market, checkpoints):
    predictor = open_predictor(checkpoints["lstm"], market)
    checkpoint = predictor.checkpoint
    checkpoint.vocabulary["regime"] = ["unknown", "calm", "wild"]
    with pytest.raises(CheckpointMismatch, match="calm"):
        type(predictor)(checkpoint, market)
    checkpoint.vocabulary["regime"] = ["unknown", "bull", "bear"]
    checkpoint.feature_names["summary"] = ["other"]
    with pytest.raises(CheckpointMismatch, match="summary"):
        type(predictor)(checkpoint, market)


def test_a_conditional_predictor_refuses_another_model(market, checkpoints):
    with pytest.raises(ForeignCheckpoint, match="lstm"):
        ConditionalPredictor.open(checkpoints["lstm"], market)


def test_a_run_stopped_before_its_first_validation_cannot_forecast(walk, market, tmp_path):
    stopped, workspace = walk.train(market, tmp_path, progress=Progress(stop=lambda: True))
    with pytest.raises(CheckpointError, match="Resume"):
        open_predictor(workspace.inside(stopped["resume"]), market)


def test_conditions_can_be_assumed_for_a_question(market, checkpoints):
    predictor = open_predictor(checkpoints["conditional"], market)
    told = predictor.conditions_of(predictor.rows())
    assert set(told["regime"]) == {"bull"}
    real = values(predictor.forecast())
    with predictor.assuming(regime="bear"):
        assumed = values(predictor.forecast())
    assert not np.allclose(real, assumed)
    np.testing.assert_array_equal(values(predictor.forecast()), real)
    with predictor.assuming(regime="bull"):
        np.testing.assert_array_equal(values(predictor.forecast()), real)
    with pytest.raises(BadSetting, match="calm"), predictor.assuming(regime="calm"):
        pass


def test_bars_of_ones_own_are_forecast_like_the_panels(market, checkpoints):
    rows = market.rows_of("SH600002")
    columns = {
        name: market.column(name)[rows] for name in ("open", "high", "low", "close", "volume", "amount")
    }
    days = market.sessions[market.session_index[rows]]
    same = with_stock(market, Bars(code="SH600002", date=days, **columns))
    whole = open_predictor(checkpoints["conditional"], market).forecast()
    own = open_predictor(checkpoints["conditional"], same).forecast()
    np.testing.assert_allclose(values(own), values(whole), rtol=1e-5, atol=1e-7)
    mine = with_stock(market, Bars(code="my_stock", date=days, **columns))
    assert mine.codes == [*market.codes, "my_stock"]
    table = open_predictor(checkpoints["conditional"], mine).forecast(["my_stock"])
    assert table["code"].to_pylist() == ["my_stock"] * 3
    with pytest.raises(TooFewSessions, match="None of its dates"):
        with_stock(market, Bars.of("late", date=["2031-01-06"], close=[1.0]))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_forecast_file_holds_the_columns_of_the_interface(market, checkpoints, tmp_path, ending):
    table = open_predictor(checkpoints["lstm"], market).forecast()
    path = tmp_path / f"f{ending}"
    write_forecast(path, table)
    read = pyarrow.csv.read_csv(path) if ending == ".csv" else pyarrow.parquet.read_table(path)
    assert read.column_names == ["code", "as_of", "step", "q05", "q25", "q50", "q75", "q95", "score"]
    assert read["code"].to_pylist() == table["code"].to_pylist()
    np.testing.assert_array_equal(values(read), values(table))
    with pytest.raises(BadSetting, match=r"\.parquet"):
        write_forecast(tmp_path / "f.txt", table)
