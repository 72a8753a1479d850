"""Memories of mem0: `{"id": ..., "memory": ...}`, in `results`, in an array or on lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory.interchange.entries import (
    Context,
    Entry,
    Outcome,
    Outcomes,
    Place,
    Reject,
    Value,
    derived_id,
    merged,
)
from memory.interchange.entries import time_of as parsed_time
from memory.interchange.messages import METADATA, text_in, without
from memory.interchange.order import original_time

SOURCE = "mem0"
# The keys of a relation's parts; results of a search call the target `destination`.
RELATION = (("source",), ("relationship",), ("target", "destination"))


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
    relations = value.content.get("relations")
    for position, relation in enumerate(relations if isinstance(relations, list) else []):
        yield _relation(relation, Place(value.place.line, value.place.index, f"relation {position}"), context)


def _relation(relation: object, place: Place, context: Context) -> Outcome:
    """The item of a relation between two entities, as a sentence."""
    names = [text_in(relation, *keys) for keys in RELATION] if isinstance(relation, dict) else []
    if not isinstance(relation, dict) or not all(names):
        return Reject(place, "This is not a relation with `source`, `relationship` and `target`.", relation)
    user_id = context.required_user_id()
    values = {
        "id": derived_id(SOURCE, user_id, "relation", *names),
        "user_id": user_id,
        "item_type": "memory",
        "timestamp": context.time,
        "text_content": " ".join(map(str, names)).replace("_", " "),
        "metadata": {"relation": relation, "source": SOURCE},
    }
    return Entry("MemoryItem", values, frozenset({"text_content", "metadata"}), place, relation, repairs=METADATA)


def _is_memory(content: object) -> bool:
    return isinstance(content, dict) and isinstance(content.get("memory"), str) and isinstance(content.get("id"), str)


def _outcome(memory: Mapping[str, Any], place: Place, context: Context) -> Outcome:
    user_id = text_in(memory, "user_id") or context.required_user_id()
    time = parsed_time(memory.get("created_at"))
    own = memory.get("metadata")
    run_id = text_in(memory, "run_id")
    details = without(memory, "id", "memory", "created_at", "metadata", *(["run_id"] if run_id else []))
    if memory.get("user_id") == user_id:
        del details["user_id"]
    values = {
        "id": derived_id(SOURCE, user_id, memory["id"]),
        "user_id": user_id,
        "session_id": run_id,
        "item_type": "memory",
        "timestamp": time or context.time,
        "text_content": memory["memory"],
        "metadata": merged(
            merged(own if isinstance(own, dict) else {"metadata": own}, details),
            {
                **original_time(memory.get("created_at"), time or context.time),
                "memory_id": memory["id"],
                "source": SOURCE,
            },
        ),
    }
    stated = {"text_content", "metadata", *(("timestamp",) if time else ())}
    return Entry("MemoryItem", values, frozenset(stated), place, memory, repairs=METADATA)
