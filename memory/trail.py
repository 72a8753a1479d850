"""The stored model of the audit trail, for projects that keep it in the database: `memory.lifecycle.audit`."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import AnyJSONField, DocumentIdField, new_id


class AuditEntry(models.Model):
    """Who did what to which records, and when; never their content. Entries are created and purged, and not changed."""

    id = DocumentIdField(default=new_id, editable=False)
    at = models.DateTimeField(_("time"), default=timezone.now)
    channel = models.CharField(_("channel"), max_length=20)  # api, admin, mcp, command
    action = models.CharField(_("action"), max_length=20)  # read, write, export, erase
    principal = models.CharField(_("principal"), max_length=255, blank=True, default="")
    operation = models.CharField(_("operation"), max_length=255, blank=True, default="")
    model = models.CharField(_("model"), max_length=100, blank=True, default="")
    ids = AnyJSONField(_("ids"), default=list, blank=True)
    count = models.BigIntegerField(_("count"), null=True)
    outcome = models.CharField(_("outcome"), max_length=20, blank=True, default="")
    request_id = models.CharField(_("request"), max_length=64, blank=True, default="")

    firestore_unindexed = ("ids",)

    class Meta:
        db_table = "memory_audit"
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        default_permissions = ("view",)
        ordering = ("-at", "-id")
        indexes = (models.Index(fields=["at"], name="memory_audit_at"),)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action} {self.model}"
