"""Encryption by keys of users: what is stored, read, compared and deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import connections

from memory import sealing
from memory.exceptions import StorageError, ValidationError
from memory.models import AgentData, DataKey, MemoryItem, MemoryVersion, SearchSegment
from memory.models.versions import versions_of
from memory.search.packing import pack
from memory.snapshots import restore, take

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

SECRET = "Ada hides the ruby under the oak."
KEYS = [Fernet.generate_key().decode() for _ in range(2)]


@pytest.fixture
def configure(settings: Any) -> Iterator[Callable[..., None]]:
    """Changes settings, and forgets what depends on them."""

    def change(**values: Any) -> None:
        settings.MEMORY = {**settings.MEMORY, **values}
        sealing.known.forget()
        for connection in connections.all(initialized_only=True):
            if connection.vendor == "firestore":
                connection.cache.row_shapes.clear()
                connection.cache.queries.clear()

    yield change
    change(ENCRYPT=[], ENCRYPTION_KEYS=[])


@pytest.fixture(autouse=True)
def encrypted(configure: Callable[..., None]) -> None:
    """All that can be."""
    names = ["text_content", "content", "metadata.passport"]
    configure(ENCRYPT=names, ENCRYPTION_KEYS=KEYS[:1], INDEX_AFTER=None)


def stored(configure: Callable[..., None]) -> str:
    """All items and agent data as the database has them."""
    configure(ENCRYPT=[], ENCRYPTION_KEYS=[])
    rows = [list(model.all_objects.order_by("pk").values()) for model in (MemoryItem, AgentData)]
    configure(ENCRYPT=["text_content", "content", "metadata.passport"], ENCRYPTION_KEYS=KEYS[:1])
    return json.dumps([*rows, list(MemoryVersion.objects.values())], default=str)


def test_every_write_encrypts_and_every_read_decrypts(
    configure: Callable[..., None], make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData]
) -> None:
    """save, bulk_create, update, bulk_update; get, lists, values."""
    item = make_item(text_content=SECRET, metadata={"passport": "C01X", "role": "user"})
    data = make_agent_data(content={"plan": [SECRET]})
    [other] = MemoryItem.objects.bulk_create([MemoryItem(user_id="ada", item_type="fact", text_content=SECRET)])
    MemoryItem.objects.filter(pk=other.pk).update(text_content=f"{SECRET} Yes.")
    item.metadata["passport"] = "C02X"
    MemoryItem.objects.bulk_update([item], ["metadata"])
    assert item.text_content == SECRET
    found = MemoryItem.objects.get(pk=item.pk)
    assert (found.text_content, found.metadata) == (SECRET, {"passport": "C02X", "role": "user"})
    assert MemoryItem.objects.filter(pk=other.pk).values_list("text_content", flat=True)[0] == f"{SECRET} Yes."
    assert AgentData.objects.get(pk=data.pk).content == {"plan": [SECRET]}
    text = stored(configure)
    assert "ruby" not in text
    assert "C02X" not in text
    assert '"role": "user"' in text
    assert DataKey.objects.count() == 2  # of the user, and of the agent


@pytest.mark.parametrize(
    "condition", [{"text_content": SECRET}, {"text_content__icontains": "ruby"}, {"metadata__passport": "C01X"}]
)
def test_comparisons_are_refused(condition: dict[str, Any]) -> None:
    """With the name of the column; `isnull` is possible."""
    with pytest.raises(FieldError, match="is encrypted"):
        MemoryItem.objects.filter(**condition)
    with pytest.raises(FieldError, match="is encrypted"):
        AgentData.objects.filter(content__plan=1)
    assert not MemoryItem.all_objects.filter(text_content__isnull=True).exists()


def test_duplicates_are_found_by_a_keyed_hash(make_item: Callable[..., MemoryItem]) -> None:
    """Which is not the hash of the text alone."""
    item = make_item(text_content=SECRET)
    assert MemoryItem.objects.duplicates_of(item).count() == 1
    assert item.content_hash == sealing.keyed_hash(SECRET)


def test_a_shredded_key_makes_everything_unreadable(make_item: Callable[..., MemoryItem]) -> None:
    """Of this user only; what is written afterwards has a new key."""
    make_item(id="hers", text_content=SECRET)
    make_item(id="his", user_id="bob", text_content=SECRET)
    assert sealing.shred("ada") == 1
    with pytest.raises(sealing.KeyShredded):
        MemoryItem.objects.get(pk="hers")
    assert MemoryItem.objects.get(pk="his").text_content == SECRET
    make_item(id="later", text_content="A new life.")
    assert MemoryItem.objects.get(pk="later").text_content == "A new life."
    with pytest.raises(StorageError):
        MemoryItem.objects.get(pk="hers")


def test_a_value_of_another_field_is_not_read(make_item: Callable[..., MemoryItem]) -> None:
    """A ciphertext is bound to its field and key."""
    item = make_item(text_content=SECRET)
    key = sealing.key_of("ada", item._state.db)
    with pytest.raises(StorageError, match="cannot be read"):
        sealing.unseal(sealing.seal(SECRET, key, "content"), "text_content", item._state.db)


def test_the_master_key_rotates(configure: Callable[..., None], make_item: Callable[..., MemoryItem]) -> None:
    """The wrapped keys change, the texts do not, and the old master key is not needed afterwards."""
    item = make_item(text_content=SECRET)
    before = stored(configure)
    configure(ENCRYPTION_KEYS=KEYS[::-1])
    output = StringIO()
    call_command("memory_keys", rotate=True, stdout=output)
    assert "1 keys wrapped" in output.getvalue()
    configure(ENCRYPTION_KEYS=KEYS[1:])
    assert MemoryItem.objects.get(pk=item.pk).text_content == SECRET
    assert stored(configure) == before


class Service:
    """A key management service."""

    def wrap(self, key: bytes, user_id: str) -> str:
        return f"{user_id}|{key[::-1].hex()}"

    def unwrap(self, wrapped: str, user_id: str) -> bytes:
        owner, key = wrapped.split("|")
        assert owner == user_id
        return bytes.fromhex(key)[::-1]


def test_a_key_service_may_wrap(configure: Callable[..., None], make_item: Callable[..., MemoryItem]) -> None:
    """By a dotted path, without a master key here."""
    configure(KEY_WRAPPER=f"{__name__}.Service", ENCRYPTION_KEYS=[])
    item = make_item(text_content=SECRET)
    sealing.known.forget()
    assert MemoryItem.objects.get(pk=item.pk).text_content == SECRET
    assert DataKey.objects.get().wrapped.startswith("ada|")


def test_a_command_encrypts_what_is_stored(
    configure: Callable[..., None], make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData]
) -> None:
    """And decrypts what is not named any more."""
    configure(ENCRYPT=[])
    make_item(text_content=SECRET)
    make_agent_data(content=[SECRET])
    assert "ruby" in stored(configure)
    configure(ENCRYPT=["text_content", "content"])
    call_command("memory_encrypt", verbosity=0, stdout=StringIO())
    assert "ruby" not in stored(configure)
    configure(ENCRYPT=[])
    call_command("memory_encrypt", verbosity=0, stdout=StringIO())
    assert "ruby" in stored(configure)


def test_cached_rows_are_encrypted(make_item: Callable[..., MemoryItem]) -> None:
    """The same row has the same snapshot, so that a cache can be verified."""
    item = make_item(text_content=SECRET, metadata={"passport": "C01X"})
    snapshot = take(item)
    assert "ruby" not in snapshot
    assert "C01X" not in snapshot
    assert take(MemoryItem.objects.get(pk=item.pk)) == snapshot
    restored = restore(MemoryItem, snapshot, item._state.db)
    assert (restored.text_content, restored.metadata) == (SECRET, {"passport": "C01X"})


def test_versions_are_encrypted(configure: Callable[..., None], make_item: Callable[..., MemoryItem]) -> None:
    """As the fields that they are of."""
    configure(VERSIONS=3)
    item = make_item(text_content=SECRET)
    item.text_content = "Nothing."
    item.save()
    assert "ruby" not in stored(configure)
    assert len(versions_of(item)) == 1


@pytest.mark.parametrize(("mode", "is_clear"), [("sealed", False), ("clear", True)])
def test_what_an_index_holds(
    mode: str, is_clear: bool, configure: Callable[..., None], make_item: Callable[..., MemoryItem]
) -> None:
    """In both the search finds the item; a sealed index has no term, and items have no vector."""
    configure(ENCRYPTED_SEARCH=mode, EMBEDDER="memory.search.embedders.static.StaticEmbedder")
    item = make_item(text_content=SECRET)
    make_item(text_content="Bo eats soup.")
    if not connections[item._state.db].in_atomic_block:
        pack("ada", item._state.db)
        assert SearchSegment.objects.exists()
        segments = [bytes(data) for data in SearchSegment.objects.values_list("data", flat=True)]
        assert all(data.startswith(sealing.BYTES_PREFIX) is not is_clear for data in segments)
    assert MemoryItem.objects.search("Where is the ruby?", user_id="ada")[0].pk == item.pk
    assert (MemoryItem.objects.get(pk=item.pk).text_embedding is not None) is is_clear


def test_search_can_be_off(configure: Callable[..., None], make_item: Callable[..., MemoryItem]) -> None:
    """Then nothing is stored for it."""
    configure(ENCRYPTED_SEARCH="none")
    make_item(text_content=SECRET)
    with pytest.raises(ValidationError, match="there is no search"):
        MemoryItem.objects.search("ruby", user_id="ada")
    assert not SearchSegment.objects.exists()


def test_an_export_is_readable(make_item: Callable[..., MemoryItem], tmp_path: Any) -> None:
    """A person's export has plain texts, and an import encrypts them again."""
    item = make_item(text_content=SECRET)
    file = tmp_path / "memory.jsonl"
    call_command("memory_export", output=str(file))
    assert "ruby" in file.read_text()
    MemoryItem.objects.all().delete()
    call_command("memory_import", str(file), verbosity=0)
    assert MemoryItem.objects.get(pk=item.pk).text_content == SECRET
