"""Receipts: their form, their signature, and the check without Django."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from memory.lifecycle import receipts
from memory.lifecycle.receipts import InvalidReceipt, Receipt

RECEIPT = Receipt(
    person="p" * 22,
    salt="00" * 16,
    began="2026-01-31T12:00:00+00:00",
    finished="2026-01-31T12:01:00+00:00",
    refused_until="2026-02-01T12:00:00+00:00",
    requested_by="dpo@example.org, \u4eac\u90fd",
    database="sqlite",
    passes=2,
    counts={"memory_items": 2, "user_sessions": 1},
    ids={"memory_items": ["a" * 22, "b" * 22], "user_sessions": ["c" * 22]},
)


@pytest.fixture(scope="module")
def keys() -> tuple[str, str]:
    """A private and a public key."""
    return receipts.new_key()


def test_round_trip(keys: tuple[str, str]) -> None:
    """A signed receipt is read back as it was; the same receipt has the same text."""
    text = receipts.written(RECEIPT, keys[0])
    assert receipts.checked(text, keys[1]) == RECEIPT
    assert receipts.written(receipts.checked(text, keys[1]), keys[0]) == text


@pytest.mark.parametrize("change", ["payload", "signature", "key", "unsigned", "garbage", "format"])
def test_changed_receipts_are_refused(keys: tuple[str, str], change: str) -> None:
    """Anything but the signed text with the right key."""
    values = json.loads(receipts.written(RECEIPT, keys[0]))
    public = keys[1]
    if change == "payload":
        values["payload"] = values["payload"].replace('"memory_items":2', '"memory_items":3')
    elif change == "signature":
        values["signature"] = "A" + values["signature"][1:] if values["signature"][0] != "A" else "B"
    elif change == "key":
        public = receipts.new_key()[1]
    elif change == "unsigned":
        values = json.loads(receipts.written(RECEIPT, None))
    elif change == "format":
        values = json.loads(receipts.written(replace(RECEIPT, format="x"), keys[0]))
    text = "not JSON" if change == "garbage" else json.dumps(values)
    with pytest.raises(InvalidReceipt):
        receipts.checked(text, public)


def test_check_on_another_machine(keys: tuple[str, str], tmp_path: Path) -> None:
    """The file alone, in an empty folder, checks a receipt without Django or this project."""
    tool = shutil.copy(str(receipts.__file__), tmp_path)
    (tmp_path / "receipt.json").write_text(receipts.written(RECEIPT, keys[0]), encoding="utf-8")
    (tmp_path / "public.pem").write_text(keys[1], encoding="utf-8")
    command = [sys.executable, "-X", "importtime", str(tool), "receipt.json", "public.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "django" not in done.stderr
    assert "3 records erased" in done.stdout
    (tmp_path / "public.pem").write_text(receipts.new_key()[1], encoding="utf-8")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "does not match" in done.stderr


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("jq")), reason="needs openssl and jq")
def test_check_by_openssl(keys: tuple[str, str], tmp_path: Path) -> None:
    """The three commands of the documentation."""
    (tmp_path / "RECEIPT").write_text(receipts.written(RECEIPT, keys[0]), encoding="utf-8")
    (tmp_path / "PUBLIC_KEY").write_text(keys[1], encoding="utf-8")
    commands = [line.strip() for line in str(receipts.__doc__).splitlines() if line.startswith("    ")][1:]
    script = "set -euo pipefail\n" + "\n".join(commands)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verified Successfully" in done.stdout


@pytest.mark.parametrize("pem", ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_invalid_keys(pem: str) -> None:
    """A text that is no private key raises ValueError without the text."""
    with pytest.raises(ValueError, match="This is not a private key"):
        receipts.private_key(pem)
