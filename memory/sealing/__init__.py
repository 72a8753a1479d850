"""Encryption of texts by a key of each user, so that deleting the key makes them unreadable wherever they were copied.

    MEMORY = {"ENCRYPT": ["text_content", "content", "metadata.passport"], "ENCRYPTION_KEYS": [...]}

A sealed value is the text `sealed:1:KEY:DATA`: the id of a `DataKey`, and base64 of a salt and of AES-SIV's ciphertext
(RFC 5297) of the value's JSON, with the salt, the key's id and the field's name as associated data. The key of a user
is random, and stored wrapped by the master key (`MEMORY["KEY_WRAPPER"]`), which may be in a key management service.

`pre_save` and the bulk writes of the fields seal, their converters open: objects have the plain values. The database,
the conversation cache, kept versions and the segments of the search index have sealed ones.
"""

from __future__ import annotations

from .keys import KeyShredded, KeyWrapper, LocalWrapper, UserKey, ensure_keys, key_by_id, key_of, known, rewrap, shred
from .protected import protected, protected_keys, reads_sealed, refuse_lookup
from .values import (
    BYTES_PREFIX,
    PREFIX,
    SALT_BYTES,
    Sealed,
    is_sealed,
    keyed_hash,
    open_bytes,
    opened,
    owner_of,
    seal,
    seal_bytes,
    sealed,
    sealed_size,
    sealed_values,
    unseal,
)

__all__ = [
    "BYTES_PREFIX",
    "PREFIX",
    "SALT_BYTES",
    "KeyShredded",
    "KeyWrapper",
    "LocalWrapper",
    "Sealed",
    "UserKey",
    "ensure_keys",
    "is_sealed",
    "key_by_id",
    "key_of",
    "keyed_hash",
    "known",
    "open_bytes",
    "opened",
    "owner_of",
    "protected",
    "protected_keys",
    "reads_sealed",
    "refuse_lookup",
    "rewrap",
    "seal",
    "seal_bytes",
    "sealed",
    "sealed_size",
    "sealed_values",
    "shred",
    "unseal",
]
