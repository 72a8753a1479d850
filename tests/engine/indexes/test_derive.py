"""Composite indexes of queries and of models."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memory.backends.firestore.indexes import manifest
from memory.backends.firestore.indexes.derive import required_index
from memory.backends.firestore.query.plan import And, Compare, Get, Measure, Merge, Nearest, Op, Or, Order, Query
from memory.backends.firestore.values.types import DOCUMENT_ID, Kind, Ref

from .models import Item, Plain, Sheet

A, B, C = (Ref((name,), Kind.INTEGER) for name in "abc")
VECTOR = Ref(("v",), Kind.VECTOR)
IS_A, IS_B, OVER_C = Compare(A, Op.EQ, 1), Compare(B, Op.IN, (1, 2)), Compare(C, Op.GT, 1)


def short(definition: dict[str, Any] | None) -> str | None:
    """A definition as text: `a b- c[] v3`."""
    if definition is None:
        return None
    marks = {"ASCENDING": "", "DESCENDING": "-", "CONTAINS": "[]"}
    return " ".join(
        field["fieldPath"]
        + (
            str(field["vectorConfig"]["dimension"])
            if "vectorConfig" in field
            else marks[field.get("order") or field["arrayConfig"]]
        )
        for field in definition["fields"]
    )


NEEDS = [
    (Query("x"), None),
    (Query("x", where=IS_A), None),
    (Query("x", where=And((IS_A, IS_B))), None),
    (Query("x", where=OVER_C), None),
    (Query("x", orders=(Order(A, True),)), None),
    (Query("x", orders=(Order(A, True), Order(DOCUMENT_ID, True))), None),
    (Query("x", where=OVER_C, orders=(Order(C, True),)), None),
    (Query("x", where=And((IS_B, IS_A)), orders=(Order(C, True),)), "a b c-"),
    (Query("x", where=And((IS_A, OVER_C))), "a c"),
    (Query("x", where=And((IS_A, OVER_C)), orders=(Order(B, True),)), "a b- c-"),
    (Query("x", orders=(Order(A), Order(B, True))), "a b-"),
    (Query("x", orders=(Order(A), Order(DOCUMENT_ID, True))), "a __name__-"),
    (Query("x", where=IS_A, orders=(Order(A), Order(B))), "a b"),
    (Query("x", where=Or((Compare(C, Op.IS_NULL), OVER_C)), orders=(Order(A, True),)), "a- c-"),
    (Query("x", where=And((Compare(B, Op.ARRAY_CONTAINS, 1), IS_A)), orders=(Order(C),)), "a b[] c"),
    (Query("x", where=And((Compare(Ref(("m", "a b"), Kind.JSON), Op.EQ, 1), OVER_C))), "m.`a b` c"),
    (Merge((Query("x", where=IS_A), Query("x", where=And((IS_A, OVER_C))))), "a c"),
    (Get("x", ("1",)), None),
    (Nearest(Query("x"), VECTOR, (1.0, 2.0), Measure.COSINE, 5), "v2"),
    (Nearest(Query("x", where=And((IS_A, OVER_C))), VECTOR, (1.0, 2.0), Measure.COSINE, 5), "a c v2"),
]


@pytest.mark.parametrize(("read", "expected"), NEEDS, ids=str)
def test_the_index_of_a_read(read: Any, expected: str | None) -> None:
    """None for equalities only or one order. Otherwise equalities, sort keys, ranges, and the vector last."""
    assert short(required_index(read)) == expected


def test_an_aggregate_needs_its_column_in_the_index() -> None:
    """A sum with a filter needs an index of both columns."""
    assert short(required_index(Query("x", where=IS_A), [B])) == "a b"
    assert required_index(Query("x"), [B]) is None


def test_a_models_manifest() -> None:
    """Declared indexes, those for rows that have not expired, those of vectors, and the TTL policy."""
    made = manifest.of_models([Item, Plain], manifest.Options())
    assert {short(one) for one in made.indexes} == {
        "user_id kind timestamp-",
        "kind user_id timestamp- id- expiration-",
        "timestamp- id- expiration-",
        "embedding3",
        "user_id embedding3",
        "user_id expiration embedding3",
    }
    assert {one["collectionGroup"] for one in made.indexes} == {"items"}
    (override,) = made.overrides
    assert (override["fieldPath"], override["ttl"], len(override["indexes"])) == ("expiration", True, 3)
    assert [sentence.split(":")[0] for sentence in made.skipped] == ["engine.Item", "engine.Item.unsized"]


def test_a_model_that_is_searched_by_words_and_vectors() -> None:
    """An array index with the equality fields, newest first; a vector index with these and `searched_with`."""
    made = manifest.of_models([Sheet], manifest.Options())
    assert {short(one) for one in made.indexes} == {
        "owner at-",
        "owner kind at-",
        "owner kind at",
        "owner words[] at-",
        "kind owner words[] at-",
        "made_by owner meaning7",
        "made_by owner at meaning7",
        "kind made_by owner meaning7",
        "kind made_by owner at meaning7",
    }
    assert made.overrides == [{"collectionGroup": "pages", "fieldPath": "words", "indexes": []}]
    assert not made.skipped


def test_the_text_is_stable_and_round_trips() -> None:
    """The file does not depend on the order of models, and can be parsed."""
    one = manifest.of_models([Item, Plain], manifest.Options(dimension=5))
    other = manifest.of_models([Plain, Item], manifest.Options(dimension=5))
    assert one.text() == other.text()
    assert json.loads(one.text())["fieldOverrides"] == one.overrides
    assert not one.missing_from(manifest.parse(one.text()))
    assert one.missing_from(manifest.Manifest()) == [*one.indexes, *one.overrides]


@pytest.mark.parametrize("text", ["[]", '{"indexes": 1}', "{"])
def test_an_invalid_file_raises(text: str) -> None:
    """So that it is not overwritten."""
    with pytest.raises(ValueError, match=r"indexes|Expecting"):
        manifest.parse(text)
