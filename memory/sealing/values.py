"""Sealed values: of fields, of keys of metadata, and the bytes of the search index."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.db import router
from django.utils.crypto import salted_hmac

from ..exceptions import StorageError
from .keys import UserKey, key_by_id, key_of
from .protected import protected, protected_keys

PREFIX: Final = "sealed:1:"
BYTES_PREFIX: Final = b"sealed:1:"
SALT_BYTES: Final = 16
HASH_SALT: Final = "memory.content"
OVERHEAD: Final = 160
"""Bytes of a sealed value besides base64 of the value: the prefix, the key's id, the salt and the tag."""


class Sealed(str):
    """A sealed value on its way to the database."""

    __slots__ = ()


def is_sealed(value: object) -> bool:
    """Whether a value is a sealed one."""
    return isinstance(value, str) and value.startswith(PREFIX)


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
