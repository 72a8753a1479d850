"""Per-connection caches of values that every statement needs.

They keep the models that they are about. So nothing about a model of a state of migrations is kept: each state has
models of all applications, and a long chain of migrations has hundreds of states.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from .values.types import Ref

MAX_QUERIES: Final = 256
"""Shapes of queries that a connection keeps, a few kilobytes each; and plans of each shape."""


def is_kept(model: Any) -> bool:
    """Whether a model is one of the installed applications, which last as long as the process."""
    return model is not None and model._meta.apps is model._meta.default_apps


class Recent(OrderedDict[Hashable, Any]):
    """A dict of the `most` entries that were used last. Values are not None."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def find(self, key: Hashable) -> Any:
        """The value, or None."""
        found = self.get(key)
        if found is not None:
            self.move_to_end(key)
        return found

    def keep(self, key: Hashable, value: Any) -> None:
        """Add or replace a value."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)


@dataclass
class ConnectionCache:
    """The caches of one connection. They are filled on first use of a model."""

    column_refs: dict[Any, Ref] = field(default_factory=dict)
    """Columns by field (`query/lowering.py`)."""

    row_shapes: dict[Any, Any] = field(default_factory=dict)
    """By model and deferred fields: the model's fields, and the `Shape` or None (`query/pk_lookup.py`)."""

    insertions: dict[Hashable, Any] = field(default_factory=dict)
    """By model and field names: the `Insertion` (`compilers/insert_columns.py`)."""

    queries: Recent = field(default_factory=lambda: Recent(MAX_QUERIES))
    """By shape: the `KnownQuery` (`compilers/known_queries.py`)."""
