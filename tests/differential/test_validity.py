"""Validity and supersession: the same writes and reads on SQLite, PostgreSQL and Firestore.

On Firestore some documents lack the fields, as those of earlier versions do. `DIFFERENTIAL_EXAMPLES=3000 pytest
tests/differential/test_validity.py` is the long form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from memory.exceptions import ValidationError
from memory.models import MemoryItem
from tests.compatibility.make import raw_client

from .examples import examples

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(databases=["default", "memory", "firestore", "postgresql"], transaction=True),
]

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "60")) // 3
START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = st.integers(0, 6)
NUMBERS = st.integers(0, 5)
LINKS = st.lists(NUMBERS, max_size=2, unique=True)
SPARSE = ("supersedes", "superseded_by", "valid_from", "valid_to", "source", "derived_from", "importance", "touched")

Story = tuple[list[tuple[Any, ...]], list[tuple[int, str, bool]], set[int]]


def hour(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(hours=number)


WRITES = st.one_of(
    st.tuples(st.just("new"), NUMBERS, HOURS, st.sampled_from(["ada", "bob"]), LINKS, st.none() | HOURS),
    st.tuples(st.just("link"), NUMBERS, LINKS),
    st.tuples(st.just("end"), NUMBERS, st.none() | HOURS),
    st.tuples(st.just("delete"), NUMBERS),
)

ENDS: dict[str, Callable[[Any], Any]] = {
    "list": lambda items: [item.pk for item in items],
    "first": lambda items: [item.pk for item in items[:1]],
    "page": lambda items: [item.pk for item in items[1:3]],
    "count": lambda items: items.count(),
    "exists": lambda items: items.exists(),
    "values": lambda items: list(items.values_list("pk", "superseded_by", "valid_from", "valid_to", "supersedes")),
    "one": lambda items: [item.pk for item in items.filter(pk="r1")],
    "some": lambda items: [item.pk for item in items.filter(pk__in=["r0", "r1", "r2"]).order_by("pk")],
    "open": lambda items: [item.pk for item in items.filter(valid_to__isnull=True, source__isnull=True)],
    "ended": lambda items: [item.pk for item in items.filter(valid_to__isnull=False)],
    "superseded": lambda items: [item.pk for item in items.exclude(superseded_by="r1")],
    "by_end": lambda items: [item.pk for item in items.order_by("valid_to", "pk")[:3]],
    "update": lambda items: items.order_by().update(item_type="other"),
}


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Writes, reads (an hour, how they end, whether newest first), and the documents that lack fields."""
    reads = st.tuples(HOURS, st.sampled_from(sorted(ENDS)), st.booleans())
    writes = draw(st.lists(WRITES, min_size=1, max_size=7))
    return writes, draw(st.lists(reads, min_size=1, max_size=3)), draw(st.sets(NUMBERS, max_size=4))


def write(alias: str, what: tuple[Any, ...]) -> str:
    """A write's outcome: "done", or the field that is refused."""
    items = MemoryItem.all_objects.using(alias)
    name = f"r{what[1]}"
    known = items.filter(pk=name).first()
    try:
        match what:
            case ("new", _, time, user, links, since) if known is None:
                ids = [f"r{one}" for one in links]
                common = {"item_type": "fact", "timestamp": hour(time), "valid_from": hour(since)}
                MemoryItem(id=name, user_id=user, supersedes=ids, **common).save(using=alias, force_insert=True)
            case ("link", _, links) if known is not None:
                known.supersedes = [f"r{one}" for one in links]
                known.save(update_fields=["supersedes"])
            case ("end", _, time) if known is not None:
                items.filter(pk=name).update(valid_to=hour(time))
            case ("delete", _):
                items.filter(pk=name).delete()
    except ValidationError as error:
        return ",".join(sorted(error.message_dict))
    return "done"


def strip(alias: str, numbers: Iterable[int]) -> None:
    """Remove the empty new fields of documents, past the engine."""
    settings = connections[alias].settings_dict
    api, root = raw_client(settings["HOST"]), f"projects/{settings['PROJECT']}/databases/(default)"
    for row in MemoryItem.all_objects.using(alias).filter(pk__in=[f"r{number}" for number in numbers]):
        empty = [name for name in SPARSE if getattr(row, name) in (None, [])]
        name = f"{root}/documents/memory_items/{row.pk}"
        api.commit(
            request={
                "database": root,
                "writes": [{"update": {"name": name, "fields": {}}, "update_mask": {"field_paths": empty}}],
            },
            metadata=[("authorization", "Bearer owner")],
        )


@examples(EXAMPLES)
@given(story=stories())
def test_the_same_items_are_valid(story: Story, postgresql: str) -> None:
    """Outcomes of writes, and answers of reads as of several times."""
    writes, reads, stripped = story
    answers = []
    for alias in ("memory", postgresql, "firestore"):
        MemoryItem.all_objects.using(alias).order_by().delete()
        found: list[Any] = [write(alias, one) for one in writes]
        if alias == "firestore":
            strip(alias, stripped)
        for time, end, newest in reads:
            items = MemoryItem.objects.using(alias).as_of(hour(time))
            found.append(ENDS[end](items.newest_first() if newest else items.order_by("pk")))
        found.append(list(MemoryItem.objects.using(alias).as_of().order_by("pk").values_list("pk", "valid_to")))
        answers.append(found)
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]
