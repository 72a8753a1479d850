"""Databases: Firestore, or the embedded default."""

from typing import Any

from .environment import (
    BASE_DIR,
    SQLITE_ENGINE,
    address,
    connection_age,
    database,
    firestore_database,
    key_file,
    key_text,
    project,
    text,
)

# The emulator isolates projects by name and accepts any name.
EMULATED_PROJECT = "orchestra-local"
# Value of DATABASE_URL: all data is in the Firestore database of GCP_PROJECT_ID and FIRESTORE_DATABASE.
EVERYTHING = "firestore:"
RELATIONAL, MEMORY = "default", "memory"
ENGINE = "memory.backends.firestore"


def databases(deployed: bool) -> dict[str, dict[str, Any]]:
    """`DATABASES`: a relational database and the memory, or one Firestore database for both.

    There is a Firestore where the service is `deployed` (staging, production), and where an emulator is named.
    """
    chosen = chosen_databases(deployed)
    if any(map(uses_default_credentials, chosen.values())):
        key_file("GOOGLE_APPLICATION_CREDENTIALS")  # google-auth reads it at the first request
    return chosen


def chosen_databases(deployed: bool) -> dict[str, dict[str, Any]]:
    """`databases()`, without the check of the default credentials."""
    if text("DATABASE_URL") != EVERYTHING:
        relational = kept(database("DATABASE_URL", "sqlite:///data/orchestra.sqlite3"))
        return {RELATIONAL: relational, MEMORY: memory_database(deployed)}
    if text("MEMORY_DATABASE_URL"):
        return {RELATIONAL: firestore(), MEMORY: memory_database(deployed)}
    return {RELATIONAL: firestore()}


def kept(config: dict[str, Any]) -> dict[str, Any]:
    """The database, with connections that outlive a request, so that not every request opens one.

    Those of the memory do not, if it is an SQLite file: each keeps up to 32 MiB of its pages.
    """
    is_file = config["ENGINE"] == SQLITE_ENGINE
    return {**config, "CONN_MAX_AGE": connection_age("DATABASE_CONN_MAX_AGE"), "CONN_HEALTH_CHECKS": not is_file}


def memory_database(deployed: bool) -> dict[str, Any]:
    """The database of `MEMORY_DATABASE_URL`, or Firestore if configured, or an SQLite file."""
    if not text("MEMORY_DATABASE_URL") and (deployed or text("FIRESTORE_EMULATOR_HOST")):
        return firestore()
    return database("MEMORY_DATABASE_URL", "sqlite:///data/memory.sqlite3")


def uses_default_credentials(config: dict[str, Any]) -> bool:
    """Whether this is a Firestore that no variable of the service has a key for."""
    is_remote = config["ENGINE"] == ENGINE and not config["HOST"]
    return is_remote and not {"credentials_json", "credentials_path"} & config["OPTIONS"].keys()


def firestore() -> dict[str, Any]:
    """The Firestore database of `GCP_PROJECT_ID`, with credentials in the engine's documented order."""
    credentials = {
        "credentials_json": key_text("GCP_SA_KEY_JSON"),
        "credentials_path": key_file("GCP_SA_KEY_PATH"),
    }
    emulator = address("FIRESTORE_EMULATOR_HOST")
    options = {name: value for name, value in credentials.items() if value}
    return {
        "ENGINE": ENGINE,
        "NAME": firestore_database("FIRESTORE_DATABASE"),
        "PROJECT": project("GCP_PROJECT_ID") or (EMULATED_PROJECT if emulator else ""),
        "HOST": emulator,
        "OPTIONS": {**options, "require_indexes": BASE_DIR / "firestore.indexes.json"},
    }
