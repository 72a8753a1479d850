#!/usr/bin/env bash
# google-cloud-firestore 2.34.1: a document with a reference to another database can be written, but not read.
#
# The client encodes a reference of another client's database, and Firestore stores it. Reading the document raises
# ValueError, whatever its other fields are, and so does each query and get_all() that returns it. The server is on
# loopback and returns what was written.
# Output seen: "written projects/findings/databases/archive/documents/notes/one, read ValueError".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check google-cloud-firestore==2.34.1 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import datetime
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.cloud.firestore_v1 import types

NOW = datetime.datetime.now(datetime.timezone.utc)


class Keep(grpc.GenericRpcHandler):
    """Keeps the document of a commit and returns it."""

    document = None

    def service(self, details):
        def commit(request, context):
            [write] = types.CommitRequest.deserialize(request).writes
            self.document = types.Document(
                name=write.update.name, fields=write.update.fields, create_time=NOW, update_time=NOW
            )
            result = types.WriteResult(update_time=NOW)
            return types.CommitResponse.serialize(types.CommitResponse(write_results=[result], commit_time=NOW))

        def get(request, context):
            answer = types.BatchGetDocumentsResponse(found=self.document, read_time=NOW)
            yield types.BatchGetDocumentsResponse.serialize(answer)

        if details.method.endswith("/Commit"):
            return grpc.unary_unary_rpc_method_handler(commit)
        assert details.method.endswith("/BatchGetDocuments")
        return grpc.unary_stream_rpc_method_handler(get)


handler = Keep()
server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()
from google.cloud import firestore

archive = firestore.Client(project="findings", database="archive")
note = firestore.Client(project="findings").collection("notes").document("two")
note.set({"text": "tea", "source": archive.collection("notes").document("one")})
written = handler.document.fields["source"].reference_value
try:
    read = note.get().to_dict()
except ValueError as error:
    assert "same database" in str(error), error
    read = type(error).__name__
print(f"written {written}, read {read}")
server.stop(None)
assert written == "projects/findings/databases/archive/documents/notes/one"
assert read == "ValueError", "a reference to another database raised in 2.34.1"
PY
