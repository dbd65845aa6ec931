"""Cached features are the computed ones, and never those of another panel or another code."""

import dataclasses
import shutil

import numpy as np
import pytest

from financial_model.base.errors import DiskFull
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.datasets import feature_cache
from financial_model.datasets.feature_cache import load_features
from financial_model.datasets.features import compute_features


def assert_same(first, second):
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        assert np.array_equal(one, other), field.name


def test_the_second_load_computes_nothing_and_gives_the_same(market, tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    first = load_features(market, workspace)
    assert_same(first, compute_features(market))
    monkeypatch.setattr(feature_cache, "compute_features", None)
    second = load_features(market, workspace)
    assert_same(first, second)
    second.sequence[:] = 0  # a view of the file that no write goes through
    assert_same(first, load_features(market, workspace))


def test_another_panel_has_features_of_its_own_and_drops_the_old(market, tmp_path):
    workspace = Workspace(tmp_path)
    load_features(market, workspace)
    cut = market.truncated(market.sessions[100])
    assert len(load_features(cut, workspace).volatility) == len(cut)
    assert len(list(workspace.cache_dir.iterdir())) == 1


def test_a_torn_cache_is_made_anew(market, tmp_path):
    workspace = Workspace(tmp_path)
    first = load_features(market, workspace)
    for name in ("sequence.npy", "names.json"):
        path = next(workspace.cache_dir.glob(f"features-*/{name}"))
        path.write_bytes(path.read_bytes()[:40])
        assert_same(load_features(market, workspace), first)


def test_a_full_disk_leaves_them_uncached_and_says_so(market, tmp_path, monkeypatch):
    def full(*_):
        raise DiskFull(tmp_path, "no space left")

    monkeypatch.setattr(feature_cache, "_write", full)
    events = []
    made = load_features(market, Workspace(tmp_path), Progress(events.append))
    assert_same(made, compute_features(market))
    assert [event["kind"] for event in events] == ["stage", "warning"]
    with pytest.raises(StopIteration):
        next(tmp_path.glob("data_cache/features-*"))


def test_what_another_process_put_there_first_is_taken(market, tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    put = feature_cache.replace

    def late(source, target):
        shutil.copytree(source, target)
        put(source, target)  # fails: the folder is not empty

    monkeypatch.setattr(feature_cache, "replace", late)
    assert_same(load_features(market, workspace), compute_features(market))
    assert len(list(workspace.cache_dir.iterdir())) == 1
