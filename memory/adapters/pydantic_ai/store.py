"""PydanticAI's conversation store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from memory.adapters.extras import missing
from memory.adapters.owned import Owned

try:
    from pydantic import TypeAdapter
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )
except ImportError as error:
    raise missing("pydantic-ai", error) from error

from .messages import form_of, message_of

if TYPE_CHECKING:
    from .conversations import Conversations, Entry

T = TypeVar("T")

RECORD: Final = TypeAdapter(ConversationRecord)


class DjangoConversationStore(Owned, ConversationStore):
    """A conversation store of PydanticAI in one user's memory. A conversation is a session.

    Messages are memory items of the type `message`, read through the conversation cache if there is one. A record and
    the entries that its history adds are stored together. A fork copies what it keeps, and deleting a conversation
    deletes all of its messages.

    Errors of the database are raised as `memory.exceptions.StorageError`, messages beyond its limits as
    `ValidationError`.
    """

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record of a conversation; None if there is none."""
        found = await self._run(lambda rows: rows.record(conversation_id))
        return None if found is None else record_of(found)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """The records, or those of a scope, the ones that were saved last first."""
        found = await self._run(lambda rows: rows.records())
        fitting = [form for form in found if scope is None or form.get("scope") == scope]
        return [record_of(form) for form in fitting[:limit]]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and the new entries, all or none. Raises `ConversationConflict`."""
        from .conversations import Entry  # needs django.setup()

        form: dict[str, Any] = RECORD.dump_python(record, mode="json")
        entries = [Entry(entry.id, entry.parent_id, form_of(entry.message)) for entry in new_entries]
        await self._change(record.conversation_id, lambda rows: rows.write(form, entries, expected_revision))

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a conversation with all its messages. Raises `ConversationConflict`."""
        await self._change(conversation_id, lambda rows: rows.delete(conversation_id, expected_revision))

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """An entry by its id. Raises `LookupError` if there is none."""
        return entry_of(await self._run(lambda rows: rows.entry(entry_id)))

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to `head_id`, oldest first, or only the last `limit` of them. Raises `LookupError`."""
        return [entry_of(entry) for entry in await self._run(lambda rows: rows.history(head_id, limit))]

    @cached_property
    def _conversations(self) -> Conversations:
        from .conversations import Conversations  # needs django.setup()

        return Conversations(self.alias, self.user_id)

    async def _change(self, conversation_id: str, function: Callable[[Conversations], None]) -> None:
        from .conversations import Conflict  # needs django.setup()

        try:
            await self._run(function)
        except Conflict as error:
            raise ConversationConflict(conversation_id) from error

    async def _run(self, function: Callable[[Conversations], T]) -> T:
        return await self.acall(partial(self._with_conversations, function))

    def _with_conversations(self, function: Callable[[Conversations], T]) -> T:
        from memory.exceptions import storage_errors  # needs django.setup()

        with storage_errors("Using the conversations"):
            return function(self._conversations)


def record_of(form: Mapping[str, Any]) -> ConversationRecord:
    """The record of its JSON."""
    return RECORD.validate_json(json.dumps(form))


def entry_of(entry: Entry) -> ConversationEntry:
    """An entry of PydanticAI."""
    return ConversationEntry(id=entry.id, parent_id=entry.parent, message=message_of(entry.form))
