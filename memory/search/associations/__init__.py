"""Words of answers that are associated with words of questions: hobby and pottery, hurt and sprained.

One table for a language, a text beside this file, written from common knowledge: to the left the words of
questions, to the right those of answers. It goes one way: who asks for a hobby hears of pottery, but who asks for
pottery means pottery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from ..terms import terms

Associations = Mapping[str, frozenset[str]]


@cache
def associations(language: str) -> Associations:
    """The terms associated with each term of a question; empty for a language without a table."""
    table = Path(__file__).with_name(f"{language}.txt")
    return read(table.read_text("utf-8").splitlines(), language) if table.exists() else {}


def read(lines: Iterable[str], language: str) -> Associations:
    """A table of lines `question's words, by commas: answers' words, by spaces`; what occurs again is added up.

    Raises `ValueError` for a line without a colon.
    """
    found: dict[str, frozenset[str]] = {}
    for line in lines:
        words, colon, answers = line.partition(":")
        if not colon:
            raise ValueError(
                f"No colon in the table of associations: {line!r}. Write: `hobby, pastime: pottery choir`."
            )
        brought = frozenset(terms(answers, language))
        for term in terms(words, language):
            found[term] = found.get(term, frozenset()) | brought
    return found
