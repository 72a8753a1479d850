#!/usr/bin/env bash
# langchain-google-firestore 0.5.0: add_texts() stores nothing of a generator, and reports no error.
#
# The texts are annotated as Iterable[str]. add_texts() counts them by list(texts), which consumes the generator, and
# then writes what is left. The server is on loopback and counts calls.
# Output seen: "list: 2 ids, 1 call; generator: 0 ids, 0 calls".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  langchain-google-firestore==0.5.0 google-cloud-firestore==2.34.1 google-cloud-storage==2.19.0 langchain-core==0.3.86 \
  langchain-community==0.3.31 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import datetime
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.cloud.firestore_v1 import types

NOW = datetime.datetime.now(datetime.timezone.utc)


class Accept(grpc.GenericRpcHandler):
    calls = 0

    def service(self, details):
        def commit(request, context):
            self.calls += 1
            results = [types.WriteResult(update_time=NOW) for _ in types.CommitRequest.deserialize(request).writes]
            return types.CommitResponse.serialize(types.CommitResponse(write_results=results, commit_time=NOW))

        assert details.method.endswith("/Commit")
        return grpc.unary_unary_rpc_method_handler(commit)


handler = Accept()
server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()
from google.cloud import firestore
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_google_firestore import FirestoreVectorStore

client = firestore.Client(project="findings")
store = FirestoreVectorStore("texts", DeterministicFakeEmbedding(size=3), client=client)


def added(texts):
    handler.calls = 0
    return len(store.add_texts(texts)), handler.calls


listed = added(["green tea", "coffee"])
generated = added(text for text in ("green tea", "coffee"))
print(f"list: {listed[0]} ids, {listed[1]} call; generator: {generated[0]} ids, {generated[1]} calls")
server.stop(None)
assert listed == (2, 1)
assert generated == (0, 0), "nothing of a generator was stored in 0.5.0"
PY
