"""The folders of one workspace, and how files get there: whole or not at all.

Every file of ours is written beside its place and renamed over it, so a kill, a full disk or a reader
at the wrong moment never sees half of one. Names that come from people are checked here, once.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from .errors import BadSetting, DamagedFile, DiskFull, UnsafePath, UnwritablePath, WorkspaceBusy

# Windows opens these as devices whatever the extension.
RESERVED_NAMES = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{k}" for k in range(1, 10)), *(f"lpt{k}" for k in range(1, 10))]
)
NAME_PATTERN = re.compile(r"[\w][\w .-]{0,79}", re.UNICODE)
# Of one part and of a whole path, in bytes; the systems' own answer to more is an OSError wherever it is met.
MAX_PART_BYTES, MAX_PATH_BYTES = 255, 4000
MAX_TAG_BYTES = 80  # of what a result's name says of its settings
HALF_SIGN = re.compile(r"\\u[dD][89a-fA-F]")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# An open reader makes a rename fail on Windows; readers here close within moments.
RENAME_TRIES, RENAME_PAUSE_S = 40, 0.05
# Between taking a lock and writing its name into it, or emptying it and letting go, an owner has no name.
OWNER_TRIES, OWNER_PAUSE_S = 20, 0.05
_serial = itertools.count()


class Workspace:
    """The paths of one workspace; nothing is created until something is written."""

    def __init__(self, root: str | Path = ".") -> None:
        self.root = user_path(root).resolve()
        _check_folder(self.root)

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    @property
    def stock_data_dir(self) -> Path:
        return self.root / "full_stock_data"

    @property
    def bars_dir(self) -> Path:
        """Raw daily bars of stocks, one CSV a code."""
        return self.stock_data_dir / "training_data"

    @property
    def index_dir(self) -> Path:
        """Daily bars of indices, one CSV a code."""
        return self.stock_data_dir / "index_data"

    @property
    def metadata_path(self) -> Path:
        return self.stock_data_dir / "metadata.json"

    @property
    def cache_dir(self) -> Path:
        return self.root / "data_cache"

    @property
    def panel_path(self) -> Path:
        return self.cache_dir / "panel.arrow"

    @property
    def output_dir(self) -> Path:
        return self.root / "output"

    @property
    def jobs_dir(self) -> Path:
        return self.root / "jobs"

    def reference_path(self, name: str) -> Path:
        """The CSV of one kind of dated facts, such as "corporate_actions"."""
        return self.stock_data_dir / f"{name}.csv"

    def result_path(self, stem: str, kind: str, tags: Sequence[str], suffix: str) -> Path:
        """Where a result lies whose place nobody named: what was asked for is in its name, so that a second
        one with other settings leaves the first alone. Long tags become their digest.

        >>> Workspace("/data").result_path("a_best", "backtest", ["top20"], ".html").name
        'a_best_backtest_top20.html'
        """
        tag = "_".join([kind, *(re.sub(r"[^\w.-]+", "_", tag) for tag in tags)])
        if len(tag.encode()) > MAX_TAG_BYTES:
            tag = f"{kind}_{hashlib.blake2b('|'.join(tags).encode(), digest_size=6).hexdigest()}"
        return self.inside(f"output/{stem}_{tag}{suffix}")

    def stem_of(self, path: Path, usual: Path) -> str:
        """What a result is named by that is made from a file: its stem, and for one that does not lie in the
        `usual` folder a mark of where it does, so that files of one name have results of their own.

        >>> here = Workspace("/data")
        >>> here.stem_of(Path("/data/output/a_best.pt"), here.output_dir)
        'a_best'
        >>> here.stem_of(Path("/data/other/a_best.pt"), here.output_dir)
        'a_best-6af7b8'
        """
        folder = path.parent.resolve()
        if folder == usual:
            return path.stem
        # Of what lies in the workspace the mark stays when the workspace is moved.
        told = folder.relative_to(self.root).as_posix() if folder.is_relative_to(self.root) else str(folder)
        mark = hashlib.blake2b(os.path.normcase(told).encode("utf-8", "surrogateescape"), digest_size=3)
        return f"{path.stem}-{mark.hexdigest()}"

    def inside(self, relative: str | Path) -> Path:
        """A path from a user, resolved and held inside the workspace; UnsafePath otherwise.

        >>> Workspace("/data").inside("../etc")
        Traceback (most recent call last):
            ...
        financial_model.base.errors.UnsafePath: '../etc' cannot be used as a name here: it leaves the \
workspace. Use letters, digits, '_' and '-' in a folder inside the workspace.
        """
        text = str(relative)
        if "\0" in text or not text.strip():
            raise UnsafePath(text, "it is empty or holds a NUL character")
        windows = PureWindowsPath(text)
        if windows.drive or PurePosixPath(text).is_absolute() or text.startswith("\\"):
            raise UnsafePath(text, "it is not relative to the workspace")
        for part in windows.parts:
            if part == "..":
                raise UnsafePath(text, "it leaves the workspace")
            if part.split(".")[0].strip().lower() in RESERVED_NAMES:
                raise UnsafePath(text, f"{part!r} is reserved by Windows")
        if _is_too_long(windows.parts):
            raise UnsafePath(f"{text[:80]}...", "it is longer than a path may be")
        path = self.root.joinpath(*windows.parts)
        resolved = path.resolve()
        if not resolved.is_relative_to(self.root):
            raise UnsafePath(text, "it leads out of the workspace through a link")
        return resolved


def user_path(text: str | Path) -> Path:
    """A path that a person wrote, with ~ as their home; UnsafePath where it can be no path."""
    try:
        if "\0" not in str(text):
            os.fsencode(text)
            path = Path(text).expanduser()
            if not _is_too_long(path.parts):
                return path
    except (RuntimeError, ValueError):  # ~ of a stranger, or text that no system can write
        pass
    raise UnsafePath(ascii(str(text)[:80]), "it is no path of this machine")


def output_path(text: str | Path, *suffixes: str, companions: tuple[str, ...] = ()) -> Path:
    """Where a person wants a result, checked before the work that makes it: the name ends in one of
    `suffixes` (BadSetting), it is no folder and can lie in one (UnwritablePath).

    companions: endings of the files that will lie beside it. One that is there without the result itself is
    somebody else's, and is not written over.
    """
    path = user_path(text)
    if path.suffix not in suffixes:
        raise BadSetting("out", str(text), f"a name that ends in {' or '.join(suffixes)}")
    beside = [path.with_suffix(ending) for ending in companions]
    for one in (path, *beside):
        if os.path.isdir(one):
            raise UnwritablePath(one, "it is a folder")
    if not os.path.exists(path):
        for one in beside:
            if os.path.lexists(one):
                raise UnwritablePath(one, f"it is there already, and {path.name} is not")
    _check_folder(path.absolute().parent)
    there = next(folder for folder in path.absolute().parents if os.path.isdir(folder))
    if not os.access(there, os.W_OK):
        raise UnwritablePath(path, f"nothing may be written into {there}")
    return path


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; UnwritablePath or DiskFull where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _told(folder, error) from error


def _check_folder(folder: Path) -> None:
    """UnwritablePath where a file stands in the way of this folder or of one above it."""
    for part in (folder, *folder.parents):
        # Not pathlib's: those raise where a folder may not be looked into.
        if os.path.isdir(part):
            return
        if os.path.exists(part):
            raise UnwritablePath(folder, f"{part} is a file and no folder")


def _told(path: Path, error: OSError) -> DiskFull | UnwritablePath:
    reason = error.strerror or "the system refused"
    return DiskFull(path, reason) if error.errno in NO_ROOM else UnwritablePath(path, reason)


def _is_too_long(parts: tuple[str, ...]) -> bool:
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in parts]
    return max(sizes, default=0) > MAX_PART_BYTES or sum(sizes) + len(sizes) > MAX_PATH_BYTES


def check_name(name: str) -> str:
    """Return a name from a user that can be part of a file name on every system, or raise UnsafePath.

    >>> check_name("first_try-2")
    'first_try-2'
    """
    if not NAME_PATTERN.fullmatch(name) or name != name.rstrip(" .") or ".." in name:
        raise UnsafePath(
            name, "letters, digits, '_', '-' and single dots, at most 80 characters, are allowed"
        )
    if name.split(".")[0].strip().lower() in RESERVED_NAMES:
        raise UnsafePath(name, "Windows reserves it for a device")
    return name


@contextlib.contextmanager
def write_atomically(path: Path, mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """Open a file beside `path` and rename it over `path` when the block ends without an error.

    On an error the file beside is removed and the old one stands untouched; a full disk is DiskFull.
    """
    with _beside(path) as temporary, open(temporary, mode, **options) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Like write_atomically for writers that want a path: yields one beside, renames it afterwards."""
    with _beside(path) as temporary:
        yield temporary
        sync_file(temporary)


@contextlib.contextmanager
def freeing_apart(path: Path) -> Iterator[None]:
    """The file at `path` that the block replaces is freed in a thread: gigabytes of it take a second.

    Not on Windows, where a file that is open cannot be replaced.
    """
    held = os.open(path, os.O_RDONLY) if os.name == "posix" and path.is_file() else None
    try:
        yield
    finally:
        if held is not None:
            try:
                threading.Thread(target=os.close, args=(held,), name="free-old-file").start()
            except RuntimeError:  # no more threads: then here
                os.close(held)


def sync_file(path: Path) -> None:
    """Return when the file's bytes are on the disk: a rename may outlive a power cut that they do not."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    make_folder(path.parent)
    # Not mkstemp: its files are readable by their owner alone, and the rename would hand that on.
    temporary = path.parent / f".{path.name}.{os.getpid()}-{next(_serial)}.part"
    try:
        yield temporary
        replace(temporary, path)
    except OSError as error:
        # Of the file beside; what else goes wrong while it is filled is told by who fills it.
        if error.errno in NO_ROOM or error.filename == str(temporary):
            raise _told(path, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_old_parts(folder: Path, older_than_s: float = 3600.0, of: str = "") -> None:
    """Remove what writers that were killed left beside their files: old enough to be nobody's any more.

    of: a pattern of the files beside which alone it is removed.
    """
    for path in folder.glob(".*.part"):
        if of and not re.match(rf"\.(?:{of})\.\d+-\d+\.part$", path.name):
            continue
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than_s:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def replace(source: Path, target: Path) -> None:
    """os.replace that waits out a reader on Windows; readers never see half a file."""
    for attempt in range(RENAME_TRIES):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if os.name != "nt" or attempt == RENAME_TRIES - 1:
                raise
            time.sleep(RENAME_PAUSE_S)


def write_json(path: Path, value: Any) -> None:
    """Write JSON-like values whole, in UTF-8, as people can read them."""
    with write_atomically(path, "w", encoding="utf-8", newline="\n") as file:
        json.dump(value, file, ensure_ascii=False, indent=1, allow_nan=False)
        file.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of ours; DamagedFile when it is not one."""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if HALF_SIGN.search(text):  # what our own writers never write: half a sign that no file can hold
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, f"it is not JSON ({error})", "Delete it, or restore a copy.") from error


def _finite(text: str) -> float:
    """A number of a JSON file; NaN and infinity are none, whatever Python's reader says."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


@contextlib.contextmanager
def locked(path: Path, owner: str, what: str, *, is_removed: bool = False) -> Iterator[None]:
    """Hold `path` as a lock file for the block, or raise WorkspaceBusy with the owner's name.

    The operating system drops the lock with the process, so a killed owner never leaves one behind.
    is_removed: whether the file goes with the lock, which is for one run and not for a whole folder.
    """
    make_folder(path.parent)
    with _lock_file(path, what) as file:
        try:
            file.truncate(0)
            try:
                file.write(f"{owner} pid {os.getpid()}".encode())
            except OSError as error:
                raise _told(path, error) from error
            yield
        finally:
            file.truncate(0)
            if is_removed and os.name != "nt":  # while it is held: afterwards it may be another's
                path.unlink(missing_ok=True)
            _unlock(file)
    if is_removed and os.name == "nt":
        with contextlib.suppress(OSError):  # Windows removes no file that somebody has open
            path.unlink(missing_ok=True)


def _lock_file(path: Path, what: str) -> IO[bytes]:
    """The file at `path`, open and locked; WorkspaceBusy names the owner where another has it."""
    for _ in range(OWNER_TRIES):
        try:
            file = open(path, "a+b", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _told(path, error) from error
        if _try_lock(file):
            if _is_at(file, path):
                return file
            owner = ""  # removed by its owner between our opening and our locking
        else:
            file.seek(0)
            # On Windows the locked range starts past the text, so the owner can still be read.
            owner = file.read(200).decode("utf-8", "replace").strip()
        file.close()
        if owner:
            raise WorkspaceBusy(what, owner)
        time.sleep(OWNER_PAUSE_S)
    raise WorkspaceBusy(what, "unknown")


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether a file that is open still is the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    LOCK_OFFSET = 1 << 20

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(LOCK_OFFSET)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(LOCK_OFFSET)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
