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


@pytest.mark.parametrize(
    ("question", "language", "expected"),
    [
        ("Was war im April 2024?", "german", [Named(4, 2024)]),
        ("was haben wir im märz gemacht", "german", [Named(3, None)]),
        ("¿Qué lesión tuve en julio de 2024?", "spanish", [Named(7, 2024)]),
        ("¿Qué dijo Julio?", "spanish", []),
        ("Qu'avons-nous fait en août ?", "french", [Named(8, None)]),
        ("O que fizemos em março?", "portuguese", [Named(3, None)]),
        ("Cosa abbiamo fatto a maggio?", "italian", [Named(5, None)]),
        ("Wat deden we in mei?", "dutch", [Named(5, None)]),
        ("لماذا غاب زوجي في مايو؟", "arabic", [Named(5, None)]),
        ("ماذا حدث بآذار ٢٠٢٤؟", "arabic", [Named(3, 2024)]),
        ("ماذا حدث في كانون الثاني؟", "arabic", [Named(1, None)]),
        ("जनवरी २०२४ में क्या हुआ?", "hindi", [Named(1, 2024)]),
        ("फ़रवरी में हम कहाँ गए थे?", "hindi", [Named(2, None)]),
        ("2024年3月发生了什么", "chinese", [Named(3, 2024)]),
        ("十二月的计划是什么", "chinese", [Named(12, None)]),
        ("2023年去了哪里", "chinese", [Named(None, 2023)]),
        ("他病了三个月", "chinese", []),
        ("３月５日に何をした", "japanese", [Named(3, None)]),
        ("3ヶ月前は", "japanese", []),
        ("5월에 어디 갔어?", "korean", [Named(5, None)]),
    ],
)
def test_months_of_other_languages_are_read(question: str, language: str, expected: list[Named]) -> None:
    """By their names or numbers; a name of a person, or a number of months, is not one."""
    assert list(named(question, language)) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where did she go in May ٢٠٢٣?", [Named(5, 2023)]),
        ("What happened in ２０２４?", [Named(None, 2024)]),  # noqa: RUF001
        ("What happened in २०२४?", [Named(None, 2024)]),
        ("What happened on 2024-03-05?", [Named(3, 2024)]),
        ("What happened on 5.3.2024?", [Named(3, 2024)]),
        ("What happened in 2023-2024?", [Named(None, 2023), Named(None, 2024)]),
        ("What happened in 2023, and in 2024?", [Named(None, 2023), Named(None, 2024)]),
        ("Where is order ORD-2024-118?", []),
        ("What cost 12,2024.50?", []),
        ("Which phone number ends with 2024-7788?", []),
    ],
)
def test_digits_of_all_scripts_and_written_dates_are_read(question: str, expected: list[Named]) -> None:
    """Parts of product ids, prices and phone numbers are not years."""
    assert list(named(question, "english")) == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [(Named(5, 2023), True), (Named(5, None), True), (Named(None, 2023), True), (Named(6, 2023), False)],
)
def test_a_time_lies_in_a_month_or_not(date: Named, expected: bool) -> None:
    """A month without a year matches any year; a year alone matches all its months."""
    assert date.has(datetime(2023, 5, 31, 23, 59, tzinfo=UTC)) is expected
