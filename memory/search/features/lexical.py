"""How many of the question's words a candidate, its pieces, its neighbours and its session have."""

from __future__ import annotations

import numpy as np

from ..arrays import Floats
from ..corpus import Integers
from ..postings import LONG, SHORT, bm25
from ..view import View

LENT = {-2: 0.3, -1: 0.5, 1: 0.3, 2: 0.2}
"""The shares of a turn's word counts that are added to its neighbours, by distance."""

LENT_BY_A_QUESTION = 0.5
"""The share of the word counts of a turn that asks which is added to the next one, besides `LENT`."""

LEXICAL = ("short", "long", "piece", "cover", "gain", "session_cover", "session")


def lexical_features(view: View) -> dict[str, Floats]:
    """The features in `LEXICAL`, each of shape (candidates,)."""
    corpus, places, postings = view.corpus, view.places, view.words
    rarity, whole = postings.rarity, postings.whole
    around = np.stack([places, *(view.beside[distance] for distance in LENT)])
    counts = postings.counts(around)
    sessions, of = np.unique(corpus.session[places], return_inverse=True)
    covered, session = postings.session_scores(sessions)
    return {
        "short": view.own[places] / whole,
        "long": bm25(counts[0], corpus.lengths[places], corpus.mean_length, rarity, LONG) / whole,
        "piece": postings.piece_scores(places) / whole,
        "cover": counts[0].clip(0, 1) @ rarity / whole,
        "gain": _gain(view, around, counts) / whole,
        "session_cover": covered[of] / whole,
        "session": session[of] / whole,
    }


def _gain(view: View, around: Integers, counts: Floats) -> Floats:
    """How much BM25 gains by what the neighbours lend. Both arrays begin with the candidates, then `LENT`."""
    k1, b = SHORT
    own, *lenders = counts / (1 - b + b * view.corpus.lengths[around] / max(1.0, view.corpus.mean_length))[..., None]
    before = lenders[list(LENT).index(-1)]
    lent = sum(share * counts for share, counts in zip(LENT.values(), lenders, strict=True))
    lent = lent + LENT_BY_A_QUESTION * before * view.asked_before[:, None]
    alone, together = ((counts * (k1 + 1) / (counts + k1)) @ view.words.rarity for counts in (own, own + lent))
    gain: Floats = together - alone
    return gain
