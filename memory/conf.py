"""The app's settings: one dict, `MEMORY`, in the project's settings. Every key is optional.

Values are read at each access, so `override_settings` works. `manage.py check` reports invalid values.
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
    "PRINCIPAL": "memory.api.permissions.owner_id",
    "PAGE_SIZE": 50,
    "MAX_PAGE_SIZE": 200,
    "BULK_LIMIT": 500,
    "MAX_BODY_BYTES": 16 * 1024 * 1024,
    "MAX_RECORD_BYTES": 8 * 1024 * 1024,
    "HEALTH_TIMEOUT": 2.0,
    "HISTORY_SIZE": 200,
    "CACHE_TTL": 3600,
    "MANAGER": "memory.stores.ConcreteMemoryManager",
    "FIRESTORE": {},
    "ENCRYPTION_KEYS": [],
    "ENCRYPT": [],
    "KEY_WRAPPER": "memory.sealing.LocalWrapper",
    "ENCRYPTED_SEARCH": "sealed",
    "VERSIONS": None,
    "EMBEDDER": "memory.search.embedders.default.default_embedder",
    "LANGUAGE": None,
    "SPEAKER": "memory.search.speakers.speaker_of",
    "TOKENIZER": None,
    "SUMMARIZER": None,
    "RERANKER": None,
    "RERANKER_TIMEOUT": 1.0,
    "MCP_ORIGINS": [],
    "INDEX_AFTER": 12,
    "SEARCH_CACHE": None,
    "SEARCH_CACHE_BYTES": 256 * 1024 * 1024,
    "TELEMETRY_CONTENT": False,
    "ERASURE_CHECK": 5.0,
    "RECEIPT_KEY": None,
    "RETENTION": [],
    "AUDIT": "log",
    "AUDIT_IDS": "digest",
    "AUDIT_DAYS": 365,
    "AUDIT_ENTRIES": None,
}


class MemorySettings:
    """Typed access to `settings.MEMORY`: one property per key."""

    def _get(self, key: str) -> Any:
        return getattr(settings, "MEMORY", {}).get(key, DEFAULTS[key])

    @property
    def database(self) -> str:
        """`DATABASE`: alias in `DATABASES` that holds the app's models. Default "default"."""
        return str(self._get("DATABASE"))

    @property
    def cache(self) -> str:
        """`CACHE`: alias in `CACHES` for throttles and health. Default "default", also if the setting is None."""
        return self.history_cache or "default"

    @property
    def history_cache(self) -> str | None:
        """`CACHE`, for conversations: they are cached if it is a django-redis cache. None turns caching off.

        All processes that write must use the same value.
        """
        alias = self._get("CACHE")
        return None if alias is None else str(alias)

    @property
    def history_size(self) -> int:
        """`HISTORY_SIZE`: how many of the newest items of a conversation are cached. Default 200, at most 1,000."""
        return int(self._get("HISTORY_SIZE"))

    @property
    def cache_ttl(self) -> int:
        """`CACHE_TTL`: seconds that a conversation is cached after it was read from the database. Default 3600."""
        return int(self._get("CACHE_TTL"))

    @property
    def principal(self) -> Callable[[Any], str]:
        """`PRINCIPAL`: dotted path of a function that returns the `user_id` (or `agent_id`) of a Django user's records.

        Default "memory.api.permissions.owner_id": the first user name, reserved for the user by `memory.access`.
        """
        function: Callable[[Any], str] = import_string(self.principal_path)
        return function

    @property
    def principal_path(self) -> Any:
        """`PRINCIPAL` as it is configured."""
        return self._get("PRINCIPAL")

    @property
    def page_size(self) -> int:
        """`PAGE_SIZE`: records per page of the API without `limit`. Default 50."""
        return int(self._get("PAGE_SIZE"))

    @property
    def max_page_size(self) -> int:
        """`MAX_PAGE_SIZE`: the largest `limit` of the API; a larger one gets status 400. Default 200."""
        return int(self._get("MAX_PAGE_SIZE"))

    @property
    def bulk_limit(self) -> int:
        """`BULK_LIMIT`: the most records in a bulk request. Default 500."""
        return int(self._get("BULK_LIMIT"))

    @property
    def max_body_bytes(self) -> int:
        """`MAX_BODY_BYTES`: the largest request body, in bytes: that of a bulk request. Default 16 MiB."""
        return int(self._get("MAX_BODY_BYTES"))

    @property
    def max_record_bytes(self) -> int:
        """`MAX_RECORD_BYTES`: the largest body of one record, in bytes. Default 8 MiB.

        A record of 1 MiB takes up to 6 MiB as JSON, since a control character is written as six.
        """
        return int(self._get("MAX_RECORD_BYTES"))

    @property
    def health_timeout(self) -> float:
        """`HEALTH_TIMEOUT`: the deadline of all health checks together, in seconds. Default 2.0."""
        return float(self._get("HEALTH_TIMEOUT"))

    @property
    def manager(self) -> Callable[[], Any]:
        """`MANAGER`: dotted path of the class, or function, that returns a `MemoryManager` without arguments.

        `memory.stores.get_memory_manager()` calls it. Default "memory.stores.ConcreteMemoryManager".
        """
        make: Callable[[], Any] = import_string(self._get("MANAGER"))
        return make

    @property
    def firestore(self) -> dict[str, Any]:
        """`FIRESTORE`: defaults of `FirestoreMemoryManager(project_id=...)`, as an entry of `DATABASES`.

        Default {}: those of the app's own database if it is on Firestore.
        """
        return dict(self._get("FIRESTORE"))

    @property
    def encryption_keys(self) -> list[str]:
        """`ENCRYPTION_KEYS`: Fernet keys, 32 bytes in base64; the first one encrypts, all decrypt. Default []."""
        return [str(key) for key in self._get("ENCRYPTION_KEYS")]

    @property
    def encrypt(self) -> list[str]:
        """`ENCRYPT`: what is encrypted by keys of users: "text_content", "content", "metadata.KEY". Default []."""
        return [str(name) for name in self._get("ENCRYPT")]

    @property
    def key_wrapper(self) -> str:
        """`KEY_WRAPPER`: dotted path of a class, or function, that returns a `memory.sealing.KeyWrapper`.

        Default "memory.sealing.LocalWrapper", which wraps the keys of users by `ENCRYPTION_KEYS`.
        """
        return str(self._get("KEY_WRAPPER"))

    @property
    def encrypted_search(self) -> str:
        """`ENCRYPTED_SEARCH`: what search stores of encrypted texts: "sealed", "clear" or "none". Default "sealed".

        sealed: the index is encrypted, too. clear: the index has terms and vectors in clear. none: there is no index,
        and no search.
        """
        return str(self._get("ENCRYPTED_SEARCH"))

    @property
    def versions(self) -> int | None:
        """`VERSIONS`: how many versions of each item are kept when it changes. Default None: none.

        0: no new ones are kept, and those that exist are still deleted with their items.
        """
        number = self._get("VERSIONS")
        return None if number is None else int(number)

    @property
    def embedder(self) -> Embedder | None:
        """`EMBEDDER`: dotted path of a class, or function, that returns an `Embedder` without arguments.

        It is called once per process. Default: the multilingual model. None: search by words only. Raises
        `EmbedderError`.
        """
        path = self._get("EMBEDDER")
        return None if path is None else make_embedder(path)

    @property
    def language(self) -> str | None:
        """`LANGUAGE`: the language of the stemmer, one of `memory.search.terms.LANGUAGES`.

        Default None: the language of each text and question is detected.
        """
        name = self._get("LANGUAGE")
        return None if name is None else str(name)

    @property
    def reranker(self) -> Any:
        """`RERANKER`: dotted path of the class, or function, that returns a reranker of search results, or None.

        Default None. `memory.search.reranking.make_reranker` makes it.
        """
        return self._get("RERANKER")

    @property
    def reranker_timeout(self) -> float:
        """`RERANKER_TIMEOUT`: the time that a reranker has for a search, in seconds. Default 1.0."""
        return float(self._get("RERANKER_TIMEOUT"))

    @property
    def speaker(self) -> Callable[[Any], str]:
        """`SPEAKER`: dotted path of a function that returns the speaker of a `MemoryItem`, or "".

        Default "memory.search.speakers.speaker_of": `metadata["speaker"]`, `metadata["name"]` or the role.
        """
        function: Callable[[Any], str] = import_string(self._get("SPEAKER"))
        return function

    @property
    def tokenizer(self) -> Callable[[str], int] | None:
        """`TOKENIZER`: dotted path of a function that returns the number of tokens of a text, for contexts.

        Default None: that of the embedder, if it has `count_tokens`, else a token for each 3 bytes of UTF-8.
        """
        path = self._get("TOKENIZER")
        return None if path is None else import_string(path)

    @property
    def summarizer(self) -> Callable[[Any, int], str] | None:
        """`SUMMARIZER`: dotted path of a function of a list of items, oldest first, and of a number of tokens.

        It returns a summary of what a context leaves out, in at most as many tokens. Default None: no summary.
        """
        path = self._get("SUMMARIZER")
        return None if path is None else import_string(path)

    @property
    def mcp_origins(self) -> list[str]:
        """`MCP_ORIGINS`: the origins of pages, besides the server's own, that may call the MCP server. Default []."""
        return [str(origin) for origin in self._get("MCP_ORIGINS")]

    @property
    def index_after(self) -> int | None:
        """`INDEX_AFTER`: a search that finds more unindexed items of a user indexes them afterwards. Default 12.

        None: only `manage.py memory_index` does.
        """
        number = self._get("INDEX_AFTER")
        return None if number is None else int(number)

    @property
    def search_cache(self) -> str | None:
        """`SEARCH_CACHE`: alias in `CACHES` of a django-redis cache for the parts of search indexes. Default None.

        They are kept for `CACHE_TTL` seconds.
        """
        alias = self._get("SEARCH_CACHE")
        return None if alias is None else str(alias)

    @property
    def search_cache_bytes(self) -> int:
        """`SEARCH_CACHE_BYTES`: how much of search indexes each process keeps in memory. Default 256 MiB."""
        return int(self._get("SEARCH_CACHE_BYTES"))

    @property
    def telemetry_content(self) -> bool:
        """`TELEMETRY_CONTENT`: whether spans of OpenTelemetry have the texts of queries and records. Default False."""
        return bool(self._get("TELEMETRY_CONTENT"))

    @property
    def erasure_check(self) -> float | None:
        """`ERASURE_CHECK`: how often a process that writes reads the tombstones of people, in seconds. Default 5.

        None: writes are not checked, so writers can bring back what was erased. All processes must have the same value.
        """
        seconds = self._get("ERASURE_CHECK")
        return None if seconds is None else float(seconds)

    @property
    def audit(self) -> str | None:
        """`AUDIT`: where the audit trail is written: "log" (the logger `memory.audit`), "database", or None: nowhere.

        Default "log". Requests are recorded by `memory.lifecycle.audit.AuditMiddleware`.
        """
        sink = self._get("AUDIT")
        return None if sink is None else str(sink)

    @property
    def audit_ids(self) -> str:
        """`AUDIT_IDS`: "digest" or "plain": how ids and names of principals are written. Default "digest"."""
        return str(self._get("AUDIT_IDS"))

    @property
    def audit_days(self) -> int | None:
        """`AUDIT_DAYS`: `memory_purge` deletes older entries of the audit trail from the database. Default 365.

        None: they are kept.
        """
        days = self._get("AUDIT_DAYS")
        return None if days is None else int(days)

    @property
    def audit_entries(self) -> int | None:
        """`AUDIT_ENTRIES`: `memory_purge` keeps so many of the newest entries of the audit trail in the database.

        Default None: as many as there are.
        """
        most = self._get("AUDIT_ENTRIES")
        return None if most is None else int(most)

    @property
    def retention(self) -> Any:
        """`RETENTION`: a list of policies, dicts as `memory.retention` has them. Default []."""
        return self._get("RETENTION")

    @property
    def receipt_key(self) -> str | None:
        """`RECEIPT_KEY`: an Ed25519 private key as PEM, which signs receipts of erasures. Default None: not signed.

        `manage.py memory_erase --new-key` makes one.
        """
        key = self._get("RECEIPT_KEY")
        return None if key is None else str(key)


def make_embedder(path: Any) -> Embedder:
    """The embedder at a dotted path, created once per process.

    Raises `EmbedderError` if it lacks a package or a model, and its subclass `NoEmbedderError` for an invalid path.
    """
    if not isinstance(path, str):
        raise NoEmbedderError(f"EMBEDDER must be a dotted path, not {path!r}.")
    return _made_embedder(path)


@lru_cache(maxsize=8)
def _made_embedder(path: str) -> Embedder:
    try:
        made = import_string(path)()
        if not isinstance(made, Embedder):
            raise NoEmbedderError(f"{path!r} is not an embedder: it lacks a method or property of the protocol.")
        if not 1 <= made.dimension <= MAX_DIMENSIONS:
            problem = f"has {made.dimension} dimensions; the limit is 1 to {MAX_DIMENSIONS}."
            raise NoEmbedderError(f"{path!r} is not a valid embedder: it {problem}")
    except EmbedderError:
        raise
    except Exception as error:  # a setting names this code, so it may raise anything
        raise NoEmbedderError(f"{path!r} cannot be loaded: {error}") from error
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
    """Every write has the same problem; it is logged once per process."""
    logger.error("Texts are stored without vectors: %s Fix this, then run manage.py memory_embed.", problem)
