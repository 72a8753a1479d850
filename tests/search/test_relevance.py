"""The ranking of a corpus: what its features see, and what its scores say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from memory.embedding import Embedder
from memory.search.asking import asked
from memory.search.confidence import COMMON, SIGNALS, confidence, signals
from memory.search.corpus import Corpus
from memory.search.embedders.default import default_embedder
from memory.search.entries import entry_of, read_text
from memory.search.features import FEATURES, features
from memory.search.relevance import rank, shapes, weights
from memory.search.view import View
from memory.search.weights import BY_WORDS, CONFIDENCE, NOTHING_BELOW, WEIGHTS

EMBEDDER = default_embedder()
CHAT = [
    ("s1", "Ada", "user", "What a week. I sprained my ankle on the stairs of the station."),
    ("s1", "assistant", "assistant", "I am sorry to hear that. Did you see a doctor?"),
    ("s1", "Ada", "user", "Yes, she gave me a bandage and told me to rest until Friday."),
    ("s2", "Ada", "user", "For the kitchen I chose oak shelves, 120 cm wide."),
    ("s2", "assistant", "assistant", "Oak is a durable choice. Which colour will the walls be?"),
    ("s2", "Ada", "user", "Sage green."),
    ("s3", "Ada", "user", "My sister Clara plays the oboe in the youth orchestra."),
    ("s3", "assistant", "assistant", "How long has she been playing?"),
    ("s3", "Ada", "user", "Since she was nine."),
]


def corpus_of(turns: list[tuple[str, str, str, str]]) -> Corpus:
    entries = []
    for place, (session, speaker, role, text) in enumerate(turns):
        read = read_text(text)
        vectors = EMBEDDER.embed_documents(list(read.texts))
        entries.append(
            entry_of(read, vectors, id=f"i{place:04d}", time=place, session=session, speaker=speaker, role=role)
        )
    return Corpus.of(entries)


def found(question: str, turns: list[tuple[str, str, str, str]], limit: int = 3) -> list[str]:
    return [turns[one.place][3] for one in rank(asked(question, EMBEDDER), corpus_of(turns), limit=limit)]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How did I hurt my foot?", 0),
        ("Which wood did I take for the kitchen?", 3),
        ("What colour will the kitchen be painted?", 5),
        ("Which instrument does my sister play?", 6),
        ("Since when has Clara played?", 8),
    ],
)
def test_answers_are_found_in_other_words_and_after_a_question(question: str, answer: int) -> None:
    assert CHAT[answer][3] in found(question, CHAT)


SPOKEN = {
    "german": ["Gestern haben wir die Häuser gestrichen.", "Morgen regnet es wieder.", "Der Hund heißt Bello."],
    "chinese": ["昨天买了三斤茶叶", "明天要下雨", "小狗叫豆豆"],
    "japanese": ["昨日お茶を三箱買いました", "明日は雨です", "犬の名前は豆太です"],
    "spanish": ["Ayer pintamos las casas del puerto.", "Mañana llueve otra vez.", "El perro se llama Bruno."],
    "hindi": ["कल मैंने तीन किताबें खरीदीं", "कल बारिश होगी", "कुत्ते का नाम मोती है"],
}


@pytest.mark.parametrize(
    ("question", "language", "place"),
    [
        ("Welches Haus wurde gestrichen?", "german", 0),
        ("买茶了吗", "chinese", 0),
        ("お茶はいくつ買った", "japanese", 0),
        ("¿Qué casa se pintó?", "spanish", 0),
        ("कितनी किताब खरीदी?", "hindi", 0),
    ],
)
def test_a_mixed_memory_is_searched_in_each_language(question: str, language: str, place: int) -> None:
    """Without a setting, and among texts of all languages, of which one may mean the same."""
    turns = [("s", "me", "user", text) for texts in SPOKEN.values() for text in texts]
    assert SPOKEN[language][place] in found(question, turns, limit=2)


def test_features_have_one_column_each_and_no_odd_values() -> None:
    view = View(asked("How did I hurt my foot?", EMBEDDER), corpus_of(CHAT))
    values = features(view).values
    assert values.shape == (len(view.places), len(FEATURES))
    assert np.isfinite(values).all()
    assert WEIGHTS.keys() <= set(FEATURES)
    assert CONFIDENCE.keys() == set(SIGNALS)


def test_words_alone_have_weights_of_their_own() -> None:
    """Without an embedder, or if no entry has a vector: then vectors count nothing."""
    corpus = corpus_of(CHAT)
    bare = replace(corpus, vectors=corpus.vectors[:0], scales=corpus.scales[:0], vector_starts=corpus.vector_starts * 0)
    question = "Which wood did I take for the shelves of the kitchen?"
    usual, *others = (
        weights(View(asked(question, embedder), some)).tolist()
        for embedder, some in ((EMBEDDER, corpus), (None, corpus), (EMBEDDER, bare))
    )
    assert others[0] == others[1] != usual
    assert rank(asked(question, None), corpus)[0].place == 3
    assert BY_WORDS.keys() <= set(FEATURES)


@pytest.mark.parametrize("question", ["", "?!", "zzz", "🎉", "a" * 10_000, "the of and", "\x00"])
@pytest.mark.parametrize("embedder", [EMBEDDER, None])
def test_odd_questions_have_scores(question: str, embedder: Embedder | None) -> None:
    assert all(0 <= one.score <= 1 for one in rank(asked(question, embedder), corpus_of(CHAT)))


INVOICES = [
    ("", "Ada", "user", text)
    for text in (
        "Invoice 4711 was paid on Tuesday.",
        "Invoice 4712 is still open.",
        "The customer called about invoice 4711.",
        "Broken printers are on the third floor.",
        "The wifi password is tulip-44.",
        "Now the wifi has rose-55.",
    )
]


@pytest.mark.parametrize("embedder", [EMBEDDER, None])
@pytest.mark.parametrize(
    ("question", "places"),
    [("4711", {0, 2}), ("invoice 4712", {1}), ("tulip-44", {4}), ("wifi", {4, 5}), ("broken printer floor", {3})],
)
def test_words_as_typed_into_a_search_box_find_what_has_them(
    question: str, places: set[int], embedder: Embedder | None
) -> None:
    """Before what is near it, or has only some of them."""
    ranked = rank(asked(question, embedder), corpus_of(INVOICES), limit=len(places))
    assert {one.place for one in ranked} == places


def test_the_shape_of_a_memory_is_seen() -> None:
    equals = [(session, speaker, "", text) for session, speaker, _, text in CHAT]
    assert shapes(View(asked("What?", None), corpus_of(CHAT))).tolist() == [1, 0, 0, 0]
    assert shapes(View(asked("What?", None), corpus_of(equals))).tolist() == [1, 1, 0, 0]
    assert shapes(View(asked("什么", None), corpus_of(CHAT))).tolist() == [1, 0, 1, 1]
    assert shapes(View(asked("什么时候去旅行", None), corpus_of(CHAT))).tolist() == [1, 0, 1, 0]
    assert shapes(View(asked("invoice 4711", None), corpus_of(CHAT))).tolist() == [1, 0, 0, 1]


def test_scores_are_in_the_order_of_the_ranking() -> None:
    results = rank(asked("Which instrument does my sister play?", EMBEDDER), corpus_of(CHAT), limit=9)
    assert [one.score for one in results] == sorted((one.score for one in results), reverse=True)
    sums = [sum(one.parts.values()) for one in results]
    assert sums == sorted(sums, reverse=True)


def test_nonsense_and_questions_about_something_else_score_low() -> None:
    """So that a `min_score` can return nothing."""
    memory = corpus_of(CHAT)
    best = rank(asked("Which instrument does my sister play?", EMBEDDER), memory)[0].score
    for nonsense in ("zzz qqq", "How high is the interest rate of the central bank of Brazil?"):
        results = rank(asked(nonsense, EMBEDDER), memory)
        assert all(one.score < best / 2 for one in results)
    assert best > NOTHING_BELOW


def test_the_signals_of_one_question_differ_in_the_share_only() -> None:
    made = signals(np.arange(len(COMMON), dtype=float), np.array([3.0, 1.0, -4.0]))
    assert (made[:, 1:] == made[0, 1:]).all()
    assert np.exp(made[:, 0]).sum() == pytest.approx(1.0)
    scores = confidence(made)
    assert (np.diff(scores) < 0).all()


def test_many_entries_are_compared_by_signs_first() -> None:
    """Beyond `EXACT_ROWS` vectors the nearest are selected by signs, and what is found stays the same."""
    fillers = [("f", "Bo", "user", f"Order {number} was shipped to depot {number % 97}.") for number in range(4_000)]
    assert CHAT[0][3] in found("How did I hurt my foot?", [*fillers, *CHAT])


@pytest.mark.parametrize(("asker", "speaker"), [("", "Ada"), ("Bo", "Bo"), ("nobody", "Ada")])
def test_the_asker_of_a_question_in_the_first_person_is_seen(asker: str, speaker: str) -> None:
    """A named speaker, and otherwise the user."""
    turns = [("s", "Ada", "user", "My train was late."), ("s", "Bo", "agent", "My bus was late.")]
    corpus = corpus_of(turns)
    for text, expected in (("What of mine was late?", speaker), ("What was late?", "")):
        view = View(asked(text, EMBEDDER, asker=asker), corpus)
        said = features(view).raw["user_first"]
        assert [turns[place][1] for place in view.places[said > 0]] == ([expected] if expected else [])
