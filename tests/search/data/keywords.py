"""Questions of one to three words, as people type them into a search box, made from the memories themselves.

A question has a word that few turns of a memory have (in half of the cases a number, if the turn has one), and up to
two other words of that turn. Its evidence is every turn with all of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from memory.search.corpus import Corpus
from memory.search.labelled import Conversation, Label
from memory.search.languages import ENGLISH
from memory.search.terms import index_terms, stop_terms, words

KIND = "keywords"
EACH = 6
"""Questions of a memory: as many of one, two and three words."""
MOST_TURNS = 4
"""That have the rare word."""
MOST_WORDS = 3


class Word(NamedTuple):
    """A word of a turn, and the places of all entries that have its term."""

    text: str
    places: frozenset[int]


def keyword_labels(conversation: Conversation, corpus: Corpus, seed: int = 11) -> list[Label]:
    """The same questions for the same memory."""
    chance = random.Random(f"{seed} {conversation.id}")  # noqa: S311
    texts = {one.id: one.text for one in conversation.passages}
    places_of = _places_of_terms(corpus)
    order = list(range(len(corpus)))
    chance.shuffle(order)
    found: list[Label] = []
    for place in order:
        said, language = texts[corpus.ids[place]], corpus.languages[corpus.language[place]]
        chosen = _chosen(list(_words(said, language, corpus, places_of, chance)), len(found) % MOST_WORDS, chance)
        if chosen:
            evidence = frozenset(corpus.ids[one] for one in frozenset.intersection(*(word.places for word in chosen)))
            question = " ".join(word.text for word in chosen)
            found.append(Label(question, evidence, f"{KIND}/{len(chosen)}"))
        if len(found) == EACH:
            break
    return found


def _places_of_terms(corpus: Corpus) -> Mapping[int, frozenset[int]]:
    starts, terms = corpus.terms_by_entry
    found: dict[int, set[int]] = {}
    for place in range(len(corpus)):
        for term in terms[starts[place] : starts[place + 1]].tolist():
            found.setdefault(term, set()).add(place)
    return {term: frozenset(places) for term, places in found.items()}


def _words(
    text: str, language: str, corpus: Corpus, places_of: Mapping[int, frozenset[int]], chance: random.Random
) -> Iterator[Word]:
    """The words of a text; of a run of a script without spaces one pair of characters.

    Without stop words and names of speakers, which a search takes for the speaker.
    """
    names = {term for speaker in corpus.speakers for term in index_terms(speaker, language)}
    for word in dict.fromkeys(words(text)):
        terms = index_terms(word, language)
        if len(terms) > 1:
            word = chance.choice([term for term in terms if len(term) > 1] or terms)
            terms = [word]
        place = corpus.terms.place_of(terms[0]) if terms else None
        if place is not None and terms[0] not in names | stop_terms(ENGLISH):
            yield Word(word, places_of[place])


def _chosen(every: list[Word], others: int, chance: random.Random) -> list[Word]:
    """A rare word and some others in any order; none if there is no rare one."""
    rare = [word for word in every if len(word.places) <= MOST_TURNS]
    if not rare:
        return []
    numbers = [word for word in rare if any(map(str.isdigit, word.text))]
    first = chance.choice(numbers if numbers and chance.random() < 0.5 else rare)
    rest = [word for word in every if word is not first]
    chosen = [first, *chance.sample(rest, min(others, len(rest)))]
    chance.shuffle(chosen)
    return chosen
