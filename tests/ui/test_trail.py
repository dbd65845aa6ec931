import pytest

from financial_model.ui.trail import MAX_POINTS, Curves, Trail, best_epochs, best_of


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


def of_member(member, rank_ics, best_epoch, **more):
    """The epochs of a member, of which the best was told from its own end on."""
    return [
        {
            "kind": "epoch",
            "time": 1.0,
            "member": member,
            "epoch": epoch,
            "best_epoch": min(epoch, best_epoch),
            "valid_rank_ic": rank_ic,
            "valid_rank_ic_se": 0.004 * member,
            "valid_loss": 1.0 - rank_ic,
            **more,
        }
        for epoch, rank_ic in enumerate(rank_ics, start=1)
    ]


ENSEMBLE = [*of_member(1, [0.01, 0.02, 0.09], 3), *of_member(2, [0.04, 0.05, 0.03], 2)]


def test_the_best_of_an_ensemble_is_the_mean_of_its_members_each_at_its_own_best_epoch():
    assert [(one["member"], one["epoch"]) for one in best_epochs(ENSEMBLE)] == [(1, 3), (2, 2)]
    best = best_of(ENSEMBLE)
    assert (best["members"], best["epoch"]) == (2, 2)
    assert best["valid_rank_ic"] == pytest.approx(0.07)
    assert best["valid_rank_ic_se"] == pytest.approx(0.006)
    assert best["valid_loss"] == pytest.approx(0.93)
    assert best_of(of_member(1, [0.03, 0.01], 1))["valid_rank_ic"] == 0.03
    assert best_of([]) == {}


def test_a_figure_that_one_member_lacks_has_no_mean():
    few = of_member(2, [0.01], 1, valid_rank_ic=None)
    assert best_of([*of_member(1, [0.01], 1), *few])["valid_rank_ic"] is None


def test_of_a_long_ensemble_the_best_epoch_of_each_member_is_kept():
    curves = Curves()
    for member in (1, 2, 3):
        for event in of_member(member, [0.01] * 900, 137 + member):
            curves.add(event)
    assert len(curves.epochs) <= MAX_POINTS
    assert [one["epoch"] for one in best_epochs(curves.epochs)] == [138, 139, 140]


def test_the_best_of_an_ensemble_is_what_its_members_score_together_once_that_is_known():
    chosen = [one["epoch"] for one in best_epochs(ENSEMBLE)]
    result = {"best_epochs": chosen, "valid_rank_ic": 0.1, "valid_rank_ic_se": 0.004, "valid_loss": 0.8}
    best = best_of(ENSEMBLE, result)
    assert (best["valid_rank_ic"], best["valid_loss"], best["is_joint"]) == (0.1, 0.8, True)
    assert best_of(ENSEMBLE, {})["is_joint"] is False
    # A resumed training tells the epochs since alone.
    assert (best_of(ENSEMBLE[3:], result)["members"], best_of(ENSEMBLE[3:], result)["epoch"]) == (2, 2)
    before = {"best_epochs": [3], "valid_rank_ic": 0.07, "valid_rank_ic_se": 0.004, "valid_loss": 0.8}
    resumed = best_of(of_member(1, [0.01, 0.02], 1), before)
    assert (resumed["epoch"], resumed["valid_rank_ic"], resumed["is_joint"]) == (3, 0.07, False)
