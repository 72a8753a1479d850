"""The stored form of a segment: the corpus of some entries, and when each item was written. Pure.

    b"M1"  zlib(names)  zlib(arrays)  ids  vectors        each part after its length (4 bytes, little-endian)

The names are JSON. The arrays follow each other in the order of the fields of `Corpus`, each as one byte for its type,
its length (4 bytes) and its numbers in the smallest type that holds them all. Starts are stored as lengths, ids of 32
hexadecimal digits as 16 bytes. The vectors are bytes already, and random: they are not compressed.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .corpus import NUMBERED, Corpus, Entry
from .vocabulary import Vocabulary

MAGIC: Final = b"M1"
MOST_BYTES: Final = 900_000
"""Of a stored segment; a document of Firestore has at most 1 MiB."""
TERM_BYTES: Final = 24
POSTING_BYTES: Final = 5
"""What a distinct term and a posting count at least as, however well they are compressed: they cost time and memory. Of
usual texts the stored bytes are more."""

NAMES: Final = (*NUMBERED, "terms")
ARRAYS: Final = {
    column.name: np.dtype(str(column.type).removeprefix("NDArray[np.").removesuffix("]"))
    for column in fields(Corpus)
    if str(column.type).startswith("NDArray") and column.name != "vectors"
} | {"written": np.dtype(np.int64)}

_STARTS: Final = "_starts"
_TYPES: Final = ("<i1", "<i2", "<i4", "<i8", "<u8", "<f4")
_INTEGERS: Final = _TYPES[:4]
_HEX: Final = 32
_NO_VECTORS: Final = np.zeros((0, 0), np.int8)


class UnreadableSegment(ValueError):
    """The bytes are not a segment, or one of another version."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Entries, and when their items were written: microseconds since 1970 by the database's clock; 0 if unknown."""

    corpus: Corpus
    written: NDArray[np.int64]

    @classmethod
    def of(cls, entries: Sequence[Entry], written: Sequence[int]) -> Segment:
        """The segment of entries, in their order."""
        return cls(Corpus.of(entries), np.array(written, np.int64))

    @classmethod
    def concat(cls, segments: Sequence[Segment]) -> Segment:
        """The segments after each other."""
        if not segments:
            return cls.of([], [])
        return cls(
            Corpus.concat([segment.corpus for segment in segments]),
            np.concatenate([segment.written for segment in segments]),
        )

    def take(self, places: NDArray[Any]) -> Segment:
        """The segment of these entries, by a mask or by places."""
        return Segment(self.corpus.take(places), self.written[places])

    def without_vectors(self) -> Segment:
        """For words only: the vectors are of a model that is not configured."""
        starts = np.zeros(len(self) + 1, np.int64)
        corpus = replace(self.corpus, vectors=_NO_VECTORS, scales=np.zeros(0, np.float32), vector_starts=starts)
        return Segment(corpus, self.written)

    def __len__(self) -> int:
        return len(self.corpus)


def pack(segment: Segment) -> bytes:
    """The stored form."""
    segment = Segment(_without_unused_names(segment.corpus), segment.written)
    corpus = segment.corpus
    arrays = {name: segment.written if name == "written" else getattr(corpus, name) for name in ARRAYS}
    texts, numbers = _packed_ids(corpus.ids)
    head = {
        "names": {name: list(getattr(corpus, name)) for name in NAMES},
        "ids": texts,
        "arrays": list(arrays),
        "columns": {name: array.shape[1] for name, array in arrays.items() if array.ndim > 1},
        "dimension": corpus.vectors.shape[1],
    }
    content = b"".join(_packed(name, array) for name, array in arrays.items())
    written = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    parts = zlib.compress(written, 6), zlib.compress(content, 6), numbers, corpus.vectors.tobytes()
    return MAGIC + joined_parts(parts)


def unpack(data: bytes | memoryview) -> Segment:
    """The inverse of `pack`. Raises `UnreadableSegment`."""
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise UnreadableSegment("The segment has an unknown form.")
    try:
        packed, content, ids, vectors = parts_of(memoryview(data)[len(MAGIC) :], 4)
        head = json.loads(zlib.decompress(packed).decode(errors="surrogatepass"))
        if head["arrays"] != list(ARRAYS) or set(head["names"]) != set(NAMES):
            raise UnreadableSegment("The segment is of another version.")
        arrays: dict[str, Any] = _unpacked(zlib.decompress(content), head["columns"])
        written = arrays.pop("written")
        rows = np.frombuffer(vectors, np.int8).reshape(-1, head["dimension"]) if len(vectors) else _NO_VECTORS
        names: dict[str, Any] = {name: tuple(head["names"][name]) for name in NUMBERED}
        terms = Vocabulary.of(head["names"]["terms"])
        corpus = Corpus(ids=_unpacked_ids(head["ids"], ids), terms=terms, vectors=rows, **names, **arrays)
    except UnreadableSegment:
        raise
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, zlib.error) as error:
        raise UnreadableSegment("The segment is damaged.") from error
    return Segment(corpus, written)


def packed_in_parts(segment: Segment, most: int = MOST_BYTES) -> list[tuple[Segment, bytes]]:
    """The segment in few parts that weigh at most `most` bytes, each with its stored form."""
    data = pack(segment)
    weight = weight_of(segment, data)
    if weight <= most or len(segment) == 1:
        return [(segment, data)]
    edges = np.linspace(0, len(segment), math.ceil(weight / most) + 1).astype(int)
    parts = [segment.take(np.arange(start, end)) for start, end in pairwise(edges) if end > start]
    return [packed for part in parts for packed in packed_in_parts(part, most)]


def weight_of(segment: Segment, data: bytes) -> int:
    """The bytes of the stored form, or more if it is dense: what a search that reads the segment pays."""
    terms = int((np.diff(segment.corpus.posting_starts) > 0).sum())
    return max(len(data), TERM_BYTES * terms, POSTING_BYTES * len(segment.corpus.posting_pieces))


def _without_unused_names(corpus: Corpus) -> Corpus:
    """`Corpus.take` keeps the terms and names of entries that it left out, which must not be stored."""
    lengths = np.diff(corpus.posting_starts)
    used = lengths > 0
    values: dict[str, Any] = {
        "terms": corpus.terms.only(used),
        "posting_starts": np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[used])]),
    }
    for name, number in NUMBERED.items():
        kept, moved = np.unique(getattr(corpus, number), return_inverse=True)
        values[name] = tuple(getattr(corpus, name)[place] for place in kept.tolist())
        values[number] = moved.reshape(-1).astype(np.int32)
    return replace(corpus, **values)


def _packed(name: str, array: NDArray[Any]) -> bytes:
    flat = (np.diff(array) if name.endswith(_STARTS) else array).reshape(-1)
    kind = _smallest(flat)
    return bytes([_TYPES.index(kind)]) + len(flat).to_bytes(4, "little") + flat.astype(kind).tobytes()


def _smallest(array: NDArray[Any]) -> str:
    if array.dtype == np.uint64:
        return "<u8"
    if array.dtype.kind == "f":
        return "<f4"
    low, high = (int(array.min()), int(array.max())) if len(array) else (0, 0)
    return next(kind for kind in _INTEGERS if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)


def _unpacked(content: bytes, columns: dict[str, int]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    place = 0
    for name, wanted in ARRAYS.items():
        kind = np.dtype(_TYPES[content[place]])
        length = int.from_bytes(content[place + 1 : place + 5], "little")
        array = np.frombuffer(content, kind, length, place + 5).astype(wanted)
        place += 5 + length * kind.itemsize
        if name.endswith(_STARTS):
            array = np.concatenate([np.zeros(1, wanted), np.cumsum(array, dtype=wanted)])
        found[name] = array.reshape(-1, columns[name]) if name in columns else array
    return found


def joined_parts(parts: Iterable[bytes]) -> bytes:
    """The parts after each other, each after its length."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def parts_of(data: memoryview, number: int) -> list[memoryview]:
    """The inverse of `joined_parts`. Raises `ValueError`."""
    found = []
    for _ in range(number):
        length = int.from_bytes(data[:4], "little")
        if len(data) < 4 + length:
            raise ValueError("The segment is cut off.")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def _packed_ids(ids: Sequence[str]) -> tuple[list[str | None], bytes]:
    """The ids, with None for those of 32 hexadecimal digits, whose bytes are the second value."""
    numbers = [_as_bytes(identity) for identity in ids]
    texts = [None if number else identity for identity, number in zip(ids, numbers, strict=True)]
    return texts, b"".join(filter(None, numbers))


def _as_bytes(identity: str) -> bytes | None:
    if len(identity) != _HEX:
        return None
    try:
        number = bytes.fromhex(identity)
    except ValueError:
        return None
    return number if number.hex() == identity else None


def _unpacked_ids(texts: Sequence[str | None], numbers: memoryview) -> tuple[str, ...]:
    whole = bytes(numbers).hex()
    digits = iter([whole[start : start + _HEX] for start in range(0, len(whole), _HEX)])
    return tuple([next(digits) if text is None else text for text in texts])
