"""Receipts of erasures: what was erased, when, and by whom, signed with Ed25519. This file needs no Django.

A receipt is a JSON object with two texts: `payload`, which is JSON, and `signature`, the signature of exactly that text
as base64, or empty. To check one on any machine that has the public key:

    python receipts.py RECEIPT PUBLIC_KEY

or with OpenSSL, without this file:

    jq -rj .payload RECEIPT > payload
    jq -r .signature RECEIPT | base64 -d > signature
    openssl pkeyutl -verify -pubin -inkey PUBLIC_KEY -rawin -in payload -sigfile signature
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = "memory-erasure-1"


class InvalidReceipt(ValueError):
    """The file is no receipt, or its signature is not one of this text and key."""


@dataclass(frozen=True)
class Receipt:
    """What was erased. Ids are digests, salted with `salt`; see `memory.lifecycle.digests`.

    `person` is the digest of the person's id. `counts` and `ids` are by table. Times are ISO 8601.
    """

    person: str
    salt: str
    began: str
    finished: str
    refused_until: str
    requested_by: str
    database: str
    passes: int
    counts: Mapping[str, int] = field(default_factory=dict)
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    format: str = FORMAT

    @property
    def payload(self) -> str:
        """The text that is signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def of_payload(text: str) -> Receipt:
    """The inverse of `payload`. Raises `InvalidReceipt`."""
    try:
        values: dict[str, Any] = json.loads(text)
        receipt = Receipt(**{**values, "notes": tuple(values.get("notes", ()))})
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidReceipt("The receipt cannot be read.") from error
    if receipt.format != FORMAT:
        raise InvalidReceipt(f"The receipt has the unknown format {receipt.format!r}.")
    return receipt


def new_key() -> tuple[str, str]:
    """A private key and its public key, as PEM."""
    from cryptography.hazmat.primitives import serialization  # slow to import
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), public_pem(key)


def private_key(pem: str) -> Any:
    """The key of a PEM. Raises `ValueError` if it is no private key of Ed25519."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # slow to import
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (TypeError, ValueError) as error:
        raise ValueError("This is not a private key as PEM, without a password.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("This is not a private key of Ed25519.")
    return key


def public_pem(key: Any) -> str:
    """The public key of a private key, as PEM."""
    from cryptography.hazmat.primitives import serialization  # slow to import

    made: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return made.decode()


def written(receipt: Receipt, pem: str | None) -> str:
    """The text of the receipt's file, signed with a private key if there is one."""
    payload = receipt.payload
    signature = b"" if pem is None else private_key(pem).sign(payload.encode())
    return json.dumps({"payload": payload, "signature": base64.b64encode(signature).decode()}, indent=1) + "\n"


def read(text: str) -> tuple[Receipt, str, bytes]:
    """The receipt of a file's text, its payload, and its signature, which is empty if it was not signed.

    The signature is not checked. Raises `InvalidReceipt`.
    """
    try:
        values = json.loads(text)
        payload, signature = str(values["payload"]), base64.b64decode(str(values["signature"]), validate=True)
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise InvalidReceipt("The file is not a receipt of an erasure.") from error
    return of_payload(payload), payload, signature


def checked(text: str, public: str) -> Receipt:
    """The receipt of a file's text, if its signature is that of a public key (PEM). Raises `InvalidReceipt`."""
    from cryptography.exceptions import InvalidSignature  # slow to import
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    receipt, payload, signature = read(text)
    try:
        key = load_pem_public_key(public.encode())
    except ValueError as error:
        raise InvalidReceipt("This is not a public key as PEM.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidReceipt("This is not a public key of Ed25519.")
    if not signature:
        raise InvalidReceipt("The receipt is not signed.")
    try:
        key.verify(signature, payload.encode())
    except InvalidSignature as error:
        raise InvalidReceipt(
            "The signature does not match: the receipt was changed, or another key signed it."
        ) from error
    return receipt


def main(arguments: Sequence[str]) -> int:
    """Check a receipt: `RECEIPT PUBLIC_KEY`. Returns the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("Usage: python receipts.py RECEIPT PUBLIC_KEY\n")
        return 2
    try:
        receipt = checked(*(Path(name).read_text(encoding="utf-8") for name in arguments))
    except (InvalidReceipt, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Signature valid. {summary(receipt)}\n")
    return 0


def summary(receipt: Receipt) -> str:
    """The receipt in a few lines."""
    total = sum(receipt.counts.values())
    lines = [f"{total:,} records erased, {receipt.began} to {receipt.finished}, in {receipt.database}."]
    lines += [f"  {table}: {count:,}" for table, count in sorted(receipt.counts.items())]
    return "\n".join([*lines, f"Requested by: {receipt.requested_by or '(not given)'}."])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
