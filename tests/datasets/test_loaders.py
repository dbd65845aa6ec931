"""Batches: every sample once an epoch, whole sessions together, the order a function of seed and epoch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from financial_model.datasets.loaders import Plan, SampleLoader, SessionLoader


@given(count=st.integers(1, 200), batch=st.integers(1, 64), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_every_sample_comes_once(count, batch, seed, epoch):
    rows = np.arange(100, 100 + count)
    plan = SampleLoader(rows, batch, seed).plan(epoch)
    assert np.array_equal(np.sort(np.concatenate(plan)), rows)
    assert all(len(one) == batch for one in plan[:-1])


@given(
    sessions=st.lists(st.integers(0, 20), min_size=1, max_size=200),
    batch=st.integers(1, 64),
    epoch=st.integers(0, 9),
)
def test_sessions_come_whole_and_once(sessions, batch, epoch):
    session = np.sort(sessions)
    rows, counts = np.arange(len(session)), np.bincount(session)
    plan = SessionLoader(rows, counts, batch, 0).plan(epoch)
    assert np.array_equal(np.sort(np.concatenate(plan)), rows)
    seen = [set(session[one]) for one in plan]
    assert sum(map(len, seen)) == len(set(sessions))
    assert all(len(one) >= batch for one in plan[:-1])
    assert min(sessions) in session[SessionLoader(rows, counts, batch, 0).in_order()[0]]


def test_the_order_is_a_function_of_seed_and_epoch():
    rows, counts = np.arange(300), np.full(30, 10)
    for loader in (
        lambda seed: SampleLoader(rows, 32, seed),
        lambda seed: SessionLoader(rows, counts, 32, seed),
    ):

        def order(seed, epoch, loader=loader):
            return np.concatenate(loader(seed).plan(epoch)).tolist()

        assert order(1, 2) == order(1, 2)
        assert order(1, 2) != order(1, 3)
        assert order(1, 2) != order(2, 2)


def test_validation_walks_through_the_sessions_by_date():
    rows = np.array([7, 9, 2, 4, 1, 8])
    batches = SessionLoader(rows, np.array([2, 0, 2, 2]), 3, 0).in_order()
    assert [batch.tolist() for batch in batches] == [[7, 9, 2, 4], [1, 8]]


def test_a_plan_makes_a_batch_when_it_is_asked_for():
    plan = SessionLoader(np.arange(12, dtype=np.int32), np.full(4, 3), 3, 0).plan(0)
    made = []
    lazy = Plan(len(plan), lambda k: made.append(k) or plan[k])
    assert len(lazy) == 4
    assert np.array_equal(lazy[-1], plan[3])
    assert lazy[0].dtype == np.int64
    assert [len(batch) for batch in lazy[1:3]] == [3, 3]
    assert made == [3, 0, 1, 2]
