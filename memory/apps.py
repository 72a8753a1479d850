"""The app's configuration: its label, and what is registered when Django starts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MemoryConfig(AppConfig):
    """`INSTALLED_APPS = [..., "memory"]`."""

    name = "memory"
    verbose_name = _("Memory")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and the vectors' functions with SQLite."""
        from django.db.backends.signals import connection_created

        from . import checks  # noqa: F401  (registers by decorator)
        from .distances import register_functions

        connection_created.connect(register_functions, dispatch_uid="memory.distances")
