#!/usr/bin/env bash
# langgraph-checkpoint-firestore 0.4.0: a task's pending writes come back in the order of their numbers' texts.
#
# FirestoreSaver sorts the index of a write as text: 0, 1, 10, 11, 2. A channel that collects values gets them in this
# order when the graph resumes. InMemorySaver (langgraph-checkpoint 4.3.2) keeps the order. Needs gcloud's Firestore
# emulator (seen with 1.19.9).
# Output seen: "InMemorySaver 0 1 2 3 4 5 6 7 8 9 10 11, FirestoreSaver 0 1 10 11 2 3 4 5 6 7 8 9".
set -euo pipefail
folder=$(mktemp -d)
emulator=
trap '[ -z "$emulator" ] || kill -- "-$emulator" || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  langgraph-checkpoint-firestore==0.4.0 langgraph-checkpoint==4.3.2 google-cloud-firestore==2.34.1 2>/dev/null
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
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_checkpoint_firestore import FirestoreSaver


def pending(saver):
    config = {"configurable": {"thread_id": "trip", "checkpoint_ns": ""}}
    config = saver.put(config, empty_checkpoint(), {"source": "input", "step": -1, "parents": {}}, {})
    saver.put_writes(config, [("places", number) for number in range(12)], "task")
    return [value for _, _, value in saver.get_tuple(config).pending_writes]


one, other = pending(InMemorySaver()), pending(FirestoreSaver("findings"))
print(f"InMemorySaver {' '.join(map(str, one))}, FirestoreSaver {' '.join(map(str, other))}")
assert one == list(range(12))
assert other == sorted(range(12), key=str), "writes were sorted as text in 0.4.0"
PY
