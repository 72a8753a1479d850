"""Serialized values as bytes of a row: a header in JSON and the values after it. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

LENGTH_BYTES = 4
PART_BYTES = 900_000
"""The most bytes of a part, and of a row: a Firestore document has less than 1 MiB."""

Typed = tuple[str, bytes]
"""A serializer's name of a type, and the bytes."""


@dataclass(frozen=True)
class Frame:
    """A serialized value, and what is known of it."""

    about: Any
    value: Typed


def joined(frames: Iterable[Frame]) -> bytes:
    """The bytes of frames."""
    listed = list(frames)
    header = json.dumps([[frame.about, frame.value[0], len(frame.value[1])] for frame in listed]).encode()
    return b"".join([len(header).to_bytes(LENGTH_BYTES), header, *(frame.value[1] for frame in listed)])


def frames_of(data: bytes) -> list[Frame]:
    """The inverse of `joined`."""
    start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES])
    headers = json.loads(data[LENGTH_BYTES:start])
    ends = list(accumulate((length for _, _, length in headers), initial=start))
    return [
        Frame(about, (kind, data[begin:end]))
        for (about, kind, _), begin, end in zip(headers, ends[:-1], ends[1:], strict=True)
    ]


def split(data: bytes) -> Sequence[bytes]:
    """Parts of bytes that are too long for a row; none of others."""
    if len(data) <= PART_BYTES:
        return []
    return [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]
