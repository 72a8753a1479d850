"""`memory.plain_values`: validation without Django's methods has the results of validation with them."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models

from memory.models import AgentData, Document, MemoryItem, UserSession
from memory.plain_values import unclear_fields


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


VALUES: tuple[Any, ...] = (
    *(None, "", " ", "a", "ä", "a/b", ".", "..", "__id__", "a b", "\x00", "\ud800", "٣", Text("a"), b"a"),
    *("x" * 255, "x" * 256, "x" * 1_500, "x" * 1_501, "x" * 1_502, "2026-01-31T12:00:00Z"),
    *(0, 1, -1, 0.5, 1.5, 2**63 - 1, 2**63, -(2**63), float("nan"), True),
    *(datetime(2026, 1, 31, tzinfo=UTC), datetime(1, 1, 1), date(2026, 1, 31)),  # noqa: DTZ001
    *([], ["a"], ["a", "a"], ["a/b"], [0.5], (), ("a",), set()),
    *({}, {"a": 1}, {"a": "b", "c": None, "d": True}, {"a": "ä"}, {"a": "\ud800"}, {"\ud800": 1}, {"ä": 1}, {"": 1}),
    *({1: 2}, {"a": float("nan")}, {"a": 2**70}, {"a": []}, {"a": {"b": {1}}}, {"x" * 1_500: 1}, {"x" * 1_501: 1}),
)


def cleaned(clean: Any, record: models.Model, name: str) -> Any:
    """The value of a field after validation, with its type, or its errors; Django's methods fail for some types."""
    try:
        clean(record)
    except ValidationError as error:
        return error.message_dict
    except (TypeError, AttributeError, ValueError) as error:
        return type(error), str(error)
    value = getattr(record, name)
    return type(value), value


@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime:RuntimeWarning")
@pytest.mark.parametrize("model", [MemoryItem, AgentData, UserSession])
def test_validation_is_that_of_django(model: type[Document]) -> None:
    """Every field of every model has the same value, or the same errors, for each of these values."""
    for field in model._meta.concrete_fields:
        for value in VALUES:
            ours, django = (model(**{field.attname: value}) for _ in range(2))
            for other in model._meta.concrete_fields:
                if other.attname != field.attname:
                    setattr(django, other.attname, getattr(ours, other.attname))
            found = cleaned(model.clean_fields, ours, field.attname)
            expected = cleaned(models.Model.clean_fields, django, field.attname)
            assert repr(found) == repr(expected), (field.name, value)


def test_usual_items_are_plain() -> None:
    """Nothing of a usual item is left to Django."""
    item = MemoryItem(user_id="ada", session_id="s", item_type="message", text_content="Hello", metadata={"n": 1})
    assert unclear_fields(item) == []


def test_fields_with_rules_of_their_own_are_left_to_django() -> None:
    """Validators of a field, other values, and fields that were not given."""
    item = MemoryItem(user_id="", session_id="s", item_type="message", importance=0.5, derived_from=["a"])
    assert unclear_fields(item) == ["user_id", "derived_from", "importance"]
