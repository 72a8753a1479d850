"""Validation before any store is called."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from memory.exceptions import ValidationError
from memory.stores import MemoryManagerStub, PersonaConfig

SURROGATE = "\ud800"


@pytest.mark.parametrize(
    ("method", "arguments", "named"),
    [
        ("add_memory_items", (5,), "items"),
        ("add_raw_agent_data_batch", ("text",), "batch"),
        ("get_memory_item", (5,), "item_id"),
        ("get_memory_item", ("a/b",), "item_id"),
        ("get_raw_agent_data", ("",), "data_id"),
        ("get_conversation_history", (SURROGATE,), "user_id"),
        ("get_conversation_history", ("ada", "s", 5, {SURROGATE: "x"}), SURROGATE),
        ("semantic_search", ("ada", None), "query_embedding"),
        ("check_duplicate", (None,), "item"),
    ],
)
def test_arguments_of_the_wrong_kind(method: str, arguments: tuple[Any, ...], named: str) -> None:
    """Errors are reported by the argument's name."""
    manager = MemoryManagerStub()
    manager.initialize()
    with pytest.raises(ValidationError) as raised:
        async_to_sync(getattr(manager, method))(*arguments)
    assert named in raised.value.message_dict


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"description": 5}, "description"),
        ({"prompt_template": None}, "prompt_template"),
        ({"traits": {"patience": "much"}}, "traits"),
        ({"traits": {"patience": True}}, "traits"),
        ({"traits": ["patience"]}, "traits"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_a_persona_of_the_wrong_kind(values: dict[str, Any], named: str) -> None:
    """Errors are reported by field, on construction."""
    with pytest.raises(ValidationError) as raised:
        PersonaConfig(**{"name": "guide", **values})
    assert set(raised.value.message_dict) == {named}


def test_a_persona_does_not_change() -> None:
    """It is hashable, and equal to its copies."""
    persona = PersonaConfig("guide", traits={"patience": 0.9})
    assert {persona: 1}[PersonaConfig("guide", traits={"patience": 0.9})] == 1
    with pytest.raises(AttributeError):
        persona.name = "critic"  # type: ignore[misc]
