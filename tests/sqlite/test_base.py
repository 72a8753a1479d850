"""SQLite compares text as Firestore and Python do."""

from __future__ import annotations

import gc
import sqlite3
import threading
from collections.abc import Callable

import pytest
from django.db import connections
from django.db.models import F, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.models import MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

PYTHON: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda text, wanted: text == wanted,
    "contains": lambda text, wanted: wanted in text,
    "startswith": lambda text, wanted: text.startswith(wanted),
    "endswith": lambda text, wanted: text.endswith(wanted),
    "iexact": lambda text, wanted: text.casefold() == wanted.casefold(),
    "icontains": lambda text, wanted: wanted.casefold() in text.casefold(),
    "istartswith": lambda text, wanted: text.casefold().startswith(wanted.casefold()),
    "iendswith": lambda text, wanted: text.casefold().endswith(wanted.casefold()),
}
TEXT = st.text(st.sampled_from("aAbBéÉßß%_\\'`.ÿ😀 "), max_size=5)


@pytest.mark.parametrize("lookup", PYTHON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(text=TEXT, wanted=TEXT)
def test_text_lookups_are_pythons(lookup: str, text: str, wanted: str) -> None:
    """Case, wildcards, quotes and Unicode: each lookup agrees with Python's own comparison."""
    MemoryItem.all_objects.all().delete()
    MemoryItem.objects.create(user_id="ada", item_type="m", text_content=text, persona_active="p")
    found = MemoryItem.objects.filter(**{f"text_content__{lookup}": wanted})
    assert found.exists() is PYTHON[lookup](text, wanted)


@pytest.mark.parametrize(
    ("lookup", "found"), [("contains", False), ("icontains", True), ("istartswith", True), ("iendswith", True)]
)
def test_columns_are_compared_like_constants(lookup: str, found: bool, make_item: Callable[..., MemoryItem]) -> None:
    """`F()` on the right side, with the same rules of case."""
    make_item(text_content="Élan", persona_active="éLAN")
    assert MemoryItem.objects.filter(**{f"text_content__{lookup}": F("persona_active")}).exists() is found


def test_json_keys_fold_too(make_item: Callable[..., MemoryItem]) -> None:
    """Lookups through a JSON key follow the same rules."""
    make_item(metadata={"city": "Évora"})
    assert MemoryItem.objects.filter(metadata__city__icontains="ÉVO").exists()
    assert not MemoryItem.objects.filter(metadata__city__startswith="évo").exists()
    assert MemoryItem.objects.annotate(x=Value("ABC")).filter(x__icontains="b").exists()


def test_the_in_memory_connection_of_a_thread_is_closed_after_its_end() -> None:
    """Python 3.13 warns of connections that nothing has closed. Django's `close()` leaves in-memory databases open."""
    opened: list[sqlite3.Connection] = []

    def use() -> None:
        connections["memory"].ensure_connection()
        opened.append(connections["memory"].connection)
        connections.close_all()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
