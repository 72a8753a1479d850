"""A turn of a Google ADK agent, beside ADK's own Firestore session service: one emulator, one run, in turns.

    python -m benchmarks.adk [--turns 100]

A turn is what ADK's runner does: it reads the session with all its events, appends the user's event and the agent's,
which changes the state of the session and of the user. A proxy counts what Firestore bills, and costs all the same
time. Needs the packages of requirements-adapters.txt and redis-server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
import uuid
import warnings
from dataclasses import dataclass, field
from typing import Any

import django
from django.conf import settings
from django.test import override_settings

from memory.testing import emulator
from memory.testing.redis import RedisServer
from tests.faults.meter import Meter

PROJECT = f"adk-{uuid.uuid4().hex[:8]}"
WHO: dict[str, Any] = {"app_name": "guide", "user_id": "ada"}
TEXT = "We met at the station and talked about the trip to the mountains in May. "
LAST = 5
WITHOUT_CACHE = "orchestra-memory, no cache"


@dataclass
class Tally:
    """Documents read and written, calls, and seconds, one entry a turn."""

    read: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def configure(address: str, redis_url: str) -> None:
    """All clients use the emulator at this address."""
    warnings.filterwarnings("ignore")
    os.environ |= {"FIRESTORE_EMULATOR_HOST": address, "GOOGLE_CLOUD_PROJECT": PROJECT}
    engine = {"ENGINE": "memory.backends.firestore", "HOST": address, "PROJECT": PROJECT, "OPTIONS": {"timeout": 60}}
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "memory"],
        DATABASES={"default": engine},
        CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}},
        USE_TZ=True,
    )
    django.setup()


def services() -> dict[str, Any]:
    """The services, each with data of its own."""
    from google.adk.integrations.firestore.firestore_session_service import FirestoreSessionService
    from google.cloud import firestore

    from memory.adapters.adk import DjangoSessionService

    return {
        "orchestra-memory": DjangoSessionService(),
        WITHOUT_CACHE: DjangoSessionService(),
        "google-adk": FirestoreSessionService(firestore.AsyncClient(project=PROJECT)),
    }


async def turn(service: Any, session_id: str, number: int) -> None:
    """One turn."""
    from google.adk.events.event import Event
    from google.genai.types import Content, Part

    session = await service.get_session(**WHO, session_id=session_id)
    assert len(session.events) == 2 * number
    for author, state in (("user", {"turn": number}), ("guide", {"user:turns": number})):
        content = Content(role=author, parts=[Part(text=f"{TEXT}{number}")])
        await service.append_event(session, Event(author=author, content=content, state=state))


async def run(turns: int, meter: Meter) -> dict[str, Tally]:
    """Turns of all services, one after the other."""
    tallies = {name: Tally() for name in services()}
    every = services()
    for place, service in enumerate(every.values()):
        await service.create_session(**WHO, session_id=f"s{place}")
    for number in range(turns):
        for place, (name, service) in enumerate(every.items()):
            memory = {"CACHE": None} if name == WITHOUT_CACHE else {}
            with override_settings(MEMORY=memory):
                meter.bill.clear()
                start = time.perf_counter()
                await turn(service, f"s{place}", number)
                tally, bill = tallies[name], meter.bill
                tally.seconds.append(time.perf_counter() - start)
                tally.read.append(bill.read)
                tally.written.append(len(bill.written))
                tally.calls.append(bill.calls.total())
    return tallies


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=100)
    turns = parser.parse_args().turns
    with Meter(emulator.emulator(PROJECT)) as meter, RedisServer() as server:
        configure(meter.address, server.url)
        tallies = asyncio.run(run(turns, meter))
    peer = tallies["google-adk"]
    for name, tally in tallies.items():
        last = {about: statistics.mean(getattr(tally, about)[-LAST:]) for about in ("read", "written", "calls")}
        time_of_turn, all_read = statistics.median(tally.seconds[-LAST:]), sum(tally.read)
        print(
            f"{name}: turn {turns}: {last['read']:.1f} documents read, {last['written']:.1f} written, "
            f"{last['calls']:.1f} calls, {time_of_turn * 1000:.0f} ms; all turns: {all_read} read, "
            f"{all_read / sum(peer.read):.3f} of the peer's"
        )


if __name__ == "__main__":
    main()
