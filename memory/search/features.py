"""The features of the best candidates for a question: numbers from which `relevance` makes a score. Pure, with numpy.

A first pass scores every entry by words (BM25), by the words of its neighbours, and by vectors. The best `CONSIDERED`
are candidates, and only these have features. Raw values of memories of different kinds are not comparable, so a
feature is used as its standard score among the candidates (`z`), as its ratio to the best candidate (`m`), or as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory.embedding import Embedder, Vectors

from .answers import KINDS, MOST_READ
from .compounds import COMPOUNDING, SHARE, kin
from .corpus import ASKS, FIRST_PERSON, HAS_DIGIT, HAS_NAME, HAS_NUMBER, HAS_TIME, Corpus, Integers, Places
from .dates import Named, named
from .embedders.checked import query_vectors
from .languages import ENGLISH, detected
from .lexicon import Lexicon, lexicon_of
from .terms import MAX_QUERY_TERMS, index_terms, stop_terms, words
from .wording import AMOUNT, FIRST, NOW, QUESTION_MARKS, WORD

CONSIDERED = 300
MOST_ASKED = 60  # words of a question that are compared with those of candidates by their vectors
EXACT_ROWS = 3_000
"""Vectors that are compared exactly. Of more, the signs select the nearest ones."""

# BM25: saturation and normalisation by length, of a turn and of a piece (Robertson & Zaragoza 2009, section 3.4).
SHORT, LONG, PIECE, SESSION = (1.2, 0.3), (1.5, 0.75), (1.2, 0.5), (1.5, 0.75)
# The share of a turn's word counts that is added to its neighbours at this distance.
LENT = ((-2, 0.3), (-1, 0.5), (1, 0.3), (2, 0.2))
LENT_BY_A_QUESTION = 0.5
CONTEXT = (1.0, 0.8, 0.6, 0.4)  # shares of a turn and of the turns before it
LEAST_SHARE = 0.05  # of a language's entries, whose stems a question is searched with
MOST_LANGUAGES = 4
MOST_WORDS = 10_000  # of all candidates, that are compared by their vectors: about 0.3 s of CPU the first time
MOST_KEPT_WORDS = 2 * MOST_WORDS  # vectors that a corpus keeps, 10 MB
WORD_DIMENSIONS = 64  # of the vectors of single words: enough to compare words, and fast
LEAST_SPREAD = 0.05
BRIEF = 3  # words of a question that is typed into a search box

NO_OTHERS: Mapping[str, Sequence[int]] = {}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A question: its text and language, and its vectors as it is and without stop words (None without an embedder).

    `asker` is the speaker who asks; empty for the user of the memory.
    """

    text: str
    language: str
    vector: Vectors | None
    content_vector: Vectors | None
    lexicon: Lexicon | None
    asker: str = ""


def asked(text: str, embedder: Embedder | None = None, language: str | None = None, asker: str = "") -> Asked:
    """Prepare a question. `language` None: it is detected. Raises `EmbedderError`."""
    language = language or detected(text)
    if embedder is None:
        return Asked(text, language, None, None, None, asker)
    stops = stop_terms(ENGLISH)
    content = " ".join(word for word in words(text) if not stops.issuperset(index_terms(word, language)))
    vectors = query_vectors(embedder, list(dict.fromkeys((text, content or text))))
    return Asked(text, language, vectors[0], vectors[-1], lexicon_of(embedder), asker)


def sought_languages(question: Asked, corpus: Corpus) -> tuple[str, ...]:
    """The language of the question, and those that the corpus has most."""
    often = np.bincount(corpus.language, minlength=len(corpus.languages))
    common = np.argsort(-often)[:MOST_LANGUAGES]
    names = (corpus.languages[place] for place in common[often[common] >= LEAST_SHARE * len(corpus)].tolist())
    return tuple(dict.fromkeys((question.language, *names)))


def sought_terms(question: Asked, corpus: Corpus) -> tuple[frozenset[int], tuple[str, ...]]:
    """The speakers that the question names, and its terms in the languages of the corpus."""
    text = question.text
    every: dict[str, None] = {}
    for language in sought_languages(question, corpus):
        every |= dict.fromkeys(index_terms(text, language))
    called = {
        place: name
        for place, speaker in enumerate(corpus.speakers)
        if (name := set(index_terms(speaker, question.language))) and name <= every.keys()
    }
    stops = stop_terms(ENGLISH)
    sought = [term for term in every if term not in stops] or list(every)
    names = set[str]().union(*called.values())
    sought = [term for term in sought if term not in names] or sought
    return frozenset(called), tuple(sought[: 2 * MAX_QUERY_TERMS])


class View:
    """A question and a corpus: what all features share."""

    def __init__(self, question: Asked, corpus: Corpus, allowed: NDArray[np.bool_] | None = None) -> None:
        self.question, self.corpus = question, corpus
        self.speakers, self.terms = sought_terms(question, corpus)
        has_compounds = not COMPOUNDING.isdisjoint(sought_languages(question, corpus))
        self.words = Postings(corpus, self.terms, kin(self.terms, corpus) if has_compounds else NO_OTHERS)
        self.open = np.ones(len(corpus), bool) if allowed is None else allowed
        self.places = self._candidates()

    @cached_property
    def has_vectors(self) -> bool:
        """Whether the question has a vector, and an entry has one."""
        vector = self.question.vector
        return vector is not None and bool(vector.any()) and len(self.corpus.vectors) > 0

    # The first pass, over all entries.

    @cached_property
    def own(self) -> Floats:
        """BM25 of every entry."""
        return self.words.scores(SHORT)

    @cached_property
    def rough(self) -> Floats:
        """The centred cosine of every entry's nearest vector; an estimate if there are many."""
        corpus, vector = self.corpus, self.question.vector
        found = np.zeros(len(corpus))
        if vector is None or not len(corpus.vectors):
            return found
        if len(corpus) == 1:  # nothing to centre by
            return np.array([float((_wide(corpus, np.arange(len(corpus.vectors))) @ _unit(vector)).max())])
        if len(corpus.vectors) <= EXACT_ROWS:
            every = _centred(_wide(corpus, np.arange(len(corpus.vectors))), corpus.mean_vector) @ _unit(
                vector - corpus.mean_vector
            )
        else:
            mean, signs = corpus.signs
            bits = np.packbits(vector > mean)
            padded = np.zeros(len(signs) * 8, np.uint8)
            padded[: len(bits)] = bits
            apart = np.zeros(len(corpus.vectors), np.uint16)
            for ours, theirs in zip(padded.view(np.uint64), signs, strict=True):
                apart += np.bitwise_count(theirs ^ ours)
            every = np.cos(np.arange(len(vector) + 1) * (np.pi / len(vector)))[apart]
        has = np.flatnonzero(corpus.rows >= 0)
        if len(has):
            found[has] = np.maximum.reduceat(every, corpus.vector_starts[has])
        return found

    def _candidates(self) -> Places:
        corpus, own = self.corpus, self.own
        around = own + 0.5 * _at(own, corpus.before) + 0.3 * _at(own, corpus.after)
        rough = self.rough.clip(0)
        ways = (own, around, rough, _ratio(own) + _ratio(around) + _ratio(rough))
        shares = (0.2, 0.2, 0.2, 1.0)
        found: set[int] = set()
        for way, share in zip(ways, shares, strict=True):
            most = int(CONSIDERED * share)
            places = np.flatnonzero(self.open & (way > 0))
            if len(places) > most:
                places = places[np.argpartition(-way[places], most)[:most]]
            found.update(places.tolist())
        return np.array(sorted(found), np.intp)

    # What is near the candidates.

    def beside(self, distance: int) -> Places:
        """The entries at this distance from the candidates; -1 for none."""
        step = self.corpus.before if distance < 0 else self.corpus.after
        places = self.places
        for _ in range(abs(distance)):
            places = np.where(places >= 0, step[places], -1)
        return places

    @cached_property
    def counts(self) -> Mapping[int, Floats]:
        """The counts of the terms in candidates and, by distance, in their neighbours, by length."""
        b = SHORT[1]
        lengths = self.corpus.lengths
        norm = 1 - b + b * lengths / max(1.0, lengths.mean())
        found = {}
        for distance in (0, *(distance for distance, _ in LENT)):
            places = self.beside(distance)
            found[distance] = self.words.counts(places) / norm[places][:, None]
        return found

    @cached_property
    def piece_rows(self) -> tuple[Places, Places]:
        """The rows of the vectors of the candidates' pieces (of a short text its own), and their candidates."""
        starts, ends = self.corpus.vector_starts[self.places], self.corpus.vector_starts[self.places + 1]
        firsts = np.where(ends - starts > 1, starts + 1, starts)
        lengths = ends - firsts
        rows = np.repeat(firsts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(lengths.sum())
        return rows, np.repeat(np.arange(len(self.places)), lengths)

    @cached_property
    def asks(self) -> Floats:
        return _has(self.corpus, self.places, ASKS)

    @cached_property
    def asked_before(self) -> Floats:
        return _has(self.corpus, self.beside(-1), ASKS)

    @cached_property
    def answer_flag(self) -> int:
        """The flag of the kind of answer that the question asks for; 0 for none."""
        flags = (HAS_TIME, HAS_NUMBER, HAS_NAME)
        text = self.question.text[:MOST_READ]
        return next((flag for kind, flag in zip(KINDS[ENGLISH], flags, strict=True) if kind.asks.search(text)), 0)

    @cached_property
    def unspaced(self) -> float:
        """The share of the question's letters that are of a script without spaces."""
        letters = [character for character in self.question.text if character.isalnum()]
        return sum(character >= "\u3040" for character in letters) / max(1, len(letters))

    @cached_property
    def brief(self) -> float:
        """1 for one to three words without a question mark, 0 for other questions."""
        text = self.question.text[:MOST_READ].rstrip()
        return float(len(WORD.findall(text)) <= BRIEF and text[-1:] not in QUESTION_MARKS)

    @cached_property
    def dates(self) -> tuple[Named, ...]:
        return named(self.question.text, self.question.language)


class Postings:
    """The postings of a question's terms in all entries: a count for each term and entry that has it.

    `others` are terms of the corpus that count `compounds.SHARE` as a term of the question.
    """

    def __init__(self, corpus: Corpus, terms: Sequence[str], others: Mapping[str, Sequence[int]] = NO_OTHERS) -> None:
        self.corpus = corpus
        self.known = [term for term in terms if term in corpus.terms or term in others]
        own = [[] if (one := corpus.terms.place_of(term)) is None else [one] for term in self.known]
        groups = [[*some, *others.get(term, ())] for term, some in zip(self.known, own, strict=True)]
        place = np.array([one for group in groups for one in group], np.int64)
        share = np.array([w for group, some in zip(groups, own, strict=True) for w in _shares(len(group), len(some))])
        starts, ends = corpus.posting_starts[place], corpus.posting_starts[place + 1]
        spans = [np.arange(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        at = np.concatenate([*spans, np.zeros(0, np.int64)]).astype(np.int64)
        number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        self.piece, self.piece_term = corpus.posting_pieces[at], np.repeat(number, ends - starts)
        self.piece_count = corpus.posting_counts[at] * np.repeat(share, ends - starts)
        self.size = len(groups)
        if len(place) > len(groups):
            self._merge()
        # Pieces are in order of their entries, so those of one entry and term are adjacent.
        entry = corpus.piece_entries[self.piece]
        changes = (np.diff(entry) != 0) | (np.diff(self.piece_term) != 0)
        first = np.flatnonzero(np.concatenate([[True], changes])[: len(entry)])
        self.entry, self.term = entry[first], self.piece_term[first]
        self.count = np.add.reduceat(self.piece_count, first) if len(first) else np.zeros(0)
        total, often = len(corpus), np.bincount(self.term, minlength=self.size)
        self.rarity = np.log(1 + (total - often + 0.5) / (often + 0.5))
        self.unknown = float(np.log(1 + (total + 0.5) / 0.5))
        self.whole = float(self.rarity.sum() + self.unknown * (len(terms) - self.size)) or 1.0

    def _merge(self) -> None:
        """Order the postings by term and piece, and add those of one piece and term."""
        key = self.piece_term * np.int64(max(1, len(self.corpus.piece_lengths))) + self.piece
        distinct, number = np.unique(key, return_inverse=True)
        self.piece_count = np.bincount(number, self.piece_count, len(distinct))
        self.piece_term, self.piece = np.divmod(distinct, max(1, len(self.corpus.piece_lengths)))

    def scores(self, how: tuple[float, float]) -> Floats:
        """BM25 of every entry."""
        lengths = self.corpus.lengths
        return _bm25(self.count, self.term, self.entry, lengths, self.rarity, how)

    def piece_scores(self) -> Floats:
        """BM25 of every entry's best piece."""
        pieces = _bm25(self.piece_count, self.piece_term, self.piece, self.corpus.piece_lengths, self.rarity, PIECE)
        found = np.zeros(len(self.corpus))
        np.maximum.at(found, self.corpus.piece_entries[self.piece], pieces[self.piece])
        return found

    def session_scores(self) -> tuple[Any, Any]:
        """For each session the share of the terms' weight that it has, and its BM25."""
        corpus, sessions = self.corpus, len(self.corpus.sessions)
        key = corpus.session[self.entry].astype(np.int64) * max(1, self.size) + self.term
        distinct, place = np.unique(key, return_inverse=True)
        session, term = distinct // max(1, self.size), distinct % max(1, self.size)
        count = np.bincount(place, self.count, len(distinct))
        lengths = np.bincount(corpus.session, corpus.lengths, sessions)
        covered = np.bincount(session, self.rarity[term], sessions)
        return covered, _bm25(count, term, session, lengths, self.rarity, SESSION)

    def counts(self, places: Integers) -> Floats:
        """The counts of the terms in these entries, of shape (places, terms); 0 for the place -1."""
        inverse = np.full(len(self.corpus) + 1, -1)
        distinct = np.unique(places[places >= 0])
        inverse[distinct] = np.arange(len(distinct))
        at = inverse[self.entry]
        table: Floats = np.zeros((len(distinct) + 1, self.size))
        table[at[at >= 0], self.term[at >= 0]] = self.count[at >= 0]
        found: Floats = table[np.where(places >= 0, inverse[places], len(distinct))]
        return found


def _shares(size: int, own: int) -> list[float]:
    return [1.0] * own + [SHARE] * (size - own)


def _bm25(
    count: Integers, term: Integers, of: Integers, lengths: Integers, rarity: Floats, how: tuple[float, float]
) -> Floats:
    k1, b = how
    norm = 1 - b + b * lengths / max(1.0, lengths.mean() if len(lengths) else 0)
    shares = rarity[term] * count * (k1 + 1) / (count + k1 * norm[of])
    return np.asarray(np.bincount(of, shares, len(lengths)), np.float64)


# The features, each of shape (candidates,).


def _lexical(view: View) -> dict[str, Floats]:
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


def _vectors(view: View) -> dict[str, Floats]:
    corpus, question = view.corpus, view.question
    if question.vector is None or question.content_vector is None or not len(corpus.vectors):
        return dict.fromkeys(VECTORS, np.zeros(len(view.places)))
    mean, places = corpus.mean_vector, view.places
    around = np.stack([places, *(view.beside(distance) for distance in (-1, -2, -3, 1))])
    near = _Near(corpus, np.unique(np.append(np.where(around >= 0, corpus.rows[around], -1), view.piece_rows[0])), mean)
    own, before, *earlier, after = (near.places_of(some) for some in np.where(around >= 0, corpus.rows[around], -1))
    pieces, of = near.places_of(view.piece_rows[0]), view.piece_rows[1]
    in_context = near.vectors[own]
    for share, some in zip(CONTEXT[1:], (before, *earlier), strict=True):
        in_context += np.float32(share) * near.vectors[some]
    with_before = near.vectors[own] + np.float32(0.5) * near.vectors[before]
    session = corpus.session[places]
    found: dict[str, Vectors] = {}
    for name, vector in (("", question.vector), ("_content", question.content_vector)):
        cosine, centred = near.vectors @ vector, near.centred(_unit(vector - mean))
        best = np.full(len(corpus.sessions), -1.0)
        np.maximum.at(best, session, centred[own])
        found |= {
            f"own{name}": cosine[own],
            f"part{name}": _best(cosine[pieces], of, len(own)),
            f"centred{name}": centred[own],
            f"centred_part{name}": _best(centred[pieces], of, len(own)),
            f"context{name}": _cosines(in_context, vector),
            f"with_before{name}": _cosines(with_before, vector),
            f"near_before{name}": centred[before],
            f"near_after{name}": centred[after],
            f"near_session{name}": best[session],
        }
    return {name: values.astype(np.float64) for name, values in found.items()}


def _related(view: View) -> dict[str, Floats]:
    """How near the nearest word of a candidate is to each word of the question: two means over the words."""
    question, corpus, words_ = view.question, view.corpus, view.words
    sought: dict[str, list[str]] = {}
    known = set(view.terms)
    for word in words(question.text):
        if len(sought) < MOST_ASKED and (
            stems := [one for one in index_terms(word, question.language) if one in known]
        ):
            sought[word] = stems
    if not sought or not len(view.places):
        return dict.fromkeys(("related", "related_raw"), np.zeros(len(view.places)))
    places = {stem: corpus.terms.place_of(stem) for stems in sought.values() for stem in stems}
    matched = [place for place in places.values() if place is not None]
    terms, starts = _some_terms(*corpus.terms_of(view.places), matched)
    distinct, number = np.unique(terms, return_inverse=True)
    near = np.zeros((len(distinct), len(sought)))
    if question.lexicon is not None:
        asked_for = _unit(question.lexicon.vectors(list(sought))[:, :WORD_DIMENSIONS])
        vectors = _word_vectors(corpus, distinct, question.lexicon)[:, : asked_for.shape[1]]
        near = (vectors @ asked_for.T).astype(np.float64)
    weights = []
    rarity = dict(zip(words_.known, words_.rarity.tolist(), strict=True))
    for column, stems in enumerate(sought.values()):
        same = [place for stem in stems if (place := places[stem]) is not None]
        near[np.isin(distinct, same), column] = 1.0
        weights.append(max(rarity.get(stem, words_.unknown) for stem in stems))
    best = np.zeros((len(view.places), len(sought)))
    has = np.flatnonzero(np.diff(starts))
    if len(has):
        best[has] = np.maximum.reduceat(near[number], starts[has], axis=0).clip(0, 1)
    share = np.array(weights) / sum(weights)
    standard = (best - best.mean(axis=0)) / (best.std(axis=0) + LEAST_SPREAD)
    return {"related": standard @ share, "related_raw": best**2 @ share}


def _said(view: View) -> dict[str, Floats]:
    corpus, places, text = view.corpus, view.places, view.question.text
    role = np.array([corpus.roles.index(one) if one in corpus.roles else -1 for one in ("user", "tool", "system")])
    user = (corpus.role[places] == role[0]).astype(np.float64)
    speaker = corpus.speaker[places]
    asker = view.question.asker
    by_asker = (speaker == corpus.speakers.index(asker)).astype(np.float64) if asker in corpus.speakers else user
    counts = corpus.counts[places].astype(np.float64)
    late = corpus.lateness[places].astype(np.float64)
    dates = np.zeros(len(places))
    if view.dates:
        times = [np.datetime64(int(one), "us").astype(object) for one in corpus.time[places]]
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
        "answer": _has(corpus, places, view.answer_flag),
        "amount": _has(corpus, places, HAS_DIGIT) * (AMOUNT.search(text) is not None),
        "dates": dates,
        "late": late,
        "late_now": late * (NOW.search(text) is not None),
        "first": _has(corpus, places, FIRST_PERSON),
        "digits": _has(corpus, places, HAS_DIGIT),
    }


LEXICAL = ("short", "long", "piece", "cover", "gain", "session_cover", "session")
VECTORS = tuple(
    f"{name}{which}"
    for which in ("", "_content")
    for name in (
        *("own", "part", "centred", "centred_part", "context", "with_before"),
        *("near_before", "near_after", "near_session"),
    )
)
RELATED = ("related", "related_raw")
SAID = (
    *("user", "user_first", "tool", "named", "reply", "asks", "you", "words", "distinct", "answer", "amount", "dates"),
    *("late", "late_now", "first", "digits"),
)
FEATURES = (
    *(f"z:{name}" for name in (*LEXICAL, *VECTORS, *RELATED)),
    *(f"m:{name}" for name in LEXICAL),
    *SAID,
)
"""The columns of `features`: `z:` standard scores among the candidates, `m:` ratios to the best, others as they are."""


@dataclass(frozen=True)
class Features:
    """The features of the candidates, of shape (candidates, FEATURES), and the raw values by name."""

    values: Floats
    raw: Mapping[str, Floats]


def features(view: View) -> Features:
    """The features of the candidates of a question."""
    raw = {**_lexical(view), **_vectors(view), **_related(view), **_said(view)}
    standard = _standard(np.stack([raw[name] for name in (*LEXICAL, *VECTORS, *RELATED)]))
    columns = [_ratio(raw[name]) for name in LEXICAL]
    columns += [raw[name] for name in SAID]
    return Features(np.concatenate([standard, np.stack(columns)]).T, raw)


def _standard(rows: Floats) -> Floats:
    """The standard scores of the values of each row; zeros if they are equal."""
    if not rows.shape[1]:
        return rows
    apart = rows - rows.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(apart).mean(axis=1, keepdims=True))
    scores: Floats = np.divide(apart, spread, out=np.zeros_like(rows), where=spread > 1e-9)
    return scores


def _ratio(values: Floats) -> Floats:
    most = values.max(initial=0.0)
    return values / most if most > 0 else np.zeros(len(values))


def _has(corpus: Corpus, places: Integers, flag: int) -> Floats:
    """1 for entries with a flag; 0 for the place -1."""
    return ((places >= 0) & ((corpus.flags[places] & flag) > 0)).astype(np.float64)


def _at(values: Floats, places: Integers) -> Floats:
    return np.where(places >= 0, values[places], 0.0)


def _wide(corpus: Corpus, rows: Places) -> Vectors:
    """Rows of quantised vectors as floats; their length is 1 but for rounding."""
    wide: Vectors = corpus.vectors[rows].astype(np.float32) * corpus.scales[rows, None]
    return wide


class _Near:
    """The vectors of some rows, in order and each once; zeros for the row -1."""

    def __init__(self, corpus: Corpus, rows: Places, mean: Vectors) -> None:
        self.rows = rows
        self.mean = mean
        self.vectors = _wide(corpus, rows)
        self.vectors[rows < 0] = 0

    def places_of(self, rows: Places) -> Places:
        """Where the vectors of these rows are."""
        return np.searchsorted(self.rows, rows)

    def centred(self, toward: Vectors) -> Vectors:
        """The cosine of each vector, minus the mean, with a vector of length 1; 0 for zeros."""
        projected = self.vectors @ toward - self.mean @ toward
        cosines: Vectors = np.divide(projected, self._apart, out=np.zeros_like(projected), where=self._apart > 1e-3)
        return cosines

    @cached_property
    def _apart(self) -> Vectors:
        """The distance of each vector from the mean; 0 for zeros."""
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors)
        apart = np.sqrt(np.maximum(squares - 2 * (self.vectors @ self.mean) + self.mean @ self.mean, 0))
        found: Vectors = np.where(squares > 0, apart, 0)
        return found


def _cosines(vectors: Vectors, vector: Vectors) -> Vectors:
    """The cosine of each vector with a vector of length 1; 0 for zeros."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    products = vectors @ vector
    cosines: Vectors = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 1e-6)
    return cosines


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return unit


def _centred(vectors: Vectors, mean: Vectors) -> Vectors:
    """The vectors minus the mean, of length 1; zeros stay zeros."""
    return _unit((vectors - mean) * (vectors != 0).any(axis=-1, keepdims=True))


def _best(values: Vectors, of: Integers, count: int) -> Vectors:
    best: Vectors = np.full(count, -1.0, np.float32)
    np.maximum.at(best, of, values)
    return best


def _some_terms(terms: Places, starts: Places, always: Sequence[int]) -> tuple[Places, Places]:
    """The terms of the candidates, and where those of each begin: at most `MOST_WORDS`, and those in `always`."""
    if len(terms) <= MOST_WORDS:
        return terms, starts
    distinct, number = np.unique(terms, return_inverse=True)
    if len(distinct) <= MOST_WORDS:
        return terms, starts
    within = np.arange(len(terms)) - np.repeat(starts[:-1], np.diff(starts))
    earliest = np.full(len(distinct), len(terms))
    np.minimum.at(earliest, number.reshape(-1), within)
    most = np.searchsorted(np.cumsum(np.bincount(earliest)), MOST_WORDS, "right")  # words of a candidate
    kept = (within < most) | np.isin(terms, always)
    return terms[kept], np.concatenate([[0], np.cumsum(kept)])[starts]


def _word_vectors(corpus: Corpus, terms: Places, lexicon: Lexicon) -> Vectors:
    """Vectors of terms of the corpus, cached there."""
    name, none = lexicon.embedder.name, (np.full(len(corpus.terms), -1, np.int32), np.zeros((0, WORD_DIMENSIONS)))
    rows, made = corpus.word_cache.get(name, none)
    if len(made) + (rows[terms] < 0).sum() > MOST_KEPT_WORDS:
        rows, made = none
    if len(new := terms[rows[terms] < 0]):
        vectors = lexicon.embed([corpus.terms[place] for place in new.tolist()])[:, :WORD_DIMENSIONS]
        more = np.zeros((len(new), WORD_DIMENSIONS), np.float32)
        more[:, : vectors.shape[1]] = _unit(vectors)
        rows = rows.copy()  # another thread may read it
        rows[new] = np.arange(len(made), len(made) + len(new))
        made = np.concatenate([made, more]).astype(np.float32, copy=False)
        corpus.word_cache[name] = rows, made
    found: Vectors = made[rows[terms]]
    return found
