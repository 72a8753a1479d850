"""Which rows of shared tables name a person: pure functions, one for each table that is read as a whole.

A short text that happens to equal an id must not delete the data of others. So a value counts as a person's id only
under a key that says so, and as the id of an erased record only if it is long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from .digests import digest, names_in, texts_in

NAMING_KEYS: Final = frozenset(
    {"user_id", "userId", "user", "owner_id", "ownerId", "owner", "agent_id", "person", "person_id", "labelled_by"}
)
"""Keys of maps whose value names a person, as a text or a list of texts."""

TASKS: Final = "memory.tasks."
LONG_ID: Final = 16
"""Characters from which on an id is not a text by accident. Ids that the app makes have 32 or more."""


@dataclass(frozen=True)
class Person:
    """A person, by a digest, and the digests of the ids of their erased records, by table."""

    salt: str
    person: str
    ids: Mapping[str, Set[str]]

    def is_person(self, text: str) -> bool:
        """Whether a text is the person's id."""
        return digest(self.salt, text) == self.person

    def is_record(self, text: str, table: str) -> bool:
        """Whether a text is the id of an erased record of a table."""
        return digest(self.salt, text) in self.ids.get(table, ())

    def is_long_id(self, text: str) -> bool:
        """Whether a text is the id of any erased record, and long enough."""
        if len(text) < LONG_ID:
            return False
        made = digest(self.salt, text)
        return any(made in some for some in self.ids.values())


def named_in(value: Any) -> Iterator[str]:
    """The texts under keys that name a person, anywhere in a JSON value."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key in NAMING_KEYS:
                yield from (text for text in (one if isinstance(one, list | tuple) else [one]) if isinstance(text, str))
            yield from named_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from named_in(one)


def names(value: Any, who: Person) -> bool:
    """Whether a JSON value names the person, or one of the erased records."""
    if any(who.is_person(text) for text in named_in(value)):
        return True
    return any(who.is_long_id(name) for text in texts_in(value) for name in names_in(text))


def data_names(values: Mapping[str, Any], who: Person) -> bool:
    """Agent data: its content or its metadata."""
    return any(names(value, who) for value in values.values())


def log_names(values: Mapping[str, Any], who: Person) -> bool:
    """An entry of the admin's log: `table` is that of a record of the app, or empty. Titles are `user: text`.

    The user's id may have colons, too.
    """
    if not values["table"]:
        return False
    if who.is_record(str(values["object_id"]), values["table"]):
        return True
    title = str(values["object_repr"])
    ends = [place for place in range(len(title)) if title.startswith(": ", place)]
    return any(who.is_person(title[:end]) for end in [*ends, len(title)])


def task_names(values: Mapping[str, Any], who: Person) -> bool:
    """A task of the app: its arguments."""
    if not str(values["task_path"]).startswith(TASKS):
        return False
    texts = texts_in(of_json(values["args_kwargs"]))
    return any(who.is_person(text) or who.is_long_id(text) for text in texts)


def of_json(value: Any) -> Any:
    """The value of a JSON text; anything else as it is."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


MATCHERS: Final[Mapping[str, Callable[[Mapping[str, Any], Person], bool]]] = {
    "memory.AgentData": data_names,
    "memory.IdempotencyKey": data_names,
    "admin.LogEntry": log_names,
    "django_tasks_database.DBTaskResult": task_names,
}
