"""Stores labelled conversations in a database for an evaluation by the real sources."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from memory.conf import memory_settings
from memory.models import MemoryItem, UserSession

from .candidates import Source
from .labelled import Conversation
from .passages import Passage
from .sources import Memory, source_for


@contextmanager
def stored(conversations: Sequence[Conversation], using: str) -> Iterator[list[tuple[Conversation, Source]]]:
    """Each conversation with its source, stored as the memory of a user with new ids, and deleted at the end.

    Terms and vectors are computed as for any item, with the configured language and embedder.
    """
    token = secrets.token_hex(8)
    renamed = [_renamed(one, f"memory-evaluate-{token}-{number}") for number, one in enumerate(conversations)]
    try:
        for conversation in renamed:
            MemoryItem.objects.using(using).bulk_create(items_of(conversation.passages, conversation.id))
        yield [(conversation, _source(conversation.id, using)) for conversation in renamed]
    finally:
        for conversation in renamed:
            UserSession.objects.using(using).for_user(conversation.id).delete()
            MemoryItem.all_objects.using(using).for_user(conversation.id).delete()


def _renamed(conversation: Conversation, user_id: str) -> Conversation:
    """New ids in the order of the ids in the file, since ties of time are ordered by id."""
    ordered = sorted(passage.id for passage in conversation.passages)
    names = {old: f"{user_id}-{number:06d}" for number, old in enumerate(ordered)}
    return replace(
        conversation,
        id=user_id,
        passages=tuple(replace(passage, id=names[passage.id]) for passage in conversation.passages),
        labels=tuple(
            replace(label, evidence=frozenset(names[old] for old in label.evidence)) for label in conversation.labels
        ),
    )


def items_of(passages: Iterable[Passage], user_id: str) -> Iterator[MemoryItem]:
    """Passages as unsaved items of a user."""
    for passage in passages:
        yield MemoryItem(
            id=passage.id,
            user_id=user_id,
            session_id=passage.session or None,
            item_type="message",
            timestamp=passage.time,
            text_content=passage.text,
            metadata={"speaker": passage.speaker},
        )


def _source(user_id: str, using: str) -> Source:
    items = MemoryItem.objects.using(using).for_user(user_id)
    memory = Memory(items, memory_settings.language, memory_settings.embedder, memory_settings.speaker)
    return source_for(memory)
