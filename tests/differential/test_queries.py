"""Hypothesis searches for queries whose results differ between the databases.

`DIFFERENTIAL_EXAMPLES=5000 pytest tests/differential` is the long run; a few hundred are the default.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Q
from hypothesis import example, given
from hypothesis import strategies as st

from .examples import examples
from .models import Everything
from .queries import STORIES, Story, outcome, plain, rows

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "300"))
IN_A_TRANSACTION = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "15"))


# Durations are microseconds in 64 bits.
LEAST = timedelta(microseconds=-(2**63))
ROW = {"id": "é", "number": 1, "name": "a", "moment": datetime(2025, 1, 1, tzinfo=UTC)}


def fill(alias: str, records: list[dict[str, Any]]) -> None:
    """Make these the only records of a database."""
    Everything.objects.using(alias).all().delete()
    Everything.objects.using(alias).bulk_create(Everything(**values) for values in records)


@pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)
class TestQueries:
    """Reads and writes of a model with every field type."""

    @examples(EXAMPLES)
    @given(records=rows(), story=STORIES)
    # An id outside ASCII made a header that gRPC refuses.
    @example(records=[ROW], story=Story((("filter", Q(id="é")),), (), None, "get"))
    # The shortest duration exceeded 64 bits on the wire.
    @example(records=[{**ROW, "span": LEAST}], story=Story((("filter", Q(span=LEAST)),), (), None, "list"))
    # A number with more digits than the column raised an error, or was rounded first.
    @example(
        records=[{**ROW, "exact": Decimal("1.5")}], story=Story((("filter", Q(exact__lt="1e12")),), (), None, "list")
    )
    @example(
        records=[{**ROW, "exact": Decimal("1.5")}], story=Story((("filter", Q(exact="1.50001")),), (), None, "list")
    )
    def test_same_answer(self, records: list[dict[str, Any]], story: Story) -> None:
        """The same rows, numbers and counts, or the same class of error."""
        answers = []
        for alias in ("default", "firestore"):
            fill(alias, records)
            answers.append(outcome(lambda alias=alias: story.run(Everything.objects.using(alias))))  # type: ignore[misc]
        assert answers[1] == answers[0]

    @examples(IN_A_TRANSACTION)
    @given(records=rows(), changed=rows(4), committed=st.integers(0, 8), story=STORIES)
    def test_same_answer_in_a_transaction(
        self, records: list[dict[str, Any]], changed: list[dict[str, Any]], committed: int, story: Story
    ) -> None:
        """Of committed rows and of the transaction's own, some of them changed, and the same rows after it."""
        answers = []
        for alias in ("default", "firestore"):
            query = Everything.objects.using(alias)
            fill(alias, records[:committed])
            with transaction.atomic(using=alias):
                query.bulk_create(Everything(**values) for values in records[committed:])
                for values in changed:
                    Everything(**values).save(using=alias)
                found = outcome(lambda query=query: story.run(query.all()))  # type: ignore[misc]
            answers.append((found, outcome(lambda query=query: plain(query.order_by("pk")))))  # type: ignore[misc]
        assert answers[1] == answers[0]
