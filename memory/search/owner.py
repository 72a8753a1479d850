"""The one user whose memory a queryset is restricted to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models.expressions import Col
from django.db.models.lookups import Exact
from django.db.models.sql.where import AND, WhereNode

from memory.querysets import MemoryItemQuerySet


def one_user_of(items: MemoryItemQuerySet) -> str:
    """The user to whom the queryset's filters restrict it. Raises `ValueError` unless it is exactly one."""
    users = set(_users(items.query.where))
    if len(users) != 1:
        found = f"several users ({', '.join(sorted(map(repr, users)))})" if users else "no user"
        raise ValueError(
            f"search() needs exactly one user, but the filters name {found}: pass user_id, or call for_user() once."
        )
    return users.pop()


def _users(where: Any) -> Iterator[str]:
    """The values that `user_id` must equal for every row."""
    if where.negated or where.connector != AND:
        return
    for child in where.children:
        if isinstance(child, WhereNode):
            yield from _users(child)
        elif _is_about_the_user(child):
            yield child.rhs


def _is_about_the_user(lookup: Any) -> bool:
    is_equality = isinstance(lookup, Exact) and isinstance(lookup.lhs, Col) and isinstance(lookup.rhs, str)
    return is_equality and lookup.lhs.target.name == "user_id"
