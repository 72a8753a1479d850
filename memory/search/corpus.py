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

from .vocabulary import Vocabulary

Integers: TypeAlias = NDArray[Any]
Places: TypeAlias = NDArray[np.intp]

# Bits of `Entry.flags`.
ASKS = 1  # ends with a question
HAS_TIME = 2
HAS_NUMBER = 4
HAS_NAME = 8
HIDDEN = 16  # metadata `hidden`: not found unless asked for
FIRST_PERSON = 32
# 64 was written by earlier versions.
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
    terms: Vocabulary
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
        corpora = [corpus for corpus in corpora if len(corpus)]
        if len(corpora) == 1:
            return corpora[0]
        if not corpora:
            return cls.of([])
        named = {name: _merged([getattr(corpus, name) for corpus in corpora]) for name in NUMBERED}
        terms, moved_terms = Vocabulary.merged([corpus.terms for corpus in corpora])
        dimensions = {corpus.vectors.shape[1] for corpus in corpora if len(corpus.vectors)}
        if len(dimensions) > 1:
            raise ValueError(f"Vectors of several dimensions: {sorted(dimensions)}.")
        rows = [corpus.vectors for corpus in corpora if len(corpus.vectors)]
        values: dict[str, Any] = {name: names for name, (names, _) in named.items()}
        for name, number in NUMBERED.items():
            moved = zip(corpora, named[name][1], strict=True)
            values[number] = np.concatenate([to[getattr(corpus, number)] for corpus, to in moved])
        for name in JOINED:
            values[name] = np.concatenate([getattr(corpus, name) for corpus in corpora])
        for name in ("piece_starts", "vector_starts"):
            values[name] = _joined_starts([getattr(corpus, name) for corpus in corpora])
        return cls(
            ids=tuple(identity for corpus in corpora for identity in corpus.ids),
            vectors=np.concatenate(rows) if rows else np.zeros((0, 0), np.int8),
            terms=terms,
            **(values | _joined_postings(corpora, len(terms), moved_terms)),
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
        values: dict[str, Any] = {name: getattr(self, name) for name in (*NUMBERED, "terms")}
        values |= {name: getattr(self, name)[kept] for name in (*NUMBERED.values(), *_OF_ENTRIES)}
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
        names = sum(_BYTES_OF_A_NAME + len(name) for name in (*self.ids, *self.sessions))
        return self.array_bytes + self.terms.nbytes + names

    @property
    def array_bytes(self) -> int:
        """The bytes of the arrays, but not of vectors that are another corpus's."""
        values = (getattr(self, field.name) for field in fields(self))
        return sum(value.nbytes for value in values if isinstance(value, np.ndarray))

    @cached_property
    def posting_terms(self) -> NDArray[np.int32]:
        """The term of each posting."""
        return np.repeat(np.arange(len(self.terms), dtype=np.int32), np.diff(self.posting_starts))

    @cached_property
    def places_by_name(self) -> Mapping[str, Mapping[str, int]]:
        """For each of the tuples of names but `terms`, the place of each name."""
        return {names: {name: place for place, name in enumerate(getattr(self, names))} for names in NUMBERED}

    def terms_of(self, places: Places) -> tuple[Integers, Integers]:
        """The terms of these entries one after the other, and where those of each begin (one more than places)."""
        starts, terms = self.terms_by_entry
        return terms[_within(starts, places)], _starts(np.diff(starts)[places])

    @cached_property
    def terms_by_entry(self) -> tuple[Integers, Integers]:
        """Where the terms of each entry begin, and these terms."""
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
        return self._neighbours[0]

    @cached_property
    def after(self) -> NDArray[np.int32]:
        """For each entry the one after it in its session; -1 for the last."""
        return self._neighbours[1]

    @cached_property
    def _neighbours(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        none = np.zeros(0, np.int32)
        return self.neighbours_after(none, none)

    def neighbours_after(
        self, before: NDArray[np.int32], after: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """`before` and `after` of all entries, of which the first ones' are given as they were without the others."""
        known, rest = len(before), np.full(len(self) - len(before), -1, np.int32)
        before, after = np.concatenate([before, rest]), np.concatenate([after, rest])
        changed = np.zeros(len(self.sessions), bool)
        changed[self.session[known:]] = True
        order = self._by_session(np.flatnonzero(changed[self.session]))
        same = self.session[order[1:]] == self.session[order[:-1]]
        first, second = order[:-1][same], order[1:][same]
        before[second], after[first] = first, second
        is_first, is_last = np.concatenate([[True], ~same])[: len(order)], np.concatenate([~same, [True]])[: len(order)]
        before[order[is_first]], after[order[is_last]] = -1, -1
        return before, after

    def _by_session(self, places: Places) -> Places:
        """These places by session, then by time and id."""
        time, session = self.time[places], self.session[places]
        order: Places = np.lexsort((time, session))
        same = (np.diff(session[order]) == 0) & (np.diff(time[order]) == 0)
        if not same.any():
            return places[order]
        # Ids are compared only where times are equal: strings are slow to sort.
        tied = order[np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))]
        ties = np.zeros(len(places), np.int64)
        ids = np.array([self.ids[place] for place in places[tied].tolist()])
        ties[tied[np.argsort(ids, kind="stable")]] = range(len(tied))
        return places[np.lexsort((ties, time, session))]

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The first row of `vectors` of each entry; -1 without vectors."""
        return np.where(np.diff(self.vector_starts) > 0, self.vector_starts[:-1], -1)

    @cached_property
    def has_one_vector_each(self) -> bool:
        """Whether each entry has one vector."""
        return len(self.vectors) == len(self) and bool((self.rows >= 0).all())

    @cached_property
    def may_expire(self) -> bool:
        """Whether an entry has an expiration."""
        return bool(self.expiration.any())

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The number of terms of each entry."""
        return np.bincount(self.piece_entries, self.piece_lengths, len(self)).astype(np.int64)

    @cached_property
    def mean_length(self) -> float:
        """The mean number of terms of an entry; 0 without entries."""
        return float(self.lengths.mean()) if len(self) else 0.0

    @cached_property
    def mean_piece_length(self) -> float:
        """The mean number of terms of a piece; 0 without pieces."""
        return float(self.piece_lengths.mean()) if len(self.piece_lengths) else 0.0

    @cached_property
    def session_lengths(self) -> NDArray[np.float64]:
        """The number of terms of each session."""
        return np.bincount(self.session, self.lengths, len(self.sessions)).astype(np.float64, copy=False)

    @cached_property
    def vector_sum(self) -> tuple[NDArray[np.float32], int]:
        """The sum of the entries' own vectors, of shape (dimension,), and how many they are."""
        rows = self.rows[self.rows >= 0]
        total = np.zeros(self.vectors.shape[1], np.float32)
        weights = np.zeros(len(self.scales), np.float32)
        weights[rows] = self.scales[rows]
        for start in range(0, len(weights), _ROWS):
            window = slice(start, start + _ROWS)
            total += weights[window] @ self.vectors[window].astype(np.float32)
        return total, len(rows)

    @property
    def mean_vector(self) -> NDArray[np.float32]:
        """The mean of the entries' own vectors, of shape (dimension,)."""
        total, count = self.vector_sum
        return total / np.float32(max(1, count))

    @cached_property
    def signs(self) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        """A mean vector, and the signs of the vectors minus it, as bits: shape (dimension / 64, rows)."""
        return self.mean_vector, self.signs_beside(self.mean_vector)

    def signs_beside(self, mean: NDArray[np.float32]) -> NDArray[np.uint64]:
        """The signs of the vectors minus a vector."""
        parts = [
            np.packbits(self.vectors[start : start + _ROWS] * self.scales[start : start + _ROWS, None] > mean, axis=1)
            for start in range(0, len(self.vectors), _ROWS)
        ]
        bits = np.concatenate([*parts, np.zeros((0, -(-len(mean) // 8)), np.uint8)])
        padded = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), np.uint8)
        padded[:, : bits.shape[1]] = bits
        return np.ascontiguousarray(padded.view(np.uint64).T)

    @cached_property
    def order_in_time(self) -> Places:
        """The number of entries before each entry, by time."""
        found = np.empty(len(self), np.intp)
        found[np.lexsort((self.session, self.time))] = np.arange(len(self))
        return found

    @cached_property
    def lateness(self) -> NDArray[np.float32]:
        """The share of the entries before each entry, by time."""
        return self.order_in_time.astype(np.float32) / np.float32(max(1, len(self)))

    @cached_property
    def used_roles(self) -> frozenset[str]:
        """The roles that an entry has."""
        return frozenset(self.roles[place] for place in np.unique(self.role).tolist())


class Stacked:
    """Two arrays after each other as one that is not copied; read-only."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second
        self.shape = (len(first) + len(second), *first.shape[1:])
        self.nbytes = first.nbytes + second.nbytes

    @classmethod
    def of(cls, first: Any, second: Any) -> Any:
        """Both; of several, the first one stays and the others are copied."""
        if not len(second):
            return first
        return (
            cls(first.first, np.concatenate([first.second, second])) if isinstance(first, cls) else cls(first, second)
        )

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, places: slice | Places) -> Any:
        size = len(self.first)
        if isinstance(places, slice):
            start, end, _ = places.indices(len(self))
            return np.concatenate([self.first[start:end], self.second[max(0, start - size) : max(0, end - size)]])
        late = np.flatnonzero(places >= size)
        if not len(late):
            return self.first[places]
        found = self.first[np.minimum(places, size - 1)]
        found[late] = self.second[places[late] - size]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.concatenate([self.first, self.second]).astype(dtype or self.first.dtype, copy=False)


def quantised(vectors: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Signed bytes and a scale for each row: a row of bytes times its scale is the row, within half a step."""
    steps = np.abs(vectors).max(axis=1, initial=0.0) / 127
    scaled = np.divide(vectors, steps[:, None], out=np.zeros_like(vectors), where=steps[:, None] > 0)
    return scaled.round().astype(np.int8), steps.astype(np.float32)


NUMBERED = {"sessions": "session", "speakers": "speaker", "roles": "role", "languages": "language"}
_OF_ENTRIES = ("time", "expiration", "digest", "flags", "counts")
JOINED = (*_OF_ENTRIES, "piece_lengths", "scales")
_ROWS = 4_096  # of vectors that are widened at once
_BYTES_OF_A_NAME = 57  # of a str and of its place in a tuple


def _numbered(names: Iterable[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    known: dict[str, int] = {}
    numbers = [known.setdefault(name, len(known)) for name in names]
    return tuple(known), np.array(numbers, np.int32)


def _starts(lengths: Any) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, np.int64))])


def _postings(pieces: Sequence[Mapping[str, int]]) -> tuple[Vocabulary, Integers, Integers, Integers]:
    terms, numbers = _numbered(term for piece in pieces for term in piece)
    piece = np.repeat(
        np.arange(len(pieces), dtype=np.int32), [len(term_counts) for term_counts in pieces] if pieces else 0
    )
    counts = np.array([count for term_counts in pieces for count in term_counts.values()], np.int32)
    order = np.argsort(numbers, kind="stable")
    starts = _starts(np.bincount(numbers, minlength=len(terms)))
    return Vocabulary.of(terms), starts, piece[order], counts[order]


def _merged(names: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[NDArray[np.int32]]]:
    """All names once, and for each tuple the new place of each of its names."""
    known: dict[str, int] = {}
    places = [
        np.array([known.setdefault(name, len(known)) for name in names_of_corpus], np.int32)
        for names_of_corpus in names
    ]
    return tuple(known), places


def _joined_starts(starts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return _starts(np.concatenate([np.diff(starts_of_corpus) for starts_of_corpus in starts]))


def _joined_postings(corpora: Sequence[Corpus], terms: int, places: Sequence[NDArray[np.int32]]) -> dict[str, Integers]:
    offsets = np.cumsum([0, *(len(corpus.piece_lengths) for corpus in corpora[:-1])])
    term = np.concatenate([to[corpus.posting_terms] for corpus, to in zip(corpora, places, strict=True)])
    piece = np.concatenate([corpus.posting_pieces + offset for corpus, offset in zip(corpora, offsets, strict=True)])
    order = np.argsort(term, kind="stable")
    return {
        "posting_starts": _starts(np.bincount(term, minlength=terms)),
        "posting_pieces": piece[order].astype(np.int32),
        "posting_counts": np.concatenate([corpus.posting_counts for corpus in corpora])[order],
    }


def _within(starts: NDArray[np.int64], places: Places) -> Places:
    """The places start, start + 1, ... of each of these ranges, in order."""
    lengths = np.diff(starts)[places]
    return np.repeat(starts[places] - _starts(lengths)[:-1], lengths) + np.arange(lengths.sum())
