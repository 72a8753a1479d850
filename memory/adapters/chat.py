"""Messages of one conversation in the database, for adapters of chat histories.

A message is a memory item of the type `message`, with `role` in its metadata, so every adapter reads what another one
wrote. One that has more than a role and a text keeps its framework's form in the metadata, by the framework's name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from memory.contention import retried_on_contention, write_transaction
from memory.history import recent
from memory.models import MemoryItem, UserSession
from memory.querysets import MemoryItemQuerySet
from memory.querysets.scan import streamed
from memory.stores.validation import check_name

ITEM_TYPE = "message"
MOST = 2**31 - 1
"""The largest limit of a query on Firestore."""
TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Message:
    """A message to store. `form` is that of the framework, None if role and text are all of it."""

    role: str
    text: str
    form: Mapping[str, Any] | None = None


@dataclass
class Chat:
    """A conversation of one user. `framework` is the name of the form that this adapter reads and writes."""

    alias: str
    user_id: str
    session_id: str
    framework: str
    newest: datetime | None = None
    """The time of the newest item that this object has seen: what it adds comes after it, whatever the clocks say."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        check_name("user_id", self.user_id)
        check_name("session_id", self.session_id)

    def read(self, limit: int | None = None) -> list[MemoryItem]:
        """The newest messages, by default all, oldest first; none for a limit below 1. Read through the cache."""
        if limit is not None and limit < 1:
            return []
        wanted = asked = MOST if limit is None else min(limit, MOST)
        while True:
            # As it was said: a framework reads back what it wrote, and an answer without its call is an error.
            items = recent(self.user_id, self.session_id, asked, self.alias, superseded=True)
            messages = [item for item in items if item.item_type == ITEM_TYPE]
            if len(messages) >= wanted or len(items) < asked or asked == MOST:
                break
            asked = min(2 * asked, MOST)  # other items are among them
        if items:
            self._saw(items[0].timestamp)
        return messages[:wanted][::-1]

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages in their order, all or none."""
        if messages:
            items = self._items(messages)
            MemoryItem.objects.using(self.alias).bulk_create(items)

    def pop(self) -> MemoryItem | None:
        """Remove the newest message and return it, once even if others do so at the same time."""
        while True:
            newest = retried_on_contention(self._pop, using=self.alias, keys=[self._turn])
            if newest is None or newest[1]:
                return None if newest is None else newest[0]

    def _pop(self) -> tuple[MemoryItem, bool] | None:
        """The newest message, and whether it was deleted by this call."""
        with write_transaction(self.alias):
            messages = (item for item in streamed(self._rows().newest_first()) if item.item_type == ITEM_TYPE)
            newest = next(messages, None)
            if newest is None:
                return None
            pk = newest.pk  # which `delete()` clears
            _, counts = MemoryItem.all_objects.using(self.alias).filter(pk=pk).delete()
            return newest, counts.get(MemoryItem._meta.label, 0) > 0

    def remove(self, pk: str) -> bool:
        """Remove the item with this id; return whether this call did."""
        _, counts = self._rows().filter(pk=pk).delete()
        return bool(counts.get(MemoryItem._meta.label))

    def clear(self) -> None:
        """Delete the session with all its items."""
        UserSession.objects.using(self.alias).filter(pk=UserSession.make_id(self.user_id, self.session_id)).delete()

    def replace(self, ids: Sequence[str], messages: Sequence[Message]) -> bool:
        """Replace all messages at once if they are those with these ids, oldest first; return whether they were."""
        replace = partial(self._replace, list(ids), messages)
        replaced: bool = retried_on_contention(replace, using=self.alias, keys=[self._turn])
        return replaced

    def _replace(self, ids: list[str], messages: Sequence[Message]) -> bool:
        with write_transaction(self.alias):
            rows = self._rows().newest_first().values_list("pk", "item_type", "timestamp")
            stored = [(pk, time) for pk, kind, time in rows.select_for_update() if kind == ITEM_TYPE]
            if [pk for pk, _ in stored] != ids[::-1]:
                return False
            if stored:
                self._saw(stored[0][1])
                MemoryItem.all_objects.using(self.alias).filter(pk__in=ids).delete()
            self.add(messages)
            return True

    @property
    def _turn(self) -> tuple[str, str]:
        """What writers of this conversation have in common."""
        return self.user_id, self.session_id

    def _rows(self) -> MemoryItemQuerySet:
        items: MemoryItemQuerySet = MemoryItem.objects.using(self.alias)
        return items.for_user(self.user_id).in_session(self.session_id).without_search_data()

    def _items(self, messages: Sequence[Message]) -> list[MemoryItem]:
        if self.newest is None:
            self.read(1)
        with self.lock:
            start = max(timezone.now(), self.newest + TICK) if self.newest else timezone.now()
            self.newest = start + (len(messages) - 1) * TICK
        return [
            MemoryItem(
                user_id=self.user_id,
                session_id=self.session_id,
                item_type=ITEM_TYPE,
                text_content=message.text or None,
                timestamp=start + place * TICK,
                metadata={
                    "role": message.role,
                    "source": self.framework,
                    **({} if message.form is None else {self.framework: dict(message.form)}),
                },
            )
            for place, message in enumerate(messages)
        ]

    def _saw(self, time: datetime) -> None:
        with self.lock:
            self.newest = time if self.newest is None else max(self.newest, time)

    def forms(self, items: Iterable[MemoryItem], made: Callable[[str, str], Any | None]) -> list[Any]:
        """The items in the framework's form. `made` makes it of a role and a text; None: the framework has none."""
        found = (self.form_of(item, made) for item in items)
        return [form for form in found if form is not None]

    def form_of(self, item: MemoryItem, made: Callable[[str, str], Any | None]) -> Any | None:
        """The framework's own form if it was stored, else what `made` makes of role and text."""
        stored = item.metadata.get(self.framework)
        return stored if isinstance(stored, dict) else made(item.role, item.text_content or "")
