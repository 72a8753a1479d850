"""`select_for_update(skip_locked=True)`: the rows that no other block has claimed, claimed by this one.

The keys of the first rows are read without locks, leases are taken of those that are free, in order, and the rows are
read by key under their leases (`transactions/leases.py`). Rows that changed in between and no longer match the query
are given back, and the next ones taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError

from ..errors import contention
from ..query import analysis
from ..query.lowering import column_ref, key_fields
from .document_keys import id_of_key

Key = tuple[Any, ...]
Row = tuple[Any, ...]

SPARE: Final = 16
"""Rows whose keys are read beyond those wanted, since others may have claimed the first ones."""

ROUNDS: Final = 20


def claimed_rows(compiler: Any) -> Iterator[Row]:
    """The rows of a compiler's query that others have not claimed. Raises EmptyResultSet if there are none."""
    query, unit = compiler.query, compiler.connection.unit
    _refuse(query)
    table, wanted = query.get_meta().db_table, query.high_mark
    claimed: dict[str, Any] = {}
    passed: set[str] = set()  # claimed by others, or changed
    for _ in range(ROUNDS):
        window = None if wanted is None else wanted + len(passed) + SPARE
        with unit.without_locks(keep=False):
            found = _keys(compiler, query, window)
        free = [id for id in found if id not in passed and id not in claimed]
        taken, refused = unit.leases.take(table, free, None if wanted is None else wanted - len(claimed))
        passed.update(refused)
        claimed |= {id: found[id] for id in taken}
        if not claimed:
            if window is None or len(found) < window:
                raise EmptyResultSet
            continue
        restricted = _restricted(query, claimed)
        with unit.without_locks():
            rows = list(compiler.rows_of(restricted))
        if len(rows) + query.low_mark < len(claimed):
            with unit.without_locks(keep=False):
                matching = _keys(compiler, restricted, None)
            lost = claimed.keys() - matching
            unit.leases.give_back(table, lost)
            passed |= lost
            claimed = {id: key for id, key in claimed.items() if id in matching}
        untried = window is not None and (len(found) == window or len(claimed) + len(passed) < len(found))
        if wanted is None or len(claimed) >= wanted or not untried:
            return iter(rows)
    raise contention(table)


def _keys(compiler: Any, query: Any, limit: int | None) -> Mapping[str, Any]:
    """The primary keys of a query's first rows by document id, in order."""
    keys = analysis.primary_key_query(query, ordered=True)
    keys.select_for_update = False
    keys.clear_limits()
    keys.set_limits(0, limit)
    fields = key_fields(keys.model)
    connection = compiler.connection
    refs = [column_ref(field, connection) for field in fields]
    reader = keys.get_compiler(compiler.using)
    found: dict[str, Any] = {}
    for row in reader.results_iter():
        values = [f.get_db_prep_save(value, connection=connection) for f, value in zip(fields, row, strict=True)]
        found.setdefault(id_of_key(values, refs), tuple(row) if len(row) > 1 else row[0])
    return found


def _restricted(query: Any, claimed: Mapping[str, Any]) -> Any:
    """The query for claimed rows only."""
    restricted = query.clone()
    restricted.select_for_update = False
    restricted.add_filter("pk__in", list(claimed.values()))
    return restricted


def _refuse(query: Any) -> None:
    """Raises NotSupportedError for queries whose rows are not rows of one table."""
    parts: Sequence[tuple[str, Any]] = (
        ("distinct()", query.distinct),
        ("values().annotate()", query.group_by is not None),
        ("of=... without 'self'", query.select_for_update_of and "self" not in query.select_for_update_of),
    )
    for name, used in parts:
        if used:
            raise NotSupportedError(
                f"select_for_update(skip_locked=True) locks rows of the queryset's model; it does not support {name}."
            )
