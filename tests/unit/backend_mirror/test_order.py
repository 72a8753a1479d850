"""In which order the mirror loads tables, and which one narrows which."""

from __future__ import annotations

from memory.backends.firestore.mirror import in_order, turned
from memory.backends.firestore.plan import Compare, Kind, Op, Ref
from memory.backends.firestore.question import Link, Use
from memory.backends.firestore.tree import TRUE, Opaque

NARROW = Compare(Ref(("name",), Kind.TEXT), Op.EQ, "x")
TO_AUTHOR = Link("id", "note", "author_id", inner=True)


def test_a_joined_table_is_read_by_the_values_of_its_parent() -> None:
    """Parents come first, however the statement names them."""
    uses = {"author": [Use(TRUE, TO_AUTHOR)], "note": [Use(NARROW)]}
    assert turned(dict(uses)) == uses
    assert list(in_order(["author", "note"], uses)) == ["note", "author"]


def test_a_join_is_turned_round_where_only_the_joined_table_can_be_narrowed() -> None:
    """`filter(author__name=...)` reads the authors first, then their notes."""
    uses = turned({"note": [Use(Opaque("x"))], "author": [Use(NARROW, TO_AUTHOR)]})
    assert uses == {"note": [Use(Opaque("x"), Link("author_id", "author", "id", inner=True))], "author": [Use(NARROW)]}
    assert list(in_order(["note", "author"], uses)) == ["author", "note"]


def test_an_outer_join_is_never_turned_round() -> None:
    """Rows of the parent without a partner matter too."""
    outer = Link("id", "note", "author_id", inner=False)
    uses = {"note": [Use(TRUE)], "author": [Use(NARROW, outer)]}
    assert turned(dict(uses)) == uses


def test_a_table_joined_to_itself_is_read_whole() -> None:
    """Its parent cannot come first."""
    uses = {"note": [Use(NARROW), Use(TRUE, Link("id", "note", "parent_id", inner=True))]}
    assert list(in_order(["note"], uses)) == ["note"]
    assert [use.link for use in uses["note"]] == [None, None]
