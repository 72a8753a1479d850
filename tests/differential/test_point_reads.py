"""Conditions beside keys are evaluated in Python, with the answers of the mirror and of SQLite."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.test.utils import CaptureQueriesContext
from hypothesis import event, given
from hypothesis import strategies as st

from .examples import examples
from .models import Everything
from .queries import CONDITIONS, leaf, outcome, plain, rows
from .test_json import EQUAL, NUMBERS, ROW, STORED
from .test_queries import fill

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "200"))
# Six queries in a transaction, some of them merges of a hundred calls: an example takes as long as twenty others.
OWN_ROWS_EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "60"))
FILTERS = st.lists(st.tuples(st.sampled_from(["filter", "exclude"]), leaf() | CONDITIONS), min_size=1, max_size=2).map(
    tuple
)


def selected(alias: str, ids: list[str], filters: tuple[tuple[str, Q], ...]) -> Any:
    """The rows with these keys that pass the filters, in the order of a nullable column."""
    records = Everything.objects.using(alias).filter(pk=ids[0]) if len(ids) == 1 else None
    records = Everything.objects.using(alias).filter(pk__in=ids) if records is None else records
    for method, condition in filters:
        records = getattr(records, method)(condition)
    return records.order_by(F("real").asc(nulls_first=True), "pk")


@pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)
class TestPointReads:
    """Random rows and conditions, beside one key or several."""

    @examples(EXAMPLES)
    @given(records=rows(4), filters=FILTERS, one=st.booleans())
    def test_same_answer(self, records: list[dict[str, Any]], filters: tuple[tuple[str, Q], ...], one: bool) -> None:
        """The same rows by SQLite, by key, by key of rows that the transaction wrote, and in the mirror."""
        ids = [record["id"] for record in records] + ["absent"]
        ids = ids[:1] if one else ids
        fill("default", records)
        expected = outcome(lambda: plain(selected("default", ids, filters)))
        fill("firestore", records)
        read = selected("firestore", ids, filters)
        event("by key" if "\nget" in str(outcome(read.explain)) else "in the mirror")
        assert outcome(lambda: plain(read)) == expected
        assert outcome(lambda: plain(read.annotate(lower=Lower("name")))) == expected
        with transaction.atomic(using="firestore"):
            Everything.objects.using("firestore").filter(pk__in=ids).update(text=F("text"))
            assert outcome(lambda: plain(read.all())) == expected
            if isinstance(expected, list):
                assert outcome(read.count) == len(expected)
                assert outcome(read.exists) == bool(expected)


def written(alias: str, records: list[dict[str, Any]], filters: tuple[tuple[str, Q], ...]) -> list[Any]:
    """The answers to queries without a key, in a transaction that has created, changed and deleted rows."""
    everything = Everything.objects.using(alias)
    with transaction.atomic(using=alias):
        for number, record in enumerate(records):
            own = everything.filter(pk=record["id"])
            if number % 3 == 0:
                everything.create(**{**record, "id": f"new{number}"})
            elif number % 3 == 1:
                own.update(real=F("real") if record["real"] is None else -record["real"], number=record["number"])
            else:
                own.delete()
        found = everything
        for method, condition in filters:
            found = getattr(found, method)(condition)
        ordered = found.order_by(F("real").asc(nulls_first=True), "pk")
        if alias == "firestore":
            event("native" if "lane: native" in str(outcome(ordered[:2].explain)) else "in the mirror")
        return [
            outcome(lambda: plain(ordered[:2])),
            outcome(lambda: plain(ordered[1:4])),
            outcome(lambda: plain(ordered.reverse()[:3])),
            outcome(found.count),
            outcome(found.exists),
            outcome(lambda: getattr(found.order_by("pk").first(), "pk", None)),
        ]


@pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)
class TestOwnRows:
    """Random rows and conditions, in a transaction that has written some of the rows."""

    @examples(OWN_ROWS_EXAMPLES)
    @given(records=rows(6), filters=FILTERS)
    def test_same_answer(self, records: list[dict[str, Any]], filters: tuple[tuple[str, Q], ...]) -> None:
        """Slices, `count()`, `exists()` and `first()` by SQLite and by the engine."""
        answers = []
        for alias in ("default", "firestore"):
            fill(alias, records)
            answers.append(written(alias, records, filters))
        assert answers[1] == answers[0]


@pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)
def test_json_values_beside_keys() -> None:
    """Every stored value against every number, without the mirror."""
    documents: list[Any] = [*({"n": value} for value in STORED), {"m": 1}, None, [], 1, "n"]
    records = [{"id": f"{number:03}", "data": data, **ROW} for number, data in enumerate(documents)]
    for alias in ("default", "firestore"):
        fill(alias, records)
    ids = [record["id"] for record in records]
    conditions = [Q(**{f"data__n__{lookup}": one}) for lookup in ("lt", "lte", "gt", "gte") for one in NUMBERS]
    conditions += [Q(data__n=one) for one in EQUAL]
    conditions += [Q(data__n__in=[one, "a"]) for one in EQUAL]
    conditions += [Q(data__has_key="n"), Q(data__n__isnull=False), Q(data__isnull=True), Q(data=1), Q(data="n")]
    for condition in conditions:
        answers = [
            list(Everything.objects.using(alias).filter(condition, pk__in=ids).order_by("pk").values_list("pk"))
            for alias in ("default", "firestore")
        ]
        assert answers[1] == answers[0], condition


@pytest.mark.parametrize(
    "condition",
    [
        Q(number=1),
        Q(name__startswith="a", number__gte=0),
        ~Q(instant__lte="2025-01-01T00:00Z"),
        Q(real__isnull=True) | Q(data__a=1),
        Q(exact__in=["1.5", "2"]),
        Q(key="00000000-0000-0000-0000-000000000000"),
        Q(instant__date="2025-01-01"),
        Q(data__has_key="a"),
    ],
)
@pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)
def test_it_is_one_call(condition: Q) -> None:
    """A GetDocument for one key, a BatchGetDocuments for several, both in the native lane."""
    fill("firestore", [ROW | {"id": "a"}, ROW | {"id": "b"}])
    everything = Everything.objects.using("firestore")
    for keys, method in ((Q(pk="a"), "GetDocument"), (Q(pk__in=["a", "b"]), "BatchGetDocuments")):
        with CaptureQueriesContext(connections["firestore"]) as captured:
            list(everything.filter(keys & condition))
        (entry,) = captured.captured_queries
        assert entry["lane"] == "native"
        assert [(call["method"], call["documents_read"]) for call in entry["rpcs"]] == [
            (method, 1 if method == "GetDocument" else 2)
        ]
