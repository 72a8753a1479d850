"""Tool calls, results, thinking and attachments in metadata, in the forms of the vendors."""

from __future__ import annotations

from typing import Any

import pytest

from memory.admin.turn_parts import CALL, MAX_VALUE, RESULT, Call, extras


@pytest.mark.parametrize(
    ("metadata", "calls"),
    [
        (  # OpenAI
            {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}]},
            [Call(CALL, "find", '{"q": 1}')],
        ),
        ({"tool_calls": [{"name": "find", "args": {"q": 1}}]}, [Call(CALL, "find", '{\n  "q": 1\n}')]),  # LangChain
        (  # Anthropic
            {"parts": [{"type": "tool_use", "name": "find", "input": "x"},
                       {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "42"}]}]},
            [Call(CALL, "find", "x"), Call(RESULT, "c1", "42")],
        ),
        (  # Gemini, ADK
            {"parts": [{"function_call": {"name": "find", "args": "x"}},
                       {"function_response": {"name": "find", "response": "y"}}]},
            [Call(CALL, "find", "x"), Call(RESULT, "find", "y")],
        ),
        ({"function_call": {"name": "old", "arguments": "{}"}}, [Call(CALL, "old", "{}")]),
        ({"tool_calls": ["odd"]}, [Call(CALL, "", "odd")]),
    ],
)  # fmt: skip
def test_calls(metadata: dict[str, Any], calls: list[Call]) -> None:
    """Name, and arguments or answer."""
    found = extras(metadata)
    assert list(found.calls) == calls
    assert found.rest == {}


def test_thinking_attachments_and_branch() -> None:
    """What remains is shown as metadata."""
    found = extras(
        {
            "role": "assistant",
            "branch": True,
            "thinking": "first",
            "parts": [
                {"type": "thinking", "thinking": "second"},
                {"type": "image", "name": "cat.png", "mime_type": "image/png"},
                {"type": "new", "x": 1},
            ],
            "attachments": [{"name": "plan.pdf"}, "notes.txt"],
            "model": "m",
        }
    )
    assert found.thinking == "first\n\nsecond"
    assert list(found.attachments) == ["plan.pdf", "notes.txt", "cat.png · image/png"]
    assert found.branch
    assert found.rest == {"model": "m", "parts": [{"type": "new", "x": 1}]}


@pytest.mark.parametrize("metadata", [None, [], "x", {}, {"parts": "x", "tool_calls": 3}, {"parts": [None, 1, [], {}]}])
def test_unusual_metadata(metadata: Any) -> None:
    """Nothing is lost, nothing raises."""
    found = extras(metadata)
    assert not found.calls
    if isinstance(metadata, dict):
        assert found.rest == metadata
    assert not found.thinking


def test_long_values_are_cut() -> None:
    """At the limit."""
    [call] = extras({"tool_calls": [{"name": "find", "args": "x" * (MAX_VALUE + 1)}]}).calls
    assert call.text == "x" * MAX_VALUE + "…"
