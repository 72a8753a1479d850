"""Per-connection caches of values that every statement needs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from .values.types import Ref


@dataclass
class ConnectionCache:
    """The caches of one connection. They are filled on first use of a model."""

    column_refs: dict[Any, Ref] = field(default_factory=dict)
    """Columns by field (`query/lowering.py`)."""

    row_shapes: dict[Any, Any] = field(default_factory=dict)
    """By model and deferred fields: the `Shape`, or None if the fast path does not apply (`query/pk_lookup.py`)."""

    insertions: dict[Hashable, Any] = field(default_factory=dict)
    """By model and field names: the `Insertion` (`compilers/insert_columns.py`)."""
