"""Firestore's limits as pure functions, held on every engine: what development accepts, production accepts.

Sizes follow https://firebase.google.com/docs/firestore/storage-size, limits
https://firebase.google.com/docs/firestore/quotas.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from memory.backends.firestore.values.document_ids import MAX_ID_BYTES as MAX_ID_BYTES
from memory.backends.firestore.values.document_ids import MAX_KEY_BYTES
from memory.backends.firestore.values.document_ids import document_id_problem as document_id_problem
from memory.backends.firestore.values.document_ids import text_problem as text_problem
from memory.backends.firestore.values.sortable_text import INT64

# Firestore's 1 MiB, less what the engine keeps in a document for itself: a mark by which it knows its own write again.
ENGINE_BYTES = 32
MAX_DOCUMENT_BYTES = 1_048_576 - ENGINE_BYTES
MAX_VALUE_BYTES = 1_048_487
MAX_DEPTH = 20
MAX_DIMENSIONS = 2_048
MAX_DAYS = 365_000
"""Of an option: dates end with the year 9999."""

# Paths of the API below a collection, which therefore cannot be ids of records.
RESERVED_IDS = frozenset({"bulk", "check-duplicate", "context", "search"})

DOCUMENT_OVERHEAD_BYTES = 32
NAME_OVERHEAD_BYTES = 16


def days(text: str) -> int:
    """The value of a command's option. Raises `ValueError` for one that is negative, or that no date holds."""
    value = int(text)
    if not 0 <= value <= MAX_DAYS:
        raise ValueError(text)
    return value


def json_problem(value: object, depth: int = 1) -> str | None:
    """Why `value` cannot be stored as JSON, or None where it can; looks no deeper than the limit."""
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"JSON has no {value}; use null or a string."
    if value is None or isinstance(value, bool | int | float):
        return None
    if not isinstance(value, Mapping | list | tuple):
        return f"A {type(value).__name__} cannot be stored as JSON."
    if depth > MAX_DEPTH:
        return f"Maps and lists nest at most {MAX_DEPTH} levels deep."
    return next(_problems_inside(value, depth), None)


def _problems_inside(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key in value:
            if problem := _key_problem(key):
                yield problem
        members: Iterator[object] = iter(value.values())
    else:
        members = iter(value)  # type: ignore[call-overload]
    for member in members:
        if problem := json_problem(member, depth + 1):
            yield problem


def _key_problem(key: object) -> str | None:
    if not isinstance(key, str):
        return f"Keys must be strings; {key!r} is a {type(key).__name__}."
    if problem := text_problem(key):
        return problem
    if (size := len(key.encode())) > MAX_KEY_BYTES:
        return f"A key has at most {MAX_KEY_BYTES} bytes; one here has {size}."
    return None


def value_size(value: object) -> int:
    """Bytes that Firestore counts for a value as the engine stores it, however deep it nests."""
    if isinstance(value, str):
        return _text_size(value)
    if (size := FIXED_SIZES.get(value.__class__)) is not None:
        return size
    if isinstance(value, int | float | datetime):
        return _scalar_size(value)
    total, pending = 0, [value]
    while pending:
        member = pending.pop()
        if isinstance(member, Mapping):
            pending.extend(member.values())
            total += sum(map(_key_size, member)) or EMPTY_BYTES
        elif isinstance(member, list | tuple):
            if set(map(type, member)) == FLOATS:
                total += 8 * len(member)
                continue
            pending.extend(member)
            total += ESCAPE_BYTES * sum(isinstance(inner, list | tuple) for inner in member)
            total += 0 if member else EMPTY_BYTES
        else:
            total += _scalar_size(member)
    return total


FIXED_SIZES: Mapping[type, int] = {type(None): 1, bool: 1, float: 8, datetime: 8}
FLOATS = {float}  # a vector, which is not worth a look at each number
# A map or list without members still counts.
EMPTY_BYTES = 1
# Firestore has no list directly in a list, and no integer beyond 64 bits: the engine wraps both in a map with one key.
ESCAPE_BYTES = 9


def _text_size(value: str) -> int:
    return 1 + (len(value) if value.isascii() else len(value.encode(errors="surrogatepass")))


@lru_cache(maxsize=1_000)
def _key_size(key: object) -> int:
    name = str(key)
    # Keys that Firestore reserves are stored escaped.
    return _text_size(name) + (4 if not name or name.startswith("__") else 0)


def _scalar_size(value: object) -> int:
    if isinstance(value, str):
        return _text_size(value)
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int) and value not in INT64:
        return ESCAPE_BYTES + _text_size(str(value))
    if isinstance(value, int | float | datetime):
        return 8
    return _text_size(str(value))


def document_size(collection: str, document_id: str, fields: Mapping[str, object]) -> int:
    """Bytes that Firestore counts for a document, its name included."""
    return document_size_of(collection, document_id, {name: value_size(value) for name, value in fields.items()})


def document_size_of(collection: str, document_id: str, sizes: Mapping[str, int]) -> int:
    """The same, where the sizes of the fields' values are known."""
    fields = sum(_key_size(key) + size for key, size in sizes.items()) or EMPTY_BYTES
    return document_overhead(collection, ()) + value_size(document_id) + fields


def document_overhead(collection: str, names: Iterable[str]) -> int:
    """The bytes of a document with these fields, without its id and its values."""
    return value_size(collection) + NAME_OVERHEAD_BYTES + DOCUMENT_OVERHEAD_BYTES + sum(map(_key_size, names))
