"""The distinct terms of a corpus, without an object for each: a term takes its bytes and 16 more. Pure.

The terms are in one string of bytes, each between line ends. They are found by their hashes, which are sorted. Python's
hashes have 64 random bits: of a million terms two have the same one with a probability of 3e-8. `merged` would take
these two for one term; look-ups compare the term itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

END: Final = b"\n"
BYTES_OF_A_TERM: Final = 16
"""Besides its text: where it begins, its hash, and its place by hash."""

_Starts: TypeAlias = NDArray[np.int32]
_Index: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32]]


class Vocabulary(Sequence[str]):
    """Distinct terms without line ends, in an order. Immutable.

    `text` has each term between line ends, `starts` where each begins.
    """

    def __init__(self, text: bytes, starts: _Starts, index: _Index) -> None:
        self.text, self.starts = text, starts
        self._hashes, self._places = index

    @classmethod
    def of(cls, terms: Iterable[str]) -> Vocabulary:
        """The vocabulary of distinct terms. Raises `ValueError` for a line end in a term."""
        terms = tuple(terms)
        hashes = np.fromiter(map(hash, terms), np.int64, len(terms))
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        text = "\n".join(("", *terms, "")) if terms else "\n"
        encoded = text.encode(errors="surrogatepass")
        ends = np.flatnonzero(np.frombuffer(encoded, np.uint8) == END[0])
        if len(ends) != len(terms) + 1:
            raise ValueError("A term has a line end.")
        return cls(encoded, (ends[:-1] + 1).astype(np.int32), (hashes[order], order))

    @classmethod
    def merged(cls, vocabularies: Sequence[Vocabulary]) -> tuple[Vocabulary, list[NDArray[np.int32]]]:
        """The terms of all, each once, in the order of first occurrence; and the new places of those of each."""
        hashes = np.concatenate([vocabulary._by_place for vocabulary in vocabularies])
        known, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        places = np.empty(len(order), np.int32)
        places[order] = np.arange(len(order), dtype=np.int32)
        is_first = np.zeros(len(hashes), bool)
        is_first[first] = True
        text, starts = _chosen(vocabularies, is_first)
        edges = np.cumsum([0, *map(len, vocabularies)])
        moved = places[inverse.reshape(-1)]
        return cls(text, starts, (known, places)), np.split(moved, edges[1:-1])

    def with_more(self, more: Vocabulary) -> tuple[Vocabulary, NDArray[np.int32]]:
        """These terms and those of `more` that are new, at the end; and the places of the terms of `more`."""
        places = np.array([-1 if (place := self.place_of(term)) is None else place for term in more], np.int32)
        is_new = places < 0
        if not is_new.any():
            return self, places
        text, starts = _chosen([more], is_new)
        places[is_new] = np.arange(len(self), len(self) + len(starts), dtype=np.int32)
        hashes = more._by_place[is_new]
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        at = np.searchsorted(self._hashes, hashes[order])
        index = np.insert(self._hashes, at, hashes[order]), np.insert(self._places, at, order + np.int32(len(self)))
        starts = np.concatenate([self.starts, starts + np.int32(len(self.text) - 1)])
        return Vocabulary(self.text[:-1] + text, starts, index), places

    def only(self, mask: NDArray[np.bool_]) -> Vocabulary:
        """The terms at some places."""
        text, starts = _chosen([self], mask)
        hashes = self._by_place[mask]
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        return Vocabulary(text, starts, (hashes[order], order))

    def place_of(self, term: str) -> int | None:
        """The place of a term; None for an unknown one."""
        number = hash(term)
        at = int(np.searchsorted(self._hashes, number))
        while at < len(self) and self._hashes[at] == number:
            place = int(self._places[at])
            if self[place] == term:
                return place
            at += 1
        return None

    def at(self, position: int) -> int:
        """The place of the term that has this position of `text`."""
        return int(np.searchsorted(self.starts, position, "right")) - 1

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return tuple(self[term_place] for term_place in range(*place.indices(len(self))))
        start = int(self.starts[place])
        return self.text[start : self.text.index(END, start)].decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return iter(self.text.decode(errors="surrogatepass").split("\n")[1:-1])

    def __contains__(self, term: object) -> bool:
        return isinstance(term, str) and self.place_of(term) is not None

    @property
    def nbytes(self) -> int:
        """The bytes in memory."""
        return len(self.text) + BYTES_OF_A_TERM * len(self)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The bytes of each term, with one line end."""
        return np.diff(self.starts, append=np.int32(len(self.text)))

    @property
    def _by_place(self) -> NDArray[np.int64]:
        """The hash of each term."""
        found = np.empty(len(self), np.int64)
        found[self._places] = self._hashes
        return found


def _chosen(vocabularies: Sequence[Vocabulary], mask: NDArray[np.bool_]) -> tuple[bytes, _Starts]:
    """The text and the starts of some of the terms of all."""
    lengths = np.concatenate([vocabulary.lengths for vocabulary in vocabularies])
    letters = np.concatenate([np.frombuffer(vocabulary.text, np.uint8)[1:] for vocabulary in vocabularies])
    text = END + letters[np.repeat(mask, lengths)].tobytes()
    return text, (np.cumsum(lengths[mask]) - lengths[mask] + 1).astype(np.int32)
