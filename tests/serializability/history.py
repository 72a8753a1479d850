"""Operations of processes on lists under keys, as data: the input of the checker."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Read:
    """A key's list, as it was seen."""

    key: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """A value put at the end of a key's list; no two appends to a key have the same value."""

    key: str
    value: int


Operation: TypeAlias = Read | Append


class Status(StrEnum):
    """The outcome of a transaction, as its process knows it."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction: its operations in order, and when it began and was known to have ended, in seconds.

    One of unknown status may have been applied at any time since it began. What it read is not looked at.
    """

    id: int
    process: int
    start: float
    end: float
    operations: tuple[Operation, ...]
    status: Status = Status.OK

    @property
    def ended(self) -> float:
        """When it cannot be applied any later."""
        return math.inf if self.status is Status.UNKNOWN else self.end

    @property
    def appends(self) -> Iterator[Append]:
        """The appended values, in order."""
        return (operation for operation in self.operations if isinstance(operation, Append))

    @property
    def reads(self) -> Iterator[Read]:
        """The values that it is known to have seen, in order."""
        if self.status is Status.OK:
            yield from (operation for operation in self.operations if isinstance(operation, Read))

    def before_itself(self, read: Read) -> tuple[int, ...]:
        """The values of others in a read: without the transaction's own appends at the end."""
        own = {append.value for append in self.appends if append.key == read.key}
        end = len(read.values)
        while end and read.values[end - 1] in own:
            end -= 1
        return read.values[:end]
