#!/usr/bin/env bash
# google-adk 2.13.0: an event with a list of lists, such as the arguments of a tool call, cannot be appended to a
# session in Firestore.
#
# Firestore stores no array directly in an array (https://firebase.google.com/docs/firestore/manage-data/data-types).
# FirestoreSessionService stores an event as maps and arrays, and the commit fails with InvalidArgument.
# SqliteSessionService stores the event. Needs gcloud's Firestore emulator (seen with 1.19.9).
# Output seen: "SqliteSessionService: 1 event, FirestoreSessionService: InvalidArgument".
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
"$folder/venv/bin/python" - "$folder/sessions.db" <<'PY'
import asyncio
import sys
import warnings

warnings.simplefilter("ignore")  # the services are marked as experimental

from google.adk.events.event import Event
from google.adk.integrations.firestore import FirestoreSessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.api_core.exceptions import InvalidArgument
from google.cloud import firestore
from google.genai import types


async def appended(service):
    session = await service.create_session(app_name="guide", user_id="ada")
    call = types.FunctionCall(name="draw_route", args={"points": [[59.9, 10.7], [60.4, 5.3]]})
    content = types.Content(role="model", parts=[types.Part(function_call=call)])
    try:
        await service.append_event(session, Event(author="guide", content=content))
    except InvalidArgument as error:
        return type(error).__name__
    found = await service.get_session(app_name="guide", user_id="ada", session_id=session.id)
    assert found.events[0].content.parts[0].function_call.args == call.args
    return f"{len(found.events)} event"


async def main():
    client = firestore.AsyncClient(project="findings")
    return await appended(SqliteSessionService(sys.argv[1])), await appended(FirestoreSessionService(client=client))


one, other = asyncio.run(main())
print(f"SqliteSessionService: {one}, FirestoreSessionService: {other}")
assert one == "1 event"
assert other == "InvalidArgument", "a list of lists was refused in 2.13.0"
PY
