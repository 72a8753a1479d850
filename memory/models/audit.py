"""The stored model of the audit trail, for projects that keep it in the database: `memory.lifecycle.audit`."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..fields import AnyJSONField, DocumentIdField, new_id


class AppendOnlyError(TypeError):
    """An entry of the audit trail cannot be changed, and only `memory_purge` deletes entries, by policy."""


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise AppendOnlyError("Entries of the audit trail are not changed, and are deleted by memory_purge alone.")


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Entries are read and created."""

    update = bulk_update = delete = _refuse
    update.alters_data = delete.alters_data = True  # type: ignore[attr-defined]


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

    objects = AuditQuerySet.as_manager()

    firestore_unindexed = ("ids",)

    class Meta:
        db_table = "memory_audit"
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        default_permissions = ("view",)
        ordering = ("-at", "-id")
        indexes = (
            models.Index(fields=["at"], name="memory_audit_at"),
            # Those of the admin's filters, which Firestore merges: they end alike.
            models.Index(fields=["-at", "-id"], name="memory_audit_time"),
            models.Index(fields=["action", "-at", "-id"], name="memory_audit_action"),
            models.Index(fields=["channel", "-at", "-id"], name="memory_audit_channel"),
            models.Index(fields=["principal", "-at", "-id"], name="memory_audit_principal"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action} {self.model}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Django's `save` of a new entry. Raises `AppendOnlyError` for a stored one."""
        if not self._state.adding:
            _refuse()
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises `AppendOnlyError`."""
        _refuse()
