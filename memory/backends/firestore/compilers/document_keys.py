"""Document ids of the primary keys that a query selects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DataError

from ..query.lowering import COMPOSITE_KEY
from ..values.document_ids import composite_id, document_id
from ..values.types import Ref


def checked_document_id(value: Any, key: Ref) -> str:
    """The document id of a primary key value. Raises DataError for an invalid id."""
    if key == COMPOSITE_KEY:
        return str(value)  # it was read as an id
    try:
        return document_id(value, key.kind)
    except ValueError as error:
        raise DataError(f"{key.name}={value!r} is not a valid primary key: {error}") from error


def id_of_key(values: Sequence[Any], refs: Sequence[Ref]) -> str:
    """The document id of a primary key, whose columns are one or several. Raises DataError for an invalid id."""
    if len(refs) == 1:
        return checked_document_id(values[0], refs[0])
    try:
        return composite_id(zip(values, [ref.kind for ref in refs], strict=True))
    except ValueError as error:
        raise DataError(f"{tuple(values)!r} is not a valid primary key: {error}") from error
