"""Encrypted values: by function calls in metadata, and in a column of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.checks import Error
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import connections, models
from django.forms import modelform_factory
from django.test.utils import isolate_apps

from memory.checks import check_memory_settings
from memory.encryption import decrypt, encrypt, is_encrypted, rotate
from memory.exceptions import StorageError, ValidationError
from memory.fields import EncryptedJSONField
from memory.models import MemoryItem
from memory.snapshots import NotASnapshotError, restore, take

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
VALUES = [None, True, 5, 1.5, "", "Zürich 😀", "fernet:no", [1, None], {"a": {"b": [1]}}]


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    use(settings, NEW, OLD)


def use(settings: Any, *keys: str) -> None:
    """These keys, the first to encrypt with."""
    settings.MEMORY = {**settings.MEMORY, "ENCRYPTION_KEYS": list(keys)}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_encrypted_is_decrypted(value: object) -> None:
    """Any JSON value; each ciphertext is different and reveals nothing about it."""
    one, other = encrypt(value), encrypt(value)
    assert one != other
    assert decrypt(one) == decrypt(other) == value
    assert is_encrypted(one)
    assert not is_encrypted(json.dumps(value))


def test_keys_are_rotated(settings: Any) -> None:
    """The first key encrypts, older ones still decrypt; rotated values no longer need them."""
    use(settings, OLD)
    text = encrypt("secret")
    use(settings, NEW, OLD)
    assert decrypt(text) == "secret"
    renewed = rotate(text)
    use(settings, NEW)
    assert decrypt(renewed) == "secret"
    for action in (decrypt, rotate):
        with pytest.raises(StorageError, match="ENCRYPTION_KEYS"):
            action(text)


@pytest.mark.parametrize("position", [7, 20, 60, -10])
def test_what_was_altered_is_refused(position: int) -> None:
    """It raises instead of returning another value; so does a part of it."""
    text = encrypt("secret")
    altered = text[:position] + ("A" if text[position] != "A" else "B") + text[position:][1:]
    for wrong in (altered, text[:40], "fernet:", "fernet:é"):
        with pytest.raises(StorageError, match="altered"):
            decrypt(wrong)


def test_invalid_ciphertext_is_refused() -> None:
    """A value that was never encrypted is not accepted as a ciphertext."""
    with pytest.raises(StorageError, match="is not encrypted"):
        decrypt("secret")


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, "\ud800"])
def test_what_is_no_json_is_refused(value: object) -> None:
    """Errors are raised before anything is stored."""
    with pytest.raises(ValidationError):
        encrypt(value)


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "short"]])
def test_errors_of_wrong_keys_do_not_contain_them(settings: Any, keys: list[str]) -> None:
    """The error names the setting, but no key; so does `manage.py check`."""
    use(settings, *keys)
    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS") as caught:
        encrypt("secret")
    assert "short" not in str(caught.value)
    found = check_memory_settings(None)
    assert [each.id for each in found] == (["memory.E014"] if keys else [])
    assert "short" not in str(found)


@pytest.mark.parametrize("keys", ["text", 5, [None], [b"x"]])
def test_keys_of_a_wrong_type_are_refused(settings: Any, keys: object) -> None:
    """A string is not a list of keys."""
    settings.MEMORY = {**settings.MEMORY, "ENCRYPTION_KEYS": keys}
    (found,) = check_memory_settings(None)
    assert isinstance(found, Error)
    assert found.id == "memory.E014"


@pytest.mark.django_db(databases=["memory"])
def test_metadata_holds_ciphertexts(make_item: Any) -> None:
    """The database has the ciphertext; callers with the key read the value."""
    make_item(id="a", metadata={"passport": encrypt("C01X00T47"), "role": "user"})
    stored = MemoryItem.objects.get(metadata__role="user").metadata
    assert "C01X00T47" not in json.dumps(stored)
    assert decrypt(stored["passport"]) == "C01X00T47"


@pytest.fixture
def vault(transactional_db: None) -> Iterator[Any]:
    """A model with an encrypted column, and its table."""
    with isolate_apps("memory"):

        class Vault(models.Model):  # noqa: DJ008
            id = models.CharField(max_length=20, primary_key=True)
            secret = EncryptedJSONField(null=True, blank=True)

            class Meta:
                app_label = "memory"
                db_table = "vaults"

        with connections["memory"].schema_editor() as editor:
            editor.create_model(Vault)
        yield Vault
        with connections["memory"].schema_editor() as editor:
            editor.delete_model(Vault)


def raw(vault: Any, pk: str) -> str:
    """The stored value of the column."""
    column = models.functions.Cast("secret", models.TextField())
    found: str = vault.objects.annotate(raw=column).values_list("raw", flat=True).get(pk=pk)
    return found


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
class TestColumn:
    """`EncryptedJSONField`."""

    @pytest.mark.parametrize("value", VALUES[1:], ids=repr)
    def test_it_reads_what_was_written(self, vault: Any, value: object) -> None:
        """The column holds a ciphertext."""
        vault.objects.create(pk="a", secret=value)
        assert vault.objects.get().secret == value
        assert is_encrypted(raw(vault, "a"))
        assert decrypt(raw(vault, "a")) == value

    def test_none_is_null(self, vault: Any) -> None:
        """`isnull` is the only supported lookup."""
        vault.objects.bulk_create([vault(pk="none"), vault(pk="some", secret=[])])
        assert vault.objects.get(secret__isnull=True).pk == "none"
        assert vault.objects.exclude(secret__isnull=True).get().pk == "some"

    @pytest.mark.parametrize("lookup", ["secret", "secret__contains", "secret__in", "secret__a", "secret__gt"])
    def test_nothing_else_can_be_asked(self, vault: Any, lookup: str) -> None:
        """Equal values have different ciphertexts, so a filter would be silently wrong."""
        with pytest.raises(FieldError):
            vault.objects.filter(**{lookup: ["x"]}).first()

    def test_every_way_of_writing_encrypts(self, vault: Any) -> None:
        """`save`, `update`, `bulk_update`."""
        found = vault.objects.create(pk="a", secret=1)
        found.secret = 2
        found.save()
        assert decrypt(raw(vault, "a")) == 2
        vault.objects.update(secret={"n": 3})
        assert decrypt(raw(vault, "a")) == {"n": 3}
        found.secret = "four"
        vault.objects.bulk_update([found], ["secret"])
        assert decrypt(raw(vault, "a")) == "four"

    def test_fixtures_hold_ciphertexts(self, vault: Any) -> None:
        """And give the values back where the key is."""
        vault(pk="a", secret={"pin": 1234}).save()
        text = serializers.serialize("json", vault.objects.all())
        assert "1234" not in text
        field = vault._meta.get_field("secret")
        assert field.to_python(json.loads(text)[0]["fields"]["secret"]) == {"pin": 1234}
        with pytest.raises(DjangoValidationError):
            field.to_python("fernet:no")

    def test_the_cache_would_hold_ciphertexts(self, vault: Any, settings: Any) -> None:
        """A snapshot has no plain text; one that no key decrypts is a miss."""
        snapshot = take(vault(pk="a", secret={"pin": 1234}))
        assert "1234" not in snapshot
        assert restore(vault, snapshot, "memory").secret == {"pin": 1234}
        use(settings, Fernet.generate_key().decode())
        with pytest.raises(NotASnapshotError):
            restore(vault, snapshot, "memory")

    def test_forms_take_json(self, vault: Any) -> None:
        """As of a `JSONField`."""
        form = modelform_factory(vault, fields=["secret"])({"secret": '{"a": 1}'})
        assert form.is_valid()
        assert form.cleaned_data == {"secret": {"a": 1}}
