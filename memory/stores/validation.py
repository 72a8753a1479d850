"""What every store checks of its arguments; what is wrong is a `ValidationError`, by the argument's or field's name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone

from .. import limits
from ..exceptions import ValidationError
from ..fields import VectorField
from ..models import AgentData, MemoryItem
from ..search.recall import readable_question

RecordT = TypeVar("RecordT", MemoryItem, AgentData)


def naive_problem(value: datetime) -> str:
    """What is wrong with a time that has no zone where the project has zones; empty where nothing is."""
    if settings.USE_TZ and timezone.is_naive(value):
        return "This time has no zone; use timezone.now(), or give it tzinfo."
    return ""


def checked_records(records: Iterable[RecordT], model: type[RecordT], argument: str) -> list[RecordT]:
    """The records as a list; one that is of another kind, or that Firestore would refuse, is a `ValidationError`."""
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
    times = {"timestamp": record.timestamp, "expiration": record.expiration}
    problems = {name: naive_problem(time) for name, time in times.items() if isinstance(time, datetime)}
    if wrong := {name: problem for name, problem in problems.items() if problem}:
        raise ValidationError(wrong)


def check_name(argument: str, value: object) -> None:
    """A user's, a session's, a key's name."""
    if not isinstance(value, str) or not value:
        raise ValidationError({argument: "This must be a text that is not empty."})
    if problem := limits.text_problem(value):
        raise ValidationError({argument: problem})


def check_id(argument: str, value: object) -> None:
    """A document's id."""
    if not isinstance(value, str):
        raise ValidationError({argument: "This must be a text."})
    if problem := limits.document_id_problem(value):
        raise ValidationError({argument: problem})


def check_count(argument: str, value: object, most: int | None = None) -> None:
    """A whole number from 1 on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most is not None and value > most):
        raise ValidationError({argument: f"This must be a whole number from 1{f' to {most}' if most else ' on'}."})


def checked_question(argument: str, value: object) -> str:
    """The value as a question that a search can be asked."""
    try:
        return readable_question(value)  # type: ignore[arg-type]  # which it checks
    except (TypeError, ValueError) as error:
        raise ValidationError({argument: str(error)}) from error


def checked_vector(argument: str, value: object) -> list[float]:
    """The value as a list of 1 to 2,048 finite floats."""
    try:
        vector = VectorField().to_python(value)
    except DjangoValidationError as error:
        raise ValidationError({argument: error.messages}) from error
    if vector is None:
        raise ValidationError({argument: "This must be a list of numbers."})
    return vector
