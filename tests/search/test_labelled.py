"""Files of labelled conversations, as people and programs write them."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from memory.search.labelled import Conversation, EvaluationError, read_conversations
from tests.search.data import build

TURN = {"id": "t1", "session": "s", "speaker": "Ada", "time": "2024-05-01T10:00:00Z", "text": "The ferry was late."}
QUESTION = {"question": "What was late?", "evidence": ["t1"], "category": "plain/single"}


def read(turns: Any = (TURN,), questions: Any = (QUESTION,)) -> Conversation:
    """The one conversation of a file."""
    data = {"conversations": [{"id": "c", "turns": list(turns), "questions": list(questions)}]}
    return read_conversations(json.dumps(data))[0]


def without(one: dict[str, Any], name: str) -> dict[str, Any]:
    """A record that lacks a key."""
    return {key: value for key, value in one.items() if key != name}


@pytest.mark.parametrize(
    ("given", "read_as"), [(4, "4"), ("4", "4"), ("multi/hop", "multi/hop"), (None, ""), (1.5, "1.5")]
)
def test_a_category_is_a_text_a_number_or_nothing(given: Any, read_as: str) -> None:
    """A missing category is valid, too."""
    first, second = read(questions=[{**QUESTION, "category": given}, without(QUESTION, "category")]).labels
    assert (first.category, second.category) == (read_as, "")


def test_a_question_may_name_its_asker() -> None:
    named, other = read(questions=[{**QUESTION, "asker": "Bo"}, QUESTION]).labels
    assert (named.asker, other.asker) == ("Bo", "")


def test_ids_may_be_numbers() -> None:
    """Ids of turns and sessions, also in the evidence."""
    found = read([{**TURN, "id": 7, "session": 3}], [{**QUESTION, "evidence": [7]}])
    assert (found.passages[0].id, found.passages[0].session) == ("7", "3")
    assert found.labels[0].evidence == {"7"}


@pytest.mark.parametrize("time", ["2024-05-01T10:00:00", "2024-05-01T10:00:00Z", "2024-05-01T12:00:00+02:00"])
def test_times_have_an_offset_or_are_utc(time: str) -> None:
    """ISO 8601, as Python reads it."""
    assert read([{**TURN, "time": time}]).passages[0].time == datetime(2024, 5, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        "10:00 am on 1 May, 2024",
        "1 May 2024 10:00",
        "May 1, 2024 10:00 AM",
        "2024/05/01 (Wed) 10:00",
        "Wed, 01 May 2024 12:00:00 +0200",
        1714557600,
        1714557600.0,
    ],
)
def test_times_as_people_write_them(time: object) -> None:
    """Formats of people, mails and programs are accepted without a warning."""
    found = read([{**TURN, "time": time}])
    assert found.passages[0].time == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert found.left_out == ()


@pytest.mark.parametrize("time", ["last week", "32 May, 2024", True, 1e40, [2024], {"day": 1}])
def test_invalid_times_are_reported(time: object) -> None:
    """The turn is kept, with the time of the one before it."""
    found = read([TURN, {**TURN, "id": "t2", "time": time}])
    first, second = (one.time for one in found.passages)
    assert second == first + timedelta(microseconds=1)
    [message] = found.left_out
    assert message.startswith("conversations[0].turns[1].time is ")


def test_turns_of_one_time_are_in_the_order_of_the_file() -> None:
    """If only sessions have a time, the tenth turn does not precede the second, as sorting by id would have it."""
    found = read([{**TURN, "id": f"D1:{number}"} for number in range(1, 13)])
    in_time = sorted(found.passages, key=lambda passage: (passage.time, passage.id))
    assert [passage.id for passage in in_time] == [f"D1:{number}" for number in range(1, 13)]
    assert in_time[-1].time - in_time[0].time < timedelta(milliseconds=1)


@pytest.mark.parametrize("nothing", [{}, {"time": None}, {"time": ""}])
def test_a_turn_without_a_time_follows_the_one_before(nothing: dict[str, Any]) -> None:
    """At any position."""
    untimed = [{**without(TURN, "time"), **nothing, "id": name} for name in ("a", "c", "b")]
    found = read([untimed[0], {**TURN, "id": "t1"}, *untimed[1:]]).passages
    assert sorted(found, key=lambda passage: passage.time) == list(found)
    assert found[3].time - found[1].time < timedelta(milliseconds=1)


def test_no_session_no_speaker_and_no_text() -> None:
    """Turns without a session share one; a picture has no text."""
    bare = {"id": "t1", "time": TURN["time"], "text": None}
    found = read([bare, {**bare, "id": "t2", "session": ""}]).passages
    assert len({passage.session for passage in found}) == 1
    assert [(passage.speaker, passage.text) for passage in found] == [("", ""), ("", "")]


@pytest.mark.parametrize(
    ("question", "evidence", "message"),
    [
        ({"evidence": []}, None, "no evidence"),
        ({"evidence": None}, None, "no evidence"),
        ({"evidence": ["D9", "D9:1; D9:2"]}, None, "not a turn: 'D9', 'D9:1', 'D9:2'."),
        ({"evidence": ["D9; t1, t1"]}, {"t1"}, "no turn by 'D9'"),
        ({"evidence": "t1 t1"}, {"t1"}, ""),
        ({"evidence": ["t1", "D", "t1"]}, {"t1"}, "no turn by 'D'"),
        ({"evidence": "t1"}, {"t1"}, ""),
        ({"question": " "}, None, "asks nothing"),
    ],
)
def test_unusable_questions_are_skipped_and_reported(question: Any, evidence: set[str] | None, message: str) -> None:
    """The report has its position; everything else is measured."""
    found = read(questions=[QUESTION, {**QUESTION, **question}])
    assert [label.evidence for label in found.labels[1:]] == ([] if evidence is None else [evidence])
    assert len(found.left_out) == bool(message)
    assert all(one.startswith("conversations[0].questions[1] ") and message in one for one in found.left_out)


@pytest.mark.parametrize(
    ("turns", "questions", "problem"),
    [
        ([TURN, TURN], [], r"turns\[1\].id is 't1', which an earlier turn has"),
        ([without(TURN, "id")], [], r"turns\[0\].id must be a string"),
        ([{**TURN, "text": ["a"]}], [], r"turns\[0\].text must be a string"),
        ([{**TURN, "speaker": {}}], [], r"turns\[0\].speaker must be a string"),
        (["The ferry"], [], r"turns\[0\] must be an object"),
        ([TURN], ["What?"], r"questions\[0\] must be an object"),
        ([TURN], [without(QUESTION, "question")], r"questions\[0\].question must be a string"),
        ([TURN], [{**QUESTION, "evidence": [{"id": "t1"}]}], r"questions\[0\].evidence is .* list of ids of turns"),
        ([TURN], [{**QUESTION, "category": True}], r"questions\[0\].category must be a string"),
    ],
)
def test_an_invalid_conversation_is_reported_with_its_place(
    turns: list[Any], questions: list[Any], problem: str
) -> None:
    """The error has the position in the file."""
    with pytest.raises(EvaluationError, match=problem):
        read(turns, questions)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "not JSON"), ("[]", "conversations"), ('{"conversations": []}', "conversations"), ("[" * 10**6, "not JSON")]
    + [
        (json.dumps({"conversations": [one]}), r"conversations\[0\]") for one in (None, {}, {"turns": []}, {"turns": 5})
    ],
)
def test_what_is_no_file_of_conversations_says_so(text: str, problem: str) -> None:
    """The error names the problem."""
    with pytest.raises(EvaluationError, match=problem):
        read_conversations(text)


def evaluated(data: Any, file: Path, **options: Any) -> tuple[dict[str, Any], str]:
    """The command's JSON output, and its warnings."""
    file.write_text(json.dumps(data, ensure_ascii=False), "utf-8-sig")
    out, complaints = io.StringIO(), io.StringIO()
    call_command("memory_evaluate", str(file), json=True, stdout=out, stderr=complaints, **options)
    return json.loads(out.getvalue()), complaints.getvalue()


def test_a_file_of_many_oddities_is_measured(tmp_path: Path) -> None:
    """Conversations without turns or questions, in many scripts, with speakers without names."""
    talk = {
        "turns": [TURN, {"id": 2, "speaker": "美咲 👩‍🎨", "text": "猫が好きです。"}, {"id": 3, "text": None}],
        "questions": [{**QUESTION, "category": 1}, {"question": "誰が猫を好きですか", "evidence": 2, "category": 2}]
        + [{"question": "Who?", "evidence": [f"D{number}"]} for number in range(20)],
    }
    data = {"conversations": [talk, {"turns": [], "questions": []}, {"turns": [TURN], "questions": []}]}
    table, complaints = evaluated(data, tmp_path / "set.json")
    assert table["size"] == {"conversations": 3, "turns": 4, "questions": 2, "left_out": 20}
    assert table["all"]["recall@10"] == 1.0
    assert {name: row["questions"] for name, row in table["categories"].items()} == {"1": 1, "2": 1}
    assert complaints.splitlines()[0] == (
        "Skipped: conversations[0].questions[2] has evidence that is not a turn: 'D0'."
    )
    assert complaints.splitlines()[-1] == "Skipped: 10 more."


def test_a_file_without_anything_to_measure_says_so(tmp_path: Path) -> None:
    """And why."""
    with pytest.raises(CommandError, match="no questions with evidence"):
        evaluated({"conversations": [{"turns": [TURN], "questions": [{**QUESTION, "evidence": []}]}]}, tmp_path / "f")


def test_times_of_sessions_alone_lose_nothing_of_the_order(tmp_path: Path) -> None:
    """The figures of the labelled set are the same if each turn has its session's time."""
    (first, *_) = json.loads((build.FOLDER / "tuning.json").read_text("utf-8"))["conversations"]
    table, _ = evaluated({"conversations": [first]}, tmp_path / "a.json", embedder="none")
    begun: dict[str, str] = {}
    for number, turn in enumerate(first["turns"]):
        turn["time"] = begun.setdefault(turn["session"], turn["time"])
        renamed = f"D{1_000 - number}"
        for question in first["questions"]:
            question["evidence"] = [renamed if one == turn["id"] else one for one in question["evidence"]]
        turn["id"] = renamed
    again, _ = evaluated({"conversations": [first]}, tmp_path / "b.json", embedder="none")
    for name in ("recall@5", "recall@10", "recall@20"):
        assert again["all"][name] == table["all"][name]
