"""Types of stored values: `Kind`, the encoding of a column, and `Ref`, a field path in a document. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple


class Kind(StrEnum):
    """How a column's values are encoded. The values are the engine's `db_type`s.

    Python types of the kinds:

        BOOLEAN bool · INTEGER int (int64) · FLOAT float · TEXT str · BINARY bytes · DATETIME aware datetime (UTC)
        MOMENT the same as DATETIME, stored as a number
        DATE date · TIME time (naive) · DURATION timedelta · DECIMAL Decimal · UUID uuid.UUID
        JSON any JSON value · VECTOR list[float] · ANY the Python type of the stored type
        WIRE a value that is already encoded

    `None` is SQL's NULL and is always written as an explicit null. In a JSON column, a top-level JSON null is the
    constant `JSON_NULL`; inside a document it is `None`.
    """

    __hash__ = str.__hash__  # an enum's own takes a call

    ANY = "any"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    BINARY = "binary"
    DATETIME = "datetime"
    MOMENT = "moment"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    DECIMAL = "decimal"
    UUID = "uuid"
    JSON = "json"
    VECTOR = "vector"
    WIRE = "wire"


FIELD_KINDS: Final[Mapping[str, Kind]] = {
    "AutoField": Kind.INTEGER,
    "BigAutoField": Kind.INTEGER,
    "BinaryField": Kind.BINARY,
    "BooleanField": Kind.BOOLEAN,
    "CharField": Kind.TEXT,
    "DateField": Kind.DATE,
    "DateTimeField": Kind.DATETIME,
    "DecimalField": Kind.DECIMAL,
    "DurationField": Kind.DURATION,
    "FileField": Kind.TEXT,
    "FilePathField": Kind.TEXT,
    "FloatField": Kind.FLOAT,
    "IntegerField": Kind.INTEGER,
    "BigIntegerField": Kind.INTEGER,
    "IPAddressField": Kind.TEXT,
    "GenericIPAddressField": Kind.TEXT,
    "JSONField": Kind.JSON,
    "OneToOneField": Kind.INTEGER,
    "PositiveBigIntegerField": Kind.INTEGER,
    "PositiveIntegerField": Kind.INTEGER,
    "PositiveSmallIntegerField": Kind.INTEGER,
    "SlugField": Kind.TEXT,
    "SmallAutoField": Kind.INTEGER,
    "SmallIntegerField": Kind.INTEGER,
    "TextField": Kind.TEXT,
    "TimeField": Kind.TIME,
    "UUIDField": Kind.UUID,
    "VectorField": Kind.VECTOR,
}
"""Column kinds by the internal type of the field. The name of the kind is the column's `db_type`."""


class JsonNull:
    """The type of `JSON_NULL`: JSON's `null` in a JSON column, as opposed to SQL's NULL."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "JSON_NULL"

    def __copy__(self) -> JsonNull:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> JsonNull:
        return self

    def __reduce__(self) -> str:
        return "JSON_NULL"


JSON_NULL: Final = JsonNull()


class Ref(NamedTuple):
    """A field path in a document: a column, or a path of keys below a JSON column.

    `path` holds raw segments; the codec escapes and quotes them. `key` marks the primary key's column: if a document
    lacks the field, its value is read from the document's id. A tuple, because columns are keys of caches: the hash of
    a dataclass takes a call for each.
    """

    path: tuple[str, ...]
    kind: Kind
    key: bool = False

    @property
    def name(self) -> str:
        """The path joined by dots, for error messages."""
        return ".".join(self.path)


# The document's id in Firestore's filters and orders. Filters on it hold document ids (str).
DOCUMENT_ID: Final = Ref(("__name__",), Kind.TEXT)


# As a column of a read: the document's update time, an opaque value for `Update.version` or `Delete.version`.
VERSION: Final = Ref(("__version__",), Kind.ANY)

# As a column of a read: all fields of the document, as a mapping of raw names to encoded values.
FIELDS: Final = Ref(("__fields__",), Kind.WIRE)


def plain(value: Any) -> Any:
    """A text or a number without the methods of its subclass, as drivers of SQL databases bind it.

    Own rows are compared in Python, where a subclass's `__eq__` and `__hash__` would decide which it equals.
    """
    for exact, copy in _COPIES:
        if isinstance(value, exact):
            return value if type(value) in (exact, bool) else copy(value)
    return value


_COPIES: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
