"""The stored model of repeatable requests to the API."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..batches import ROWS_AT_ONCE
from ..fields import AnyJSONField, DocumentIdField


class IdempotencyKey(models.Model):
    """A write of the API with an `Idempotency-Key`, and its answer: `memory.api.idempotency`."""

    KEPT: ClassVar[timedelta] = timedelta(hours=24)

    id = DocumentIdField(editable=False)
    fingerprint = models.CharField(max_length=64)
    # The request that holds the key, and until when.
    claim = models.CharField(max_length=32)
    until = models.DateTimeField()
    created = models.DateTimeField()
    status = models.SmallIntegerField(null=True)
    answer = AnyJSONField(default=dict, blank=True)

    class Meta:
        db_table = "memory_idempotency_keys"
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        indexes = (models.Index(fields=["created"], name="memory_idempotency_created"),)

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_expired(self) -> bool:
        """Whether the key may be used for another request."""
        return self.created + self.KEPT <= timezone.now()

    @classmethod
    def purge(cls, using: str | None = None) -> int:
        """Delete expired keys in batches; return how many."""
        keys, deleted = cls._default_manager.using(using), 0
        expired = keys.filter(created__lte=timezone.now() - cls.KEPT)
        while some := list(expired.order_by("created").values_list("pk", flat=True)[:ROWS_AT_ONCE]):
            deleted += expired.filter(pk__in=some).delete()[0]
        return deleted
