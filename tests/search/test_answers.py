"""The kind of answer that a question asks for, and the texts that contain it."""

import pytest

from memory.search.answers import KINDS, Kind


def asked_for(question: str) -> Kind | None:
    return next((kind for kind in KINDS["english"] if kind.asks.search(question)), None)


@pytest.mark.parametrize(
    ("question", "has_it", "has_it_not"),
    [
        ("When did the ferry sail?", "It left on Tuesday.", "It was late."),
        ("What year was she born?", "That was 1962, in a storm.", "In a storm, at home."),
        ("How many people came?", "A hundred and ten.", "Hardly anybody."),
        ("How old is the cat?", "She's 17.", "She's old."),
        ("Who repaired the clock?", "I think that Felix did it.", "Somebody from the village did it."),
        ("What is the name of the boat?", "We called her Patience.", "We never gave her one."),
        ("Where was the boat built?", "In a yard near Arendal.", "In a yard by the sea."),
    ],
)
def test_a_text_with_the_kind_of_answer_differs_from_one_without(question: str, has_it: str, has_it_not: str) -> None:
    """Times, numbers and names."""
    kind = asked_for(question)
    assert kind is not None
    assert kind.has.search(has_it)
    assert not kind.has.search(has_it_not)


@pytest.mark.parametrize("text", ["Yes. I did. Then we left.", "I've seen it, and I'm sure that I'd know."])
def test_what_begins_a_sentence_is_no_name(text: str) -> None:
    """The first word of a sentence is not a name, nor is "I"."""
    kind = asked_for("Who was it?")
    assert kind is not None
    assert not kind.has.search(text)


def test_other_questions_ask_for_nothing_in_particular() -> None:
    assert asked_for("What did she say about the ferry?") is None
