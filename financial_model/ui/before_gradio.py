"""What must stand before gradio is imported, since it reads or does it while it is imported."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# Arrow's own allocator keeps what threads that have ended had used; a page lives long and starts many.
ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
M_ARENA_MAX = -8  # malloc.h
STUB_WRITER, WRITES_STUBS = "gradio.component_meta", "create_or_modify_pyi"


def prepare() -> None:
    """Nothing is reported to Gradio's makers, this machine is asked without a proxy, the start is short."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault(ARROW_POOL, "system")
    for name in ("NO_PROXY", "no_proxy"):
        # A dead proxy in the environment would swallow even requests to this machine.
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "localhost", "127.0.0.1", "::1"]))
    _share_one_heap()
    if STUB_WRITER not in sys.modules and not any(isinstance(one, _NoStubs) for one in sys.meta_path):
        sys.meta_path.insert(0, _NoStubs())


def _share_one_heap() -> None:
    """Have all threads allocate from one heap, where the C library is glibc.

    It gives each thread one of its own and keeps what those of ended threads had free, and a page that is
    polled ends many. Nearly all is asked for under Python's lock, so one is enough. To be called before any
    thread.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has its own ways
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


class _NoStubs(MetaPathFinder):
    """Keeps Gradio from writing type stubs for editors beside its own sources.

    It parses the source of each of its components for them at every start, which is a third of the time until
    the page answers (benchmarks/page.py).
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != STUB_WRITER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Quieted(spec.loader)
        return spec


class _Quieted(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        if hasattr(module, WRITES_STUBS):
            setattr(module, WRITES_STUBS, lambda component_class, class_name, events: None)
