"""The months and years that a question names."""

from datetime import UTC, datetime

import pytest

from memory.search.dates import Named, named


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where did she go in May 2023?", [Named(5, 2023)]),
        ("Where did she go on March 4th, 2024?", [Named(3, 2024)]),
        ("What happened in October?", [Named(10, None)]),
        ("What happened in 2024?", [Named(None, 2024)]),
        ("What did they plan in 2024, at the end of June?", [Named(6, 2024)]),
        ("Was it in June or July?", [Named(6, None), Named(7, None)]),
        ("May I ask how the march went?", []),
        ("What cost 2500 dollars?", []),
    ],
)
def test_months_and_years_are_read(question: str, expected: list[Named]) -> None:
    """A month and a year that belong together are combined; words that only look like months are ignored."""
    assert list(named(question, "english")) == expected


def test_other_languages_name_none() -> None:
    """Their names of months are not recognized."""
    assert named("Was war im April 2024?", "german") == ()


@pytest.mark.parametrize(
    ("date", "expected"),
    [(Named(5, 2023), True), (Named(5, None), True), (Named(None, 2023), True), (Named(6, 2023), False)],
)
def test_a_time_lies_in_a_month_or_not(date: Named, expected: bool) -> None:
    """A month without a year matches any year; a year alone matches all its months."""
    assert date.has(datetime(2023, 5, 31, 23, 59, tzinfo=UTC)) is expected
