"""Checkpoints that were cut, changed, made up, or that hold a program: refused, and nothing is run."""

import io
import itertools
import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from financial_model.base.config import TrainSettings
from financial_model.base.errors import DamagedCheckpoint, ForeignCheckpoint
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.datasets.features import Features, compute_features
from financial_model.forecasting.inference import Predictor
from financial_model.models.checkpoint import load_checkpoint
from financial_model.training.run_files import RunFiles
from financial_model.workflows.train_model import train_on_panel
from tests.reliability.damage import damaged, door, edits, ends_well, files_of, json_values, places, put


class Trained:
    """A checkpoint's bytes and what it holds, the panel and its features; no dataclass, which a failing case
    would print to the last number."""

    def __init__(self, data: bytes, values: dict[str, Any], panel: Panel, features: Features) -> None:
        self.data, self.values, self.panel, self.features = data, values, panel, features


@pytest.fixture(scope="module")
def trained(whole):
    workspace, result = whole
    path = workspace.inside(result["checkpoint"])
    panel = Panel.open(workspace)
    values = torch.load(path, weights_only=True)
    return Trained(path.read_bytes(), values, panel, compute_features(panel))


def use(path, trained, folder):
    """Forecast with a checkpoint, then resume it: the two things that a file can be asked for."""
    panel, features = trained.panel, trained.features
    last = panel.last_session.item()
    ends_well(lambda: Predictor.open(path, panel, features=features).forecast(as_of=last))
    resume(path, trained, folder)


def resume(path, trained, folder):
    def act():
        checkpoint = load_checkpoint(path)
        # A sound one has nothing left to do; more epochs than one would only take time.
        if checkpoint.settings.epochs <= 2 and checkpoint.settings.ensemble == 1:
            files = RunFiles(Workspace(folder), "output", "trip")
            goes_on, asked = TrainSettings(resume=str(path)), itertools.count()
            # Stopped at the second question: a step is made with what the file brought.
            stop = Progress(stop=lambda: next(asked) > 0)
            train_on_panel(trained.panel, goes_on, files, stop, trained.features)

    ends_well(act)


@door
@given(edits)
def test_damaged_bytes(tmp_path_factory, trained, edits):
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(damaged(trained.data, edits))
    ends_well(lambda: load_checkpoint(path))


# Using one costs a hundred times what reading it does, so it is done less often.
@settings(
    settings.get_profile("doors"), max_examples=max(settings.get_profile("doors").max_examples // 4, 50)
)
@given(
    st.integers(0, 2**16),
    json_values | st.just(torch.zeros(3)) | st.just({"weights": {}}),
    st.booleans(),
)
def test_other_contents(tmp_path_factory, trained, place, new, is_gone):
    folder = tmp_path_factory.mktemp("contents")
    nodes = places(trained.values)
    node = nodes[place % len(nodes)]
    path = folder / "around" / "other.pt"
    path.parent.mkdir()
    torch.save(put(trained.values, node, new, is_gone=is_gone and bool(node)), path)
    before = files_of(path.parent)
    use(path, trained, path.parent / "workspace")
    after = files_of(path.parent)
    assert {name: seen for name, seen in after.items() if not name.startswith("workspace")} == before
    assert [one.name for one in folder.iterdir()] == ["around"]
    shutil.rmtree(folder)


STRANGE = [None, "x", -1, 10**400, float("nan"), float("inf"), True, [], torch.zeros(3)]


@pytest.mark.parametrize("part", ["place", "history", "finished", "optimizer"])
def test_no_strange_value_in_the_state_of_a_training_ends_in_a_trace(tmp_path, trained, part):
    begins = {"history": ("metrics", "history")}.get(part, ("training", part))
    nodes = [node for node in places(trained.values) if node[:2] == begins]
    if part == "optimizer":  # the moments of one weight are like those of all
        nodes = [node for node in nodes if len(node) < 4 or node[3] == 0][:12]
    path = tmp_path / "strange.pt"
    if part == "finished":
        nodes = [node for node in nodes if "weights" not in node[:-1]]
    for number, node in enumerate(nodes):
        # In turn with its neighbours each node gets every kind of value: all of them would take minutes.
        strange = STRANGE if part == "finished" else STRANGE[number % 4 :: 4]
        for new, is_gone in [(None, True), *((value, False) for value in strange)]:
            torch.save(put(trained.values, node, new, is_gone), path)
            resume(path, trained, tmp_path / "workspace")


def test_a_stamp_that_leads_out_of_the_workspace_names_no_file(tmp_path, trained):
    values = dict(trained.values)
    values["training"] = {**values["training"], "stamp": "x/../../../../stolen"}
    torch.save(values, tmp_path / "hostile.pt")
    use(tmp_path / "hostile.pt", trained, tmp_path / "deep" / "deeper" / "workspace")
    assert not list(tmp_path.rglob("*stolen*"))


@pytest.mark.parametrize("part", ["sequence", "summary", "market"])
def test_sizes_that_would_fill_the_memory_are_refused_before_a_network_is_built(tmp_path, trained, part):
    values = {**trained.values, "sizes": {**trained.values["sizes"], part: 10**9}}
    torch.save(values, tmp_path / "wide.pt")
    with pytest.raises(DamagedCheckpoint, match="sizes"):
        load_checkpoint(tmp_path / "wide.pt")


@pytest.mark.parametrize("part", ["context_length", "conditions"])
def test_sizes_that_are_not_those_of_the_inputs_are_refused(tmp_path, trained, part):
    sizes = dict(trained.values["sizes"])
    sizes[part] = sizes[part] + 1 if part == "context_length" else {}
    torch.save({**trained.values, "sizes": sizes}, tmp_path / "other.pt")
    with pytest.raises(DamagedCheckpoint, match="sizes"):
        Predictor.open(tmp_path / "other.pt", trained.panel, features=trained.features)


def test_the_weights_of_another_model_are_refused(tmp_path, trained):
    values = dict(trained.values)
    model = TrainSettings.from_json(values["settings"])
    values["settings"] = replace(model, model=replace(model.model, model="transformer")).to_json()
    torch.save(values, tmp_path / "other.pt")
    with pytest.raises(ForeignCheckpoint, match="transformer"):
        Predictor.open(tmp_path / "other.pt", trained.panel, features=trained.features)


class Program:
    """Pickled, it runs a command where it is read by who trusts it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", ["system", "eval", "mkdir"])
@pytest.mark.parametrize("form", ["bare", "in place of the contents", "in a weight's place"])
def test_a_program_in_a_checkpoint_is_not_run(tmp_path, trained, protocol, name, form):
    marker = tmp_path / "was_run"
    program = {
        "system": Program(os.system, f"touch {marker}"),
        "eval": Program(eval, f"open({str(marker)!r}, 'w').close()"),
        "mkdir": Program(os.mkdir, str(marker)),
    }[name]
    path = tmp_path / "hostile.pt"
    held = program if form == "bare" else {**trained.values, "metrics": {"best": program}}
    if form == "in a weight's place":
        torch.save(held, path, pickle_protocol=protocol)
    elif form == "bare":
        path.write_bytes(pickle.dumps(held, protocol))
    else:
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(trained.data)) as whole, zipfile.ZipFile(made, "w") as hostile:
            for entry in whole.namelist():
                is_contents = entry.endswith("data.pkl")
                hostile.writestr(entry, pickle.dumps(program, protocol) if is_contents else whole.read(entry))
        path.write_bytes(made.getvalue())
    with pytest.raises(DamagedCheckpoint) as refused:
        load_checkpoint(path)
    assert not marker.exists()
    json.dumps(refused.value.fields)
    if form != "in place of the contents":
        return
    pickle.loads(pickle.dumps(program, protocol))  # read with trust it would have been run
    assert marker.exists()
