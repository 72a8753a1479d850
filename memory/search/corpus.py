"""What the index knows about items: an `Entry` for each, and a `Corpus` of arrays over all entries of a user.

No I/O and no texts: everything that ranking needs of a text is in its entry (`entries.entry_of` makes one). A corpus is
immutable. Its arrays may be read-only views of a buffer.

    entries --Corpus.of--> Corpus --concat, take--> Corpus --relevance.rank--> places

Postings are in compressed sparse form. The pieces of the entry at place `p` are `piece_starts[p]:piece_starts[p + 1]`;
the postings of term `t` are `posting_starts[t]:posting_starts[t + 1]` of `posting_pieces` and `posting_counts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memory.embedding import Vectors

Integers: TypeAlias = NDArray[Any]
Places: TypeAlias = NDArray[np.intp]

# Bits of `Entry.flags`.
ASKS = 1  # ends with a question
HAS_TIME = 2
HAS_NUMBER = 4
HAS_NAME = 8
HIDDEN = 16  # metadata `hidden`: not found unless asked for
FIRST_PERSON = 32
SECOND_PERSON = 64
MARKUP = 128  # headings, lists, tables, code
HAS_DIGIT = 256

COUNTS = ("words", "distinct", "you")
"""What `Entry.counts` counts: words, distinct terms, and how often the text addresses the reader (at most 3)."""


@dataclass(frozen=True)
class Entry:
    """What the index keeps of one item.

    `time` and `expiration` are microseconds since 1970 (`expiration` 0: never). `digest` has eight bytes of the text's
    hash. `pieces` are the term counts of each piece of some 60 words; empty if the text has no terms. `vectors` has the
    vector of the whole text without context, then those of the pieces if there are several; or no rows.
    """

    id: str
    time: int
    expiration: int
    session: str
    speaker: str
    role: str
    digest: bytes
    language: str
    flags: int
    counts: tuple[int, ...]
    pieces: tuple[Mapping[str, int], ...]
    vectors: Vectors


@dataclass(frozen=True, eq=False)
class Corpus:
    """All entries of a user's memory, as arrays in the order of the entries.

    `session`, `speaker`, `role` and `language` are places in the tuples of the same name in plural. `digest` is the
    digest as an integer. `piece_lengths` are the numbers of terms of each piece. `vectors` are signed bytes of shape
    (rows, dimension), each row times its `scales` entry has length 1.
    """

    ids: tuple[str, ...]
    sessions: tuple[str, ...]
    speakers: tuple[str, ...]
    roles: tuple[str, ...]
    languages: tuple[str, ...]
    terms: tuple[str, ...]
    time: NDArray[np.int64]
    expiration: NDArray[np.int64]
    session: NDArray[np.int32]
    speaker: NDArray[np.int32]
    role: NDArray[np.int32]
    language: NDArray[np.int32]
    digest: NDArray[np.uint64]
    flags: NDArray[np.int32]
    counts: NDArray[np.int32]
    piece_starts: NDArray[np.int64]
    piece_lengths: NDArray[np.int32]
    posting_starts: NDArray[np.int64]
    posting_pieces: NDArray[np.int32]
    posting_counts: NDArray[np.int32]
    vector_starts: NDArray[np.int64]
    vectors: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Corpus:
        """The corpus of entries, in their order. Their vectors must have one dimension."""
        pieces = [piece for entry in entries for piece in entry.pieces]
        terms, starts, posted, counts = _postings(pieces)
        sessions, session = _numbered(entry.session for entry in entries)
        speakers, speaker = _numbered(entry.speaker for entry in entries)
        roles, role = _numbered(entry.role for entry in entries)
        languages, language = _numbered(entry.language for entry in entries)
        rows = [entry.vectors for entry in entries if len(entry.vectors)]
        vectors, scales = quantised(np.concatenate(rows) if rows else np.zeros((0, 0), np.float32))
        return cls(
            tuple(entry.id for entry in entries),
            sessions,
            speakers,
            roles,
            languages,
            terms,
            np.array([entry.time for entry in entries], np.int64),
            np.array([entry.expiration for entry in entries], np.int64),
            session,
            speaker,
            role,
            language,
            np.array([int.from_bytes(entry.digest[:8], "big") for entry in entries], np.uint64),
            np.array([entry.flags for entry in entries], np.int32),
            np.array([entry.counts for entry in entries], np.int32).reshape(len(entries), len(COUNTS)),
            _starts([len(entry.pieces) for entry in entries]),
            np.array([sum(piece.values()) for piece in pieces], np.int32),
            starts,
            posted,
            counts,
            _starts([len(entry.vectors) for entry in entries]),
            vectors,
            scales,
        )

    @classmethod
    def concat(cls, corpora: Sequence[Corpus]) -> Corpus:
        """The corpora after each other. Raises `ValueError` for vectors of several dimensions."""
        corpora = [one for one in corpora if len(one)]
        if len(corpora) == 1:
            return corpora[0]
        if not corpora:
            return cls.of([])
        named = {name: _merged([getattr(one, name) for one in corpora]) for name in _NAMES}
        dimensions = {one.vectors.shape[1] for one in corpora if len(one.vectors)}
        if len(dimensions) > 1:
            raise ValueError(f"Vectors of several dimensions: {sorted(dimensions)}.")
        rows = [one.vectors for one in corpora if len(one.vectors)]
        values: dict[str, Any] = {name: names for name, (names, _) in named.items()}
        for name, number in _NUMBERED.items():
            moved = zip(corpora, named[name][1], strict=True)
            values[number] = np.concatenate([to[getattr(one, number)] for one, to in moved])
        for name in _JOINED:
            values[name] = np.concatenate([getattr(one, name) for one in corpora])
        for name in ("piece_starts", "vector_starts"):
            values[name] = _joined_starts([getattr(one, name) for one in corpora])
        return cls(
            ids=tuple(identity for one in corpora for identity in one.ids),
            vectors=np.concatenate(rows) if rows else np.zeros((0, 0), np.int8),
            **(values | _joined_postings(corpora, named["terms"])),
        )

    def take(self, places: Places | NDArray[np.bool_]) -> Corpus:
        """The corpus of these entries, by a mask or by places in the wanted order. Names of no entry are kept."""
        kept: Places = np.flatnonzero(places) if places.dtype == bool else places.astype(np.intp)
        pieces, rows = _within(self.piece_starts, kept), _within(self.vector_starts, kept)
        moved = np.full(len(self.piece_lengths), -1, np.int32)
        moved[pieces] = np.arange(len(pieces), dtype=np.int32)
        posted = moved[self.posting_pieces]
        stay = posted >= 0
        term = self.posting_terms[stay]
        values: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        values |= {name: getattr(self, name)[kept] for name in (*_NUMBERED.values(), *_OF_ENTRIES)}
        return Corpus(
            ids=tuple(self.ids[place] for place in kept.tolist()),
            piece_starts=_starts(np.diff(self.piece_starts)[kept]),
            piece_lengths=self.piece_lengths[pieces],
            posting_starts=_starts(np.bincount(term, minlength=len(self.terms))),
            posting_pieces=posted[stay],
            posting_counts=self.posting_counts[stay],
            vector_starts=_starts(np.diff(self.vector_starts)[kept]),
            vectors=self.vectors[rows],
            scales=self.scales[rows],
            **values,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def nbytes(self) -> int:
        """The bytes of the arrays, and about those of the names."""
        values = (getattr(self, field.name) for field in fields(self))
        arrays = sum(value.nbytes for value in values if isinstance(value, np.ndarray))
        return arrays + sum(_BYTES_OF_A_NAME + len(name) for name in (*self.ids, *self.sessions, *self.terms))

    @cached_property
    def posting_terms(self) -> NDArray[np.int32]:
        """The term of each posting."""
        return np.repeat(np.arange(len(self.terms), dtype=np.int32), np.diff(self.posting_starts))

    @cached_property
    def term_places(self) -> Mapping[str, int]:
        """The place of each term in `terms`."""
        return {term: place for place, term in enumerate(self.terms)}

    def terms_of(self, places: Places) -> tuple[Integers, Integers]:
        """The terms of these entries one after the other, and where those of each begin (one more than places)."""
        starts, terms = self._terms_by_entry
        return terms[_within(starts, places)], _starts(np.diff(starts)[places])

    @cached_property
    def _terms_by_entry(self) -> tuple[Integers, Integers]:
        entries = self.piece_entries[self.posting_pieces]
        order = np.argsort(entries, kind="stable")
        return _starts(np.bincount(entries, minlength=len(self))), self.posting_terms[order]

    @cached_property
    def word_cache(self) -> dict[str, Any]:
        """Vectors of terms by model: what `features` has computed."""
        return {}

    @cached_property
    def piece_entries(self) -> NDArray[np.int32]:
        """The entry of each piece."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.piece_starts))

    @cached_property
    def before(self) -> NDArray[np.int32]:
        """For each entry the one before it in its session, by time and then by id; -1 for the first."""
        found = np.full(len(self), -1, np.int32)
        order = self._by_session
        same = self.session[order[1:]] == self.session[order[:-1]]
        found[order[1:][same]] = order[:-1][same]
        return found

    @cached_property
    def after(self) -> NDArray[np.int32]:
        """For each entry the one after it in its session; -1 for the last."""
        found = np.full(len(self), -1, np.int32)
        has = np.flatnonzero(self.before >= 0)
        found[self.before[has]] = has
        return found

    @cached_property
    def _by_session(self) -> Places:
        order: Places = np.lexsort((self.time, self.session))
        same = (np.diff(self.session[order]) == 0) & (np.diff(self.time[order]) == 0)
        if not same.any():
            return order
        # Ids are compared only where times are equal: strings are slow to sort.
        tied = order[np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))]
        ties = np.zeros(len(self), np.int64)
        ties[tied[np.argsort(np.array([self.ids[place] for place in tied.tolist()]), kind="stable")]] = range(len(tied))
        ordered: Places = np.lexsort((ties, self.time, self.session))
        return ordered

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The first row of `vectors` of each entry; -1 without vectors."""
        return np.where(np.diff(self.vector_starts) > 0, self.vector_starts[:-1], -1)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The number of terms of each entry."""
        return np.bincount(self.piece_entries, self.piece_lengths, len(self)).astype(np.int64)

    @cached_property
    def mean_vector(self) -> NDArray[np.float32]:
        """The mean of the entries' own vectors, of shape (dimension,)."""
        rows = self.rows[self.rows >= 0]
        if not len(rows):
            return np.zeros(self.vectors.shape[1], np.float32)
        weights = np.zeros(len(self.scales), np.float32)
        weights[rows] = self.scales[rows]
        total = np.zeros(self.vectors.shape[1], np.float32)
        for start in range(0, len(weights), _ROWS):
            some = slice(start, start + _ROWS)
            total += weights[some] @ self.vectors[some].astype(np.float32)
        return total / np.float32(len(rows))

    @cached_property
    def signs(self) -> NDArray[np.uint64]:
        """The signs of the vectors minus the mean vector, as bits: shape (dimension / 64, rows)."""
        mean = self.mean_vector
        parts = [
            np.packbits(self.vectors[start : start + _ROWS] * self.scales[start : start + _ROWS, None] > mean, axis=1)
            for start in range(0, len(self.vectors), _ROWS)
        ]
        bits = np.concatenate([*parts, np.zeros((0, -(-len(mean) // 8)), np.uint8)])
        padded = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), np.uint8)
        padded[:, : bits.shape[1]] = bits
        return np.ascontiguousarray(padded.view(np.uint64).T)

    @cached_property
    def lateness(self) -> NDArray[np.float32]:
        """The share of the entries before each entry, by time."""
        found = np.empty(len(self), np.float32)
        found[np.lexsort((self.session, self.time))] = np.arange(len(self), dtype=np.float32) / max(1, len(self))
        return found

    @cached_property
    def used_roles(self) -> frozenset[str]:
        """The roles that an entry has."""
        return frozenset(self.roles[place] for place in np.unique(self.role).tolist())


def quantised(vectors: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Signed bytes and a scale for each row: a row of bytes times its scale is the row, within half a step."""
    steps = np.abs(vectors).max(axis=1, initial=0.0) / 127
    scaled = np.divide(vectors, steps[:, None], out=np.zeros_like(vectors), where=steps[:, None] > 0)
    return scaled.round().astype(np.int8), steps.astype(np.float32)


_NUMBERED = {"sessions": "session", "speakers": "speaker", "roles": "role", "languages": "language"}
_NAMES = (*_NUMBERED, "terms")
_OF_ENTRIES = ("time", "expiration", "digest", "flags", "counts")
_JOINED = (*_OF_ENTRIES, "piece_lengths", "scales")
_ROWS = 4_096  # of vectors that are widened at once
_BYTES_OF_A_NAME = 57  # of a str and of its place in a tuple


def _numbered(names: Iterable[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    known: dict[str, int] = {}
    numbers = [known.setdefault(name, len(known)) for name in names]
    return tuple(known), np.array(numbers, np.int32)


def _starts(lengths: Any) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, np.int64))])


def _postings(pieces: Sequence[Mapping[str, int]]) -> tuple[tuple[str, ...], Integers, Integers, Integers]:
    terms, numbers = _numbered(term for piece in pieces for term in piece)
    piece = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(one) for one in pieces] if pieces else 0)
    counts = np.array([count for one in pieces for count in one.values()], np.int32)
    order = np.argsort(numbers, kind="stable")
    return terms, _starts(np.bincount(numbers, minlength=len(terms))), piece[order], counts[order]


def _merged(names: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[NDArray[np.int32]]]:
    """All names once, and for each tuple the new place of each of its names."""
    known: dict[str, int] = {}
    places = [np.array([known.setdefault(name, len(known)) for name in some], np.int32) for some in names]
    return tuple(known), places


def _joined_starts(starts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return _starts(np.concatenate([np.diff(some) for some in starts]))


def _joined_postings(
    corpora: Sequence[Corpus], terms: tuple[tuple[str, ...], Sequence[NDArray[np.int32]]]
) -> dict[str, Integers]:
    offsets = np.cumsum([0, *(len(one.piece_lengths) for one in corpora[:-1])])
    term = np.concatenate([to[one.posting_terms] for one, to in zip(corpora, terms[1], strict=True)])
    piece = np.concatenate([one.posting_pieces + offset for one, offset in zip(corpora, offsets, strict=True)])
    order = np.argsort(term, kind="stable")
    return {
        "posting_starts": _starts(np.bincount(term, minlength=len(terms[0]))),
        "posting_pieces": piece[order].astype(np.int32),
        "posting_counts": np.concatenate([one.posting_counts for one in corpora])[order],
    }


def _within(starts: NDArray[np.int64], places: Places) -> Places:
    """The places start, start + 1, ... of each of these ranges, in order."""
    lengths = np.diff(starts)[places]
    return np.repeat(starts[places] - _starts(lengths)[:-1], lengths) + np.arange(lengths.sum())
