"""The buffered writes of a transaction: each document's new state, and the precondition on the stored document.

Pure: no I/O, no Django, no protobuf messages. Values are opaque.

One write is sent per document, however often it was written:

    the document's entry   + Create      + Put         + Update      + Delete
    none                   new row       row           patch         deleted
    row                    refused       row           row           deleted
    patch                  refused       row           patch         deleted
    deleted                row           row           refused       refused, if it must exist

Nothing is sent for a row that was created and deleted. `Precondition` is the first write's requirement on the stored
document; the commit checks it.

An index by a column's values finds the rows that a filter of equality or a range may match, without a look at the
others. It is made by the first such filter, and kept from then on.

A journal keeps the entry that each write replaced: a savepoint is a position in the journal, and a rollback undoes the
entries after it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, Final, Protocol, TypeAlias

from ..query.plan import Create, Delete, Outcome, Put, Update, Write
from ..values.types import Kind, Ref

Key: TypeAlias = tuple[str, str]
"""A document: its collection and its id."""

Values: TypeAlias = Mapping[str, Any]
"""Columns by name."""


class Precondition(Enum):
    """A requirement on the stored document, checked by the commit."""

    ANY = auto()
    ABSENT = auto()
    PRESENT = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """All columns of a document. For `content` see `plan.Create`."""

    values: Values
    content: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Patch:
    """Some columns of a stored document; the others are unchanged. For `least` and `greatest` see `plan.Update`.

    With the precondition ANY, a missing document is created.
    """

    values: Values
    increments: Values = field(default_factory=dict)
    least: Values = field(default_factory=dict)
    greatest: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deleted:
    """No document."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One document's new state, and the precondition for it. For `version` see `plan.Update`, for `refusal`
    `plan.Create`."""

    precondition: Precondition
    state: Row | Patch | Deleted
    version: Any = None
    refusal: str = ""


DELETED: Final = Deleted()

Add: TypeAlias = Callable[[Any, Any], Any]
"""Adds an increment to a column's value (None if the column is missing)."""


class Widened(Protocol):
    """The wider of a column's value (None if the column is missing) and a bound."""

    def __call__(self, value: Any, bound: Any, /, *, greatest: bool) -> Any: ...


def _bound(value: Any, bound: Any, *, greatest: bool) -> Any:
    return bound


Token: TypeAlias = tuple[Any, ...]
"""The type and the parts of a value, for comparisons: only values of one type are in an order."""

Tokenize: TypeAlias = Callable[[Any], Token | None]
"""The same token for equal values of columns; None for a value that may equal others."""

BY_ID: Final = ""
"""Instead of a column: the documents' ids."""


class ColumnIndex:
    """The documents of a collection by the token of a column. Documents whose value is unknown match every token."""

    def __init__(self, column: str, tokenize: Tokenize) -> None:
        self._column = column
        self._tokenize = tokenize
        self._by_token: dict[Token | None, dict[str, None]] = {}
        self._tokens: dict[str, Token | None] = {}
        self._sorted: dict[Any, list[tuple[Token, str]]] | None = None

    def add(self, id: str, entry: Entry | None) -> None:
        """Replaces the entry of a document; None: it has no more buffered writes."""
        if id in self._tokens:
            self._remove(id, self._tokens.pop(id))
        if entry is None or isinstance(entry.state, Deleted):
            return
        token = self._token(id, entry.state.values)
        self._tokens[id] = token
        self._by_token.setdefault(token, {})[id] = None
        if self._sorted is not None and token is not None:
            insort(self._sorted.setdefault(token[0], []), (token, id))

    def _token(self, id: str, values: Values) -> Token | None:
        if self._column == BY_ID:
            return ("id", id)
        return self._tokenize(values[self._column]) if self._column in values else None

    def _remove(self, id: str, token: Token | None) -> None:
        del self._by_token[token][id]
        if self._sorted is not None and token is not None:
            ordered = self._sorted[token[0]]
            del ordered[bisect_left(ordered, (token, id))]

    def find(self, tokens: Collection[Token]) -> list[str]:
        """The documents whose column may have one of these tokens."""
        return [id for token in (*dict.fromkeys(tokens), None) for id in self._by_token.get(token, ())]

    def between(self, low: Token | None, high: Token | None) -> Collection[str]:
        """The documents whose column may be in a range, both ends included. None is no bound; one must be given."""
        bound = low or high
        if bound is None:
            raise TypeError("a range needs a bound")
        if self._sorted is None:
            self._sorted = {}
            for id, token in self._tokens.items():
                if token is not None:
                    self._sorted.setdefault(token[0], []).append((token, id))
            for ordered in self._sorted.values():
                ordered.sort()
        ordered = self._sorted.get(bound[0], [])
        start = 0 if low is None else bisect_left(ordered, low, key=itemgetter(0))
        stop = len(ordered) if high is None else bisect_right(ordered, high, key=itemgetter(0))
        return Span(ordered, start, stop, self._by_token.get(None, {}))


@dataclass(frozen=True)
class Span(Collection[str]):
    """The documents of a part of an ordered index, and those of unknown values. Its length is known without a visit."""

    ordered: Sequence[tuple[Token, str]]
    start: int
    stop: int
    unknown: Collection[str]

    def __len__(self) -> int:
        return max(self.stop - self.start, 0) + len(self.unknown)

    def __iter__(self) -> Iterator[str]:
        yield from (id for _, id in islice(self.ordered, self.start, self.stop))
        yield from self.unknown

    def __contains__(self, id: object) -> bool:
        return any(other == id for other in self)


class Buffer:
    """The writes of one transaction."""

    def __init__(self, add: Add, tokenize: Tokenize = lambda value: None, widened: Widened = _bound) -> None:
        self._add = add
        self._tokenize = tokenize
        self._widened = widened
        self._entries: dict[str, dict[str, Entry]] = {}
        self._stored: dict[str, dict[str, None]] = {}
        self._indexes: dict[str, dict[str, ColumnIndex]] = {}
        self._journal: list[tuple[Key, Entry | None]] = []

    def get(self, key: Key) -> Entry | None:
        """The entry of a document; None if it has no buffered writes."""
        return self._entries.get(key[0], {}).get(key[1])

    def entries_of(self, collection: str) -> Mapping[str, Entry]:
        """The entries of a collection's documents, by id."""
        return self._entries.get(collection, {})

    def stored_ids(self, collection: str) -> Collection[str]:
        """The documents with buffered writes that may be stored."""
        return self._stored.get(collection, {})

    def index(self, collection: str, column: str) -> ColumnIndex:
        """The documents of a collection by a column, or by `BY_ID`, as they will be after the commit."""
        indexes = self._indexes.setdefault(collection, {})
        if column not in indexes:
            indexes[column] = ColumnIndex(column, self._tokenize)
            for id, entry in self.entries_of(collection).items():
                indexes[column].add(id, entry)
        return indexes[column]

    def collections(self) -> set[str]:
        """The collections that will contain a document because of buffered writes."""
        return {name for name, own in self._entries.items() if any(entry.state != DELETED for entry in own.values())}

    def apply(self, write: Write, stored: bool | None = None) -> Outcome:
        """Adds a write and returns its outcome. `stored` is whether the stored document exists, None if unknown.

        If it is unknown, the write is assumed to succeed, and the commit checks it.
        """
        key = (write.collection, write.id)
        entry = self.get(key)
        outcome, made = _APPLY[type(write)](self, entry, write, stored)
        if made is not None and made is not entry:
            self._set(key, made)
            self._journal.append((key, entry))
        return outcome

    def mark(self) -> int:
        """A savepoint: the current position in the journal."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undoes the writes after a mark."""
        while len(self._journal) > mark:
            key, before = self._journal.pop()
            self._set(key, before)

    def created(self, since: int = 0) -> set[Key]:
        """The documents written since a mark that must not exist at the commit."""
        keys = {key for key, _ in self._journal[since:]}
        return {
            key for key in keys if (entry := self.get(key)) is not None and entry.precondition is Precondition.ABSENT
        }

    def writes(self) -> Iterator[Write]:
        """The writes to send: one per document, in the order of their first writes."""
        for collection, own in self._entries.items():
            for id, entry in own.items():
                if (made := _write(collection, id, entry)) is not None:
                    yield made

    def _set(self, key: Key, entry: Entry | None) -> None:
        collection, id = key
        own = self._entries.setdefault(collection, {})
        if _may_be_stored(entry):
            self._stored.setdefault(collection, {})[id] = None
        else:
            self._stored.get(collection, {}).pop(id, None)
        for index in self._indexes.get(collection, {}).values():
            index.add(id, entry)
        if entry is not None:
            own[id] = entry
            return
        del own[id]
        if not own:
            del self._entries[collection]

    # The effect of each write on an entry: the outcome, and the new entry (None: no change).

    def _create(self, entry: Entry | None, write: Create, stored: bool | None) -> _Applied:
        if entry is None:
            made = Entry(Precondition.ABSENT, _row(write), refusal=write.refusal)
            return (Outcome.EXISTS, None) if stored else (Outcome.APPLIED, made)
        if entry.state != DELETED:
            return Outcome.EXISTS, None
        return Outcome.APPLIED, replace(entry, state=_row(write))

    def _put(self, entry: Entry | None, write: Put, stored: bool | None) -> _Applied:
        if entry is not None and not (write.must_exist and entry.state == DELETED):
            return Outcome.APPLIED, replace(entry, state=_row(write))
        if entry is not None or (write.must_exist and stored is False):
            return Outcome.MISSING, None
        return Outcome.APPLIED, Entry(Precondition.PRESENT if write.must_exist else Precondition.ANY, _row(write))

    def _update(self, entry: Entry | None, write: Update, stored: bool | None) -> _Applied:
        if entry is None:
            if stored is False and not write.upsert:
                return Outcome.MISSING, None
            added, *bounds = ({_name(ref): value for ref, value in pairs} for pairs in _computed(write))
            before = Precondition.ANY if write.upsert else Precondition.PRESENT
            return Outcome.APPLIED, Entry(before, Patch(_values(write), added, *bounds), write.version)
        if isinstance(entry.state, Deleted):
            if write.upsert:
                return Outcome.APPLIED, replace(entry, state=self._changed(Row({}), write))
            return Outcome.MISSING, None
        return Outcome.APPLIED, replace(entry, state=self._changed(entry.state, write))

    def _changed(self, state: Row | Patch, write: Update) -> Row | Patch:
        """A row or a patch after an update. An increment of a known value is computed at once."""
        values = {**state.values, **_values(write)}
        increments, *bounds = _transforms(state)
        for name in _values(write):
            for pending in (increments, *bounds):
                pending.pop(name, None)
        for pending, given, greatest in zip(bounds, (write.least, write.greatest), (False, True), strict=True):
            for ref, bound in given:
                name = _name(ref)
                target = values if isinstance(state, Row) or name in values else pending
                target[name] = self._widened(target.get(name), bound, greatest=greatest)
        for ref, amount in write.increments:
            name = _name(ref)
            if isinstance(state, Row) or name in values:
                values[name] = self._add(values.get(name), amount)
            else:
                increments[name] = increments.get(name, 0) + amount
        if isinstance(state, Row):
            return Row(values)
        _refuse_mixed(increments, *bounds)
        return Patch(values, increments, *bounds)

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


def _computed(write: Update) -> tuple[tuple[tuple[Ref, Any], ...], ...]:
    """What the server computes: increments, least and greatest values."""
    return write.increments, write.least, write.greatest


def _refuse_mixed(*transforms: Mapping[str, Any]) -> None:
    """Raises for a column with transforms of several kinds, whose order would be lost."""
    names = [name for pending in transforms for name in pending]
    if mixed := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"a transaction can either add to {sorted(mixed)[0]!r} or widen one bound of it, not both")


def _transforms(state: Row | Patch) -> tuple[dict[str, Any], ...]:
    """Copies of the same of a patch; of a row, which has all of its values, nothing."""
    if isinstance(state, Row):
        return {}, {}, {}
    return dict(state.increments), dict(state.least), dict(state.greatest)


def _may_be_stored(entry: Entry | None) -> bool:
    return entry is not None and entry.precondition is not Precondition.ABSENT


def _name(ref: Ref) -> str:
    if len(ref.path) != 1:
        raise TypeError(f"{ref.name} is a path inside a column: in a transaction only whole columns can be written")
    return ref.path[0]


@lru_cache(maxsize=1024)
def _names(columns: tuple[Ref, ...]) -> tuple[str, ...]:
    return tuple(map(_name, columns))


def _values(write: Create | Put | Update) -> dict[str, Any]:
    return dict(zip(_names(write.columns), write.values, strict=True))


def _row(write: Create | Put) -> Row:
    return Row(_values(write), write.content)


def _write(collection: str, id: str, entry: Entry) -> Write | None:
    match entry.state:
        case Deleted():
            if entry.precondition is Precondition.ABSENT:
                return None
            return Delete(collection, id, entry.precondition is Precondition.PRESENT, entry.version)
        case Row(values, content):
            columns, contents = _columns(values)
            if entry.precondition is Precondition.ABSENT:
                return Create(collection, id, columns, contents, entry.refusal, content)
            return Put(collection, id, columns, contents, entry.precondition is Precondition.PRESENT, content)
        case Patch(values, increments, least, greatest):
            columns, contents = _columns(values)
            added, low, high = (
                tuple((_ref(name), value) for name, value in pairs.items()) for pairs in (increments, least, greatest)
            )
            upsert = entry.precondition is Precondition.ANY
            return Update(collection, id, columns, contents, added, entry.version, low, high, upsert)


def _columns(values: Values) -> tuple[tuple[Ref, ...], tuple[Any, ...]]:
    return _refs(tuple(values)), tuple(values.values())


@lru_cache(maxsize=1024)
def _refs(names: tuple[str, ...]) -> tuple[Ref, ...]:
    return tuple(map(_ref, names))


def _ref(name: str) -> Ref:
    return Ref((name,), Kind.WIRE)
