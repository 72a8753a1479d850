"""Where the memory is kept: Firestore, or the embedded default."""

from typing import Any

from .environment import database, text

# The emulator keeps projects apart by name; it knows no other meaning of it.
EMULATED_PROJECT = "orchestra-local"


def memory_database(deployed: bool) -> dict[str, Any]:
    """`DATABASES["memory"]`: what `MEMORY_DATABASE_URL` says, or Firestore where there is one, or an SQLite file.

    There is a Firestore where the service is `deployed` (staging, production), and where an emulator is named.
    """
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
