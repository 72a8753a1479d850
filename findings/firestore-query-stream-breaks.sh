#!/usr/bin/env bash
# google-cloud-firestore 2.34.1: a query whose stream breaks off after some documents raises AttributeError in the sync
# client.
#
# The client looks for its retry policy at a place where the transport has none. The error hides the one of the service,
# and the query is not resumed. The async client raises ServiceUnavailable. With an explicit retry, the sync one resumes
# after the last document. The server is on loopback and ends the first stream with UNAVAILABLE after one of two
# documents. https://github.com/googleapis/python-firestore/issues/596
# Output seen: "sync AttributeError, sync with retry ['a', 'b'], async ServiceUnavailable".
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


class BreakOff(grpc.GenericRpcHandler):
    """Sends the documents a and b, or those after a cursor; the first stream after `broken = False` ends after a."""

    broken = False

    def service(self, details):
        def run_query(request, context):
            query = types.RunQueryRequest.deserialize(request)
            for name in "b" if query.structured_query.start_at.values else "ab":
                document = types.Document(name=f"{query.parent}/notes/{name}", create_time=NOW, update_time=NOW)
                yield types.RunQueryResponse.serialize(types.RunQueryResponse(document=document, read_time=NOW))
                if not self.broken:
                    self.broken = True
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the connection is gone")

        assert details.method.endswith("/RunQuery")
        return grpc.unary_stream_rpc_method_handler(run_query)


handler = BreakOff()
server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()

import asyncio

from google.api_core.exceptions import ServiceUnavailable
from google.api_core.retry import Retry, if_exception_type
from google.cloud import firestore

notes = firestore.Client(project="findings").collection("notes").order_by("__name__")


def sync(**options):
    handler.broken = False
    try:
        return [document.id for document in notes.stream(**options)]
    except (AttributeError, ServiceUnavailable) as error:
        return type(error).__name__


async def of_async_client():
    handler.broken = False
    notes = firestore.AsyncClient(project="findings").collection("notes").order_by("__name__")
    try:
        return [document.id async for document in notes.stream()]
    except (AttributeError, ServiceUnavailable) as error:
        return type(error).__name__


default = sync()
explicit = sync(retry=Retry(predicate=if_exception_type(ServiceUnavailable), timeout=30))
other = asyncio.run(of_async_client())
print(f"sync {default}, sync with retry {explicit}, async {other}")
server.stop(None)
assert default == "AttributeError", "a broken stream raised AttributeError in 2.34.1"
assert explicit == ["a", "b"] and other == "ServiceUnavailable"
PY
