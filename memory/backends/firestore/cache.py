"""What is worked out once for each connection, because every statement needs it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from .values.types import Ref


@dataclass
class ConnectionCache:
    """Caches of one connection, which fill with the models that it is used for."""

    column_refs: dict[Any, Ref] = field(default_factory=dict)
    """By field: where its values are stored (`query/lowering.py`)."""

    row_shapes: dict[Any, Any] = field(default_factory=dict)
    """By model: the `Shape` of its rows, or None if a row cannot be read by its key alone (`query/pk_lookup.py`)."""

    insertions: dict[Hashable, Any] = field(default_factory=dict)
    """By model and names of fields: the `Insertion` (`compilers/insert_columns.py`)."""
