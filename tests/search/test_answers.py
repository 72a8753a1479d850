"""The kind of answer that a question asks for, and the texts that contain it."""

import time

import pytest

from memory.search.answers import addressed, asked_for, asks_for_several, has_answer
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
def test_a_text_with_the_kind_of_answer_differs_from_one_without(question: str, has_it: str, has_it_not: str) -> None:
    """Times, numbers and names."""
    kind = asked_for(ask(question, "english"))
    assert kind is not None
    assert has_answer(has_it, kind)
    assert not has_answer(has_it_not, kind)


@pytest.mark.parametrize("text", ["Yes. I did. Then we left.", "I've seen it, and I'm sure that I'd know."])
def test_what_begins_a_sentence_is_no_name(text: str) -> None:
    """The first word of a sentence is not a name, nor is "I"."""
    kind = asked_for(ask("Who was it?", "english"))
    assert kind is not None
    assert not has_answer(text, kind)


@pytest.mark.parametrize(
    ("question", "language"), [("What did she say about the ferry?", "english"), ("Wann fuhr die Fähre?", "german")]
)
def test_other_questions_ask_for_nothing_in_particular(question: str, language: str) -> None:
    """Other questions have no kind of answer, nor do those in a language without patterns."""
    assert asked_for(ask(question, language)) is None


@pytest.mark.parametrize(
    ("question", "several"),
    [
        ("Which hobbies has Ada tried?", True),
        ("What kinds of cakes does she bake?", True),
        ("What has he built for the garden?", True),
        ("Where have both of them been?", True),
        ("What did she bake on Sunday?", False),
        ("What is his favourite dish?", False),
        ("Which bus does she take?", False),
        ("When did they buy the boats?", False),
        ("", False),
    ],
)
def test_a_question_for_several_things_is_recognised(question: str, several: bool) -> None:
    """Recognized by a plural that somebody has or does, by what somebody has done, or by both."""
    assert asks_for_several(ask(question, "english")) is several
    assert not asks_for_several(ask(question, "german"))


def test_a_question_of_many_words_takes_no_longer() -> None:
    """Only the beginning of a long question is examined."""
    began = time.process_time()
    assert not asks_for_several(ask("what " + "has " * 2_400 + "-" * 300, "english"))
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("You did well, and your cake, too.", 2),
        ("I'm glad you're here. YOU'VE earned it!", 2),
        ("Young yours.", 1),
        ("", 0),
    ],
)
def test_words_for_the_other_are_counted(text: str, times: int) -> None:
    """Words in all their forms; a language without a pattern has none."""
    assert addressed(text, "english") == times
    assert addressed(text, "finnish") == 0
