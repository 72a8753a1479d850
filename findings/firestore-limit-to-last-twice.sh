#!/usr/bin/env bash
# google-cloud-firestore 2.34.1: a query with limit_to_last() returns its documents in the reverse order when it is run
# again.
#
# get() reverses the direction of the query's own order in place, and the list that it received: the first call sends
# DESCENDING and reverses the answer, the second one sends DESCENDING too but leaves the answer as it is. A query is
# documented as immutable: each method returns a new one. The server is on loopback and holds the notes 1 to 3.
# Output seen: "first [2, 3], second [3, 2]".
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

DESCENDING = types.StructuredQuery.Direction.DESCENDING


class Notes(grpc.GenericRpcHandler):
    """Answers a query that is ordered by `n` and limited."""

    def service(self, details):
        def run_query(request, context):
            asked = types.RunQueryRequest.deserialize(request)
            query = asked.structured_query
            order = query.order_by[0]
            assert order.field.field_path == "n"
            numbers = sorted((1, 2, 3), reverse=order.direction == DESCENDING)
            for number in numbers[: query.limit]:
                document = types.Document(
                    name=f"{asked.parent}/notes/{number}",
                    fields={"n": types.Value(integer_value=number)},
                    create_time=NOW,
                    update_time=NOW,
                )
                yield types.RunQueryResponse.serialize(types.RunQueryResponse(document=document, read_time=NOW))

        assert details.method.endswith("/RunQuery")
        return grpc.unary_stream_rpc_method_handler(run_query)


server = grpc.server(ThreadPoolExecutor(4), handlers=[Notes()])
os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()
from google.cloud import firestore

latest = firestore.Client(project="findings").collection("notes").order_by("n").limit_to_last(2)
first, second = ([document.get("n") for document in latest.get()] for _ in range(2))
print(f"first {first}, second {second}")
server.stop(None)
assert first == [2, 3]
assert second == [3, 2], "the second call was reversed in 2.34.1"
PY
