"""Stored segments: few terms and postings, however well they are compressed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from memory.search import segments
from memory.search.corpus import Corpus
from memory.search.segments import Segment, pack, packed_in_parts, unpack, weight_of
from tests.search.test_corpus import corpus


def large() -> Segment:
    whole = Corpus.concat([corpus()] * 8)
    return Segment(whole, np.arange(len(whole), dtype=np.int64))


@pytest.mark.parametrize("cost", ["TERM_BYTES", "POSTING_BYTES"])
def test_terms_and_postings_count_as_bytes(cost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of them are split, and keep all entries."""
    whole = large()
    assert weight_of(whole, pack(whole)) == len(pack(whole))
    assert len(packed_in_parts(whole)) == 1
    monkeypatch.setattr(segments, cost, segments.MOST_BYTES // 20)
    parts = packed_in_parts(whole)
    assert len(parts) > 1
    for part, data in parts:
        found = unpack(data).corpus
        used = {"TERM_BYTES": len(found.terms), "POSTING_BYTES": len(found.posting_pieces)}[cost]
        assert len(part) == 1 or used <= 20
        assert weight_of(part, data) == max(len(data), used * (segments.MOST_BYTES // 20))
    assert list(itertools.chain.from_iterable(part.corpus.ids for part, _ in parts)) == list(whole.corpus.ids)


def test_terms_of_entries_that_were_left_out_do_not_count() -> None:
    part = large().take(np.array([0]))
    assert weight_of(part, b"") < weight_of(large(), b"")
