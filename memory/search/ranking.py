"""Ranks candidates. Pure: from a question and a pool to scored passages.

A passage's score is the sum of parts, each of which can be switched off by a weight of 0:

- lexical     BM25 of the question's words in it,
- related     similarity of its words to each word of the question: the same word, an associated word
              (`associations`), a word with a similar vector (`related`),
- neighbours  the gain of BM25 and the cosine by the turns around it, since answers rarely repeat the question's words,
- session     the share of the question's words in the part of its session that was read,
- vector      the cosine of its vector and the question's,
- speaker     the question names its speaker,
- reply       the turn before it is a question,
- substance   its number of distinct words, less for questions and for "you": "And Ana?", "You did well" answer nothing,
- answers     it has what the question asks for: a time, a number, a name (`answers`),
- dates       its time is in the month or year that the question names,
- variety     less for each better passage of the same session, since the evidence may be in several sessions,
- recency     newer before older; off by default.

The weights are those of a conditional logit (McFadden 1974) that separates evidence from other candidates, fitted on
the tuning half of the labelled set and on the friends' questions, and rounded: docs/search.md, "What it finds".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from .answers import addressed, asked_for, asks_for_several, has_answer
from .associations import associations
from .dates import named
from .passages import Passage, Pool, Question
from .related import MOST_ASKED, Nearness, nearness, related
from .terms import content_words, terms

# BM25: saturation of repeated words, normalisation by length (Robertson & Zaragoza 2009, section 3.4).
K1, B = 1.2, 0.3
# The share of a turn's word counts that is added to a passage at this distance. Negative: the turn is before it.
WORDS_LENT = {-2: 0.3, -1: 0.5, 1: 0.3, 2: 0.2}
WORDS_LENT_BY_A_QUESTION = 0.5
COSINE_LENT = 0.4  # of the turn before
SUBSTANTIAL = 16  # distinct words beyond which the part does not grow
ASKING = 0.5  # deducted from the substance of a passage that ends with a question mark
ADDRESSING, MOST_ADDRESSED = 0.1, 3  # deducted for each "you", and for how many at most
OF_SEVERAL = 0.6  # factor of words and neighbours for questions about several things, which are far apart
ASSOCIATED = 0.6  # similarity of a word that is associated with a word of the question
HALF_LIFE = 30 * 86_400.0  # seconds after which recency is halved

_QUESTION_MARKS = frozenset("?？؟")  # noqa: RUF001


@dataclass(frozen=True)
class Weights:
    """The weight of each part in the sum."""

    lexical: float = 0.3
    related: float = 0.35
    neighbours: float = 1.1
    session: float = 0.45
    vector: float = 1.2
    speaker: float = 0.25
    reply: float = 0.1
    substance: float = 0.45
    answers: float = 0.3
    dates: float = 0.6
    variety: float = 0.02
    recency: float = 0.0

    def without(self, *parts: str) -> Weights:
        """These weights with some parts set to 0. Raises `ValueError` for an unknown part."""
        _known(parts)
        return replace(self, **dict.fromkeys(parts, 0.0))

    def only(self, *parts: str) -> Weights:
        """These weights with all other parts set to 0. Raises `ValueError` for an unknown part."""
        _known(parts)
        return self.without(*(part for part in PARTS if part not in parts))


PARTS = tuple(field.name for field in fields(Weights))


def _known(parts: Sequence[str]) -> None:
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"Unknown parts: {', '.join(sorted(unknown))}. The parts are {', '.join(PARTS)}.")


DEFAULT_WEIGHTS = Weights()


@dataclass(frozen=True)
class Ranked:
    """A passage with its score and the parts that add up to it."""

    passage: Passage
    score: float
    parts: Mapping[str, float]


def rank(question: Question, pool: Pool, weights: Weights = DEFAULT_WEIGHTS) -> list[Ranked]:
    """The pool's passages, best first; equal scores newest first, then by id."""
    view = _View(question, pool)
    used = {name: weight for name in _PARTS if (weight := float(getattr(weights, name)))}
    scored = []
    for passage in pool.passages.values():
        parts = {name: weight * _PARTS[name](view, passage) for name, weight in used.items()}
        scored.append(Ranked(passage, math.fsum(parts.values()), parts))
    scored.sort(key=_best_first)
    return sorted(_varied(scored, weights.variety), key=_best_first) if weights.variety else scored


def _best_first(one: Ranked) -> tuple[float, float, str]:
    return (-one.score, -one.passage.time.timestamp(), one.passage.id)


def _varied(scored: Iterable[Ranked], weight: float) -> Iterator[Ranked]:
    """The ranking with the part `variety`: a penalty per better passage of the session (Carbonell & Goldstein 1998)."""
    before: Counter[str] = Counter()
    for one in scored:
        parts = {**one.parts, "variety": -weight * before[one.passage.session]}
        before[one.passage.session] += 1
        yield Ranked(one.passage, math.fsum(parts.values()), parts)


class _View:
    """Statistics of a pool for one question, shared by all parts."""

    def __init__(self, question: Question, pool: Pool) -> None:
        self.question, self.passages = question, pool.passages
        lengths = [len(passage.terms) for passage in pool.passages.values()]
        self.mean_length = max(1.0, sum(lengths) / max(1, len(lengths)))
        self.weights = {term: _rarity(pool.frequencies.get(term, 0), pool.total) for term in question.terms}
        self.whole = sum(self.weights.values())
        self.distinct = {key: set(passage.terms) for key, passage in pool.passages.items()}
        self.frequencies = {key: self._frequencies(passage) for key, passage in pool.passages.items()}
        self.asking = {key: _ends_asking(passage) for key, passage in pool.passages.items()}
        self.around = _around(pool)
        # A passage that the vector search did not return is at most as similar as the last one that it did.
        known = [passage.similarity for passage in pool.passages.values() if passage.similarity is not None]
        self.floor = min(known, default=0.0)
        self.sessions: dict[str, set[str]] = {}
        for key, passage in pool.passages.items():
            self.sessions.setdefault(passage.session, set()).update(self.frequencies[key])
        self.newest = max((passage.time.timestamp() for passage in pool.passages.values()), default=0.0)
        self.asked_for = asked_for(question)
        self.words_count = OF_SEVERAL if asks_for_several(question) else 1.0
        self.dates = named(question.text, question.language)

    @cached_property
    def related(self) -> Mapping[str, float]:
        """For each passage, the similarity of its words to the question's; without a lexicon only equal words count."""
        passages, language = self.passages.values(), self.question.language
        sought: dict[str, list[str]] = {}
        for word in content_words(self.question.text, language):
            if len(sought) == MOST_ASKED:
                break
            if stems := [stem for stem in terms(word, language) if stem in self.weights]:
                sought[word] = stems
        same = [[float(not self.distinct[one.id].isdisjoint(stems)) for stems in sought.values()] for one in passages]
        near: Nearness = np.array(same).reshape(len(passages), len(sought))
        if self.question.lexicon is not None:
            said = [content_words(one.text, language) for one in passages]
            near = np.maximum(near, nearness(list(sought), said, self.question.lexicon))
        near = np.maximum(near, ASSOCIATED * self._associated(list(sought.values())))
        found = related(near, [max(self.weights[stem] for stem in stems) for stems in sought.values()])
        return dict(zip(self.passages, found, strict=True))

    def _associated(self, sought: Sequence[Sequence[str]]) -> Nearness:
        """1 where a passage has a word associated with a word of the question: shape (passages, sought)."""
        table = associations(self.question.language)
        brought = [frozenset[str]().union(*(table.get(stem, ()) for stem in stems)) for stems in sought]
        has = [[float(not stems.isdisjoint(distinct)) for stems in brought] for distinct in self.distinct.values()]
        return np.array(has).reshape(len(has), len(sought))

    def share(self, terms: Mapping[str, float]) -> float:
        """The share of the question's weight that these (saturated) counts of its terms cover."""
        return sum(self.weights[term] * count for term, count in terms.items()) / self.whole if self.whole else 0.0

    def _frequencies(self, passage: Passage) -> dict[str, float]:
        """The counts of the question's terms in a passage, normalised by its length."""
        length = 1 - B + B * (len(passage.terms) / self.mean_length)
        has = self.distinct[passage.id]
        return {term: passage.terms.count(term) / length for term in self.weights if term in has}

    def cosine(self, passage: Passage) -> float:
        return self.floor if passage.similarity is None else passage.similarity


def _rarity(frequency: int, total: int) -> float:
    """BM25's inverse document frequency, in the non-negative form."""
    total = max(total, frequency)
    return math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))


def _around(pool: Pool) -> dict[str, dict[int, str]]:
    """For each passage, the passages up to two turns before and after it, if they were read."""
    steps: Sequence[tuple[int, Mapping[str, str]]] = (
        (1, pool.following),
        (-1, {after: before for before, after in pool.following.items()}),
    )
    found: dict[str, dict[int, str]] = {}
    for key in pool.passages:
        places = found.setdefault(key, {})
        for sign, step in steps:
            place: str | None = key
            for distance in (1, 2):
                place = step.get(place) if place is not None else None
                if place is not None and place in pool.passages:
                    places[sign * distance] = place
    return found


def _saturated(frequency: float) -> float:
    return frequency * (K1 + 1) / (frequency + K1)


def _lexical(view: _View, passage: Passage) -> float:
    saturated = {term: _saturated(often) for term, often in view.frequencies[passage.id].items()}
    return view.words_count * view.share(saturated)


def _related(view: _View, passage: Passage) -> float:
    return view.related[passage.id]


def _neighbours(view: _View, passage: Passage) -> float:
    places, has = view.around[passage.id], view.frequencies[passage.id]
    lenders = [(_lent(view, distance, other), view.frequencies[other]) for distance, other in places.items()]
    gained = {}
    for term in view.weights:
        if lent := sum(share * often[term] for share, often in lenders if term in often):
            own = has.get(term, 0.0)
            gained[term] = _saturated(own + lent) - _saturated(own)
    nearer = view.cosine(view.passages[places[-1]]) - view.floor if -1 in places else 0.0
    return view.words_count * (view.share(gained) + COSINE_LENT * nearer)


def _lent(view: _View, distance: int, other: str) -> float:
    answered = WORDS_LENT_BY_A_QUESTION if distance == -1 and view.asking[other] else 0.0
    return WORDS_LENT[distance] + answered


def _ends_asking(passage: Passage) -> bool:
    """Whether no letter or digit follows the last question mark."""
    last = next((mark for mark in reversed(passage.text) if mark.isalnum() or mark in _QUESTION_MARKS), "")
    return last in _QUESTION_MARKS


def _session(view: _View, passage: Passage) -> float:
    # In the order of the question: a float sum depends on the order, and a set has none.
    return view.share({term: 1.0 for term in view.weights if term in view.sessions[passage.session]})


def _vector(view: _View, passage: Passage) -> float:
    return view.cosine(passage)


def _speaker(view: _View, passage: Passage) -> float:
    return float(len(view.question.speakers) == 1 and passage.speaker in view.question.speakers)


def _reply(view: _View, passage: Passage) -> float:
    before = view.around[passage.id].get(-1)
    return float(before is not None and view.asking[before])


def _substance(view: _View, passage: Passage) -> float:
    distinct = len(view.distinct[passage.id] - view.question.stops)
    you = min(addressed(passage.text, view.question.language), MOST_ADDRESSED)
    return math.log1p(min(distinct, SUBSTANTIAL)) - ASKING * view.asking[passage.id] - ADDRESSING * you


def _answers(view: _View, passage: Passage) -> float:
    return float(view.asked_for is not None and has_answer(passage.text, view.asked_for))


def _dates(view: _View, passage: Passage) -> float:
    return float(any(date.has(passage.time) for date in view.dates))


def _recency(view: _View, passage: Passage) -> float:
    return float(2 ** ((passage.time.timestamp() - view.newest) / HALF_LIFE))


_PARTS = {
    "lexical": _lexical,
    "related": _related,
    "neighbours": _neighbours,
    "session": _session,
    "vector": _vector,
    "speaker": _speaker,
    "reply": _reply,
    "substance": _substance,
    "answers": _answers,
    "dates": _dates,
    "recency": _recency,
}
