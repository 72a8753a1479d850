"""Memories of ADK in the database: items, and for each app of a user a row that has what was added before.

The row is that of a session, so it is erased with the user. It has digests, not ids: 12 digits for each event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from django.utils import timezone

from memory.adapters.paths import digest
from memory.adapters.subtrees import below
from memory.contention import retried_on_contention, write_transaction
from memory.models import MemoryItem, UserSession
from memory.querysets import MemoryItemQuerySet
from memory.stores.validation import check_name
from memory.text_index import MOST_CHARACTERS

from .names import App

FRAMEWORK: Final = "adk"
ITEM_TYPE: Final = "memory"
DIGITS: Final = 12
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Recollection:
    """Something to remember. `key` is its event's id, `time` is in seconds since 1970, by default now."""

    key: str
    author: str | None
    content: Mapping[str, Any]
    role: str
    text: str
    time: float | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Recollections:
    """What a user's memory has of an app."""

    alias: str
    app: App

    def add(self, session_id: str, found: Sequence[Recollection]) -> None:
        """Add those with a text that were not added before, all or none."""
        check_name("app_name", self.app.name)
        check_name("user_id", self.app.user_id)
        items = {
            _mark(session_id, recollection): self._item(session_id, recollection)
            for recollection in found
            if recollection.text.strip()
        }
        if items:
            retried_on_contention(partial(self._add, items), using=self.alias)

    def _add(self, items: Mapping[str, MemoryItem]) -> None:
        path = self.app.memories
        rows = UserSession.objects.using(self.alias)
        with write_transaction(self.alias):
            row = rows.select_for_update().filter(pk=UserSession.make_id(self.app.user_id, path)).first()
            known = "" if row is None else row.metadata.get(FRAMEWORK, {}).get("known", "")
            marks = {known[start : start + DIGITS] for start in range(0, len(known), DIGITS)}
            new = {mark: item for mark, item in items.items() if mark not in marks}
            if not new:
                return
            changed = UserSession(user_id=self.app.user_id, session_id=path) if row is None else row
            changed.metadata = {**changed.metadata, FRAMEWORK: {"known": known + "".join(new)}}
            changed.save(force_insert=row is None, force_update=row is not None, using=self.alias)
            MemoryItem.objects.using(self.alias).bulk_create(new.values())

    def _item(self, session_id: str, recollection: Recollection) -> MemoryItem:
        return MemoryItem(
            user_id=self.app.user_id,
            session_id=self.app.memory(session_id),
            item_type=ITEM_TYPE,
            text_content=recollection.text,
            timestamp=timezone.now() if recollection.time is None else EPOCH + timedelta(seconds=recollection.time),
            metadata={
                "role": recollection.role,
                "source": FRAMEWORK,
                FRAMEWORK: {
                    "author": recollection.author,
                    "content": dict(recollection.content),
                    **({"custom_metadata": dict(recollection.about)} if recollection.about else {}),
                },
            },
        )

    def search(self, query: str, limit: int, min_score: float | None) -> list[MemoryItem]:
        """The best items, best first."""
        from memory.search import MIN_SCORE  # needs an extra

        least = MIN_SCORE if min_score is None else min_score
        return self._items().search(query[:MOST_CHARACTERS], limit=limit, min_score=least)

    def delete(self, pk: str) -> None:
        """Delete an item; the row keeps the digest of its event."""
        self._items().filter(pk=pk).delete()

    def _items(self) -> MemoryItemQuerySet:
        return below(MemoryItem.objects.using(self.alias).for_user(self.app.user_id), self.app.memories)


def _mark(session_id: str, recollection: Recollection) -> str:
    return digest(session_id, recollection.key)[:DIGITS]
