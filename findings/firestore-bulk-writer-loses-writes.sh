#!/usr/bin/env bash
# google-cloud-firestore 2.34.1: when a BatchWrite call itself fails, BulkWriter loses its writes without any sign: flush() and
# close() return, no callback is called, and no exception is raised.
#
# The callbacks cover the status of each write in a response. An error of the call (here PERMISSION_DENIED, from a server on
# loopback that refuses every call) ends in a future that nobody reads. DocumentReference.create() raises for the same error.
# Output seen: "create: PermissionDenied; bulk writer: 1 call refused, 0 errors reported, 0 exceptions".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check google-cloud-firestore==2.34.1 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.api_core.exceptions import PermissionDenied

calls = []


class RefuseAll(grpc.GenericRpcHandler):
    def service(self, details):
        def refuse(request, context):
            calls.append(details.method.rsplit("/", 1)[1])
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no writes here")

        return grpc.unary_unary_rpc_method_handler(refuse)


server = grpc.server(ThreadPoolExecutor(4), handlers=[RefuseAll()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{port}"
from google.cloud import firestore

client = firestore.Client(project="findings")
try:
    client.collection("notes").document("one").create({"text": "hello"})
    created = "no error"
except PermissionDenied as error:
    created = type(error).__name__

reported, raised = [], 0
writer = client.bulk_writer()
writer.on_batch_result(lambda batch, response, _: None)
writer.on_write_error(lambda failure, _: bool(reported.append(failure)))
try:
    writer.create(client.collection("notes").document("two"), {"text": "hello"})
    writer.flush()
    writer.close()
except Exception:
    raised += 1
refused = calls.count("BatchWrite")
print(f"create: {created}; bulk writer: {refused} call refused, {len(reported)} errors reported, {raised} exceptions")
server.stop(None)
assert created == "PermissionDenied"
assert refused == 1 and not reported and not raised, "BulkWriter reported nothing in 2.34.1"
PY
