"""The app's settings, their checks, and the router."""

from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import router
from django.test import modify_settings, override_settings

from memory.conf import DEFAULTS, memory_settings
from memory.models import MemoryItem
from memory.search.embedders import EmbedderError
from memory.search.embedders.default import default_embedder
from memory.testing.embedders import DeterministicEmbedder
from tests import databases


def found(**values: Any) -> set[str]:
    """Ids of the checks' messages for `MEMORY = values`."""
    with override_settings(MEMORY=values):
        messages = run_checks(tags=["memory"])
    assert all(message.hint for message in messages), "each message has a hint with the fix"
    return {str(message.id) for message in messages}


def too_many_dimensions() -> DeterministicEmbedder:
    """An embedder whose vectors Firestore would refuse."""
    return DeterministicEmbedder(4_096)


def failing() -> DeterministicEmbedder:
    """An embedder whose factory raises any error."""
    raise RuntimeError("no key")


def without_its_package() -> DeterministicEmbedder:
    """An embedder that cannot be made on this machine."""
    raise EmbedderError('It needs a package: pip install "it".')


def test_tests_run_in_their_own_environment() -> None:
    """In any shell environment, tests run with the settings of `test`."""
    assert settings.APP_ENV == "test"


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        ({}, set()),
        ({"DATABASE": "memory", "CACHE": "default", "PAGE_SIZE": 10}, set()),
        ({"DATABSE": "memory"}, {"memory.E002"}),
        ({"DATABASE": "nowhere"}, {"memory.E003"}),
        ({"CACHE": "nowhere"}, {"memory.E004"}),
        ({"CACHE": None}, set()),
        ({"HISTORY_SIZE": 0}, {"memory.E005"}),
        ({"HISTORY_SIZE": 1001}, {"memory.E005"}),
        ({"CACHE_TTL": "1h"}, {"memory.E005"}),
        ({"PAGE_SIZE": 0}, {"memory.E005"}),
        ({"BULK_LIMIT": True}, {"memory.E005"}),
        ({"BULK_LIMIT": 501}, {"memory.E005"}),
        ({"HEALTH_TIMEOUT": "2"}, {"memory.E005"}),
        ({"PAGE_SIZE": 300}, {"memory.E006"}),
        ({"PRINCIPAL": "no.such.function"}, {"memory.E007"}),
        ({"PRINCIPAL": None}, {"memory.E007"}),
        ({"MANAGER": "memory.stores.MemoryManagerStub"}, set()),
        ({"MANAGER": "memory.stores.NoSuchManager"}, {"memory.E009"}),
        ({"FIRESTORE": {"OPTIONS": {}}}, set()),
        ({"FIRESTORE": "project"}, {"memory.E010"}),
        ({"LANGUAGE": "german"}, set()),
        ({"LANGUAGE": "klingon"}, {"memory.E011"}),
        ({"LANGUAGE": None}, set()),
        ({"EMBEDDER": None}, set()),
        ({"EMBEDDER": "memory.testing.embedders.DeterministicEmbedder"}, set()),
        ({"EMBEDDER": "no.such.Embedder"}, {"memory.E012"}),
        ({"EMBEDDER": ["a list"]}, {"memory.E012"}),
        ({"EMBEDDER": "builtins.dict"}, {"memory.E012"}),
        ({"EMBEDDER": "tests.test_conf.too_many_dimensions"}, {"memory.E012"}),
        ({"EMBEDDER": "tests.test_conf.failing"}, {"memory.E012"}),
        ({"EMBEDDER": "tests.test_conf.without_its_package"}, {"memory.W003"}),
        ({"SPEAKER": "no.such.function"}, {"memory.E013"}),
        ({"RERANKER": "no.such.Reranker"}, {"memory.E015"}),
        ({"TOKENIZER": "no.such.tokenizer"}, {"memory.E020"}),
        ({"SUMMARIZER": "no.such.summarizer"}, {"memory.E021"}),
        ({"RERANKER": "builtins.dict"}, {"memory.E015"}),
        ({"RERANKER_TIMEOUT": 0}, {"memory.E005"}),
    ],
)
def test_checks(values: dict[str, Any], ids: set[str]) -> None:
    """Each error has its own id; valid settings have none."""
    assert found(**values) == ids


def test_settings_that_are_no_dict() -> None:
    """`MEMORY` must be a dict."""
    with override_settings(MEMORY=["DATABASE"]):
        assert [message.id for message in run_checks(tags=["memory"])] == ["memory.E001"]


@modify_settings(INSTALLED_APPS={"remove": "memory.access"})
def test_a_missing_app_of_access_is_reported() -> None:
    """Without it names can be taken over; a function of the project's own needs no app."""
    assert found() == {"memory.W004"}
    assert found(PRINCIPAL="memory.api.permissions.username") == set()


@override_settings(DATABASE_ROUTERS=[])
def test_a_missing_router_is_reported() -> None:
    """A database of the app's own has no effect without the router."""
    assert found(DATABASE="memory") == {"memory.W001"}


@override_settings(MEMORY={})
def test_defaults() -> None:
    """An empty or missing dict gives the documented defaults."""
    for key in DEFAULTS.keys() - {"PRINCIPAL", "MANAGER", "EMBEDDER", "SPEAKER"}:
        assert getattr(memory_settings, key.lower()) == DEFAULTS[key]
    assert memory_settings.principal.__name__ == "owner_id"
    assert memory_settings.manager.__name__ == "ConcreteMemoryManager"
    assert memory_settings.speaker.__name__ == "speaker_of"
    assert type(memory_settings.embedder) is type(default_embedder())
    assert memory_settings.embedder is memory_settings.embedder


def test_settings_are_read_when_used() -> None:
    """`override_settings` works."""
    with override_settings(MEMORY={"PAGE_SIZE": 7}):
        assert memory_settings.page_size == 7


def test_the_router_sends_the_app_to_its_database() -> None:
    """The app's models, and only they, live where `MEMORY["DATABASE"]` says."""
    user = apps.get_model("auth", "User")
    assert (router.db_for_read(MemoryItem), router.db_for_write(MemoryItem)) == ("memory", "memory")
    assert (router.db_for_read(user), router.db_for_write(user)) == ("default", "default")
    assert router.allow_migrate_model("memory", MemoryItem)
    assert not router.allow_migrate_model("default", MemoryItem)
    assert not router.allow_migrate_model("memory", user)


@override_settings(MEMORY={})
def test_one_database_holds_everything_by_default() -> None:
    """Without the setting, the app uses the project's default database."""
    user = apps.get_model("auth", "User")
    assert router.db_for_write(MemoryItem) == "default"
    assert router.allow_migrate_model("default", MemoryItem)
    assert router.allow_migrate_model("default", user)


@pytest.mark.django_db(databases="__all__")
def test_migrations_are_complete() -> None:
    """Models and migrations agree: `makemigrations --check` finds nothing to do."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_without_a_conversation_cache_throttles_use_the_default() -> None:
    """`CACHE` None disables the caching of conversations, nothing else."""
    with override_settings(MEMORY={"CACHE": None}):
        assert memory_settings.history_cache is None
        assert memory_settings.cache == "default"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({"SOCKET_TIMEOUT": 0.2, "SOCKET_CONNECT_TIMEOUT": 0.2}, set()),
        ({"SOCKET_TIMEOUT": 5, "SOCKET_CONNECT_TIMEOUT": 0.2}, {"memory.W002"}),
        ({}, {"memory.W002"}),
    ],
)
def test_a_redis_that_may_hold_requests_up(options: dict[str, float], ids: set[str]) -> None:
    """The checks warn of missing and of long timeouts."""
    config = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://nowhere:1/0", "OPTIONS": options}
    with override_settings(CACHES={"default": config}):
        assert found() == ids


@pytest.mark.parametrize(
    ("database", "ids"),
    [
        ({}, set()),
        ({"OPTIONS": {"timeout": 20}}, set()),
        ({"OPTIONS": {"timeout": 1}}, {"memory.W005"}),
        ({"ATOMIC_REQUESTS": True}, {"memory.W006"}),
        ({"ATOMIC_REQUESTS": True, "OPTIONS": {"transaction_mode": "IMMEDIATE"}}, set()),
    ],
)
def test_an_sqlite_whose_parallel_writers_may_fail(database: dict[str, Any], ids: set[str]) -> None:
    """The checks warn of its options."""
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", **database}
    with databases.added("other", settings):
        assert found(DATABASE="other") == ids
