"""A stream is split into its JSON values in any layout; broken values do not affect others."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.interchange import frames as module
from memory.interchange.frames import frames

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


class Trickle:
    """A stream that hands out a few bytes at a time."""

    def __init__(self, data: bytes, count: int) -> None:
        self.stream, self.count = io.BytesIO(data), count

    def read(self, size: int = -1) -> bytes:
        return self.stream.read(self.count)


def values(data: bytes, count: int = 1 << 16, **options: Any) -> list[Any]:
    return [json.loads(frame.raw) for frame in frames(Trickle(data, count), **options)]


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 40))
def test_arrays(members: list[Any], indent: int | None, ascii_only: bool, count: int) -> None:
    """The elements of an array, however it is laid out and wherever a read ends."""
    data = json.dumps(members, indent=indent, ensure_ascii=ascii_only).encode()
    assert values(data, count) == members
    assert values(module.BOM + b"\r\n " + data + b"\n", count) == members


@given(st.lists(OBJECTS, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\n\n  \n"]), st.integers(1, 40))
def test_lines(members: list[Any], end: bytes, count: int) -> None:
    """A value on each line, whatever ends the lines."""
    data = end.join(json.dumps(member).encode() for member in members)
    assert values(data, count) == members
    assert values(data + end, count) == members


@given(st.lists(st.dictionaries(st.text(), JSON, min_size=1), max_size=4), st.integers(1, 40))
def test_documents(members: list[Any], count: int) -> None:
    """Objects that are spread over several lines."""
    assert values("\n".join(json.dumps(member, indent=2) for member in members).encode(), count) == members


def test_places() -> None:
    """A frame has its line, its offset and its index in the array."""
    found = list(frames(io.BytesIO(b'\n[ {"a":\n1},\n2 ]\n{"b": 3}\n')))
    assert [(frame.raw, frame.line, frame.offset, frame.ordinal, frame.index) for frame in found] == [
        (b'{"a":\n1}', 2, 3, 0, 0),
        (b"2", 4, 13, 0, 1),
        (b'{"b": 3}', 5, 17, 1, None),
    ]


def test_lists_on_lines() -> None:
    """The first list of a file of lists is read as an array, the others as values."""
    found = list(frames(io.BytesIO(b"[1,2]\n[3]\n[4]\n")))
    assert [(frame.raw, frame.ordinal, frame.index) for frame in found] == [
        (b"1", 0, 0),
        (b"2", 0, 1),
        (b"[3]", 1, None),
        (b"[4]", 2, None),
    ]


@pytest.mark.parametrize(
    ("data", "raws"),
    [
        (b'[{"a": NaN}, {"b": 1}]', [b'{"a": NaN}', b'{"b": 1}']),
        (b'[{"a": "\xff"}, {"b": 1}]', [b'{"a": "\xff"}', b'{"b": 1}']),
        (b'[{"a": 1} {"b": 1}]', [b'{"a": 1}', b'{"b": 1}']),
        (b'[{"a": 1},,{"b": 1},]', [b'{"a": 1}', b'{"b": 1}']),
        (b'[{"a": "open},\n{"b": 1}\n]', [b'{"a": "open},\n{"b": 1}\n]']),
        (b'[{\n"a": "open\n},\n{"b": 1}\n]', [b'{\n"a": "open\n}', b'{"b": 1}']),
        (b'{"a": 1\n{"b": 1}\nnothing\n{"c": 1}', [b'{"a": 1', b'{"b": 1}', b"nothing", b'{"c": 1}']),
    ],
)
def test_what_is_broken_stays_by_itself(data: bytes, raws: list[bytes]) -> None:
    """The values around a broken one are found, if anything marks their start."""
    assert [frame.raw for frame in frames(io.BytesIO(data))][: len(raws)] == raws


@pytest.mark.parametrize(
    "data", [b'[{"a": 1}, {"b": "x', b'[{"a": 1}, {"b"', b'[{"a": 1}', b'[{"a": 1}, ', b'[{"a": 1}, 17']
)
def test_a_file_that_was_cut_off(data: bytes) -> None:
    """Values before the end are read, and the cut is reported."""
    first, *_, last = frames(io.BytesIO(data))
    assert first.raw == b'{"a": 1}'
    assert first.problem is None
    assert "cut off" in (last.problem or "")


@pytest.mark.parametrize("layout", ["[{}, {}, {}]", "{}\n{}\n{}\n"])
@pytest.mark.parametrize("large", [{"x": "y" * 300_000}, {"x": ['\\"y', 1.5] * 30_000}])
def test_a_value_that_is_too_large(layout: str, large: dict[str, Any]) -> None:
    """It is reported with its size and its beginning, and the values around it are read."""
    small, text = json.dumps({"a": 1}), json.dumps(large)
    data = layout.replace("{}", "%s") % (small, text, small)
    first, second, third = frames(io.BytesIO(data.encode()), limit=1000)
    assert (first.raw, third.raw) == (small.encode(), small.encode())
    assert str(len(text)) in (second.problem or "")
    assert text.encode().startswith(second.raw)
    assert len(second.raw) <= module.HEAD_BYTES


def test_nothing() -> None:
    """An empty stream, or one of blanks, has no values."""
    assert values(b"") == values(b" \r\n\n") == values(b"[]") == values(module.BOM) == []
