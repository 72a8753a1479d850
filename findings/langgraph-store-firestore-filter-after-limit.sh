#!/usr/bin/env bash
# langgraph-store-firestore 0.1.0: a search with a query and a filter finds nothing, though an item matches the filter.
#
# FirestoreStore takes the nearest 4 * limit items of the namespace and applies the filter to these. InMemoryStore
# (langgraph-checkpoint 4.3.2) applies the filter first. Needs gcloud's Firestore emulator (seen with 1.19.9).
# Output seen: "InMemoryStore ['rule'], FirestoreStore []".
set -euo pipefail
folder=$(mktemp -d)
emulator=
trap '[ -z "$emulator" ] || kill -- "-$emulator" || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  langgraph-store-firestore==0.1.0 langgraph-checkpoint==4.3.2 google-cloud-firestore==2.34.1 2>/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
set -m # the emulator gets a process group of its own
CLOUDSDK_CONFIG=$folder/gcloud gcloud emulators firestore start --quiet --host-port="127.0.0.1:$port" >"$folder/log" 2>&1 &
emulator=$!
set +m
until grep -q "Dev App Server is now running" "$folder/log"; do
  kill -0 "$emulator"
  sleep 1
done
export FIRESTORE_EMULATOR_HOST=127.0.0.1:$port
"$folder/venv/bin/python" - <<'PY'
from langgraph.store.memory import InMemoryStore
from langgraph_store_firestore import FirestoreStore


def embed(texts):
    return [[1.0, float(text.count("tea")), len(text) / 100] for text in texts]


def rules(store):
    for number in range(12):
        store.put(("notes",), f"note-{number}", {"text": f"tea tea {number}", "kind": "note"})
    store.put(("notes",), "rule", {"text": "Mate after lunch", "kind": "rule"})
    return [item.key for item in store.search(("notes",), query="tea", filter={"kind": "rule"}, limit=3)]


INDEX = {"dims": 3, "embed": embed, "fields": ["text"]}
one = rules(InMemoryStore(index=INDEX))
other = rules(FirestoreStore(project_id="findings", index=INDEX, create_index=False))
print(f"InMemoryStore {one}, FirestoreStore {other}")
assert one == ["rule"]
assert other == [], "the filter was applied after the limit in 0.1.0"
PY
