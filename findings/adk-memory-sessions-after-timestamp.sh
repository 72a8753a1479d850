#!/usr/bin/env bash
# google-adk 2.13.0: InMemorySessionService loses recent events of a session if one with an older time was appended
# after them.
#
# GetSessionConfig documents after_timestamp as "timestamp >= the given time". The service returns the events after the
# last one that is older, so an event from a machine whose clock is behind hides all before it. SqliteSessionService
# compares each event.
# Output seen: "InMemorySessionService [], SqliteSessionService ['first', 'second']".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check google-adk==2.13.0 2>/dev/null
"$folder/venv/bin/python" - "$folder/sessions.db" <<'PY'
import asyncio
import sys

from google.adk.events.event import Event
from google.adk.sessions import InMemorySessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

EVENTS = {"first": 1010.0, "second": 1020.0, "late": 1005.0}


async def since_1008(service):
    session = await service.create_session(app_name="guide", user_id="ada")
    for text, time in EVENTS.items():
        content = types.Content(role="user", parts=[types.Part(text=text)])
        await service.append_event(session, Event(author="user", content=content, timestamp=time))
    found = await service.get_session(
        app_name="guide", user_id="ada", session_id=session.id, config=GetSessionConfig(after_timestamp=1008.0)
    )
    return [event.content.parts[0].text for event in found.events]


async def main():
    return await since_1008(InMemorySessionService()), await since_1008(SqliteSessionService(sys.argv[1]))


one, other = asyncio.run(main())
print(f"InMemorySessionService {one}, SqliteSessionService {other}")
assert other == ["first", "second"]
assert one == [], "an older event hid those before it in 2.13.0"
PY
