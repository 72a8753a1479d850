"""The app's model fields: document ids, JSON maps, encrypted values, vectors, hashes of content."""

import hashlib
import json
import math
import struct
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from django import forms
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now
from django.db.models.sql.compiler import SQLCompiler
from django.utils.deconstruct import deconstructible
from django.utils.translation import gettext_lazy as _

from . import encryption, limits, sealing
from .exceptions import StorageError

NUMBERS = {int, float}
MOST_IDS = 100
COMPACT = b"\x01"
WRITE_TIME = "memory_write_time"
"""A function of SQLite that `memory.distances` registers."""


def new_id() -> str:
    """A random id of 32 hexadecimal digits: it avoids hot spots in Firestore and cannot be guessed."""
    return uuid.uuid4().hex


def validate_document_id(value: str) -> None:
    """Raise `ValidationError` for what cannot be a Firestore document id."""
    if problem := limits.document_id_problem(value):
        raise ValidationError(problem, code="invalid_id")


def validate_text(value: str) -> None:
    """Raise `ValidationError` for text with lone surrogates, which no engine can store."""
    if problem := limits.text_problem(value):
        raise ValidationError(problem, code="invalid_text")


def validate_json(value: object) -> None:
    """Raise `ValidationError` for JSON that Firestore cannot store: too deep, keys that are not strings, NaN."""
    if problem := limits.json_problem(value):
        raise ValidationError(problem, code="invalid_json")


def validate_map(value: object) -> None:
    """Raise `ValidationError` for a value that is not a map."""
    if not isinstance(value, Mapping):
        raise ValidationError(_("This must be a map, with strings as keys."), code="not_a_map")


@deconstructible
class DimensionValidator:
    """Raises `ValidationError` for a vector whose length is not `dimension`."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def __call__(self, value: Sequence[float]) -> None:
        if len(value) != self.dimension:
            raise ValidationError(
                _("This vector has %(found)d dimensions; the field requires %(wanted)d."),
                code="wrong_dimension",
                params={"found": len(value), "wanted": self.dimension},
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DimensionValidator) and other.dimension == self.dimension

    def __hash__(self) -> int:
        return hash(self.dimension)


class DocumentIdField(models.CharField):  # type: ignore[type-arg]
    """A primary key that is a document id: at most 1,500 bytes of UTF-8, no slash, not reserved."""

    default_validators = [validate_document_id]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", limits.MAX_ID_BYTES)
        kwargs.setdefault("primary_key", True)
        super().__init__(*args, **kwargs)


class NameField(models.CharField):  # type: ignore[type-arg]
    """A short indexed text, such as an id of a user or a type: at most 255 characters, so below 1,500 bytes."""

    default_validators = [validate_text]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 255)
        super().__init__(*args, **kwargs)


class LongTextField(models.TextField):  # type: ignore[type-arg]
    """Text of any length that fits in a document."""

    default_validators = [validate_text]


class Protected:
    """A mixin for fields that `MEMORY["ENCRYPT"]` may name: their values are sealed when they are written.

    An encrypted column has no lookup but `isnull`.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        field: Any = super()
        return sealing.sealed(model_instance, self._name(), field.pre_save(model_instance, add), None)

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Any]:
        field: Any = super()
        found: list[Any] = field.get_db_converters(connection)
        return [*found, partial(_opened, self._name())] if sealing.reads_sealed() else found

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            sealing.refuse_lookup(self._name())
        field: Any = super()
        return field.get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        sealing.refuse_lookup(self._name())
        sealing.refuse_lookup(f"{self._name()}.{lookup_name}")
        field: Any = super()
        return field.get_transform(lookup_name)

    def _name(self) -> str:
        name: str = self.name  # type: ignore[attr-defined]
        return name


def _opened(name: str, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
    return sealing.opened(value, name, connection.alias)


class ProtectedTextField(Protected, LongTextField):
    """Text that may be encrypted."""


class AnyJSONField(models.JSONField):
    """Any JSON value, at most 20 levels deep."""

    default_validators = [validate_json]


class MapField(AnyJSONField):
    """A JSON object; default `{}`."""

    empty_values = ()  # validate these too: [] and "" are not maps
    default_validators = [validate_map, validate_json]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("default", dict)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)


class ProtectedJSONField(Protected, AnyJSONField):
    """Any JSON value that may be encrypted."""


class ProtectedMapField(Protected, MapField):
    """A map of which some keys may be encrypted."""


class SparseMapField(MapField):
    """A map that documents may lack: they have an empty one (`FirestoreQuerySet.widen()`)."""

    absent_value: ClassVar[Mapping[str, Any]] = {}

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        return {} if value is None else super().from_db_value(value, expression, connection)


class SparseTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A time, or null. On Firestore documents may lack it: `AddField` writes nothing, and they have null."""

    sparse: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"null": True, "blank": True}
        super().__init__(*args, **kwargs)


class SparseNameField(NameField):
    """A short text, or null. On Firestore documents may lack it, as a `SparseTimeField`."""

    sparse: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"null": True, "blank": True}
        super().__init__(*args, **kwargs)


class SparseNumberField(models.FloatField):  # type: ignore[type-arg]
    """A number, or null. On Firestore documents may lack it, as a `SparseTimeField`."""

    sparse: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"null": True, "blank": True}
        super().__init__(*args, **kwargs)


def validate_ids(value: object) -> None:
    """Raise `ValidationError` for what is not a list of at most 100 distinct document ids."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValidationError(_("This must be a list of ids."), code="not_a_list")
    if len(value) > MOST_IDS or len(set(value)) < len(value):
        raise ValidationError(_("This must have at most %(most)d ids, each once.") % {"most": MOST_IDS}, code="ids")
    for one in value:
        validate_document_id(one)


def _list_or_empty(value: Any, expression: Any, connection: Any) -> Any:
    return [] if value is None else value


class SparseIdsField(AnyJSONField):
    """A list of ids. On Firestore documents may lack it: they have an empty one."""

    absent_value: ClassVar[tuple[str, ...]] = ()
    empty_values = (None,)
    default_validators = [validate_ids]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("default", list)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Any]:
        return [*super().get_db_converters(connection), _list_or_empty]


class BoundField(models.DateTimeField):  # type: ignore[type-arg]
    """A time that `FirestoreQuerySet.widen()` can move. On Firestore it is stored as microseconds since 1970.

    Firestore's maximum and minimum are those of numbers. Timestamps of earlier versions are read too.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return "moment" if connection.vendor == "firestore" else super().db_type(connection)


class EncryptedJSONField(models.TextField):  # type: ignore[type-arg]
    """Any JSON value, stored as a ciphertext of `memory.encryption`; None is stored as NULL.

    The only lookup is `isnull`. Fixtures and raw SQL see the ciphertext. Values that the database computes, such as
    `update(field=F("other"))`, are not encrypted; reading them raises `StorageError`.
    """

    description = _("Encrypted JSON")
    empty_values = (None,)
    default_validators = [validate_json]

    def to_python(self, value: Any) -> Any:
        if not encryption.is_encrypted(value):
            return value
        try:
            return encryption.decrypt(value)
        except StorageError as error:
            raise ValidationError(_("This value looks encrypted but is unreadable."), code="unreadable") from error

    def get_prep_value(self, value: Any) -> Any:
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return encryption.encrypt(value)

    def from_db_value(self, value: str | None, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        return None if value is None else encryption.decrypt(value)

    def get_lookup(self, lookup_name: str) -> Any:
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def get_transform(self, lookup_name: str) -> Any:
        return None

    def value_to_string(self, obj: models.Model) -> str | None:  # type: ignore[override]
        return cast("str | None", self.get_prep_value(self.value_from_object(obj)))

    def formfield(self, **kwargs: Any) -> forms.Field | None:
        return models.Field.formfield(self, **{"form_class": forms.JSONField, **kwargs})


class VectorField(models.Field):  # type: ignore[type-arg]
    """A list of 1 to 2,048 finite floats, stored at double precision; `dimension` fixes its length.

    Relational engines store packed little-endian doubles. An engine with a vector type converts values in
    `connection.ops.adapt_vector` and returns lists of floats.
    """

    description = _("Vector")
    empty_strings_allowed = False
    empty_values = (None,)

    def __init__(self, *args: Any, dimension: int | None = None, **kwargs: Any) -> None:
        self.dimension = dimension
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.dimension is not None:
            kwargs["dimension"] = self.dimension
        return name, path, args, kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *self._check_dimension()]

    def _check_dimension(self) -> list[checks.CheckMessage]:
        if self.dimension is None or 1 <= self.dimension <= limits.MAX_DIMENSIONS:
            return []
        return [
            checks.Error(
                f"A vector has 1 to {limits.MAX_DIMENSIONS} dimensions, not {self.dimension}.",
                hint="Set `dimension` to the length of your embedder's vectors.",
                obj=self,
                id="memory.E008",
            )
        ]

    def get_internal_type(self) -> str:
        return "VectorField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        types: Mapping[str, Any] = connection.data_types
        return str(types.get("VectorField", types["BinaryField"]))

    @property
    def validators(self) -> list[Any]:
        own = [] if self.dimension is None else [DimensionValidator(self.dimension)]
        return [*super().validators, *own]

    def to_python(self, value: Any) -> list[float] | None:
        if value is None:
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise ValidationError(_("A vector must be a list of numbers."), code="not_a_vector") from error
        if isinstance(value, bytes | memoryview):
            return unpack(value)
        return self._floats(value)

    def _floats(self, value: Any) -> list[float]:
        if hasattr(value, "tolist"):
            value = value.tolist()
        if not isinstance(value, list | tuple) or not _are_numbers(value):
            raise ValidationError(_("A vector must be a list of numbers."), code="not_a_vector")
        if not 1 <= len(value) <= limits.MAX_DIMENSIONS:
            raise ValidationError(
                _("A vector has 1 to %(most)d dimensions; this one has %(found)d."),
                code="wrong_dimension",
                params={"most": limits.MAX_DIMENSIONS, "found": len(value)},
            )
        try:
            floats = [float(member) for member in value]
        except OverflowError as error:
            raise ValidationError(_("A vector's numbers must fit a double."), code="not_finite") from error
        if not all(map(math.isfinite, floats)):
            raise ValidationError(_("A vector's numbers must be finite."), code="not_finite")
        return floats

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return value if value is None or hasattr(value, "resolve_expression") else self.to_python(value)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        value = super().get_db_prep_value(value, connection, prepared)
        if value is None or hasattr(value, "resolve_expression"):
            return value
        adapt = getattr(connection.ops, "adapt_vector", self.packed)
        return adapt(value)

    @staticmethod
    def packed(vector: Sequence[float]) -> bytes:
        """The value for an engine without a vector type."""
        return pack(vector)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> list[float] | None:
        return self.to_python(value)

    def value_to_string(self, obj: models.Model) -> str:
        return json.dumps(self.value_from_object(obj))

    def formfield(self, **kwargs: Any) -> forms.Field | None:
        return super().formfield(**{"form_class": forms.JSONField, **kwargs})


def _are_numbers(members: Sequence[object]) -> bool:
    if set(map(type, members)) <= NUMBERS:  # the fast path
        return True
    return all(isinstance(member, int | float) and not isinstance(member, bool) for member in members)


def pack(vector: Sequence[float]) -> bytes:
    """Little-endian doubles."""
    return struct.pack(f"<{len(vector)}d", *vector)


def pack_compactly(vector: Sequence[float]) -> bytes:
    """Little-endian floats at single precision after a byte 1, a length that packed doubles never have."""
    return COMPACT + struct.pack(f"<{len(vector)}f", *vector)


def unpack(packed: bytes | memoryview) -> list[float]:
    """The inverse of `pack` and of `pack_compactly`."""
    if len(packed) % 8 == 0:
        return list(struct.unpack(f"<{len(packed) // 8}d", packed))
    return list(struct.unpack_from(f"<{len(packed) // 4}f", packed, len(COMPACT)))


class CompactVectorField(VectorField):
    """A vector made by a model, at single precision on engines without a vector type."""

    # No query compares it, so engines derive no index for it.
    is_searched = False

    @staticmethod
    def packed(vector: Sequence[float]) -> bytes:
        """The value for an engine without a vector type."""
        return pack_compactly(vector)


class TermsField(AnyJSONField):
    """A list of distinct texts. No model has one now: migration 0002 imports it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("default", list)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)


class WriteTime(Now):
    """The time at which a row is written, by the database's clock: no two processes' clocks are compared.

    On Firestore it is the time of the commit, on other databases that of the statement.
    """

    # Engines that set columns to the time of the commit recognise the expression by this.
    is_server_time = True

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """A function of this process: SQLite's clock is that of the machine, and its `NOW` has milliseconds only."""
        return self.as_sql(compiler, connection, template=f"{WRITE_TIME}()", **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Not the start of the transaction, which may be long before."""
        return self.as_sql(compiler, connection, template="CLOCK_TIMESTAMP()", **context)


class WriteTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """The time of the row's last write by `save()`, `create()` or `bulk_create()`; see `WriteTime`.

    Objects do not have the new value until they are read again. `update()` and `bulk_update()` must set it themselves.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"null": True, "blank": True, "editable": False}
        super().__init__(*args, **kwargs)

    def pre_save(self, model_instance: models.Model, add: bool) -> WriteTime:
        return WriteTime()


def content_hash(text: str | None) -> str:
    """SHA-256 of a text in hexadecimal, keyed if texts are encrypted; empty for None, which has no duplicates."""
    if text is not None and "text_content" in sealing.protected():
        return sealing.keyed_hash(str(text))
    # Lone surrogates do not fail here: the text's own validator rejects them.
    return hashlib.sha256(str(text).encode(errors="surrogatepass")).hexdigest() if text is not None else ""


class ContentHashField(models.CharField):  # type: ignore[type-arg]
    """The hash of the field `source`, computed on every save."""

    def __init__(self, *args: Any, source: str = "", **kwargs: Any) -> None:
        self.source = source
        kwargs.setdefault("max_length", 64)
        kwargs.setdefault("editable", False)
        kwargs.setdefault("blank", True)
        kwargs.setdefault("default", "")
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "source": self.source}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        value = content_hash(getattr(model_instance, self.source))
        setattr(model_instance, self.attname, value)
        return value
