"""Small files of real shapes: each becomes the conversation that a person expects."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memory.models import MemoryItem

from .conversations import conversations, rejects_of, run_import

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

CASES = Path(__file__).parent / "cases"
PROFILE = "user: Name: Ada. Mends sails in Brest.\nAnswer in a line."
EXPECTED: dict[str, dict[str, list[str]]] = {
    "adk.json": {"s1": ["user: Hi"]},
    "anthropic_answer.json": {"file": ["assistant: Hello"]},
    "calls_before.json": {"file": ["assistant: [list_files]", "assistant: ok"]},
    "calls_after.json": {"file": ["assistant: [delete_file]", "user: ok"]},
    "chatgpt_branches.json": {
        "a1": [
            "user: Name: Ada\nBe short",
            "user: Plan this small boat",
            "assistant: Looking at the hull\nIt is narrow.",
            "assistant: print(6*7)",
            "tool: 42",
            "assistant: Thought for 6s",
            "*assistant: Use 7 ribs.",
            "assistant: Use 42 ribs. \ue200cite\ue202turn0search0\ue201",
        ]
    },
    "chatgpt_content_types.json": {
        "a2": [
            "user: How deep is the lock?",
            "assistant: Four metres.",
            "assistant: Locks\nA page of locks",
            "assistant: rate limit",
            "assistant: A title\nquoted words",
            "assistant: # 0 locks\nnone",
            "assistant: 1. [2026-01-01]. Likes locks",
            "assistant: S\nonly in chunk",
            "assistant: https://example.org",
            "assistant: out",
            "assistant: w\nls -l",
            "assistant: a\nb\n",
        ]
    },
    "chatgpt_equal_times.json": {"eq": [f"{'assistant' if n % 2 else 'user'}: step {n}" for n in range(4)]},
    "chatgpt_late_thought.json": {
        "c": ["system: profile", "user: question", "assistant: thinking", "assistant: answer"]
    },
    "chatgpt_profiles.json": {
        "cv0": [PROFILE, "user: Tell me about pasta"],
        "cv1": ["user: Tell me about skiing"],
        "cv10": ["user: I mend nets now"],
    },
    "chatgpt_tools_at_once.json": {
        "c": ["user: 1 question", "assistant: 2 call", "tool: 3 output", "assistant: 4 answer"]
    },
    "claude.zip": {"k1": ["user: Which port?"]},
    "events.json": {},
    "gemini.json": {"file": ["user: Hi there", "assistant: Hello"]},
    "langchain_answers_timed.json": {"file": ["user: Q1", "assistant: A1", "user: Q2", "assistant: A2"]},
    "langchain_before.json": {
        "file": ["user: Tidy the charts", "assistant: [list_files]", "tool: ok", "assistant: ok"]
    },
    "langchain_after.json": {"file": ["user: Tidy the charts", "assistant: [delete_file]", "tool: ok", "user: ok"]},
    "langchain_blocks.json": {
        "file": [
            "system: Be calm",
            "user: What is in\nthis picture?",
            "assistant: Looking",
            "assistant: A gull.",
            "pilot: I am the pilot",
            "function: {}",
            "assistant: chunked",
            "developer: dev says",
            "assistant: I cannot",
            "user: class name type",
        ]
    },
    "langchain_equal_times.json": {"file": [f"{'assistant' if n % 2 else 'user'}: step {n}" for n in range(4)]},
    "langchain_redis.jsonl": {
        "alpha": ["user: Alpha, hello", "assistant: Hello, alpha"],
        "beta": ["user: Beta, bye"],
    },
    "langchain_redis_sessions.jsonl": {"alpha": ["user: alpha asks"], "beta": ["user: beta asks"]},
    "langchain_responses.json": {
        "file": ["user: When is high tide?", "assistant: At 6.", "user: And low tide?", "assistant: At noon."]
    },
    "langchain_some_times.json": {
        "file": ["user: When is high tide?", "assistant: At 6.", "user: And low tide?", "assistant: At noon."]
    },
    "letta.json": {"a": ["user: Hi"]},
    "mem0.json": {"": ["Likes rain"]},
    "openai_completion.json": {"file": ["assistant: Hello"]},
    "openai_finetuning.jsonl": {name: ["user: Hi", "assistant: Hello"] for name in ("file", "file-2", "file-3")},
    "openai_items.json": {"file": ["user: Hi", "assistant: [f]"]},
    "openai_messages.json": {"file": ["system: Be calm", "user: Hi", "assistant: [f]"]},
    "sharegpt.json": {"s1": ["user: Hi", "assistant: Hello"]},
    "stream_events.json": {},
}
REFUSED = {"events.json": 2, "stream_events.json": 3}


def test_each_file_has_its_line() -> None:
    """The table names all files."""
    assert {path.name for path in CASES.iterdir()} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file(name: str, tmp_path: Path) -> None:
    """Sessions, roles, texts and order; a second import changes nothing; events are rejected with a reason."""
    path = tmp_path / f"file{Path(name).suffix}"
    shutil.copy(CASES / name, path)
    code, said = run_import(path)
    users = set(MemoryItem.objects.values_list("user_id", flat=True))
    assert users <= {"ada", "bo", "u1"}
    assert conversations() == EXPECTED[name]
    assert (code, len(rejects_of(path))) == ((1, REFUSED[name]) if name in REFUSED else (0, 0)), said
    assert all("looks like an event" in reject["reason"] for reject in rejects_of(path))
    _, said = run_import(path)
    assert "added" not in said
    assert "updated" not in said
    assert conversations() == EXPECTED[name]


@pytest.mark.parametrize(
    ("first", "second", "differences"),
    [
        ("calls_before.json", "calls_after.json", ["metadata.tool_calls", "metadata.role"]),
        (
            "langchain_before.json",
            "langchain_after.json",
            ["metadata.tool_calls", "metadata.name", "metadata.role"],
        ),
    ],
)
def test_a_file_that_changed(first: str, second: str, differences: list[str], tmp_path: Path) -> None:
    """Messages that differ are rejected by name, and overwritten with --update."""
    path = tmp_path / "file.json"
    shutil.copy(CASES / first, path)
    run_import(path)
    shutil.copy(CASES / second, path)
    assert run_import(path)[0] == 1
    assert [reject["reason"].partition(". ")[0].rpartition(" in ")[2] for reject in rejects_of(path)] == differences
    assert run_import(path, "--update")[0] == 0
    assert conversations() == EXPECTED[second]
    assert rejects_of(path) == []
