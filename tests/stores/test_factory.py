"""Which manager a project gets, and that it is one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import override_settings

from memory import stores
from memory.exceptions import ConnectionError, StorageError
from memory.stores import MemoryManagerStub, close_memory_manager, get_memory_manager

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = {
    "SECRET_KEY": "a key of the tests, " * 3,
    "GCP_PROJECT_ID": "a-project",
    "ALLOWED_HOSTS": "memory.example.org",
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Each test starts with no manager made."""
    close_memory_manager()
    yield
    close_memory_manager()


class Away(MemoryManagerStub):
    """A stub whose storage is unavailable at the first attempt."""

    attempts = 0

    def _open(self) -> None:
        Away.attempts += 1
        if Away.attempts == 1:
            raise ConnectionError("Storage is away.")


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"APP_ENV": "test"}, "MemoryManagerStub"),
        ({"APP_ENV": "development"}, "FirestoreMemoryManager"),
        ({"APP_ENV": "staging", **DEPLOYED}, "ConcreteMemoryManager"),
        ({"APP_ENV": "production", **DEPLOYED}, "ConcreteMemoryManager"),
    ],
)
def test_the_environment_chooses(environment: dict[str, str], name: str) -> None:
    """The stub in test, the embedded database in development, database and cache in deployments."""
    code = (
        "import django, json; django.setup()\n"
        "from memory.conf import memory_settings\n"
        "print(json.dumps(memory_settings.manager.__name__))"
    )
    variables = {"PATH": "/usr/bin:/bin", "ENV_FILE": "/dev/null", "DJANGO_SETTINGS_MODULE": "settings", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == name


def test_the_manager_is_initialized_and_always_the_same() -> None:
    """All callers get the process' manager; after closing, a new one."""
    manager = get_memory_manager()
    assert isinstance(manager, MemoryManagerStub)
    assert async_to_sync(manager.health_check)()["status"] == "ok"
    assert get_memory_manager() is manager
    close_memory_manager()
    assert get_memory_manager() is not manager
    with pytest.raises(StorageError):
        async_to_sync(manager.get_memory_item)("x")


def test_a_project_may_bring_its_own() -> None:
    """`MEMORY["MANAGER"]` is a class or a function, and is read at each call."""
    first = get_memory_manager()
    with override_settings(MEMORY={"MANAGER": f"{__name__}.{made_by_hand.__name__}"}):
        assert get_memory_manager() is made_by_hand()
    assert get_memory_manager() is first


def test_storage_that_was_away_is_tried_again() -> None:
    """The caller gets the error; no broken manager is kept."""
    Away.attempts = 0
    with override_settings(MEMORY={"MANAGER": f"{__name__}.Away"}):
        with pytest.raises(ConnectionError):
            get_memory_manager()
        assert isinstance(get_memory_manager(), Away)


_hand_made = MemoryManagerStub()


def made_by_hand() -> MemoryManagerStub:
    """A manager that a function returns."""
    return _hand_made


def test_the_specifications_names_are_importable() -> None:
    """All from `memory.stores`."""
    expected = {"MemoryManager", "FirestoreMemoryManager", "RedisClient", "ConcreteMemoryManager", "MemoryManagerStub"}
    present: set[Any] = {name for name in expected if hasattr(stores, name)}
    assert present == expected
    assert {"get_memory_manager", "PersonaConfig"} <= set(stores.__all__)
