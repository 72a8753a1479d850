"""`manage.py firestore_indexes` of the engine, for projects that install the app."""

from memory.backends.firestore.management.commands.firestore_indexes import Command

__all__ = ["Command"]
