"""`manage.py firestore_constraints` of the engine, for projects that install the app."""

from memory.backends.firestore.management.commands.firestore_constraints import Command

__all__ = ["Command"]
