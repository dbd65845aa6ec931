"""Batches: every sample once an epoch, whole sessions together, the order a function of seed and epoch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from financial_model.datasets.loaders import SampleLoader, SessionLoader


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
    session = np.array(sessions)
    rows = np.arange(len(session))
    plan = SessionLoader(rows, session, batch, 0).plan(epoch)
    assert np.array_equal(np.sort(np.concatenate(plan)), rows)
    seen = [set(session[one]) for one in plan]
    assert sum(map(len, seen)) == len(set(sessions))
    assert all(len(one) >= batch for one in plan[:-1])
    assert min(sessions) in session[next(SessionLoader(rows, session, batch, 0).in_order())]


def test_the_order_is_a_function_of_seed_and_epoch():
    rows, session = np.arange(300), np.arange(300) // 10
    for loader in (
        lambda seed: SampleLoader(rows, 32, seed),
        lambda seed: SessionLoader(rows, session, 32, seed),
    ):

        def order(seed, epoch, loader=loader):
            return np.concatenate(loader(seed).plan(epoch)).tolist()

        assert order(1, 2) == order(1, 2)
        assert order(1, 2) != order(1, 3)
        assert order(1, 2) != order(2, 2)


def test_validation_walks_through_the_sessions_by_date():
    session = np.array([3, 1, 2, 1, 3, 2])
    batches = list(SessionLoader(np.arange(6), session, 3, 0).in_order())
    assert [session[rows].tolist() for rows in batches] == [[1, 1, 2, 2], [3, 3]]
