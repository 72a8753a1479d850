"""Encryption of texts by a key of each user, so that deleting the key makes them unreadable wherever they were copied.

    MEMORY = {"ENCRYPT": ["text_content", "content", "metadata.passport"], "ENCRYPTION_KEYS": [...]}

A sealed value is the text `sealed:1:KEY:DATA`: the id of a `DataKey`, and base64 of a salt and of AES-SIV's ciphertext
(RFC 5297) of the value's JSON, with the salt, the key's id and the field's name as associated data. The key of a user
is random, and stored wrapped by the master key (`MEMORY["KEY_WRAPPER"]`), which may be in a key management service.

`pre_save` and the bulk writes of the fields seal, their converters open: objects have the plain values. The database,
the conversation cache, kept versions and the segments of the search index have sealed ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import IntegrityError, connections, router, transaction
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from .backends import clock
from .conf import memory_settings
from .encryption import decrypt, encrypt
from .exceptions import StorageError
from .extras import MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

__all__ = ["KeyShredded", "KeyWrapper", "LocalWrapper", "rewrap", "shred"]

PREFIX: Final = "sealed:1:"
BYTES_PREFIX: Final = b"sealed:1:"
SALT_BYTES: Final = 16
KEY_BYTES: Final = 64
KNOWN_SECONDS: Final = 60.0
"""How long a process keeps a key. A key that is shredded meanwhile by another process still works here until then."""
MOST_KNOWN: Final = 10_000
HASH_SALT: Final = "memory.content"
OVERHEAD: Final = 160
"""Bytes of a sealed value besides base64 of the value: the prefix, the key's id, the salt and the tag."""


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


class Sealed(str):
    """A sealed value on its way to the database."""

    __slots__ = ()


def protected() -> frozenset[str]:
    """The names of `MEMORY["ENCRYPT"]`."""
    names = memory_settings.encrypt
    return _protected(tuple(names)) if names else NOTHING


NOTHING: Final[frozenset[str]] = frozenset()


@lru_cache(maxsize=8)
def _protected(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)


def protected_keys() -> frozenset[str]:
    """The keys of metadata that are encrypted."""
    return _keys(tuple(memory_settings.encrypt))


@lru_cache(maxsize=8)
def _keys(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.partition(".")[2] for name in names if name.startswith("metadata."))


def reads_sealed() -> bool:
    """Whether values may be sealed: something is encrypted, or was, and its keys are still configured."""
    return bool(memory_settings.encrypt or memory_settings.encryption_keys)


def is_sealed(value: object) -> bool:
    """Whether a value is a sealed one."""
    return isinstance(value, str) and value.startswith(PREFIX)


def refuse_lookup(name: str) -> None:
    """Raise `FieldError` if a column, or a key of one, is encrypted."""
    if name in protected():
        raise FieldError(f"{name} is encrypted (MEMORY['ENCRYPT']): it can only be read, and compared by isnull.")


# --- keys


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


# --- values


def seal(value: Any, key: UserKey, name: str, salt: bytes | None = None) -> Sealed:
    """Seal a JSON value. With the same `salt` it is the same text."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    data = key.cipher.encrypt(plain, [salt, key.id.encode(), name.encode()])
    return Sealed(f"{PREFIX}{key.id}:{b64encode(salt + data).decode()}")


def unseal(text: str, name: str, using: str) -> Any:
    """The inverse. Raises `KeyShredded`, and `StorageError` for a text that was altered or is of another field."""
    from cryptography.exceptions import InvalidTag  # slow to import

    identity, _, data = text.removeprefix(PREFIX).partition(":")
    key = key_by_id(identity, using)
    try:
        raw = b64decode(data, validate=True)
        plain = key.cipher.decrypt(raw[SALT_BYTES:], [raw[:SALT_BYTES], identity.encode(), name.encode()])
    except (ValueError, InvalidTag) as error:
        raise StorageError("An encrypted value cannot be read: its key was deleted, or it was altered.") from error
    return json.loads(plain.decode(errors="surrogatepass"))


def opened(value: Any, name: str, using: str) -> Any:
    """A stored value, and of a map each of its values, opened if it is sealed."""
    if isinstance(value, str):
        return unseal(value, name, using) if value.startswith(PREFIX) else value
    if name == "metadata" and isinstance(value, dict):
        sealed_keys = [key for key, one in value.items() if isinstance(one, str) and one.startswith(PREFIX)]
        if sealed_keys:
            return {**value, **{key: unseal(value[key], f"{name}.{key}", using) for key in sealed_keys}}
    return value


def owner_of(record: Any) -> str:
    """The user whose key seals a record: its user, or its agent."""
    owner: str = record.user_id if hasattr(record, "user_id") else record.agent_id
    return owner


def sealed(record: Any, name: str, value: Any, using: str | None, salt: bytes | None = None) -> Any:
    """The value of a field as it is stored: sealed if the field is protected, and of a map its protected keys."""
    names = protected()
    if not names or value is None or isinstance(value, Sealed) or hasattr(value, "resolve_expression"):
        return value
    alias = using or record._state.db or router.db_for_write(type(record), instance=record)
    if name in names:
        return seal(value, key_of(owner_of(record), alias), name, salt)
    if name == "metadata" and isinstance(value, dict) and (keys := protected_keys().intersection(value)):
        key = key_of(owner_of(record), alias)
        changed = {one: seal(value[one], key, f"{name}.{one}", salt) for one in keys if value[one] is not None}
        return {**value, **changed}
    return value


@contextmanager
def sealed_values(records: Sequence[Any], names: Collection[str], using: str) -> Iterator[None]:
    """In this block the records have sealed values in place of those of protected fields."""
    fields = [name for name in ("text_content", "content", "metadata") if name in names]
    if not fields or not protected():
        yield
        return
    plain: list[tuple[Any, str, Any]] = []
    try:
        for record in records:
            for name in fields:
                if name in (values := vars(record)):
                    plain.append((record, name, values[name]))
                    values[name] = sealed(record, name, values[name], using)
        yield
    finally:
        for record, name, value in plain:
            vars(record)[name] = value


def sealed_size(name: str, value: Any, size: int) -> int:
    """The bytes that a value takes, of which `size` are those of the plain one."""
    names = protected()
    if not names or value is None:
        return size
    if name in names:
        return -(-(size + OVERHEAD) * 4 // 3)
    if name == "metadata" and isinstance(value, dict) and (count := len(protected_keys().intersection(value))):
        return -(-size * 4 // 3) + count * OVERHEAD
    return size


def seal_bytes(data: bytes, user_id: str, using: str) -> bytes:
    """Seal what is stored as bytes: a segment of the search index."""
    key, salt = key_of(user_id, using), os.urandom(SALT_BYTES)
    return BYTES_PREFIX + key.id.encode() + salt + key.cipher.encrypt(data, [salt, key.id.encode()])


def open_bytes(data: bytes, using: str) -> bytes:
    """The inverse; bytes that are not sealed stay as they are. Raises `KeyShredded` and `StorageError`."""
    if not data.startswith(BYTES_PREFIX):
        return data
    from cryptography.exceptions import InvalidTag  # slow to import

    rest = data[len(BYTES_PREFIX) :]
    identity, salt, content = rest[:32], rest[32 : 32 + SALT_BYTES], rest[32 + SALT_BYTES :]
    key = key_by_id(identity.decode("ascii", "replace"), using)
    try:
        return key.cipher.decrypt(content, [salt, identity])
    except InvalidTag as error:
        raise StorageError("A sealed segment was altered.") from error


def keyed_hash(text: str) -> str:
    """A hash of an encrypted text that only someone with `SECRET_KEY` can compare with a guess."""
    return salted_hmac(HASH_SALT, text, secret=settings.SECRET_KEY, algorithm="sha256").hexdigest()
