"""Django's classes with the engine loaded, and the queryset that projects can opt in to."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.db import NotSupportedError, connection, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from memory.backends.firestore.querysets import FirestoreManager, FirestoreQuerySet
from memory.backends.firestore.testing import CaptureRPCsContext
from tests.engine.app.models import Berth, Note, Seat, Span

UNPATCHED = """
import django
from django.conf import settings
from django.db import connections, models, transaction
from django.db.models import sql

settings.configure(
    DATABASES={"default": {"ENGINE": "memory.backends.firestore", "PROJECT": "p", "HOST": "localhost:1"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "memory.backends.firestore"],
)
classes = [models.QuerySet, models.Manager, models.Model, sql.Query, transaction.Atomic]
before = [dict(vars(one)) for one in classes]
django.setup()
from django.contrib.auth.models import User

connection = connections["default"]
compiler = connection.ops.compiler("SQLInsertCompiler")
User.objects.filter(username="a").explain()
import memory.backends.firestore.batch_fetch, memory.backends.firestore.querysets
import memory.backends.firestore.transaction, memory.backends.firestore.warnings

assert connection.vendor == "firestore"
for one, was in zip(classes, before, strict=True):
    changed = {name for name in {**was, **vars(one)} if was.get(name) is not vars(one).get(name)}
    assert not changed, (one, changed)
"""


def test_the_engine_patches_no_class_of_django() -> None:
    """Importing and using it leaves querysets, managers, models, queries and blocks as Django defines them."""
    subprocess.run([sys.executable, "-c", UNPATCHED], check=True, timeout=60)


@pytest.mark.django_db(databases=["default", "sqlite"])
def test_other_engines_update_or_create_as_django_does() -> None:
    """The queryset needs no Firestore."""
    rows = FirestoreQuerySet(Note, using="sqlite")
    assert rows.update_or_create(id="a", defaults={"text": "1"})[1]
    assert not rows.update_or_create(id="a", defaults={"text": "2"})[1]
    assert rows.get().text == "2"


def test_the_manager_has_the_querysets_method() -> None:
    """`objects = FirestoreManager()` is all that a model needs."""
    manager = FirestoreManager()
    manager.model = Note
    assert isinstance(manager.get_queryset(), FirestoreQuerySet)


@pytest.mark.django_db(transaction=True)
class TestWiden:
    """`widen()`: rows are created, or bounds of existing ones move outwards."""

    @staticmethod
    def widen(*spans: Span) -> None:
        FirestoreQuerySet(Span).widen(spans, same=["owner"], least=["low"], greatest=["high"])

    def test_it_is_one_commit_without_a_read(self) -> None:
        """New and known rows alike; other fields of known rows stay, and new rows have their absent values."""
        Span.objects.create(id="a", owner="ann", extras={"a": 1}, low=3, high=3)
        with CaptureQueriesContext(connection) as captured:
            self.widen(Span(id="a", owner="ann", low=1, high=9), Span(id="b", owner="bob", low=5, high=6))
        (entry,) = captured.captured_queries
        assert "ON CONFLICT" in entry["sql"]
        assert [(rpc["method"], rpc["documents_read"], rpc["documents_written"]) for rpc in entry["rpcs"]] == [
            ("Commit", 0, 2)
        ]
        rows = {row[0]: row[1:] for row in Span.objects.values_list("id", "owner", "extras", "low", "high")}
        assert rows == {"a": ("ann", {"a": 1}, 1, 9), "b": ("bob", {}, 5, 6)}
        self.widen(Span(id="a", owner="ann", low=2, high=8))
        assert Span.objects.values_list("low", "high").get(pk="a") == (1, 9)

    def test_in_a_transaction(self) -> None:
        """Own writes are seen before the commit, and are one write of each row."""
        Span.objects.create(id="a", owner="ann", low=3, high=3)
        with CaptureRPCsContext(connection) as calls, transaction.atomic():
            self.widen(Span(id="a", owner="ann", low=2, high=2))
            self.widen(Span(id="a", owner="ann", low=4, high=5), Span(id="b", owner="bob", low=1, high=1))
        assert [(call["method"], call["documents_written"]) for call in calls] == [("Commit", 2)]
        with transaction.atomic():
            self.widen(Span(id="a", owner="ann", low=0, high=0), Span(id="c", owner="cy", low=0, high=0))
            inside = list(Span.objects.order_by("pk").values_list("id", "low", "high"))
            Span.objects.filter(pk="c").update(high=7)
            self.widen(Span(id="c", owner="cy", low=1, high=8))
        assert inside == [("a", 0, 5), ("b", 1, 1), ("c", 0, 0)]
        assert Span.objects.values_list("low", "high").get(pk="c") == (0, 8)

    def test_a_rollback_discards_it(self) -> None:
        """As every write."""
        with transaction.atomic():
            self.widen(Span(id="a", owner="ann", low=1, high=1))
            transaction.set_rollback(True)
        assert not Span.objects.exists()

    def test_constraints_are_refused(self) -> None:
        """Markers of unique values would need a read."""
        with pytest.raises(NotSupportedError, match="constraints"):
            FirestoreQuerySet(Seat).widen([Seat()])

    def test_fields_that_a_new_row_would_lack_are_refused(self) -> None:
        """Filters would not find it."""
        with pytest.raises(NotSupportedError, match="owner"):
            FirestoreQuerySet(Span).widen([Span(id="a", low=1, high=1)], least=["low"], greatest=["high"])
        assert not Span.objects.exists()

    @pytest.mark.parametrize(
        "rows",
        [
            Span.objects.filter(extras={}),
            Span.objects.exclude(extras={"a": 1}),
            Span.objects.filter(extras__isnull=False),
            Span.objects.filter(extras__a__isnull=True),
            Span.objects.exclude(extras__has_key="a"),
            Span.objects.order_by("extras"),
        ],
        ids=["equal", "excluded", "isnull", "key", "has_key", "order"],
    )
    def test_a_new_row_is_found_by_its_absent_value(self, rows: Any) -> None:
        """A field with an absent value is compared as if it were stored."""
        self.widen(Span(id="a", owner="ann", low=1, high=1))
        assert list(rows.values_list("id", "extras")) == [("a", {})]
        assert not Span.objects.filter(extras__isnull=True).exists()


@pytest.mark.django_db(transaction=True)
def test_a_local_condition_needs_no_index_and_no_further_call() -> None:
    """A slice in order, a count, a row by key, and a negation; in a transaction with its own rows, too."""
    Berth.objects.bulk_create(Berth(id=f"b{n}", place=n, length=n % 3) for n in range(9))
    rows = FirestoreQuerySet(Berth)
    some = rows.filter_locally(~Q(length=1, place__gte=4)).filter_locally(Q(length__in=[1, 2]) | Q(place=0))
    with CaptureRPCsContext(connection) as calls:
        assert [one.id for one in some.order_by("place")[:3]] == ["b0", "b1", "b2"]
        assert some.count() == 5
        assert [one.id for one in some.filter(pk="b1")] == ["b1"]
        assert not some.filter(pk="b4").exists()
        assert [one.id for one in some.filter(place__gt=2).order_by("-place")] == ["b8", "b5"]
    assert len(calls) == 5
    plan = some.order_by("place")[:3].explain()
    kept = "(length != ? or length is null or missing or place < ?) and (length in (2 values) or place == ?)"
    assert f"keep the first 3 where {kept}" in plan
    with transaction.atomic():
        Berth(id="b9", place=9, length=2).save()
        Berth.objects.filter(pk="b2").update(length=0)
        assert [one.id for one in some.order_by("place")] == ["b0", "b1", "b5", "b8", "b9"]
        assert [one.id for one in some.order_by("-place")[:2]] == ["b9", "b8"]
    assert some.filter(place__gt=0).delete()[0] == 4


@pytest.mark.django_db(databases=["default", "sqlite"])
def test_a_local_condition_is_a_filter_on_other_engines() -> None:
    """With the same rows."""
    Note.objects.using("sqlite").bulk_create(Note(id=f"n{n}", text=str(n % 2)) for n in range(4))
    rows = FirestoreQuerySet(Note, using="sqlite").filter_locally(Q(text="1"))
    assert {one.id for one in rows} == {"n1", "n3"}
