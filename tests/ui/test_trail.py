import pytest

from financial_model.ui.trail import MAX_POINTS, Curves, Trail


def test_what_a_job_tells_is_bounded_however_long_it_runs():
    trail, curves = Trail(), Curves()
    for step in range(20_000):
        at = {"time": float(step), "step": step, "step_count": 20_000, "epoch": 1}
        for event in ({"kind": "step", "loss": 1.0, "parts": {"regression": 1.0}, **at}, {"kind": "warning"}):
            trail.add(event)
            curves.add(event)
    assert len(curves.losses) <= MAX_POINTS
    assert curves.losses[-1][0] == pytest.approx(1.0, abs=1e-3)
    places = [at for at, _, _ in curves.losses]
    assert places == sorted(places)
    assert len(curves.parts) <= MAX_POINTS
    assert trail.step["step"] == 19_999
    assert len(trail.notes) <= 50


def test_the_epochs_that_are_shown_are_bounded_and_the_best_is_among_them():
    curves = Curves()
    for epoch in range(1, 10_001):
        curves.add({"kind": "epoch", "time": 1.0, "epoch": epoch, "member": 1, "best_epoch": min(epoch, 778)})
    shown = [event["epoch"] for event in curves.epochs]
    assert len(shown) <= MAX_POINTS
    assert {1, 778} <= set(shown)
    assert shown[-50:] == list(range(9951, 10_001))
