"""Passes over the inventory that delete the rows of a person, and note digests of their ids before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import connections, models

from ..contention import retried_on_contention
from ..fields import new_id
from ..models import ErasedIds, Erasure, UserSession
from .deleting import (
    KEYS_AT_ONCE,
    alias_of,
    delete_keys,
    model_of,
    named_rows,
    owned_rows,
    pages_of_keys,
    pages_of_values,
    table_of,
    tables_by_kind,
)
from .digests import digest
from .inventory import Holding, How, holdings
from .naming import MATCHERS, Person

Report = Callable[[str, int], None]
"""Called with the name of a table and the number of rows that were deleted from it just now."""


def save(row: Erasure, alias: str, *fields: str) -> None:
    """Write fields of an erasure's row."""
    retried_on_contention(partial(row.save, using=alias, update_fields=fields), using=alias)


@dataclass(eq=False)
class Sweep:
    """The passes of one call. `most`: after so many rows a pass stops. `scan`: whether data of other agents is read.

    `erased` are the digests of the ids of all erased rows, by table, of earlier calls too; `sessions` the ids of those
    that this call deleted. `deleted` rows were deleted by this call, `found` by its last pass.
    """

    user_id: str
    alias: str
    row: Erasure
    report: Report = lambda table, count: None
    most: int | None = None
    scan: bool = True
    erased: dict[str, set[str]] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    deleted: int = 0
    found: int = 0

    def __post_init__(self) -> None:
        for one in ErasedIds.objects.using(self.alias).filter(erasure=self.row.pk):
            self.erased.setdefault(one.table, set()).update(one.digests)

    @property
    def counts(self) -> dict[str, int]:
        """The number of erased records by table."""
        return {table: len(found) for table, found in sorted(self.erased.items()) if found}

    @property
    def person(self) -> Person:
        """Whom shared rows are compared with."""
        return Person(self.row.salt, digest(self.row.salt, self.user_id), self.erased)

    def run(self) -> bool:
        """Delete all rows. Returns False if it stopped at `most` rows.

        On SQLite it writes before it reads: there is one writer at a time, so what others wrote is committed then.
        """
        self.found = 0
        if connections[self.alias].vendor == "sqlite":
            save(self.row, self.alias, "passes")
        if not all(self._delete_owned(*one) for one in self._installed(How.OWNED)):
            return False
        if not all(self._delete_named(*one) for one in self._installed(How.NAMED)):
            return False
        self.row.passes += 1
        save(self.row, self.alias, "passes")
        return True

    def _installed(self, how: How) -> Iterator[tuple[Holding, type[models.Model], str]]:
        for holding in holdings(how):
            if (model := model_of(holding)) is not None:
                yield holding, model, alias_of(model, self.alias)

    def _delete_owned(self, holding: Holding, model: type[models.Model], alias: str) -> bool:
        size = KEYS_AT_ONCE if self.most is None else max(1, min(KEYS_AT_ONCE, self.most - self.deleted))
        pages = pages_of_keys(owned_rows(holding, model, alias, self.user_id), size)
        return all(self._delete(model, alias, keys) for keys in pages)

    def _delete_named(self, holding: Holding, model: type[models.Model], alias: str) -> bool:
        if holding.label == "memory.AgentData" and not self.scan:
            return True
        matches, who = MATCHERS[holding.label], self.person
        tables = tables_by_kind(alias) if holding.label == "admin.LogEntry" else None
        fields = holding.fields if tables is None else (*holding.fields, "content_type_id")
        for page in pages_of_values(named_rows(holding, model, alias), fields):
            if tables is not None:
                page = [(key, {**values, "table": tables.get(values["content_type_id"], "")}) for key, values in page]
            keys = [key for key, values in page if matches(values, who)]
            if keys and not self._delete(model, alias, keys):
                return False
        return True

    def _delete(self, model: type[models.Model], alias: str, keys: list[Any]) -> bool:
        """Note the digests of these rows, then delete them. Returns False if `most` rows are deleted."""
        table = table_of(model)
        noted = self.erased.setdefault(table, set())
        made = [digest(self.row.salt, str(key)) for key in keys]
        if new := [one for one in made if one not in noted]:
            ErasedIds.objects.using(self.alias).create(
                pk=f"{self.row.pk}-{new_id()}", erasure=self.row.pk, table=table, digests=new
            )
            noted.update(new)
        if model is UserSession:
            self.sessions.update(parts[1] for key in keys if (parts := UserSession.parts_of(key)))
        delete_keys(model, alias, keys)
        self.deleted += len(keys)
        self.found += len(keys)
        self.report(table, len(keys))
        return self.most is None or self.deleted < self.most
