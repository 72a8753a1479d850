"""Conversations of PydanticAI in the database.

A conversation is a session, an entry of its log is an item of it. The metadata of the session's row have the record.
A fork is a session with copies of the entries that it keeps, so each can be read, browsed and deleted alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.utils import timezone

from memory.adapters.paths import digest
from memory.batches import ROWS_AT_ONCE, batches
from memory.contention import retried_on_contention, write_transaction
from memory.history import recent, session
from memory.models import MemoryItem, UserSession
from memory.stores.validation import check_name

from .lines import Node, line_of
from .messages import ROLES, form_of, made, role_of, text_of

FRAMEWORK: Final = "pydantic_ai"
ITEM_TYPE: Final = "message"
MOST: Final = 2**31 - 1
"""The largest limit of a query on Firestore."""
FEW: Final = 20
TICK: Final = timedelta(microseconds=1)
OTHERS: Final = "others"
"""The revision of a conversation that only others wrote."""
MOST_KNOWN: Final = 10_000

Form = Mapping[str, Any]


class Conflict(Exception):
    """The conversation is not as its writer knows it."""


@dataclass(frozen=True)
class Entry:
    """An entry of a log; `form` is its message as JSON."""

    id: str
    parent: str | None
    form: Form


@dataclass(frozen=True)
class Conversations:
    """The conversations of a user in one database. `known` has the conversations of heads that were read last."""

    alias: str
    user_id: str
    known: dict[str, str] = field(default_factory=dict, repr=False)

    def record(self, conversation_id: str) -> Form | None:
        """The record of a conversation as JSON; None if there is none. Of one that others wrote it is made."""
        row = session(self.user_id, conversation_id, self.alias)
        if row is None:
            return None
        found = record_of(row) or self._others(row)
        if found is not None:
            self._note(conversation_id, [found["head_id"], *found.get("branches", ())])
        return found

    def records(self) -> list[Form]:
        """The records of all conversations that PydanticAI stored, those that were saved last first."""
        rows = UserSession.objects.using(self.alias).for_user(self.user_id)
        found = [record for record in map(record_of, rows) if record is not None]
        return sorted(found, key=lambda record: str(record["updated_at"]), reverse=True)

    def write(self, record: Form, entries: Sequence[Entry], expected: str | None) -> None:
        """Store a record and new entries, all or none. Raises `Conflict` if the stored revision is another one."""
        conversation_id = record["conversation_id"]
        check_name("user_id", self.user_id)
        check_name("conversation_id", conversation_id)
        is_fork = expected is None and record.get("forked_from") is not None and not entries
        new = self._copies(record) if is_fork else entries
        items = [self._item(conversation_id, entry) for entry in new]
        MemoryItem.before_transaction(items, self.alias)
        write = partial(self._write, record, items, expected)
        retried_on_contention(write, using=self.alias, keys=[(self.user_id, conversation_id)])
        self._note(conversation_id, [record["head_id"], *record["branches"]])

    def _write(self, record: Form, items: Sequence[MemoryItem], expected: str | None) -> None:
        conversation_id, head = record["conversation_id"], record["head_id"]
        with write_transaction(self.alias):
            row = self._row(conversation_id).select_for_update().first()
            stored = {} if row is None else row.metadata.get(FRAMEWORK, {})
            known = stored.get("record") or (None if row is None else self._others(row)) or {}
            if known.get("revision") != expected:
                raise Conflict
            place = self._place_after(conversation_id, known.get("head_id"), stored, items, head)
            now = timezone.now() if row is None else max(timezone.now(), row.last_activity + TICK)
            for number, item in enumerate(items):
                item.timestamp = now + number * TICK
                item.metadata[FRAMEWORK]["place"] = place + number
            changed = row or UserSession(user_id=self.user_id, session_id=conversation_id, started_at=now)
            form = {"record": dict(record), "place": place + len(items) - 1}
            changed.metadata = {**changed.metadata, FRAMEWORK: form}
            changed.last_activity = items[-1].timestamp if items else now
            changed.save(force_insert=row is None, force_update=row is not None, using=self.alias)
            MemoryItem.objects.using(self.alias).bulk_create(items)

    def _place_after(
        self, conversation_id: str, known: str | None, stored: Form, items: Sequence[MemoryItem], head: str | None
    ) -> int:
        """The place of the next entry. Raises `Conflict` if the entry that it follows, or the head, is not stored."""
        if items and items[-1].metadata[FRAMEWORK]["id"] != head:
            raise Conflict
        parent = items[0].metadata[FRAMEWORK]["parent"] if items else head
        if parent is None:
            return 0
        if parent == known:
            return int(stored.get("place", -1)) + 1
        keys = [self._key(conversation_id, parent), parent]
        found = self._rows().in_session(conversation_id).filter(pk__in=keys).first()
        if found is None:
            raise Conflict
        return node_of(found).place + 1

    def delete(self, conversation_id: str, expected: str) -> None:
        """Delete a conversation with all its items. Raises `Conflict` if the stored revision is another one."""
        delete = partial(self._delete, conversation_id, expected)
        retried_on_contention(delete, using=self.alias, keys=[(self.user_id, conversation_id)])

    def _delete(self, conversation_id: str, expected: str) -> None:
        with write_transaction(self.alias):
            row = self._row(conversation_id).select_for_update().first()
            found = None if row is None else record_of(row) or self._others(row)
            if found is None or found["revision"] != expected:
                raise Conflict
            self._row(conversation_id).delete()

    def history(self, head: str | None, limit: int | None = None) -> list[Entry]:
        """The entries up to a head, oldest first, or the last `limit` of them. Raises `LookupError` without it."""
        if head is None or limit == 0:
            return []
        conversation_id = self.known.get(head) or self._conversation_of(head)
        asked = MOST if limit is None else limit
        while True:
            newest = recent(self.user_id, conversation_id, asked, self.alias, superseded=True)
            is_whole = asked == MOST or len(newest) < asked
            items = [item for item in newest[::-1] if is_message(item)]
            found = line_of([node_of(item) for item in items], head, is_whole)
            if is_whole or len(found) >= (limit or 0):
                break
            asked = min(2 * asked, MOST)
        entries = entries_of([items[index] for index in found])
        return entries if limit is None else entries[-limit:]

    def entry(self, entry_id: str) -> Entry:
        """An entry by its id. Raises `LookupError` if there is none."""
        conversation_id = self._conversation_of(entry_id)
        newest = recent(self.user_id, conversation_id, MOST, self.alias, superseded=True)
        entries = entries_of([item for item in newest[::-1] if is_message(item)])
        return next(entry for entry in entries if entry.id == entry_id)

    def _conversation_of(self, entry_id: str) -> str:
        """The conversation of an entry, looked for in all."""
        rows = UserSession.objects.using(self.alias).for_user(self.user_id)
        keys = [entry_id, *(self._key(name, entry_id) for name in rows.values_list("session_id", flat=True))]
        for batch in batches(keys, ROWS_AT_ONCE):
            for item in self._rows().filter(pk__in=list(batch)):
                if item.session_id is not None and is_message(item):
                    return str(item.session_id)
        raise LookupError(entry_id)

    def _copies(self, record: Form) -> list[Entry]:
        """The entries that a fork keeps."""
        try:
            return self.history(record["head_id"])
        except LookupError as error:
            raise Conflict from error

    def _others(self, row: UserSession) -> Form | None:
        """The record of a conversation that only others wrote; None without their messages."""
        for limit in (FEW, MOST):
            items = recent(self.user_id, row.session_id, limit, self.alias, superseded=True)
            newest = next(filter(is_message, items), None)
            if newest is not None or len(items) < limit:
                break
        if newest is None:
            return None
        about = {"conversation_id": row.session_id, "updated_at": row.last_activity.isoformat()}
        return {**about, "head_id": newest.pk, "revision": OTHERS}

    def _item(self, conversation_id: str, entry: Entry) -> MemoryItem:
        own = {"id": entry.id, "parent": entry.parent, "message": dict(entry.form)}
        return MemoryItem(
            id=self._key(conversation_id, entry.id),
            user_id=self.user_id,
            session_id=conversation_id,
            item_type=ITEM_TYPE,
            text_content=text_of(entry.form) or None,
            metadata={"role": role_of(entry.form), "source": FRAMEWORK, FRAMEWORK: own},
        )

    def _key(self, conversation_id: str, entry_id: str) -> str:
        return digest(FRAMEWORK, self.user_id, conversation_id, entry_id)

    def _row(self, conversation_id: str) -> Any:
        pk = UserSession.make_id(self.user_id, conversation_id)
        return UserSession.objects.using(self.alias).filter(pk=pk)

    def _rows(self) -> Any:
        return MemoryItem.objects.using(self.alias).for_user(self.user_id).without_search_data()

    def _note(self, conversation_id: str, heads: Iterable[str | None]) -> None:
        if len(self.known) > MOST_KNOWN:
            self.known.clear()
        self.known.update({head: conversation_id for head in heads if head is not None})


def record_of(row: UserSession) -> Form | None:
    """The record that a session's row has; None for one that PydanticAI did not write."""
    stored = row.metadata.get(FRAMEWORK)
    found: Form | None = stored.get("record") if isinstance(stored, dict) else None
    return found


def stored_form(item: MemoryItem) -> Form:
    """What PydanticAI stored with an item; nothing for an item of others."""
    stored = item.metadata.get(FRAMEWORK)
    return stored if isinstance(stored, dict) and "message" in stored else {}


def is_message(item: MemoryItem) -> bool:
    """Whether an item is an entry, or a message of others that has a role and a text."""
    if item.item_type != ITEM_TYPE:
        return False
    return bool(stored_form(item)) or (item.role in ROLES and bool(item.text_content))


def node_of(item: MemoryItem) -> Node:
    """The place of an item in its conversation."""
    stored = stored_form(item)
    return Node(stored["id"], stored["parent"], stored["place"]) if stored else Node(item.pk)


def entries_of(items: Sequence[MemoryItem]) -> list[Entry]:
    """The entries of a line of items; each follows the one before it."""
    found: list[Entry] = []
    for item in items:
        stored = stored_form(item)
        form = stored.get("message") or form_of(made(item.role, item.text_content or "", item.timestamp))
        found.append(Entry(node_of(item).id, found[-1].id if found else stored.get("parent"), form))
    return found
