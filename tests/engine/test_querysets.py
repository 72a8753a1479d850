"""Django's classes with the engine loaded, and the queryset that projects can opt in to."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.db import NotSupportedError, connection, transaction
from django.test.utils import CaptureQueriesContext

from memory.backends.firestore.querysets import FirestoreManager, FirestoreQuerySet
from memory.backends.firestore.testing import CaptureRPCsContext
from tests.engine.app.models import Note, Seat

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
    def widen(*notes: Note) -> None:
        FirestoreQuerySet(Note).widen(notes, same=["owner"], least=["stars"], greatest=["reads"])

    def test_it_is_one_commit_without_a_read(self) -> None:
        """New and known rows alike; other fields of known rows stay, and new rows lack them."""
        Note.objects.create(id="a", owner="ann", text="kept", stars=3, reads=3)
        with CaptureQueriesContext(connection) as captured:
            self.widen(Note(id="a", owner="ann", stars=1, reads=9), Note(id="b", owner="bob", stars=5, reads=6))
        (entry,) = captured.captured_queries
        assert "ON CONFLICT" in entry["sql"]
        assert [(rpc["method"], rpc["documents_read"], rpc["documents_written"]) for rpc in entry["rpcs"]] == [
            ("Commit", 0, 2)
        ]
        rows = {row[0]: row[1:] for row in Note.objects.values_list("id", "owner", "text", "stars", "reads")}
        assert rows == {"a": ("ann", "kept", 1, 9), "b": ("bob", None, 5, 6)}
        self.widen(Note(id="a", owner="ann", stars=2, reads=8))
        assert Note.objects.values_list("stars", "reads").get(pk="a") == (1, 9)

    def test_in_a_transaction(self) -> None:
        """Own writes are seen before the commit, and are one write of each row."""
        Note.objects.create(id="a", owner="ann", stars=3, reads=3)
        with CaptureRPCsContext(connection) as calls, transaction.atomic():
            self.widen(Note(id="a", owner="ann", stars=2, reads=2))
            self.widen(Note(id="a", owner="ann", stars=4, reads=5), Note(id="b", owner="bob", stars=1, reads=1))
        assert [(call["method"], call["documents_written"]) for call in calls] == [("Commit", 2)]
        with transaction.atomic():
            self.widen(Note(id="a", owner="ann", stars=0, reads=0), Note(id="c", owner="cy", stars=0, reads=0))
            inside = list(Note.objects.order_by("pk").values_list("id", "stars", "reads"))
            Note.objects.filter(pk="c").update(reads=7)
            self.widen(Note(id="c", owner="cy", stars=1, reads=8))
        assert inside == [("a", 0, 5), ("b", 1, 1), ("c", 0, 0)]
        assert Note.objects.values_list("stars", "reads").get(pk="c") == (0, 8)

    def test_a_rollback_discards_it(self) -> None:
        """As every write."""
        with transaction.atomic():
            self.widen(Note(id="a", owner="ann", stars=1, reads=1))
            transaction.set_rollback(True)
        assert not Note.objects.exists()

    def test_constraints_are_refused(self) -> None:
        """Markers of unique values would need a read."""
        with pytest.raises(NotSupportedError, match="constraints"):
            FirestoreQuerySet(Seat).widen([Seat()])
