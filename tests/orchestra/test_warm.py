"""What a worker loads before it accepts requests."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from orchestra.warm import warm_up
from tests import live


class Loaded:
    """A reranker that counts how often it was made."""

    made: ClassVar[int] = 0

    def __init__(self) -> None:
        Loaded.made += 1

    def name(self) -> str:
        return "loaded"

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """No order."""
        return [0.0] * len(texts)


def test_a_worker_loads_the_reranker(settings: Any) -> None:
    """Once: the first search does not wait for its model."""
    settings.MEMORY = {**settings.MEMORY, "RERANKER": f"{__name__}.Loaded"}
    warm_up()
    warm_up()
    assert Loaded.made == 1


def test_a_worker_starts_without_a_reranker_that_cannot_be_loaded(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged."""
    settings.MEMORY = {**settings.MEMORY, "RERANKER": "no.such.Reranker"}
    warm_up()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "The reranker cannot be used."
    ]


def test_nothing_of_search_is_loaded_later() -> None:
    """A process that has been warmed up imports and reads no file of a model in its first search."""
    program = (
        "import builtins, sys, django; django.setup(); from memory.search import warm_up; warm_up(); "
        "from memory.conf import memory_settings; from memory.search.asking import asked; "
        "from memory.search.embedders import multilingual; "
        "loaded = set(sys.modules); counts = [one.cache_info().misses for one in (multilingual._encoder, "
        "multilingual._reduced)]; question = asked('who sings?', memory_settings.embedder); "
        "memory_settings.embedder.embed_quickly(['a text']); question.lexicon.embed(['word']); "
        "print(sorted(set(sys.modules) - loaded), [one.cache_info().misses for one in (multilingual._encoder, "
        "multilingual._reduced)] == counts == [1, 1])"
    )
    environment = {**os.environ, "APP_ENV": "test", "DJANGO_SETTINGS_MODULE": "settings"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=live.ROOT
    )
    assert done.stdout.strip() == "[] True"


FIRST_REQUESTS = """
import sys, django; django.setup()
from django.core.management import call_command
from orchestra.warm import warm_up

warm_up()
loaded = set(sys.modules)
for alias in ("default", "memory"):
    call_command("migrate", database=alias, verbosity=0)
from memory.models import MemoryItem

MemoryItem.objects.create(user_id="ada", session_id="s", item_type="m", text_content="I like tea.")
assert len(MemoryItem.objects.for_user("ada").filter(metadata={}).search("tea")) == 1
new = {name for name in set(sys.modules) - loaded if name.split(".")[0] in ("google", "grpc", "numpy", "redis")}
print(sorted(new), "google.cloud.firestore_v1" in sys.modules, {"memory.redis", "memory.search.index"} <= loaded)
"""


def test_a_worker_imports_no_library_later() -> None:
    """The first write and search import nothing that a process would then have for itself, on SQLite not Firestore's
    client at all; Redis' client and search are loaded before."""
    environment = {
        **os.environ,
        "APP_ENV": "test",
        "DJANGO_SETTINGS_MODULE": "settings",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": "sqlite://:memory:",
        "MEMORY_DATABASE_URL": "sqlite://:memory:",
    }
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUESTS],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=live.ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[] False True"
