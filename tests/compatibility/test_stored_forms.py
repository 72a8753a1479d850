"""Databases that an earlier version wrote, read by the code of today: `make.py` made them."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string
from google.cloud.firestore_v1.types import Document
from google.protobuf.json_format import ParseDict
from pytest_django import DjangoDbBlocker

from memory.conf import memory_settings
from memory.embedding import model_name
from memory.encryption import decrypt, rotate
from memory.models import AgentData, MemoryItem, UserSession
from memory.search import pending
from memory.testing import emulator
from memory.testing.embedders import DeterministicEmbedder
from tests import databases

from .make import DATA, KEY, raw_client

pytestmark = [
    pytest.mark.embedded,  # these bring their databases of both engines with them
    pytest.mark.django_db(databases=["default", "memory"]),
]

ALIAS = "before"
NEW: dict[str, Any] = {
    **dict.fromkeys(("superseded_by", "valid_from", "valid_to", "source", "importance", "touched")),
    "supersedes": [],
    "derived_from": [],
}
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
MODELS: dict[str, Any] = {
    "MemoryItem": MemoryItem.all_objects,
    "AgentData": AgentData.all_objects,
    "UserSession": UserSession.objects,
}


@contextmanager
def on_sqlite(request: pytest.FixtureRequest) -> Iterator[None]:
    """A copy of the file, before any migration of today."""
    file = request.getfixturevalue("tmp_path") / "memory.sqlite3"
    shutil.copy(DATA / "memory.sqlite3", file)
    with databases.added(ALIAS, {"ENGINE": "memory.backends.sqlite", "NAME": str(file)}):
        yield


@contextmanager
def on_firestore(request: pytest.FixtureRequest) -> Iterator[None]:
    """The documents in a separate project, written past the engine."""
    address = request.getfixturevalue("firestore_emulator")
    project = f"{request.getfixturevalue('firestore_project')}-before"
    emulator.flush(address, project)
    client = raw_client(address)
    parent = f"projects/{project}/databases/(default)/documents"
    writes = [
        {"update": ParseDict({"name": f"{parent}/{each['path']}", "fields": each["fields"]}, Document.pb(Document()))}
        for each in json.loads((DATA / "firestore.json").read_text())
    ]
    client.commit(request={"database": parent.removesuffix("/documents"), "writes": writes})
    with databases.firestore(ALIAS, address, project, timeout=60.0):
        yield


ENGINES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[None]]] = {
    "sqlite": on_sqlite,
    "firestore": on_firestore,
}


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore_emulator)])
def before(request: pytest.FixtureRequest, settings: Any, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The engine's name; the database is migrated by the code of today, under the alias `before`."""
    changed = {"DATABASE": ALIAS, "ENCRYPTION_KEYS": [KEY], "CACHE": None}
    settings.MEMORY = {**settings.MEMORY, **changed}
    with django_db_blocker.unblock(), ENGINES[request.param](request):
        call_command("migrate", "memory", database=ALIAS, verbosity=0)
        yield request.param


CHANGED = ("written", "terms", "terms_version")
"""Columns that were added or removed since."""


def as_read(row: Any) -> dict[str, Any]:
    """A record as `make.py` writes it."""
    values = {field.attname: field.value_from_object(row) for field in row._meta.concrete_fields}
    for name in CHANGED:
        values.pop(name, None)
    if "text_embedding" in values:
        values["text_embedding"] = bool(values["text_embedding"])
    plain: dict[str, Any] = json.loads(json.dumps(values, default=datetime.isoformat))
    return plain


def without_ciphertext(values: dict[str, Any]) -> dict[str, Any]:
    """Ciphertexts differ between the two databases."""
    return {**values, "metadata": {key: value for key, value in values["metadata"].items() if key != "passport"}}


@pytest.mark.parametrize("model", MODELS)
def test_every_record_reads_back(before: str, model: str) -> None:
    """Every value of every field is as the old code read it, also in expired records; new fields are empty."""
    found = [as_read(row) for row in MODELS[model].using(ALIAS).order_by("pk")]
    for each in found if model == "MemoryItem" else ():
        assert {name: each.pop(name) for name in NEW} == NEW
    assert [without_ciphertext(each) for each in found] == [
        {name: value for name, value in without_ciphertext(each).items() if name not in CHANGED}
        for each in EXPECTED["records"][model]
    ]


def test_encrypted_values_decrypt(before: str) -> None:
    """With the key of then; rotating gives the same value under today's first key."""
    ciphertext = MemoryItem.objects.using(ALIAS).get(pk="secret").metadata["passport"]
    assert decrypt(ciphertext) == decrypt(rotate(ciphertext)) == "C01X00T47"


def test_items_are_found(before: str) -> None:
    """By words and by meaning, before and after they are indexed; expired ones and other users' are not."""
    items = MemoryItem.objects.using(ALIAS).for_user("ada")
    for _ in range(2):
        assert "talk-1" in {item.pk for item in items.search("oboe")[:2]}
        assert items.search("What musical talent does she have?")[0].pk in ("talk-0", "talk-1")
        assert "expired" not in {item.pk for item in items.search("gone")}
        call_command("memory_index", database=ALIAS)
    call_command("memory_index", check=True, database=ALIAS)


class Deferred(DeterministicEmbedder):
    """Embeds when items are indexed."""

    deferred = True


def test_vectors_are_made_anew(before: str, settings: Any) -> None:
    """Those of then were mixed with vectors of earlier turns; their items wait for `memory_embed`.

    With an embedder whose vectors only the index has no item waits.
    """
    assert pending.waiting(MemoryItem.all_objects.using(ALIAS), Deferred()) == []
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": "memory.search.embedders.static.StaticEmbedder"}
    stored = MemoryItem.objects.using(ALIAS).get(pk="talk-1")
    assert stored.embedding_model.endswith("+context1")
    waiting = pending.waiting(MemoryItem.all_objects.using(ALIAS), memory_settings.embedder)
    assert "talk-1" in [item.pk for some in waiting for item in some]
    call_command("memory_embed", database=ALIAS)
    again = MemoryItem.objects.using(ALIAS).get(pk="talk-1")
    assert again.embedding_model == model_name(memory_settings.embedder)
    assert again.text_embedding != stored.text_embedding


def test_records_are_updated(before: str) -> None:
    """A new text replaces the old one in search; the session follows its items."""
    item = MemoryItem.objects.using(ALIAS).get(pk="talk-1")
    item.text_content = "She plays the bassoon now."
    item.save()
    AgentData.objects.using(ALIAS).filter(pk="map").update(content={"replaced": True})
    MemoryItem.objects.using(ALIAS).create(
        id="later", user_id="ada", session_id="chat: 1/2", item_type="message", text_content="Bravo!"
    )
    assert "talk-1" in {item.pk for item in MemoryItem.objects.using(ALIAS).for_user("ada").search("bassoon")[:2]}
    assert AgentData.objects.using(ALIAS).get(pk="map").content == {"replaced": True}
    session = UserSession.objects.using(ALIAS).get()
    assert session.last_activity == MemoryItem.objects.using(ALIAS).get(pk="later").timestamp
    assert session.metadata == {"title": "Concert"}


def test_records_are_deleted(before: str) -> None:
    """A session with its conversation, and expired records; afterwards they are not found."""
    UserSession.objects.using(ALIAS).get().delete()
    assert MemoryItem.all_objects.using(ALIAS).purge() == 1
    assert set(MemoryItem.all_objects.using(ALIAS).values_list("pk", flat=True)) == {"secret", "values"}
    assert MemoryItem.objects.using(ALIAS).for_user("ada").search("oboe") == []


def test_unique_values_stay_taken(before: str) -> None:
    """The markers of then count: a name is refused while its owner is there, and free when it is gone."""
    users, groups = User.objects.using(ALIAS), Group.objects.using(ALIAS)
    assert users.get(username="ada").email == "ada@example.org"
    with pytest.raises(IntegrityError), transaction.atomic(using=ALIAS):
        users.create(username="ada")
    with pytest.raises(IntegrityError), transaction.atomic(using=ALIAS):
        groups.create(name="readers")
    groups.get(name="readers").delete()
    groups.create(name="readers")


@pytest.mark.parametrize("before", [pytest.param("firestore", marks=pytest.mark.firestore_emulator)], indirect=True)
def test_markers_are_those_of_today(before: str) -> None:
    """The audit finds the marker of every row where the code of today would write it, and no other."""
    call_command("firestore_constraints", "auth.User", "auth.Group", "auth.Permission", database=ALIAS, check=True)


NAMED_WITHOUT_AN_IMPORT = [
    *(f"memory.models.{name}" for name in ("AgentData", "UserSession")),
    *(f"memory.stores.{name}" for name in ("MemoryManager", "ConcreteMemoryManager")),
    *(f"memory.history.{name}" for name in ("recent", "arecent", "session", "asession", "session_by_id", "verify")),
    "memory.api.permissions.username",
    "memory.search.speakers.speaker_of",
    "memory.search.terms.LANGUAGES",
]


@pytest.mark.parametrize("name", sorted({*EXPECTED["names"], *NAMED_WITHOUT_AN_IMPORT}))
def test_documented_imports_work(name: str) -> None:
    """Everything that the old docs imported from the app exists; a moved module may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert import_string(name)
