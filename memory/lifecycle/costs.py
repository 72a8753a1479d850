"""What an erasure costs, before it begins: rows, and on Firestore reads, deletions, writes and the price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db import connections

from ..conf import memory_settings
from .deleting import KEYS_AT_ONCE, alias_of, model_of, named_rows, owned_rows, table_of
from .inventory import How, holdings

READ_PRICE, WRITE_PRICE, DELETE_PRICE = 0.03 / 100_000, 0.09 / 100_000, 0.01 / 100_000
"""US dollars for a document in Oregon, as https://firebase.google.com/docs/firestore/pricing lists them."""
PASSES: Final = 2
"""Passes of an erasure if nobody writes the person meanwhile: one that deletes, and one that finds nothing."""


@dataclass(frozen=True)
class Cost:
    """The rows to delete and the rows to look through, by table; documents are those of Firestore, if it is one.

    `reads` are for two passes; a pass that finds new rows adds more.
    """

    owned: Mapping[str, int]
    looked_through: Mapping[str, int]
    reads: int
    writes: int
    is_firestore: bool

    @property
    def deletes(self) -> int:
        """The documents or rows that are deleted, at least."""
        return sum(self.owned.values())

    @property
    def looks(self) -> int:
        """The rows of shared tables that are read as a whole in each pass."""
        return sum(self.looked_through.values())

    @property
    def price(self) -> float:
        """US dollars, on Firestore."""
        if not self.is_firestore:
            return 0.0
        return self.reads * READ_PRICE + self.writes * WRITE_PRICE + self.deletes * DELETE_PRICE


def cost_of(user_id: str, using: str | None = None, *, scan: bool = True) -> Cost:
    """The cost of erasing a person. Counting costs one document read for each 1,000 rows on Firestore."""
    alias = using or memory_settings.database
    owned, looked, pages = {}, {}, 0
    for holding in holdings(How.OWNED):
        if (model := model_of(holding)) is not None:
            count = owned_rows(holding, model, alias_of(model, alias), user_id).count()
            owned[table_of(model)] = count
            pages += -(-count // KEYS_AT_ONCE)
    for holding in holdings(How.NAMED):
        if (model := model_of(holding)) is not None and (scan or holding.label != "memory.AgentData"):
            looked[table_of(model)] = named_rows(holding, model, alias_of(model, alias)).count()
    # A query that finds nothing costs one read.
    reads = sum(owned.values()) + PASSES * (sum(looked.values()) + len(owned) + len(looked))
    writes = pages + 2 + PASSES  # digests of each page, the tombstone, each pass, the end
    return Cost(owned, looked, reads, writes, connections[alias].vendor == "firestore")
