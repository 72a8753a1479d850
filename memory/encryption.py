"""Encryption of single values, for what must not be readable where it is stored, exported, cached or shown.

    item.metadata["passport"] = encrypt("C01X00T47")
    decrypt(item.metadata["passport"])

A ciphertext is a text that starts with `fernet:`. The first of `MEMORY["ENCRYPTION_KEYS"]` encrypts, all of them
decrypt, so a key is rotated by putting a new one in front. Whoever may write records can copy a ciphertext from one to
another: it tells that a value was encrypted, not for what (https://cryptography.io/en/latest/fernet/).
"""

from __future__ import annotations

import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core.exceptions import ImproperlyConfigured

from .conf import memory_settings
from .exceptions import StorageError, ValidationError

__all__ = ["PREFIX", "decrypt", "encrypt", "is_encrypted", "rotate"]

PREFIX = "fernet:"


def encrypt(value: object) -> str:
    """The ciphertext of any JSON value, None included; another one each time.

    `ValidationError` for what is no JSON; `ImproperlyConfigured` where there is no key.
    """
    try:
        plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = plain.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError("This cannot be encrypted: it is no JSON.", code="not_json") from error
    return PREFIX + _cipher().encrypt(data).decode("ascii")


def decrypt(text: str) -> Any:
    """The value of a ciphertext.

    `StorageError` where it was altered, or made with a key that is not among `MEMORY["ENCRYPTION_KEYS"]`.
    """
    try:
        data = _cipher().decrypt(_token(text))
    except InvalidToken as error:
        raise _unreadable() from error
    return json.loads(data)


def rotate(text: str) -> str:
    """The ciphertext of the same value, made with the first key."""
    try:
        return PREFIX + _cipher().rotate(_token(text)).decode("ascii")
    except InvalidToken as error:
        raise _unreadable() from error


def is_encrypted(value: object) -> bool:
    """Whether a value looks like a ciphertext of `encrypt`."""
    return isinstance(value, str) and value.startswith(PREFIX)


def _token(text: str) -> bytes:
    if not is_encrypted(text):
        raise StorageError(f"This is no encrypted value: it does not start with {PREFIX!r}. Encrypt it first.")
    # What is not ASCII is no ciphertext, which is for the cipher to say.
    return text.removeprefix(PREFIX).encode(errors="replace")


def _unreadable() -> StorageError:
    return StorageError(
        "An encrypted value cannot be read: it was altered, or its key is not in MEMORY['ENCRYPTION_KEYS']. "
        "Add the key that it was written with after the first."
    )


def _cipher() -> MultiFernet:
    keys = memory_settings.encryption_keys
    if not keys:
        raise ImproperlyConfigured("MEMORY['ENCRYPTION_KEYS'] is empty: give it a list of keys of Fernet.")
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured(
            "MEMORY['ENCRYPTION_KEYS'] has what is no key of Fernet; `manage.py check` tells which."
        ) from error
