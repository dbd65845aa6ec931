"""Features on disk beside the panel, so that they are computed once for each panel and mapped after that.

They are derived: the key is the panel's fingerprint and a digest of the code that makes them, so a change
of either computes them anew. The folder can be deleted at any time.
"""

import hashlib
import json
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..base.config import DEFAULT_INDEX
from ..base.errors import DiskFull
from ..base.progress import Progress
from ..base.workspace import Workspace, remove_old_parts, replace, write_atomically
from ..data.panel import Panel
from .features import Features, compute_features

NAMES_FILE = "names.json"
CODE = ("features", "bar_features", "market_features", "rolling")
ARRAYS = ("sequence", "summary", "market", "volatility")


def load_features(panel: Panel, workspace: Workspace, progress: Progress | None = None) -> Features:
    """The features of the workspace's panel, mapped from its cache or computed and put there.

    Writing to the arrays changes no file. Where they cannot be kept they are computed each time, with a
    warning.
    """
    folder = workspace.cache_dir / f"features-{_key(panel)}"
    cached = _read(folder)
    if cached is not None:
        return cached
    if progress is not None:
        progress.stage("features", "computing features, once for this panel")
    made = compute_features(panel, panel.made_with.index)
    try:
        _write(folder, made)
    except (DiskFull, OSError) as error:
        if progress is not None:
            progress.warn(f"The features are not kept: {error}", key="features_not_kept")
    return made


def _key(panel: Panel) -> str:
    code = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in CODE)
    index = panel.made_with.index
    told = panel.fingerprint if index == DEFAULT_INDEX else f"{panel.fingerprint} {index}"
    return hashlib.sha256(told.encode() + code).hexdigest()[:16]


def _read(folder: Path) -> Features | None:
    """The features in a folder; None where it is missing or not whole."""
    try:
        names = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
        # Copy-on-write: torch shares only memory that may be written to.
        values: dict[str, Any] = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in ARRAYS}
        values |= {name: tuple(words) for name, words in names.items()}
        return Features(**values)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write(folder: Path, features: Features) -> None:
    """Write a folder whole, then drop those of other panels."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    remove_old_parts(folder.parent)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for name in ARRAYS:
            with write_atomically(beside / f"{name}.npy") as file:
                np.save(file, getattr(features, name))
        names = {one.name: getattr(features, one.name) for one in fields(features) if one.name not in ARRAYS}
        with write_atomically(beside / NAMES_FILE, "w", encoding="utf-8") as file:
            json.dump(names, file)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            replace(beside, folder)
        except OSError:
            # Another process of the same training may have put its own there in the meantime.
            if _read(folder) is None:
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for other in folder.parent.glob("features-*"):
        if other != folder:
            # A reader on Windows holds its files; the next panel drops them.
            shutil.rmtree(other, ignore_errors=True)
