"""Writes of rows with unique constraints: SQLite and Firestore refuse the same ones.

`DIFFERENTIAL_EXAMPLES=3000 pytest tests/differential/test_uniqueness.py` is the long run.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.db.models import F, QuerySet
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from .models import Claim

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "300")) // 15
ALIASES = ("default", "firestore")
NULLS_ALIKE = """
CREATE UNIQUE INDEX IF NOT EXISTS room_slot ON differential_claim (ifnull(room, -1), ifnull(slot, -1))
"""
"""SQLite's words for `nulls_distinct=False`, which Django does not use there; no room and no slot is negative."""

IDS = st.sampled_from("abcdef")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "code": st.none() | st.sampled_from(["k", "l", "m"]),
    "x": st.integers(0, 1),
    "y": st.none() | st.integers(0, 2),
    "email": st.sampled_from(["e", "f"]),
    "active": st.booleans(),
    "room": st.none() | st.sampled_from([0.0, 1, 2.5]),
    "slot": st.none() | st.integers(0, 3),
    "name": st.none() | st.sampled_from(["ann", "ANN", "bob"]),
}
ROWS = st.fixed_dictionaries({"id": IDS, **VALUES})
CHANGES = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.fixed_dictionaries({name: VALUES[name]}))
FILTERS = st.one_of(
    IDS.map(lambda id: {"pk": id}),
    st.lists(IDS, max_size=3).map(lambda ids: {"pk__in": ids}),
    CHANGES,
    st.just({"email__icontains": "E"}),
    st.just({}),
)

CLASSES = (IntegrityError, OperationalError, DatabaseError)
Records = QuerySet[Claim]


class Claims(RuleBasedStateMachine):
    """Each rule runs on both databases and has the same result or the same class of error."""

    @initialize(alone=st.booleans())
    def begin(self, alone: bool) -> None:
        """Both start empty. `alone`: on Firestore each statement is its own commit, outside of blocks."""
        self.alone = alone
        self.blocks: list[ExitStack] = []
        for alias in ALIASES:
            Claim.objects.using(alias).all().delete()

    @precondition(lambda self: not self.blocks)
    @rule()
    def begin_block(self) -> None:
        """Begin a transaction; each of its steps has a savepoint."""
        self.blocks = [ExitStack() for _ in ALIASES]
        for alias, block in zip(ALIASES, self.blocks, strict=True):
            block.enter_context(transaction.atomic(using=alias))

    @precondition(lambda self: self.blocks)
    @rule(forget=st.booleans())
    def end_block(self, forget: bool) -> None:
        """Commit or roll back the transaction."""
        for alias in ALIASES:
            transaction.set_rollback(forget, using=alias)
        blocks, self.blocks = self.blocks, []
        for block in blocks:
            block.close()

    def both(self, work: Callable[[Records], Any], on_sqlite: Callable[[Records], Any] | None = None) -> None:
        """Run the operation on both."""
        outcomes = []
        for alias, one in zip(ALIASES, (on_sqlite or work, work), strict=True):
            try:
                alone = self.alone and alias != "default" and not self.blocks
                with nullcontext() if alone else transaction.atomic(using=alias):
                    answer = one(Claim.objects.using(alias))
                outcomes.append(answer)
            except DatabaseError as error:
                outcomes.append(next(one for one in CLASSES if isinstance(error, one)).__name__)
        assert outcomes[1] == outcomes[0]

    @rule(row=ROWS)
    def create(self, row: dict[str, Any]) -> None:
        """One row."""
        self.both(lambda claims: claims.create(**row).pk)

    @rule(rows=st.lists(ROWS, max_size=4), ignore=st.booleans())
    def bulk_create(self, rows: list[dict[str, Any]], ignore: bool) -> None:
        """Several rows, all or none; or only those without a conflict."""
        self.both(lambda claims: len(claims.bulk_create([Claim(**row) for row in rows], ignore_conflicts=ignore)))

    @rule(
        row=ROWS,
        unique=st.sampled_from([["id"], ["code"], ["x", "y"], ["email"]]),
        fields=st.permutations(sorted(VALUES)),
    )
    def upsert(self, row: dict[str, Any], unique: list[str], fields: list[str]) -> None:
        """The row may exist already, by either of its constraints."""
        self.both(
            lambda claims: len(
                claims.bulk_create(
                    [Claim(**row)], update_conflicts=True, unique_fields=unique, update_fields=fields[:2]
                )
            )
        )

    @rule(chosen=FILTERS, change=CHANGES | st.fixed_dictionaries(VALUES))
    def update(self, chosen: dict[str, Any], change: dict[str, Any]) -> None:
        """The same values for all rows that match."""
        self.both(lambda claims: claims.filter(**chosen).update(**change))

    @rule(chosen=FILTERS, column=st.sampled_from(["x", "y", "slot"]), more=st.sampled_from([1, 2]))
    def increment(self, chosen: dict[str, Any], column: str, more: int) -> None:
        """Shift values past each other; SQLite checks each row separately, so there they take a detour."""

        def detour(claims: Records) -> int:
            ids = list(claims.filter(**chosen).values_list("pk", flat=True))
            claims.filter(pk__in=ids).update(**{column: F(column) + 1000})
            return claims.filter(pk__in=ids).update(**{column: F(column) + more - 1000})

        self.both(lambda claims: claims.filter(**chosen).update(**{column: F(column) + more}), detour)

    @rule(codes=st.dictionaries(IDS, VALUES["code"], min_size=1, max_size=4))
    def exchange(self, codes: dict[str, Any]) -> None:
        """Another code for each of several rows, also exchanged ones; on SQLite they must be free first."""

        def write(claims: Records) -> int:
            rows = list(claims.filter(pk__in=codes))
            for row in rows:
                row.code = codes[row.pk]
            return claims.bulk_update(rows, ["code"]) if rows else 0

        def free(claims: Records) -> int:
            claims.filter(pk__in=codes).update(code=None)
            return write(claims)

        self.both(write, free)

    @rule(id=IDS, change=st.fixed_dictionaries(VALUES))
    def save(self, id: str, change: dict[str, Any]) -> None:
        """Save a loaded row or a new one."""

        def write(claims: Records) -> None:
            row = claims.filter(pk=id).first() or Claim(pk=id)
            for name, value in change.items():
                setattr(row, name, value)
            row.save(using=claims.db)

        self.both(write)

    @rule(row=ROWS)
    def get_or_create(self, row: dict[str, Any]) -> None:
        """By a unique column."""
        self.both(lambda claims: claims.get_or_create(code=row["code"] or "k", defaults=row | {"code": "k"})[1])

    @rule(row=ROWS)
    def update_or_create(self, row: dict[str, Any]) -> None:
        """By two columns that are unique together."""
        values = {name: value for name, value in row.items() if name != "id"}
        self.both(
            lambda claims: claims.update_or_create(x=0, y=1, defaults=values, create_defaults=row | {"x": 0, "y": 1})[1]
        )

    @rule(chosen=FILTERS)
    def delete(self, chosen: dict[str, Any]) -> None:
        """Delete all rows that match."""
        self.both(lambda claims: claims.filter(**chosen).delete()[0])

    @invariant()
    def same_rows(self) -> None:
        """Both have the same rows."""
        rows = [list(Claim.objects.using(alias).order_by("pk").values()) for alias in ALIASES]
        assert rows[1] == rows[0]

    def teardown(self) -> None:
        """Every row has its markers, and every marker its row."""
        if self.blocks:
            self.end_block(forget=False)
        output = io.StringIO()
        call_command(
            "firestore_constraints", "--check", "differential.Claim", database="firestore", stdout=output, stderr=output
        )


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
def test_the_same_writes_are_refused() -> None:
    """Rows are equal after every step, and markers agree with them after every run."""
    with connections["default"].cursor() as cursor:
        cursor.execute(NULLS_ALIKE)
    run_state_machine_as_test(
        Claims,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        ),
    )
