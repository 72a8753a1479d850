"""Argument validation of all stores. Raises `ValidationError`, by argument or field."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone

from .. import limits
from ..exceptions import ValidationError
from ..fields import VectorField
from ..models import AgentData, MemoryItem
from ..text_index import readable_question

RecordT = TypeVar("RecordT", MemoryItem, AgentData)

TIMES: Final = ("timestamp", "expiration", "valid_from", "valid_to")


def naive_problem(value: datetime) -> str:
    """The error of a naive time if `USE_TZ` is set; empty if it is valid."""
    if settings.USE_TZ and timezone.is_naive(value):
        return "This must be an aware datetime; use timezone.now(), or set tzinfo."
    return ""


def validated_records(records: Iterable[RecordT], model: type[RecordT], argument: str) -> list[RecordT]:
    """The records as a list. Raises `ValidationError` for other types and values that Firestore would reject."""
    if not isinstance(records, Iterable):
        raise ValidationError({argument: f"This must be a list of {model.__name__}."})
    found = list(records)
    for record in found:
        if not isinstance(record, model):
            raise ValidationError({argument: f"This must be a {model.__name__}, not a {type(record).__name__}."})
        _check_times(record)
        record.check_limits()
    return found


def _check_times(record: MemoryItem | AgentData) -> None:
    times = {name: getattr(record, name) for name in TIMES if hasattr(record, name)}
    problems = {name: naive_problem(time) for name, time in times.items() if isinstance(time, datetime)}
    if wrong := {name: problem for name, problem in problems.items() if problem}:
        raise ValidationError(wrong)


def check_name(argument: str, value: object) -> None:
    """Validate the name of a user, session or key."""
    if not isinstance(value, str) or not value:
        raise ValidationError({argument: "This must be a string that is not empty."})
    if problem := limits.text_problem(value):
        raise ValidationError({argument: problem})


def check_id(argument: str, value: object) -> None:
    """Validate a document id."""
    if not isinstance(value, str):
        raise ValidationError({argument: "This must be a string."})
    if problem := limits.document_id_problem(value):
        raise ValidationError({argument: problem})


def validated_ids(argument: str, value: object, most: int) -> list[str]:
    """The value as a list of at most `most` document ids."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValidationError({argument: "This must be a list of ids."})
    ids = list(value)
    if len(ids) > most:
        raise ValidationError({argument: f"These must be at most {most} ids, not {len(ids)}."})
    for pk in ids:
        check_id(argument, pk)
    return ids


def check_count(argument: str, value: object, most: int | None = None) -> None:
    """Validate an integer from 1 to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most is not None and value > most):
        raise ValidationError(
            {argument: f"This must be a whole number {f'from 1 to {most}' if most else 'of at least 1'}."}
        )


def check_share(argument: str, value: object) -> None:
    """Validate a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValidationError({argument: "This must be a number from 0 to 1."})


def validated_query(argument: str, value: object) -> str:
    """The value as a search query."""
    try:
        return readable_question(value)  # type: ignore[arg-type]  # validated by the function
    except (TypeError, ValueError) as error:
        raise ValidationError({argument: str(error)}) from error


def validated_vector(argument: str, value: object) -> list[float]:
    """The value as a list of 1 to 2,048 finite floats."""
    try:
        vector = VectorField().to_python(value)
    except DjangoValidationError as error:
        raise ValidationError({argument: error.messages}) from error
    if vector is None:
        raise ValidationError({argument: "This must be a list of numbers."})
    return vector
