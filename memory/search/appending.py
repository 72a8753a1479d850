"""Appends entries to a corpus in the time that copying small arrays takes: a write changes little of a large memory.

    appended(corpus, more)  ->  the corpus that Corpus.concat([corpus, more]) makes

Vectors are not copied, postings are copied in a few spans, and what ranking has derived of the corpus is kept and
completed. The signs of new vectors are those of their difference from the mean vector before.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, count, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .corpus import JOINED, NUMBERED, Corpus, Integers, Stacked

MOST: Final = 0.1
"""Of more entries than this share of the corpus, a new one is made: its mean vector would be another."""


def appended(corpus: Corpus, more: Corpus) -> Corpus:
    """The entries of both."""
    if len(more) > MOST * len(corpus) or (len(more.vectors) and more.vectors.shape[1] != corpus.vectors.shape[1]):
        return Corpus.concat([corpus, more])
    values: dict[str, Any] = {}
    places: dict[str, Mapping[str, int]] = {}
    for names, number in NUMBERED.items():
        known = getattr(corpus, names), corpus.places_by_name[names]
        values[names], places[names], moved = _named(*known, getattr(more, names))
        values[number] = np.concatenate([getattr(corpus, number), moved[getattr(more, number)]])
    for name in JOINED:
        values[name] = np.concatenate([getattr(corpus, name), getattr(more, name)])
    for name in ("piece_starts", "vector_starts"):
        ours, theirs = getattr(corpus, name), getattr(more, name)
        values[name] = np.concatenate([ours, ours[-1] + theirs[1:]])
    terms, moved = corpus.terms.with_more(more.terms)
    found = Corpus(
        ids=(*corpus.ids, *more.ids),
        terms=terms,
        vectors=Stacked.of(corpus.vectors, more.vectors),
        **(values | _postings(corpus, more, moved, len(terms))),
    )
    derived = _derived(corpus, more, found, moved)
    vars(found).update(derived, places_by_name=places)
    return found


def _named(
    names: tuple[str, ...], places: Mapping[str, int], more: tuple[str, ...]
) -> tuple[tuple[str, ...], Mapping[str, int], NDArray[np.int32]]:
    """The names and new ones, the place of each, and those of `more`."""
    if new := [name for name in more if name not in places]:
        names, places = (*names, *new), {**places, **dict(zip(new, count(len(names)), strict=False))}
    return names, places, np.array([places[name] for name in more], np.int32)


def _postings(corpus: Corpus, more: Corpus, moved: NDArray[np.int32], terms: int) -> dict[str, Integers]:
    """The postings of each term, followed by its new ones."""
    lengths = np.zeros(terms, np.int64)
    lengths[: len(corpus.terms)] = np.diff(corpus.posting_starts)
    added = np.diff(more.posting_starts)
    order = np.argsort(moved, kind="stable")
    ends = np.minimum(moved[order], len(corpus.terms) - 1) + 1 if len(corpus.terms) else np.zeros(len(order), np.int64)
    cuts = [0, *corpus.posting_starts[ends].tolist(), len(corpus.posting_pieces)]
    spans = list(zip(more.posting_starts[order].tolist(), more.posting_starts[order + 1].tolist(), strict=True))

    def spliced(ours: Integers, theirs: Integers) -> Integers:
        old = [ours[start:end] for start, end in pairwise(cuts)]
        new = [theirs[start:end] for start, end in spans]
        return np.concatenate([*chain.from_iterable(zip(old[:-1], new, strict=True)), old[-1]])

    np.add.at(lengths, moved, added)
    pieces = more.posting_pieces + np.int32(len(corpus.piece_lengths))
    return {
        "posting_starts": np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        "posting_pieces": spliced(corpus.posting_pieces, pieces),
        "posting_counts": spliced(corpus.posting_counts, more.posting_counts),
    }


def _derived(corpus: Corpus, more: Corpus, found: Corpus, moved: NDArray[np.int32]) -> dict[str, Any]:
    """What ranking has derived of the corpus, for all entries."""
    starts, terms = more.terms_by_entry
    ours, of_ours = corpus.terms_by_entry
    before, after = found.neighbours_after(corpus.before, corpus.after)
    derived: dict[str, Any] = {
        "nbytes": corpus.nbytes + more.nbytes,
        "terms_by_entry": (np.concatenate([ours, ours[-1] + starts[1:]]), Stacked.of(of_ours, moved[terms])),
        "piece_entries": np.concatenate([corpus.piece_entries, more.piece_entries + np.int32(len(corpus))]),
        "before": before,
        "after": after,
        "lengths": np.concatenate([corpus.lengths, more.lengths]),
        "used_roles": corpus.used_roles | more.used_roles,
        "vector_sum": (
            corpus.vector_sum
            if not len(more.vectors)
            else (corpus.vector_sum[0] + more.vector_sum[0], corpus.vector_sum[1] + more.vector_sum[1])
        ),
        "word_cache": {
            name: (np.concatenate([rows, np.full(len(found.terms) - len(rows), -1, rows.dtype)]), made)
            for name, (rows, made) in dict(corpus.word_cache).items()  # another thread may add to it
        },
    }
    if more.time.min(initial=np.iinfo(np.int64).max) > corpus.time.max(initial=0):
        derived["order_in_time"] = np.concatenate([corpus.order_in_time, more.order_in_time + len(corpus)])
    if "signs" in vars(corpus):
        mean, signs = corpus.signs
        derived["signs"] = mean, np.concatenate([signs, more.signs_beside(mean)], axis=1)
    return derived
