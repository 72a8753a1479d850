"""Makers of input: a ChatGPT export of any size, LangChain's messages."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

START = 1_760_000_000.123456
WORDS = [
    "tide",
    "ledger",
    "猫",
    "orchard",
    "Größe",
    "signal",
    "мост",
    "kettle",
    "🐈",
    "quarry",
    "verse",
    "harbour",
    "lantern",
]


def node(key: str, parent: str | None, message: dict[str, Any] | None, *children: str) -> dict[str, Any]:
    return {"id": key, "message": message, "parent": parent, "children": list(children)}


def message(role: str, text: str, time: float | None = START, **more: Any) -> dict[str, Any]:
    return {
        "id": "m",
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": time,
        "content": {"content_type": "text", "parts": [text]},
        "status": "finished_successfully",
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
        **more,
    }


def conversation(nodes: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "title": "Tides",
        "create_time": START,
        "update_time": START + 60,
        "mapping": {each["id"]: each for each in nodes},
        "current_node": nodes[-1]["id"],
        "conversation_id": "c1",
        **fields,
    }


def chatgpt_export(messages: int, per_conversation: int = 100, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Conversations of `messages` messages in all, among roots and empty system messages, as real ones are."""
    made = random.Random(seed)  # noqa: S311
    for number in range(-(-messages // per_conversation)):
        count = min(per_conversation, messages - number * per_conversation)
        yield _conversation(made, number, count)


def _conversation(made: random.Random, number: int, count: int) -> dict[str, Any]:
    keys = [str(uuid.UUID(int=made.getrandbits(128))) for _ in range(count + 2)]
    start = START + number * 3600
    nodes = [node(keys[0], None, None, keys[1]), node(keys[1], keys[0], message("system", "", None), keys[2])]
    for place in range(2, count + 2):
        text = " ".join(made.choices(WORDS, k=made.randint(3, 60)))
        role = "user" if place % 2 == 0 else "assistant"
        said = message(role, text, start + place * 20 + made.random(), metadata={"model_slug": "gpt-4o"})
        nodes.append(node(keys[place], keys[place - 1], said, *keys[place + 1 : place + 2]))
    return conversation(
        nodes, title=f"Talk {number}", create_time=start, conversation_id=f"conversation-{number}", is_archived=False
    )


def langchain(kind: str, content: Any, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": {"content": content, "additional_kwargs": {}, "type": kind, "id": None, **data}}
