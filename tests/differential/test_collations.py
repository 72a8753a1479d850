"""Hypothesis searches for operations on columns with a collation whose results differ between the databases.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_collations.py` is the long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Final

import pytest
from django.db import transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples
from .models import Coded
from .queries import outcome

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "15"))

TEXTS: Final = st.sampled_from(["a", "A", "ab", "aB", "AB ", "b", "B", "b ", "", " ", "é", "É", "a%", "_"])
OWN_COLUMNS: Final = st.sampled_from(["id", "name", "code", "tail", "exact"])
COLUMNS: Final = OWN_COLUMNS | st.just("other")
COMPARED: Final = st.sampled_from(["exact", "gt", "gte", "lt", "lte", "startswith", "contains", "endswith", "iexact"])

Rows = QuerySet[Any]


def _leaf(column: str, lookup: str, text: str) -> Q:
    return Q(**{f"{column}__{lookup}" if column != "other" or lookup in ("gt", "lt") else column: text})


leaves: Final = (
    st.builds(_leaf, COLUMNS, COMPARED, TEXTS)
    | st.builds(lambda column, texts: Q(**{f"{column}__in": texts}), COLUMNS, st.lists(TEXTS, max_size=3))
    | st.builds(lambda column, two: Q(**{f"{column}__range": sorted(two)}), OWN_COLUMNS, st.tuples(TEXTS, TEXTS))
    | st.builds(lambda column, other: Q(**{column: F(other)}), COLUMNS, COLUMNS)
    | st.builds(lambda text: Q(other__name=text), TEXTS)
)
conditions: Final = leaves | st.builds(lambda one, two: one & two, leaves, leaves) | st.builds(lambda one: ~one, leaves)


def _keys(rows: Rows) -> list[str]:
    return sorted(rows.values_list("id", flat=True))


def _texts(values: Any) -> list[str]:
    return sorted(str(value).rstrip().lower() for value in values)


def _same(column: str) -> Rows:
    return Coded.objects.filter(**{column: OuterRef(column)}).exclude(pk=OuterRef("pk"))


READS: Final[Mapping[str, Callable[[Rows, str], Any]]] = {
    "rows": lambda rows, column: _keys(rows),
    "ordered": lambda rows, column: list(rows.order_by(column, "number").values_list("number", flat=True)),
    "reversed": lambda rows, column: list(rows.order_by(f"-{column}", "number").values_list("number", flat=True)[:3]),
    "distinct": lambda rows, column: _texts(rows.order_by().values_list(column, flat=True).distinct()),
    "grouped": lambda rows, column: sorted(
        rows.order_by().values(column).annotate(n=Count("pk")).values_list("n", flat=True)
    ),
    "extremes": lambda rows, column: _texts(rows.aggregate(most=Max(column), least=Min(column)).values()),
    "counted": lambda rows, column: rows.aggregate(n=Count(column, distinct=True))["n"],
    "count": lambda rows, column: (rows.count(), rows.exists()),
    "among": lambda rows, column: _keys(rows.filter(**{f"{column}__in": rows.order_by().values(column)})),
    "exists": lambda rows, column: _keys(rows.filter(Exists(_same(column).using(rows.db)))),
    "scalar": lambda rows, column: sorted(
        rows.annotate(n=Subquery(_same(column).using(rows.db).order_by("number").values("number")[:1])).values_list(
            "pk", "n"
        ),
        key=str,
    ),
    "joined": lambda rows, column: sorted(rows.values_list("pk", "other__name"), key=str),
}


def _made(rows: Rows, text: str, number: int) -> Any:
    row, made = rows.model.objects.using(rows.db).get_or_create(
        code=text, defaults={"id": f"{text}x", "name": text, "tail": text, "exact": text, "number": number}
    )
    return row.pk, made


def _created(rows: Rows, text: str, number: int) -> Any:
    with transaction.atomic(using=rows.db):
        return rows.model.objects.using(rows.db).create(id=text, code=f"{number}", number=number).pk


def _upserted(rows: Rows, text: str, number: int) -> Any:
    row = rows.model(id=f"{text}y", code=text, number=number)
    rows.model.objects.using(rows.db).bulk_create(
        [row], update_conflicts=True, unique_fields=["code"], update_fields=["number"]
    )
    return rows.model.objects.using(rows.db).count()


WRITES: Final[Mapping[str, Callable[[Rows, str, int], Any]]] = {
    "get_or_create": _made,
    "create": _created,
    "upsert": _upserted,
    "update": lambda rows, text, number: rows.update(number=F("number") + 10, tail=text),
    "rename": lambda rows, text, number: rows.filter(pk=text).update(code=text.swapcase()),
    "save": lambda rows, text, number: [
        (setattr(row, "exact", text), row.save(update_fields=["exact"]))[1]
        for row in rows.model.objects.using(rows.db).filter(pk=text)
    ],
    "delete": lambda rows, text, number: rows._raw_delete(rows.db) or 0,  # type: ignore[attr-defined]
}


@st.composite
def stored(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows whose keys and codes differ in more than case."""
    keys = draw(st.lists(TEXTS.filter(lambda text: text != ""), max_size=6, unique_by=str.lower))
    codes = draw(st.lists(TEXTS, min_size=len(keys), max_size=len(keys), unique_by=str.lower))
    return [
        {
            "id": key,
            "code": code,
            "name": draw(st.none() | TEXTS),
            "tail": draw(TEXTS),
            "exact": draw(TEXTS),
            "number": number,
            "other_id": draw(st.none() | TEXTS),
        }
        for number, (key, code) in enumerate(zip(keys, codes, strict=True))
    ]


reads: Final = st.tuples(st.just("read"), conditions, st.sampled_from(sorted(READS)), COLUMNS)
writes: Final = st.tuples(st.just("write"), conditions, st.sampled_from(sorted(WRITES)), TEXTS)


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestCollations:
    """Comparisons, order, groups and writes under SQLite's collations, committed and in a block."""

    @examples(EXAMPLES)
    @given(rows=stored(), steps=st.lists(reads | reads | writes, min_size=10, max_size=10), block=st.booleans())
    def test_same_answer(self, rows: list[dict[str, Any]], steps: list[tuple[Any, ...]], block: bool) -> None:
        """The same values, rows and numbers, or the same class of error."""
        for alias in ("default", "firestore"):
            Coded.objects.using(alias).all()._raw_delete(alias)  # type: ignore[attr-defined]
            Coded.objects.using(alias).bulk_create(Coded(**values) for values in rows)
        answers = [self._run(alias, steps, block) for alias in ("default", "firestore")]
        for step, expected, found in zip(steps, *answers, strict=True):
            assert found == expected, (step, block)

    def _run(self, alias: str, steps: list[tuple[Any, ...]], block: bool) -> list[Any]:
        answers = []
        with transaction.atomic(using=alias) if block else nullcontext():
            for number, (kind, condition, name, value) in enumerate(steps, start=50):
                rows = Coded.objects.using(alias).filter(condition)
                if kind == "read":
                    answers.append(_answer(lambda rows=rows, name=name, value=value: READS[name](rows, value)))  # type: ignore[misc]
                    continue

                def write(rows: Rows = rows, name: str = name, value: str = value, number: int = number) -> Any:
                    with transaction.atomic(using=alias):
                        return WRITES[name](rows, value, number)

                answers.append((_answer(write), sorted(map(str, Coded.objects.using(alias).values()))))
        return answers


def _answer(action: Callable[[], Any]) -> Any:
    """The outcome; the engine's own class of IntegrityError counts as that."""
    found = outcome(action)
    return "raised IntegrityError" if found == "raised RowsRefused" else found
