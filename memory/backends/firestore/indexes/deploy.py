"""Creates missing indexes and field settings of a manifest through Firestore's Admin API. Never deletes any.

This needs roles/datastore.indexAdmin. Building an index takes minutes, even without documents. Until then, queries that
need it fail as if it were missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError
from google.cloud import firestore_admin_v1 as admin
from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport

from .. import errors
from ..rpc.channel import Target, credentials
from .derive import NAME, Definition
from .manifest import AUTOMATIC, Manifest

TIMEOUT: Final = 60.0
"""Seconds per call, including retries."""

_Field: Final = admin.Index.IndexField
SCOPES: Final[Mapping[str, Any]] = admin.Index.QueryScope.__members__
ARRAYS: Final[Mapping[str, Any]] = _Field.ArrayConfig.__members__
ORDERS: Final[Mapping[str, Any]] = _Field.Order.__members__


def client(target: Target) -> tuple[admin.FirestoreAdminClient, str]:
    """The Admin API's client, and the resource name of the target's database. Raises `ImproperlyConfigured`."""
    if target.emulator:
        channel, project = grpc.insecure_channel(target.emulator), target.project
    else:
        found, default = credentials(target)
        project = target.project or default or ""
        host = f"{FirestoreAdminGrpcTransport.DEFAULT_HOST}:443"
        channel = FirestoreAdminGrpcTransport.create_channel(host, credentials=found)
    made = admin.FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel))
    return made, f"projects/{project}/databases/{target.database}"


def deploy(target: Target, manifest: Manifest) -> Iterator[str]:
    """Creates what is missing, and yields a line per step. Raises Django's errors; earlier steps are not undone."""
    api, database = client(target)
    try:
        for collection in sorted({definition["collectionGroup"] for definition in manifest.indexes}):
            wanted = [definition for definition in manifest.indexes if definition["collectionGroup"] == collection]
            yield from _deploy_indexes(api, f"{database}/collectionGroups/{collection}", wanted)
        for override in manifest.overrides:
            yield from _deploy_override(api, database, override)
    except GoogleAPICallError as error:
        raise errors.map_error(error, f"deploying indexes to {database}") from error
    finally:
        api.transport.close()  # type: ignore[no-untyped-call]


def _deploy_indexes(api: admin.FirestoreAdminClient, parent: str, wanted: list[Definition]) -> Iterator[str]:
    present = {_index_key(index) for index in api.list_indexes(parent=parent, timeout=TIMEOUT)}
    for definition in wanted:
        index = to_index(definition)
        if _index_key(index) in present:
            continue
        try:
            api.create_index(parent=parent, index=index, timeout=TIMEOUT)
        except AlreadyExists:
            continue  # created concurrently by another client
        fields = ", ".join(map(_describe_field, definition["fields"]))
        yield f"creating index {definition['collectionGroup']} ({fields})"


def _deploy_override(api: admin.FirestoreAdminClient, database: str, override: Definition) -> Iterator[str]:
    name = f"{database}/collectionGroups/{override['collectionGroup']}/fields/{override['fieldPath']}"
    present = api.get_field(name=name, timeout=TIMEOUT)
    wanted, paths = admin.Field(name=name), []
    if override.get("ttl") and "ttl_config" not in present:
        wanted.ttl_config = admin.Field.TtlConfig()
        paths.append("ttl_config")
    if "indexes" in override and _differs(present, override["indexes"]):
        wanted.index_config = admin.Field.IndexConfig(
            indexes=[_single(single, override) for single in override["indexes"]]
        )
        paths.append("index_config")
    if paths:
        api.update_field(request={"field": wanted, "update_mask": {"paths": paths}}, timeout=TIMEOUT)
        yield f"setting {', '.join(paths)} of {override['collectionGroup']}.{override['fieldPath']}"


def _differs(present: admin.Field, indexes: list[dict[str, Any]]) -> bool:
    if present.index_config.uses_ancestor_config or "index_config" not in present:
        return indexes != [dict(single) for single in AUTOMATIC]
    wanted = {_index_key(_single(single, {"fieldPath": ""})) for single in indexes}
    found = {_index_key(_without_path(index)) for index in present.index_config.indexes}
    return wanted != found


def to_index(definition: Definition) -> admin.Index:
    """The Admin API's message for an entry of the manifest."""
    return admin.Index(
        query_scope=SCOPES[definition.get("queryScope", "COLLECTION")],
        fields=[_field(field) for field in definition["fields"]],
    )


def _single(single: dict[str, Any], override: Definition) -> admin.Index:
    scope = SCOPES[single.get("queryScope", "COLLECTION")]
    return admin.Index(query_scope=scope, fields=[_field({**single, "fieldPath": override["fieldPath"]})])


def _without_path(index: admin.Index) -> admin.Index:
    made = admin.Index(index)
    for field in made.fields:
        field.field_path = ""
    return made


def _field(field: dict[str, Any]) -> admin.Index.IndexField:
    made = admin.Index.IndexField(field_path=field["fieldPath"])
    if "vectorConfig" in field:
        flat = admin.Index.IndexField.VectorConfig.FlatIndex()
        made.vector_config = admin.Index.IndexField.VectorConfig(
            dimension=field["vectorConfig"]["dimension"], flat=flat
        )
    elif "arrayConfig" in field:
        made.array_config = ARRAYS[field["arrayConfig"]]
    else:
        made.order = ORDERS[field["order"]]
    return made


def _index_key(index: admin.Index) -> tuple[Any, ...]:
    """A key that is the same for equal indexes. The service appends `__name__` to the indexes that it lists."""
    fields = [
        (field.field_path, int(field.order), int(field.array_config), field.vector_config.dimension)
        for field in index.fields
    ]
    if len(fields) > 1 and fields[-1][0] == NAME:
        fields.pop()
    return (int(index.query_scope), *fields)


def _describe_field(field: dict[str, Any]) -> str:
    how = field.get("order") or field.get("arrayConfig") or f"vector {field['vectorConfig']['dimension']}"
    return f"{field['fieldPath']} {how.lower()}"
