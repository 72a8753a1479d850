"""The interface between the models and search: the models call the text index that `apps.py` installs at start-up.

`memory.search` builds on the models, so the models cannot import it. They call this interface instead, around each
write of items and for `MemoryItemQuerySet.search()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from django.core.exceptions import AppRegistryNotReady

from .extras import MissingExtra
from .fields import content_hash

MOST_RESULTS = 100
MOST_CHARACTERS = 10_000  # of a query


@dataclass(frozen=True)
class SearchOptions:
    """What a search returns: at most `limit` items with at least `min_score` (0 to 1), `hidden` ones too if wanted.

    With `explain` each has the parts of its score. `asker` is the speaker who asks; empty for the user.

    Items that are valid at `as_of` (None: now) come first. `importance` and `recency` (0 to 1) are added to the scores
    for the order. With `touch` the results are noted as used.
    """

    limit: int = 10
    min_score: float = 0.0
    hidden: bool = False
    explain: bool = False
    asker: str = ""
    as_of: datetime | None = None
    importance: float = 0.0
    recency: float = 0.0
    touch: bool = False


class Results(list[Any]):
    """The items that a search found, best first.

    `waiting` is the number of the user's items that wait for the search index and were not searched in full: 0 if the
    search was complete. `is_cut` if further results may have been left out: those that are larger together than a
    search reads, or that pass filters which the index does not know, in a large memory.
    """

    def __init__(self, items: Iterable[Any] = (), waiting: int = 0, is_cut: bool = False) -> None:
        super().__init__(items)
        self.waiting, self.is_cut = waiting, is_cut


def readable_question(query: str) -> str:
    """The query without characters that no text has. Raises `TypeError` and `ValueError`."""
    if not isinstance(query, str):
        raise TypeError(f"The query must be a string, not a {type(query).__name__}.")
    if len(query) > MOST_CHARACTERS:
        raise ValueError(f"The query must have at most {MOST_CHARACTERS} characters, not {len(query)}.")
    return query.replace("\0", " ").encode(errors="replace").decode().strip()


class TextIndex(Protocol):
    """What the models need of search. `items` are `MemoryItem`s, `using` is the alias of their database."""

    def prepare(self, items: Sequence[Any]) -> None:
        """Compute the fields that depend on the text alone, before validation. Unchanged texts cost nothing."""

    def reserved_values(self, item: Any) -> Mapping[str, Any]:
        """Values as large as those that `add_vectors` will set, by field: they count in the document's size."""

    def embed(self, items: Sequence[Any]) -> None:
        """Compute vectors before the transaction that writes the items; `add_vectors` then need not."""

    def add_vectors(self, items: Sequence[Any]) -> None:
        """Set the vectors that a local embedder makes, inside the transaction that writes the items."""

    def written(self, items: Sequence[Any], using: str) -> None:
        """Schedule what must follow the commit of these items. Called inside the transaction."""

    def search(self, items: Any, queries: Sequence[str], options: SearchOptions) -> list[Results]:
        """For each query the items of a `MemoryItemQuerySet` that answer it best, best first."""


class NoSearch:
    """The index of a project without the extra `search`: items have no vectors, and cannot be searched.

    `manage.py memory_embed` adds the vectors once the extra is installed. See `TextIndex` for the methods.
    """

    def prepare(self, items: Sequence[Any]) -> None:
        """The hash of the text; a vector of another text is dropped."""
        for item in items:
            known = vars(item)
            if "text_content" in known and known.get("content_hash") != (found := content_hash(item.text_content)):
                item.content_hash = found
                item.text_embedding, item.embedding_model = None, ""

    def reserved_values(self, item: Any) -> Mapping[str, Any]:
        """None."""
        return {}

    def embed(self, items: Sequence[Any]) -> None:
        """Nothing."""

    def add_vectors(self, items: Sequence[Any]) -> None:
        """Nothing."""

    def written(self, items: Sequence[Any], using: str) -> None:
        """Nothing."""

    def search(self, items: Any, queries: Sequence[str], options: SearchOptions) -> list[Results]:
        """Raises `MissingExtra`."""
        raise MissingExtra("Search", "search")


_makers: list[Callable[[], TextIndex]] = []


def install(make: Callable[[], TextIndex]) -> None:
    """Make what `make()` returns the index that the models use. Called once, by the app's `ready()`."""
    _makers[:] = [cache(make)]


def text_index() -> TextIndex:
    """The installed index, made at the first use. Raises `AppRegistryNotReady` before `django.setup()` completed."""
    if not _makers:
        raise AppRegistryNotReady("The app 'memory' is not ready: call django.setup() first.")
    return _makers[0]()
