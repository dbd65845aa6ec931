"""Damaged copies of files and JSON documents, drawn by hypothesis, and what a good end is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from financial_model.base.errors import FinancialModelError

strange_text = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", " ", "..", "../../x", "/etc/passwd", "C:\\x", "\\\\host\\x", "nul", "a\0b", "~"]),
    st.sampled_from(
        ["\ud800", "a" * 5000, "nan", "1e999", "<img src=x onerror=alert(1)>", "**", "[", "~x/y"]
    ),
    st.sampled_from(["2018-13-40", "\uff10"]),
)
numbers = st.one_of(
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.sampled_from([0, -1, True, 2**63, 10**400, 1e308, float("nan"), float("-inf")]),
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | strange_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strange_text, inner, max_size=3),
    max_leaves=5,
)


def door(test: Callable[..., None]) -> Callable[..., None]:
    """A fuzz test with as many cases as the run asks for."""
    return settings(settings.get_profile("doors"))(test)


def ends_well(act: Callable[[], Any]) -> Any:
    """Do it; one of our errors, in one clear line that can be printed and stored, is a good end too."""
    try:
        return act()
    except FinancialModelError as error:
        text = str(error)
        assert text
        assert "Traceback" not in text
        text.encode()
        json.dumps(error.fields).encode()
        return None


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of whatever lies in a folder and below."""
    found = {path.relative_to(folder).as_posix(): path.lstat() for path in folder.rglob("*")}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every node of a document."""
    found = [here]
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return found
    for key, item in items:
        found += places(item, (*here, key))
    return found


def put(value: Any, place: tuple[Any, ...], new: Any, is_gone: bool = False) -> Any:
    """A copy of a document with one node replaced, or gone."""
    if not place:
        return new
    key, *rest = place
    copied = dict(value) if isinstance(value, dict) else list(value)
    if is_gone and not rest:
        del copied[key]
    else:
        copied[key] = put(value[key], tuple(rest), new, is_gone)
    return copied


@st.composite
def documents(draw: st.DrawFn, value: Any) -> Any:
    """The document with one or two nodes replaced by anything, or gone."""
    made = value
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(places(made)))
        made = put(made, place, draw(json_values), is_gone=draw(st.booleans()) and bool(place))
    return made


# What is done to a file: how, where (modulo its size), with which bytes.
edits = st.lists(
    st.tuples(
        st.sampled_from(["cut", "overwrite", "insert", "replace"]),
        st.integers(0, 2**32),
        st.binary(max_size=40),
    ),
    min_size=1,
    max_size=3,
)


def damaged(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    """The bytes cut short, with some of them changed, with something between, or others altogether.

    >>> damaged(b"whole", [("overwrite", 1, b"_"), ("cut", 4, b"")])
    b'w_ol'
    """
    for kind, place, new in edits:
        at = place % max(len(data), 1)
        data = {
            "cut": data[:at],
            "overwrite": data[:at] + new + data[at + len(new) :],
            "insert": data[:at] + new + data[at:],
            "replace": new,
        }[kind]
    return data


def bytes_of(data: bytes) -> st.SearchStrategy[bytes]:
    """A small file, damaged; for a large one draw `edits`, which are quicker to draw and to show."""
    return edits.map(lambda made: damaged(data, made))


def json_files(value: Any) -> st.SearchStrategy[bytes]:
    """A JSON file whose document, or whose bytes, were damaged."""
    text = documents(value).map(lambda one: json.dumps(one).encode())
    return text | bytes_of(json.dumps(value).encode())
