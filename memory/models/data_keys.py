"""The stored model of the keys that encrypt users' texts."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..fields import DocumentIdField, NameField, new_id
from ..tombstones import Guarded


class DataKey(Guarded):
    """The key that encrypts a user's texts, wrapped by the master key: `memory.sealing`.

    Its id is part of each ciphertext. Without the row nothing that it encrypted can be read.
    """

    id = DocumentIdField(default=new_id, editable=False)
    user_id = NameField(_("user"))
    wrapped = models.TextField(_("wrapped key"))
    created = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        db_table = "memory_data_keys"
        verbose_name = _("data key")
        verbose_name_plural = _("data keys")

    def __str__(self) -> str:
        return str(self.pk)
