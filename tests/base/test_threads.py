"""Work in threads is done once an item, whatever the number of cores, and its errors are raised."""

import pytest

from financial_model.base import threads
from financial_model.base.threads import made_ahead, on_all_cores


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_each_item_is_done_once(monkeypatch, cores):
    monkeypatch.setattr(threads, "CORES", cores)
    done = []
    on_all_cores(done.append, range(1000))
    assert sorted(done) == list(range(1000))


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_an_error_of_any_thread_is_raised(monkeypatch, cores):
    def fail(item):
        if item == 700:
            raise LookupError(item)

    monkeypatch.setattr(threads, "CORES", cores)
    with pytest.raises(LookupError, match="700"):
        on_all_cores(fail, range(1000))


def test_nothing_to_do_is_done():
    on_all_cores(print, [])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_what_is_made_ahead_comes_in_order_and_no_more_than_the_workers(workers):
    taken = 0
    farthest = 0

    def make(item):
        nonlocal farthest
        farthest = max(farthest, item - taken)
        return -item

    for made in made_ahead(make, range(200), workers):
        assert made == -taken
        taken += 1
    assert taken == 200
    assert farthest <= workers


def test_an_error_ahead_is_raised_where_its_item_would_come():
    seen = []
    with pytest.raises(ZeroDivisionError):
        for made in made_ahead(lambda item: 6 // (3 - item), range(9), 2):
            seen.append(made)
    assert seen == [2, 3, 6]
