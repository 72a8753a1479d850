"""Where data is kept: Firestore, or the embedded default."""

from typing import Any

from .environment import database, text

# The emulator keeps projects apart by name; it knows no other meaning of it.
EMULATED_PROJECT = "orchestra-local"
# As DATABASE_URL: everything is in the one Firestore database that GCP_PROJECT_ID and FIRESTORE_DATABASE name.
EVERYTHING = "firestore:"
RELATIONAL, MEMORY = "default", "memory"


def databases(deployed: bool) -> dict[str, dict[str, Any]]:
    """`DATABASES`: the relational side and the memory, or one Firestore for both.

    There is a Firestore where the service is `deployed` (staging, production), and where an emulator is named.
    """
    if text("DATABASE_URL") != EVERYTHING:
        relational = database("DATABASE_URL", "sqlite:///data/orchestra.sqlite3")
        return {RELATIONAL: relational, MEMORY: memory_database(deployed)}
    if text("MEMORY_DATABASE_URL"):
        return {RELATIONAL: firestore(), MEMORY: memory_database(deployed)}
    return {RELATIONAL: firestore()}


def memory_database(deployed: bool) -> dict[str, Any]:
    """What `MEMORY_DATABASE_URL` says, or Firestore where there is one, or an SQLite file."""
    if not text("MEMORY_DATABASE_URL") and (deployed or text("FIRESTORE_EMULATOR_HOST")):
        return firestore()
    return database("MEMORY_DATABASE_URL", "sqlite:///data/memory.sqlite3")


def firestore() -> dict[str, Any]:
    """The Firestore of `GCP_PROJECT_ID`; credentials in the order that the engine documents."""
    credentials = {
        "credentials_json": text("GCP_SA_KEY_JSON"),
        "credentials_path": text("GCP_SA_KEY_PATH"),
    }
    emulator = text("FIRESTORE_EMULATOR_HOST")
    return {
        "ENGINE": "memory.backends.firestore",
        "NAME": text("FIRESTORE_DATABASE", "(default)"),
        "PROJECT": text("GCP_PROJECT_ID", EMULATED_PROJECT if emulator else ""),
        "HOST": emulator,
        "OPTIONS": {name: value for name, value in credentials.items() if value},
    }
