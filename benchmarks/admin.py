"""The admin at a million items: `python -m benchmarks.admin [--items 1000000] [--users 500] [--firestore]`.

Fills a new SQLite file (or a Firestore emulator that it starts) with items of many users, half of them of the last 30
days, and requests every page as a superuser. Prints for each page the CPU time of this process for the second request,
the queries, and on Firestore the RPCs and documents read. Rows are inserted by SQL where there is SQL, without vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from memory.testing.emulator import emulator

DAYS = 365
TYPES = ("message", "message", "message", "fact", "preference", "event")
WORDS = (
    "train",
    "piano",
    "garden",
    "recipe",
    "Lisbon",
    "meeting",
    "night",
    "invoice",
    "holiday",
    "doctor",
    "letter",
    "sun",
)
ROWS_AT_ONCE = 10_000
EMULATOR_SECONDS = 300
"""For a call: the emulator counts by reading the collection."""
SESSION = 40
"""Items of a session."""

ITEMS, SESSIONS = "/admin/memory/memoryitem/", "/admin/memory/usersession/"
PERSON = "user-007"


def pages(today: datetime) -> dict[str, str]:
    """The pages by name."""
    return {
        "dashboard": f"{ITEMS}dashboard/",
        "items": ITEMS,
        "items, last page": f"{ITEMS}?p=200",
        "items of a user": f"{ITEMS}?user_id={PERSON}",
        "items of a type": f"{ITEMS}?item_type=fact",
        "items of a day": f"{ITEMS}?timestamp_from={today:%Y-%m-%d}&timestamp_to={today:%Y-%m-%d}",
        "items, with counts": f"{ITEMS}?_facets=True",
        "items, by user": f"{ITEMS}?o=2",
        "sessions": SESSIONS,
        "people": f"{ITEMS}people/",
        "people, after a name": f"{ITEMS}people/?after=user-250",
        "people, part of a name": f"{ITEMS}people/?q=42",
        "names": f"{ITEMS}people/names/?q=user-1",
        "person": f"{ITEMS}people/{quote(PERSON)}/page/",
        "search": f"{ITEMS}search/?user={PERSON}&q=where+was+the+piano",
        "search in the list": f"{ITEMS}?q=user:{PERSON}+where+was+the+piano",
        "items of a role": f"{ITEMS}?role=critic",
        "items with a word": f"{ITEMS}?q=harpsichord",
        "items valid in 2020": f"{ITEMS}?as_of=2020-01-01",
        "items that expire in a week": f"{ITEMS}?expiring=week",
        "items that never expire": f"{ITEMS}?expiring=never",
        "conversation": f"{SESSIONS}{PERSON}_3As0/conversation/",
        "conversation, oldest": f"{SESSIONS}{PERSON}_3As0/conversation/?oldest=",
        "agent data": "/admin/memory/agentdata/",
        "app": "/admin/memory/",
    }


def rows(items: int, users: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Id, user, session, type, persona, text, metadata, time and expiration of each item."""
    chance = random.Random(7)
    for number in range(items):
        user = number % users
        turn = number // users
        ago = chance.random() * (30 if number % 2 else DAYS)
        moment = now - timedelta(days=ago)
        expiration = now + timedelta(days=chance.random() * 60 - 2) if number % 50 == 0 else None
        text = f"{chance.choice(WORDS)} {chance.choice(WORDS)} {number}"
        role = {"role": ("user", "assistant")[turn % 2]}
        session = f"s{turn // SESSION}"
        yield (
            f"{number:032x}", f"user-{user:03d}", session, TYPES[turn % len(TYPES)], None, text, role,
            moment, expiration
        )  # fmt: skip


def fill_sql(items: int, users: int, now: datetime) -> None:
    """By SQL."""
    from django.db import connections, transaction

    from memory.models import MemoryItem, UserSession

    names = ("id", "user_id", "session_id", "item_type", "persona_active", "text_content", "metadata", "timestamp",
             "expiration", "content_hash", "embedding_model", "written")  # fmt: skip
    of = MemoryItem._meta
    rest = [one for one in of.concrete_fields if one.name not in names and not one.null]
    defaults = [one.get_db_prep_save(one.get_default(), connections["memory"]) for one in rest]
    columns = ", ".join(f'"{of.get_field(name).column}"' for name in (*names, *(one.name for one in rest)))
    sql = f"INSERT INTO {of.db_table} ({columns}) VALUES ({', '.join(['%s'] * (len(names) + len(rest)))})"  # noqa: S608
    written = now.replace(tzinfo=None).isoformat(" ")
    found: dict[tuple[str, str], list[datetime]] = {}
    batch: list[tuple[Any, ...]] = []

    def as_sql(moment: datetime | None) -> str | None:
        return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ")

    with transaction.atomic(using="memory"), connections["memory"].cursor() as cursor:
        for row in rows(items, users, now):
            *first, metadata, moment, expiration = row
            found.setdefault((row[1], row[2]), []).append(moment)
            kept = (json.dumps(metadata), as_sql(moment), as_sql(expiration), "", "none", written)
            batch.append((*first, *kept, *defaults))
            if len(batch) == ROWS_AT_ONCE:
                cursor.executemany(sql, batch)
                batch.clear()
        cursor.executemany(sql, batch)
    add_sessions(found, UserSession)


def fill_firestore(items: int, users: int, now: datetime) -> None:
    """By the models."""
    from memory.models import MemoryItem

    names = ("id", "user_id", "session_id", "item_type", "persona_active", "text_content", "metadata", "timestamp",
             "expiration")  # fmt: skip
    batch: list[MemoryItem] = []
    for row in rows(items, users, now):
        batch.append(MemoryItem(**dict(zip(names, row, strict=True))))
        if len(batch) == 500:
            MemoryItem.objects.bulk_create(batch)
            batch = []
    MemoryItem.objects.bulk_create(batch)


def add_sessions(found: dict[tuple[str, str], list[datetime]], model: Any) -> None:
    """Their rows."""
    from django.db.models import QuerySet

    QuerySet(model, using="memory").bulk_create(
        [
            model(
                id=model.make_id(*both),
                user_id=both[0],
                session_id=both[1],
                started_at=min(times),
                last_activity=max(times),
            )
            for both, times in found.items()
        ],
        batch_size=500,
    )


def measure(client: Any, address: str) -> dict[str, Any]:
    """CPU and queries of the second request of a page."""
    from django.db import connections

    for _ in range(2):
        begin, wall = time.process_time(), time.perf_counter()
        response = client.get(address)
        body = b"".join(response) if response.streaming else response.content
        cpu, seconds = time.process_time() - begin, time.perf_counter() - wall
        assert response.status_code == 200, (address, response.status_code)
    found: list[dict[str, Any]] = []
    for connection in connections.all():  # counted in a third request, since logging costs time
        connection.force_debug_cursor = True
        connection.queries_log.clear()
    client.get(address)
    for connection in connections.all():
        found += list(connection.queries_log)
        connection.force_debug_cursor = False
    return {
        "cpu_ms": round(1_000 * cpu, 1),
        "wall_ms": round(1_000 * seconds, 1),
        "queries": len(found),
        "rpcs": sum(len(one.get("rpcs", ())) for one in found),
        "documents_read": sum(one.get("documents_read", 0) for one in found),
        "bytes": len(body),
    }


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--firestore", action="store_true")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "settings",
            "APP_ENV": "test",
            "ENV_FILE": os.devnull,
            "LOG_LEVEL": "ERROR",
            "DATABASE_URL": f"sqlite:///{folder}/default.sqlite3",
            "MEMORY_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
        }
        if given.firestore:
            os.environ |= {"FIRESTORE_EMULATOR_HOST": emulator(uuid.uuid4().hex), "MEMORY_DATABASE_URL": "",
                           "GCP_PROJECT_ID": f"benchmark-{uuid.uuid4().hex[:8]}"}  # fmt: skip
        run(given)


def run(given: argparse.Namespace) -> None:
    """With the databases that the environment names."""
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client

    from memory.search.packing import pack

    settings.ALLOWED_HOSTS = ["*"]
    if given.firestore:
        settings.MEMORY = {**settings.MEMORY, "EMBEDDER": None}
        settings.DATABASES["memory"]["OPTIONS"]["timeout"] = EMULATOR_SECONDS
    for alias in ("default", "memory"):
        call_command("migrate", database=alias, verbosity=0)
    now = datetime.now(UTC)
    begin = time.perf_counter()
    (fill_firestore if given.firestore else fill_sql)(given.items, given.users, now)
    print(f"{given.items:,} items of {given.users} users, filled in {time.perf_counter() - begin:.0f} s", flush=True)
    pack(PERSON, "memory")
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("admin"))
    print(f"{'page':26}{'CPU ms':>9}{'wall ms':>9}{'queries':>9}{'RPCs':>7}{'reads':>8}{'KiB':>7}")
    for name, address in pages(now).items():
        one = measure(client, address)
        print(f"{name:26}{one['cpu_ms']:9}{one['wall_ms']:9}{one['queries']:9}{one['rpcs']:7}"
              f"{one['documents_read']:8}{one['bytes'] // 1024:7}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
