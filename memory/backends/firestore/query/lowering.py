"""Lowers the conditions and orderings of a Django `Query` to the planner's tree.

Each lookup has a rule; lookups that Firestore cannot evaluate become `Opaque`. Nothing is sent. A right-hand side
without columns that compiles to one parameter is a constant.
"""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import models
from django.db.models import DateTimeField, Field, ForeignKey, JSONField, lookups
from django.db.models.expressions import Col, OrderBy, Value
from django.db.models.fields import related_lookups, tuple_lookups
from django.db.models.fields.json import (
    HasAnyKeys,
    HasKey,
    HasKeys,
    JSONExact,
    KeyTransform,
    KeyTransformExact,
    KeyTransformGt,
    KeyTransformGte,
    KeyTransformIn,
    KeyTransformIsNull,
    KeyTransformLt,
    KeyTransformLte,
)
from django.db.models.functions import ExtractIsoYear, ExtractYear, TruncDate
from django.db.models.sql.where import AND, OR, XOR, ExtraWhere, NothingNode, WhereNode
from django.utils import deprecation, timezone

from ..cache import is_kept
from ..values.sortable_text import INT64
from ..values.types import DOCUMENT_ID, JSON_NULL, JsonNull, Kind, Ref, plain
from .ast import FALSE, TRUE, AnyOf, Condition, Constant, Local, Not, Opaque, RowTest, all_of, any_of
from .plan import Compare, Op, Order

COMPOSITE_KEY: Final = Ref(DOCUMENT_ID.path, Kind.TEXT, key=True)
KINDS: Final = frozenset(kind.value for kind in Kind)
ARRAY_OPERATORS: Final = frozenset({Op.ARRAY_CONTAINS, Op.ARRAY_CONTAINS_ANY})
JSON_IN: Final = JSONField.get_class_lookups()["in"]
"""`lookups.In` before Django 6.1, a separate class since then."""

BEYOND_INT64: Final = 10**19
"""In JSON, integers beyond 64 bits are stored as maps with their digits. The text of this value sorts first among those
above the range of 64 bits, and the text of its negative sorts first among those below.
"""


NONE_DEPRECATED: Final[type[Warning] | None] = getattr(deprecation, "RemovedInDjango2028Warning", None)
"""Django 6.1's warning for `filter(json=None)`; None in earlier versions."""

ENGINE_PREFIX: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class NotConstantError(Exception):
    """The right-hand side is not a constant: only a database can compute it."""


PREPARING: Final = ("get_prep_value", "get_db_prep_value", "get_db_prep_save")
"""Methods of a field that decide the type of its stored values."""


def kind_of(field: Field[Any, Any], connection: Any) -> Kind:
    """The kind of a field's column: its `db_type`, or for one that the engine does not know, that of the base class.

    ANY if the field prepares its values in its own way, and for primary keys that are not text: the ids of their
    documents are the texts of the values.
    """
    db_type = (field.db_type(connection) or "").split("(")[0]
    if db_type in KINDS:
        return Kind(db_type)
    if isinstance(field, ForeignKey):
        return kind_of(field.target_field, connection)
    name = field.get_internal_type()
    base = getattr(models, name, None)
    if base is None or not isinstance(field, base) or name not in connection.data_types:
        return Kind.ANY
    if any(getattr(type(field), method) is not getattr(base, method) for method in PREPARING):
        return Kind.ANY
    kind = Kind(connection.data_types[name])
    return kind if kind is Kind.TEXT or not field.primary_key else Kind.ANY


def collation_of(field: Any) -> str:
    """The collation of a field's column in lower case; empty if texts are compared by their code points."""
    while isinstance(field, ForeignKey):
        field = field.target_field
    name = (getattr(field, "db_collation", None) or "").lower()
    return "" if name == "binary" else name


def column_ref(field: Field[Any, Any], connection: Any) -> Ref:
    """The column of a field, cached per connection."""
    known: dict[Field[Any, Any], Ref] = connection.cache.column_refs
    found = known.get(field)
    if found is None:
        found = Ref((str(field.column),), kind_of(field, connection), key=field.primary_key)
        if is_kept(getattr(field, "model", None)):
            known[field] = found
    return found


def absent_value(field: Any) -> Any:
    """The value of a column for documents that lack it, as a field declares it; None: they have null.

    Firestore's filters do not find such documents, so the mirror answers conditions on the column.
    """
    return getattr(field, "absent_value", None)


def is_sparse(field: Any) -> bool:
    """Whether documents may lack a column without a default, as a field declares it: they have null.

    `AddField` writes nothing for such a field. Comparisons with a value are native, since null and a missing field
    match none. `isnull=True` is evaluated on the rows that match the rest of the condition (`planner.Sifted`).
    """
    return bool(getattr(field, "sparse", False))


def may_lack(field: Any) -> bool:
    """Whether documents may lack the column of a field."""
    return is_sparse(field) or absent_value(field) is not None


def _may_be_absent(expression: Any) -> bool:
    """Whether an expression is a column that documents may lack."""
    return isinstance(expression, Col) and absent_value(expression.target) is not None


def key_ref(model: Any, connection: Any) -> Ref:
    """The primary key of a model: its column or, of a composite key, the document id."""
    return COMPOSITE_KEY if is_composite(model) else column_ref(model._meta.pk, connection)


def key_fields(model: Any) -> tuple[Field[Any, Any], ...]:
    """The fields of a model's primary key."""
    meta = model._meta
    return tuple(meta.pk) if is_composite(model) else (meta.pk,)


def key_parts(model: Any, connection: Any) -> tuple[Ref, ...]:
    """The columns of a composite primary key; empty for other keys."""
    return tuple(column_ref(field, connection) for field in key_fields(model)) if is_composite(model) else ()


def is_composite(model: Any) -> bool:
    """Whether a model has a CompositePrimaryKey."""
    return bool(model._meta.is_composite_pk)


class Lowering:
    """Lowers the conditions on one table of a query.

    `alias` is the table's alias; conditions on other tables are opaque. `compiler` and `connection` are the engine's,
    so that values are prepared for it. `implied` returns whether the type of read satisfies a condition by itself.
    """

    def __init__(self, compiler: Any, alias: str, implied: Callable[[Any], bool] | None = None) -> None:
        self.compiler = compiler
        self.connection = compiler.connection
        self.alias = alias
        self.implied = implied

    def where(self, node: WhereNode) -> Condition:
        """A WHERE clause, with SQL's null semantics."""
        children = [self.condition(child) for child in node.children]
        match node.connector:
            case _ if node.connector == AND:
                result = all_of(children)
            case _ if node.connector == OR:
                result = any_of(children) if children else TRUE
            case _ if node.connector == XOR and len(children) < 2:
                result = children[0] if children else TRUE
            case _:
                result = Opaque("^ (exclusive or)")
        if getattr(node, "is_local", False):  # of `FirestoreQuerySet.filter_locally()`
            result = Local(result)
        return Not(result) if node.negated else result

    def condition(self, node: Any) -> Condition:
        """One node of a WHERE clause."""
        if isinstance(node, WhereNode):
            return self.where(node)
        if isinstance(node, NothingNode):
            return FALSE
        if isinstance(node, ExtraWhere):
            return Opaque("extra(where=...)")
        if not isinstance(node, lookups.Lookup):
            return Opaque(describe(node))
        if self.implied is not None and self.implied(node):
            return TRUE
        if hasattr(node.lhs, "row_test"):
            return self.row_test(node)
        rule = None if _may_be_absent(node.lhs) else _rule(node)
        if rule is None:
            return Opaque(describe(node))
        try:
            return rule(self, node) or Opaque(describe(node))
        except (NotConstantError, OverflowError):
            return Opaque(describe(node))
        except EmptyResultSet:
            return FALSE
        except FullResultSet:
            return TRUE

    def row_test(self, lookup: Any) -> Condition:
        """A condition that an expression evaluates on rows: its `row_test(compiler)` is a bool, or a function.

        The function has the values of the fields that the expression names as `row_test_fields`.
        """
        test = lookup.lhs.row_test(self.compiler)
        if isinstance(test, bool):
            return Constant(test is lookup.rhs)
        meta = self.compiler.query.get_meta()
        columns = [Col(self.alias, meta.get_field(name)) for name in lookup.lhs.row_test_fields]
        converters = self.compiler.get_converters(columns)

        def of_values(values: tuple[Any, ...]) -> bool:
            [converted] = self.compiler.apply_converters([values], converters)
            return bool(test(*converted))

        return RowTest(tuple(column_ref(one.target, self.connection) for one in columns), of_values, lookup.rhs)

    def comparable(self, expression: Any) -> Ref | None:
        """The field path of an expression that Firestore compares and sorts like SQL, without a collation."""
        if isinstance(expression, Col) and (collation_of(expression.target) or _may_be_absent(expression)):
            return None
        return self.ref(expression)

    def ref(self, expression: Any) -> Ref | None:
        """The field path of an expression that is a column or a key of a JSON column; otherwise None."""
        if isinstance(expression, Col):
            if expression.alias != self.alias or getattr(expression.target, "generated", False):
                return None
            return column_ref(expression.target, self.connection)
        if isinstance(expression, KeyTransform) and _is_map_key(expression):
            inner = self.ref(expression.lhs)
            if inner is None or inner.kind is not Kind.JSON:
                return None
            return Ref((*inner.path, expression.key_name), Kind.JSON)
        return None

    def constant(self, lookup: Any, value: Any) -> Any:
        """A right-hand side as a Python value for the codec. Raises NotConstantError."""
        if hasattr(value, "as_sql") or hasattr(value, "resolve_expression"):
            return self.expression(value)
        several = getattr(lookup, "get_db_prep_lookup_value_is_iterable", False)
        _, params = lookup.get_db_prep_lookup([value] if several else value, self.connection)
        return plain(params[0])

    def expression(self, expression: Any) -> Any:
        """The value of an expression without columns that compiles to one parameter. Raises NotConstantError."""
        if getattr(expression, "contains_column_references", True) or getattr(expression, "contains_aggregate", True):
            raise NotConstantError
        try:
            sql, params = self.compiler.compile(expression)
        except NotImplementedError:  # dates are SQL of each database in `DatabaseOperations`, which this engine lacks
            raise NotConstantError from None
        if sql != "%s" or len(params) != 1:
            raise NotConstantError
        return plain(params[0])


def _rule(lookup: Any) -> Rule | None:
    """The rule of a lookup: by its class, by a parent class if its left side declares `array_index = False`, or by its
    `array_operator`.
    """
    if getattr(lookup, "array_operator", None) in ARRAY_OPERATORS:
        return _array
    if getattr(lookup.lhs, "array_index", True) is not False:
        return RULES.get(type(lookup))
    return next((RULES[cls] for cls in type(lookup).__mro__ if cls in RULES), None)


def _is_map_key(transform: KeyTransform) -> bool:
    """Whether a transform can only be a map key: it declares `array_index = False`, or its key is not a number."""
    if getattr(transform, "array_index", True) is False:
        return True
    return type(transform) is KeyTransform and not _is_index(transform.key_name)


def _is_index(key: str) -> bool:
    """Whether SQL also interprets a JSON key as an array index."""
    try:
        int(key)
    except ValueError:
        return False
    return True


def describe(node: Any) -> str:
    """A description of a condition for error messages, for example `text__icontains`."""
    if not isinstance(node, lookups.Lookup):
        return type(node).__name__
    names = [node.lookup_name or type(node).__name__]
    lhs = node.lhs
    while not isinstance(lhs, Col):
        inner = getattr(lhs, "lhs", None)
        if inner is None:
            return f"{type(lhs).__name__}(...)__{names[0]}"
        names.insert(0, getattr(lhs, "key_name", None) or getattr(lhs, "lookup_name", None) or type(lhs).__name__)
        lhs = inner
    return "__".join([lhs.target.name, *names])


# --- one rule per lookup; a rule returns None if Firestore cannot evaluate the condition ---

Rule = Callable[[Lowering, Any], Condition | None]


def _out_of_int64(value: Any) -> bool:
    return isinstance(value, int) and value not in INT64


def _out_of_range_result(lookup: Any, value: int) -> Condition:
    """The condition for an integer beyond the column's range, as in Django: all rows or no rows."""
    name = "underflow_exception" if value < 0 else "overflow_exception"
    return TRUE if getattr(lookup, name, EmptyResultSet) is FullResultSet else FALSE


def _is_plain_key(ref: Ref, value: Any) -> bool:
    """Whether a value is a primary key that is stored in its own type."""
    return ref.key and isinstance(value, str | int) and not isinstance(value, bool)


def _comparison(op: Op) -> Rule:
    def rule(lowering: Lowering, lookup: Any) -> Condition | None:
        ref = lowering.comparable(lookup.lhs)
        if ref is None or lookup.bilateral_transforms or ref.kind is Kind.JSON:
            return None
        value = lowering.constant(lookup, lookup.rhs)
        if ref.kind is Kind.ANY and not (op is Op.EQ and _is_plain_key(ref, value)):
            return None
        if value is None:
            return FALSE
        if _out_of_int64(value):
            return _out_of_range_result(lookup, value)
        return Compare(ref, op, value)

    return rule


def _json_exact(lowering: Lowering, lookup: Any) -> Condition | None:
    """A JSON column or key equal to a value. JSON's null is a value: a key with null is not a missing key."""
    ref = lowering.ref(lookup.lhs)
    if ref is None or lookup.bilateral_transforms:
        return None
    if lookup.rhs is None and len(ref.path) == 1 and NONE_DEPRECATED is not None:
        _warn_of_none()
    value = JSON_NULL if lookup.rhs is None else lowering.constant(lookup, lookup.rhs)
    if len(ref.path) > 1 and value in (None, JSON_NULL):
        return Compare(ref, Op.IS_NULL)
    return Compare(ref, Op.EQ, _hashable(value)) if _has_same_equality(ref, value) else None


def _warn_of_none() -> None:
    """The warning that Django gives when it compiles the lookup to SQL, for the line that runs the query."""
    callers: dict[str, Any] = {"skip_file_prefixes": (*deprecation.django_file_prefixes(), ENGINE_PREFIX)}
    warnings.warn(
        "Using None as the right-hand side of an exact lookup on JSONField to mean JSON scalar 'null' is deprecated. "
        "Use JSONNull() instead (or use the __isnull lookup if you meant SQL NULL).",
        NONE_DEPRECATED,
        **callers,
    )


def _has_same_equality(ref: Ref, value: Any) -> bool:
    """Whether Firestore and SQL agree on equality with a value.

    SQL compares lists, maps and whole documents as text: there 1 differs from 1.0.
    """
    if len(ref.path) > 1 and _is_number(value):
        return True
    if len(ref.path) > 1 and isinstance(value, list):
        return all(isinstance(member, str | bool | None) for member in value)
    return isinstance(value, str | bool | JsonNull | None)


def _is_number(value: Any) -> bool:
    """Whether SQL compares a number exactly. It treats integers beyond 64 bits as floats, and NaN as null."""
    return isinstance(value, int | float) and not isinstance(value, bool) and INT64.start < value < INT64.stop


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _json_range(op: Op) -> Rule:
    """A range on a JSON key with a number. In SQL, values of other types are text, which sorts after numbers."""

    def rule(lowering: Lowering, lookup: Any) -> Condition | None:
        ref = lowering.ref(lookup.lhs)
        if ref is None or lookup.bilateral_transforms:
            return None
        value = lowering.constant(lookup, lookup.rhs)
        if not _is_number(value):
            return None
        numbers = Compare(ref, op, value)
        if op in (Op.LT, Op.LE):
            far_below = [Compare(ref, Op.GE, -BEYOND_INT64), Compare(ref, Op.LT, BEYOND_INT64)]
            return any_of([numbers, all_of(far_below)])
        types = [Compare(ref, Op.GE, least) for least in (False, "", ())]
        maps = [Compare(ref, Op.LT, -BEYOND_INT64), Compare(ref, Op.GE, BEYOND_INT64)]
        return any_of([numbers, Compare(ref, Op.IS_NULL), *types, *maps])

    return rule


def _in(lowering: Lowering, lookup: Any) -> Condition | None:
    if not lookup.rhs_is_direct_value() or not isinstance(lookup.rhs, Iterable):
        return None
    if (bounds := _bounds_of(lowering, lookup)) is not None:
        ranges = [bounds(value) for value in lookup.rhs if value is not None]
        return None if None in ranges else any_of(all_of(one) for one in ranges if one is not None)
    ref = lowering.comparable(lookup.lhs)
    if ref is None or lookup.bilateral_transforms:
        return None
    values = [lowering.constant(lookup, value) for value in lookup.rhs if value is not None]
    if ref.kind is Kind.JSON and any(value is JSON_NULL or not _has_same_equality(ref, value) for value in values):
        return None
    if ref.kind is Kind.ANY and not all(_is_plain_key(ref, value) for value in values):
        return None
    known = tuple(_hashable(value) for value in values if value is not None and not _out_of_int64(value))
    return Compare(ref, Op.IN, known) if known else FALSE


def _tuple_exact(lowering: Lowering, lookup: Any) -> Condition | None:
    """A composite key that equals a tuple."""
    if not lookup.rhs_is_direct_value() or any(value is None for value in lookup.rhs):
        return None
    return _all_equal(lowering, lookup.lhs, lookup.rhs)


def _tuple_in(lowering: Lowering, lookup: Any) -> Condition | None:
    """A composite key that is one of several tuples."""
    if not lookup.rhs_is_direct_value():
        return None
    tuples = [values for values in lookup.rhs if all(value is not None for value in values)]
    return any_of([_all_equal(lowering, lookup.lhs, values) for values in tuples])


def _all_equal(lowering: Lowering, columns: Iterable[Any], values: Iterable[Any]) -> Condition:
    pairs = zip(columns, values, strict=True)
    return all_of(
        [lowering.condition(column.output_field.get_lookup("exact")(column, value)) for column, value in pairs]
    )


def _is_null(lowering: Lowering, lookup: Any) -> Condition | None:
    if not isinstance(lookup.rhs, bool):
        return None  # Django's compiler raises
    ref = lowering.ref(lookup.lhs)
    if ref is None:
        return None
    if is_sparse(getattr(lookup.lhs, "target", None)):
        return Compare(ref, Op.ABSENT if lookup.rhs else Op.PRESENT)
    return Compare(ref, Op.IS_NULL if lookup.rhs else Op.IS_NOT_NULL)


def _has_path(ref: Ref) -> Condition:
    return AnyOf((Compare(ref, Op.IS_NULL), Compare(ref, Op.IS_NOT_NULL)))


def _key_is_null(lowering: Lowering, lookup: Any) -> Condition | None:
    """A key that is present, null or not. Firestore cannot query for a missing key."""
    ref = lowering.ref(lookup.lhs)
    return None if ref is None or lookup.rhs else _has_path(ref)


def _has_key(lowering: Lowering, lookup: Any) -> Condition | None:
    keys = [lookup.rhs] if isinstance(lookup, HasKey) else lookup.rhs
    ref = lowering.ref(lookup.lhs)
    if ref is None or ref.kind is not Kind.JSON or not all(isinstance(k, str) and not _is_index(k) for k in keys):
        return None
    paths = [_has_path(Ref((*ref.path, key), Kind.JSON)) for key in keys]
    return any_of(paths) if isinstance(lookup, HasAnyKeys) else all_of(paths)


def _range(lowering: Lowering, lookup: Any) -> Condition | None:
    if (bounds := _bounds_of(lowering, lookup)) is not None and isinstance(lookup.rhs, tuple | list):
        low, high = (bounds(value) for value in lookup.rhs)
        return None if low is None or high is None else all_of([low[0], high[1]])
    ref = lowering.comparable(lookup.lhs)
    if ref is None or lookup.bilateral_transforms or ref.kind in (Kind.JSON, Kind.ANY):
        return None
    if not isinstance(lookup.rhs, tuple | list):
        return None
    low, high = (lowering.constant(lookup, value) for value in lookup.rhs)
    if low is None or high is None:
        return FALSE
    if _out_of_int64(low) or _out_of_int64(high):
        return None
    return all_of([Compare(ref, Op.GE, low), Compare(ref, Op.LE, high)])


def _starts_with(lowering: Lowering, lookup: Any) -> Condition | None:
    ref = lowering.ref(lookup.lhs)
    if ref is None or ref.kind is not Kind.TEXT or lookup.bilateral_transforms:
        return None
    if not isinstance(lookup.rhs, str):
        return None
    if not lookup.rhs:
        return Compare(ref, Op.IS_NOT_NULL)
    prefix = plain(lookup.rhs)
    after = successor(prefix)
    low = Compare(ref, Op.GE, prefix)
    return low if after is None else all_of([low, Compare(ref, Op.LT, after)])


def successor(prefix: str) -> str | None:
    """The smallest string greater than all strings that start with `prefix`, by code points; None if there is none.

    Surrogates (U+D800 to U+DFFF) are not characters, so they are skipped.
    """
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1])
        if code < 0x10FFFF:
            return prefix[: end - 1] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None


def _array(lowering: Lowering, lookup: Any) -> Condition | None:
    """A list that contains a value, or any of several values."""
    ref, op = lowering.ref(lookup.lhs), Op(lookup.array_operator)
    if ref is None or len(ref.path) > 1 or ref.kind is not Kind.JSON or hasattr(lookup.rhs, "resolve_expression"):
        return None
    if op is Op.ARRAY_CONTAINS:
        return Compare(ref, op, lookup.rhs)
    values = tuple(dict.fromkeys(lookup.rhs))
    return Compare(ref, op, values) if values else FALSE


def _year(low: Op | None, high: Op | None) -> Rule:
    """A year lookup as a range: `low` compares with the first instant of the year, `high` with the last."""

    def rule(lowering: Lowering, lookup: Any) -> Condition | None:
        ref = lowering.ref(lookup.lhs.lhs)
        if ref is None or not isinstance(lookup.rhs, int) or not 1 <= lookup.rhs <= 9998:
            return None
        first, last = lookup.year_lookup_bounds(lowering.connection, lookup.rhs)
        bounds = [Compare(ref, low, first)] if low else []
        return all_of(bounds + ([Compare(ref, high, last)] if high else []))

    return rule


def _day(day: datetime.date, lhs: TruncDate) -> datetime.datetime | None:
    """The first instant of a day in the lookup's time zone; None if instants of the day before are after it.

    They are where clocks were set back across midnight, as from 00:01 to 23:01 in St. John's, until 2011.
    """
    start = datetime.datetime.combine(day, datetime.time.min)
    if lhs.get_tzname() is None:
        return start.replace(tzinfo=datetime.UTC)
    zone = lhs.tzinfo or timezone.get_current_timezone()
    first, last = (timezone.make_aware(start.replace(fold=fold), zone).astimezone(datetime.UTC) for fold in (0, 1))
    if first < last and (last - datetime.timedelta.resolution).astimezone(zone).date() < day:
        return None
    return first


def _day_and_next(day: datetime.date, lhs: TruncDate) -> tuple[datetime.datetime, datetime.datetime] | None:
    """The first instants of a day and of the next one; None if the days before are not all before these."""
    start, end = _day(day, lhs), _day(day + datetime.timedelta(days=1), lhs)
    return None if start is None or end is None else (start, end)


def _date_bounds(op: Op, ref: Ref, start: datetime.datetime, end: datetime.datetime) -> Condition:
    match op:
        case Op.EQ:
            return all_of([Compare(ref, Op.GE, start), Compare(ref, Op.LT, end)])
        case Op.LT:
            return Compare(ref, Op.LT, start)
        case Op.LE:
            return Compare(ref, Op.LT, end)
        case Op.GT:
            return Compare(ref, Op.GE, end)
        case _:
            return Compare(ref, Op.GE, start)


Bounds = Callable[[Any], tuple[Condition, Condition] | None]
"""The conditions for the start and the end of a day or a year; None for a value that is not one."""


def _bounds_of(lowering: Lowering, lookup: Any) -> Bounds | None:
    """The bounds of `datetime__date` and of `__year`, `__iso_year`, for lookups of several values."""
    lhs = lookup.lhs
    if type(lhs) is TruncDate and isinstance(lhs.lhs.output_field, DateTimeField):
        ref = lowering.ref(lhs.lhs)
        return None if ref is None else partial(_day_bounds, ref, lhs)
    if type(lhs) in (ExtractYear, ExtractIsoYear) and lhs.tzinfo is None:
        ref = lowering.ref(lhs.lhs)
        return None if ref is None else partial(_year_bounds, lowering, ref, lhs)
    return None


def _day_bounds(ref: Ref, lhs: TruncDate, day: Any) -> tuple[Condition, Condition] | None:
    if type(day) is not datetime.date or not 1 < day.year < 9999:
        return None
    if (instants := _day_and_next(day, lhs)) is None:
        return None
    return Compare(ref, Op.GE, instants[0]), Compare(ref, Op.LT, instants[1])


def _year_bounds(lowering: Lowering, ref: Ref, lhs: Any, year: Any) -> tuple[Condition, Condition] | None:
    if type(year) is not int or not 1 < year < 9999:
        return None
    ops = lowering.connection.ops
    is_datetime = isinstance(lhs.lhs.output_field, DateTimeField)
    bounds = ops.year_lookup_bounds_for_datetime_field if is_datetime else ops.year_lookup_bounds_for_date_field
    first, last = bounds(year, iso_year=type(lhs) is ExtractIsoYear)
    return Compare(ref, Op.GE, first), Compare(ref, Op.LE, last)


def _comparison_or_date(op: Op) -> Rule:
    """A comparison. A comparison of `datetime__date` with a date becomes a range in the current time zone."""
    plain = _comparison(op)

    def rule(lowering: Lowering, lookup: Any) -> Condition | None:
        if type(lookup.lhs) is not TruncDate or not isinstance(lookup.lhs.lhs.output_field, DateTimeField):
            return plain(lowering, lookup)
        ref = lowering.ref(lookup.lhs.lhs)
        day = lookup.rhs
        if ref is None or type(day) is not datetime.date or not 1 < day.year < 9999:
            return None
        instants = _day_and_next(day, lookup.lhs)
        return None if instants is None else _date_bounds(op, ref, *instants)

    return rule


RULES: Final[dict[type, Rule]] = {
    **dict.fromkeys(
        (lookups.Exact, lookups.IntegerFieldExact, related_lookups.RelatedExact), _comparison_or_date(Op.EQ)
    ),
    **dict.fromkeys(
        (lookups.GreaterThan, lookups.IntegerGreaterThan, related_lookups.RelatedGreaterThan),
        _comparison_or_date(Op.GT),
    ),
    **dict.fromkeys(
        (
            lookups.GreaterThanOrEqual,
            lookups.IntegerGreaterThanOrEqual,
            related_lookups.RelatedGreaterThanOrEqual,
        ),
        _comparison_or_date(Op.GE),
    ),
    **dict.fromkeys(
        (lookups.LessThan, lookups.IntegerLessThan, related_lookups.RelatedLessThan), _comparison_or_date(Op.LT)
    ),
    **dict.fromkeys(
        (lookups.LessThanOrEqual, lookups.IntegerLessThanOrEqual, related_lookups.RelatedLessThanOrEqual),
        _comparison_or_date(Op.LE),
    ),
    **dict.fromkeys((lookups.In, related_lookups.RelatedIn, JSON_IN, KeyTransformIn), _in),
    **dict.fromkeys((lookups.IsNull, related_lookups.RelatedIsNull), _is_null),
    tuple_lookups.TupleExact: _tuple_exact,
    tuple_lookups.TupleIn: _tuple_in,
    lookups.Range: _range,
    lookups.StartsWith: _starts_with,
    lookups.YearExact: _year(Op.GE, Op.LE),
    lookups.YearGt: _year(None, Op.GT),
    lookups.YearGte: _year(Op.GE, None),
    lookups.YearLt: _year(Op.LT, None),
    lookups.YearLte: _year(None, Op.LE),
    **dict.fromkeys((JSONExact, KeyTransformExact), _json_exact),
    KeyTransformLt: _json_range(Op.LT),
    KeyTransformLte: _json_range(Op.LE),
    KeyTransformGt: _json_range(Op.GT),
    KeyTransformGte: _json_range(Op.GE),
    KeyTransformIsNull: _key_is_null,
    **dict.fromkeys((HasKey, HasKeys, HasAnyKeys), _has_key),
}


def lower_orders(lowering: Lowering, expressions: Iterable[Any]) -> Iterator[Order | str]:
    """The sort keys of a query. A string describes a sort key that Firestore does not support."""
    for expression in expressions:
        source = expression.expression if isinstance(expression, OrderBy) else expression
        source = getattr(source, "source", source)  # a Ref to a selected column
        if isinstance(source, Value):
            continue  # a constant does not affect the order
        ref = lowering.comparable(source)
        is_absent = isinstance(source, Col) and is_sparse(source.target)
        if not isinstance(expression, OrderBy) or ref is None or is_absent or len(ref.path) > 1:
            yield f"order_by({describe_expression(source)})"
        elif expression.nulls_last if not expression.descending else expression.nulls_first:
            yield f"order_by({ref.name}, nulls {'last' if expression.nulls_last else 'first'})"
        else:
            yield Order(ref, expression.descending)


def describe_expression(expression: Any) -> str:
    """A description of an expression: its field, or its class."""
    if isinstance(expression, Col):
        return f"{expression.target.model._meta.label}.{expression.target.name}"
    return type(expression).__name__
