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

from .models import Item, Plain


class FakeAdmin(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc is untyped
    """The Admin API's methods that deploying uses, over a dictionary; like the service, it lists `__name__` too."""

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
    """Where the command writes; the models are this package's."""
    monkeypatch.setattr(firestore_indexes.Command, "_models", lambda self, alias: [Item, Plain])
    return tmp_path / "firestore.indexes.json"


def run(file: Path, *arguments: str) -> str:
    out = io.StringIO()
    call_command(firestore_indexes.Command(), "--file", str(file), *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_write_check_and_drift(file: Path) -> None:
    """What was written passes the check; what lacks an entry fails it, names it, and is mended by writing."""
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
    """CI without the file is not green."""
    with pytest.raises(CommandError, match="lacks"):
        run(file, "--check")
    assert not file.exists()


def test_entries_that_somebody_added_stay(file: Path) -> None:
    """An index that was pasted from an error is kept."""
    added = {"collectionGroup": "x", "queryScope": "COLLECTION", "fields": [{"fieldPath": "a", "order": "ASCENDING"}]}
    own = {"collectionGroup": "x", "fieldPath": "long", "indexes": []}
    file.write_text(json.dumps({"indexes": [added], "fieldOverrides": [own]}))
    run(file)
    content = json.loads(file.read_text())
    assert added in content["indexes"]
    assert own in content["fieldOverrides"]


def test_a_broken_file_is_not_overwritten(file: Path) -> None:
    """The error says what to do, and the file stays as it was."""
    file.write_text("{")
    with pytest.raises(CommandError, match="fix or delete it"):
        run(file)
    assert file.read_text() == "{"


def target(fake: FakeAdmin) -> channel.Target:
    return channel.target({"HOST": fake.address, "PROJECT": "p"})


def test_deploying_creates_what_is_missing_and_nothing_twice(fake: FakeAdmin) -> None:
    """The second run has nothing to do; an index that somebody else made is not made again."""
    wanted = manifest.of_models([Item], manifest.Options(dimension=4))
    first = list(deploy.deploy(target(fake), wanted))
    assert len(first) == len(wanted.indexes) + 1
    parent = "projects/p/databases/(default)/collectionGroups/items"
    assert len(fake.indexes[parent]) == len(wanted.indexes)
    assert fake.fields[f"{parent}/fields/expiration"].HasField("ttl_config")
    assert fake.fields[f"{parent}/fields/expiration"].index_config.uses_ancestor_config
    assert list(deploy.deploy(target(fake), wanted)) == []


def test_a_faster_colleague_is_no_error(fake: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """ALREADY_EXISTS between list and create is what was wanted."""
    wanted = manifest.Manifest(manifest.of_models([Item], manifest.Options()).indexes[:1])
    list(deploy.deploy(target(fake), wanted))
    monkeypatch.setattr(fake, "_ListIndexes", lambda message, context: admin.ListIndexesResponse.pb()())
    assert list(deploy.deploy(target(fake), wanted)) == []
    assert fake.calls[-1] == "CreateIndex"


def test_an_override_of_indexing_is_set_once(fake: FakeAdmin) -> None:
    """A field that is exempted from indexing is so after one call."""
    override = {
        "collectionGroup": "x",
        "fieldPath": "long",
        "indexes": [{"order": "ASCENDING", "queryScope": "COLLECTION"}],
    }
    wanted = manifest.Manifest([], [override])
    assert list(deploy.deploy(target(fake), wanted)) == ["setting index_config of x.long"]
    assert list(deploy.deploy(target(fake), wanted)) == []


def use_databases(fake: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases as a project has them: SQLite first, and Firestore where the fake is."""
    databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "memory": {"ENGINE": firestore_indexes.ENGINE, "NAME": "(default)", "PROJECT": "p", "HOST": fake.address},
    }
    monkeypatch.setattr(firestore_indexes, "connections", ConnectionHandler(databases))


def test_the_command_deploys_the_configured_database(
    fake: FakeAdmin, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells each step, and that there is nothing to do the second time."""
    use_databases(fake, monkeypatch)
    assert "creating index items" in run(file, "--deploy")
    assert "nothing to do" in run(file, "--deploy")


def test_a_refusal_says_how_far_it_got(fake: FakeAdmin, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right role the error names what failed; on an engine that is not Firestore it says that."""
    use_databases(fake, monkeypatch)
    fake.fail = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(CommandError, match=r"failed after 0 steps.*PERMISSION_DENIED"):
        run(file, "--deploy")
    with pytest.raises(CommandError, match="needs a Firestore database"):
        run(file, "--deploy", "--database", "default")


def test_an_alias_that_is_none_is_named() -> None:
    """A typing error in --database does not silently mean all models."""
    with pytest.raises(CommandError, match="'nowhere' is not in DATABASES"):
        call_command(firestore_indexes.Command(), "--database", "nowhere")


def test_a_file_that_cannot_be_is_told(file: Path) -> None:
    """A sentence in place of a traceback, for one in no directory and for one that is a directory."""
    with pytest.raises(CommandError, match=r"cannot write .*: No such file or directory; use another --file"):
        run(file.parent / "absent" / file.name)
    with pytest.raises(CommandError, match=r"cannot read .*: Is a directory; use another --file"):
        run(file.parent)
