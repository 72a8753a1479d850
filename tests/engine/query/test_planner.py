"""Planning of trees: pure data in, pure data out."""

from __future__ import annotations

from typing import Any

import pytest

from memory.backends.firestore.query.ast import FALSE, TRUE, Condition, Not, Opaque, Select, all_of, any_of
from memory.backends.firestore.query.evaluate import columns_of
from memory.backends.firestore.query.normalize import negation_normal_form
from memory.backends.firestore.query.plan import And, Compare, Get, Merge, Op, Or, Order, Query
from memory.backends.firestore.query.planner import LEAST, NoRows, NotNative, SortedGet, plan, superset
from memory.backends.firestore.rpc.codec import value
from memory.backends.firestore.values.document_ids import document_id
from memory.backends.firestore.values.types import DOCUMENT_ID, Kind, Ref

KEY = Ref(("id",), Kind.TEXT, key=True)
NUMBER_KEY = Ref(("id",), Kind.INTEGER, key=True)
N = Ref(("n",), Kind.INTEGER)
M = Ref(("m",), Kind.INTEGER)
FLAG = Ref(("flag",), Kind.BOOLEAN)
TEXT = Ref(("text",), Kind.TEXT)
PATH = Ref(("data", "a"), Kind.JSON)
OTHER_PATH = Ref(("data", "b"), Kind.JSON)


def select(where: Condition = TRUE, *orders: Order, key: Ref = KEY, **more: Any) -> Select:
    return Select("things", key, (key,), where, tuple(orders), **more)


def eq(value: Any, ref: Ref = N) -> Compare:
    return Compare(ref, Op.EQ, value)


def query(where: Any = None, *orders: Order, **more: Any) -> Query:
    return Query("things", (KEY,), where, tuple(orders), **more)


@pytest.mark.parametrize(
    ("negated", "expected"),
    [
        (eq(1), Compare(N, Op.NE, 1)),
        (Compare(N, Op.LT, 1), Compare(N, Op.GE, 1)),
        (Compare(N, Op.GT, 1), Compare(N, Op.LE, 1)),
        (Compare(N, Op.IN, (1, 2)), Compare(N, Op.NOT_IN, (1, 2))),
        (Compare(N, Op.IN, (1,)), Compare(N, Op.NE, 1)),
        (Compare(N, Op.IN, ()), Compare(N, Op.IS_NOT_NULL)),
        (Compare(N, Op.IS_NULL), Compare(N, Op.IS_NOT_NULL)),
        (eq(True, FLAG), eq(False, FLAG)),
        (Not(eq(1)), eq(1)),
        (TRUE, FALSE),
        (
            all_of([eq(1), Compare(N, Op.IS_NOT_NULL)]),
            any_of([Compare(N, Op.NE, 1), Compare(N, Op.IS_NULL)]),
        ),
        (any_of([eq(1), eq(2, M)]), all_of([Compare(N, Op.NE, 1), Compare(M, Op.NE, 2)])),
    ],
)
def test_negation_is_pushed_to_the_leaves_with_sqls_null(negated: Condition, expected: Condition) -> None:
    """NOT of a comparison is the opposite comparison; null matches neither."""
    assert negation_normal_form(Not(negated)) == expected


def test_negated_json_keys_are_not_native() -> None:
    """A missing key is null in SQL and not indexed by Firestore, so `exclude(data__a=1)` needs the mirror."""
    assert isinstance(plan(select(Not(eq(1, PATH)))), NotNative)


def test_a_filter_by_key_alone_is_a_batch_get() -> None:
    """Keys are converted to document ids, without duplicates."""
    assert plan(select(eq("a", KEY))) == Get("things", ("a",), (KEY,))
    numbers = plan(select(Compare(NUMBER_KEY, Op.IN, (7, 3, 7)), key=NUMBER_KEY))
    assert numbers == Get("things", ("0000000000000000003", "0000000000000000007"), (NUMBER_KEY,))


@pytest.mark.parametrize(("key", "id"), [("", "\x01"), ("a/b", "a.\U0010ffff1b"), ("__x__", "__x__\x01")])
def test_a_key_that_is_not_a_valid_id_is_escaped(key: str, id: str) -> None:
    """Firestore would reject the key as an id."""
    assert plan(select(eq(key, KEY))) == Get("things", (id,), (KEY,))


def test_a_key_without_an_id_matches_nothing() -> None:
    """No document can have it, so none is read."""
    assert plan(select(eq("\ud800", KEY))) == NoRows()


def test_a_long_key_is_a_get_and_not_a_filter() -> None:
    """Firestore takes no filter on a value of more than 1,500 bytes, but ids are shortened."""
    key = "k" * 2_000
    assert isinstance(plan(select(eq(key, KEY))), Get)
    assert isinstance(plan(select(all_of([eq(key, KEY), eq(1, N)]))), SortedGet)
    assert isinstance(superset(select(all_of([eq(key, KEY), eq(1, N)]))), Get)
    assert superset(select(any_of([eq(key, KEY), eq(1, N)]))) == Query("things", (KEY,))


def test_documents_by_key_are_sorted_by_the_caller() -> None:
    """A batch get has no order, so its rows include the sort keys."""
    answer = plan(select(Compare(KEY, Op.IN, ("b", "a")), Order(N, descending=True), limit=1))
    assert answer == SortedGet(Get("things", ("a", "b"), (KEY, N)), ((1, True),), 1, 0, 1)


@pytest.mark.parametrize(
    "residue",
    [
        eq(1),
        Compare(N, Op.GT, 1),
        any_of([Compare(N, Op.IS_NULL), Compare(M, Op.GE, 2)]),
        all_of([Compare(TEXT, Op.GE, "a"), Compare(TEXT, Op.LT, "b")]),
        Compare(KEY, Op.IN, ("a", "c")),
        eq(1, PATH),
    ],
)
def test_a_key_beside_other_conditions_is_a_get(residue: Condition) -> None:
    """The caller evaluates them on the row, so it includes the columns that they compare."""
    answer = plan(select(all_of([eq("a", KEY), residue])))
    assert isinstance(answer, SortedGet)
    assert answer.read.ids == ("a",)
    assert (answer.width, answer.residue) == (1, residue)
    compared = {Ref(("data",), Kind.JSON)} if residue == eq(1, PATH) else set(columns_of(residue))
    assert compared <= set(answer.read.columns)


def test_a_key_beside_a_condition_that_is_not_evaluated_needs_the_mirror() -> None:
    """The mirror reads the one document."""
    where = all_of([eq("a", KEY), Opaque("text__icontains")])
    assert plan(select(where)) == NotNative(("text__icontains",))
    assert superset(select(where)) == Get("things", ("a",), (KEY,))


@pytest.mark.parametrize(("key", "value"), [(KEY, "a/b"), (NUMBER_KEY, 7)])
def test_a_key_that_is_excluded_beside_equalities_is_compared_by_its_name(key: Ref, value: Any) -> None:
    """As Django validates unique fields: an equality and the document's name need no composite index."""
    where = all_of([eq(1), Compare(key, Op.NE, value)])
    planned = plan(select(where, key=key, limit=1))
    assert isinstance(planned, Query)
    assert planned.where == And((eq(1), Compare(DOCUMENT_ID, Op.NE, document_id(value, key.kind))))


@pytest.mark.parametrize(
    ("where", "orders"),
    [
        (Compare(KEY, Op.NE, "a"), ()),
        (all_of([Compare(N, Op.GT, 1), Compare(KEY, Op.NE, "a")]), ()),
        (all_of([eq(1), Compare(KEY, Op.NE, "a")]), (Order(M),)),
    ],
)
def test_other_queries_that_exclude_a_key_compare_its_field(where: Condition, orders: tuple[Order, ...]) -> None:
    """A range or an order on another field needs a composite index anyway."""
    planned = plan(select(where, *orders))
    assert isinstance(planned, Query)
    assert planned.where == (And(tuple(where.children)) if not isinstance(where, Compare) else where)


@pytest.mark.parametrize(
    ("where", "orders", "expected"),
    [
        (TRUE, [Order(KEY)], [Order(DOCUMENT_ID)]),
        (TRUE, [Order(KEY, True)], [Order(KEY, True)]),
        (TRUE, [Order(N, True), Order(KEY, True)], [Order(N, True), Order(DOCUMENT_ID, True)]),
        (TRUE, [Order(KEY), Order(N)], [Order(DOCUMENT_ID)]),
        (TRUE, [Order(N), Order(N, True)], [Order(N)]),
        (Compare(N, Op.GT, 1), [Order(N), Order(KEY)], [Order(N), Order(DOCUMENT_ID)]),
        (Compare(N, Op.GT, 1), [Order(M), Order(KEY)], [Order(M), Order(KEY)]),
    ],
)
def test_orders_use_the_document_name_for_the_key_if_firestore_allows(
    where: Condition, orders: list[Order], expected: list[Order]
) -> None:
    """Unless it is the first order and descending, or precedes an inequality's field. Nothing follows the key."""
    answer = plan(select(where, *orders))
    assert isinstance(answer, Query)
    assert list(answer.orders) == expected


def test_a_wide_in_is_split_and_merged_by_the_orders() -> None:
    """65 values are three queries of at most 30, merged in order, with slices applied to the whole."""
    answer = plan(select(Compare(N, Op.IN, tuple(range(65))), Order(M), limit=5, offset=2))
    assert isinstance(answer, Merge)
    assert (answer.limit, answer.offset) == (5, 2)
    sizes = [len(branch.where.value) for branch in answer.branches if isinstance(branch.where, Compare)]
    assert sum(sizes) == 65
    assert max(sizes) <= 30
    assert {branch.orders for branch in answer.branches} == {(Order(M), Order(DOCUMENT_ID))}
    assert {branch.limit for branch in answer.branches} == {None}


def test_two_ins_stay_within_thirty_disjunctions() -> None:
    """The disjunctive normal form of each query has at most 30 disjuncts."""
    where = all_of([Compare(N, Op.IN, tuple(range(12))), Compare(M, Op.IN, tuple(range(6)))])
    answer = plan(select(where))
    assert isinstance(answer, Merge)
    pairs = set()
    for branch in answer.branches:
        assert isinstance(branch.where, And)
        values = [part.value if part.op is Op.IN else (part.value,) for part in branch.where.children]
        assert len(values[0]) * len(values[1]) <= 30
        refs = [part.ref for part in branch.where.children]
        product = {(a, b) for a in values[refs.index(N)] for b in values[refs.index(M)]}
        assert not pairs & product
        pairs |= product
    assert len(pairs) == 72


def test_a_second_unequal_becomes_ranges() -> None:
    """Firestore supports one `!=` per query; the other becomes `< or >`."""
    answer = plan(select(all_of([Compare(N, Op.NE, 1), Compare(M, Op.NE, 2)])))
    assert isinstance(answer, Merge)
    first = [part for branch in answer.branches for part in branch.where.children]  # type: ignore[union-attr]
    assert Compare(N, Op.LT, 1) in first
    assert Compare(N, Op.GT, 1) in first


@pytest.mark.parametrize("kind", sorted(LEAST))
def test_a_second_not_null_becomes_a_range(kind: Kind) -> None:
    """Firestore supports one `is not null` per query; the other becomes `>=` the smallest value of its kind."""
    one, other = Ref(("one",), kind), Ref(("other",), kind)
    where = all_of([Compare(one, Op.IS_NOT_NULL), Compare(other, Op.IS_NOT_NULL)])
    assert plan(select(where)) == query(And((Compare(other, Op.IS_NOT_NULL), Compare(one, Op.GE, LEAST[kind]))))
    value(LEAST[kind], kind)


def test_not_in_is_not_part_of_a_disjunction() -> None:
    """With an `or` it gets its own query; with an `in` it becomes the ranges between its values."""
    out = Compare(N, Op.NOT_IN, (3, 1))
    answer = plan(select(any_of([out, Compare(N, Op.IS_NULL)])))
    assert isinstance(answer, Merge)
    assert [branch.where for branch in answer.branches] == [out, Compare(N, Op.IS_NULL)]
    answer = plan(select(all_of([Compare(M, Op.IN, (5, 6)), out])))
    assert isinstance(answer, Merge)
    assert [branch.where for branch in answer.branches] == [
        And((Compare(M, Op.IN, (5, 6)), Compare(N, Op.LT, 1))),
        And((Compare(M, Op.IN, (5, 6)), Compare(N, Op.GT, 1), Compare(N, Op.LT, 3))),
        And((Compare(M, Op.IN, (5, 6)), Compare(N, Op.GT, 3))),
    ]


def test_inequalities_on_json_keys_are_not_joined_by_or() -> None:
    """An inequality inside OR excludes documents without that key from all branches, so each gets its own query."""
    present = Compare(PATH, Op.IS_NOT_NULL), Compare(OTHER_PATH, Op.IS_NOT_NULL)
    answer = plan(select(any_of(present)))
    assert isinstance(answer, Merge)
    assert [branch.where for branch in answer.branches] == list(present)


def test_unsupported_conditions_are_named() -> None:
    """`unsupported` is the lookup in the syntax of `filter()`."""
    where = all_of([eq(1), Opaque("text__icontains")])
    assert plan(select(where)) == NotNative(("text__icontains",))


def test_the_superset_keeps_every_supported_conjunct() -> None:
    """Opaque parts are removed from conjunctions; a disjunction with an opaque part is removed."""
    either = any_of([eq(2, M), Opaque("y")])
    assert superset(select(all_of([eq(1), Opaque("x"), either]), limit=3)) == query(eq(1))
    assert superset(select(either)) == query()


def test_a_value_too_long_to_compare_is_not_sent() -> None:
    """The limit is 1,500 bytes, including one for the end of a text."""
    assert isinstance(plan(select(eq("x" * 1500, TEXT))), NotNative)
    assert isinstance(plan(select(eq("x" * 1499, TEXT))), Query)


def test_nothing_is_read_if_no_row_can_match() -> None:
    """A false condition and a limit of 0 need no call."""
    assert plan(select(FALSE)) == NoRows()
    assert plan(select(limit=0)) == NoRows()
    assert plan(select(Compare(N, Op.IN, ()))) == NoRows()


def test_implied_not_null_is_dropped() -> None:
    """`x > 1 and x is not null` is `x > 1`: a second inequality would cost an index."""
    where = all_of([Compare(N, Op.GT, 1), Compare(N, Op.IS_NOT_NULL)])
    assert plan(select(where)) == query(Compare(N, Op.GT, 1))


def test_one_and_true_are_two_values() -> None:
    """In JSON 1 and true are different, although they are equal in Python."""
    answer = plan(select(Compare(PATH, Op.IN, (1, True, 1))))
    assert answer == query(Compare(PATH, Op.IN, (1, True)))
    assert isinstance(answer, Query)
    assert isinstance(answer.where, Compare)
    assert [type(value) for value in answer.where.value] == [int, bool]


def test_or_of_plain_comparisons_is_one_query() -> None:
    """Up to 30 disjuncts are one query."""
    assert plan(select(any_of([eq(1), eq(2, M)]))) == query(Or((eq(1), eq(2, M))))


WORDS = Ref(("words",), Kind.JSON)


def test_a_list_of_words_is_split_like_an_in() -> None:
    """Up to thirty words per query, fewer with another disjunction; a single word becomes `array-contains`."""
    wanted = tuple(f"w{number}" for number in range(31))
    answer = plan(select(Compare(WORDS, Op.ARRAY_CONTAINS_ANY, wanted)))
    assert isinstance(answer, Merge)
    leaves = [branch.where for branch in answer.branches]
    assert all(isinstance(leaf, Compare) for leaf in leaves)
    found = [word for leaf in leaves for word in ([leaf.value] if leaf.op is Op.ARRAY_CONTAINS else leaf.value)]  # type: ignore[union-attr]
    assert found == list(wanted)
    assert leaves[-1] == Compare(WORDS, Op.ARRAY_CONTAINS, "w30")


def test_one_array_comparison_per_query() -> None:
    """Firestore does not support two; the mirror is loaded by the first."""
    both = all_of([Compare(WORDS, Op.ARRAY_CONTAINS, "a"), Compare(WORDS, Op.ARRAY_CONTAINS, "b"), eq(1)])
    assert isinstance(plan(select(both)), NotNative)
    assert superset(select(both)) == query(And((Compare(WORDS, Op.ARRAY_CONTAINS, "a"), eq(1))))
