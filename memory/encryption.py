"""Encryption of single values that must not be readable in the database, exports, the cache or the admin.

    item.metadata["passport"] = encrypt("C01X00T47")
    decrypt(item.metadata["passport"])

A ciphertext is a string that starts with `fernet:`. The first key of `MEMORY["ENCRYPTION_KEYS"]` encrypts and all keys
decrypt. To rotate keys, add a new one at the front. A ciphertext does not name its record: users who may write records
can copy it to another one (https://cryptography.io/en/latest/fernet/).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from .conf import memory_settings
from .exceptions import StorageError, ValidationError
from .extras import MissingExtra

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["PREFIX", "decrypt", "encrypt", "is_encrypted", "rotate"]

PREFIX = "fernet:"


def encrypt(value: object) -> str:
    """Encrypt any JSON value, None included. Each call returns a different ciphertext.

    Raises `ValidationError` for values that are not JSON, and `ImproperlyConfigured` without a key.
    """
    try:
        plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = plain.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError("Only JSON values can be encrypted.", code="not_json") from error
    return PREFIX + _cipher().encrypt(data).decode("ascii")


def decrypt(text: str) -> Any:
    """Decrypt a ciphertext.

    Raises `StorageError` if it was altered, or encrypted with a key that is not in `MEMORY["ENCRYPTION_KEYS"]`.
    """
    cipher = _cipher()
    from cryptography.fernet import InvalidToken

    try:
        data = cipher.decrypt(_token(text))
    except InvalidToken as error:
        raise _unreadable() from error
    return json.loads(data)


def rotate(text: str) -> str:
    """Encrypt the value of a ciphertext again, with the first key."""
    cipher = _cipher()
    from cryptography.fernet import InvalidToken

    try:
        return PREFIX + cipher.rotate(_token(text)).decode("ascii")
    except InvalidToken as error:
        raise _unreadable() from error


def is_encrypted(value: object) -> bool:
    """Whether a value is a string with the prefix of a ciphertext."""
    return isinstance(value, str) and value.startswith(PREFIX)


def _token(text: str) -> bytes:
    if not is_encrypted(text):
        raise StorageError(f"The value is not encrypted: it does not start with {PREFIX!r}.")
    # The cipher rejects what is not ASCII.
    return text.removeprefix(PREFIX).encode(errors="replace")


def _unreadable() -> StorageError:
    return StorageError(
        "The value cannot be decrypted: it was altered, or its key is not in MEMORY['ENCRYPTION_KEYS']. "
        "Add the key that encrypted it after the first one."
    )


def _cipher() -> MultiFernet:
    try:
        from cryptography.fernet import Fernet, MultiFernet  # slow to import
    except ModuleNotFoundError as error:
        raise MissingExtra("memory.encryption", "encryption") from error

    keys = memory_settings.encryption_keys
    if not keys:
        raise ImproperlyConfigured("MEMORY['ENCRYPTION_KEYS'] is empty: set it to a list of Fernet keys.")
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured(
            "MEMORY['ENCRYPTION_KEYS'] has an entry that is not a Fernet key; run `manage.py check`."
        ) from error
