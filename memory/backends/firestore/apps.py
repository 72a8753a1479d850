"""`INSTALLED_APPS = [..., "memory.backends.firestore"]`: the engine's commands, for projects without the app."""

from django.apps import AppConfig


class FirestoreConfig(AppConfig):
    """An app without models. The engine works without it, and `"memory"` has the same commands."""

    name = "memory.backends.firestore"
    label = "memory_firestore"
    verbose_name = "Firestore"
