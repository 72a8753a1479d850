#!/usr/bin/env bash
# langchain-google-firestore 0.5.0: add_texts() writes the 501st text over the first, with the metadata of the first.
#
# Texts are written in batches of 500. The ids and the metadata are taken by the place of a text in its batch, so each
# further batch starts with the first id again. The server is on loopback and keeps what is written.
# Output seen: "501 texts, 500 documents; id-0: text 500, metadata {'number': 0}; id-500 missing".
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


class Keep(grpc.GenericRpcHandler):
    def __init__(self):
        self.documents = {}

    def service(self, details):
        def commit(request, context):
            writes = types.CommitRequest.deserialize(request).writes
            self.documents |= {write.update.name.rsplit("/", 1)[1]: write.update.fields for write in writes}
            results = [types.WriteResult(update_time=NOW) for _ in writes]
            return types.CommitResponse.serialize(types.CommitResponse(write_results=results, commit_time=NOW))

        assert details.method.endswith("/Commit")
        return grpc.unary_unary_rpc_method_handler(commit)


handler = Keep()
server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()
from google.cloud import firestore
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_google_firestore import FirestoreVectorStore

client = firestore.Client(project="findings")
store = FirestoreVectorStore("texts", DeterministicFakeEmbedding(size=2), client=client)
numbers = range(501)
store.add_texts(
    [f"text {number}" for number in numbers],
    metadatas=[{"number": number} for number in numbers],
    ids=[f"id-{number}" for number in numbers],
)
first = handler.documents["id-0"]
text, metadata = first["content"].string_value, first["metadata"].map_value.fields["number"].integer_value
last = "stored" if "id-500" in handler.documents else "missing"
print(f"501 texts, {len(handler.documents)} documents; id-0: {text}, metadata {{'number': {metadata}}}; id-500 {last}")
server.stop(None)
assert len(handler.documents) == 500 and last == "missing"
assert (text, metadata) == ("text 500", 0), "the 501st text was written over the first in 0.5.0"
PY
