"""Checkpoints: what is written comes back, and nothing but tensors and plain values is ever read."""

import pickle
from dataclasses import replace

import pytest
import torch

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.base.errors import DamagedCheckpoint, ForeignCheckpoint, UnsafePath
from financial_model.base.workspace import Workspace
from financial_model.models.checkpoint import Checkpoint, checkpoint_path, load_checkpoint, save_checkpoint
from financial_model.models.interface import InputSizes
from financial_model.models.registry import build_model

NETWORK = ModelSettings(model="lstm", context_length=8, prediction_length=2, hidden_size=8, layers=1, heads=2)
SIZES = InputSizes(sequence=3, context_length=8, summary=2, market=2, conditions={"industry": 4})


def make_checkpoint(members=2):
    networks = [build_model(SIZES, NETWORK, (0.5,)) for _ in range(members)]
    return Checkpoint(
        settings=TrainSettings(model=NETWORK, codes=("SH600000",)),
        sizes=SIZES,
        levels=(0.5,),
        members=[network.state_dict() for network in networks],
        score_scales=[1.0] * members,
        feature_names={"sequence": ["a", "b", "c"]},
        vocabulary={"industry": ["unknown", "finance", "energy", "other"]},
        split={"train": ["2016-01-04", "2016-06-01"], "valid": None, "test": None, "purge": 2},
        data={"fingerprint": "x"},
    )


class Harmful:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_what_is_saved_comes_back(tmp_path):
    made = make_checkpoint()
    save_checkpoint(tmp_path / "a.pt", made)
    read = load_checkpoint(tmp_path / "a.pt")
    assert read.settings == made.settings
    assert read.sizes == made.sizes
    assert read.vocabulary == made.vocabulary
    ensemble = read.build()
    for member, weights in zip(ensemble.members, made.members, strict=True):
        assert all(torch.equal(value, weights[name]) for name, value in member.state_dict().items())


def test_code_in_a_file_is_never_run(tmp_path):
    mark = tmp_path / "harmed"
    torch.save({"kind": "hermes-checkpoint", "version": 1, "settings": Harmful(mark)}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful(mark)))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(DamagedCheckpoint, match=r"never run|no checkpoint"):
            load_checkpoint(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_torn_file_is_said_to_be_torn(tmp_path, share):
    path = tmp_path / "a.pt"
    save_checkpoint(path, make_checkpoint())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DamagedCheckpoint, match=r"a\.pt"):
        load_checkpoint(path)


def test_files_of_others_are_refused_with_what_they_are(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ForeignCheckpoint, match="no checkpoint of this program"):
        load_checkpoint(path)
    save_checkpoint(path, make_checkpoint())
    values = torch.load(path, weights_only=True)
    torch.save(values | {"version": 99}, path)
    with pytest.raises(ForeignCheckpoint, match="version 99"):
        load_checkpoint(path)
    torch.save({name: value for name, value in values.items() if name != "members"}, path)
    with pytest.raises(DamagedCheckpoint, match="members"):
        load_checkpoint(path)
    values["settings"]["model"]["model"] = "oracle"
    torch.save(values, path)
    with pytest.raises(ForeignCheckpoint, match="oracle"):
        load_checkpoint(path)
    with pytest.raises(DamagedCheckpoint, match="no such file"):
        load_checkpoint(tmp_path / "missing.pt")
    path.write_text("code,date\n")
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path)


def test_weights_of_another_model_do_not_fit():
    made = make_checkpoint()
    made.settings = replace(made.settings, model=replace(NETWORK, model="transformer"))
    with pytest.raises(ForeignCheckpoint, match="transformer"):
        made.build()


def test_a_value_that_no_load_would_take_is_not_saved(tmp_path):
    made = make_checkpoint()
    made.metrics = {"history": [{"loss": Harmful(tmp_path)}]}
    with pytest.raises(TypeError, match="history"):
        save_checkpoint(tmp_path / "a.pt", made)
    assert not (tmp_path / "a.pt").exists()


def test_a_checkpoint_is_named_inside_the_workspace_or_by_its_absolute_path(tmp_path):
    workspace = Workspace(tmp_path)
    assert checkpoint_path(workspace, "output/a.pt") == tmp_path / "output" / "a.pt"
    assert checkpoint_path(workspace, str(tmp_path / "b.pt")) == tmp_path / "b.pt"
    with pytest.raises(UnsafePath):
        checkpoint_path(workspace, "../a.pt")
