"""Who says a candidate, to whom and when, how long it is, and whether it has what the question asks for."""

from __future__ import annotations

import numpy as np

from ..arrays import Floats, has
from ..corpus import FIRST_PERSON, HAS_DIGIT
from ..view import View
from ..wording import AMOUNT, FIRST, NOW

SAID = (
    *("user", "user_first", "tool", "named", "reply", "asks", "you", "words", "distinct", "answer", "amount", "dates"),
    *("late", "late_now", "first", "digits"),
)


def said_features(view: View) -> dict[str, Floats]:
    """The features in `SAID`, each of shape (candidates,)."""
    corpus, places, text = view.corpus, view.places, view.question.text
    role = np.array([corpus.roles.index(name) if name in corpus.roles else -1 for name in ("user", "tool", "system")])
    user = (corpus.role[places] == role[0]).astype(np.float64)
    speaker = corpus.speaker[places]
    asker = view.question.asker
    by_asker = (speaker == corpus.speakers.index(asker)).astype(np.float64) if asker in corpus.speakers else user
    counts = corpus.counts[places].astype(np.float64)
    late = corpus.lateness[places].astype(np.float64)
    dates = np.zeros(len(places))
    if view.dates:
        times = [np.datetime64(int(microseconds), "us").astype(object) for microseconds in corpus.time[places]]
        dates = np.array([float(any(date.has(time) for date in view.dates)) for time in times])
    return {
        "user": user,
        "user_first": by_asker * (FIRST.search(text) is not None),
        "tool": np.isin(corpus.role[places], role[1:][role[1:] >= 0]).astype(np.float64),
        "named": (len(view.speakers) == 1) * np.isin(speaker, list(view.speakers)).astype(np.float64),
        "reply": view.asked_before,
        "asks": view.asks,
        "you": counts[:, 2],
        "words": np.log1p(counts[:, 0]),
        "distinct": np.log1p(np.minimum(counts[:, 1], 16)),
        "answer": has(corpus, places, view.answer_flag),
        "amount": has(corpus, places, HAS_DIGIT) * (AMOUNT.search(text) is not None),
        "dates": dates,
        "late": late,
        "late_now": late * (NOW.search(text) is not None),
        "first": has(corpus, places, FIRST_PERSON),
        "digits": has(corpus, places, HAS_DIGIT),
    }
