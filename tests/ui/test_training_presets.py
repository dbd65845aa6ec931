"""The presets of a training: each can be trained, and few stocks have passes of their own."""

import pytest

from financial_model.base.config import TrainSettings
from financial_model.ui.training_fields import settings_of
from financial_model.ui.training_presets import PRESETS, are_few, passes_for, presets_of

from .test_training_fields import values


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("few", [True, False])
def test_every_preset_can_be_trained(preset, few):
    chosen = presets_of(few)[preset]
    assert settings_of(values(**chosen)).epochs == chosen["epochs"]


def passes(codes, preset):
    return tuple(presets_of(are_few(codes))[preset][name] for name in ("epochs", "batch_size"))


def test_few_stocks_have_small_batches_and_many_passes_and_all_of_them_do_not():
    assert passes("600519", "recommended") == passes("600519, 000001", "large") == (30, 64)
    assert passes("600519", "quick") == (2, 64)
    for codes in ("", "  ", ", ".join(f"60{n:04}" for n in range(11))):
        assert passes(codes, "recommended") == (TrainSettings().epochs, TrainSettings().batch_size)
        assert passes(codes, "quick") == (2, 512)


def test_codes_that_are_written_into_the_form_bring_the_passes_of_its_preset_along():
    for preset in PRESETS:
        many, few = (list(presets_of(few)[preset].values()) for few in (False, True))
        assert tuple(passes_for("600519", many)) == passes("600519", preset)
        assert tuple(passes_for("", few)) == passes("", preset)
        assert [one["__type__"] for one in passes_for("600519", few)] == ["update"] * 2
    own = list((presets_of(False)["quick"] | {"epochs": 7}).values())
    assert [one["__type__"] for one in passes_for("600519", own)] == ["update"] * 2, "a person's own stay"
