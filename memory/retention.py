"""Retention policies, `MEMORY["RETENTION"]`: which records are kept how long, and how many.

    MEMORY = {"RETENTION": [
        {"item_type": "message", "age": timedelta(days=90)},
        {"item_type": ["event", "trace"], "count": 1_000},
        {"importance_below": 0.2, "age": timedelta(days=7)},
        {"model": "AgentData", "data_type": "scratch", "age": timedelta(days=1)},
    ]}

Policies hold for reads at once, as an expiration does (`memory.querysets.retained`), and `manage.py memory_purge`
deletes what they cover. `parse` is pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

CRITERIA: Final[Mapping[str, tuple[str, ...]]] = {
    "MemoryItem": ("user_id", "session_id", "item_type"),
    "AgentData": ("agent_id", "data_type"),
}
"""By model, the fields that a policy can name."""

OWNERS: Final[Mapping[str, str]] = {"MemoryItem": "user_id", "AgentData": "agent_id"}


class InvalidPolicy(ValueError):
    """A policy cannot be understood; the message says which and why."""


@dataclass(frozen=True)
class Policy:
    """Covers records of a model with these values: older than `age`, less important than a number, or beyond `count`.

    `count` is of the newest records of each owner: a user, or an agent. `criteria` are fields with their values.
    """

    model: str
    criteria: tuple[tuple[str, tuple[str, ...]], ...] = ()
    age: timedelta | None = None
    count: int | None = None
    importance_below: float | None = None

    @property
    def owner(self) -> str:
        """The field of the owner."""
        return OWNERS[self.model]

    @property
    def lookups(self) -> dict[str, Any]:
        """The criteria as lookups of a queryset."""
        return {
            name if len(values) == 1 else f"{name}__in": values[0] if len(values) == 1 else list(values)
            for name, values in self.criteria
        }

    @property
    def is_plain(self) -> bool:
        """Whether it is about the age of all records of the model: a bound of time, with an index for every list."""
        return self.age is not None and not self.criteria and self.importance_below is None

    def covers(self, record: Any, now: datetime) -> bool:
        """Whether a record is covered, as `memory.querysets.retained` has it for queries; of a count, if it is old."""
        if any(getattr(record, name) not in values for name, values in self.criteria):
            return False
        if self.age is not None and record.timestamp > now - self.age:
            return False
        if self.importance_below is not None:
            return record.importance is not None and record.importance < self.importance_below
        return True

    def __str__(self) -> str:
        parts = [f"{name} {' or '.join(values)}" for name, values in self.criteria]
        parts += [f"older than {self.age}"] if self.age is not None else []
        parts += [f"importance below {self.importance_below}"] if self.importance_below is not None else []
        parts += [f"beyond the newest {self.count:,} of each {self.owner}"] if self.count is not None else []
        return f"{self.model}: {', '.join(parts)}"


def parse(values: object) -> tuple[Policy, ...]:
    """The policies of the setting. Raises `InvalidPolicy`."""
    if not isinstance(values, list | tuple):
        raise InvalidPolicy(f"RETENTION must be a list of dicts, not {type(values).__name__}.")
    return tuple(_policy(number, value) for number, value in enumerate(values))


def _policy(number: int, value: object) -> Policy:
    where = f"RETENTION[{number}]"
    if not isinstance(value, Mapping):
        raise InvalidPolicy(f"{where} must be a dict, not {type(value).__name__}.")
    model = value.get("model", "MemoryItem")
    if model not in CRITERIA:
        raise InvalidPolicy(f"{where}: model must be one of {', '.join(CRITERIA)}, not {model!r}.")
    known = {"model", "age", "count", *CRITERIA[model], *(["importance_below"] if model == "MemoryItem" else [])}
    if unknown := sorted(map(str, value.keys() - known)):
        raise InvalidPolicy(f"{where} has unknown keys: {', '.join(unknown)}. Known keys: {', '.join(sorted(known))}.")
    policy = Policy(
        model,
        tuple((name, _texts(f"{where}: {name}", value[name])) for name in CRITERIA[model] if name in value),
        _age(where, value.get("age")),
        _count(where, value.get("count")),
        _share(where, value.get("importance_below")),
    )
    if policy.age is None and policy.count is None and policy.importance_below is None:
        raise InvalidPolicy(f"{where} needs age, count or importance_below.")
    if policy.count is not None and (policy.age is not None or policy.importance_below is not None):
        raise InvalidPolicy(f"{where}: count cannot be combined with age or importance_below: make two policies.")
    return policy


def _texts(where: str, value: object) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values or not all(isinstance(one, str) and one for one in values):
        raise InvalidPolicy(f"{where} must be a text or a list of texts.")
    return tuple(values)


def _age(where: str, value: object) -> timedelta | None:
    if value is None:
        return None
    if not isinstance(value, timedelta) or not timedelta() < value < timedelta(days=365_000):
        raise InvalidPolicy(f"{where}: age must be a positive timedelta, not {value!r}.")
    return value


def _count(where: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidPolicy(f"{where}: count must be an integer of at least 1, not {value!r}.")
    return value


def _share(where: str, value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise InvalidPolicy(f"{where}: importance_below must be a number above 0 and up to 1, not {value!r}.")
    return float(value)


def policies_of(values: Sequence[Any], model: str) -> tuple[Policy, ...]:
    """The policies of a model in the setting; none without the setting. Parsed once for each value of it."""
    return () if not values else _by_model(_Held(values)).get(model, ())


class _Held:
    """A list of the settings, by its identity, so that it can be a key of a cache."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values

    def __hash__(self) -> int:
        return id(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.values is self.values


@lru_cache(maxsize=8)
def _by_model(held: _Held) -> Mapping[str, tuple[Policy, ...]]:
    found = parse(held.values)
    return {model: tuple(one for one in found if one.model == model) for model in CRITERIA}
