"""The codec: values round-trip, and encodings preserve order and equality."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.backends.firestore.errors import UnreadableValue
from memory.backends.firestore.rpc import codec
from memory.backends.firestore.rpc.channel import pb
from memory.backends.firestore.values import document_ids, sortable_text
from memory.backends.firestore.values.types import DOCUMENT_ID, JSON_NULL, VERSION, Kind, Ref

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
AWARE = st.datetimes(timezones=st.sampled_from([dt.UTC]))
DURATIONS = INT64.map(lambda microseconds: dt.timedelta(microseconds=1) * microseconds)
DECIMALS = st.decimals(allow_nan=False) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**40), 10**40), st.integers(-200, 200)
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
ROUND_TRIPS = {
    Kind.BOOLEAN: st.booleans(),
    Kind.INTEGER: INT64,
    Kind.FLOAT: st.floats(allow_nan=False),
    Kind.TEXT: TEXT,
    Kind.BINARY: st.binary(),
    Kind.DATETIME: AWARE,
    Kind.MOMENT: AWARE,
    Kind.DATE: st.dates(),
    Kind.TIME: st.times(),
    Kind.DURATION: DURATIONS,
    Kind.DECIMAL: DECIMALS,
    Kind.UUID: st.uuids(),
    Kind.JSON: JSON.filter(lambda value: value is not None),
    Kind.VECTOR: st.lists(st.floats(allow_nan=False), max_size=8),
    Kind.ANY: st.one_of(st.booleans(), INT64, TEXT, AWARE, st.binary()),
    Kind.WIRE: TEXT.map(lambda text: pb["Value"](string_value=text)),
}
ORDERED = {kind: ROUND_TRIPS[kind] for kind in (Kind.DATE, Kind.TIME, Kind.DURATION, Kind.DECIMAL, Kind.UUID)}


def stored(value: Any, kind: Kind) -> Any:
    """A message after serialisation, as the server would return it."""
    return pb["Value"].FromString(codec.value(value, kind).SerializeToString())


def sort_key(message: Any) -> Any:
    """Firestore's sort key of a value: text sorts by its UTF-8 bytes."""
    if message.WhichOneof("value_type") == "string_value":
        return message.string_value.encode()
    return message.integer_value


def same(a: Any, b: Any) -> bool:
    """Equality of values and types: 1, True and 1.0 are different."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_every_kind_has_a_round_trip_test() -> None:
    """So that a new kind cannot be forgotten."""
    assert set(ROUND_TRIPS) == set(Kind)


def test_a_moment_may_be_a_timestamp() -> None:
    """As earlier versions stored the times of sessions."""
    time = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    assert codec.decode(stored(time, Kind.DATETIME), Kind.MOMENT) == time


@pytest.mark.parametrize("kind", ROUND_TRIPS, ids=str)
def test_round_trip(kind: Kind) -> None:
    """Values of every kind round-trip with value and type."""

    @given(ROUND_TRIPS[kind])
    def check(value: Any) -> None:
        assert same(codec.decode(stored(value, kind), kind), value)

    check()


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_null_round_trip(kind: Kind) -> None:
    """SQL's NULL is an explicit null for all kinds."""
    message = stored(None, kind)
    assert message.WhichOneof("value_type") == "null_value"
    assert codec.decode(message, kind) is None


@pytest.mark.parametrize("kind", ORDERED, ids=str)
def test_order_and_equality_are_kept(kind: Kind) -> None:
    """Encodings sort as their values do, and are equal if and only if the values are."""

    @settings(max_examples=500)
    @given(st.tuples(ORDERED[kind], ORDERED[kind]))
    def check(pair: tuple[Any, Any]) -> None:
        one, other = (sort_key(stored(value, kind)) for value in pair)
        assert (one < other) == (pair[0] < pair[1])
        assert (one == other) == (pair[0] == pair[1])

    check()


EXTREMES = [
    (Kind.DATETIME, dt.datetime.min.replace(tzinfo=dt.UTC)),
    (Kind.DATETIME, dt.datetime.max.replace(tzinfo=dt.UTC)),
    (Kind.DATETIME, dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
    (Kind.DATETIME, dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)),
    (Kind.DATE, dt.date.min),
    (Kind.DATE, dt.date.max),
    (Kind.TIME, dt.time.max),
    (Kind.INTEGER, 2**63 - 1),
    (Kind.INTEGER, -(2**63)),
    (Kind.INTEGER, 0),
    (Kind.FLOAT, 0.0),
    (Kind.FLOAT, math.inf),
    (Kind.TEXT, ""),
    (Kind.TEXT, "\0"),
    (Kind.TEXT, "😀\uffff"),
    (Kind.BINARY, b""),
    (Kind.DECIMAL, Decimal("Infinity")),
    (Kind.DECIMAL, Decimal("-1E-999999")),
    (Kind.DURATION, dt.timedelta()),
    (Kind.UUID, uuid.UUID(int=0)),
    (Kind.JSON, JSON_NULL),
    (Kind.JSON, {}),
    (Kind.JSON, []),
    (Kind.JSON, [[], [[1]], [{"a": [[2]]}]]),
    (Kind.JSON, {"": 1, "__x__": 2, "__%": 3, "__%json": "x", "__%a%": 4, "a.b": 5, "`\\": 6, "\0": 7}),
    (Kind.JSON, {"__%json": "[1]"}),
    (Kind.JSON, {"__type__": "__vector__", "value": [1.0]}),
    (Kind.JSON, {"k" * 2000: 1}),
    (Kind.JSON, {"\ud800": "\udfff"}),
    (Kind.JSON, [2**63, -(2**200)]),
    (Kind.JSON, [-0.0, 0, False, 0.0, None, "", {}, []]),
    (Kind.VECTOR, [0.0, -0.0, 1e308, 5e-324]),
]


@pytest.mark.parametrize(("kind", "value"), EXTREMES, ids=str)
def test_extremes_round_trip(kind: Kind, value: Any) -> None:
    """The limits of each range, empty values, and values that Firestore would reject."""
    back = codec.decode(stored(value, kind), kind)
    assert back is JSON_NULL if value is JSON_NULL else same(back, value)


def test_nan_round_trips_as_a_float_and_inside_json() -> None:
    """Firestore stores NaN as a number."""
    assert math.isnan(codec.decode(stored(math.nan, Kind.FLOAT), Kind.FLOAT))
    assert codec.decode(stored([math.nan], Kind.JSON), Kind.JSON) == [{"$double": "NaN"}]


@pytest.mark.parametrize("nest", [lambda value: [value], lambda value: {"a": value}, lambda value: [{"a": value}]])
@pytest.mark.parametrize("depth", [9, 17, 18, 19, 20, 40])
def test_json_of_any_depth_stays_below_firestores_limit(nest: Any, depth: int) -> None:
    """Values nested deeper than 20 levels round-trip, and are stored with at most 20 levels."""
    value: Any = 1
    for _ in range(depth):
        value = nest(value)
    message = stored(value, Kind.JSON)
    assert codec.decode(message, Kind.JSON) == value
    assert nesting(message) <= 20


def nesting(message: Any) -> int:
    children = [*message.map_value.fields.values(), *message.array_value.values]
    own = message.WhichOneof("value_type") in ("map_value", "array_value")
    return own + max(map(nesting, children), default=0)


@given(JSON.filter(lambda value: value is not None))
def test_json_contains_nothing_that_firestore_rejects(value: Any) -> None:
    """No array directly inside an array, and no empty or reserved key, at any level."""

    def check(message: Any) -> None:
        for inner in message.array_value.values:
            assert inner.WhichOneof("value_type") != "array_value"
            check(inner)
        for key, inner in message.map_value.fields.items():
            assert key
            assert not re.fullmatch("__.*__", key, re.DOTALL)  # "__" and "___" are valid
            check(inner)

    check(codec.value(value, Kind.JSON))


def test_json_keys_that_are_not_strings_are_converted_as_by_json() -> None:
    """Like Python's json, the codec converts keys to strings; the last of equal keys wins."""
    value = {1: {"a": 1}, False: 2, None: 3, 1.5: 4, "1": {"b": 5}}
    assert codec.decode(stored(value, Kind.JSON), Kind.JSON) == json.loads(json.dumps(value))


@given(st.text(max_size=20))
def test_escaped_keys_round_trip_and_are_valid(key: str) -> None:
    """Unescaping reverts escaping. An escaped key is never empty, reserved, or the key of an escaped value."""
    escaped = document_ids.escape_key(key)
    assert document_ids.unescape_key(escaped) == key
    assert escaped
    assert not (escaped.startswith("__") and escaped.endswith("__"))
    assert escaped not in (codec.ARRAY, codec.INT, codec.TEXT)


PATHS = [
    (("name",), "name"),
    (("meta", "a b"), "meta.`a b`"),
    (("meta", "a.b"), "meta.`a.b`"),
    (("meta", "`\\"), "meta.`\\`\\\\`"),
    (("meta", ""), "meta.`__%%`"),
    (("meta", "__x__"), "meta.`__%__x__%`"),
    (("meta", "0"), "meta.`0`"),
    (DOCUMENT_ID.path, "__name__"),
]


@pytest.mark.parametrize(("path", "spelled"), PATHS)
def test_field_paths_are_quoted(path: tuple[str, ...], spelled: str) -> None:
    """Any key can be used in a query; only the document name is not escaped."""
    assert document_ids.field_path(path) == spelled


NO_KEYS = (Kind.JSON, Kind.VECTOR, Kind.ANY, Kind.WIRE)
IDS = {kind: values for kind, values in ROUND_TRIPS.items() if kind not in NO_KEYS}


@pytest.mark.parametrize("kind", IDS, ids=str)
def test_ids_round_trip_in_order(kind: Kind) -> None:
    """Primary keys of all kinds round-trip as document ids, and ids sort as the keys do."""

    @given(st.tuples(IDS[kind], IDS[kind]))
    def check(pair: tuple[Any, Any]) -> None:
        ids = [document_ids.document_id(value, kind) for value in pair]
        assert not any(map(document_ids.document_id_problem, ids))
        assert [document_ids.document_key(id, kind) for id in ids] == list(pair)
        assert (ids[0] < ids[1]) == (pair[0] < pair[1])

    check()


def test_integer_ids_are_nineteen_digits() -> None:
    """The format is part of the stored data and must not change."""
    assert document_ids.document_id(7, Kind.INTEGER) == "0000000000000000007"
    assert document_ids.document_id(-1, Kind.INTEGER) == "-9999999999999999999"


def test_an_id_in_another_format_is_returned_unchanged() -> None:
    """Documents written by other clients can be read."""
    assert document_ids.document_key("abc", Kind.INTEGER) == "abc"


REFUSED = [
    (Kind.INTEGER, 2**63, OverflowError),
    (Kind.DURATION, dt.timedelta.max, OverflowError),
    (Kind.DECIMAL, Decimal("NaN"), ValueError),
    (Kind.TIME, dt.time(tzinfo=dt.UTC), ValueError),
    (Kind.TEXT, "\ud800", UnicodeEncodeError),
    (Kind.VECTOR, [[1.0]], ValueError),
    (Kind.JSON, ..., TypeError),
    (Kind.ANY, ..., TypeError),
]


@pytest.mark.parametrize(("kind", "value", "error"), REFUSED, ids=str)
def test_values_that_cannot_be_stored_raise(kind: Kind, value: Any, error: type[Exception]) -> None:
    """No value is changed to fit."""
    with pytest.raises(error):
        codec.value(value, kind)


@pytest.mark.parametrize("make", [tuple, list, np.array], ids=["tuple", "list", "array"])
def test_vectors_are_firestores_own_type(make: Any) -> None:
    """A vector is stored like Firestore's SDKs store it, for all sequence types."""
    message = stored(make([1.0, 2.5]), Kind.VECTOR)
    assert message.map_value.fields["__type__"].string_value == "__vector__"
    assert [value.double_value for value in message.map_value.fields["value"].array_value.values] == [1.0, 2.5]


def test_a_vector_of_integers_by_another_client_is_read() -> None:
    """Arrays that contain other types than doubles are decoded by the slower path."""
    message = pb["Value"]()
    message.map_value.fields["__type__"].string_value = "__vector__"
    for number in (1, 2):
        message.map_value.fields["value"].array_value.values.add().integer_value = number
    assert same(codec.decode(message, Kind.VECTOR), [1.0, 2.0])


def test_rows_follow_columns_and_fill_gaps() -> None:
    """A row has a value for every column: a field, a path inside it, the id, the version, or None."""
    document = pb["Document"](name="projects/p/databases/d/documents/things/0000000000000000042")
    document.update_time.seconds, document.update_time.nanos = 5, 6
    columns = (Ref(("text",), Kind.TEXT), Ref(("meta", "a", "__b__"), Kind.JSON), Ref(("meta",), Kind.JSON))
    codec.row_writer(columns[:2])(document.fields, ("hello", None))
    others = (Ref(("id",), Kind.INTEGER, key=True), Ref(("gone",), Kind.TEXT), Ref(("meta", "no", "path"), Kind.JSON))
    read = codec.row_decoder((*columns, *others, DOCUMENT_ID, VERSION))
    assert read(document) == (
        "hello", None, {"a": {"__b__": None}}, 42, None, None, "0000000000000000042", (5, 6),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "write", "expected"),
    [
        (Kind.FLOAT, ("integer_value", 3), 3.0),
        (Kind.INTEGER, ("double_value", 3.0), 3),
        (Kind.INTEGER, ("double_value", 2.5), 2.5),
        (Kind.ANY, ("reference_value", "projects/p"), "projects/p"),
    ],
)
def test_numbers_by_other_clients_are_read(kind: Kind, write: tuple[str, Any], expected: Any) -> None:
    """Firestore compares integers with doubles."""
    message = pb["Value"]()
    setattr(message, *write)
    assert same(codec.decode(message, kind), expected)


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        (Kind.TEXT, ("integer_value", 3)),
        (Kind.INTEGER, ("string_value", "7")),
        (Kind.INTEGER, ("double_value", float("nan"))),
        (Kind.INTEGER, ("double_value", float("-inf"))),
        (Kind.INTEGER, ("double_value", 2.0**63)),
        (Kind.BOOLEAN, ("integer_value", 1)),
        (Kind.DATE, ("integer_value", 3)),
        (Kind.DATE, ("string_value", "2024/01/02")),
        (Kind.DATETIME, ("string_value", "2024-01-01T00:00:00Z")),
        (Kind.DECIMAL, ("string_value", "12.50")),
        (Kind.DECIMAL, ("double_value", 12.5)),
        (Kind.UUID, ("string_value", "")),
        (Kind.DURATION, ("double_value", 1.5)),
        (Kind.BINARY, ("string_value", "x")),
        (Kind.VECTOR, ("string_value", "x")),
    ],
)
def test_other_types_are_errors_that_name_document_and_column(kind: Kind, write: tuple[str, Any]) -> None:
    """Firestore would not compare the value with the column's values."""
    document = pb["Document"](name="projects/p/databases/d/documents/things/seven")
    setattr(document.fields["odd"], *write)
    document.fields["fine"].integer_value = 1
    read = codec.row_decoder((Ref(("fine",), Kind.INTEGER), Ref(("odd",), kind)))
    with pytest.raises(UnreadableValue, match="Column 'odd' of document 'seven' of 'things'"):
        read(document)


REFERENCE = "projects/p/databases/(default)/documents/c/i"


def stored_member(name: str, content: Any) -> Any:
    """A value of the wire inside a map."""
    message = pb["Value"]()
    member = message.map_value.fields["x"]
    match content:
        case (seconds, nanos) if name == "timestamp_value":
            member.timestamp_value.seconds, member.timestamp_value.nanos = seconds, nanos
        case (latitude, longitude) if name == "geo_point_value":
            member.geo_point_value.latitude, member.geo_point_value.longitude = latitude, longitude
        case _:
            setattr(member, name, content)
    return message


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("timestamp_value", (0, 0), {"$timestamp": "1970-01-01T00:00:00.000000Z"}),
        ("timestamp_value", (-1, 999999999), {"$timestamp": "1969-12-31T23:59:59.999999999Z"}),
        ("timestamp_value", (-62135596800, 1000), {"$timestamp": "0001-01-01T00:00:00.000001Z"}),
        ("bytes_value", b"", {"$bytes": ""}),
        ("double_value", math.inf, {"$double": "Infinity"}),
        ("double_value", -math.inf, {"$double": "-Infinity"}),
        ("double_value", math.nan, {"$double": "NaN"}),
        ("bytes_value", b"\x01\xff", {"$bytes": "Af8="}),
        ("geo_point_value", (0.0, 0.0), {"$geopoint": [0.0, 0.0]}),
        ("geo_point_value", (-90.0, 180.0), {"$geopoint": [-90.0, 180.0]}),
        ("reference_value", REFERENCE, {"$reference": REFERENCE}),
    ],
)
def test_what_json_lacks_is_written_back_unharmed(name: str, content: Any, form: Any) -> None:
    """A map by another client is read in a JSON form, and stored as it was."""
    message = stored_member(name, content)
    value = codec.decode(message, Kind.JSON)
    assert value == {"x": form}
    assert json.loads(json.dumps(value)) == value
    top = message.map_value.fields["x"]
    again = codec.value(codec.decode(top, Kind.JSON), Kind.JSON)
    written = codec.value(value, Kind.JSON)
    assert written.SerializeToString() == message.SerializeToString()  # NaN is not equal to itself
    assert again.SerializeToString() == top.SerializeToString()


def test_a_vector_in_json_is_written_back_unharmed() -> None:
    """As a vector, not as an array."""
    message = pb["Value"]()
    message.map_value.fields["v"].CopyFrom(codec.value([0.5, 1.0], Kind.VECTOR))
    value = codec.decode(message, Kind.JSON)
    assert value == {"v": {"$vector": [0.5, 1.0]}}
    assert codec.value(value, Kind.JSON) == message


@pytest.mark.parametrize(
    "value",
    [
        {"$timestamp": "today"},
        {"$timestamp": "2024-01-01T00:00:00Z"},
        {"$timestamp": "2024-02-30T00:00:00.000000Z"},
        {"$timestamp": 5},
        {"$bytes": "a"},
        {"$bytes": None},
        {"$reference": "x"},
        {"$geopoint": [1, 2]},
        {"$geopoint": [91.0, 2.0]},
        {"$geopoint": []},
        {"$double": "1.5"},
        {"$double": 1.5},
        {"$double": []},
        {"$vector": []},
        {"$vector": [1]},
        {"$timestamp": "1970-01-01T00:00:00.000000Z", "b": 1},
    ],
)
def test_other_maps_with_such_keys_are_maps(value: Any) -> None:
    """Whatever an application stores is read again."""
    message = codec.value({"x": value}, Kind.JSON)
    assert message.map_value.fields["x"].HasField("map_value")
    assert codec.decode(message, Kind.JSON) == {"x": value}


def test_the_documented_decimals_are_the_stored_ones() -> None:
    """`docs/firestore-values.md` shows the stored values."""
    text = (Path(__file__).parents[3] / "docs" / "firestore-values.md").read_text()
    rows = re.findall(r"^\| ([-0-9., ]+) \| `(\S+)` \|$", text, re.MULTILINE)
    assert len(rows) == 6
    for numbers, form in rows:
        assert {sortable_text.decimal_text(Decimal(number)) for number in numbers.split(", ")} == {form}


@pytest.mark.parametrize("key", [codec.ARRAY, codec.INT, codec.TEXT])
def test_the_documented_escapes_are_the_stored_ones(key: str) -> None:
    """The keys are part of the stored data and must not change."""
    assert f"`{key}`" in (Path(__file__).parents[3] / "docs" / "firestore-values.md").read_text()
