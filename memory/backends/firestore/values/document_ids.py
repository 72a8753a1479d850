"""Map keys, field paths and document ids that Firestore accepts. Pure: no I/O, no protobuf messages.

Keys that Firestore rejects (empty, `__x__`) are escaped as `__%` + key + `%`, and so are keys that look escaped.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
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
    """The id of the document whose primary key is `value`. Ids sort as keys do, and no two keys share an id.

    TEXT is unchanged if it is a valid id; otherwise it is escaped (see below). INTEGER is 19 digits
    ("0000000000000000007"), or "-" and the digits of 10**19 + n for a negative number. UUID is str(). Other kinds are
    their stored text.

    Raises `ValueError` for NaN, values of another kind, and text with a lone surrogate.
    """
    text = _ID_TEXT[kind][0](value) if kind in _ID_TEXT else str(value)
    escaped = _escaped_id(text) if _TO_ESCAPE.search(text) else text
    size = len(escaped) if escaped.isascii() else len(escaped.encode())
    return escaped if size <= MAX_ID_BYTES else _shortened_id(text, escaped)


def document_id_or_none(value: Any, kind: Kind) -> str | None:
    """The document id of a key's value; None for a value that no document can have as its key."""
    try:
        return document_id(value, kind)
    except ValueError:
        return None


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


def composite_id(parts: Iterable[tuple[Any, Kind]]) -> str:
    """The id of the document with a composite primary key: values and their kinds. Ids sort as the tuples do.

    The parts' text is joined by U+0001 U+0001; U+0001 in a part is followed by U+0002. Raises `ValueError`.
    """
    texts = [_ID_TEXT[kind][0](value) if kind in _ID_TEXT else str(value) for value, kind in parts]
    return document_id((_LEAST * 2).join(text.replace(_LEAST, f"{_LEAST}\2") for text in texts), Kind.TEXT)


def document_key(id: str, kind: Kind) -> Any:
    """The primary key of the document with this id.

    An id that another program chose is returned as it is. So is a shortened id: only the document's field holds its
    key.
    """
    if is_shortened(id):
        return id
    try:
        text = _unescaped_id(id)
        return _ID_TEXT[kind][1](text) if kind in _ID_TEXT else text
    except (ValueError, KeyError):
        return id


# Escapes of text that is not a valid id. An escape sorts as what it stands for, so that ids sort as keys do.
#
#   /                     "." U+10FFFF "1": after every text with a dot there, before every text with "0"
#   U+10FFFF              U+10FFFF "0"
#   empty, "." and ".."   U+0001 is added; where U+0000 or U+0001 follows, U+0001 U+0002 is put before it
#   __x__                 U+0001 is added, also after those that are there
#   over 1,500 bytes      the first 1,431 bytes, U+10FFFF "2", and the text's SHA-256 in hexadecimal digits

_TO_ESCAPE: Final = re.compile("/|\U0010ffff|\\A\\.{0,2}(?:[\0\1]|\\Z)|\\A__.*__\1*\\Z", re.DOTALL)
_BARE_DOTS: Final = re.compile("(\\.{0,2})([\0\1].*)?\\Z", re.DOTALL)
_ESCAPED_DOTS: Final = re.compile("(\\.{0,2})\1(?:\2(.*))?\\Z", re.DOTALL)
_UNDERSCORES: Final = re.compile("__.*__\1*\\Z", re.DOTALL)
_ESCAPED_UNDERSCORES: Final = re.compile("__.*__\1+\\Z", re.DOTALL)
_ESCAPED_CHARACTERS: Final = re.compile("\\.?\U0010ffff1|\U0010ffff0")
_ESCAPE: Final = "\U0010ffff"
_LEAST: Final = "\1"
_DIGEST_MARK: Final = f"{_ESCAPE}2"
_SHORTENED: Final = re.compile(f"{_DIGEST_MARK}[0-9a-f]{{64}}\\Z")
_KEPT_BYTES: Final = MAX_ID_BYTES - len(_DIGEST_MARK.encode()) - 64


def _escaped_id(text: str) -> str:
    id = text.replace(_ESCAPE, f"{_ESCAPE}0").replace("/", f".{_ESCAPE}1")
    if dots := _BARE_DOTS.match(id):
        return f"{dots[1]}{_LEAST}" + (f"\2{dots[2]}" if dots[2] else "")
    return f"{id}{_LEAST}" if _UNDERSCORES.match(id) else id


def _unescaped_id(id: str) -> str:
    if _ESCAPED_UNDERSCORES.match(id):
        id = id[:-1]
    elif dots := _ESCAPED_DOTS.match(id):
        id = dots[1] + (dots[2] or "")
    return _ESCAPED_CHARACTERS.sub(lambda found: _ESCAPE if found[0][-1] == "0" else "/", id)


def _shortened_id(text: str, escaped: str) -> str:
    kept = escaped.encode()[:_KEPT_BYTES].decode(errors="ignore")
    return f"{kept}{_DIGEST_MARK}{hashlib.sha256(text.encode()).hexdigest()}"


def is_shortened(id: str) -> bool:
    """Whether an id holds the start of its key and a digest of all of it."""
    return _SHORTENED.search(id) is not None


_TIME: Final[tuple[Callable[[Any], str], Callable[[str], Any]]] = (
    lambda value: utc(value).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z",
    dt.datetime.fromisoformat,
)

_ID_TEXT: Final[Mapping[Kind, tuple[Callable[[Any], str], Callable[[str], Any]]]] = {
    Kind.INTEGER: (integer_text, text_integer),
    Kind.UUID: (str, uuid.UUID),
    Kind.BOOLEAN: ({False: "false", True: "true"}.__getitem__, {"false": False, "true": True}.__getitem__),
    Kind.FLOAT: (lambda value: decimal_text(Decimal(value)), lambda text: float(text_decimal(text))),
    Kind.BINARY: (lambda value: bytes(value).hex(), bytes.fromhex),
    Kind.DATETIME: _TIME,
    Kind.MOMENT: _TIME,
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


SORTED_KINDS: Final = frozenset({Kind.TEXT, *_ID_TEXT})
"""The kinds of primary keys whose ids sort as they do."""
