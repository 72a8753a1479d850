"""What a transaction has written and not yet sent: for each document what becomes of it, and what must be true of the
stored one for that. Pure: no I/O, no Django, no wire; values are opaque.

However often a document is written, one write is sent for it:

    the document's entry   + Create      + Put         + Update      + Delete
    none                   new row       row           patch         gone
    row                    refused       row           row           gone
    patch                  refused       row           patch         gone
    gone                   row           row           refused       refused, if it must exist

A row that is created and deleted again leaves nothing to be sent. `Before` is what the first write demanded of the
stored document; it is demanded of it still when the transaction commits.

Every change is kept with what it replaced, so a savepoint is a mark in that list, and to roll back is to walk back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from ..query.plan import Create, Delete, Outcome, Put, Update, Write
from ..values.types import Kind, Ref

Key: TypeAlias = tuple[str, str]
"""A document: its collection and its id."""

Values: TypeAlias = Mapping[str, Any]
"""Columns by name."""


class Precondition(Enum):
    """What must be true of the stored document when the transaction commits."""

    ANY = auto()
    ABSENT = auto()
    PRESENT = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """All of a document."""

    values: Values


@dataclass(frozen=True, slots=True)
class Patch:
    """Some columns of a document that is stored; the others stay as they are."""

    values: Values
    increments: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deleted:
    """No document."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One document: what becomes of it, and what that rests on. `version`: as in `plan.Update`; `refusal`: as in
    `plan.Create`."""

    precondition: Precondition
    state: Row | Patch | Deleted
    version: Any = None
    refusal: str = ""


DELETED: Final = Deleted()

Add: TypeAlias = Callable[[Any, Any], Any]
"""What a column's value (None if it has none) and an increment make."""


class Buffer:
    """The writes of one transaction."""

    def __init__(self, add: Add) -> None:
        self._add = add
        self._entries: dict[str, dict[str, Entry]] = {}
        self._journal: list[tuple[Key, Entry | None]] = []

    def get(self, key: Key) -> Entry | None:
        """What becomes of a document; None if nothing does."""
        return self._entries.get(key[0], {}).get(key[1])

    def entries_of(self, collection: str) -> Mapping[str, Entry]:
        """What becomes of a collection's documents, by id."""
        return self._entries.get(collection, {})

    def collections(self) -> set[str]:
        """The collections that will hold a document for what was written."""
        return {name for name, own in self._entries.items() if any(entry.state != DELETED for entry in own.values())}

    def apply(self, write: Write, stored: bool | None = None) -> Outcome:
        """Take a write in; `stored` tells whether the stored document exists, where that is known.

        Where it is not, a `Create` is taken for possible and so is a change: the commit will tell.
        """
        key = (write.collection, write.id)
        entry = self.get(key)
        outcome, made = _APPLY[type(write)](self, entry, write, stored)
        if made is not None and made is not entry:
            self._set(key, made)
            self._journal.append((key, entry))
        return outcome

    def mark(self) -> int:
        """A savepoint: this moment."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Forget what came after a mark."""
        while len(self._journal) > mark:
            key, before = self._journal.pop()
            self._set(key, before)

    def created(self, since: int = 0) -> set[Key]:
        """The documents written since a mark whose creation assumes that none is stored."""
        keys = {key for key, _ in self._journal[since:]}
        return {
            key for key in keys if (entry := self.get(key)) is not None and entry.precondition is Precondition.ABSENT
        }

    def writes(self) -> Iterator[Write]:
        """What to send: one write for each document, in the order in which they were first written."""
        for collection, own in self._entries.items():
            for id, entry in own.items():
                if (made := _write(collection, id, entry)) is not None:
                    yield made

    def _set(self, key: Key, entry: Entry | None) -> None:
        own = self._entries.setdefault(key[0], {})
        if entry is not None:
            own[key[1]] = entry
            return
        del own[key[1]]
        if not own:
            del self._entries[key[0]]

    # What each write does to an entry: its outcome, and the entry that replaces it (None: no change).

    def _create(self, entry: Entry | None, write: Create, stored: bool | None) -> _Applied:
        if entry is None:
            made = Entry(Precondition.ABSENT, Row(_values(write)), refusal=write.refusal)
            return (Outcome.EXISTS, None) if stored else (Outcome.APPLIED, made)
        if entry.state != DELETED:
            return Outcome.EXISTS, None
        return Outcome.APPLIED, replace(entry, state=Row(_values(write)))

    def _put(self, entry: Entry | None, write: Put, stored: bool | None) -> _Applied:
        if entry is not None and not (write.must_exist and entry.state == DELETED):
            return Outcome.APPLIED, replace(entry, state=Row(_values(write)))
        if entry is not None or (write.must_exist and stored is False):
            return Outcome.MISSING, None
        return Outcome.APPLIED, Entry(
            Precondition.PRESENT if write.must_exist else Precondition.ANY, Row(_values(write))
        )

    def _update(self, entry: Entry | None, write: Update, stored: bool | None) -> _Applied:
        if entry is None:
            if stored is False:
                return Outcome.MISSING, None
            added = {_name(ref): amount for ref, amount in write.increments}
            return Outcome.APPLIED, Entry(Precondition.PRESENT, Patch(_values(write), added), write.version)
        if isinstance(entry.state, Deleted):
            return Outcome.MISSING, None
        return Outcome.APPLIED, replace(entry, state=self._changed(entry.state, write))

    def _changed(self, state: Row | Patch, write: Update) -> Row | Patch:
        """What an update makes of a row or a patch. An increment of a column whose value is known is that value."""
        values = {**state.values, **_values(write)}
        increments = dict(state.increments) if isinstance(state, Patch) else {}
        for name in _values(write):
            increments.pop(name, None)
        for ref, amount in write.increments:
            name = _name(ref)
            if isinstance(state, Row) or name in values:
                values[name] = self._add(values.get(name), amount)
            else:
                increments[name] = increments.get(name, 0) + amount
        return Row(values) if isinstance(state, Row) else Patch(values, increments)

    def _delete(self, entry: Entry | None, write: Delete, stored: bool | None) -> _Applied:
        conditional = write.must_exist or write.version is not None
        if entry is None:
            if stored is False:
                return (Outcome.MISSING if conditional else Outcome.APPLIED), None
            before = Precondition.PRESENT if conditional or stored else Precondition.ANY
            return Outcome.APPLIED, Entry(before, DELETED, write.version)
        if entry.state == DELETED:
            return (Outcome.MISSING if conditional else Outcome.APPLIED), None
        return Outcome.APPLIED, replace(entry, state=DELETED)


_Applied: TypeAlias = tuple[Outcome, Entry | None]
_APPLY: Final[Mapping[type, Callable[..., _Applied]]] = {
    Create: Buffer._create,
    Put: Buffer._put,
    Update: Buffer._update,
    Delete: Buffer._delete,
}


def _name(ref: Ref) -> str:
    if len(ref.path) != 1:
        raise TypeError(f"{ref.name} is not a column: a transaction writes whole columns")
    return ref.path[0]


def _values(write: Create | Put | Update) -> dict[str, Any]:
    return {_name(ref): value for ref, value in zip(write.columns, write.values, strict=True)}


def _write(collection: str, id: str, entry: Entry) -> Write | None:
    match entry.state:
        case Deleted():
            if entry.precondition is Precondition.ABSENT:
                return None
            return Delete(collection, id, entry.precondition is Precondition.PRESENT, entry.version)
        case Row(values):
            columns, contents = _columns(values)
            if entry.precondition is Precondition.ABSENT:
                return Create(collection, id, columns, contents, entry.refusal)
            return Put(collection, id, columns, contents, must_exist=entry.precondition is Precondition.PRESENT)
        case Patch(values, increments):
            columns, contents = _columns(values)
            added = tuple((_ref(name), amount) for name, amount in increments.items())
            return Update(collection, id, columns, contents, added, entry.version)


def _columns(values: Values) -> tuple[tuple[Ref, ...], tuple[Any, ...]]:
    return tuple(map(_ref, values)), tuple(values.values())


def _ref(name: str) -> Ref:
    return Ref((name,), Kind.WIRE)
