"""Memories of mem0: `{"id": ..., "memory": ...}`, in `results`, in an array or on lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory.interchange.entries import Context, Entry, Outcome, Outcomes, Place, Reject, Value, derived_id, given
from memory.interchange.entries import time_of as parsed_time
from memory.interchange.messages import METADATA, text_in, without
from memory.interchange.order import original_time

SOURCE = "mem0"


def recognises(content: object) -> bool:
    """Detect a memory, or `results` with one."""
    if isinstance(content, dict) and isinstance(content.get("results"), list):
        return any(map(_is_memory, content["results"]))
    return _is_memory(content)


def parse(value: Value, context: Context) -> Outcomes:
    """Yield an item per memory. The user is that of the file, if it names one."""
    if _is_memory(value.content):
        yield _outcome(value.content, value.place, context)
        return
    for position, memory in enumerate(value.content["results"]):
        place = Place(value.place.line, value.place.index, f"result {position}")
        if _is_memory(memory):
            yield _outcome(memory, place, context)
        else:
            yield Reject(place, "This is not a memory with `id` and `memory`.", memory)


def _is_memory(content: object) -> bool:
    return isinstance(content, dict) and isinstance(content.get("memory"), str) and isinstance(content.get("id"), str)


def _outcome(memory: Mapping[str, Any], place: Place, context: Context) -> Outcome:
    user_id = text_in(memory, "user_id") or context.required_user_id()
    time = parsed_time(memory.get("created_at"))
    own = memory.get("metadata")
    details = without(memory, "id", "memory", "user_id", "run_id", "created_at", "metadata", "score")
    values = {
        "id": derived_id(SOURCE, user_id, memory["id"]),
        "user_id": user_id,
        "session_id": text_in(memory, "run_id"),
        "item_type": "memory",
        "timestamp": time or context.time,
        "text_content": memory["memory"],
        "metadata": {
            **(own if isinstance(own, dict) else {"metadata": own} if own else {}),
            **given(details),
            **original_time(memory.get("created_at"), time or context.time),
            "memory_id": memory["id"],
            "source": SOURCE,
        },
    }
    stated = {"text_content", "metadata", *(("timestamp",) if time else ())}
    return Entry("MemoryItem", values, frozenset(stated), place, memory, repairs=METADATA)
