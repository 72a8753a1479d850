"""The emulator's fixtures."""

from memory.testing.plugin import firestore_emulator, firestore_project

__all__ = ["firestore_emulator", "firestore_project"]
