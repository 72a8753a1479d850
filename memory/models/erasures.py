"""The stored models of erasures: tombstones with their progress, and digests of what was erased.

`memory.lifecycle.erasure` writes them, and `memory.tombstones` reads them. No row has the id of the person, or anything
of what was erased.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..fields import AnyJSONField, DocumentIdField


class Erasure(models.Model):
    """The erasure of a person, and the tombstone that refuses writes until `until`. Its id is a digest of the person's.

    `passes` counts finished passes over all data; `clean` says that the last one found nothing.
    """

    id = DocumentIdField(editable=False)
    salt = models.CharField(max_length=64, editable=False)
    began = models.DateTimeField(_("began"), default=timezone.now)
    finished = models.DateTimeField(_("finished"), null=True)
    until = models.DateTimeField(_("until"))
    requested_by = models.CharField(_("requested by"), max_length=150, blank=True, default="")
    passes = models.IntegerField(_("passes"), default=0)
    receipt = AnyJSONField(default=dict, blank=True, editable=False)  # without the digests of ids

    firestore_unindexed = ("receipt",)

    class Meta:
        db_table = "memory_erasures"
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        permissions = (("erase_person", _("Can erase a person")),)
        indexes = (models.Index(fields=["until"], name="memory_erasures_until"),)

    def __str__(self) -> str:
        return str(self.pk)[:12]


class ErasedIds(models.Model):
    """Digests of the ids of some records, stored before these are deleted. A record can be in several rows."""

    id = DocumentIdField(editable=False)
    erasure = models.CharField(max_length=64, editable=False)
    table = models.CharField(max_length=255, editable=False)
    digests = AnyJSONField(default=list, blank=True, editable=False)

    firestore_unindexed = ("digests",)

    class Meta:
        db_table = "memory_erased_ids"
        verbose_name = _("digests of erased records")
        verbose_name_plural = _("digests of erased records")
        indexes = (models.Index(fields=["erasure"], name="memory_erased_ids_erasure"),)

    def __str__(self) -> str:
        return str(self.pk)
