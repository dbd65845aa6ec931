"""Work on all cores is done once an item, whatever the number of cores, and its errors are raised."""

import pytest

from financial_model.base import threads
from financial_model.base.threads import on_all_cores


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
