"""Makes the stored forms in `data/` with the code of another checkout, usually of the release before.

    git worktree add ../before 9415e01
    .venv/bin/python tests/compatibility/make.py ../before

It writes, beside this file:

    data/memory.sqlite3   a database of SQLite, migrated and filled by that code
    data/firestore.json   the documents of the same records on Firestore, as protobuf's JSON, read past the engine
    data/expected.json    the records as that code reads them, and the public names that its docs import

The test compares what the code of today reads with `expected.json`. It needs Firestore's emulator.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
PROJECT = "before"
KEY = "n4PjAzbqDLZ3WcYkbq0dvh4CkxwzBPHcUzNqCyVUpfA="  # of these fixtures alone
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
APPS = ["django.contrib.contenttypes", "django.contrib.auth", "memory"]
TALK = [
    ("user", "Which instrument does your sister play?"),
    ("assistant", "The oboe. She practises every evening beside the harbour."),
    ("user", "Wie hat Ihnen das Konzert gefallen? Schön war's."),
]
VALUES: dict[str, Any] = {
    "nested": [[1, [2.5, None]], {"deep": {"deeper": [True, False, ""]}}],
    "large": 2**70,
    "negative": -(2**63),
    "float": 0.1,
    "zero": -0.0,
    "2024": "a key of digits",
    "__reserved__": "a key that Firestore reserves",
    "": "an empty key",
    "quote`.": "a key that a path must quote",
    "empty": {"list": [], "map": {}},
    "text": "naïve 🎻 \u0000 end",
}


def configure(firestore: str | None, file: Path) -> None:
    """Django with the memory's app on one database."""
    import django
    from django.conf import settings

    options = {"ENGINE": "memory.backends.firestore", "HOST": firestore, "PROJECT": PROJECT}
    database = {"ENGINE": "memory.backends.sqlite", "NAME": str(file)} if firestore is None else options
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=APPS,
        MEMORY={"ENCRYPTION_KEYS": [KEY], "CACHE": None},
        USE_TZ=True,
        SECRET_KEY="of these fixtures alone",
    )
    django.setup()


def write() -> None:
    """The records: of each model, with each kind of value."""
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    from memory.encryption import encrypt
    from memory.models import AgentData, MemoryItem, UserSession

    call_command("migrate", verbosity=0)
    User.objects.create_user("ada", "ada@example.org", "a password")
    Group.objects.create(name="readers")
    for number, (role, text) in enumerate(TALK):
        MemoryItem.objects.create(
            id=f"talk-{number}",
            user_id="ada",
            session_id="chat: 1/2",
            item_type="message",
            timestamp=START + timedelta(minutes=number),
            text_content=text,
            metadata={"role": role},
        )
    MemoryItem.objects.create(
        id="values",
        user_id="ada",
        item_type="fact",
        timestamp=START,
        metadata=VALUES,
        embedding=[0.1, -2.0, 3e-300],
        persona_active="tutor",
        expiration=datetime(2999, 1, 1, tzinfo=UTC),
    )
    MemoryItem.objects.create(
        id="expired", user_id="ada", item_type="fact", timestamp=START, expiration=START, text_content="gone"
    )
    MemoryItem.objects.create(
        id="secret", user_id="eve", item_type="fact", timestamp=START, metadata={"passport": encrypt("C01X00T47")}
    )
    AgentData.objects.create(id="map", agent_id="planner", data_type="plan", timestamp=START, content=VALUES)
    AgentData.objects.create(id="text", agent_id="planner", data_type="note", timestamp=START, content="plain")
    AgentData.objects.create(id="null", agent_id="planner", data_type="note", timestamp=START)
    UserSession.objects.filter(user_id="ada").update(metadata={"title": "Concert"})


def records() -> dict[str, list[dict[str, Any]]]:
    """All records of the app as its own code reads them; computed search data counts as present or not."""
    from memory.models import AgentData, MemoryItem, UserSession

    found: dict[str, list[dict[str, Any]]] = {}
    for model, manager in (
        (MemoryItem, MemoryItem.all_objects),
        (AgentData, AgentData.all_objects),
        (UserSession, UserSession.objects),
    ):
        found[model.__name__] = [
            {
                field.attname: bool(value) if field.attname == "text_embedding" else value
                for field, value in ((field, field.value_from_object(row)) for field in model._meta.concrete_fields)
            }
            for row in manager.order_by("pk")
        ]
    plain: dict[str, list[dict[str, Any]]] = json.loads(json.dumps(found, default=datetime.isoformat))
    return plain


def raw_client(address: str) -> Any:
    """Google's client of the emulator, without the engine."""
    import grpc
    from google.cloud.firestore_v1.services.firestore import FirestoreClient
    from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

    return FirestoreClient(transport=FirestoreGrpcTransport(channel=grpc.insecure_channel(address)))


def documents(address: str) -> Iterator[dict[str, Any]]:
    """Every document of the project, past the engine."""
    from google.protobuf.json_format import MessageToDict

    api, parent = raw_client(address), f"projects/{PROJECT}/databases/(default)/documents"
    owner = [("authorization", "Bearer owner")]  # the emulator's administrator, who may list collections
    for collection in sorted(api.list_collection_ids(request={"parent": parent}, metadata=owner)):
        request = {"parent": parent, "collection_id": collection}
        for document in api.list_documents(request=request, metadata=owner):
            raw = MessageToDict(type(document).pb(document))
            yield {"path": raw["name"].removeprefix(f"{parent}/"), "fields": raw.get("fields", {})}


def public_names(checkout: Path) -> list[str]:
    """Dotted names of the app in the docs: what snippets import, and classes that the text or a setting names."""
    found: set[str] = set()
    for file in (checkout / "README.md", *(checkout / "docs").glob("*.md")):
        text = file.read_text()
        found |= set(re.findall(r"\bmemory(?:\.[a-z_]+)+\.[A-Z]\w+", text))
        for module, names in re.findall(r"^ *from (memory[\w.]*) import ([\w, ]+)", text, re.MULTILINE):
            found |= {f"{module}.{name.split(' as ')[0].strip()}" for name in names.split(",")}
    return sorted(found)


def _shrink(file: Path) -> None:
    """Small pages: most of the tables are nearly empty."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute("VACUUM")
    connection.close()


def main(checkout: Path, engine: str) -> None:
    """Write the fixtures of one engine; each needs a process of its own, since Django is configured once."""
    sys.path.insert(0, str(checkout))
    file = DATA / "memory.sqlite3"
    if engine == "sqlite":
        file.unlink(missing_ok=True)
        configure(None, file)
        write()
        _shrink(file)
        found = {"records": records(), "names": public_names(checkout)}
        (DATA / "expected.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        return
    from memory.testing.emulator import emulator

    address = emulator(uuid.uuid4().hex)
    configure(address, file)
    write()
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in documents(address))
    (DATA / "firestore.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    import subprocess

    where = Path(sys.argv[1]).resolve()
    if len(sys.argv) > 2:
        main(where, sys.argv[2])
    else:
        DATA.mkdir(exist_ok=True)
        for name in ("sqlite", "firestore"):
            subprocess.run([sys.executable, __file__, str(where), name], check=True, cwd=where)
