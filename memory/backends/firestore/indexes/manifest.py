"""`firestore.indexes.json`: the indexes and field settings that models need, derived from the models.

- `Meta.indexes` with two or more fields are composite indexes, as declared. A primary key at the end represents
  `__name__`, the last field of every index.
- An expiration field (by its name, `expiration` by default) gets a TTL policy. Each declared index gets a second one
  for queries that exclude expired documents, with the expiration field at the position that the planner needs.
- `firestore_indexes` of a model are further lists of field names, as `Index.fields` has them, for Firestore alone. If
  the model expires, they are for queries that exclude expired documents only. Otherwise a primary key at the end is the
  key's own field, by which queries of the next page compare: `Q(at__lt=...) | Q(pk__lt=...)`.
- Django's own models get the indexes that its admin needs (`DJANGO_INDEXES`).
- A vector field gets an index of its own, and one with each first field of another index, for searches among the rows
  of one owner. If the field has `searched_with` (fields that all its searches compare for equality), it gets one with
  these and the equality fields of each declared index instead.
- A field with `is_array` gets, for each declared index that ends in a descending field, an index with the same equality
  fields and order, for queries of the newest rows that contain a value. It gets no index of its own.

The format is that of the Firebase CLI. https://firebase.google.com/docs/reference/firestore/indexes
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from ..query.ast import Condition, Select, all_of, any_of
from ..query.plan import And, Compare, Filter, Measure, Merge, Nearest, Op, Order, Query
from ..query.planner import plan
from ..values import document_ids
from ..values.types import FIELD_KINDS, Kind, Ref
from .definitions import Definition, definition, sorted_field, vector_field
from .derive import required_index
from .serving import Catalog

DEFAULT_PATH: Final = "firestore.indexes.json"
"""Relative to the current directory, as for `manage.py firestore_indexes`."""

SOME_TIME: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

DJANGO_INDEXES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "admin.LogEntry": (("user", "-action_time"), ("content_type", "object_id", "action_time")),
    "auth.User": (("is_active", "username"), ("is_staff", "username"), ("is_superuser", "username")),
}
"""Sort orders of Django's admin, whose models declare no indexes for them: recent actions, an object's history, and
users by status."""

AUTOMATIC: Final = (
    {"order": "ASCENDING", "queryScope": "COLLECTION"},
    {"order": "DESCENDING", "queryScope": "COLLECTION"},
    {"arrayConfig": "CONTAINS", "queryScope": "COLLECTION"},
)
"""Firestore's automatic indexes of a field. A field override must repeat them, or they are disabled."""


@dataclass(frozen=True)
class Options:
    """`ttl`: names of expiration fields. `dimension`: the dimension of vector fields that do not declare one."""

    ttl: Collection[str] = ("expiration",)
    dimension: int | None = None


@dataclass
class Manifest:
    """The content of the file. `skipped` are messages about indexes that could not be derived."""

    indexes: list[Definition] = field(default_factory=list)
    overrides: list[Definition] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The text of the file. Its order does not depend on the order of the models."""
        content = {"indexes": sorted(self.indexes, key=_key), "fieldOverrides": sorted(self.overrides, key=_key)}
        return json.dumps(content, indent=2) + "\n"

    def add(self, found: Iterable[Definition | None]) -> None:
        """Adds indexes, without duplicates."""
        known = {_key(entry) for entry in self.indexes}
        for entry in found:
            if entry is not None and _key(entry) not in known:
                known.add(_key(entry))
                self.indexes.append(entry)

    def catalog(self) -> Catalog:
        """The indexes, for the rules of `serving.py`."""
        return Catalog(self.indexes, self.overrides)

    def missing_from(self, other: Manifest) -> list[Definition]:
        """The entries of this manifest that the other one lacks."""
        return [
            entry
            for own, others in ((self.indexes, other.indexes), (self.overrides, other.overrides))
            for entry in own
            if _key(entry) not in {_key(known) for known in others}
        ]


def parse(text: str) -> Manifest:
    """The manifest from the text of a file. Raises `ValueError` if the text is invalid."""
    content = json.loads(text)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name, []), list) for name in ("indexes", "fieldOverrides")
    ):
        raise ValueError("it must be a JSON object with the lists `indexes` and `fieldOverrides`")
    return Manifest(content.get("indexes", []), content.get("fieldOverrides", []))


@lru_cache(maxsize=16)
def catalog_of(path: str, alias: str) -> Catalog:
    """The indexes of a file, read once per process, for the option `require_indexes`. Raises `ImproperlyConfigured`."""
    where = f"DATABASES[{alias!r}]['OPTIONS']['require_indexes'] names {path!r}"
    try:
        return parse(Path(path).read_text(encoding="utf-8")).catalog()
    except FileNotFoundError as error:
        raise ImproperlyConfigured(
            f"{where}, which does not exist: write it by `manage.py firestore_indexes`."
        ) from error
    except OSError as error:
        raise ImproperlyConfigured(f"{where}, which cannot be read: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ImproperlyConfigured(f"{where}, which is not a manifest of indexes: {error}.") from error


def of_models(found: Iterable[type[models.Model]], options: Options) -> Manifest:
    """The manifest of models."""
    manifest = Manifest()
    for model in found:
        _add_model(manifest, model, options)
    return manifest


def _add_model(manifest: Manifest, model: type[models.Model], options: Options) -> None:
    meta = model._meta
    ttl = next((model_field for model_field in meta.local_concrete_fields if model_field.name in options.ttl), None)
    lists = list(_index_orders(manifest, model))
    for orders in lists:
        manifest.add([_declared_index(model, orders)])
        if ttl is not None:
            manifest.add([_unexpired_index(model, orders, ttl)])
    if ttl is not None:
        override = {"collectionGroup": meta.db_table, "fieldPath": document_ids.field_path((ttl.column,)), "ttl": True}
        manifest.overrides.append({**override, "indexes": [dict(single) for single in AUTOMATIC]})
    for names in getattr(model, "firestore_indexes", ()):
        orders = _orders_of(model, names)
        manifest.add([_own_index(model, orders) if ttl is None else _unexpired_index(model, orders, ttl)])
    for name in getattr(model, "firestore_unindexed", ()):
        path = document_ids.field_path((str(meta.get_field(name).column),))  # type: ignore[union-attr]
        manifest.overrides.append({"collectionGroup": meta.db_table, "fieldPath": path, "indexes": []})
    for model_field in meta.local_concrete_fields:
        if getattr(model_field, "is_array", False):
            _add_array(manifest, model, model_field, ttl, lists)
        if not getattr(model_field, "is_searched", True):
            continue
        if model_field.get_internal_type() == "VectorField" and (others := getattr(model_field, "searched_with", ())):
            _add_searched_vector(manifest, model, model_field, others, ttl, lists, options)
        elif model_field.get_internal_type() == "VectorField":
            owners = {orders[0].ref for orders in lists if len(orders) > 1 and not orders[0].descending}
            _add_vector(manifest, model, model_field, ttl, owners, options)


def _index_orders(manifest: Manifest, model: type[models.Model]) -> Iterator[list[Order]]:
    """The sort keys of each of `Meta.indexes` and `DJANGO_INDEXES`."""
    for fields in DJANGO_INDEXES.get(model._meta.label, ()):
        yield _orders_of(model, fields)
    for index in model._meta.indexes:
        if not index.fields or index.condition is not None or index.expressions:
            manifest.skipped.append(f"{model._meta.label}: index {index.name} has an expression or a condition")
            continue
        yield [
            Order(_ref(model._meta.get_field(name)), descending=bool(direction))  # type: ignore[arg-type]
            for name, direction in index.fields_orders
        ]


def _orders_of(model: type[models.Model], names: Iterable[str]) -> list[Order]:
    """Sort keys from field names, with `-` for descending ones."""
    fields = [(model._meta.get_field(name.lstrip("-")), name.startswith("-")) for name in names]
    return [Order(_ref(field), descending) for field, descending in fields]  # type: ignore[arg-type]


def _declared_index(model: type[models.Model], orders: Sequence[Order]) -> Definition | None:
    if len(orders) > 1 and orders[-1].ref.key and orders[-1].descending == orders[-2].descending:
        orders = orders[:-1]
    return _own_index(model, orders)


def _own_index(model: type[models.Model], orders: Sequence[Order]) -> Definition | None:
    """The index with exactly these fields: a primary key at the end is the key's own field, not `__name__`."""
    fields = [sorted_field(document_ids.field_path(order.ref.path), order.descending) for order in orders]
    return definition(model._meta.db_table, fields) if len(fields) > 1 else None


def _unexpired_index(
    model: type[models.Model], orders: Sequence[Order], ttl: models.Field[Any, Any]
) -> Definition | None:
    """The index for the same query over rows that have not expired."""
    last = max((place for place, order in enumerate(orders) if not order.ref.key), default=0)
    first = next((place for place, order in enumerate(orders) if order.descending), last)
    if orders[first].ref.path == (ttl.column,):
        return None
    keys = [order for order in orders[first:] if not order.ref.key]
    key = Order(_ref(model._meta.pk), keys[-1].descending if keys else orders[-1].descending)
    equal = [Compare(order.ref, Op.EQ, _SAMPLES.get(order.ref.kind, "x")) for order in orders[:first]]
    answer = plan(Select(model._meta.db_table, key.ref, (), all_of([*equal, _unexpired(ttl)]), (*keys, key)))
    return required_index(answer) if isinstance(answer, Query | Merge) else None


_SAMPLES: Final[dict[Kind, Any]] = {
    Kind.BOOLEAN: True,
    Kind.INTEGER: 1,
    Kind.FLOAT: 1.0,
    Kind.DATETIME: SOME_TIME,
    Kind.MOMENT: SOME_TIME,
    Kind.DATE: SOME_TIME.date(),
    Kind.TIME: SOME_TIME.time(),
}


def _unexpired(ttl: models.Field[Any, Any]) -> Condition:
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
    for equal, sort in _equality_prefixes(lists):
        manifest.add(_nearest_among(model, vector, [*equal, *fixed], ttl, dimension, sort))


def _dimension(
    manifest: Manifest, model: type[models.Model], vector: models.Field[Any, Any], options: Options
) -> int | None:
    """The field's `dimension` or `index_dimension`, or that of the options."""
    known = (getattr(vector, name, None) for name in ("dimension", "index_dimension"))
    found: int | None = next((number for number in known if number is not None), options.dimension)
    if found is None:
        manifest.skipped.append(f"{model._meta.label}.{vector.name}: unknown dimension; use --dimension")
    return found


def _nearest_among(
    model: type[models.Model],
    vector: models.Field[Any, Any],
    equal: Sequence[Ref],
    ttl: models.Field[Any, Any] | None,
    dimension: int,
    sort: Ref | None = None,
) -> Iterator[Definition | None]:
    """The indexes of a vector search with equality filters on `equal`, also for rows that have not expired and, with
    `sort`, for a range on it."""
    wanted = tuple(_equals(ref) for ref in equal)
    live = () if ttl is None else (Compare(_ref(ttl), Op.GT, SOME_TIME),)
    ranges = () if sort is None else (Compare(sort, Op.GT, _SAMPLES.get(sort.kind, "x")),)
    for filters in dict.fromkeys((wanted, (*wanted, *live), (*wanted, *live, *ranges))):
        where: Filter = And(filters) if len(filters) > 1 else filters[0]
        query = Query(model._meta.db_table, where=where)
        yield required_index(Nearest(query, _ref(vector), (0.0,) * dimension, Measure.COSINE, 1))


def _add_array(
    manifest: Manifest,
    model: type[models.Model],
    array: models.Field[Any, Any],
    ttl: models.Field[Any, Any] | None,
    lists: Sequence[Sequence[Order]],
) -> None:
    meta, key = model._meta, _ref(model._meta.pk)
    live = [] if ttl is None else [_unexpired(ttl)]
    for orders in lists:
        equal = _equality_columns(orders)
        if not equal or not orders[-1].descending:
            continue
        wanted = [*map(_equals, equal), Compare(_ref(array), Op.ARRAY_CONTAINS, "x")]
        sorts = (*orders[len(equal) :], Order(key, descending=True))
        for where in (all_of(wanted), all_of([*wanted, *live])):
            answer = plan(Select(meta.db_table, key, (), where, sorts))
            manifest.add([required_index(answer)] if isinstance(answer, Query | Merge) else [])
    path = document_ids.field_path((str(array.column),))
    manifest.overrides.append({"collectionGroup": meta.db_table, "fieldPath": path, "indexes": []})


def _equality_prefixes(lists: Sequence[Sequence[Order]]) -> Iterator[tuple[tuple[Ref, ...], Ref]]:
    """The equality columns and the sort column of indexes that end in a descending field, without duplicates."""
    yield from dict.fromkeys(
        (equal, orders[-1].ref) for orders in lists if orders[-1].descending and (equal := _equality_columns(orders))
    )


def _equality_columns(orders: Sequence[Order]) -> tuple[Ref, ...]:
    """The columns of an index before its first descending one, which queries compare for equality."""
    first = next((place for place, order in enumerate(orders) if order.descending), 0)
    return tuple(order.ref for order in orders[:first])


def _equals(ref: Ref) -> Compare:
    return Compare(ref, Op.EQ, _SAMPLES.get(ref.kind, "x"))


def _ref(model_field: models.Field[Any, Any]) -> Ref:
    kind = FIELD_KINDS.get(model_field.get_internal_type(), Kind.ANY)
    return Ref((str(model_field.column),), kind, key=model_field.primary_key)


def _key(entry: Definition) -> str:
    return json.dumps(entry, sort_keys=True)
