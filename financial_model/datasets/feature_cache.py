"""Features on disk beside the panel, so that they are computed once for each panel and mapped after that.

They are derived: the key is the panel's fingerprint and a digest of the code that makes them, so a change
of either computes them anew. The folder can be deleted at any time.
"""

import hashlib
import json
import mmap
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..base.config import DEFAULT_INDEX
from ..base.errors import DiskFull
from ..base.progress import Progress
from ..base.workspace import Workspace, make_folder, remove_old_parts, replace, write_atomically
from ..data.panel import Panel
from .features import Features, InMemory, compute_features

NAMES_FILE = "names.json"
CODE = ("features", "bar_features", "market_features", "rolling")
RESIDENT_ROWS = 2**20  # some 330 MB of tables in memory before it is given back
ARRAYS = ("sequence", "summary", "market", "volatility")


def load_features(panel: Panel, workspace: Workspace, progress: Progress | None = None) -> Features:
    """The features of the workspace's panel, mapped from its cache or computed and put there.

    Writing to the arrays changes no file. Where they cannot be kept they are computed each time, in memory
    and with a warning.
    """
    folder = workspace.cache_dir / f"features-{_key(panel)}"
    cached = _read(folder)
    if cached is not None:
        return cached
    if progress is not None:
        progress.stage("features", "computing features, once for this panel")
    try:
        return _make(panel, folder)
    except (DiskFull, OSError) as error:
        if progress is not None:
            progress.warn(f"The features are not kept: {error}", key="features_not_kept")
    return compute_features(panel, panel.made_with.index)


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


def _make(panel: Panel, folder: Path) -> Features:
    """Compute features straight into a folder, whole, then drop those of other panels."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    make_folder(folder.parent)
    remove_old_parts(folder.parent)
    shutil.rmtree(beside, ignore_errors=True)
    make_folder(beside)
    try:
        _fill(panel, beside)
        shutil.rmtree(folder, ignore_errors=True)
        failure: OSError | None = None
        try:
            replace(beside, folder)
        except OSError as error:  # another process of the same training may have put its own there meanwhile
            failure = error
        made = _read(folder)
        if made is None:
            raise failure or OSError(f"{folder} cannot be read back")
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for other in folder.parent.glob("features-*"):
        if other != folder:
            # A reader on Windows holds its files; the next panel drops them.
            shutil.rmtree(other, ignore_errors=True)
    return made


def _fill(panel: Panel, folder: Path) -> None:
    """Write the files of a folder; none of them is mapped any more when this returns."""
    place = OnDisk(folder)
    made = compute_features(panel, panel.made_with.index, place)
    with write_atomically(folder / "market.npy") as file:
        np.save(file, made.market)
    names = {one.name: getattr(made, one.name) for one in fields(made) if one.name not in ARRAYS}
    with write_atomically(folder / NAMES_FILE, "w", encoding="utf-8") as file:
        json.dump(names, file)
    place.sync()


class OnDisk(InMemory):
    """Tables that are mapped files, so that only what is worked on need be in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._maps: list[mmap.mmap] = []
        self._worked_on = 0  # rows since memory was last given back

    def table(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        path = self._folder / f"{name}.npy"
        table = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):  # or a full disk would end the process at some later write
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        self._maps.append(cast(mmap.mmap, table.base))
        return np.asarray(table)

    def let_go(self, row_count: int) -> None:
        self._worked_on += row_count
        if self._worked_on >= RESIDENT_ROWS and hasattr(mmap, "MADV_DONTNEED"):
            self._worked_on = 0
            for one in self._maps:  # what was written stays in the system's cache of the file
                one.madvise(mmap.MADV_DONTNEED)

    def sync(self) -> None:
        """Return when all of it is on the disk."""
        for one in self._maps:
            one.flush()
