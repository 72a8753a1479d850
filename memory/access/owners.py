"""The owner ids of users: the user name at first, and never that of another user, deleted or renamed."""

from __future__ import annotations

from typing import Any, Final

from django.db import IntegrityError, router, transaction

from memory.conf import DEFAULTS, memory_settings

from .models import Owner

LONGEST_NAME = 200
OWNER_OF_USER: Final = Owner._meta.get_field("user").remote_field


def owner_id_of(user: Any) -> str:
    """The user's owner id; the first call reserves one. It survives a change of the user name."""
    known: str | None = getattr(user, "_memory_owner_id", None)
    if known is None:
        using = router.db_for_write(Owner, instance=user)
        known = user._memory_owner_id = read_with(user) or reserved(user, using) or reserve(user, using)
    return known


def read_with(user: Any) -> str | None:
    """The id that was read with the user (`select_related("memory_owner")`), or None."""
    owner = OWNER_OF_USER.get_cached_value(user, default=None)
    return None if owner is None else str(owner.pk)


def reserved(user: Any, using: str) -> str | None:
    """The id that the user has; None if it has none yet."""
    return Owner.objects.using(using).filter(user_id=user.pk).values_list("pk", flat=True).first()


def reserve(user: Any, using: str) -> str:
    """Reserve the user name, or another id if the name belongs to somebody else, and return it."""
    name = str(user.get_username())
    for owner_id in (name, f"{name[:LONGEST_NAME]}~{user.pk}"):
        try:
            with transaction.atomic(using=using):
                Owner.objects.using(using).create(pk=owner_id, user_id=user.pk)
        except IntegrityError:  # taken, or a concurrent request reserved one for this user
            if found := reserved(user, using):
                return found
            continue
        return owner_id
    raise IntegrityError(f"The owner id {name!r} belongs to another user, and no other could be reserved.")


def reserve_for_new_user(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    """Receiver of `post_save`: a name is reserved when its user is made, not at its first request."""
    if created and not raw and memory_settings.principal_path == DEFAULTS["PRINCIPAL"]:
        reserve(instance, using)
