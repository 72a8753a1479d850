"""Replaces the tokens of `rest_framework.authtoken`, which are stored in clear, by hashed ones."""

from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.contrib.auth import get_user_model
from django.db import connections, models, router

from ..contention import write_transaction
from .models import SCOPES, digest_of

TABLE = "authtoken_token"
HIDDEN = "token"
NAME = "from rest_framework.authtoken"


def adopt(using: str, tokens: Any, keep: bool = False) -> int:
    """Store each clear token of the database `using` as a hash, and delete it unless `keep`; return how many.

    `tokens` is the model of access tokens. The tokens stay valid: they have all scopes and do not expire.
    """
    if TABLE not in connections[using].introspection.table_names():
        return 0
    clear = clear_tokens()._base_manager.using(using)
    with write_transaction(using):
        found = {digest_of(row.key): row for row in clear.all()}
        known = set(tokens._base_manager.using(using).values_list("pk", flat=True))
        tokens._base_manager.using(using).bulk_create(
            tokens(digest=digest, user_id=row.user_id, name=NAME, scopes=" ".join(SCOPES), expires=None)
            for digest, row in found.items()
            if digest not in known
        )
        if not keep:
            clear.filter(pk__in=[row.key for row in found.values()]).delete()
    return len(found.keys() - known)


def hide_in_log(entries: Any, content_types: Any) -> int:
    """Remove clear tokens from the admin's log, where they are the names of objects; return the number of entries."""
    types = content_types._base_manager.using(router.db_for_read(content_types)).filter(app_label="authtoken")
    logged = entries._base_manager.using(router.db_for_write(entries))
    changed: int = logged.filter(content_type_id__in=[found.pk for found in types]).update(object_repr=HIDDEN)
    return changed


def clear_tokens() -> Any:
    """A model of the table of `rest_framework.authtoken`, which need not be installed."""
    key: Any = get_user_model()._meta.pk
    kind = models.BigIntegerField if isinstance(key, models.IntegerField) else type(key)
    sized = {} if key.max_length is None else {"max_length": key.max_length}

    class ClearToken(models.Model):
        key = models.CharField(max_length=40, primary_key=True)
        user_id = kind(**sized)

        class Meta:
            apps = Apps()
            app_label = "authtoken"
            db_table = TABLE

        def __str__(self) -> str:
            return HIDDEN

    return ClearToken
