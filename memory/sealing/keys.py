"""Keys of users: how they are wrapped by the master key, created, found, and deleted."""

from __future__ import annotations

import hashlib
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.apps import apps
from django.db import IntegrityError, connections, router, transaction
from django.utils.module_loading import import_string

from ..backends import clock
from ..conf import memory_settings
from ..encryption import decrypt, encrypt
from ..exceptions import StorageError
from ..extras import MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES: Final = 64
KNOWN_SECONDS: Final = 60.0
"""How long a process keeps a key. A key that is shredded meanwhile by another process still works here until then."""
MOST_KNOWN: Final = 10_000


class KeyShredded(StorageError):
    """The key of a sealed value does not exist: its user was erased."""


class KeyWrapper(Protocol):
    """Wraps keys of users by a master key. Errors of a service are raised as `ConnectionError` or `StorageError`."""

    def wrap(self, key: bytes, user_id: str) -> str:
        """The wrapped key, as text. `user_id` is to be authenticated, where the service has such a context."""

    def unwrap(self, wrapped: str, user_id: str) -> bytes:
        """The inverse, also of keys that an earlier master key wrapped."""


class LocalWrapper:
    """Wraps by `MEMORY["ENCRYPTION_KEYS"]`: the first key wraps, all unwrap."""

    def wrap(self, key: bytes, user_id: str) -> str:
        """As `KeyWrapper.wrap`."""
        return encrypt([user_id, b64encode(key).decode()])

    def unwrap(self, wrapped: str, user_id: str) -> bytes:
        """As `KeyWrapper.unwrap`. Raises `StorageError` for a key of another user."""
        owner, key = decrypt(wrapped)
        if owner != user_id:
            raise StorageError("A data key belongs to another user.")
        return b64decode(key)


@dataclass(frozen=True)
class UserKey:
    """A user's key: the id that ciphertexts have, and the cipher."""

    id: str
    cipher: AESSIV


class _Keys:
    """The keys that this process knows, each for `KNOWN_SECONDS`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[tuple[str, str], tuple[float, str, UserKey]] = {}
        self._of_user: dict[tuple[str, str], str] = {}

    def by_id(self, using: str, identity: str) -> UserKey | None:
        found = self._by_id.get((using, identity))
        return found[2] if found is not None and found[0] > clock.monotonic() else None

    def of_user(self, using: str, user_id: str) -> UserKey | None:
        identity = self._of_user.get((using, user_id))
        return None if identity is None else self.by_id(using, identity)

    def put(self, using: str, user_id: str, key: UserKey) -> None:
        with self._lock:
            if len(self._by_id) >= MOST_KNOWN:
                self._by_id.clear()
                self._of_user.clear()
            self._by_id[using, key.id] = (clock.monotonic() + KNOWN_SECONDS, user_id, key)
            self._of_user[using, user_id] = key.id

    def forget(self, using: str | None = None, user_id: str | None = None) -> None:
        """Forget a user's keys, or all."""
        with self._lock:
            for at, (_, owner, _key) in list(self._by_id.items()):
                if user_id is None or (at[0] == using and owner == user_id):
                    del self._by_id[at]
            for at in list(self._of_user):
                if user_id is None or at == (using, user_id):
                    del self._of_user[at]


known = _Keys()


def ensure_keys(owners: Iterable[str], using: str) -> None:
    """Create the missing keys of users. Call it before the transaction that writes their records."""
    if memory_settings.encrypt:
        for owner in dict.fromkeys(owners):
            key_of(owner, using)


def key_of(user_id: str, using: str) -> UserKey:
    """The key of a user, created at the first use."""
    if (found := known.of_user(using, user_id)) is not None:
        return found
    model: Any = apps.get_model("memory", "DataKey")
    rows = model._default_manager.using(using)
    row = rows.filter(pk=_id_of(user_id)).first()
    if row is None:
        secret = os.urandom(KEY_BYTES)
        row = model(id=_id_of(user_id), user_id=user_id, wrapped=_wrapper().wrap(secret, user_id))
        try:
            with transaction.atomic(using=using):
                row.save(using=using, force_insert=True)
        except IntegrityError:  # another writer was first
            row = rows.get(pk=row.pk)
    return _unwrapped(row, using)


def key_by_id(identity: str, using: str) -> UserKey:
    """A key by its id. Raises `KeyShredded`."""
    if (found := known.by_id(using, identity)) is not None:
        return found
    model: Any = apps.get_model("memory", "DataKey")
    row = model._default_manager.using(using).filter(pk=identity).first()
    if row is None:
        raise KeyShredded("The key of an encrypted value was deleted: its user was erased. It cannot be read any more.")
    return _unwrapped(row, using)


def _id_of(user_id: str) -> str:
    """The same for all writers, so that two of them do not make two keys. Rows name their user, so it need not hide."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:32]


def _unwrapped(row: Any, using: str) -> UserKey:
    key = UserKey(row.pk, _cipher(_wrapper().unwrap(row.wrapped, row.user_id)))
    # A key of an open transaction may be rolled back: then nothing may be sealed with it afterwards.
    if not connections[using].in_atomic_block:
        known.put(using, row.user_id, key)
    return key


def _cipher(secret: bytes) -> AESSIV:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # slow to import
    except ModuleNotFoundError as error:
        raise MissingExtra("memory.sealing", "encryption") from error
    return AESSIV(secret)


def _wrapper() -> KeyWrapper:
    return _made_wrapper(memory_settings.key_wrapper)


@lru_cache(maxsize=4)
def _made_wrapper(path: str) -> KeyWrapper:
    made: KeyWrapper = import_string(path)()
    return made


def shred(user_id: str, using: str | None = None) -> int:
    """Delete the keys of a user: whatever they encrypted cannot be read any more, in backups and exports too.

    The last step of an erasure. Returns the number of deleted keys. Other processes forget a key within
    `KNOWN_SECONDS`. A key management service may keep copies of what it wrapped.
    """
    model: Any = apps.get_model("memory", "DataKey")
    alias = using or router.db_for_write(model)
    deleted = model._default_manager.using(alias).filter(pk=_id_of(user_id)).delete()[0]
    known.forget(alias, user_id)
    return int(deleted)


def rewrap(using: str | None = None) -> int:
    """Wrap all keys again, by the current master key. No text is encrypted anew. Returns the number of keys."""
    model: Any = apps.get_model("memory", "DataKey")
    alias = using or router.db_for_write(model)
    rows, count, last = model._default_manager.using(alias), 0, ""
    while some := list(rows.filter(pk__gt=last).order_by("pk")[:100]):
        for row in some:
            wrapped = _wrapper().wrap(_wrapper().unwrap(row.wrapped, row.user_id), row.user_id)
            count += rows.filter(pk=row.pk).update(wrapped=wrapped)
        last = some[-1].pk
    return count
