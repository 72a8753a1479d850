"""The app's settings: one dict, `MEMORY`, in the project's settings. Every key is optional.

A value is read when it is used, so `override_settings` works, and a wrong one is reported by `manage.py check`
(`memory.E001` ...) before it is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from .embedding import Embedder, EmbedderError, NoEmbedderError
from .limits import MAX_DIMENSIONS

logger = logging.getLogger(__name__)

DEFAULTS: Mapping[str, Any] = {
    "DATABASE": "default",
    "CACHE": "default",
    "PRINCIPAL": "memory.api.permissions.username",
    "PAGE_SIZE": 50,
    "MAX_PAGE_SIZE": 200,
    "BULK_LIMIT": 500,
    "MAX_BODY_BYTES": 16 * 1024 * 1024,
    "HEALTH_TIMEOUT": 2.0,
    "HISTORY_SIZE": 200,
    "CACHE_TTL": 3600,
    "MANAGER": "memory.stores.ConcreteMemoryManager",
    "FIRESTORE": {},
    "ENCRYPTION_KEYS": [],
    "EMBEDDER": "memory.search.embedders.static.StaticEmbedder",
    "LANGUAGE": "english",
    "SPEAKER": "memory.search.speakers.speaker_of",
}


class MemorySettings:
    """Typed access to `settings.MEMORY`, one property a key."""

    def _get(self, key: str) -> Any:
        return getattr(settings, "MEMORY", {}).get(key, DEFAULTS[key])

    @property
    def database(self) -> str:
        """`DATABASE`: alias in `DATABASES` that holds the app's models. Default "default"."""
        return str(self._get("DATABASE"))

    @property
    def cache(self) -> str:
        """`CACHE`: alias in `CACHES` for throttles and health. Default "default", also where it is None."""
        return self.history_cache or "default"

    @property
    def history_cache(self) -> str | None:
        """`CACHE`, for conversations: they are cached where it is a django-redis cache; None switches that off.

        Every process that writes must have the same.
        """
        alias = self._get("CACHE")
        return None if alias is None else str(alias)

    @property
    def history_size(self) -> int:
        """`HISTORY_SIZE`: the newest items of a conversation that the cache holds. Default 200, at most 1,000."""
        return int(self._get("HISTORY_SIZE"))

    @property
    def cache_ttl(self) -> int:
        """`CACHE_TTL`: seconds that a conversation is held after it was read from the database. Default 3600."""
        return int(self._get("CACHE_TTL"))

    @property
    def principal(self) -> Callable[[Any], str]:
        """`PRINCIPAL`: dotted path of a function from a Django user to the owner's id of its records.

        Default "memory.api.permissions.username": the user's name is the `user_id` (or `agent_id`) of what it owns.
        """
        function: Callable[[Any], str] = import_string(self._get("PRINCIPAL"))
        return function

    @property
    def page_size(self) -> int:
        """`PAGE_SIZE`: records on a page of the API when `limit` is not given. Default 50."""
        return int(self._get("PAGE_SIZE"))

    @property
    def max_page_size(self) -> int:
        """`MAX_PAGE_SIZE`: the largest `limit` that the API takes; a larger one is a 400. Default 200."""
        return int(self._get("MAX_PAGE_SIZE"))

    @property
    def bulk_limit(self) -> int:
        """`BULK_LIMIT`: records in one bulk request. Default 500."""
        return int(self._get("BULK_LIMIT"))

    @property
    def max_body_bytes(self) -> int:
        """`MAX_BODY_BYTES`: size of a request's body, in bytes. Default 16 MiB."""
        return int(self._get("MAX_BODY_BYTES"))

    @property
    def health_timeout(self) -> float:
        """`HEALTH_TIMEOUT`: the budget for all health checks together, in seconds. Default 2.0."""
        return float(self._get("HEALTH_TIMEOUT"))

    @property
    def manager(self) -> Callable[[], Any]:
        """`MANAGER`: dotted path of the `MemoryManager` that `memory.stores.get_memory_manager()` makes.

        A class, or a function without arguments. Default "memory.stores.ConcreteMemoryManager".
        """
        make: Callable[[], Any] = import_string(self._get("MANAGER"))
        return make

    @property
    def firestore(self) -> dict[str, Any]:
        """`FIRESTORE`: what `FirestoreMemoryManager(project_id=...)` takes where it is not told; as in `DATABASES`.

        Default {}: as the app's own database where that is on Firestore.
        """
        return dict(self._get("FIRESTORE"))

    @property
    def encryption_keys(self) -> list[str]:
        """`ENCRYPTION_KEYS`: keys of Fernet, 32 bytes in base64; the first encrypts, all decrypt. Default []."""
        return [str(key) for key in self._get("ENCRYPTION_KEYS")]

    @property
    def embedder(self) -> Embedder | None:
        """`EMBEDDER`: dotted path of a class, or of a function without arguments, that makes an `Embedder`.

        One is made for each process. Default the embedded model; None: search knows words only. Raises `EmbedderError`.
        """
        path = self._get("EMBEDDER")
        return None if path is None else make_embedder(path)

    @property
    def language(self) -> str:
        """`LANGUAGE`: whose stems words are cut to, one of `memory.search.terms.LANGUAGES`. Default "english"."""
        return str(self._get("LANGUAGE"))

    @property
    def speaker(self) -> Callable[[Any], str]:
        """`SPEAKER`: dotted path of a function from a `MemoryItem` to who says it, "" for nobody.

        Default "memory.search.speakers.speaker_of": `metadata["speaker"]`, `metadata["name"]` or the role.
        """
        function: Callable[[Any], str] = import_string(self._get("SPEAKER"))
        return function


def make_embedder(path: Any) -> Embedder:
    """The embedder at a dotted path, one for each process.

    Raises `EmbedderError` where it lacks something, and `NoEmbedderError`, which is one, where the path makes none.
    """
    if not isinstance(path, str):
        raise NoEmbedderError(f"{path!r} makes no embedder: it is no dotted path.")
    return _made_embedder(path)


@lru_cache(maxsize=8)
def _made_embedder(path: str) -> Embedder:
    try:
        made = import_string(path)()
        if not isinstance(made, Embedder):
            raise NoEmbedderError(f"{path!r} makes no embedder: it lacks a method or property of the protocol.")
        if not 1 <= made.dimension <= MAX_DIMENSIONS:
            problem = f"its vectors have {made.dimension} dimensions, where 1 to {MAX_DIMENSIONS} are possible."
            raise NoEmbedderError(f"{path!r} makes no embedder: {problem}")
    except EmbedderError:
        raise
    except Exception as error:  # the edge to code that a setting names
        raise NoEmbedderError(f"{path!r} makes no embedder: {error}") from error
    return made


memory_settings = MemorySettings()


def configured_embedder() -> Embedder | None:
    """`MEMORY["EMBEDDER"]` for writes: if it cannot be made, logs an error and returns None, so the write goes on."""
    try:
        return memory_settings.embedder
    except EmbedderError as error:
        _log_once(str(error))
        return None


@cache
def _log_once(problem: str) -> None:
    """Every write meets the problem; it is logged once a process."""
    logger.error("Texts are stored without vectors: %s Then run manage.py memory_embed.", problem)
