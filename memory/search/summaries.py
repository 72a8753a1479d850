"""What is known of segments that are not read: by it a search of a large memory chooses those that it reads. Pure.

A summary has the terms and sessions of a segment as bits (a Bloom filter, Bloom 1970), its first and last time, its
languages, and the centroids of its vectors. The stored form is that of `segments`, for many summaries at once:

    b"S1"  zlib(head)  zlib(bits)  centroids        each part after its length (4 bytes, little-endian)
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats
from .asking import LEAST_SHARE, MOST_LANGUAGES, Asked
from .corpus import Corpus, quantised
from .languages import ENGLISH
from .segments import MOST_BYTES, Segment, UnreadableSegment, joined_parts, parts_of
from .terms import MAX_QUERY_TERMS, index_terms, stop_terms

MAGIC: Final = b"S1"
BYTES: Final = 1 << 14
"""Of the bits of a segment: of 8,000 terms 1 % of the others seem to be there, of 30,000 terms 13 %."""
HASHES: Final = 2
CENTROIDS, ROUNDS, SAMPLE = 16, 4, 1_024
"""Of the vectors of a segment, by k-means (Lloyd 1982) of a sample."""
SUMMARIES_AT_ONCE: Final = MOST_BYTES // (BYTES + CENTROIDS * 512)
"""In a stored row, with vectors of at most 512 dimensions."""

_SESSION: Final = "\n"  # no term has a line end


@dataclass(frozen=True, eq=False)
class Summaries:
    """The summaries of some segments, by `ids`.

    `first` and `last` are the times of their items, `written` is when the last item was written: microseconds since
    1970. `languages` are those of at least a twentieth of the entries. `bits` are of shape (segments, BYTES);
    `centroids`, signed bytes of shape (segments, CENTROIDS, dimension), are of the vectors of `model`.
    """

    ids: tuple[str, ...]
    model: str
    first: tuple[int, ...]
    last: tuple[int, ...]
    written: tuple[int, ...]
    languages: tuple[tuple[str, ...], ...]
    bits: NDArray[np.uint8]
    centroids: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, segments: Mapping[str, Segment], model: str) -> Summaries:
        """The summaries of segments, by id. Their vectors must be of the model."""
        corpora = [segment.corpus for segment in segments.values()]
        centroids = [_centroids(corpus) for corpus in corpora]
        dimension = max((vectors.shape[1] for vectors in centroids), default=0)
        wide = [vectors if vectors.shape[1] else np.zeros((CENTROIDS, dimension), np.int8) for vectors in centroids]
        return cls(
            tuple(segments),
            model,
            tuple(int(corpus.time.min()) for corpus in corpora),
            tuple(int(corpus.time.max()) for corpus in corpora),
            tuple(int(segment.written.max(initial=0)) for segment in segments.values()),
            tuple(_languages(corpus) for corpus in corpora),
            np.array([_bits(_names(corpus)) for corpus in corpora], np.uint8).reshape(-1, BYTES),
            np.array(wide, np.int8).reshape(len(corpora), CENTROIDS, dimension),
        )

    @classmethod
    def concat(cls, parts: Sequence[Summaries]) -> Summaries:
        """The summaries of one model after each other."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls.of({}, "")
        dimension = max(part.centroids.shape[2] for part in parts)
        wide = [
            part.centroids if part.centroids.shape[2] else np.zeros((len(part), CENTROIDS, dimension), np.int8)
            for part in parts
        ]
        return cls(
            tuple(name for part in parts for name in part.ids),
            parts[0].model,
            tuple(time for part in parts for time in part.first),
            tuple(time for part in parts for time in part.last),
            tuple(time for part in parts for time in part.written),
            tuple(names for part in parts for names in part.languages),
            np.concatenate([part.bits for part in parts]),
            np.concatenate(wide),
        )

    def within(self, ids: Collection[str]) -> Summaries:
        """Those of some segments."""
        return self._at([place for place, identity in enumerate(self.ids) if identity in ids])

    def batches(self) -> Iterator[Summaries]:
        """The summaries in parts of which each fits in a row."""
        for start in range(0, len(self), SUMMARIES_AT_ONCE):
            yield self._at(range(start, min(len(self), start + SUMMARIES_AT_ONCE)))

    @property
    def nbytes(self) -> int:
        """The bytes of the arrays."""
        return self.bits.nbytes + self.centroids.nbytes

    def may_have_session(self, session: str) -> NDArray[np.bool_]:
        """The segments that may have an entry of this session."""
        return self._has(_SESSION + session)

    def scores(self, question: Asked, model: str) -> Floats:
        """How likely each segment has the answer to a question, of shape (segments,): only their order counts.

        The share of the weight of the question's terms that a segment seems to have, and the cosine of its nearest
        centroid, both between the least (0) and the most (1) of all segments.
        """
        found = _spread(self._by_terms(question))
        if question.vector is not None and model == self.model and self.centroids.shape[2] == len(question.vector):
            found = found + _spread(self._by_vector(question.vector))
        return found

    def _by_terms(self, question: Asked) -> Floats:
        stops = stop_terms(ENGLISH)
        every = dict.fromkeys(term for language in self._languages_of(question) for term in _terms(question, language))
        sought = [term for term in every if term not in stops] or list(every)
        found = np.zeros(len(self))
        for term in sought[: 2 * MAX_QUERY_TERMS]:
            has = self._has(term)
            often = has.sum()
            found += has * np.log(1 + (len(self) - often + 0.5) / (often + 0.5))
        return found

    def _languages_of(self, question: Asked) -> tuple[str, ...]:
        often: dict[str, int] = {}
        for names in self.languages:
            for name in names:
                often[name] = often.get(name, 0) + 1
        common = sorted(often, key=lambda name: -often[name])[:MOST_LANGUAGES]
        return tuple(dict.fromkeys((question.language, *common)))

    def _by_vector(self, vector: NDArray[np.float32]) -> Floats:
        nearest: Floats = (self._centred @ (vector - self._mean)).max(axis=1).astype(np.float64)
        return nearest

    @cached_property
    def _mean(self) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = _unit(self.centroids.astype(np.float32)).mean(axis=(0, 1))
        return mean

    @cached_property
    def _centred(self) -> NDArray[np.float32]:
        """The centroids minus their mean, of length 1."""
        wide = self.centroids.astype(np.float32)
        return _unit((_unit(wide) - self._mean) * (wide != 0).any(axis=-1, keepdims=True))

    def _has(self, name: str) -> NDArray[np.bool_]:
        found = np.ones(len(self), bool)
        for bit in _bits_of(name):
            found &= (self.bits[:, bit >> 3] & (1 << (bit & 7))) > 0
        return found

    def _at(self, places: Sequence[int]) -> Summaries:
        at = np.array(places, np.intp)
        return replace(
            self,
            ids=tuple(self.ids[place] for place in places),
            first=tuple(self.first[place] for place in places),
            last=tuple(self.last[place] for place in places),
            written=tuple(self.written[place] for place in places),
            languages=tuple(self.languages[place] for place in places),
            bits=self.bits[at],
            centroids=self.centroids[at],
        )


def pack(summaries: Summaries) -> bytes:
    """The stored form."""
    head = {
        "ids": summaries.ids,
        "model": summaries.model,
        "first": summaries.first,
        "last": summaries.last,
        "written": summaries.written,
        "languages": summaries.languages,
        "dimension": summaries.centroids.shape[2],
    }
    written = json.dumps(head, separators=(",", ":")).encode()
    parts = zlib.compress(written, 6), zlib.compress(summaries.bits.tobytes(), 6), summaries.centroids.tobytes()
    return MAGIC + joined_parts(parts)


def unpack(data: bytes | memoryview) -> Summaries:
    """The inverse of `pack`. Raises `UnreadableSegment`."""
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise UnreadableSegment("The summaries have an unknown form.")
    try:
        written, bits, centroids = parts_of(memoryview(data)[len(MAGIC) :], 3)
        head: dict[str, Any] = json.loads(zlib.decompress(written))
        return Summaries(
            tuple(head["ids"]),
            head["model"],
            tuple(head["first"]),
            tuple(head["last"]),
            tuple(head["written"]),
            tuple(tuple(names) for names in head["languages"]),
            np.frombuffer(zlib.decompress(bits), np.uint8).reshape(-1, BYTES),
            np.frombuffer(centroids, np.int8).reshape(len(head["ids"]), CENTROIDS, head["dimension"]),
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise UnreadableSegment("The summaries are damaged.") from error


def _names(corpus: Corpus) -> Iterator[str]:
    """The terms and sessions of a segment. `Corpus.take` keeps those of entries that it left out."""
    used = np.diff(corpus.posting_starts) > 0
    yield from (term for term, is_used in zip(corpus.terms, used.tolist(), strict=True) if is_used)
    yield from (_SESSION + corpus.sessions[place] for place in np.unique(corpus.session).tolist())


def _bits(names: Iterable[str]) -> NDArray[np.uint8]:
    found = np.zeros(BYTES * 8, np.uint8)
    found[[bit for name in names for bit in _bits_of(name)]] = 1
    return np.packbits(found, bitorder="little")


def _bits_of(name: str) -> list[int]:
    """The bits of a name: the same in every process."""
    digest = blake2b(name.encode(errors="surrogatepass"), digest_size=4 * HASHES).digest()
    return [int.from_bytes(digest[start : start + 4], "little") % (BYTES * 8) for start in range(0, 4 * HASHES, 4)]


def _terms(question: Asked, language: str) -> list[str]:
    return list(index_terms(question.text, language))


def _languages(corpus: Corpus) -> tuple[str, ...]:
    often = np.bincount(corpus.language, minlength=len(corpus.languages))
    return tuple(name for name, count in zip(corpus.languages, often.tolist(), strict=True) if count >= _least(corpus))


def _least(corpus: Corpus) -> float:
    return max(1.0, LEAST_SHARE * len(corpus))


def _centroids(corpus: Corpus) -> NDArray[np.int8]:
    """The centroids of the entries' own vectors; of shape (CENTROIDS, 0) without vectors."""
    rows = corpus.rows[corpus.rows >= 0]
    if not len(rows):
        return np.zeros((CENTROIDS, 0), np.int8)
    sampled = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)]
    vectors = corpus.vectors[sampled].astype(np.float32) * corpus.scales[sampled, None]
    found = vectors[np.linspace(0, len(vectors) - 1, CENTROIDS).astype(int)].copy()
    for _ in range(ROUNDS):
        nearest = (vectors @ found.T).argmax(axis=1)
        for place in range(CENTROIDS):
            if (nearest == place).any():
                found[place] = vectors[nearest == place].mean(axis=0)
        found = _unit(found)
    return quantised(found)[0]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return unit


def _spread(values: Floats) -> Floats:
    """The values between their least (0) and their most (1)."""
    least, most = values.min(initial=0.0), values.max(initial=0.0)
    return (values - least) / (most - least) if most > least else np.zeros(len(values))
