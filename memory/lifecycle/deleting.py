"""Deletes the rows of a person by keys: pages of keys, a note of their digests, and then one bulk commit or statement.

Rows are not loaded, and on Firestore a page of keys and its deletion are a query and a few commits. Neither signals nor
marks of the conversation cache are used: the caller drops the person's conversations afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from django.apps import apps
from django.db import connections, models, router

from ..batches import ROWS_AT_ONCE, batches
from ..contention import retried_on_contention, write_transaction
from .inventory import Holding

KEYS_AT_ONCE: Final = 5_000
"""Keys of a page: those that the SDK's `recursive_delete` reads at once."""
SCANNED_AT_ONCE: Final = 100
"""Rows of a page that are read as a whole; each may have 1 MiB."""
APPS: Final = ("memory", "memory_access")


def model_of(holding: Holding) -> type[models.Model] | None:
    """The model of a holding; None if its app is not installed."""
    app, _, name = holding.label.partition(".")
    return apps.get_model(app, name) if app in apps.app_configs else None


def alias_of(model: type[models.Model], using: str) -> str:
    """The database of a model: `using` for the models of the app `memory`."""
    return using if model._meta.app_label == "memory" else router.db_for_write(model)


def table_of(model: type[models.Model]) -> str:
    """The name of a model's table, or collection."""
    return str(model._meta.db_table)


def owned_rows(holding: Holding, model: type[models.Model], alias: str, user_id: str) -> models.QuerySet[Any]:
    """The rows whose field has the person's id, expired ones too."""
    rows: models.QuerySet[Any] = model._base_manager.using(alias)
    return rows.filter(**{holding.fields[0]: user_id})


def named_rows(holding: Holding, model: type[models.Model], alias: str) -> models.QuerySet[Any]:
    """The rows that may name a person. On Firestore all: a filter with the order of keys would need an index."""
    rows: models.QuerySet[Any] = model._base_manager.using(alias)
    if holding.label == "admin.LogEntry" and connections[alias].vendor != "firestore":
        return rows.filter(content_type_id__in=list(tables_by_kind(alias)))
    return rows


def tables_by_kind(alias: str) -> dict[Any, str]:
    """The tables of the app's models, by the keys of their content types."""
    from django.contrib.contenttypes.models import ContentType  # a model: only if its app is installed

    found = ContentType.objects.using(alias).filter(app_label__in=APPS)
    return {kind.pk: table_of(model) for kind in found if (model := kind.model_class()) is not None}


def pages_of_keys(rows: models.QuerySet[Any], size: int) -> Iterator[list[Any]]:
    """The keys of rows in pages. The caller deletes the rows of a page before it asks for the next one."""
    keys = rows.order_by().values_list("pk", flat=True)[:size]
    while found := list(keys.all()):
        yield found
        if len(found) < size:
            return


def pages_of_values(
    rows: models.QuerySet[Any], fields: Sequence[str], after: Any = None
) -> Iterator[Sequence[tuple[Any, Mapping[str, Any]]]]:
    """The keys of rows and the values of some fields, in pages."""
    ordered = rows.order_by("pk").values_list("pk", *fields)
    while True:
        page = ordered if after is None else ordered.filter(pk__gt=after)
        found = [(row[0], dict(zip(fields, row[1:], strict=True))) for row in page[:SCANNED_AT_ONCE]]
        if found:
            yield found
        if len(found) < SCANNED_AT_ONCE:
            return
        after = found[-1][0]


def delete_keys(model: type[models.Model], alias: str, keys: Sequence[Any]) -> None:
    """Delete rows by their keys."""
    is_firestore = connections[alias].vendor == "firestore"
    for some in [list(keys)] if is_firestore else batches(list(keys), ROWS_AT_ONCE):
        retried_on_contention(partial(_delete, model, alias, some), using=alias)


def _delete(model: type[models.Model], alias: str, keys: Sequence[Any]) -> None:
    rows: Any = model._base_manager.using(alias).filter(pk__in=keys).order_by()
    if connections[alias].vendor == "firestore":
        rows._raw_delete(alias)
        return
    with write_transaction(alias):
        rows._raw_delete(alias)
