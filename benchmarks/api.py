"""The API against a plain `ModelViewSet` on the same SQLite table, stores against models, and a cold start.

    python -m benchmarks.api [--rounds 7] [--only WORD] [--json FILE]

As `benchmarks.engine`: same process and run, in turns; a figure is the median over the rounds of the ratio. There is no
cache and no embedder. The plain view set has Django REST framework's defaults, the same fields, and the same filter by
owner.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from .engine import Contest, measure, report

REQUESTS, ITEMS, PAGE = 50, 500, 50
BASE = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]
COLD = """
import sys, django
from django.conf import settings

settings.configure(INSTALLED_APPS=sys.argv[1:], DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
django.setup()
import rest_framework.viewsets, rest_framework.routers
"""


def configure(folder: str) -> None:
    """Configure Django with the app on an SQLite file."""
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/db.sqlite3"}
    settings.configure(
        SECRET_KEY="benchmark",  # noqa: S106
        INSTALLED_APPS=[*BASE, "django_filters", "drf_spectacular", "memory"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": database},
        MEMORY={"CACHE": None, "EMBEDDER": None},
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def urls() -> list[Any]:
    """The API, and a plain view set beside it."""
    from django.urls import include, path
    from rest_framework import pagination, permissions, routers, serializers, viewsets

    from memory.api.serializers import MemoryItemSerializer
    from memory.models import MemoryItem

    class Plain(serializers.ModelSerializer):
        class Meta:
            model = MemoryItem
            fields = MemoryItemSerializer.Meta.fields

    class ByTime(pagination.CursorPagination):
        page_size, ordering = PAGE, "-timestamp"

    class PlainViewSet(viewsets.ModelViewSet):
        serializer_class, pagination_class = Plain, ByTime
        permission_classes = (permissions.IsAuthenticated,)

        def get_queryset(self) -> Any:
            return MemoryItem.objects.filter(user_id=self.request.user.get_username())

    router = routers.DefaultRouter()
    router.register("plain", PlainViewSet, "plain")
    return [path("api/", include("memory.api.urls")), path("", include(router.urls))]


def contests() -> Iterator[Contest]:
    """The contests."""
    from django.contrib.auth import get_user_model
    from rest_framework.test import APIClient

    from memory.models import MemoryItem
    from memory.stores import FirestoreMemoryManager

    cpu, clock = time.process_time, time.perf_counter
    client = APIClient()
    client.force_authenticate(get_user_model().objects.create_user("ada"))

    def unsaved(number: int) -> Any:
        return MemoryItem(user_id="ada", session_id="s", item_type="m", text_content=f"What was said, {number}.")

    items = MemoryItem.objects.bulk_create(unsaved(number) for number in range(ITEMS))
    bodies = [{"item_type": "m", "session_id": "s", "text_content": f"Said, {number}."} for number in range(REQUESTS)]

    def sent(method: str, path: str, *bodies: Any, status: int) -> None:
        for body in bodies or [None] * REQUESTS:
            assert getattr(client, method)(path, body, format="json").status_code == status

    one = items[0].pk
    yield Contest(
        f"retrieve, {REQUESTS} times",
        lambda: sent("get", f"/api/memory-items/{one}/", status=200),
        lambda: sent("get", f"/plain/{one}/", status=200),
        1.2,
        cpu,
    )
    yield Contest(
        f"create, {REQUESTS} times",
        lambda: sent("post", "/api/memory-items/", *bodies, status=201),
        lambda: sent("post", "/plain/", *({**body, "user_id": "ada"} for body in bodies), status=201),
        0.9,
        cpu,
    )
    yield Contest(
        f"list of {PAGE}, {REQUESTS} times",
        lambda: sent("get", "/api/memory-items/", status=200),
        lambda: sent("get", "/plain/", status=200),
        1.0,
        cpu,
    )
    manager = FirestoreMemoryManager()
    manager.initialize()
    loop = asyncio.new_event_loop()

    async def awaited() -> None:
        for number in range(REQUESTS):
            await manager.add_memory_item(unsaved(number))

    yield Contest(
        f"awaited add_memory_item / create(), {REQUESTS} times",
        lambda: loop.run_until_complete(awaited()),
        lambda: [unsaved(number).save() for number in range(REQUESTS)],
        1.5,
        clock,
    )
    manager.close()
    loop.close()
    yield Contest(
        "cold start with the app / without",
        lambda: cold(*BASE, "memory"),
        lambda: cold(*BASE),
        1.3,
        children,
    )


def cold(*apps: str) -> None:
    """Set Django up in a new process."""
    subprocess.run([sys.executable, "-c", COLD, *apps], check=True)  # noqa: S603


def children() -> float:
    """CPU time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The API against a plain ModelViewSet.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        configure(folder)
        globals()["urlpatterns"] = urls()
        results = [measure(contest, given.rounds) for contest in contests() if given.only in contest.name]
    sys.stdout.write(report(results, None, ("app", "other")) + "\n")
    if given.json:
        Path(given.json).write_text(json.dumps([asdict(one) for one in results], indent=2), encoding="utf-8")
    return 0 if all(one.met for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
