"""JSON forms of values that JSON lacks: what other clients store inside a JSON column.

Each is a map with one key. The same map, written to a JSON column, is stored as the value again, so that a document
that was read and saved holds what it held before:

    {"$timestamp": "2024-05-06T07:08:09.000000Z"}    UTC, with 6 digits, or 9 where the microseconds are not enough
    {"$bytes": "AQI="}                               Base64
    {"$reference": "projects/P/databases/D/documents/C/I"}
    {"$geopoint": [59.9, 10.7]}                      latitude, longitude
    {"$double": "NaN"}                               also "Infinity" and "-Infinity"
    {"$vector": [0.5, 1.0]}                          (see the codec)
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

TIMESTAMP, BYTES, REFERENCE, GEOPOINT, DOUBLE = "$timestamp", "$bytes", "$reference", "$geopoint", "$double"
DOUBLES: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6}|\d{9})Z\Z")
_NAME: Final = re.compile(r"projects/[^/]+/databases/[^/]+/documents(/[^/]+/[^/]+)+\Z")


def read_timestamp(message: Any) -> dict[str, Any]:
    """A timestamp's form."""
    stamp = message.timestamp_value
    whole = EPOCH + dt.timedelta(seconds=stamp.seconds)
    digits = f"{stamp.nanos:09}"
    return {TIMESTAMP: f"{whole:%Y-%m-%dT%H:%M:%S}.{digits.removesuffix('000')}Z".rjust(27, "0")}


def read_bytes(message: Any) -> dict[str, Any]:
    """The form of bytes."""
    return {BYTES: base64.b64encode(message.bytes_value).decode()}


def read_reference(message: Any) -> dict[str, Any]:
    """A reference's form."""
    return {REFERENCE: message.reference_value}


def read_geopoint(message: Any) -> dict[str, Any]:
    """A geographical point's form."""
    return {GEOPOINT: [message.geo_point_value.latitude, message.geo_point_value.longitude]}


def read_double(message: Any) -> Any:
    """A double, or the form of one that is no number of JSON."""
    value = message.double_value
    if math.isfinite(value):
        return value
    return {DOUBLE: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _write_timestamp(message: Any, value: Any) -> None:
    found = _INSTANT.match(value)
    if found is None:
        raise ValueError
    since = dt.datetime.fromisoformat(f"{found[1]}+00:00") - EPOCH
    message.timestamp_value.seconds = since.days * 86400 + since.seconds
    message.timestamp_value.nanos = int(found[2].ljust(9, "0"))


def _write_bytes(message: Any, value: Any) -> None:
    message.bytes_value = base64.b64decode(value, validate=True)


def _write_reference(message: Any, value: Any) -> None:
    if not _NAME.match(value):
        raise ValueError
    message.reference_value = value


def _write_geopoint(message: Any, value: Any) -> None:
    latitude, longitude = value
    if not (type(latitude) is type(longitude) is float and -90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError
    message.geo_point_value.latitude, message.geo_point_value.longitude = latitude, longitude


def _write_double(message: Any, value: Any) -> None:
    if value not in DOUBLES:
        raise ValueError
    message.double_value = DOUBLES[value]


_FORMS: Final[Mapping[str, tuple[Callable[[Any, Any], None], Callable[[Any], Any]]]] = {
    TIMESTAMP: (_write_timestamp, read_timestamp),
    BYTES: (_write_bytes, read_bytes),
    REFERENCE: (_write_reference, read_reference),
    GEOPOINT: (_write_geopoint, read_geopoint),
    DOUBLE: (_write_double, read_double),
}


def write(message: Any, value: Mapping[Any, Any]) -> bool:
    """Writes the value that a map with one key is the form of. Returns False for other maps, to be stored as such."""
    [(key, content)] = value.items()
    if key not in _FORMS:
        return False
    put, read = _FORMS[key]
    try:
        put(message, content)
        if read(message) == value:
            return True
    except (ValueError, TypeError, OverflowError, binascii.Error):
        pass
    message.Clear()
    return False
