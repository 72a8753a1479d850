"""The app's own models and querysets: the same operations on SQLite and on Firestore."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Avg, Count, Max, Min, Q, QuerySet
from hypothesis import example, given
from hypothesis import strategies as st

from memory.lookups import having_key, having_member
from memory.models import AgentData, MemoryItem, UserSession

from .examples import examples
from .queries import JSON, TEXT, comparable, outcome, plain

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "300")) // 3
START = datetime(2026, 1, 1, tzinfo=UTC)

NAMES = st.sampled_from(["ada", "Ada", "bob", "ç", "a_b%"])
TIMES = st.integers(0, 4).map(lambda hours: START + timedelta(hours=hours))
ENDS_OF_LIFE = st.sampled_from([None, datetime(2020, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)])
MAPS = st.dictionaries(st.sampled_from(["role", "2024", "a.b", ""]), JSON, max_size=2)
VECTORS = st.none() | st.lists(st.sampled_from([-1.0, 0.5, 2.0]), min_size=2, max_size=3)

Fields = dict[str, st.SearchStrategy[Any]]
RECORD: Fields = {"timestamp": TIMES, "expiration": ENDS_OF_LIFE, "metadata": MAPS}
MODELS: dict[type[Any], Fields] = {
    MemoryItem: {
        **RECORD,
        "user_id": NAMES,
        "session_id": st.none() | NAMES,
        "item_type": st.sampled_from(["message", "fact"]),
        "persona_active": st.none() | NAMES,
        "text_content": st.none() | TEXT,
        "embedding": VECTORS,
        "valid_from": st.none() | st.just(START),
        "valid_to": st.none() | TIMES,
        "source": st.none() | NAMES,
    },
    AgentData: {**RECORD, "agent_id": NAMES, "data_type": st.sampled_from(["plan", "log"]), "content": JSON},
    UserSession: {
        "user_id": NAMES,
        "session_id": NAMES,
        "started_at": TIMES,
        "last_activity": TIMES,
        "metadata": MAPS,
    },
}
NOT_COMPARED = ("metadata", "content", "embedding")


def everything(model: type[Any], alias: str) -> QuerySet[Any]:
    """All records of a model, expired ones too."""
    found: QuerySet[Any] = getattr(model, "all_objects", model.objects).using(alias).order_by("pk")
    return found


def by_member(records: QuerySet[Any]) -> Any:
    """Keys of maps, as the API's filters ask for them."""
    return [
        plain(having_key(records, "metadata", "2024")),
        plain(having_member(records, "metadata", "role", "a")),
        plain(having_member(records, "metadata", "a.b", None)),
    ]


ENDS: dict[str, Callable[[QuerySet[Any]], Any]] = {
    "list": plain,
    "slice": lambda records: plain(records[1:4]),
    "count": lambda records: records.count(),
    "exists": lambda records: records.exists(),
    "last": lambda records: plain(filter(None, [records.last()])),
    "keys": lambda records: list(records.values_list("pk", flat=True)),
    "members": by_member,
    "numbers": lambda records: records.aggregate(n=Count("pk"), first=Min("pk"), last=Max("pk"), mean=Avg("pk")),
    "delete": lambda records: (
        records.order_by().delete(),
        plain(everything(records.model, records.db)),
    ),
    "update": lambda records: (
        records.order_by().update(metadata={"new": 1}),
        plain(everything(records.model, records.db)),
    ),
}
ITEM_ENDS: dict[str, Callable[[Any], Any]] = {
    "recent": lambda items: plain(items.recent(3)),
    "session": lambda items: plain(items.in_session("ada").newest_first()),
    "between": lambda items: plain(items.between(START + timedelta(hours=1), START + timedelta(hours=3))),
    "duplicates": lambda items: items.duplicates_of(
        MemoryItem(user_id="ada", item_type="fact", text_content="a")
    ).count(),
    "nearest": lambda items: sorted(round(item.distance, 9) for item in items.nearest([1.0, 0.5], 3)),
}


def conditions(fields: Fields) -> st.SearchStrategy[Q]:
    """Comparisons, memberships and nulls of a model's fields, combined."""
    compared = {name: values for name, values in fields.items() if name not in NOT_COMPARED}
    leaf = st.sampled_from(sorted(compared)).flatmap(
        lambda name: st.one_of(
            st.builds(
                lambda lookup, value: Q(**{f"{name}__{lookup}": value}),
                st.sampled_from(["exact", "gt", "gte", "lt", "lte"]),
                compared[name].filter(lambda value: value is not None),
            ),
            st.lists(compared[name], max_size=3).map(lambda values: Q(**{f"{name}__in": values})),
            st.booleans().map(lambda is_null: Q(**{f"{name}__isnull": is_null})),
        )
    )
    return st.recursive(
        leaf,
        lambda inside: st.one_of(
            st.builds(Q.__and__, inside, inside), st.builds(Q.__or__, inside, inside), inside.map(lambda q: ~q)
        ),
        max_leaves=3,
    )


@st.composite
def stories(draw: st.DrawFn) -> tuple[type[Any], list[dict[str, Any]], Q, list[str], str]:
    """A model, its records, a condition, an order and an end."""
    model = draw(st.sampled_from(list(MODELS)))
    fields = MODELS[model]
    records = draw(st.lists(st.fixed_dictionaries(fields), max_size=6))
    ordered = sorted(set(fields) - set(NOT_COMPARED))
    order = draw(st.lists(st.sampled_from([*ordered, *(f"-{name}" for name in ordered)]), max_size=2))
    ends = sorted({**ENDS, **(ITEM_ENDS if model is MemoryItem else {})})
    return model, records, draw(conditions(fields)), order, draw(st.sampled_from(ends))


def fill(alias: str, model: type[Any], records: list[dict[str, Any]]) -> None:
    """Make these the only records of a database; ids follow from their positions."""
    for each in MODELS:
        everything(each, alias).delete()
    made = [
        model(**values) if model is UserSession else model(id=f"r{n}", **values) for n, values in enumerate(records)
    ]
    everything(model, alias).bulk_create(made, ignore_conflicts=True)


@pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)
class TestRecords:
    """Items, agents' data and sessions."""

    @examples(EXAMPLES)
    @given(story=stories())
    @example(
        # An id outside ASCII made a header that gRPC refuses.
        story=(
            UserSession,
            [{"user_id": "ç", "session_id": "ada", "started_at": START, "last_activity": START}],
            Q(pk="ç:ada"),
            [],
            "list",
        )
    )
    def test_same_answer(self, story: tuple[type[Any], list[dict[str, Any]], Q, list[str], str]) -> None:
        """The same records, numbers and counts, or the same class of error."""
        model, records, condition, order, end = story
        answers = []
        for alias in ("memory", "firestore"):
            fill(alias, model, records)
            asked = model.objects.using(alias).filter(condition).order_by(*order, "pk")
            answers.append(outcome(lambda asked=asked: {**ENDS, **ITEM_ENDS}[end](asked)))  # type: ignore[misc]
        assert answers[1] == comparable(answers[0])
