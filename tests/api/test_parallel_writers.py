"""Fifty writers at once in a project on SQLite with Django's default options: none fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = """
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import django
from django.conf import settings
from django.urls import include, path

settings.configure(
    SECRET_KEY="a-key-for-a-test",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "rest_framework",
        "django_filters",
        "drf_spectacular",
        "memory",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    USE_TZ=True,
)
django.setup()
urlpatterns = [path("", include("memory.api.urls"))]

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import Client

from memory.models import AgentData, MemoryItem, UserSession

WRITERS, MOST = 50, ("create", "patch", "create by model")
call_command("migrate", verbosity=0)
user = get_user_model().objects.create_user("ada")
first = MemoryItem.objects.create(id="first", user_id="ada", session_id="s", item_type="m")
for number in range(WRITERS):
    MemoryItem.objects.create(id=f"old{number}", user_id="ada", session_id="s", item_type="m")


def client():
    made = Client()
    made.force_login(user)
    return made


clients = [client() for _ in range(WRITERS)]
sent = {"content_type": "application/json"}
body = {"item_type": "m", "session_id": "s", "text_content": "hello"}
items = "/memory-items/"


def change(number):
    record = MemoryItem.objects.get(pk="first")
    record.metadata = {"n": number}
    record.save()
    return 200


REQUESTS = {
    "create": lambda n: clients[n].post(items, body, **sent).status_code,
    "create once": lambda n: clients[n].post(items, body, headers={"idempotency-key": f"k{n}"}, **sent).status_code,
    "bulk": lambda n: clients[n].post(items + "bulk/", {"items": [body, body]}, **sent).status_code,
    "patch": lambda n: clients[n].patch(items + "first/", {"metadata": {"n": n}}, **sent).status_code,
    "patch a text": lambda n: clients[n].patch(items + "first/", {"text_content": f"n {n}"}, **sent).status_code,
    "delete": lambda n: clients[n].delete(f"{items}old{n}/").status_code,
    "agent data": lambda n: clients[n].post("/agent-data/", {"data_type": "d"}, **sent).status_code,
    "session": lambda n: clients[n].post("/sessions/", {"session_id": f"t{n}"}, **sent).status_code,
    "save": change,
    "create by model": lambda n: MemoryItem.objects.create(user_id="ada", session_id="s", item_type="m").pk and 200,
    "update": lambda n: MemoryItem.objects.filter(pk="first").update(metadata={"n": n}) and 200,
    "update a session's items": lambda n: MemoryItem.objects.filter(pk="first").update(session_id=f"u{n}") and 200,
    "bulk update": lambda n: MemoryItem.objects.bulk_update([MemoryItem.objects.get(pk="first")], ["metadata"]) and 200,
    "delete by query": lambda n: MemoryItem.objects.filter(pk=f"none{n}").delete() and 200,
    "purge": lambda n: MemoryItem.all_objects.purge() + 200,
}


def run(name, send):
    return sorted(set(run_all(WRITERS if name in MOST else WRITERS // 5, send)))


def run_all(writers, send):
    barrier = Barrier(writers)

    def one(number):
        barrier.wait()
        try:
            return send(number)
        except Exception as error:
            return repr(error)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(writers) as pool:
        return sorted(map(str, pool.map(one, range(writers))))


answers = {name: run(name, send) for name, send in REQUESTS.items()}
tag = clients[0].get(items + "first/")["ETag"]
change = lambda n: clients[n].patch(items + "first/", {"metadata": {"won": n}}, headers={"if-match": tag}, **sent)
with_one_tag = run_all(WRITERS, lambda n: change(n).status_code)
row = UserSession.objects.get(pk="ada:s")
times = MemoryItem.objects.in_session("s").order_by("timestamp").values_list("timestamp", flat=True)
print(json.dumps({
    "answers": answers,
    "with_one_tag": with_one_tag,
    "items": MemoryItem.objects.count(),
    "last": row.last_activity == max(times),
}))
"""

CREATED = {"create": "201", "create once": "201", "bulk": "201", "agent data": "201", "session": "201"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("stock") / "db.sqlite3"
    done = subprocess.run(
        [sys.executable, "-c", PROJECT, str(file)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_no_writer_fails(outcome: dict[str, Any]) -> None:
    """Over the API and by the models."""
    answers = outcome["answers"]
    expected = {name: [CREATED.get(name, "204" if name == "delete" else "200")] for name in answers}
    assert answers == expected


def test_nothing_is_lost(outcome: dict[str, Any]) -> None:
    """Each writer's items are stored, and the session's time is that of its newest item."""
    assert outcome["items"] == 1 + 50 + 50 + 10 * (1 + 2) + 50 - 10
    assert outcome["last"]


def test_of_fifty_patches_with_one_tag_one_wins(outcome: dict[str, Any]) -> None:
    """The others are 412."""
    assert outcome["with_one_tag"] == ["200"] + ["412"] * 49
