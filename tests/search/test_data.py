"""The labelled set for tuning and evaluating retrieval has its documented format."""

import json
from collections import Counter
from datetime import datetime
from itertools import chain, pairwise

import pytest

from tests.search.data import build

HALVES = {
    half: json.loads((build.FOLDER / f"{half}.json").read_text("utf-8"))["conversations"] for half in build.HALVES
}
FRIENDS = {
    name: json.loads((build.FOLDER / f"{name}.json").read_text("utf-8"))["conversations"] for name in build.FRIENDS
}
ALL = list(chain.from_iterable([*HALVES.values(), *FRIENDS.values()]))

by_conversation = pytest.mark.parametrize("conversation", ALL, ids=lambda one: one["id"])
by_conversation_of_halves = pytest.mark.parametrize(
    "conversation", list(chain.from_iterable(HALVES.values())), ids=lambda one: one["id"]
)


def counted(key, conversations):
    return sum(len(one[key]) for one in conversations)


@pytest.mark.parametrize("half", build.HALVES)
def test_stored_json_is_what_the_sources_say(half):
    """A change of a source that was not built is detected."""
    assert (build.FOLDER / f"{half}.json").read_text("utf-8") == build.dump(build.read_half(half))


def test_set_is_large_enough():
    """At least 3,000 turns and 200 questions, and each half has enough of both to mean something."""
    assert counted("turns", ALL) >= 3000
    assert counted("questions", ALL) >= 200
    for half in HALVES.values():
        assert counted("turns", half) >= 1200
        assert counted("questions", half) >= 80


def test_halves_share_nothing():
    """No conversation, speaker, turn's text or question of the tuning half is in the held-out half."""
    tuning, heldout = (
        {
            *(one["id"] for one in half),
            *(turn[key] for one in half for turn in one["turns"] for key in ("id", "speaker")),
            *(turn["text"] for one in half for turn in one["turns"] if len(turn["text"].split()) > 4),
            *(question["question"] for one in half for question in one["questions"]),
        }
        for half in HALVES.values()
    )
    assert tuning & heldout == set()


def test_ids_are_unique():
    """Ids of turns and conversations are unique over all files."""
    ids = Counter(chain((one["id"] for one in ALL), (turn["id"] for one in ALL for turn in one["turns"])))
    assert [identity for identity, count in ids.items() if count > 1] == []


def kinds(conversations):
    return Counter(question["category"].split("/")[0] for one in conversations for question in one["questions"])


@pytest.mark.parametrize("half", build.HALVES)
def test_every_category_is_in_both_halves(half):
    """A part of the ranking that helps one kind of question shows in either half."""
    counts = Counter(question["category"] for one in HALVES[half] for question in one["questions"])
    assert {f"oblique/{category}" for category in build.CATEGORIES} <= counts.keys()
    assert {f"plain/{category}" for category in ("single", "multi", "temporal", "inference")} <= counts.keys()
    assert min(counts.values()) >= 5


@pytest.mark.parametrize("name", FRIENDS)
def test_friends_are_asked_about_in_every_way(name):
    """At least six conversations with 80 questions or more; "mixed-up" ones name the other of the two friends."""
    counts = Counter(question["category"] for one in FRIENDS[name] for question in one["questions"])
    assert counts.keys() == {f"friends/{kind}" for kind in ("single", "multi", "temporal", "inference", "mixed-up")}
    assert min(counts.values()) >= 10
    assert len(FRIENDS[name]) >= 6
    assert min(len(one["questions"]) for one in FRIENDS[name]) >= 80


@by_conversation_of_halves
def test_plain_questions_are_many(conversation):
    """At least 45 for each conversation, as people ask: they weigh more than those that avoid the words."""
    assert kinds([conversation])["plain"] >= 45


@by_conversation
def test_evidence_is_in_the_conversation(conversation):
    """Each question names one to six turns of its own conversation, each once."""
    turns = {turn["id"] for turn in conversation["turns"]}
    for question in conversation["questions"]:
        evidence = question["evidence"]
        assert 1 <= len(evidence) <= 6, question
        assert len(set(evidence)) == len(evidence), question
        assert turns.issuperset(evidence), question


@by_conversation
def test_conversation_is_long_and_runs_forward(conversation):
    """Two speakers, 15 to 30 sessions over months, at least 300 turns and 45 questions, in the order of their times.

    Some know the times of their sessions only: turns of one session may have the same.
    """
    turns = conversation["turns"]
    times = [datetime.fromisoformat(turn["time"]) for turn in turns]
    assert len({turn["speaker"] for turn in turns}) == 2
    assert 15 <= len({turn["session"] for turn in turns}) <= 30
    assert len(turns) >= 300
    assert len(conversation["questions"]) >= 45
    assert all(
        earlier < later or (earlier == later and one["session"] == other["session"])
        for (earlier, one), (later, other) in pairwise(zip(times, turns, strict=True))
    )
    assert (times[-1] - times[0]).days >= 90


@by_conversation
def test_no_turn_or_question_occurs_twice(conversation):
    """Every turn was written: no two turns of more than four words are the same, and no two questions."""
    said = Counter(turn["text"].casefold() for turn in conversation["turns"] if len(turn["text"].split()) > 4)
    asked = Counter(question["question"].casefold() for question in conversation["questions"])
    assert [text for text, count in (said + asked).items() if count > 1] == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Z: who is this?", "not a turn of a known speaker"),
        ("M^one: again", "is taken"),
        ("# session | 2020-01-01 10:00", "before the one above"),
        ("# plain questions\nWhat? | two | single", "unknown labels"),
        ("# oblique questions\nWhat? | one | guess", "unknown labels"),
    ],
)
def test_source_that_does_not_read_is_refused(line, message):
    """A typing error is reported by file and line instead of becoming wrong evidence."""
    source = f"speakers: M=Maya, T=Tom\n# session | 2025-01-01 10:00\nM^one: hello\n{line}\n"
    with pytest.raises(build.SourceError, match=rf"^slip, line [45]: .*{message}"):
        build.read("slip", source)
