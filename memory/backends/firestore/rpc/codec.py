"""Converts Python values to protobuf messages and back, with one table per direction, by `Kind`.

Encoders write into a given message, decoders read one. Both use Firestore's raw messages only. Values that Firestore
rejects are stored in formats that preserve order and equality; `docs/firestore-values.md` documents them for other
clients of the database.

Map keys that Firestore rejects (empty, `__x__`) are escaped as `__%` + key + `%`, and so are keys that look escaped.
Inside JSON, a value that Firestore rejects is stored as a map with one of these keys, which no escaped key equals:

    __%array   an array directly inside an array
    __%int     an integer beyond 64 bits, as decimal digits
    __%json    other values, as JSON text: a top-level null, text with lone surrogates, values nested too deep
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import numpy as np

from ..errors import UnreadableValue
from ..values.document_ids import MAX_KEY_BYTES, document_key, escape_key, id_from_name, unescape_key
from ..values.server_time import ServerTime
from ..values.sortable_text import (
    INT64,
    MICROSECOND,
    decimal_text,
    duration_number,
    int64,
    text_decimal,
    time_text,
    utc,
)
from ..values.types import DOCUMENT_ID, FIELDS, JSON_NULL, VERSION, JsonNull, Kind, Ref
from . import json_forms
from .channel import pb

Message: TypeAlias = Any
Encoder: TypeAlias = Callable[[Message, Any], None]
Decoder: TypeAlias = Callable[[Message], Any]

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MAX_DEPTH: Final = 18
"""Nesting depth of maps and arrays that are stored natively. Firestore allows 20, and an escape needs one or two."""

MARK: Final = "__%write"
"""The field with the mark of the document's last marked write; see `rpc/commit.py`."""

ARRAY, INT, TEXT = "__%array", "__%int", "__%json"
TYPE, VECTOR_TYPE, VECTOR_VALUE = "__type__", "__vector__", "value"
VECTOR = "$vector"


# Encoders. Each writes a value other than None into a message.


def encode(message: Message, value: Any, kind: Kind, depth: int = 0) -> None:
    """Writes a column's value into a `Value` message.

    `depth` is the number of maps that already enclose the value. Raises `ValueError`, `TypeError`, `OverflowError` or
    `UnicodeEncodeError` for values that the kind cannot represent.
    """
    if value is None:
        message.null_value = 0
    elif kind is Kind.JSON:
        (_encode_json if depth == 0 else _encode_member)(message, value, depth)
    else:
        _ENCODERS[kind](message, value)


def _encode_boolean(message: Message, value: Any) -> None:
    message.boolean_value = bool(value)


def _encode_integer(message: Message, value: Any) -> None:
    message.integer_value = int64(int(value))


def _encode_float(message: Message, value: Any) -> None:
    message.double_value = float(value)


def _encode_text(message: Message, value: Any) -> None:
    message.string_value = value if isinstance(value, str) else str(value)


def _encode_binary(message: Message, value: Any) -> None:
    message.bytes_value = bytes(value)


def _encode_datetime(message: Message, value: dt.datetime) -> None:
    since = (value if value.tzinfo is dt.UTC else utc(value)) - EPOCH
    message.timestamp_value.seconds = since.days * 86400 + since.seconds
    message.timestamp_value.nanos = since.microseconds * 1000


def _encode_moment(message: Message, value: dt.datetime) -> None:
    message.integer_value = ((value if value.tzinfo is dt.UTC else utc(value)) - EPOCH) // MICROSECOND


def _encode_date(message: Message, value: dt.date) -> None:
    message.string_value = value.isoformat()[:10]


def _encode_time(message: Message, value: dt.time) -> None:
    message.string_value = time_text(value)


def _encode_duration(message: Message, value: dt.timedelta) -> None:
    message.integer_value = duration_number(value)


def _encode_decimal(message: Message, value: Any) -> None:
    message.string_value = decimal_text(value if isinstance(value, Decimal) else Decimal(value))


def _encode_uuid(message: Message, value: Any) -> None:
    message.string_value = (value if isinstance(value, uuid.UUID) else uuid.UUID(value)).hex


def _encode_any(message: Message, value: Any) -> None:
    for known, kind in _KINDS_OF_TYPES.items():
        if isinstance(value, known):
            return encode(message, value, kind)
    raise TypeError(f"a value of type {type(value).__name__} cannot be stored in Firestore")


def _encode_vector(message: Message, value: Sequence[float]) -> None:
    fields = message.map_value.fields
    fields[TYPE].string_value = VECTOR_TYPE
    fields[VECTOR_VALUE].array_value.MergeFromString(_doubles_to_wire(value))


_DOUBLE_PREFIX: Final = np.frombuffer(b"\x0a\x09\x19", np.uint8)
"""In an ArrayValue each double takes 11 bytes: `values` (field 1) with 9 bytes, which are `double_value` (field 3)."""


def _doubles_to_wire(values: Sequence[float]) -> bytes:
    """A serialised ArrayValue of doubles; thirty times faster than adding one message per double."""
    doubles = np.asarray(values, "<f8")
    if doubles.ndim != 1:
        raise ValueError(f"a vector must be one-dimensional, not {doubles.ndim}-dimensional")
    wire = np.empty((doubles.size, 11), np.uint8)
    wire[:, :3] = _DOUBLE_PREFIX
    wire[:, 3:] = doubles.view(np.uint8).reshape(-1, 8)
    return wire.tobytes()


def _wire_to_doubles(wire: bytes) -> list[float] | None:
    """The inverse of `_doubles_to_wire`; None if the array contains other types."""
    if len(wire) % 11:
        return None
    rows = np.frombuffer(wire, np.uint8).reshape(-1, 11)
    if not (rows[:, :3] == _DOUBLE_PREFIX).all():
        return None
    doubles: list[float] = rows[:, 3:].copy().view("<f8").ravel().tolist()
    return doubles


def _encode_json(message: Message, value: Any, depth: int) -> None:
    if isinstance(value, JsonNull):
        message.map_value.fields[TEXT].string_value = "null"
    else:
        _encode_member(message, value, depth)


def _encode_member(message: Message, value: Any, depth: int) -> None:
    """Encodes a value inside JSON, where None is JSON's null. `depth` counts the enclosing maps and arrays."""
    if value is None:
        message.null_value = 0
    elif isinstance(value, str):
        _encode_json_text(message, value)
    elif isinstance(value, bool):
        message.boolean_value = value
    elif isinstance(value, int):
        if value in INT64:
            message.integer_value = value
        else:
            message.map_value.fields[INT].string_value = str(value)
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, dict):
        _encode_map(message, value, depth)
    elif isinstance(value, list | tuple):
        _encode_array(message, value, depth)
    else:
        raise TypeError(f"a value of type {type(value).__name__} is not JSON serializable; set the field's encoder")


def _encode_json_text(message: Message, value: str) -> None:
    try:
        message.string_value = value
    except UnicodeEncodeError:
        _encode_as_text(message, value)


def _encode_map(message: Message, value: dict[Any, Any], depth: int) -> None:
    if len(value) == 1 and (json_forms.write(message, value) or _write_vector_form(message, value)):
        return
    named = {key if isinstance(key, str) else _json_key(key): member for key, member in value.items()}
    if depth >= MAX_DEPTH or None in (stored := list(map(_stored_key, named))):
        _encode_as_text(message, named)
        return
    if not named:
        message.map_value.SetInParent()
    fields = message.map_value.fields
    for key, member in zip(stored, named.values(), strict=True):
        _encode_member(fields[key], member, depth + 1)


def _write_vector_form(message: Message, value: dict[Any, Any]) -> bool:
    """Writes a vector for its JSON form, a map with one key; see `json_forms`."""
    content = value.get(VECTOR)
    if not isinstance(content, list) or not content or not all(type(member) is float for member in content):
        return False
    _encode_vector(message, content)
    return True


def _encode_array(message: Message, value: Sequence[Any], depth: int) -> None:
    if depth >= MAX_DEPTH:
        _encode_as_text(message, value)
        return
    if not value:
        message.array_value.SetInParent()
    values = message.array_value.values
    for member in value:
        item = values.add()
        if isinstance(member, list | tuple):
            item = item.map_value.fields[ARRAY]
            _encode_array(item, member, depth + 2)
        else:
            _encode_member(item, member, depth + 1)


def _encode_as_text(message: Message, value: Any) -> None:
    message.map_value.fields[TEXT].string_value = json.dumps(value)


def _json_key(key: Any) -> str:
    """A key that is not a string, as `json.dumps` converts it."""
    text: str = next(iter(json.loads(json.dumps({key: None}))))
    return text


@lru_cache(maxsize=4096)
def _stored_key(key: str) -> str | None:
    """A map key in its stored form; None if Firestore cannot store it."""
    try:
        fits = len(key.encode()) <= MAX_KEY_BYTES - 4  # an escape adds four bytes
    except UnicodeEncodeError:
        return None
    return escape_key(key) if fits else None


_ENCODERS: Final[Mapping[Kind, Encoder]] = {
    Kind.ANY: _encode_any,
    Kind.BOOLEAN: _encode_boolean,
    Kind.INTEGER: _encode_integer,
    Kind.FLOAT: _encode_float,
    Kind.TEXT: _encode_text,
    Kind.BINARY: _encode_binary,
    Kind.DATETIME: _encode_datetime,
    Kind.MOMENT: _encode_moment,
    Kind.DATE: _encode_date,
    Kind.TIME: _encode_time,
    Kind.DURATION: _encode_duration,
    Kind.DECIMAL: _encode_decimal,
    Kind.UUID: _encode_uuid,
    Kind.VECTOR: _encode_vector,
    Kind.WIRE: pb["Value"].CopyFrom,
}

_KINDS_OF_TYPES: Final[Mapping[type | tuple[type, ...], Kind]] = {
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.FLOAT,
    str: Kind.TEXT,
    (bytes, bytearray, memoryview): Kind.BINARY,
    dt.datetime: Kind.DATETIME,
    dt.date: Kind.DATE,
    dt.time: Kind.TIME,
    dt.timedelta: Kind.DURATION,
    Decimal: Kind.DECIMAL,
    uuid.UUID: Kind.UUID,
    (dict, list, tuple, JsonNull): Kind.JSON,
}
"""The kind of a `Kind.ANY` value by its Python type, subclasses first."""


# Decoders. Each reads one `Value` message. They raise `ValueError` for a value of another client that Firestore does
# not compare with the column's values. Inside JSON such values have forms of their own; see `json_forms`.


def decode(message: Message, kind: Kind, depth: int = 0) -> Any:
    """The value of a `Value` message, as the kind's Python type; None for null."""
    if depth and kind is Kind.JSON:
        return _decode_member(message)
    return _DECODERS[kind](message)


def fields_of(document: Message) -> dict[str, Any]:
    """All fields of a `Document` message by their stored names, whatever columns there are."""
    return {unescape_key(name): _decode_wire(value) for name, value in document.fields.items()}


def _decode_wire(message: Message) -> Any:
    return _WIRE_DECODERS[message.WhichOneof("value_type")](message)


def _decode_timestamp(message: Message) -> dt.datetime:
    stamp = message.timestamp_value
    return EPOCH + dt.timedelta(0, stamp.seconds, stamp.nanos // 1000)


def _decode_map(message: Message) -> Any:
    fields = message.map_value.fields
    if TYPE in fields and VECTOR_VALUE in fields and fields[TYPE].string_value == VECTOR_TYPE:
        return {VECTOR: _decode_vector(message)}
    if len(fields) == 1:
        for key in fields:
            if key in _ESCAPES:
                return _ESCAPES[key](fields[key])
    made = {}
    for key in fields:  # not items(), which is a generator of Python's
        value = fields[key]
        kind = value.WhichOneof("value_type")
        name = unescape_key(key) if key.startswith("__%") else key
        made[name] = value.string_value if kind == "string_value" else _MEMBER_DECODERS[kind](value)
    return made


def _decode_array(message: Message) -> list[Any]:
    return [_decode_member(value) for value in message.array_value.values]


_ESCAPES: Final[Mapping[str, Decoder]] = {
    ARRAY: _decode_wire,
    INT: lambda message: int(message.string_value),
    TEXT: lambda message: json.loads(message.string_value),
}

_WIRE_DECODERS: Final[Mapping[str | None, Decoder]] = {
    None: lambda message: None,
    "null_value": lambda message: None,
    "boolean_value": lambda message: message.boolean_value,
    "integer_value": lambda message: message.integer_value,
    "double_value": lambda message: message.double_value,
    "timestamp_value": _decode_timestamp,
    "string_value": lambda message: message.string_value,
    "bytes_value": lambda message: message.bytes_value,
    "reference_value": lambda message: message.reference_value,
    "geo_point_value": json_forms.read_geopoint,
    "array_value": _decode_array,
    "map_value": _decode_map,
}
_MEMBER_DECODERS: Final[Mapping[str | None, Decoder]] = {
    **_WIRE_DECODERS,
    "double_value": json_forms.read_double,
    "timestamp_value": json_forms.read_timestamp,
    "bytes_value": json_forms.read_bytes,
    "reference_value": json_forms.read_reference,
}


def _decode_member(message: Message) -> Any:
    """A value inside JSON."""
    return _MEMBER_DECODERS[message.WhichOneof("value_type")](message)


def _null(message: Message) -> Any:
    """None for a null; raises `ValueError` for any other type."""
    if message.WhichOneof("value_type") not in (None, "null_value"):
        raise ValueError(str(message.WhichOneof("value_type")).removesuffix("_value").replace("_", " "))
    return None


def _plain(name: str) -> Decoder:
    """A decoder for values of one type of the wire."""

    def decoder(message: Message) -> Any:
        return getattr(message, name) if message.HasField(name) else _null(message)

    return decoder


def _decode_text(message: Message) -> Any:
    return message.string_value or ("" if message.HasField("string_value") else _null(message))


def _decode_integer(message: Message) -> Any:
    if message.HasField("double_value"):
        value = message.double_value
        if not -(2.0**63) <= value < 2.0**63:  # nor NaN
            raise ValueError(f"the double {value}")
        return int(value) if value.is_integer() else value
    return message.integer_value or (0 if message.HasField("integer_value") else _null(message))


def _decode_float(message: Message) -> Any:
    if message.HasField("integer_value"):
        return float(message.integer_value)
    return message.double_value or (message.double_value if message.HasField("double_value") else _null(message))


def _decode_datetime(message: Message) -> Any:
    if not message.HasField("timestamp_value"):
        return _null(message)
    stamp = message.timestamp_value
    return EPOCH + dt.timedelta(0, stamp.seconds, stamp.nanos // 1000)


def _decode_moment(message: Message) -> Any:
    return (
        EPOCH + message.integer_value * MICROSECOND if message.HasField("integer_value") else _decode_datetime(message)
    )


def _from_text(make: Callable[[str], Any]) -> Decoder:
    """A decoder of a form that is text."""

    def decoder(message: Message) -> Any:
        return make(message.string_value) if message.HasField("string_value") else _null(message)

    return decoder


def _decode_duration(message: Message) -> Any:
    return message.integer_value * MICROSECOND if message.HasField("integer_value") else _null(message)


def _decode_vector(message: Message) -> Any:
    fields = message.map_value.fields
    if VECTOR_VALUE in fields:
        array = fields[VECTOR_VALUE].array_value
    elif message.HasField("array_value"):
        array = message.array_value
    else:
        return _null(message)
    doubles = _wire_to_doubles(array.SerializeToString())
    return doubles if doubles is not None else [_decode_float(value) for value in array.values]


def _decode_json(message: Message) -> Any:
    if not message.HasField("map_value"):
        return _decode_member(message)
    value = _decode_map(message)
    return JSON_NULL if value is None else value  # no other map is None


_DECODERS: Final[Mapping[Kind, Decoder]] = {
    Kind.ANY: _decode_wire,
    Kind.WIRE: lambda message: None if message.HasField("null_value") else message,
    Kind.BOOLEAN: _plain("boolean_value"),
    Kind.INTEGER: _decode_integer,
    Kind.FLOAT: _decode_float,
    Kind.TEXT: _decode_text,
    Kind.BINARY: _plain("bytes_value"),
    Kind.DATETIME: _decode_datetime,
    Kind.MOMENT: _decode_moment,
    Kind.DATE: _from_text(dt.date.fromisoformat),
    Kind.TIME: _from_text(dt.time.fromisoformat),
    Kind.DURATION: _decode_duration,
    Kind.DECIMAL: _from_text(text_decimal),
    Kind.UUID: _from_text(uuid.UUID),
    Kind.JSON: _decode_json,
    Kind.VECTOR: _decode_vector,
}


# Whole documents.


@lru_cache(maxsize=1024)
def row_writer(columns: tuple[Ref, ...]) -> Callable[[Message, Sequence[Any]], None]:
    """A function that writes a row, one value per column, into a document's `fields`.

    A column with a path of several keys is written into nested maps.
    """
    places = tuple(
        (escape_key(ref.path[0]), tuple(map(escape_key, ref.path[1:])), _encoder(ref), ref.kind is Kind.TEXT)
        for ref in columns
    )

    def write_row(fields: Message, values: Sequence[Any]) -> None:
        for (name, rest, write, is_text), content in zip(places, values, strict=True):
            message = fields[name]
            for key in rest:
                message = message.map_value.fields[key]
            if content is None:
                message.null_value = 0
            elif is_text and content.__class__ is str:
                message.string_value = content
            else:
                write(message, content)

    return write_row


def _encoder(ref: Ref) -> Encoder:
    depth = len(ref.path) - 1
    return partial(encode, kind=Kind.JSON, depth=depth) if ref.kind is Kind.JSON else _ENCODERS[ref.kind]


@lru_cache(maxsize=1024)
def row_decoder(columns: tuple[Ref, ...]) -> Callable[[Message], tuple[Any, ...]]:
    """A function that converts a `Document` message to a row, one value per column. Missing fields are None."""
    places = tuple(map(_place, columns))

    def decode_row(document: Message) -> tuple[Any, ...]:
        fields = document.fields
        get = fields.get
        row = []
        try:
            for name, is_text, decoder, missing in places:
                value = get(name)
                if value is None:
                    row.append(None if missing is None else missing(document))
                elif is_text:  # the most frequent kind, without a call
                    row.append(value.string_value or _decode_text(value))
                elif value.HasField("null_value"):
                    row.append(None)
                else:
                    row.append(decoder(value))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise _unreadable(document, columns) from error
        return tuple(row)

    return decode_row


def _place(ref: Ref) -> tuple[str, bool, Decoder, Callable[[Message], Any] | None]:
    """A column's field, whether it is text, its decoder, and a function of documents that have no such field."""
    if ref.path in _PSEUDO_COLUMNS:
        return "", False, _decode_wire, _PSEUDO_COLUMNS[ref.path]  # no field has an empty name
    name, rest = escape_key(ref.path[0]), tuple(map(escape_key, ref.path[1:]))
    if rest:
        return name, False, partial(_decode_path, rest=rest, kind=ref.kind), None
    missing = partial(_key_of_id, kind=ref.kind) if ref.key else None
    return name, ref.kind is Kind.TEXT, _DECODERS[ref.kind], missing


def _unreadable(document: Message, columns: Sequence[Ref]) -> UnreadableValue:
    """The error for the first column of a document that has no value of its kind."""
    *parent, id = document.name.rsplit("/", 2)
    collection = parent[-1] if len(parent) == 2 else ""
    for ref in columns:
        name, _, decoder, _ = _place(ref)
        try:
            if name in document.fields:
                decoder(document.fields[name])
        except (ValueError, TypeError, ArithmeticError) as error:
            where = f"document {id!r} of {collection!r}" if collection else f"document {id!r}"
            return UnreadableValue(
                f"Column {ref.name!r} of {where} must hold a {ref.kind} value, and holds another ({error}). "
                "Change the document, or leave the column out with defer()."
            )
    raise TypeError("every column has a value")


def version(document: Message) -> tuple[int, int]:
    """A document's update time, as seconds and nanoseconds."""
    return document.update_time.seconds, document.update_time.nanos


_PSEUDO_COLUMNS: Final[Mapping[tuple[str, ...], Callable[[Message], Any]]] = {
    VERSION.path: version,
    FIELDS.path: lambda document: {
        unescape_key(name): document.fields[name] for name in document.fields if name != MARK
    },
    DOCUMENT_ID.path: lambda document: id_from_name(document.name),
}
"""Columns that are no fields of the document."""


def _key_of_id(document: Message, kind: Kind) -> Any:
    return document_key(id_from_name(document.name), kind)


def _decode_path(message: Message | None, rest: tuple[str, ...], kind: Kind) -> Any:
    for key in rest:
        if message is None:
            return None
        message = message.map_value.fields.get(key)
    return None if message is None else decode(message, kind, len(rest))


def incremented(message: Message | None, amount: float) -> Message:
    """The result of Firestore's increment: the amount itself if the value is not a number; integers saturate."""
    made = pb["Value"]()
    kind = None if message is None else message.WhichOneof("value_type")
    before = getattr(message, kind) if message is not None and kind in ("integer_value", "double_value") else 0
    if isinstance(before, int) and isinstance(amount, int):
        made.integer_value = max(-(2**63), min(2**63 - 1, before + amount))
    else:
        made.double_value = before + amount
    return made


def widened(message: Message | None, bound: Message, *, greatest: bool) -> Message:
    """The result of Firestore's maximum or minimum: the bound itself if the value is not a number."""
    names = ("integer_value", "double_value")
    kind = None if message is None else message.WhichOneof("value_type")
    if message is None or kind not in names:
        return bound
    before, given = getattr(message, kind), getattr(bound, str(bound.WhichOneof("value_type")))
    return bound if (given > before if greatest else given < before) else message


def token(message: Message) -> tuple[Any, ...] | None:
    """A type and parts that are the same for values that Firestore's filters take for equal, and in their order.

    None if there is no simple one.
    """
    if type(message) is ServerTime:
        return None
    kind = message.WhichOneof("value_type")
    if kind is None or kind == "null_value":
        return ("null",)
    if kind in ("integer_value", "double_value"):
        number = getattr(message, kind)
        return ("number", number) if number == number else None
    if kind == "timestamp_value":
        return ("time", message.timestamp_value.seconds, message.timestamp_value.nanos)
    return (kind, getattr(message, kind)) if kind in ("boolean_value", "string_value", "bytes_value") else None


def value(content: Any, kind: Kind, depth: int = 0) -> Message:
    """A new `Value` message, for filters, cursors and increments."""
    message = pb["Value"]()
    encode(message, content, kind, depth)
    return message


_READ_AS_GIVEN: Final[Mapping[Kind, type]] = {
    Kind.BOOLEAN: bool,
    Kind.INTEGER: int,
    Kind.FLOAT: float,
    Kind.TEXT: str,
}
"""Kinds whose values of this very type are read as they are given."""


def as_read(content: Any, kind: Kind) -> Any:
    """A value as a row holds it that is read after the value was stored."""
    if type(content) is _READ_AS_GIVEN.get(kind):
        return content
    if kind in (Kind.DATETIME, Kind.MOMENT) and content.tzinfo is dt.UTC:
        return content
    return decode(value(content, kind), kind)
