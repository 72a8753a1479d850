"""The app's configuration: its label, and what is registered when Django starts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from .extras import missing, require

if TYPE_CHECKING:
    from .text_index import TextIndex


class MemoryConfig(AppConfig):
    """`INSTALLED_APPS = [..., "memory"]`."""

    name = "memory"
    verbose_name = _("Memory")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and the text index, and connect the receivers of cache and search."""
        from django.core.signals import request_finished
        from django.db.backends.signals import connection_created
        from django.db.models.signals import post_migrate, post_save, pre_save

        # Models can be imported only now; `checks` registers by decorator.
        from . import checks, text_index, tombstones, usage  # noqa: F401
        from .distances import register_functions
        from .history import receivers

        _require_client_of_redis()
        text_index.install(_text_search)
        connection_created.connect(register_functions, dispatch_uid="memory.distances")
        request_finished.connect(receivers.settle_all, dispatch_uid="memory.history")
        request_finished.connect(usage.flush_counts, dispatch_uid="memory.usage")
        post_migrate.connect(_clear_segment_cache, sender=self, dispatch_uid="memory.search.segment_cache")
        post_migrate.connect(tombstones.tombstones.clear, sender=self, dispatch_uid="memory.tombstones")
        post_migrate.connect(receivers.clear_cache, sender=self, dispatch_uid="memory.history")
        pre_save.connect(_before_raw_save, sender="memory.MemoryItem", dispatch_uid="memory.search.indexing")
        for name in ("MemoryItem", "UserSession"):
            pre_save.connect(receivers.before_raw_save, sender=f"memory.{name}", dispatch_uid=f"memory.history.{name}")
            post_save.connect(receivers.after_raw_save, sender=f"memory.{name}", dispatch_uid=f"memory.history.{name}")


def _require_client_of_redis() -> None:
    """Raise `MissingExtra` for a cache in Redis without its client: checks of Django would load it first."""
    from django.conf import settings

    for alias, config in settings.CACHES.items():
        if str(config.get("BACKEND", "")).startswith("django_redis."):
            require(f"CACHES[{alias!r}]", "redis")


# Search imports numpy and a stemmer, so it is imported when it is first used.


def _text_search() -> TextIndex:
    from .text_index import NoSearch  # fields of models: only when Django is ready

    if missing("search"):
        return NoSearch()
    from .search.index import TextSearch  # slow to import

    return TextSearch()


def _clear_segment_cache(**kwargs: Any) -> None:
    """Receiver of `post_migrate`: forget the segments that this process has read, if it has imported search."""
    if (segment_cache := sys.modules.get("memory.search.segment_cache")) is not None:
        segment_cache.cache.clear(**kwargs)


def _before_raw_save(raw: bool, **kwargs: Any) -> None:
    """Receiver of `pre_save`: items of fixtures get the fields that search uses."""
    if raw:
        # Fields of models: only when Django is ready.
        from .fields import WriteTime
        from .text_index import text_index

        item, index = kwargs["instance"], text_index()
        item.written = WriteTime()
        index.prepare([item])
        index.add_vectors([item])
