"""Stores labelled conversations in a database for an evaluation by the search that users get."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from django.db import connections

from memory.contention import in_transaction
from memory.models import MemoryItem, UserSession

from .corpus import Corpus
from .evaluation import role_of
from .labelled import Conversation
from .packing import erase, pack
from .passages import Passage
from .reading import read_memory
from .tail import configured_maker


@contextmanager
def stored(conversations: Sequence[Conversation], using: str) -> Iterator[list[tuple[Conversation, Corpus]]]:
    """Each conversation with its corpus, stored as the memory of a user with new ids, and deleted at the end.

    They are indexed as any memory, with the configured language and embedder.
    """
    token = secrets.token_hex(8)
    renamed = [
        _renamed(conversation, f"memory-evaluate-{token}-{number}") for number, conversation in enumerate(conversations)
    ]
    try:
        for conversation in renamed:
            MemoryItem.objects.using(using).bulk_create(items_of(conversation.passages, conversation.id))
        yield [(conversation, _indexed(conversation.id, using)) for conversation in renamed]
    finally:
        for conversation in renamed:
            erase(conversation.id, using)
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
            metadata={"speaker": passage.speaker, "role": passage.role or role_of(passage.speaker)},
        )


def _indexed(user_id: str, using: str) -> Corpus:
    if not in_transaction(connections[using]):
        pack(user_id, using)
    return read_memory(user_id, using, configured_maker()).corpus
