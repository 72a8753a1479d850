"""How many of the question's words a candidate, its pieces, its neighbours and its session have."""

from __future__ import annotations

from ..arrays import Floats
from ..postings import LONG, SHORT
from ..view import LENT, View

LENT_BY_A_QUESTION = 0.5
"""The share of the word counts of a turn that asks which is added to the next one, besides `LENT`."""

LEXICAL = ("short", "long", "piece", "cover", "gain", "session_cover", "session")


def lexical_features(view: View) -> dict[str, Floats]:
    """The features in `LEXICAL`, each of shape (candidates,)."""
    places, words_, whole = view.places, view.words, view.words.whole
    counts, k1 = view.counts, SHORT[0]
    lent = sum(share * counts[distance] for distance, share in LENT)
    lent = lent + LENT_BY_A_QUESTION * counts[-1] * view.asked_before[:, None]
    saturated = [(some * (k1 + 1) / (some + k1)) @ words_.rarity for some in (counts[0], counts[0] + lent)]
    covered, session = words_.session_scores()
    of = view.corpus.session[places]
    own = view.own
    return {
        "short": own[places] / whole,
        "long": words_.scores(LONG)[places] / whole,
        "piece": words_.piece_scores()[places] / whole,
        "cover": words_.counts(places).clip(0, 1) @ words_.rarity / whole,
        "gain": (saturated[1] - saturated[0]) / whole,
        "session_cover": covered[of] / whole,
        "session": session[of] / whole,
    }
