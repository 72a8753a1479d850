"""The order of the mirror's loads, and the conditions and links that limit each."""

from __future__ import annotations

from dataclasses import replace

from memory.backends.firestore.mirror.load_plan import (
    JoinGraph,
    Link,
    Page,
    TableRef,
    loads,
    restricted_to,
    with_hidden_refs,
)
from memory.backends.firestore.query.ast import TRUE, Opaque
from memory.backends.firestore.query.plan import Compare, Op, Order
from memory.backends.firestore.values.types import Kind, Ref

KEY = Ref(("id",), Kind.INTEGER, key=True)
FOREIGN = Ref(("author_id",), Kind.INTEGER)
NAME = Ref(("name",), Kind.TEXT)
NARROW = Compare(NAME, Op.EQ, "x")
RANGE = Compare(NAME, Op.GT, "x")

# A note (the first table reference) and its author (the second), joined by the note's foreign key.
TO_AUTHOR = Link(1, KEY, 0, FOREIGN, required=True)
TO_NOTES = Link(0, FOREIGN, 1, KEY, required=True)


def joined(note: object, author: object, *links: Link) -> JoinGraph:
    """A note and its author with these conditions."""
    return JoinGraph((TableRef("note", "note", note), TableRef("author", "author", author)), links)  # type: ignore[arg-type]


def order(graph: JoinGraph, page: Page | None = None) -> list[tuple[str, tuple[Link, ...]]]:
    """Tables in the order of their loads, each with its links."""
    return [(load.table, load.links) for load in loads(graph, page)]


def test_a_forward_key_is_followed_from_loaded_rows() -> None:
    """The rows are loaded first, then the rows that they reference, by key."""
    assert order(joined(NARROW, TRUE, TO_AUTHOR, TO_NOTES)) == [("note", ()), ("author", (TO_AUTHOR,))]


def test_a_condition_on_the_joined_table_is_followed_back() -> None:
    """`filter(author__name=...)` reads the authors first, then their notes."""
    assert order(joined(Opaque("x"), NARROW, TO_AUTHOR, TO_NOTES)) == [("author", ()), ("note", (TO_NOTES,))]


def test_an_equality_comes_before_a_range() -> None:
    """A range may match most of a collection."""
    assert order(joined(RANGE, NARROW, TO_AUTHOR, TO_NOTES)) == [("author", ()), ("note", (TO_NOTES,))]
    assert order(joined(NARROW, RANGE, TO_AUTHOR, TO_NOTES)) == [("note", ()), ("author", (TO_AUTHOR,))]


def test_an_outer_join_is_followed_in_its_own_direction() -> None:
    """Rows without a joined row are relevant too, so the link is not followed back."""
    graph = JoinGraph((TableRef("note", "note"), TableRef("author", "author", NARROW, optional=True)), (TO_AUTHOR,))
    assert order(graph) == [("note", ()), ("author", (TO_AUTHOR,))]


def test_links_to_a_key_are_preferred() -> None:
    """Documents by id are cheaper than a query."""
    other = Link(1, NAME, 2, NAME)
    author = TableRef("author", "a", RANGE)
    graph = JoinGraph((TableRef("note", "n", NARROW), author, TableRef("tag", "t", NARROW)), (other, TO_AUTHOR))
    author_after_note = order(graph)[1]
    assert author_after_note == ("author", (TO_AUTHOR,))
    only_last = JoinGraph(
        (graph.table_refs[0], TableRef("author", "a"), graph.table_refs[2]), (other, replace(TO_AUTHOR, source=2))
    )
    assert order(only_last)[-1] == ("author", (replace(TO_AUTHOR, source=2), other))


def test_a_table_that_must_be_whole_is_loaded_once() -> None:
    """Other references to the table need no load."""
    graph = JoinGraph((TableRef("note", "note", NARROW), TableRef("note", "U0")))
    assert [(load.table, load.condition, load.links) for load in loads(graph)] == [("note", TRUE, ())] * 2


def test_references_that_may_get_links_are_loaded_last() -> None:
    """Independent of their order in the statement."""
    assert order(joined(TRUE, TRUE, TO_NOTES)) == [("author", ()), ("note", (TO_NOTES,))]


def test_a_page_is_loaded_first() -> None:
    """Its rows depend on no other load."""
    page = Page(TRUE, (Order(NAME),), 10, 0)
    assert order(joined(TRUE, NARROW, TO_AUTHOR), page) == [("note", ()), ("author", (TO_AUTHOR,))]
    assert loads(joined(TRUE, TRUE, TO_AUTHOR), page)[0].page == page


def test_skipped_rows_are_read_with_an_inner_join() -> None:
    """An offset counts only rows with a joined row, so the skipped rows are checked too."""
    page = Page(TRUE, (Order(NAME),), 10, 5)
    inner, outer = (joined(TRUE, TRUE, replace(TO_AUTHOR, required=required)) for required in (True, False))
    assert loads(inner, page)[0].page == Page(TRUE, (Order(NAME),), 15, 0, checked=5)
    assert loads(outer, page)[0].page == page


def test_a_table_with_hidden_references_is_loaded_completely() -> None:
    """Raw SQL may contain references that are not in the graph."""
    graph = joined(NARROW, TRUE, TO_AUTHOR)
    assert with_hidden_refs(graph, {("note", "note"): 1, ("author", "author"): 1}) == graph
    found = loads(with_hidden_refs(graph, {("note", "note"): 2, ("author", "author"): 1}))
    assert [load.condition for load in found if load.table == "note"] == [TRUE, TRUE]


def test_references_that_are_not_in_the_sql_are_removed() -> None:
    """Django leaves out conditions that cannot match, including their tables."""
    graph = JoinGraph(
        (TableRef("tag", "t"), TableRef("note", "n"), TableRef("author", "a")), (Link(2, KEY, 1, FOREIGN), TO_AUTHOR)
    )
    assert restricted_to(graph, {"note", "author"}) == JoinGraph(
        (TableRef("note", "n"), TableRef("author", "a")), (Link(1, KEY, 0, FOREIGN),)
    )
