"""Which samples a training sees, and what a batch holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from financial_model.base.errors import BadSetting, CodeNotHeld
from financial_model.datasets.dataset import StockDataset
from financial_model.datasets.features import compute_features, without_surroundings
from financial_model.datasets.multi_dim_dataset import MultiDimDataset, open_dataset
from financial_model.datasets.targets import target_path, tradable_return


def test_a_window_ends_at_its_row_and_holds_the_stocks_own_bars_alone(walk, market):
    dataset = open_dataset(market, walk.small_settings())
    matrices = dataset.matrices
    row = int(market.offsets[3]) + 40
    alone = matrices.gather(torch.tensor([row])).window
    changed = matrices.sequence.clone()
    matrices.sequence[row - 11 : row + 1] += 0  # the twelve sessions of its context
    matrices.sequence[: row - 11] = 7.0
    matrices.sequence[row + 1 :] = 7.0
    assert torch.equal(matrices.gather(torch.tensor([row])).window, alone)
    matrices.sequence.copy_(changed)


def test_no_sample_lacks_its_context_or_all_of_its_targets(walk, market):
    dataset = open_dataset(market, walk.small_settings())
    first = np.repeat(market.offsets[:-1], np.diff(market.offsets))
    for rows in (dataset.train_rows, dataset.valid_rows):
        assert (rows - first[rows] >= 11).all()
        target, _ = dataset.matrices.targets(torch.from_numpy(rows))
        assert not target.isnan().all(dim=1).any()
        assert np.isin(np.flatnonzero(dataset.is_chosen & ~dataset.is_known), rows).sum() == 0


def test_spans_do_not_share_a_price(walk, market):
    dataset = open_dataset(market, walk.small_settings())
    last_train = market.session_index[dataset.train_rows].max()
    assert last_train + 3 < market.session_index[dataset.valid_rows].min() - 11


def test_a_batch_holds_what_its_rows_hold(walk, market):
    dataset = open_dataset(market, walk.small_settings())
    rows = torch.from_numpy(dataset.train_rows[:7])
    batch = dataset.matrices.gather(rows)
    assert batch.window.shape == (7, 12, 8)
    assert batch.summary.dtype == batch.window.dtype == torch.float32
    assert batch.conditions[:, 0].tolist() == market.column("industry")[rows.numpy()].tolist()
    assert batch.session.tolist() == market.session_index[rows.numpy()].tolist()
    half = batch[batch.session > batch.session[0]]
    assert torch.equal(half.row, rows[batch.session > batch.session[0]])
    labels = dataset.matrices.gather_labels(rows)
    assert torch.equal(labels.target.nan_to_num(9), batch.target.nan_to_num(9))
    assert labels.window.shape == (7, 0, 8)


def test_without_conditions_a_batch_is_blank_where_tables_would_be_and_no_table_is_copied(walk, market):
    settings = walk.small_settings()
    settings = replace(settings, model=replace(settings.model, with_conditions=False))
    features = compute_features(market)
    dataset = open_dataset(market, settings, features=features)
    rows = torch.from_numpy(dataset.train_rows[:50])
    batch = dataset.matrices.gather(rows)
    blanked = open_dataset(market, walk.small_settings(), features=without_surroundings(features))
    expected = blanked.matrices.gather(rows)
    assert torch.equal(batch.window, expected.window)
    assert torch.equal(batch.summary, expected.summary)
    assert not batch.market.any()
    assert not batch.conditions.any()
    for mine, table in zip(dataset.matrices.hidden, ("sequence", "summary"), strict=True):
        assert 0 < mine.sum() < len(mine)
        assert getattr(dataset.matrices, table).data_ptr() == getattr(features, table).ctypes.data


def test_a_batch_has_no_label_where_nobody_could_have_bought(walk, market):
    matrices = open_dataset(market, walk.small_settings()).matrices
    rows = torch.arange(20, len(market), 7)
    rows = rows[torch.isin(rows, torch.from_numpy(market.offsets.astype(np.int64)) - 1, invert=True)]
    entry = rows.numpy() + 1
    is_locked = torch.zeros_like(matrices.is_locked)
    is_locked[entry[::3]] = 1  # a third of the sample's entries closes at a limit
    matrices = replace(matrices, is_locked=is_locked)
    _, judged = matrices.targets(rows)
    label = matrices.gather_labels(rows).label
    locked = torch.arange(len(rows)) % 3 == 0
    assert judged[locked].isfinite().any()
    assert label[locked].isnan().all()
    assert torch.equal(label[~locked].nan_to_num(9), judged[~locked].nan_to_num(9))


def test_industry_mode_sees_one_industry_as_of_each_session(walk, market):
    dataset = open_dataset(market, walk.small_settings(mode="industry", industry="finance"))
    assert isinstance(dataset, MultiDimDataset)
    assert set(market.column("industry")[dataset.train_rows]) == {1}
    with pytest.raises(BadSetting, match="finance"):
        open_dataset(market, walk.small_settings(mode="industry", industry="telecom"))


def test_max_stocks_takes_the_first_by_code(walk, market):
    dataset = open_dataset(market, walk.small_settings(max_stocks=11))
    assert market.code_index[dataset.train_rows].max() == 10


def test_a_few_stocks_are_plain_samples_and_many_are_sessions(walk, market):
    few = open_dataset(market, walk.small_settings(codes=("SH600001", "SH600002")))
    assert type(few) is StockDataset
    assert set(market.code_index[few.train_rows]) == {1, 2}
    assert type(open_dataset(market, walk.small_settings())) is MultiDimDataset
    with pytest.raises(BadSetting, match="ranking"):
        open_dataset(market, walk.small_settings(codes=("SH600001",), loss="ic"))
    with pytest.raises(CodeNotHeld, match="SH600999"):
        open_dataset(market, walk.small_settings(codes=("SH600999",)))


def test_what_a_stock_shows_does_not_depend_on_which_stocks_are_trained_on(walk, market):
    one = open_dataset(market, walk.small_settings(codes=("SH600001",)))
    every = open_dataset(market, walk.small_settings())
    rows = torch.from_numpy(one.train_rows[:5])
    assert torch.equal(one.matrices.gather(rows).summary, every.matrices.gather(rows).summary)


def test_targets_of_a_batch_are_those_of_the_whole_panel(walk, market):
    dataset = open_dataset(market, walk.small_settings())
    model, rows = dataset.settings.model, np.arange(len(market))
    target, label = dataset.matrices.targets(torch.from_numpy(rows))
    np.testing.assert_allclose(
        target, target_path(market, dataset.features.volatility, model.prediction_length), rtol=1e-6
    )
    np.testing.assert_allclose(label, tradable_return(market, dataset.settings.holding), rtol=1e-5, atol=1e-9)


def test_the_matrices_are_views_of_the_panel_and_its_features(walk, market):
    dataset = open_dataset(market, walk.small_settings())
    for tensor, values in (
        (dataset.matrices.close, market.column("close")),
        (dataset.matrices.session, market.session_index),
        (dataset.matrices.summary, dataset.features.summary),
    ):
        assert tensor.data_ptr() == values.ctypes.data
