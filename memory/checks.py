"""System checks of the app's settings, each with a hint for the fix."""

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connections
from django.utils.module_loading import import_string

from .conf import DEFAULTS, make_embedder
from .embedding import EmbedderError, NoEmbedderError
from .extras import missing
from .limits import MAX_DAYS
from .retention import InvalidPolicy, parse

ROUTER = "memory.routers.MemoryRouter"
POSITIVE_INTEGERS = (
    *("PAGE_SIZE", "MAX_PAGE_SIZE", "BULK_LIMIT", "MAX_BODY_BYTES", "MAX_RECORD_BYTES"),
    *("HISTORY_SIZE", "CACHE_TTL", "INDEX_AFTER", "SEARCH_CACHE_BYTES", "AUDIT_DAYS", "AUDIT_ENTRIES"),
)
OPTIONAL = {"INDEX_AFTER", "ERASURE_CHECK", "AUDIT_DAYS", "AUDIT_ENTRIES"}
CHOICES = {"AUDIT": ("log", "database", None), "AUDIT_IDS": ("digest", "plain")}
# BULK_LIMIT: a commit of Firestore has at most 10 MiB. HISTORY_SIZE: a Redis script blocks all clients of the server.
LARGEST = {"BULK_LIMIT": 500, "HISTORY_SIZE": 1000, "AUDIT_DAYS": MAX_DAYS}
SLOWEST_REDIS_SECONDS = 0.25
DEFAULT_SQLITE_SECONDS = 5
LOCKED_MODES = ("IMMEDIATE", "EXCLUSIVE")


ENCRYPT_HINT = 'Names are "text_content", "content" and "metadata.KEY".'


@register("memory")
def check_memory_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check `settings.MEMORY`, key by key."""
    given = getattr(settings, "MEMORY", {})
    if not isinstance(given, dict):
        return [
            Error(
                f"MEMORY must be a dict, not {type(given).__name__}.",
                hint="Set MEMORY = {...} in your settings, or remove it.",
                id="memory.E001",
            )
        ]
    values = {**DEFAULTS, **given}
    return [
        *_unknown_keys(given),
        *_aliases(values),
        *_extras(given),
        *_numbers(values),
        *_page_sizes(values),
        *_callables(values),
        *_search(values),
        *_firestore(values),
        *_encryption_keys(values),
        *_receipt_key(values),
        *_retention(values),
        *_choices(values),
        *_encryption(values),
        *_router(values),
        *_access(values),
        *_redis(values),
        *_sqlite(values),
    ]


def _unknown_keys(given: dict[str, Any]) -> Iterator[CheckMessage]:
    for key in sorted(map(str, given.keys() - DEFAULTS.keys())):
        yield Error(
            f"MEMORY has an unknown key: {key!r}.",
            hint=f"Known keys: {', '.join(sorted(DEFAULTS))}.",
            id="memory.E002",
        )


def _aliases(values: dict[str, Any]) -> Iterator[CheckMessage]:
    for key, setting, check_id in (
        ("DATABASE", "DATABASES", "memory.E003"),
        ("CACHE", "CACHES", "memory.E004"),
        ("SEARCH_CACHE", "CACHES", "memory.E004"),
    ):
        alias, known = values[key], getattr(settings, setting)
        if alias not in known and (alias is not None or key == "DATABASE"):
            yield Error(
                f"MEMORY[{key!r}] is {alias!r}, which is not in {setting}.",
                hint=f"Add {alias!r} to {setting}, or use one of: {', '.join(sorted(known)) or '(none)'}.",
                id=check_id,
            )


def _extras(given: dict[str, Any]) -> Iterator[CheckMessage]:
    """Settings that need an extra of the package."""
    needed = [(f"MEMORY[{key!r}]", "search") for key in ("EMBEDDER", "LANGUAGE", "RERANKER") if given.get(key)]
    needed += [(f"MEMORY[{key!r}]", "encryption") for key in ("ENCRYPTION_KEYS", "RECEIPT_KEY") if given.get(key)]
    for setting, extra in needed:
        if missing(extra):
            yield Error(
                f"{setting} needs {', '.join(missing(extra))}, which cannot be imported.",
                hint=f'pip install "orchestra-memory[{extra}]"',
                id="memory.E016",
            )


def _numbers(values: dict[str, Any]) -> Iterator[CheckMessage]:
    for key in POSITIVE_INTEGERS:
        value = values[key]
        if value is None and key in OPTIONAL:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield _not_a_number(key, value, "an integer of at least 1")
    for key in ("HEALTH_TIMEOUT", "RERANKER_TIMEOUT", "ERASURE_CHECK"):
        timeout = values[key]
        if timeout is None and key in OPTIONAL:
            continue
        if not isinstance(timeout, Real) or isinstance(timeout, bool) or timeout <= 0:
            yield _not_a_number(key, timeout, "a positive number of seconds")
    for key, largest in LARGEST.items():
        if isinstance(value := values[key], int) and value > largest:
            yield _not_a_number(key, value, f"at most {largest}")


def _not_a_number(key: str, value: object, wanted: str) -> CheckMessage:
    return Error(
        f"MEMORY[{key!r}] is {value!r}; it must be {wanted}.",
        hint=f"Remove the key to use the default, {DEFAULTS[key]!r}.",
        id="memory.E005",
    )


def _page_sizes(values: dict[str, Any]) -> Iterator[CheckMessage]:
    size, largest = values["PAGE_SIZE"], values["MAX_PAGE_SIZE"]
    if isinstance(size, int) and isinstance(largest, int) and size > largest:
        yield Error(
            f"MEMORY['PAGE_SIZE'] ({size}) is greater than MEMORY['MAX_PAGE_SIZE'] ({largest}).",
            hint="Increase MAX_PAGE_SIZE or decrease PAGE_SIZE.",
            id="memory.E006",
        )


def _callables(values: dict[str, Any]) -> Iterator[CheckMessage]:
    for key, check_id, wanted in (
        ("PRINCIPAL", "memory.E007", "a function that takes a Django user and returns a string"),
        (
            "MANAGER",
            "memory.E009",
            "a MemoryManager class, or of a function without arguments that returns one",
        ),
        ("SPEAKER", "memory.E013", "a function that takes a MemoryItem and returns its speaker as a string"),
        ("TOKENIZER", "memory.E020", "a function that takes a text and returns its number of tokens"),
        ("SUMMARIZER", "memory.E021", "a function that takes MemoryItems and a number of tokens and returns a text"),
        ("KEY_WRAPPER", "memory.E024", "a KeyWrapper class, or of a function without arguments that returns one"),
    ):
        path = values[key]
        if path == DEFAULTS[key]:  # not imported before it is needed
            continue
        try:
            found = import_string(path)
        except (ImportError, AttributeError, TypeError, ValueError):
            found = None
        if not callable(found):
            yield Error(
                f"MEMORY[{key!r}] is {path!r}, which cannot be imported or called.",
                hint=f"Set it to the dotted path of {wanted}.",
                id=check_id,
            )


def _search(values: dict[str, Any]) -> Iterator[CheckMessage]:
    if missing("search"):
        return  # `_extras` reports settings that need it
    if values["LANGUAGE"] is not None:
        yield from _language(values["LANGUAGE"])
    if values["EMBEDDER"] is not None:
        yield from _embedder(values["EMBEDDER"])
    if values["RERANKER"] is not None:
        yield from _reranker(values["RERANKER"])


def _language(language: object) -> Iterator[CheckMessage]:
    from .search.terms import LANGUAGES  # slow to import: the stemmer

    if language not in LANGUAGES:
        yield Error(
            f"MEMORY['LANGUAGE'] is {language!r}, which has no stemmer.",
            hint=f"Use None, or one of: {', '.join(sorted(LANGUAGES))}.",
            id="memory.E011",
        )


def _reranker(path: object) -> Iterator[CheckMessage]:
    from .search.reranking import RerankerError, make_reranker  # not imported before it is needed

    try:
        make_reranker(path)
    except RerankerError as error:
        yield Error(
            f"MEMORY['RERANKER']: {error}",
            hint="Set it to the dotted path of a reranker class, or of a function that returns one, or to None.",
            id="memory.E015",
        )


def _embedder(path: object) -> Iterator[CheckMessage]:
    hint = "Set it to the dotted path of an embedder class, or of a function that returns one, or to None."
    try:
        make_embedder(path)
    except NoEmbedderError as error:
        yield Error(f"MEMORY['EMBEDDER']: {error}", hint=hint, id="memory.E012")
    except EmbedderError as error:
        yield Warning(
            f"MEMORY['EMBEDDER'] cannot be created, so texts are stored without vectors: {error}",
            hint="Fix the problem, then run manage.py memory_embed.",
            id="memory.W003",
        )


def _firestore(values: dict[str, Any]) -> Iterator[CheckMessage]:
    if not isinstance(values["FIRESTORE"], dict):
        yield Error(
            f"MEMORY['FIRESTORE'] must be a dict, not {type(values['FIRESTORE']).__name__}.",
            hint="Use the keys of an entry of DATABASES, such as {'OPTIONS': {'credentials_path': ...}}.",
            id="memory.E010",
        )


def _encryption_keys(values: dict[str, Any]) -> Iterator[CheckMessage]:
    keys = values["ENCRYPTION_KEYS"]
    hint = 'Create one: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())".'
    if not isinstance(keys, list | tuple):
        yield Error("MEMORY['ENCRYPTION_KEYS'] must be a list of keys.", hint=hint, id="memory.E014")
        return
    if not keys or missing("encryption"):
        return
    from cryptography.fernet import Fernet  # slow to import

    for position, key in enumerate(keys):
        try:
            Fernet(key)
        except (ValueError, TypeError, AttributeError):
            # Name its position: the key itself is a secret.
            problem = f"MEMORY['ENCRYPTION_KEYS'][{position}] is not a Fernet key."
            yield Error(problem, hint=hint, id="memory.E014")


def _choices(values: dict[str, Any]) -> Iterator[CheckMessage]:
    for key, choices in CHOICES.items():
        if values[key] not in choices:
            yield Error(
                f"MEMORY[{key!r}] is {values[key]!r}.",
                hint=f"Set it to one of: {', '.join(map(repr, choices))}.",
                id="memory.E019",
            )


def _retention(values: dict[str, Any]) -> Iterator[CheckMessage]:
    try:
        parse(values["RETENTION"])
    except InvalidPolicy as error:
        hint = "See docs/lifecycle.md for the keys of a policy."
        yield Error(f"MEMORY['RETENTION']: {error}", hint=hint, id="memory.E018")


def _receipt_key(values: dict[str, Any]) -> Iterator[CheckMessage]:
    key = values["RECEIPT_KEY"]
    if key is None or missing("encryption"):
        return
    from .lifecycle.receipts import private_key  # slow to import: cryptography

    try:
        private_key(str(key))
    except ValueError:
        # Without the key itself, which is a secret.
        yield Error(
            "MEMORY['RECEIPT_KEY'] is not a private Ed25519 key as PEM.",
            hint="Create one: manage.py memory_erase --new-key. Or set it to None: receipts are not signed.",
            id="memory.E017",
        )


def _encryption(values: dict[str, Any]) -> Iterator[CheckMessage]:
    names = values["ENCRYPT"]
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        yield Error("MEMORY['ENCRYPT'] must be a list of names.", hint=ENCRYPT_HINT, id="memory.E022")
        return
    for name in names:
        if name not in ("text_content", "content") and not (name.startswith("metadata.") and name[9:]):
            yield Error(f"MEMORY['ENCRYPT'] has {name!r}.", hint=ENCRYPT_HINT, id="memory.E022")
    if names and values["KEY_WRAPPER"] == DEFAULTS["KEY_WRAPPER"] and not values["ENCRYPTION_KEYS"]:
        yield Error(
            "MEMORY['ENCRYPT'] needs a master key.",
            hint="Set MEMORY['ENCRYPTION_KEYS'], or MEMORY['KEY_WRAPPER'] to a class that calls a key service.",
            id="memory.E022",
        )
    if values["ENCRYPTED_SEARCH"] not in ("sealed", "clear", "none"):
        yield Error(
            f"MEMORY['ENCRYPTED_SEARCH'] is {values['ENCRYPTED_SEARCH']!r}.",
            hint='Use "sealed", "clear" or "none".',
            id="memory.E023",
        )
    kept = values["VERSIONS"]
    if kept is not None and (not isinstance(kept, int) or isinstance(kept, bool) or kept < 0):
        yield _not_a_number("VERSIONS", kept, "None or an integer of at least 0")


def _router(values: dict[str, Any]) -> Iterator[CheckMessage]:
    if values["DATABASE"] != "default" and ROUTER not in settings.DATABASE_ROUTERS:
        yield Warning(
            f"MEMORY['DATABASE'] is {values['DATABASE']!r}, but the app's router is not installed, "
            "so its models use 'default'.",
            hint=f"Add {ROUTER!r} to DATABASE_ROUTERS.",
            id="memory.W001",
        )


def _access(values: dict[str, Any]) -> Iterator[CheckMessage]:
    if values["PRINCIPAL"] == DEFAULTS["PRINCIPAL"] and not apps.is_installed("memory.access"):
        yield Warning(
            "The app 'memory.access' is not installed: a user who gets the name of a deleted or renamed one reads the "
            "earlier one's records, and the API has no hashed tokens.",
            hint="Add 'memory.access' to INSTALLED_APPS and run migrate, or set MEMORY['PRINCIPAL'].",
            id="memory.W004",
        )


def _redis(values: dict[str, Any]) -> Iterator[CheckMessage]:
    config = settings.CACHES.get(values["CACHE"], {})
    if not str(config.get("BACKEND", "")).startswith("django_redis."):
        return
    options = config.get("OPTIONS", {})
    for name in ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT"):
        seconds = options.get(name)
        if not isinstance(seconds, Real) or not 0 < float(seconds) <= SLOWEST_REDIS_SECONDS:
            yield Warning(
                f"CACHES[{values['CACHE']!r}] has {name} {seconds!r}: requests wait that long if Redis is down.",
                hint=f"Set OPTIONS[{name!r}] to at most {SLOWEST_REDIS_SECONDS} seconds.",
                id="memory.W002",
            )


def _sqlite(values: dict[str, Any]) -> Iterator[CheckMessage]:
    """Options of SQLite by which concurrent writers fail, though the app's transactions begin with the lock."""
    alias = values["DATABASE"]
    if alias not in connections or connections[alias].vendor != "sqlite":
        return
    configured = connections[alias].settings_dict
    options = configured.get("OPTIONS", {})
    seconds = options.get("timeout", DEFAULT_SQLITE_SECONDS)
    if not isinstance(seconds, Real) or float(seconds) < DEFAULT_SQLITE_SECONDS:
        yield Warning(
            f"DATABASES[{alias!r}] has the timeout {seconds!r}: writes fail with 'database is locked' if others take "
            "longer.",
            hint=f"Set OPTIONS['timeout'] to {DEFAULT_SQLITE_SECONDS} seconds or more, or remove it.",
            id="memory.W005",
        )
    if configured.get("ATOMIC_REQUESTS") and str(options.get("transaction_mode")).upper() not in LOCKED_MODES:
        yield Warning(
            f"DATABASES[{alias!r}] has ATOMIC_REQUESTS: a request that reads before it writes fails with 'database is "
            "locked' if another one has written meanwhile.",
            hint="Set OPTIONS['transaction_mode'] to 'IMMEDIATE', or remove ATOMIC_REQUESTS.",
            id="memory.W006",
        )
