"""The source for SQLite: terms by an inverted table, vectors by numpy, the rest by the indexes of the items.

A search runs about forty small statements. Django compiles the queryset's columns and filters once; the rest of each
statement is built here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from django.core.exceptions import EmptyResultSet
from django.db import connections

from memory.backends.firestore.values.sizes import ByteBudget
from memory.models import MemoryItem
from memory.search.candidates import Answer, Around, Count, Nearest, Request, WithTerm
from memory.search.cosines import nearest
from memory.search.embedders import Vectors
from memory.search.owner import one_user_of
from memory.search.passages import Passage, Question

from .base import Memory, is_alone, of_items, of_neighbours, of_number
from .matrix import Matrix, matrices
from .side_tables import TERMS

ITEMS: Final = "memory_items"
WITH_TERM: Final = f"{TERMS}.user_id = %s AND {TERMS}.term = %s"
# The inner table is looked up by its key: SQLite keeps the order of tables in a CROSS JOIN.
JOINED: Final = f"{TERMS} CROSS JOIN {ITEMS} ON {ITEMS}.id = {TERMS}.item_id"
LISTED: Final = f"json_each(%s) AS listed CROSS JOIN {ITEMS} ON {ITEMS}.id = listed.value"
BY_TERM: Final = f"{TERMS}.timestamp DESC, {TERMS}.item_id DESC"
NEWEST: Final = f"{ITEMS}.timestamp DESC, {ITEMS}.id DESC"
OLDEST: Final = f"{ITEMS}.timestamp, {ITEMS}.id"
BEFORE, AFTER = "({0}.timestamp, {0}.id) < (%s, %s)", "({0}.timestamp, {0}.id) > (%s, %s)"
EVERYTHING: Final = "1"
EXTRA_NEAREST: Final = 10
"""Nearest vectors that are read in addition to the limit: some items may not pass the filters."""


class SQLiteSource:
    """One user's items in SQLite."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.connection: Any = connections[memory.items.db]
        self.user_id = one_user_of(memory.items)
        self.rows = _Rows(memory)

    def fetch(self, requests: Sequence[Request], question: Question) -> list[Answer]:
        """One round: the requests run one after the other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        memory, rows = self.memory, self.rows
        match request:
            case Nearest():
                return self._nearest(request)
            case WithTerm(term=term, limit=limit, before=before):
                older = "" if before is None else f" AND ({TERMS}.timestamp, {TERMS}.item_id) < (%s, %s)"
                place = () if before is None else rows.place(before)
                found = rows.select(JOINED, WITH_TERM + older, BY_TERM, limit, self.user_id, term, *place)
                return of_items(memory, found)
            case Count(term=term, most=most):
                if term is None:
                    return of_number(rows.count(ITEMS, EVERYTHING, most))
                return of_number(rows.count(JOINED, WITH_TERM, most, self.user_id, term))
            case Around(passage=passage) if is_alone(passage):
                return Answer((passage,))
            case Around(passage=passage, span=span):
                at = (passage.session, *rows.place(passage))
                sides = [
                    rows.select(ITEMS, f"{ITEMS}.session_id = %s AND {side.format(ITEMS)}", order, span, *at)
                    for side, order in ((BEFORE, NEWEST), (AFTER, OLDEST))
                ]
                return of_neighbours(memory, passage, *sides)

    def _nearest(self, request: Nearest) -> Answer:
        memory = self.memory
        if memory.embedder is None:
            return of_items(memory, [])
        matrix = matrices.current(memory.items.db, self.user_id, memory.model, memory.embedder.dimension)
        found = self._first_that_pass(matrix, request.vector, request.limit)
        passages = tuple(memory.passage(item, cosine) for item, cosine in found)
        return Answer(passages, reads=max(1, len(passages)))

    def _first_that_pass(self, matrix: Matrix, vector: Vectors, limit: int) -> list[tuple[MemoryItem, float]]:
        """The nearest items that pass the queryset's filters. Usually most items pass."""
        near = nearest(matrix.vectors, vector, matrix.ids, limit + EXTRA_NEAREST)
        passing = self.rows.by_id([matrix.ids[place] for place, _ in near])
        if len(passing) < limit and len(near) < len(matrix.ids):
            allowed = self.rows.ids()
            mask = np.fromiter((name in allowed for name in matrix.ids), bool, len(matrix.ids))
            near = nearest(matrix.vectors, vector, matrix.ids, limit, np.flatnonzero(mask))
            passing = self.rows.by_id([matrix.ids[place] for place, _ in near])
        inside = [(matrix.ids[place], cosine) for place, cosine in near if matrix.ids[place] in passing]
        return [(passing[name], cosine) for name, cosine in inside[:limit]]


class _Rows:
    """Runs statements on the items of a queryset that is compiled once."""

    def __init__(self, memory: Memory) -> None:
        self.model, self.using = memory.items.model, memory.items.db
        self.names = memory.names
        self.budget = memory.budget
        self.timestamp = self.model._meta.get_field("timestamp")
        self.connection: Any = connections[self.using]
        self.compiler: Any = memory.items.values_list(*self.names).query.get_compiler(self.using)
        self.compiler.pre_sql_setup()
        self.columns = ", ".join(sql for _, (sql, _), _ in self.compiler.select)
        self.converters = self.compiler.get_converters([column for column, _, _ in self.compiler.select])
        self.where: tuple[str, Sequence[Any]] | None
        try:
            self.where = self.compiler.compile(self.compiler.query.where)
        except EmptyResultSet:
            self.where = None

    def place(self, passage: Passage) -> tuple[Any, str]:
        """The sort key of a passage, as SQLite stores it."""
        return self.timestamp.get_db_prep_value(passage.time, self.connection), passage.id

    def select(self, tables: str, condition: str, order: str, limit: int, *params: Any) -> list[MemoryItem]:
        """The items that pass a condition and the queryset's filters."""
        return list(self._items(f"SELECT {self.columns} FROM", tables, condition, params, order, limit))

    def by_id(self, ids: Sequence[str]) -> dict[str, MemoryItem]:
        """The items with these ids that pass the queryset's filters."""
        found = self.select(LISTED, EVERYTHING, EVERYTHING, len(ids), json.dumps(ids)) if ids else []
        return {item.pk: item for item in found}

    def ids(self) -> set[str]:
        """The ids of all items that pass the queryset's filters."""
        return {name for (name,) in self._run(f"SELECT {ITEMS}.id FROM", ITEMS, EVERYTHING, ())}

    def count(self, tables: str, condition: str, most: int, *params: Any) -> int:
        """The number of items that pass, at most `most`."""
        if self.where is None:
            return 0
        inner = "SELECT COUNT(*) FROM (SELECT 1 FROM"
        [(number,)] = self._run(inner, tables, condition, params, f" LIMIT {most})")
        return int(number)

    def _items(
        self, select: str, tables: str, condition: str, params: Sequence[Any], order: str, limit: int
    ) -> Iterator[MemoryItem]:
        tail = f" ORDER BY {order} LIMIT {limit}"
        rows: Any = self._run(select, tables, condition, params, tail, self.budget)
        if self.converters:
            rows = self.compiler.apply_converters(rows, self.converters)
        for row in rows:
            yield self.model.from_db(self.using, self.names, row)

    def _run(
        self,
        select: str,
        tables: str,
        condition: str,
        params: Sequence[Any],
        tail: str = "",
        budget: ByteBudget | None = None,
    ) -> list[Any]:
        if self.where is None:
            return []
        where, own = self.where
        with self.connection.cursor() as cursor:
            cursor.execute(f"{select} {tables} WHERE {condition} AND {where}{tail}", (*params, *own))
            return cursor.fetchall() if budget is None else list(budget.take(cursor))
