"""Validity, supersession and retention: the same writes and reads on SQLite, PostgreSQL and Firestore.

On Firestore some documents lack the fields, as those of earlier versions do. `DIFFERENTIAL_EXAMPLES=3000 pytest
tests/differential/test_validity.py` is the long form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from memory.exceptions import ValidationError
from memory.history import recent
from memory.lifecycle import forgetting
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


POLICIES: dict[str, st.SearchStrategy[Any]] = {
    "age": st.builds(
        lambda criteria, hours: {**criteria, "age": timedelta(hours=hours)},
        st.sampled_from([{}, {"item_type": "fact"}, {"user_id": ["ada", "eve"]}, {"session_id": "s"}]),
        st.integers(1, 6),
    ),
    "count": st.builds(
        lambda criteria, count: {**criteria, "count": count},
        st.sampled_from([{}, {"item_type": "fact"}, {"user_id": "ada"}, {"session_id": "s", "item_type": "fact"}]),
        st.integers(1, 3),
    ),
    "importance": st.builds(
        lambda criteria, least: {**criteria, "importance_below": least},
        st.sampled_from([{}, {"item_type": "event"}, {"age": timedelta(hours=3)}]),
        st.sampled_from([0.5, 1.0]),
    ),
}
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from(["ada", "bob"]),
            "session_id": st.sampled_from([None, "s"]),
            "item_type": st.sampled_from(["fact", "event"]),
            "importance": st.sampled_from([None, 0.2, 0.7]),
            "hours": st.integers(0, 6),
            "valid_to": st.sampled_from([None, START]),
        }
    ),
    max_size=7,
)
RETAINED: dict[str, Callable[[Any], Any]] = {
    "list": lambda items: [item.pk for item in items.newest_first()],
    "page": lambda items: [item.pk for item in items.newest_first()[1:3]],
    "count": lambda items: items.count(),
    "one": lambda items: items.filter(pk="r1").exists(),
    "as_of": lambda items: [item.pk for item in items.as_of().newest_first()],
    "facts": lambda items: [item.pk for item in items.of_type("fact").order_by("timestamp", "id")],
    "session": lambda items: [item.pk for item in items.in_session("s").newest_first()[:2]],
    "recent": lambda items: [item.pk for item in recent("ada", None, 3, items.db)],
    "delete": lambda items: items.order_by().delete()[0],
}


@examples(EXAMPLES)
@given(
    records=RECORDS,
    policies=st.lists(st.one_of(*POLICIES.values()), min_size=1, max_size=2),
    end=st.sampled_from(sorted(RETAINED)),
    owner=st.sampled_from(["ada", None]),
)
def test_the_same_items_are_retained(
    records: list[dict[str, Any]], policies: list[dict[str, Any]], end: str, owner: str | None, postgresql: str
) -> None:
    """Answers of reads of one person and of all, and what is left of reads when the purge has deleted the rest."""
    now, answers = timezone.now(), []
    rows = [
        MemoryItem(
            id=f"r{n}",
            timestamp=now - timedelta(hours=one["hours"], minutes=30),
            **{name: value for name, value in one.items() if name != "hours"},
        )
        for n, one in enumerate(records)
    ]
    for alias in ("memory", postgresql, "firestore"):
        with override_settings(MEMORY={**settings.MEMORY, "DATABASE": alias, "RETENTION": policies}):
            MemoryItem.all_objects.using(alias).order_by().delete()
            MemoryItem.all_objects.using(alias).bulk_create([copy(row) for row in rows])
            items = MemoryItem.objects.using(alias).all()
            found = [RETAINED[end](items if owner is None else items.for_user(owner))]
            by_owner = {one: ids_of(items.for_user(one)) for one in ("ada", "bob")}
            assert ids_of(items) == sorted(pk for ids in by_owner.values() for pk in ids)
            for deletion in forgetting.deletions():
                forgetting.forget(deletion)
            left = ids_of(MemoryItem.all_objects.using(alias))
            assert set(left) == {pk for ids in by_owner.values() for pk in ids}
            answers.append([*found, by_owner, left])
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


def ids_of(items: Any) -> list[str]:
    return list(items.order_by("pk").values_list("pk", flat=True))
