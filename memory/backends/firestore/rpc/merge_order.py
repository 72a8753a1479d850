"""Firestore's sort order of documents, computed on the client to merge the branches of a `plan.Merge`.

https://firebase.google.com/docs/firestore/manage-data/data-types#value_type_ordering
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..query.plan import Order
from ..values import document_ids
from ..values.types import DOCUMENT_ID, Ref
from .channel import Message


def order_key(document: Message, orders: Sequence[Order]) -> tuple[Any, ...]:
    """A document's sort key: the value of each order, then the name in the direction of the last order."""
    parts = [_directed(_order_value(document, order.ref), order.descending) for order in orders]
    parts.append(_directed((0, document.name.encode()), bool(orders) and orders[-1].descending))
    return tuple(parts)


def _order_value(document: Message, ref: Ref) -> tuple[Any, ...]:
    if ref.path == DOCUMENT_ID.path:
        return (0, document.name.encode())
    message, fields = None, document.fields
    for key in ref.path:
        message = fields.get(document_ids.escape_key(key))
        if message is None:
            return (0,)
        fields = message.map_value.fields
    return _comparable(message)


def _comparable(message: Message) -> tuple[Any, ...]:
    kind = message.WhichOneof("value_type")
    rank, read = _ORDER[kind]
    return (rank, *read(message))


def _number_order(number: float) -> tuple[int, float]:
    return (0, 0) if number != number else (1, number)  # NaN sorts before all numbers


_ORDER: Final[Mapping[str | None, tuple[int, Callable[[Message], tuple[Any, ...]]]]] = {
    None: (0, lambda message: ()),
    "null_value": (0, lambda message: ()),
    "boolean_value": (1, lambda message: (message.boolean_value,)),
    "integer_value": (2, lambda message: _number_order(message.integer_value)),
    "double_value": (2, lambda message: _number_order(message.double_value)),
    "timestamp_value": (3, lambda message: (message.timestamp_value.seconds, message.timestamp_value.nanos)),
    "string_value": (4, lambda message: (message.string_value.encode(),)),
    "bytes_value": (5, lambda message: (message.bytes_value,)),
    "reference_value": (6, lambda message: tuple(message.reference_value.split("/"))),
    "geo_point_value": (7, lambda message: (message.geo_point_value.latitude, message.geo_point_value.longitude)),
    "array_value": (8, lambda message: (tuple(_comparable(value) for value in message.array_value.values),)),
    "map_value": (
        9,
        lambda message: (
            tuple((key.encode(), _comparable(value)) for key, value in sorted(message.map_value.fields.items())),
        ),
    ),
}


class _Descending:
    """Reverses the comparison of a value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)


def _directed(value: tuple[Any, ...], descending: bool) -> Any:
    return _Descending(value) if descending else value
