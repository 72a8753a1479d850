"""Limits of request bodies: hostile ones are refused before objects are built from them."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from memory.api.errors import MAX_PROBLEMS, BodyError
from memory.api.parsers import (
    MAX_DEPTH,
    PIECE_BYTES,
    Counts,
    Limits,
    check_counts,
    declared_length,
    depths,
    parse_json,
    read_counted,
    record_limits,
)
from memory.api.serializers import MemoryItemSerializer
from memory.models import MemoryItem

from .conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"
COUNTED = ("quotes", "opened", "commas", "depth")
MIB = 1024 * 1024


def send(client: APIClient, body: bytes, path: str = ITEMS) -> Any:
    return client.post(path, body, content_type="application/json")


HOSTILE = {
    "unknown keys": b"{" + b",".join(b'"key%d":0' % number for number in range(400_000)) + b"}",
    "empty lists": b"[" + b"[]," * (2 * MIB) + b"[]]",
    "empty objects": b'{"metadata":{"a":[' + b"{}," * (2 * MIB) + b"{}]}}",
    "empty texts": b'{"metadata":{"a":[' + b'"",' * (2 * MIB) + b'""]}}',
    "numbers": b'{"metadata":{"a":[' + b"0," * (3 * MIB) + b"0]}}",
    "quotes": b'"' * (7 * MIB),
    "commas": b"," * (7 * MIB),
}


@pytest.mark.parametrize("path", [ITEMS, f"{ITEMS}bulk/", "/api/agent-data/", "/api/sessions/"])
@pytest.mark.parametrize("case", HOSTILE)
def test_too_many_values_are_refused_before_they_are_parsed(ada: APIClient, case: str, path: str) -> None:
    """400 with a small response; memory stays below ten times the body."""
    body = HOSTILE[case]
    tracemalloc.start()
    try:
        response = send(ada, body, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert response.status_code == 400
    assert codes(response) == {"body": ["too_many_values"]}
    assert len(response.content) < 1000
    assert peak < 10 * len(body)


@pytest.mark.parametrize(
    ("body", "declared", "read"),
    [
        (HOSTILE["empty lists"], 0, MIB),
        (HOSTILE["quotes"], 0, MIB),
        (b"[" * 5 * MIB, 0, PIECE_BYTES),
        (b" " * 9 * MIB, 0, 9 * MIB),
        (b" " * 9 * MIB, 9 * MIB, 0),
    ],
    ids=["lists", "quotes", "depth", "spaces", "a declared length"],
)
def test_a_body_is_not_read_beyond_its_excess(body: bytes, declared: int, read: int) -> None:
    """Nothing of it if its length is declared."""
    stream = io.BytesIO(body)
    with pytest.raises(BodyError):
        read_counted(stream, record_limits(), declared)
    assert stream.tell() <= read


@pytest.mark.parametrize("declared", [None, "", "0", "x", "12"])
def test_a_header_without_a_length_is_ignored(declared: str | None) -> None:
    """The server reads no more than it says."""
    assert declared_length({"CONTENT_LENGTH": declared}) == (12 if declared == "12" else 0)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_limited(ada: APIClient, opening: bytes) -> None:
    """Brackets inside of texts do not count."""
    response = send(ada, b'{"item_type": "m", "metadata": {"a":' + opening * 40)
    assert codes(response) == {"body": ["too_deep"]}
    text = r"[{\"[{" * 1000
    assert send(ada, b'{"item_type": "m", "text_content": "' + text.encode() + b'"}').status_code == 201


def test_one_record_has_a_smaller_limit_than_a_bulk(ada: APIClient, settings: Any) -> None:
    """MAX_RECORD_BYTES does not apply to bulk requests, MAX_BODY_BYTES to both."""
    settings.MEMORY = {**settings.MEMORY, "MAX_RECORD_BYTES": 1000}
    record = {"item_type": "m", "text_content": "x" * 1000}
    assert codes(ada.post(ITEMS, record, format="json")) == {"body": ["body_too_large"]}
    assert ada.post(f"{ITEMS}bulk/", {"items": [record]}, format="json").status_code == 201
    settings.MEMORY = {**settings.MEMORY, "MAX_BODY_BYTES": 100}
    assert codes(ada.post(ITEMS, {"item_type": "x" * 200}, format="json")) == {"body": ["body_too_large"]}


def test_an_item_of_a_bulk_holds_as_many_values_as_a_record(ada: APIClient) -> None:
    """However deep they are; a bulk as a whole may hold more."""
    flat, nested = [0] * 140_001, [[0] * 70_000, {"a": [0] * 70_001}]
    for values in (flat, nested):
        body = {"items": [{"item_type": "m"}, {"item_type": "m", "metadata": {"a": values}}]}
        assert codes(ada.post(f"{ITEMS}bulk/", body, format="json")) == {"items.1": ["too_many_values"]}
    body = {"items": [{"item_type": "m", "metadata": {"a": [0] * 70_000}}] * 3}
    assert ada.post(f"{ITEMS}bulk/", body, format="json").status_code == 201


def test_validation_ends_when_enough_is_wrong(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than 100 errors are reported, so no more rows are validated; all are reported of fewer."""
    rows: list[Any] = []
    validate = MemoryItemSerializer.run_validation

    def watched(serializer: Any, data: Any) -> Any:
        rows.append(data)
        return validate(serializer, data)

    monkeypatch.setattr(MemoryItemSerializer, "run_validation", watched)
    wrong = {f"unknown-{number}": 0 for number in range(30)}
    response = ada.post(f"{ITEMS}bulk/", {"items": [{"item_type": "m"}, *[wrong] * 400]}, format="json")
    assert sum(len(found) for found in codes(response).values()) == 100
    assert len(rows) < 10
    rows.clear()
    response = ada.post(f"{ITEMS}bulk/", {"items": [{"item_type": "m"}, {}] * 40}, format="json")
    assert codes(response) == {f"items.{row}.item_type": ["required"] for row in range(1, 80, 2)}
    assert len(rows) == 80


def test_largest_record_is_accepted(ada: APIClient) -> None:
    """A text of 1 MB of control characters has six bytes each as JSON."""
    text = "\x01" * 500_000
    response = ada.post(ITEMS, {"item_type": "m", "text_content": text}, format="json")
    assert response.status_code == 201
    numbers = [0.5] * 130_000
    assert ada.post("/api/agent-data/", {"data_type": "d", "content": numbers}, format="json").status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"item_type": "m", **{f"key{number}": 0 for number in range(1000)}},
        {"items": [{f"key{number}": 0 for number in range(1000)} for _ in range(20)]},
        {"items": [{} for _ in range(500)]},
        {"items": ["text"] * 500},
    ],
    ids=["unknown fields", "unknown fields of rows", "empty rows", "rows that are no objects"],
)
def test_number_of_errors_is_limited(ada: APIClient, body: dict[str, Any]) -> None:
    """The first hundred are reported."""
    response = ada.post(f"{ITEMS}bulk/" if "items" in body else ITEMS, body, format="json")
    assert response.status_code == 400
    assert sum(map(len, codes(response).values())) == MAX_PROBLEMS
    assert not MemoryItem.all_objects.exists()


def members(value: Any) -> Iterator[Any]:
    """Every value at any depth, and keys."""
    yield value
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(inner)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\,[]{}:é') | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a"\\,['), inner),
    max_leaves=30,
)


@given(value=JSON, escaped=st.booleans())
def test_values_are_counted_as_they_are(value: Any, escaped: bool) -> None:
    """Punctuation and escapes inside of texts do not count; what is within the limits parses."""
    raw = json.dumps(value, ensure_ascii=escaped).encode()
    found = list(members(value))
    objects = sum(isinstance(each, str | list | dict) for each in found)
    generous = record_limits()
    check_counts(raw, Limits(generous.bytes, generous.values, objects))
    assert parse_json(raw) == value
    if objects:
        with pytest.raises(BodyError, match="exceeds"):
            check_counts(raw, Limits(generous.bytes, generous.values, objects - 1))


@given(
    raw=st.text(alphabet='[]{}",\\a:', max_size=100).map(str.encode),
    size=st.integers(1, 20),
)
def test_pieces_of_any_size_are_counted_alike(raw: bytes, size: int) -> None:
    """Escapes and texts may begin in one piece and end in another."""
    generous = Limits(1000, 1000, 1000)
    whole, parts = Counts(generous), Counts(generous)
    whole.add(raw)
    for start in range(0, len(raw), size):
        parts.add(raw[start : start + size])
    assert [vars(parts)[name] for name in COUNTED] == [vars(whole)[name] for name in COUNTED]


@given(brackets=st.text(alphabet="[]", max_size=200).map(str.encode), before=st.integers(-3, MAX_DEPTH))
def test_depths_are_those_of_a_count(brackets: bytes, before: int) -> None:
    """Beyond the limit it is enough to know so."""
    steps = list(accumulate((1 if bracket == ord("[") else -1 for bracket in brackets), initial=before))
    most, end = depths(brackets, before)
    assert end == steps[-1]
    assert (most > MAX_DEPTH) == (max(steps) > MAX_DEPTH)
