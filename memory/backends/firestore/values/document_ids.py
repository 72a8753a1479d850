"""Map keys, field paths and document ids that Firestore accepts. Pure: no I/O, no protobuf messages.

Keys that Firestore rejects (empty, `__x__`) are escaped as `__%` + key + `%`, and so are keys that look escaped.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from .sortable_text import (
    MICROSECOND,
    decimal_text,
    duration_number,
    integer_text,
    text_decimal,
    text_integer,
    time_text,
    utc,
)
from .types import DOCUMENT_ID, Kind

MAX_KEY_BYTES: Final = 1500
MAX_ID_BYTES: Final = 1500

_RESERVED: Final = re.compile(r"__.*__\Z", re.DOTALL)
_SIMPLE_SEGMENT: Final = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*\Z")


def escape_key(key: str) -> str:
    """A map key in its stored form."""
    if not key or key.startswith("__%") or _RESERVED.match(key):
        return f"__%{key}%"
    return key


def unescape_key(key: str) -> str:
    """The inverse of `escape_key`."""
    return key[3:-1] if key.startswith("__%") else key


@lru_cache(maxsize=4096)
def field_path(path: tuple[str, ...]) -> str:
    """A path of raw keys in the syntax of queries and field masks: escaped, quoted in backticks if needed, dotted."""
    if path == DOCUMENT_ID.path:
        return path[0]
    return ".".join(quoted(escape_key(key)) for key in path)


def quoted(segment: str) -> str:
    """One stored key in the syntax of queries and field masks."""
    if _SIMPLE_SEGMENT.match(segment):
        return segment
    return "`" + segment.replace("\\", "\\\\").replace("`", "\\`") + "`"


def document_id(value: Any, kind: Kind) -> str:
    """The id of the document whose primary key is `value`.

    TEXT is unchanged. INTEGER is 19 digits ("0000000000000000007"), or "-" and the digits of 10**19 + n for a negative
    number, so that ids sort as numbers do. UUID is str(). Other kinds are their stored text.

    Raises `ValueError` for an invalid id: empty, `.`, `..`, `__x__`, with a slash, or over 1,500 bytes.
    """
    id = _ID_TEXT[kind][0](value) if kind in _ID_TEXT else str(value)
    if (problem := document_id_problem(id)) is not None:
        raise ValueError(f"{id[:100]!r} is not a valid document id: {problem}")
    return id


def document_id_problem(id: str) -> str | None:
    """The reason why `id` is not a valid document id, as a sentence; None if it is valid.

    https://firebase.google.com/docs/firestore/quotas#collections_documents_and_fields
    """
    if not id:
        return "An id cannot be empty."
    if id in (".", ".."):
        return f"{id!r} cannot be an id."
    if "/" in id:
        return "An id cannot contain a slash."
    if _RESERVED.match(id):
        return "Ids that start and end with two underscores are reserved."
    if not id.isascii() and (problem := text_problem(id)):
        return problem
    if (size := len(id.encode())) > MAX_ID_BYTES:
        return f"An id has at most {MAX_ID_BYTES} bytes; this one has {size}."
    return None


def text_problem(text: str) -> str | None:
    """The reason why `text` cannot be stored, as a sentence; None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "This text has a lone surrogate, which no encoding of Unicode can store."
    return None


def document_key(id: str, kind: Kind) -> Any:
    """The primary key of the document `id`. An id in another format is returned unchanged."""
    if kind not in _ID_TEXT:
        return id
    try:
        return _ID_TEXT[kind][1](id)
    except (ValueError, KeyError):
        return id


_ID_TEXT: Final[Mapping[Kind, tuple[Callable[[Any], str], Callable[[str], Any]]]] = {
    Kind.INTEGER: (integer_text, text_integer),
    Kind.UUID: (str, uuid.UUID),
    Kind.BOOLEAN: ({False: "false", True: "true"}.__getitem__, {"false": False, "true": True}.__getitem__),
    Kind.FLOAT: (lambda value: decimal_text(Decimal(value)), lambda text: float(text_decimal(text))),
    Kind.BINARY: (lambda value: bytes(value).hex(), bytes.fromhex),
    Kind.DATETIME: (
        lambda value: utc(value).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z",
        dt.datetime.fromisoformat,
    ),
    Kind.DATE: (dt.date.isoformat, dt.date.fromisoformat),
    Kind.TIME: (time_text, dt.time.fromisoformat),
    Kind.DURATION: (
        lambda value: integer_text(duration_number(value)),
        lambda text: text_integer(text) * MICROSECOND,
    ),
    Kind.DECIMAL: (decimal_text, text_decimal),
}
"""For kinds whose ids are not `str(value)`: the conversion to an id, and its inverse."""


def id_from_name(name: str) -> str:
    """The last segment of a document's resource name."""
    return name[name.rindex("/") + 1 :]
