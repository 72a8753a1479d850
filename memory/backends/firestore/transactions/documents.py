"""Buffered writes on the wire: writes with encoded values, and documents with the writes applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ..query.plan import Delete, Update, Write
from ..rpc import codec, messages
from ..rpc.channel import Message, pb
from ..values.document_ids import escape_key
from ..values.server_time import ServerTime
from ..values.types import Kind, Ref
from .write_buffer import Deleted, Entry, Patch, Precondition, Row, Values


def encoded_write(write: Write) -> Write:
    """The write with encoded values, so that invalid values raise in the statement and not at the commit.

    A time that the server sets stays what it is.
    """
    if isinstance(write, Delete):
        return write
    content = messages.content(write)
    fields = content.update.fields
    values = tuple(
        [
            value if type(value) is ServerTime else fields[name]
            for name, value in zip(_field_names(write.columns), write.values, strict=True)
        ]
    )
    columns = _wire_columns(write.columns)
    if not isinstance(write, Update):
        return replace(write, columns=columns, values=values, content=content)
    least, greatest = _encoded_bounds(write.least), _encoded_bounds(write.greatest)
    return replace(write, columns=columns, values=values, least=least, greatest=greatest)


def _encoded_bounds(bounds: Sequence[tuple[Ref, Any]]) -> tuple[tuple[Ref, Any], ...]:
    return tuple((Ref(ref.path, Kind.WIRE), codec.value(bound, ref.kind)) for ref, bound in bounds)


@lru_cache(maxsize=1024)
def _field_names(columns: tuple[Ref, ...]) -> tuple[str, ...]:
    return tuple(escape_key(ref.path[0]) for ref in columns)


@lru_cache(maxsize=1024)
def _wire_columns(columns: tuple[Ref, ...]) -> tuple[Ref, ...]:
    return tuple(Ref(ref.path, Kind.WIRE) for ref in columns)


def merged_document(id: str, entry: Entry, stored: Message | None) -> Message | None:
    """The document as it will be after the commit; None if it will not exist."""
    made = pb["Document"](name=f"/{id}")
    match entry.state:
        case Deleted():
            return None
        case Row(values):
            _fill(made, values)
        case Patch(values, increments, least, greatest):
            if stored is None and entry.precondition is not Precondition.ANY:
                return None
            stored = pb["Document"]() if stored is None else stored
            made.fields.MergeFrom(stored.fields)
            _fill(made, values)
            for bounds, is_greatest in ((least, False), (greatest, True)):
                for name, bound in bounds.items():
                    known = stored.fields.get(escape_key(name))
                    _fill(made, {name: codec.widened(known, bound, greatest=is_greatest)})
            _fill(
                made,
                {name: codec.incremented(stored.fields.get(escape_key(name)), n) for name, n in increments.items()},
            )
    return made


def _fill(document: Message, values: Values) -> None:
    for name, value in values.items():
        encoded = codec.value(value, Kind.DATETIME) if type(value) is ServerTime else value
        document.fields[escape_key(name)].CopyFrom(encoded)
