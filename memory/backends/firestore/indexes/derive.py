"""Derives the composite index of a query, as an entry of `firestore.indexes.json`.

Firestore's automatic indexes serve equalities only, or a single range or order. Other queries need a composite index:
equality fields first, then the sort keys with their directions, then aggregated fields. A vector field comes last.
https://firebase.google.com/docs/firestore/query-data/index-overview
"""

from __future__ import annotations

from collections.abc import Sequence

from ..query.plan import Read
from ..values.types import Ref
from .definitions import NAME, Definition, definition, sorted_field, vector_field
from .serving import AUTOMATIC

__all__ = ["NAME", "Definition", "definition", "required_index", "sorted_field", "vector_field"]


def required_index(read: Read, aggregated: Sequence[Ref] = ()) -> Definition | None:
    """The composite index that a read needs, or None. `aggregated` are the columns of sums and averages."""
    return AUTOMATIC.missing(read, aggregated)
