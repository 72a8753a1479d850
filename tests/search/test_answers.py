"""The kind of answer that a question asks for, and the texts that have one."""

import pytest

from memory.search.answers import asked_for, tells
from memory.search.passages import ask


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
def test_a_text_with_the_kind_of_answer_is_told_from_one_without(question: str, has_it: str, has_it_not: str) -> None:
    """Times, numbers and names."""
    kind = asked_for(ask(question, "english"))
    assert kind is not None
    assert tells(has_it, kind)
    assert not tells(has_it_not, kind)


@pytest.mark.parametrize("text", ["Yes. I did. Then we left.", "I've seen it, and I'm sure that I'd know."])
def test_what_begins_a_sentence_is_no_name(text: str) -> None:
    """Nor is "I"."""
    kind = asked_for(ask("Who was it?", "english"))
    assert kind is not None
    assert not tells(text, kind)


@pytest.mark.parametrize(
    ("question", "language"), [("What did she say about the ferry?", "english"), ("Wann fuhr die Fähre?", "german")]
)
def test_other_questions_ask_for_nothing_in_particular(question: str, language: str) -> None:
    """Nor do those in a language without patterns."""
    assert asked_for(ask(question, language)) is None
