"""ChatGPT data exports: conversations whose `mapping` is a tree of messages.

Edited and regenerated messages have siblings, so the tree has branches. `current_node` is the leaf of the branch that
the user saw last. All messages that are not empty are imported, those of other branches with `branch: true`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memory.interchange.entries import (
    Context,
    Empty,
    Entry,
    Outcome,
    Outcomes,
    Place,
    Reject,
    Value,
    derived_id,
    given,
    has_content,
    merged,
    time_of,
)
from memory.interchange.order import Node, original_time, tree_times

SOURCE = "chatgpt"

# Text fields of content types, in addition to `parts`: code, tool output, quotes, pages, instructions, memory.
TEXTS = (
    "title",
    "text",
    "output_str",
    "result",
    "summary",
    "content",
    "user_profile",
    "user_instructions",
    "model_set_context",
)
PLAIN_TYPES = ("text", "multimodal_text")
# Text fields inside of other contents (a page on a screen, a paired app), at any depth, if there is no other text.
NESTED_TEXTS = frozenset({"title", "text", "url"})
# Content fields that mean nothing without a text or other content.
INCIDENTAL = frozenset({"content_type", "language", "response_format_name", "source_analysis_msg_id", "tether_id"})
# The content type of the user's profile and instructions, which each conversation repeats as a hidden message.
PROFILE = "user_editable_context"
METADATA = frozenset({"metadata"})
# Details for which a message without content is imported.
NOTABLE = frozenset({"attachments", "custom_instructions", "aggregate_result", "content_references", "canvas"})

# Fields of a conversation that are stored elsewhere.
CONVERSATION_EXCLUDED = frozenset({"mapping", "create_time", "conversation_id", "conversations"})
# Fields of a message that are stored elsewhere.
MESSAGE_EXCLUDED = frozenset({"author", "content", "create_time", "metadata", "recipient", "channel", "status"})
HIDDEN = "is_visually_hidden_from_conversation"
# Fields of a message's metadata: the key in the file, and the key in the item's metadata if it is another.
MESSAGE_METADATA: Mapping[str, str] = {
    "model_slug": "model",
    "attachments": "attachments",
    "user_context_message_data": "custom_instructions",
    HIDDEN: "hidden",
    "content_references": "content_references",
    "citations": "citations",
    "aggregate_result": "aggregate_result",
    "search_result_groups": "search_result_groups",
    "search_queries": "search_queries",
    "image_results": "image_results",
    "canvas": "canvas",
    "dalle": "dalle",
    "gizmo_id": "gizmo_id",
    "command": "command",
    "invoked_plugin": "invoked_plugin",
    "targeted_reply": "targeted_reply",
}


def recognises(content: object) -> bool:
    """Detect an object with a `mapping`."""
    return isinstance(content, dict) and "mapping" in content


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the session and an entry per message."""
    conversation, mapping = value.content, value.content["mapping"]
    if not isinstance(mapping, dict):
        yield Reject(value.place, "mapping: must be an object.", value.raw)
        return
    reader = _Conversation(conversation, mapping, context, value.place)
    outcomes = [reader.outcome(node_id, node) for node_id, node in mapping.items() if not _is_bare(node)]
    if any(isinstance(outcome, Entry) for outcome in outcomes):
        yield reader.session()
    yield from outcomes


def _is_bare(node: object) -> bool:
    return isinstance(node, dict) and node.get("message") is None


class _Conversation:
    """A conversation with its ids, tree and times."""

    def __init__(
        self, conversation: Mapping[str, Any], mapping: Mapping[str, Any], context: Context, place: Place
    ) -> None:
        self.user_id = context.required_user_id()
        self.fields = conversation
        self.mapping = mapping
        self.place = place
        self.session_id = _conversation_id(conversation, mapping)
        self.shown = set(self.ancestors(conversation.get("current_node")))
        nodes = {
            key: Node(parent if isinstance(parent := node.get("parent"), str) else None, time_of(_stated_time(node)))
            for key, node in mapping.items()
            if isinstance(node, dict)
        }
        known = [node.time for node in nodes.values() if node.time is not None]
        self.start = time_of(conversation.get("create_time")) or min(known, default=context.time)
        self.is_timed = bool(known)
        self.times = tree_times(nodes, self.start)

    def session(self) -> Entry:
        raw = {name: value for name, value in self.fields.items() if name != "mapping"}
        values = {
            "user_id": self.user_id,
            "session_id": self.session_id,
            "started_at": self.start,
            "last_activity": self.start,
            "metadata": {
                **merged(
                    {name: value for name, value in self.fields.items() if name not in self._stored_elsewhere()},
                    {"source": SOURCE},
                ),
            },
        }
        return Entry("UserSession", values, METADATA, self.place, raw, repairs=METADATA)

    def _stored_elsewhere(self) -> frozenset[str]:
        return CONVERSATION_EXCLUDED | ({"id"} if self.fields.get("id") == self.session_id else frozenset())

    def outcome(self, node_id: str, node: object) -> Outcome:
        place = Place(self.place.line, self.place.index, f"node {node_id}")
        message = node.get("message") if isinstance(node, dict) else None
        if not isinstance(node, dict) or not isinstance(message, dict):
            return Reject(place, "A node must be an object whose `message` is an object or null.", node)
        text, rest = _content(message.get("content"))
        details = _details(message)
        if not text and not rest and not details.keys() & NOTABLE:
            return Empty(place)
        role = author.get("role") if isinstance(author := message.get("author"), dict) else None
        metadata = {**given({"role": role, "content": rest}), **details, "source": SOURCE}
        raw = {"conversation_id": self.session_id, "node": node}
        if details.get("hidden") and rest.get("content_type") == PROFILE:
            return self._profile(node_id, text, metadata, place, raw)
        position = {
            "node": node_id,
            "parent": node.get("parent"),
            "branch": (bool(self.shown) and node_id not in self.shown) or None,
            "message_id": message_id if (message_id := message.get("id")) != node_id else None,
        }
        stated_time, time = message.get("create_time"), self.times[node_id]
        return Entry(
            "MemoryItem",
            {
                **self._values(node_id, text),
                "id": derived_id(SOURCE, self.user_id, self.session_id, node_id),
                "metadata": {**metadata, **given(position), **original_time(stated_time, time)},
            },
            frozenset({"text_content", "metadata", *(("timestamp",) if time_of(stated_time) else ())}),
            place,
            raw,
            repairs=frozenset({"metadata", "timestamp"}) if self.is_timed else METADATA,
        )

    def _profile(self, node_id: str, text: str, metadata: Mapping[str, Any], place: Place, raw: object) -> Entry:
        """One item for all copies of a profile. It belongs to the first conversation that is imported."""
        key = derived_id(SOURCE, self.user_id, PROFILE, text)
        shared = {name: value for name, value in metadata.items() if name not in ("details", "update_time")}
        values = {**self._values(node_id, text), "id": key, "metadata": shared}
        return Entry("MemoryItem", values, frozenset({"text_content", "metadata"}), place, raw, repairs=METADATA)

    def _values(self, node_id: str, text: str) -> dict[str, Any]:
        return {
            "user_id": self.user_id,
            "session_id": self.session_id,
            "item_type": "message",
            "timestamp": self.times[node_id],
            "text_content": text or None,
        }

    def ancestors(self, node_id: object) -> Iterator[str]:
        """A node and its ancestors up to the root; stops at cycles."""
        seen: set[str] = set()
        while isinstance(node_id, str) and node_id not in seen and isinstance(self.mapping.get(node_id), dict):
            seen.add(node_id)
            yield node_id
            node_id = self.mapping[node_id].get("parent")


def _stated_time(node: Mapping[str, Any]) -> object:
    message = node.get("message")
    return message.get("create_time") if isinstance(message, dict) else None


def _conversation_id(conversation: Mapping[str, Any], mapping: Mapping[str, Any]) -> str:
    for name in ("conversation_id", "id"):
        if isinstance(found := conversation.get(name), str) and found:
            return found
    return derived_id(SOURCE, conversation.get("title"), conversation.get("create_time"), next(iter(mapping), None))


def _content(content: object) -> tuple[str, dict[str, Any]]:
    """The text of a content, and its other values."""
    if not isinstance(content, dict):
        return (content, {}) if isinstance(content, str) else ("", given({"value": content}))
    parts = [_part(part) for part in _listed(content.get("parts"))]
    named = {name: content[name] for name in TEXTS if isinstance(content.get(name), str)}
    thoughts = _thoughts(content.get("thoughts"))
    text = "\n".join(filter(None, [*(text for text, _ in parts), *named.values(), *thoughts]))
    taken = {"content_type", "parts", *named, *(["thoughts"] if thoughts else [])}
    rest = given({name: value for name, value in content.items() if name not in taken})
    rest.update(given({"parts": [other for _, other in parts if other is not None]}))
    if not text and not has_content(rest, *INCIDENTAL):
        return "", {}
    if not text and content.get("content_type") not in PLAIN_TYPES:
        text = "\n".join(_nested_texts(given({name: value for name, value in rest.items() if name != "parts"})))
    if (rest or text) and (kind := content.get("content_type")) not in PLAIN_TYPES:
        rest.update(given({"content_type": kind}))
    return text, rest


def _nested_texts(value: object) -> Iterator[str]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key in NESTED_TEXTS and isinstance(inner, str) and inner:
            yield inner
        else:
            yield from _nested_texts(inner)


def _listed(parts: object) -> list[Any]:
    return parts if isinstance(parts, list) else [parts]


def _part(part: object) -> tuple[str, Any]:
    if isinstance(part, str):
        return part, None
    if isinstance(part, dict) and isinstance(text := part.get("text"), str):
        return text, given({name: value for name, value in part.items() if name != "text"}) or None
    return "", part


def _thoughts(thoughts: object) -> list[str]:
    steps = thoughts if isinstance(thoughts, list) else []
    return [
        text
        for step in steps
        if isinstance(step, dict)
        for text in (step.get("summary"), step.get("content") or _joined(step.get("chunks")))
        if isinstance(text, str)
    ]


def _joined(chunks: object) -> str:
    return "".join(chunk for chunk in _listed(chunks) if isinstance(chunk, str))


def _details(message: Mapping[str, Any]) -> dict[str, Any]:
    """The other fields of a message: those of its `metadata` that are read on their own, and `details`."""
    metadata = message.get("metadata")
    more = metadata if isinstance(metadata, dict) else given({"metadata": metadata})
    author = message.get("author")
    other = {name: value for name, value in message.items() if name not in MESSAGE_EXCLUDED}
    if other.get("weight") in (1, 1.0):
        del other["weight"]
    details = {
        **{name: value for name, value in more.items() if name not in MESSAGE_METADATA},
        **{name: value for name, value in other.items() if name not in ("id", "update_time")},
        "author": {name: value for name, value in author.items() if name not in ("role", "name") and value}
        if isinstance(author, dict)
        else author,
    }
    recipient, status = message.get("recipient"), message.get("status")
    return given(
        {
            "name": author.get("name") if isinstance(author, dict) else None,
            "recipient": recipient if recipient != "all" else None,
            "channel": message.get("channel"),
            "status": status if status != "finished_successfully" else None,
            **{kept: more.get(name) for name, kept in MESSAGE_METADATA.items()},
            "hidden": more.get(HIDDEN) or None,
            "update_time": message.get("update_time"),
            "details": given(details),
        }
    )
