"""Firestore's rules for indexes, by the examples of its documentation: which queries run with which indexes.

Sources: `serving.RULES`. The fields are those of the examples in the pages that the rules name.
"""

from __future__ import annotations

from typing import Any

import pytest

from memory.backends.firestore.indexes.definitions import definition, vector_field
from memory.backends.firestore.indexes.serving import RULES, Catalog
from memory.backends.firestore.query.plan import And, Compare, Get, Measure, Merge, Nearest, Op, Or, Order, Query, Read
from memory.backends.firestore.values.types import DOCUMENT_ID, Kind, Ref

from .test_derive import short


def index(text: str, collection: str = "cities", scope: str = "COLLECTION") -> dict[str, Any]:
    """`country population-`: one index, `-` for descending, `[]` for array-contains, `:3` for a vector."""
    fields: list[dict[str, Any]] = []
    for word in text.split():
        if ":" in word:
            name, dimension = word.split(":")
            fields.append(vector_field(name, int(dimension)))
        elif word.endswith("[]"):
            fields.append({"fieldPath": word[:-2], "arrayConfig": "CONTAINS"})
        else:
            fields.append({"fieldPath": word.rstrip("-"), "order": "DESCENDING" if word[-1] == "-" else "ASCENDING"})
    return {**definition(collection, fields), "queryScope": scope}


def override(path: str, *modes: dict[str, str]) -> dict[str, Any]:
    """The override of a field: its own indexes, none by default."""
    return {"collectionGroup": "cities", "fieldPath": path, "indexes": list(modes)}


def ref(path: str) -> Ref:
    """A field by its path; `__name__` is the document's id."""
    return DOCUMENT_ID if path == "__name__" else Ref(tuple(path.split(".")), Kind.INTEGER)


OPERATORS = {">": Op.GT, "<": Op.LT, "!": Op.NE, "@": Op.ARRAY_CONTAINS, "=": Op.EQ}


def condition(text: str) -> Compare:
    """`a=` is an equality, `a*` an `in`, `a>` a range, `a@` array-contains, `a@@` array-contains-any."""
    if text.endswith("@@"):
        return Compare(ref(text[:-2]), Op.ARRAY_CONTAINS_ANY, (1, 2))
    if text.endswith("*"):
        return Compare(ref(text[:-1]), Op.IN, ("1", "2"))
    if text.endswith("^"):
        return Compare(ref(text[:-1]), Op.NOT_IN, (1, 2))
    return Compare(ref(text[:-1]), OPERATORS[text[-1]], 1)


def query(text: str) -> Query:
    """`country= population> / population-`: conditions, then orders. `a=|b>` is a disjunction."""
    where, _, orders = text.partition("/")
    parts = [
        Or(tuple(condition(one) for one in word.split("|"))) if "|" in word else condition(word)
        for word in where.split()
    ]
    return Query(
        "cities",
        where=None if not parts else parts[0] if len(parts) == 1 else And(tuple(parts)),
        orders=tuple(Order(ref(word.rstrip("-")), word[-1] == "-") for word in orders.split()),
    )


COUNTRY = [index("country population")]
BOTH = [*COUNTRY, index("country population-")]
RESTAURANTS = [index("category star_rating"), index("city star_rating"), index("editors_pick star_rating")]
EXEMPT: list[dict[str, Any]] = [override("population")]

SERVED: list[tuple[str, str, list[dict[str, Any]]]] = [
    ("documents by id", "", []),
    ("documents by id", "/ __name__", []),
    ("documents by id", "__name__>", []),
    ("documents by id", "__name__*", []),
    ("automatic", "state=", []),
    ("automatic", "temperatures.summer=", []),
    ("automatic", "regions@", []),
    ("automatic", "regions@@", []),
    ("equalities", "state= name=", []),
    ("equalities", "country= capital= state= population=", []),
    ("equalities", "country*", []),
    ("equalities", "country* state=", []),
    ("equalities", "regions@ capital=", []),
    ("equalities", "state= __name__*", []),
    ("equalities", "state= __name__>", []),
    ("equality direction", "country= / population", [index("country- population")]),
    ("equality direction", "country= capital= / population", [index("capital country population")]),
    ("one range or order", "population<", []),
    ("one range or order", "population!", []),
    ("one range or order", "population^", []),
    ("one range or order", "/ population-", []),
    ("one range or order", "population> / population-", []),
    ("equality and order", "country= / population", COUNTRY),
    ("equality and order", "country= population<", COUNTRY),
    ("equality and order", "country* population>", COUNTRY),
    ("equality and order", "regions@ / population", [index("regions[] population")]),
    ("order direction", "country= population< / population-", BOTH),
    ("order direction", "/ population name-", [index("population name-")]),
    ("name direction", "country= / population __name__", COUNTRY),
    ("name direction", "country= / __name__-", []),
    ("name direction", "/ population __name__-", [index("population __name__-")]),
    ("merging", "category= / star_rating", RESTAURANTS),
    ("merging", "category= city= / star_rating", RESTAURANTS),
    ("merging", "category= city= editors_pick= / star_rating", RESTAURANTS),
    ("merging", "editors_pick= / star_rating", RESTAURANTS),
    ("merging", "category= star_rating>", RESTAURANTS),
    ("merging", "category* city= / star_rating", RESTAURANTS),
    ("several ranges", "population> density<", [index("density population")]),
    ("several ranges", "population> density< / population", [index("population density")]),
    ("several ranges", "country= population> density< / population-", [index("country population- density-")]),
    ("disjunctions", "state=|name=", []),
    ("disjunctions", "country=|capital= / population", [index("country population"), index("capital population")]),
    ("disjunctions", "capital= population=|population>", [index("capital population")]),
    ("exemptions", "country= / population", [*COUNTRY, *EXEMPT]),
    ("exemptions", "population=", [override("population", {"order": "ASCENDING", "queryScope": "COLLECTION"})]),
    (
        "exemptions",
        "temperatures.summer=",
        [override("temperatures"), override("temperatures.summer", {"order": "ASCENDING"})],
    ),
    (
        "scope",
        "country= / population",
        [index("country population", scope="COLLECTION"), index("country- population-")],
    ),
]

REFUSED: list[tuple[str, str, list[dict[str, Any]], str]] = [
    ("documents by id", "/ __name__-", [], "__name__-"),
    ("documents by id", "__name__> / __name__-", [], "__name__-"),
    ("equality and order", "country= / population", [], "country population"),
    ("equality and order", "country= population<", [], "country population"),
    ("equality and order", "country* population>", [index("population country")], "country population"),
    ("equality and order", "regions@ / population", [index("regions population")], "regions[] population"),
    ("order direction", "country= / population-", COUNTRY, "country population-"),
    ("order direction", "/ population name-", [index("population- name")], "population name-"),
    ("name direction", "country= / population __name__-", COUNTRY, "country population __name__-"),
    (
        "merging",
        "category= city= editors_pick= / star_rating",
        RESTAURANTS[:2],
        "category city editors_pick star_rating",
    ),
    ("merging", "category= city= / star_rating-", RESTAURANTS, "category city star_rating-"),
    (
        "merging",
        "category= city= / star_rating",
        [index("category star_rating"), index("city name star_rating")],
        "category city star_rating",
    ),
    ("several ranges", "population> density<", [index("population density")], "density population"),
    (
        "several ranges",
        "country= population> density<",
        [index("country density population-")],
        "country density population",
    ),
    ("several ranges", "/ state population", [index("state population name")], "state population"),
    ("disjunctions", "country=|capital= / population", COUNTRY, "capital population"),
    ("disjunctions", "country=|population>", [], "country population"),
    ("exemptions", "population=", EXEMPT, "population"),
    ("exemptions", "/ population", EXEMPT, "population"),
    ("exemptions", "temperatures.summer=", [override("temperatures")], "temperatures.summer"),
    ("exemptions", "state=", [override("*")], "state"),
    ("exemptions", "__name__= state=", [override("*")], "state"),
    ("automatic", "regions@", [override("regions", {"order": "ASCENDING"})], "regions[]"),
    ("scope", "country= / population", [index("country population", scope="COLLECTION_GROUP")], "country population"),
    ("scope", "country= / population", [index("country population", "landmarks")], "country population"),
]


def catalog(entries: list[dict[str, Any]]) -> Catalog:
    """The catalog of indexes and overrides."""
    return Catalog([one for one in entries if "fields" in one], [one for one in entries if "fields" not in one])


@pytest.mark.parametrize(("rule", "asked", "entries"), SERVED, ids=str)
def test_a_query_with_its_index_is_served(rule: str, asked: str, entries: list[dict[str, Any]]) -> None:
    """As the documentation has it; each rule is one of the table."""
    assert rule in RULES
    assert catalog(entries).missing(query(asked)) is None


@pytest.mark.parametrize(("rule", "asked", "entries", "wanted"), REFUSED, ids=str)
def test_a_query_without_its_index_is_refused(
    rule: str, asked: str, entries: list[dict[str, Any]], wanted: str
) -> None:
    """The definition is the index to add: with it, the query is served."""
    assert rule in RULES
    missing = catalog(entries).missing(query(asked))
    assert short(missing) == wanted
    assert missing is not None
    assert catalog([*entries, missing]).serves(query(asked))


VECTOR = Ref(("embedding",), Kind.VECTOR)


def nearest(where: str, dimension: int = 3) -> Read:
    """A vector search among the rows of a filter."""
    return Nearest(query(where), VECTOR, (0.5,) * dimension, Measure.COSINE, 5)


@pytest.mark.parametrize(
    ("read", "entries", "wanted"),
    [
        (nearest(""), [], "embedding3"),
        (nearest(""), [index("embedding:3")], None),
        (nearest("", 4), [index("embedding:3")], "embedding4"),
        (nearest("color="), [index("embedding:3")], "color embedding3"),
        (nearest("color="), [index("color embedding:3")], None),
        (nearest("color= size="), [index("size- color embedding:3")], None),
        (nearest("color= size="), [index("color embedding:3"), index("size embedding:3")], "color size embedding3"),
        (nearest("color= size>"), [index("color size embedding:3")], None),
    ],
    ids=str,
)
def test_vector_indexes(read: Read, entries: list[dict[str, Any]], wanted: str | None) -> None:
    """One index with the fields of the filters, and the vector last; they are not merged."""
    assert short(catalog(entries).missing(read)) == wanted


@pytest.mark.parametrize(
    ("asked", "entries", "wanted"),
    [
        ("", [], None),
        ("population>", [], None),
        ("state=", [], "state population"),
        ("state=", [index("state population")], None),
        ("state=", [index("state population-")], None),
        ("state= capital=", [index("state population"), index("capital population")], None),
        ("state= name>", [index("state name population")], None),
    ],
)
def test_aggregates_need_their_field(asked: str, entries: list[dict[str, Any]], wanted: str | None) -> None:
    """After the fields of filters and orders."""
    assert short(catalog(entries).missing(query(asked), [ref("population")])) == wanted


def test_reads_by_id_and_merged_reads() -> None:
    """Ids need no index; each branch of a merge needs its own."""
    assert catalog([]).serves(Get("cities", ("1",)))
    branches = (query("state="), query("country= / population"))
    assert short(catalog([]).missing(Merge(branches))) == "country population"
    assert catalog(COUNTRY).serves(Merge(branches))


def test_paths_are_compared_by_their_meaning() -> None:
    """A manifest may quote a path where it need not be, or name a key that must be quoted."""
    asked = Query("cities", where=And((Compare(Ref(("m", "a b"), Kind.JSON), Op.EQ, 1), condition("country="))),
                  orders=(Order(ref("population")),))  # fmt: skip
    assert catalog([index("m.`a_b` country population")]).missing(asked) is not None
    entry = definition(
        "cities", [{"fieldPath": path, "order": "ASCENDING"} for path in ("`country`", "m.`a b`", "population")]
    )
    assert catalog([entry]).serves(asked)


def test_each_rule_has_examples_and_a_source() -> None:
    """The table names no rule that nothing checks."""
    others = {"vectors", "aggregates"}
    assert {rule for rule, *_ in (*SERVED, *REFUSED)} | others == set(RULES)
    assert all(source.startswith("https://") for _, source in RULES.values())
