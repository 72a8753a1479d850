#!/usr/bin/env bash
# langgraph-checkpoint-firestore 0.4.0: deleting the thread "trip" deletes the thread "trip_2027" too.
#
# A thread's documents are found by the prefix "trip_" of their ids, which "trip_2027" has as well. copy_thread() and
# prune() find threads in the same way. InMemorySaver (langgraph-checkpoint 4.3.2) compares whole ids. Needs gcloud's
# Firestore emulator (seen with 1.19.9).
# Output seen: "left after delete_thread('trip'): InMemorySaver ['trip_2027'], FirestoreSaver []".
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


def config_of(thread):
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def left(saver):
    threads = ("trip", "trip_2027")
    for thread in threads:
        saver.put(config_of(thread), empty_checkpoint(), {"source": "input", "step": -1, "parents": {}}, {})
    assert all(saver.get_tuple(config_of(thread)) for thread in threads)
    saver.delete_thread("trip")
    return [thread for thread in threads if saver.get_tuple(config_of(thread))]


one, other = left(InMemorySaver()), left(FirestoreSaver("findings"))
print(f"left after delete_thread('trip'): InMemorySaver {one}, FirestoreSaver {other}")
assert one == ["trip_2027"]
assert other == [], "threads whose ids start alike were deleted together in 0.4.0"
PY
