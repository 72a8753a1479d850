"""The configuration of the app of tokens and owner ids."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccessConfig(AppConfig):
    """`INSTALLED_APPS = [..., "memory.access"]`."""

    name = "memory.access"
    label = "memory_access"
    verbose_name = _("Memory: access")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Reserve the owner id of each new user."""
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_save

        # The model can be imported only now.
        from .owners import reserve_for_new_user

        post_save.connect(reserve_for_new_user, sender=get_user_model(), dispatch_uid="memory.access.owners")
