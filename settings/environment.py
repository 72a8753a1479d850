"""The only reader of the process' environment: variables, or the `.env` file beside `manage.py`, in this order.

Every variable is described in `.env.example`.
"""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import dj_database_url
from dotenv import load_dotenv

BASE_DIR = Path(__file__).resolve().parent.parent
SQLITE = "django.db.backends.sqlite3"  # as URLs name it
ENVIRONMENTS = ("development", "test", "staging", "production")


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
RATE = re.compile(r"[1-9]\d*/(s|sec|second|m|min|minute|h|hour|d|day)", re.ASCII)
# As `check --deploy` has it.
KEY_LENGTH, KEY_CHARACTERS = 50, 5
MAX_PORT = 65_535
MAX_SECONDS = 10 * 365 * 86_400
HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
ORIGIN = re.compile(r"https?://[^/\s@]+")
ADDRESS = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)
FERNET_KEY_BYTES = 32


class ConfigurationError(Exception):
    """The message names the variable, the problem and the fix, but not the value."""


# No interpolation, since passwords may contain `$`. Existing variables are not overridden.
load_dotenv(os.environ.get("ENV_FILE") or BASE_DIR / ".env", interpolate=False)


def app_env() -> str:
    """The environment of `APP_ENV`; development by default."""
    name = text("APP_ENV", "development")
    if name not in ENVIRONMENTS:
        raise ConfigurationError(f"APP_ENV is {name!r}; set it to one of: {', '.join(ENVIRONMENTS)}.")
    return name


def text(name: str, default: str = "") -> str:
    """A stripped variable; an empty one counts as missing."""
    return os.environ.get(name, "").strip() or default


def required(name: str, why: str) -> str:
    """A required variable."""
    if value := text(name):
        return value
    raise ConfigurationError(f"{name} is missing: {why}.")


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


def json_object(name: str) -> str:
    """The text of a JSON object, or an empty one."""
    value = text(name)
    try:
        valid = not value or isinstance(json.loads(value), dict)
    except ValueError:
        valid = False
    if not valid:  # raised without its cause, whose text is the value
        raise ConfigurationError(f"{name} must be the JSON text of a key file.")
    return value


def file(name: str) -> str:
    """The path of a file that exists, or an empty text."""
    value = text(name)
    if value and not Path(value).is_file():
        raise ConfigurationError(f"{name} must be the path of a file that this process can read.")
    return value


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
    if not config.get("ENGINE"):  # raised without its cause, whose text contains the URL's password
        raise ConfigurationError(f"{name} must be a database URL such as sqlite:///data/db.sqlite3.")
    return embedded(config["NAME"]) if config["ENGINE"] == SQLITE else config


def embedded(name: str) -> dict[str, Any]:
    """An SQLite file for several processes. Relative names are relative to the project's folder."""
    return {
        "ENGINE": "memory.backends.sqlite",
        "NAME": name if name == ":memory:" else BASE_DIR / name,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # seconds to wait for another writer
            # 32 MiB of pages for each connection: a large write would otherwise be written twice.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32768;",
        },
    }
