"""Values of an INSERT are what Django's own calls make of them, also where these calls are left out."""

from __future__ import annotations

import datetime as dt
import uuid
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models
from django.test import override_settings
from django.utils.functional import lazystr
from hypothesis import given
from hypothesis import strategies as st

from memory.backends.firestore.compilers.field_values import source
from tests.engine.app.models import Everything, Note

TOKYO = dt.timezone(dt.timedelta(hours=9))


class Level(models.IntegerChoices):
    LOW = 1


class Word(models.TextChoices):
    YES = "yes"


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False) | st.binary()
    | st.dates() | st.times() | st.decimals(allow_nan=False) | st.uuids() | st.timedeltas()
    | st.datetimes() | st.datetimes(timezones=st.sampled_from([dt.UTC, TOKYO]))
    | st.sampled_from([Level.LOW, Word.YES, lazystr("lazy"), "1", "2020-01-01", "2020-01-01T00:00Z", "x", True, 1])
)  # fmt: skip
VALUES = SCALARS | st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)
FIELDS = [field for field in Everything._meta.concrete_fields if not field.primary_key]


def outcome(make: Callable[[], Any]) -> tuple[Any, ...]:
    """A value and its type, or the type of the error."""
    try:
        value = make()
    except Exception as error:  # noqa: BLE001 - any error must be the same
        return ("error", type(error))
    return (repr(value), type(value))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@given(value=VALUES)
def test_values_are_those_of_djangos_calls(field: Any, value: Any) -> None:
    """For every field type and value, also of a wrong type."""
    made = source(field, connection)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # naive datetimes
        usual = outcome(lambda: field.get_db_prep_save(value, connection=connection))
        quick = outcome(lambda: value if value.__class__ in made.unchanged else made.prepare(value))
    assert quick == usual


@pytest.mark.parametrize("value", [3, [1, 2], "text"])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
@pytest.mark.django_db(databases=["default", "sqlite"])
def test_only_buffers_are_binary(alias: str, value: Any) -> None:
    """Three is not three zero bytes."""
    with pytest.raises(TypeError):
        Everything.objects.using(alias).create(binary=value)
    with pytest.raises(TypeError):
        Everything.objects.using(alias).filter(binary=value).exists()


@pytest.mark.parametrize("value", [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1)])  # noqa: DTZ001
def test_datetimes_without_time_zones(value: dt.datetime) -> None:
    """An aware datetime is refused if USE_TZ is False, a naive one is stored."""
    field = Everything._meta.get_field("datetime")
    made = source(field, connection)
    with override_settings(USE_TZ=False):
        usual = outcome(lambda: field.get_db_prep_save(value, connection=connection))
        assert outcome(lambda: made.prepare(value)) == usual


def named(field: Any) -> Any:
    """A field as a model has it."""
    field.set_attributes_from_name("field")
    return field


class Loud(models.CharField):
    """Upper case in the database."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else str(value).upper()


def test_overridden_methods_are_called() -> None:
    """Of a subclass, of an instance, and of Django's class if another package has replaced them."""
    assert source(named(Loud()), connection).unchanged == frozenset()
    field = named(models.CharField())
    assert source(field, connection).unchanged == {str, type(None)}
    field.to_python = lambda value: "same"  # type: ignore[method-assign]
    assert source(field, connection).unchanged == frozenset()


def test_replaced_methods_of_djangos_classes_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package may change what every field of a class does."""
    monkeypatch.setattr(models.TextField, "get_prep_value", lambda self, value: "replaced")
    made = source(named(models.TextField()), connection)
    assert made.unchanged == frozenset()
    assert made.prepare("x") == "replaced"


def test_pre_save_is_called_where_it_computes_the_value() -> None:
    """`auto_now` and the pre_save() of other packages."""

    class Counted(models.IntegerField):
        def pre_save(self, model_instance: Any, add: bool) -> Any:
            return 7

    made = [
        models.DateTimeField(auto_now=True), models.DateField(auto_now_add=True), models.TimeField(auto_now=True),
        Counted(), models.FileField(),
    ]  # fmt: skip
    assert not any(source(named(field), connection).is_attribute for field in made)
    plain = [models.DateTimeField(), models.DateField(), models.TimeField(), models.IntegerField(), models.CharField()]
    assert all(source(named(field), connection).is_attribute for field in plain)


@pytest.mark.django_db(transaction=True)
def test_every_type_is_stored() -> None:
    """Each value is read back as it was written."""
    values = {
        "big": 2**40, "binary": b"\0", "boolean": False, "char": "é", "date": dt.date(2020, 2, 3),
        "datetime": dt.datetime(2020, 2, 3, 4, tzinfo=dt.UTC), "decimal": Decimal("1.2500"),
        "duration": dt.timedelta(1), "float": 0.5, "ip": "::1", "json": {"a": [1, None, 0.5]}, "positive": 3,
        "small": -3, "time": dt.time(1), "uuid": uuid.uuid4(),
    }  # fmt: skip
    stored = Everything.objects.get(pk=Everything.objects.create(**values).pk)
    assert {name: getattr(stored, name) for name in values} == values
    assert Note.objects.create(id="n", text="t", stars=Level.LOW) == Note.objects.get(text="t", stars=1)
