"""`firestore_indexes`: the file, the check, and the deployment to a fake of the Admin API on localhost."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.utils import ConnectionHandler
from google.cloud import firestore_admin_v1 as admin
from google.longrunning import operations_pb2

from memory.backends.firestore.indexes import deploy, manifest
from memory.backends.firestore.management.commands import firestore_indexes
from memory.backends.firestore.rpc import channel
from tests.engine.indexes.models import Item, Plain


class FakeAdmin(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc is untyped
    """A fake of the Admin API's methods used by the command. Like the service, it appends `__name__` to indexes."""

    def __init__(self) -> None:
        self.indexes: dict[str, list[Any]] = {}
        self.fields: dict[str, Any] = {}
        self.calls: list[str] = []
        self.fail: grpc.StatusCode | None = None
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        name = details.method.rsplit("/", 1)[1]
        types = {
            "ListIndexes": admin.ListIndexesRequest,
            "CreateIndex": admin.CreateIndexRequest,
            "GetField": admin.GetFieldRequest,
            "UpdateField": admin.UpdateFieldRequest,
        }
        if name not in types:
            return None
        request = types[name].pb()
        return grpc.unary_unary_rpc_method_handler(
            lambda message, context: self._answer(name, message, context),
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _answer(self, name: str, message: Any, context: Any) -> Any:
        self.calls.append(name)
        if self.fail is not None:
            context.abort(self.fail, "no")
        return getattr(self, f"_{name}")(message, context)

    def _ListIndexes(self, message: Any, context: Any) -> Any:  # noqa: N802
        return admin.ListIndexesResponse.pb()(indexes=self.indexes.get(message.parent, []))

    def _CreateIndex(self, message: Any, context: Any) -> Any:  # noqa: N802
        stored = admin.Index.pb()()
        stored.CopyFrom(message.index)
        if not stored.fields[-1].HasField("vector_config"):
            stored.fields.add(field_path="__name__", order=stored.fields[-1].order or 1)
        present = self.indexes.setdefault(message.parent, [])
        if stored in present:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "index already exists")
        present.append(stored)
        return operations_pb2.Operation(name="operations/1")

    def _GetField(self, message: Any, context: Any) -> Any:  # noqa: N802
        default = admin.Field.pb()(name=message.name)
        default.index_config.uses_ancestor_config = True
        return self.fields.get(message.name, default)

    def _UpdateField(self, message: Any, context: Any) -> Any:  # noqa: N802
        stored = self._GetField(message.field, context)
        for path in message.update_mask.paths:
            getattr(stored, path).CopyFrom(getattr(message.field, path))
            getattr(stored, path).SetInParent()
        self.fields[message.field.name] = stored
        return operations_pb2.Operation(name="operations/2")


@pytest.fixture
def fake() -> Iterator[FakeAdmin]:
    made = FakeAdmin()
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the file. The models are those of this package."""
    monkeypatch.setattr(firestore_indexes.Command, "_models", lambda self, alias: [Item, Plain])
    return tmp_path / "firestore.indexes.json"


def run(file: Path, *arguments: str) -> str:
    out = io.StringIO()
    call_command(firestore_indexes.Command(), "--file", str(file), *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_write_check_and_drift(file: Path) -> None:
    """A written file passes the check. A missing entry fails it and is named, and writing adds it."""
    assert "new entries" in run(file)
    assert "is complete" in run(file, "--check")
    content = json.loads(file.read_text())
    content["indexes"].pop()
    file.write_text(json.dumps(content))
    with pytest.raises(CommandError, match="lacks 1 entries"):
        run(file, "--check")
    assert len(json.loads(file.read_text())["indexes"]) == len(content["indexes"])
    run(file)
    run(file, "--check")


def test_a_missing_file_fails_the_check(file: Path) -> None:
    """So that CI fails without the file."""
    with pytest.raises(CommandError, match="lacks"):
        run(file, "--check")
    assert not file.exists()


def test_other_entries_are_kept(file: Path) -> None:
    """For example an index copied from an error message."""
    added = {"collectionGroup": "x", "queryScope": "COLLECTION", "fields": [{"fieldPath": "a", "order": "ASCENDING"}]}
    own = {"collectionGroup": "x", "fieldPath": "long", "indexes": []}
    file.write_text(json.dumps({"indexes": [added], "fieldOverrides": [own]}))
    run(file)
    content = json.loads(file.read_text())
    assert added in content["indexes"]
    assert own in content["fieldOverrides"]


def test_a_broken_file_is_not_overwritten(file: Path) -> None:
    """The error says what to do, and the file is not changed."""
    file.write_text("{")
    with pytest.raises(CommandError, match="fix or delete it"):
        run(file)
    assert file.read_text() == "{"


def target(fake: FakeAdmin) -> channel.Target:
    return channel.target({"HOST": fake.address, "PROJECT": "p"})


def test_deploying_creates_missing_indexes_once(fake: FakeAdmin) -> None:
    """The second run does nothing, and existing indexes are not created again."""
    wanted = manifest.of_models([Item], manifest.Options(dimension=4))
    first = list(deploy.deploy(target(fake), wanted))
    assert len(first) == len(wanted.indexes) + 1
    parent = "projects/p/databases/(default)/collectionGroups/items"
    assert len(fake.indexes[parent]) == len(wanted.indexes)
    assert fake.fields[f"{parent}/fields/expiration"].HasField("ttl_config")
    assert fake.fields[f"{parent}/fields/expiration"].index_config.uses_ancestor_config
    assert list(deploy.deploy(target(fake), wanted)) == []


def test_an_index_created_concurrently_is_not_an_error(fake: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """ALREADY_EXISTS after the list is ignored."""
    wanted = manifest.Manifest(manifest.of_models([Item], manifest.Options()).indexes[:1])
    list(deploy.deploy(target(fake), wanted))
    monkeypatch.setattr(fake, "_ListIndexes", lambda message, context: admin.ListIndexesResponse.pb()())
    assert list(deploy.deploy(target(fake), wanted)) == []
    assert fake.calls[-1] == "CreateIndex"


def test_an_override_of_indexing_is_set_once(fake: FakeAdmin) -> None:
    """A field's exemption from indexing is set by one call."""
    override = {
        "collectionGroup": "x",
        "fieldPath": "long",
        "indexes": [{"order": "ASCENDING", "queryScope": "COLLECTION"}],
    }
    wanted = manifest.Manifest([], [override])
    assert list(deploy.deploy(target(fake), wanted)) == ["setting index_config of x.long"]
    assert list(deploy.deploy(target(fake), wanted)) == []


def use_databases(fake: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets DATABASES to an SQLite database and the fake Firestore."""
    databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "memory": {"ENGINE": firestore_indexes.ENGINE, "NAME": "(default)", "PROJECT": "p", "HOST": fake.address},
    }
    monkeypatch.setattr(firestore_indexes, "connections", ConnectionHandler(databases))


def test_the_command_deploys_the_configured_database(
    fake: FakeAdmin, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints each step, and the second time that there is nothing to do."""
    use_databases(fake, monkeypatch)
    assert "creating index items" in run(file, "--deploy")
    assert "nothing to do" in run(file, "--deploy")


def test_an_error_contains_the_completed_steps(fake: FakeAdmin, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without permission the error contains the cause. On other engines the error says so."""
    use_databases(fake, monkeypatch)
    fake.fail = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(CommandError, match=r"failed after 0 steps.*PERMISSION_DENIED"):
        run(file, "--deploy")
    with pytest.raises(CommandError, match="needs a Firestore database"):
        run(file, "--deploy", "--database", "default")


def test_an_unknown_alias_is_an_error() -> None:
    """A misspelled --database does not select all models."""
    with pytest.raises(CommandError, match="'nowhere' is not in DATABASES"):
        call_command(firestore_indexes.Command(), "--database", "nowhere")


def test_an_unusable_file_path_is_a_command_error(file: Path) -> None:
    """A message instead of a traceback, for a missing directory and for a path that is a directory."""
    with pytest.raises(CommandError, match=r"cannot write .*: No such file or directory; use another --file"):
        run(file.parent / "absent" / file.name)
    with pytest.raises(CommandError, match=r"cannot read .*: Is a directory; use another --file"):
        run(file.parent)
