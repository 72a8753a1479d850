"""`firestore.indexes.json`: the indexes and field settings that models need, from the models themselves.

- `Meta.indexes` of two fields and more are composite indexes, as declared. The primary key at the end of one stands for
  `__name__`, which every index ends in.
- A field that says when a document expires (by its name, `expiration` unless told otherwise) gets a TTL policy, and
  each sort order one more index for readers who leave out what has expired: with the expiration where the planner asks
  for it.
- Django's own models get what its admin asks of them (`OF_DJANGO`).
- A vector field gets an index of its own and one below each field that an index filters by first, since vectors are
  searched among one owner's. One that names `searched_with`, fields that its searches always compare, gets one below
  these and all that an index filters by, instead.
- A field that `is_array` gets an index with all that an index filters by and its order, for each that ends in a
  descending one: the newest that hold a value. It gets none by itself.

The format is that of the Firebase CLI. https://firebase.google.com/docs/reference/firestore/indexes
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import models

from ..query.ast import Condition, Select, all_of, any_of
from ..query.plan import And, Compare, Filter, Measure, Merge, Nearest, Op, Order, Query
from ..query.planner import plan
from ..values import document_ids
from ..values.types import FIELD_KINDS, Kind, Ref
from .derive import Definition, definition, needed, sorted_field, vector_field

SOME_TIME: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

OF_DJANGO: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "admin.LogEntry": (("user", "-action_time"), ("content_type", "object_id", "action_time")),
    "auth.User": (("is_active", "username"), ("is_staff", "username"), ("is_superuser", "username")),
}
"""Sort orders of Django's own lists, whose models declare no indexes for them: the admin's recent actions, an object's
history, users by their state."""

AUTOMATIC: Final = (
    {"order": "ASCENDING", "queryScope": "COLLECTION"},
    {"order": "DESCENDING", "queryScope": "COLLECTION"},
    {"arrayConfig": "CONTAINS", "queryScope": "COLLECTION"},
)
"""What Firestore indexes of every field by itself; an override that is silent about it would switch it off."""


@dataclass(frozen=True)
class Options:
    """`ttl` are names of fields that hold an expiration; `dimension` is that of vector fields that do not say."""

    ttl: Collection[str] = ("expiration",)
    dimension: int | None = None


@dataclass
class Manifest:
    """What the file holds. `skipped` says what could not be derived, one sentence each."""

    indexes: list[Definition] = field(default_factory=list)
    overrides: list[Definition] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The file, in an order that does not depend on that of the models."""
        content = {"indexes": sorted(self.indexes, key=_key), "fieldOverrides": sorted(self.overrides, key=_key)}
        return json.dumps(content, indent=2) + "\n"

    def add(self, found: Iterable[Definition | None]) -> None:
        """Take indexes in, each once."""
        known = {_key(one) for one in self.indexes}
        for one in found:
            if one is not None and _key(one) not in known:
                known.add(_key(one))
                self.indexes.append(one)

    def missing_from(self, other: Manifest) -> list[Definition]:
        """What this manifest has and the other lacks."""
        return [
            one
            for own, others in ((self.indexes, other.indexes), (self.overrides, other.overrides))
            for one in own
            if _key(one) not in {_key(known) for known in others}
        ]


def parse(text: str) -> Manifest:
    """A manifest from the file's text. Raises `ValueError` if it is not one."""
    content = json.loads(text)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name, []), list) for name in ("indexes", "fieldOverrides")
    ):
        raise ValueError("it must be an object with the lists `indexes` and `fieldOverrides`")
    return Manifest(content.get("indexes", []), content.get("fieldOverrides", []))


def of_models(found: Iterable[type[models.Model]], options: Options) -> Manifest:
    """The manifest of models."""
    manifest = Manifest()
    for model in found:
        _add_model(manifest, model, options)
    return manifest


def _add_model(manifest: Manifest, model: type[models.Model], options: Options) -> None:
    meta = model._meta
    ttl = next((one for one in meta.local_concrete_fields if one.name in options.ttl), None)
    lists = list(_index_orders(manifest, model))
    for orders in lists:
        manifest.add([_declared(model, orders)])
        if ttl is not None:
            manifest.add([_of_live(model, orders, ttl)])
    if ttl is not None:
        override = {"collectionGroup": meta.db_table, "fieldPath": document_ids.field_path((ttl.column,)), "ttl": True}
        manifest.overrides.append({**override, "indexes": [dict(one) for one in AUTOMATIC]})
    for one in meta.local_concrete_fields:
        if getattr(one, "is_array", False):
            _add_array(manifest, model, one, ttl, lists)
        if one.get_internal_type() == "VectorField" and (others := getattr(one, "searched_with", ())):
            _add_searched_vector(manifest, model, one, others, ttl, lists, options)
        elif one.get_internal_type() == "VectorField":
            owners = {orders[0].ref for orders in lists if len(orders) > 1 and not orders[0].descending}
            _add_vector(manifest, model, one, ttl, owners, options)


def _index_orders(manifest: Manifest, model: type[models.Model]) -> Iterator[list[Order]]:
    """Each of `Meta.indexes` as sort keys, and each of `OF_DJANGO`."""
    for fields in OF_DJANGO.get(model._meta.label, ()):
        yield [
            Order(_ref(model._meta.get_field(name.lstrip("-"))), name.startswith("-"))  # type: ignore[arg-type]
            for name in fields
        ]
    for index in model._meta.indexes:
        if not index.fields or index.condition is not None or index.expressions:
            manifest.skipped.append(f"{model._meta.label}: index {index.name} has an expression or a condition")
            continue
        yield [
            Order(_ref(model._meta.get_field(name)), descending=bool(direction))  # type: ignore[arg-type]
            for name, direction in index.fields_orders
        ]


def _declared(model: type[models.Model], orders: Sequence[Order]) -> Definition | None:
    if len(orders) > 1 and orders[-1].ref.key and orders[-1].descending == orders[-2].descending:
        orders = orders[:-1]
    fields = [sorted_field(document_ids.field_path(order.ref.path), order.descending) for order in orders]
    return definition(model._meta.db_table, fields) if len(fields) > 1 else None


def _of_live(model: type[models.Model], orders: Sequence[Order], ttl: models.Field[Any, Any]) -> Definition | None:
    """The index of the query that the index is there for, over what has not expired."""
    first = next((place for place, order in enumerate(orders) if order.descending), len(orders) - 1)
    if orders[first].ref.path == (ttl.column,):
        return None
    keys = [order for order in orders[first:] if not order.ref.key]
    key = Order(_ref(model._meta.pk), keys[-1].descending if keys else orders[-1].descending)
    equal = [Compare(order.ref, Op.EQ, _SAMPLES.get(order.ref.kind, "x")) for order in orders[:first]]
    answer = plan(Select(model._meta.db_table, key.ref, (), all_of([*equal, _live(ttl)]), (*keys, key)))
    return needed(answer) if isinstance(answer, Query | Merge) else None


_SAMPLES: Final[dict[Kind, Any]] = {
    Kind.BOOLEAN: True,
    Kind.INTEGER: 1,
    Kind.FLOAT: 1.0,
    Kind.DATETIME: SOME_TIME,
    Kind.DATE: SOME_TIME.date(),
    Kind.TIME: SOME_TIME.time(),
}


def _live(ttl: models.Field[Any, Any]) -> Condition:
    return any_of([Compare(_ref(ttl), Op.IS_NULL), Compare(_ref(ttl), Op.GT, SOME_TIME)])


def _add_vector(
    manifest: Manifest,
    model: type[models.Model],
    vector: models.Field[Any, Any],
    ttl: models.Field[Any, Any] | None,
    owners: Collection[Ref],
    options: Options,
) -> None:
    dimension = _dimension(manifest, model, vector, options)
    if dimension is None:
        return
    collection = model._meta.db_table
    manifest.add([definition(collection, [vector_field(document_ids.field_path((vector.column,)), dimension)])])
    for owner in sorted(owners, key=lambda ref: ref.path):
        manifest.add(_nearest_among(model, vector, [owner], ttl, dimension))


def _add_searched_vector(
    manifest: Manifest,
    model: type[models.Model],
    vector: models.Field[Any, Any],
    others: Sequence[str],
    ttl: models.Field[Any, Any] | None,
    lists: Sequence[Sequence[Order]],
    options: Options,
) -> None:
    dimension = _dimension(manifest, model, vector, options)
    if dimension is None:
        return
    fixed = [_ref(model._meta.get_field(name)) for name in others]  # type: ignore[arg-type]
    for equal, sort in _equal_of(lists):
        manifest.add(_nearest_among(model, vector, [*equal, *fixed], ttl, dimension, sort))


def _dimension(
    manifest: Manifest, model: type[models.Model], vector: models.Field[Any, Any], options: Options
) -> int | None:
    """The field's own dimension, that of those which will fill it (`index_dimension`), or the one that was given."""
    known = (getattr(vector, name, None) for name in ("dimension", "index_dimension"))
    found: int | None = next((number for number in known if number is not None), options.dimension)
    if found is None:
        manifest.skipped.append(f"{model._meta.label}.{vector.name}: its dimension is not known; give --dimension")
    return found


def _nearest_among(
    model: type[models.Model],
    vector: models.Field[Any, Any],
    equal: Sequence[Ref],
    ttl: models.Field[Any, Any] | None,
    dimension: int,
    sort: Ref | None = None,
) -> Iterator[Definition | None]:
    """The indexes of a search among rows whose columns equal something, and among those that have not expired; with
    `sort` also among those of a range of it."""
    wanted = tuple(_equals(ref) for ref in equal)
    live = () if ttl is None else (Compare(_ref(ttl), Op.GT, SOME_TIME),)
    ranges = () if sort is None else (Compare(sort, Op.GT, _SAMPLES.get(sort.kind, "x")),)
    for filters in dict.fromkeys((wanted, (*wanted, *live), (*wanted, *live, *ranges))):
        where: Filter = And(filters) if len(filters) > 1 else filters[0]
        query = Query(model._meta.db_table, where=where)
        yield needed(Nearest(query, _ref(vector), (0.0,) * dimension, Measure.COSINE, 1))


def _add_array(
    manifest: Manifest,
    model: type[models.Model],
    array: models.Field[Any, Any],
    ttl: models.Field[Any, Any] | None,
    lists: Sequence[Sequence[Order]],
) -> None:
    meta, key = model._meta, _ref(model._meta.pk)
    live = [] if ttl is None else [_live(ttl)]
    for orders in lists:
        equal = _equal_before(orders)
        if not equal or not orders[-1].descending:
            continue
        wanted = [*map(_equals, equal), Compare(_ref(array), Op.ARRAY_CONTAINS, "x")]
        sorts = (*orders[len(equal) :], Order(key, descending=True))
        for where in (all_of(wanted), all_of([*wanted, *live])):
            answer = plan(Select(meta.db_table, key, (), where, sorts))
            manifest.add([needed(answer)] if isinstance(answer, Query | Merge) else [])
    path = document_ids.field_path((str(array.column),))
    manifest.overrides.append({"collectionGroup": meta.db_table, "fieldPath": path, "indexes": []})


def _equal_of(lists: Sequence[Sequence[Order]]) -> Iterator[tuple[tuple[Ref, ...], Ref]]:
    """What the indexes that end in a descending order filter and sort by, each once."""
    yield from dict.fromkeys(
        (equal, orders[-1].ref) for orders in lists if orders[-1].descending and (equal := _equal_before(orders))
    )


def _equal_before(orders: Sequence[Order]) -> tuple[Ref, ...]:
    """The columns of an index that stand before its first descending one: those that are compared for equality."""
    first = next((place for place, order in enumerate(orders) if order.descending), 0)
    return tuple(order.ref for order in orders[:first])


def _equals(ref: Ref) -> Compare:
    return Compare(ref, Op.EQ, _SAMPLES.get(ref.kind, "x"))


def _ref(one: models.Field[Any, Any]) -> Ref:
    kind = FIELD_KINDS.get(one.get_internal_type(), Kind.ANY)
    return Ref((str(one.column),), kind, key=one.primary_key)


def _key(one: Definition) -> str:
    return json.dumps(one, sort_keys=True)
