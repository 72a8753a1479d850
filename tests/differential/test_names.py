"""Hypothesis searches for names of tables and columns that the engine, or its SQLite, takes for something else.

`DIFFERENTIAL_EXAMPLES=500 pytest tests/differential/test_names.py` is the long run.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from django.apps.registry import Apps
from django.db import connections, models, transaction
from django.db.migrations.state import AppConfigStub
from django.db.models import CASCADE, Count, Exists, F, Max, OuterRef, Q, Window
from django.db.models.functions import Concat, Rank
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples
from .queries import outcome

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "15"))

LABEL: Final = "names"
TABLES: Final = (
    "order",
    "Group By",
    "select",
    "rowid",
    "t.x",
    "a%b",
    "UPPER",
    "ünï",
    "it's",
    "x:y",
    "main",
    "values",
)
COLUMNS: Final = (
    "rowid", "oid", "_rowid_", "ROWID", "select", "from", "order", "group", "values", "a b", "a.b", "a%b", "a%%s",
    "it's", "Upper", "UPPER2", "ünï", "x:y", "?", "[z]", "`q`", "__name", "id2", "true", "null",
)  # fmt: skip


def made(table: str, other: str, columns: list[str]) -> tuple[Any, Any]:
    """Two models of these names; the second refers to the first."""
    apps = Apps([AppConfigStub(LABEL)])

    def meta(name: str) -> type:
        return type("Meta", (), {"app_label": LABEL, "db_table": name, "apps": apps})

    text, number, key, unique, link = columns
    first = {
        "key": models.CharField(primary_key=True, max_length=5, db_column=key),
        "text": models.CharField(max_length=9, null=True, db_column=text),
        "number": models.IntegerField(default=0, db_column=number),
        "unique": models.IntegerField(unique=True, db_column=unique),
    }
    base: Any = type("Base", (models.Model,), {**first, "__module__": __name__, "Meta": meta(table)})
    second = {
        "key": models.CharField(primary_key=True, max_length=5),
        "link": models.ForeignKey(base, CASCADE, null=True, db_column=link, db_constraint=False, related_name="parts"),
    }
    part: Any = type("Part", (models.Model,), {**second, "__module__": __name__, "Meta": meta(other)})
    return base, part


def answers(alias: str, base: Any, part: Any) -> list[Any]:
    """What both lanes say of a few rows, and what writes leave."""
    rows, parts = base.objects.using(alias), part.objects.using(alias)

    def fill() -> None:
        rows.bulk_create([base(key=f"k{i}", text=f"T{i}", number=i, unique=i) for i in range(4)])
        parts.bulk_create([part(key=f"p{i}", link_id=f"k{i}") for i in range(2)])

    def double() -> None:
        with transaction.atomic(using=alias):
            rows.create(key="x", unique=1)

    steps: list[Any] = [
        fill,
        lambda: list(rows.order_by("-number").values_list("key", "text", "number")[:2]),
        lambda: list(rows.filter(text__icontains="t", number__gt=1).order_by("key").values_list("key", flat=True)),
        lambda: sorted(rows.filter(Q(text="T1") | Q(number=2)).values_list("key", flat=True)),
        lambda: rows.aggregate(n=Count("text"), most=Max("number")),
        lambda: sorted(rows.annotate(n=Count("parts")).values_list("key", "n")),
        lambda: sorted(parts.filter(link__text="T1").values_list("key", "link__number")),
        lambda: [one.link and one.link.text for one in parts.select_related("link").order_by("link__number")],
        lambda: sorted(rows.filter(Exists(parts.filter(link=OuterRef("pk")))).values_list("key", flat=True)),
        lambda: sorted(rows.annotate(place=Window(Rank(), order_by="-number")).values_list("key", "place")),
        double,
        lambda: rows.filter(parts__key="p1").update(number=F("number") + 10),
        lambda: rows.filter(key="k2").update(text=Concat("text", "key")),
        lambda: rows.update_or_create(key="k3", defaults={"text": None, "unique": 9})[1],
        lambda: rows.filter(text__isnull=True).delete()[0],
        lambda: sorted(rows.values_list("key", "text", "number", "unique"), key=str),
    ]
    return [outcome(step) for step in steps]


def drop_left(alias: str, tables: list[str]) -> None:
    """Removes tables that an example left because its index could not be made."""
    if connections[alias].vendor == "sqlite":
        with connections[alias].cursor() as cursor:
            for table in tables:
                cursor.execute(f'DROP TABLE IF EXISTS "{table}"'.replace("%", "%%"), [])


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestNames:
    """Words of SQL, names of SQLite's own, upper case, quotes, spaces and dots."""

    @examples(EXAMPLES)
    @given(
        tables=st.lists(st.sampled_from(TABLES), min_size=2, max_size=2, unique=True),
        columns=st.lists(st.sampled_from(COLUMNS), min_size=5, max_size=5, unique_by=str.lower),
    )
    def test_same_answers(self, tables: list[str], columns: list[str]) -> None:
        """The same rows, numbers and classes of errors."""
        base, part = made(*tables, columns)
        found = []
        for alias in ("default", "firestore"):
            drop_left(alias, tables)
            there: list[Any] = []
            try:
                for model in (base, part):
                    with connections[alias].schema_editor() as editor:
                        editor.create_model(model)
                    there.append(model)
                found.append([str(one).replace("RowsRefused", "IntegrityError") for one in answers(alias, base, part)])
            finally:
                for model in reversed(there):
                    with connections[alias].schema_editor() as editor:
                        editor.delete_model(model)
        # Django formats the SQL of joins, and of statements on SQLite, which fails where a name has "%".
        errors = ("raised OperationalError", "raised ValueError", "raised TypeError")
        failed = [number for number, one in enumerate(found[0]) if one in errors]
        same = failed[0] if failed and "%" in "".join((*tables, *columns)) else len(found[0])
        assert found[1][:same] == found[0][:same], (tables, columns)
