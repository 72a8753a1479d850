"""The only reader of the process' environment: variables, or the `.env` file beside `manage.py`, in this order.

Every variable is described in `.env.example`.
"""

import base64
import json
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url
from dotenv import load_dotenv

BASE_DIR = Path(__file__).resolve().parent.parent
SQLITE = "django.db.backends.sqlite3"  # as URLs name it
SQLITE_ENGINE = "memory.backends.sqlite"
LONGEST_CONNECTION = 86_400
ENVIRONMENTS = ("development", "test", "staging", "production")

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
RATE = re.compile(r"[1-9]\d{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)", re.ASCII)
# As `check --deploy` has it.
KEY_LENGTH, KEY_CHARACTERS = 50, 5
MAX_PORT = 65_535
MAX_SECONDS = 10 * 365 * 86_400
HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
ORIGIN = re.compile(r"https?://[^/\s@]+")
ADDRESS = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)
FERNET_KEY_BYTES = 32
# An id, a domain's id (`example.org:id`), or a number.
PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]*", re.ASCII)
# https://cloud.google.com/firestore/docs/reference/rpc/google.firestore.admin.v1#createdatabaserequest
FIRESTORE_DATABASE = re.compile(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]", re.ASCII)
# By engine: modules of which Django needs one.
DRIVERS = {
    "django.db.backends.postgresql": ("psycopg", "psycopg2"),
    "django.contrib.gis.db.backends.postgis": ("psycopg", "psycopg2"),
    "django.db.backends.mysql": ("MySQLdb",),
    "django.contrib.gis.db.backends.mysql": ("MySQLdb",),
    "django.db.backends.oracle": ("oracledb", "cx_Oracle"),
}


class ConfigurationError(Exception):
    """The message names the variable, the problem and the fix, but not the value."""


@cache
def read_env_file() -> None:
    """Add the variables of `ENV_FILE`, or of `.env`, that the process does not have."""
    given = os.environ.get("ENV_FILE", "")
    path = Path(given or BASE_DIR / ".env")
    if given and (path.is_dir() or not path.exists()):
        raise ConfigurationError("ENV_FILE must be the path of a file that this process can read.")
    try:
        # No interpolation, since passwords may contain `$`.
        load_dotenv(path, interpolate=False)
    except (OSError, ValueError):  # raised without its cause, whose text may hold secrets
        name = "ENV_FILE" if given else "The file .env"
        raise ConfigurationError(f"{name} must be a text file in UTF-8 that this process can read.") from None


def app_env() -> str:
    """The environment of `APP_ENV`; development by default."""
    name = text("APP_ENV", "development")
    if name not in ENVIRONMENTS:
        raise ConfigurationError(f"APP_ENV is {name!r}; set it to one of: {', '.join(ENVIRONMENTS)}.")
    return name


def text(name: str, default: str = "") -> str:
    """A stripped variable; an empty one counts as missing."""
    read_env_file()
    return os.environ.get(name, "").strip() or default


def required(name: str, why: str, read: Callable[[str], str] = text) -> str:
    """A required variable, read and checked by `read`."""
    if value := read(name):
        return value
    raise ConfigurationError(f"{name} is missing: {why}.")


def project(name: str) -> str:
    """The id of a Google Cloud project, or an empty text."""
    value = text(name)
    if value and not PROJECT.fullmatch(value):
        raise ConfigurationError(
            f"{name} must be the id of a Google Cloud project: lower-case letters, digits and hyphens."
        )
    return value


def firestore_database(name: str) -> str:
    """The id of a Firestore database; `(default)` by default."""
    value = text(name, "(default)")
    if not FIRESTORE_DATABASE.fullmatch(value):
        raise ConfigurationError(
            f"{name} must be (default), or 4 to 63 lower-case letters, digits and hyphens that begin with a letter."
        )
    return value


def host(name: str) -> str:
    """One host name or address without scheme and port, or an empty text."""
    value = text(name)
    if value and not (HOST.fullmatch(value) and value.strip(".") == value and value != "*"):
        raise ConfigurationError(f"{name} must be a host name without scheme, port and path: cache.example.org.")
    return value


def refuse_implicit_development() -> None:
    """Raise `ConfigurationError` unless `APP_ENV` is set: no server shows errors or uses a public key by accident."""
    if not text("APP_ENV"):
        raise ConfigurationError(
            "APP_ENV is missing: set it to production or staging, or to development if this server is for this machine "
            "only."
        )


def secret_key(why: str) -> str:
    """The required `SECRET_KEY`, long enough to sign sessions."""
    key = required("SECRET_KEY", why)
    if len(key) < KEY_LENGTH or len(set(key)) < KEY_CHARACTERS:
        raise ConfigurationError(f"SECRET_KEY must be a random text of at least {KEY_LENGTH} characters.")
    return key


def level(name: str, default: str) -> str:
    """A level of `logging`."""
    value = text(name, default).upper()
    if value not in LEVELS:
        raise ConfigurationError(f"{name} must be one of: {', '.join(LEVELS)}.")
    return value


def rate(name: str, default: str) -> str:
    """A number of requests per s, min, hour or day."""
    value = text(name, default)
    if not RATE.fullmatch(value):
        raise ConfigurationError(f"{name} must have the form 60/min: a number per s, min, hour or day.")
    return value


def integer(name: str, default: int, least: int = 0, most: int | None = None) -> int:
    """An integer of at least `least`, and at most `most` if given."""
    try:
        value = int(text(name, str(default)))
    except ValueError:
        value = least - 1
    if value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ConfigurationError(f"{name} must be a whole number {bounds}.")
    return value


def port(name: str, default: int) -> int:
    """A TCP port."""
    return integer(name, default, least=1, most=MAX_PORT)


def address(name: str) -> str:
    """`host:port`, or an empty text."""
    value = text(name)
    found = ADDRESS.fullmatch(value)
    if value and not (found and 0 < int(found[2]) <= MAX_PORT):
        raise ConfigurationError(f"{name} must have the form host:port.")
    return value


def hosts(name: str) -> list[str]:
    """Host names without scheme and port, as Django's `ALLOWED_HOSTS`."""
    found = words(name)
    if not all(HOST.fullmatch(host) for host in found):
        raise ConfigurationError(f"{name} must be host names without scheme, port and path: memory.example.org.")
    return found


def origins(name: str) -> list[str]:
    """Origins with their scheme, as Django's `CSRF_TRUSTED_ORIGINS`."""
    found = words(name)
    if not all(ORIGIN.fullmatch(origin) for origin in found):
        raise ConfigurationError(f"{name} must be origins with a scheme and no path: https://memory.example.org.")
    return found


def exact_origins(name: str) -> list[str]:
    """Origins with their scheme, without wildcards."""
    found = origins(name)
    if any("*" in origin for origin in found):
        raise ConfigurationError(f"{name} must be whole origins, without *: https://app.example.org.")
    return found


def fernet_keys(name: str) -> list[str]:
    """Keys of `cryptography.fernet`."""
    found = words(name)
    if not all(map(_is_fernet_key, found)):
        raise ConfigurationError(f"{name} must be Fernet keys, separated by commas.")
    return found


def _is_fernet_key(key: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(key.encode("ascii"))) == FERNET_KEY_BYTES
    except ValueError:
        return False


def key_text(name: str) -> str:
    """The JSON text of a key file of Google Cloud, or an empty text."""
    value = text(name)
    if value and not _is_key(value):  # raised without its cause, whose text is the value
        raise ConfigurationError(f"{name} must be the JSON text of a key file.")
    return value


def key_file(name: str) -> str:
    """The path of a key file of Google Cloud, or an empty text."""
    value = text(name)
    try:
        content = Path(value).read_text(encoding="utf-8") if value else ""
    except (OSError, ValueError):
        raise ConfigurationError(f"{name} must be the path of a file that this process can read.") from None
    if value and not _is_key(content):
        raise ConfigurationError(f"{name} must be the path of a key file, whose content is JSON.")
    return value


def _is_key(content: str) -> bool:
    """Whether this is an object with a `type`, as all of google-auth's kinds of credentials."""
    try:
        key = json.loads(content)
    except ValueError:
        return False
    return isinstance(key, dict) and isinstance(key.get("type"), str)


def boolean(name: str, default: bool) -> bool:
    """A boolean: true/false, yes/no, on/off, 1/0."""
    value = text(name, str(default)).lower()
    meanings = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
    if value not in meanings:
        raise ConfigurationError(f"{name} must be true or false.")
    return meanings[value]


def words(name: str) -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name).split(",") if word.strip()]


def database(name: str, default: str) -> dict[str, Any]:
    """A database from a URL such as `sqlite:///data/db.sqlite3` or `postgres://user:password@host/name`."""
    try:
        config: dict[str, Any] = {**dj_database_url.parse(text(name, default))}
    except (dj_database_url.ParseError, dj_database_url.UnknownSchemeError, ValueError):
        config = {}
    # Raised without their causes, whose texts contain the URL's password.
    if not config.get("ENGINE"):
        raise ConfigurationError(f"{name} must be a database URL such as sqlite:///data/db.sqlite3.")
    if not (config.get("NAME") or config.get("OPTIONS", {}).get("service")):
        raise ConfigurationError(f"{name} must name a database: postgres://user:password@host/name.")
    if config["ENGINE"] == SQLITE:
        return embedded(config["NAME"])
    if wanted := missing_module(config["ENGINE"]):
        raise ConfigurationError(f"{name} needs a package that is not installed: {wanted}.")
    return config


def connection_age(name: str) -> int:
    """How many seconds a thread keeps its connection to a database.

    gunicorn's threads stay. Those of other servers may end with the request, and would leave their connections open.
    """
    default = 60 if "gunicorn.arbiter" in sys.modules else 0
    return integer(name, default, most=LONGEST_CONNECTION)


def missing_module(engine: str) -> str:
    """What a database engine needs and cannot import; empty if there is nothing."""
    try:
        found = find_spec(engine)
    except ModuleNotFoundError:
        found = None
    if found is None:
        return engine
    drivers = DRIVERS.get(engine, ())
    return "" if not drivers or any(map(_can_import, drivers)) else " or ".join(drivers)


def _can_import(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:  # psycopg raises it, too, if it is installed without libpq
        return False
    return True


def embedded(name: str) -> dict[str, Any]:
    """An SQLite file for several processes. Relative names are relative to the project's folder."""
    return {
        "ENGINE": SQLITE_ENGINE,
        "NAME": name if name == ":memory:" else BASE_DIR / name,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # seconds to wait for another writer
            # 32 MiB of pages for each connection: a large write would otherwise be written twice.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32768;",
        },
    }
