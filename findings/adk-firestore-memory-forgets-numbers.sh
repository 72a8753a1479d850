#!/usr/bin/env bash
# google-adk 2.13.0: FirestoreMemoryService finds nothing by a number.
#
# Its words are runs of the letters a to z, of texts and of questions. A text that consists of numbers is not stored at
# all, and a number in a question is ignored. InMemoryMemoryService finds both. Needs gcloud's Firestore emulator (seen
# with 1.19.9).
# Output seen: "InMemoryMemoryService: by number 1, by word 1; FirestoreMemoryService: by number 0, by word 1".
set -euo pipefail
folder=$(mktemp -d)
emulator=
trap '[ -z "$emulator" ] || kill -- "-$emulator" || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check google-adk==2.13.0 google-cloud-firestore==2.34.1 2>/dev/null
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
import asyncio
import sys
import warnings

warnings.simplefilter("ignore")  # the services are marked as experimental

from google.adk.events.event import Event
from google.adk.integrations.firestore import FirestoreMemoryService
from google.adk.memory import InMemoryMemoryService
from google.adk.sessions import Session
from google.cloud import firestore
from google.genai import types


async def found(service):
    content = types.Content(role="user", parts=[types.Part(text="The parcel has the number 4711")])
    event = Event(author="user", content=content, timestamp=1000.0)
    await service.add_session_to_memory(Session(id="trip", app_name="guide", user_id="ada", events=[event]))
    answers = [await service.search_memory(app_name="guide", user_id="ada", query=query) for query in ("4711", "parcel")]
    return [len(answer.memories) for answer in answers]


async def main():
    client = firestore.AsyncClient(project="findings")
    return await found(InMemoryMemoryService()), await found(FirestoreMemoryService(client=client))


one, other = asyncio.run(main())
print("; ".join(
    f"{name}: by number {number}, by word {word}"
    for name, (number, word) in {"InMemoryMemoryService": one, "FirestoreMemoryService": other}.items()
))
assert one == [1, 1]
assert other == [0, 1], "a number found nothing in 2.13.0"
PY
