"""Lookups on one key of a JSON map, for any key and by the type of its value.

Django's key transforms treat a key such as "2024" as a list index on some engines, fail for keys with quotes on SQLite,
and compare `true` and `"true"` as equal there. Here a key is always a key of a map, and a string never equals a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTransform, KeyTransformExact, KeyTransformIsNull

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

QuerySetT = TypeVar("QuerySetT", bound=QuerySet[Any])
SQL = tuple[str, tuple[Any, ...]]

# https://www.sqlite.org/json1.html#jeach: `type` and `atom` of a member; constants differ in their type only.
CONSTANTS: Mapping[Any, str] = {None: "null", True: "true", False: "false"}
MEMBERS = "EXISTS (SELECT 1 FROM json_each({column}) AS member WHERE member.key = %s{condition})"


class Member(KeyTransform):
    """The value under one key of a map: `alias(topic=Member("topic", "metadata")).filter(topic="travel")`."""

    # Engines read this: "2024" is a key here, not an index.
    array_index = False

    def sqlite_exists(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, condition: str = "", *values: Any
    ) -> SQL:
        """SQL for SQLite: the key exists, and its `member` meets a condition."""
        column, params, keys = self.preprocess_lhs(compiler, connection)
        return MEMBERS.format(column=column, condition=condition), (*params, *keys, *values)


@Member.register_lookup
class MemberExact(KeyTransformExact):
    """Equality with a string, a number, true, false or null."""

    lhs: Member

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> SQL:
        """Compare type and value."""
        if self.rhs is None or isinstance(self.rhs, bool):
            return self.lhs.sqlite_exists(compiler, connection, " AND member.type = %s", CONSTANTS[self.rhs])
        types = "('text')" if isinstance(self.rhs, str) else "('integer', 'real')"
        condition = f" AND member.type IN {types} AND member.atom = %s"
        return self.lhs.sqlite_exists(compiler, connection, condition, self.rhs)


@Member.register_lookup
class MemberIsNull(KeyTransformIsNull):
    """`isnull=False`: the key exists, whatever its value."""

    lhs: Member

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> SQL:
        """Test for the key."""
        sql, params = self.lhs.sqlite_exists(compiler, connection)
        return f"NOT {sql}" if self.rhs else sql, params


def having_key(queryset: QuerySetT, field: str, key: str) -> QuerySetT:
    """Rows whose map `field` has `key`."""
    return queryset.alias(wanted_member=Member(key, field)).filter(wanted_member__isnull=False)


def having_member(queryset: QuerySetT, field: str, key: str, value: str | int | float | bool | None) -> QuerySetT:
    """Rows whose map `field` has `value` under `key`. `None` is JSON's null, not a missing key."""
    return queryset.alias(wanted_member=Member(key, field)).filter(wanted_member=value)
