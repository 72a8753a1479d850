"""Erasing a person: everything of them, nothing of others, and nothing comes back."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.utils import timezone

from memory.access.models import AccessToken
from memory.conf import memory_settings
from memory.exceptions import PersonErased
from memory.fields import new_id
from memory.lifecycle import caches, costs, deleting, erasure, receipts, sweeping
from memory.lifecycle.erasure import State, erase
from memory.lifecycle.inventory import How, holdings
from memory.lifecycle.remains import Wanted, remains
from memory.models import (
    AgentCheckpoint,
    AgentData,
    AgentPart,
    AgentWrites,
    DataKey,
    ErasedIds,
    Erasure,
    IdempotencyKey,
    MemoryItem,
    MemoryVersion,
    SearchIndex,
    SearchLabel,
    SearchSegment,
    UserSession,
)
from memory.tombstones import tombstones

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

ADA, BOB = "ada-lovelace-1815", "bob"


def fill(user_id: str, items: int = 3) -> None:
    """Rows of a person in every table that is erased."""
    prefix = f"{user_id}-record-0000"
    for number in range(items):
        MemoryItem(
            id=f"{prefix}{number}", user_id=user_id, session_id=f"s{number % 2}", item_type="message", text_content="hi"
        ).save()
    gone = timezone.now() - timedelta(days=1)
    MemoryItem(id=f"{prefix}gone", user_id=user_id, item_type="message", expiration=gone).save()
    AgentData(agent_id=user_id, data_type="plan", content={}).save()
    common = {"user_id": user_id, "thread_id": "t"}
    AgentCheckpoint(id=new_id(), place="p", checkpoint_id="1", data=b"x", **common).save()
    AgentWrites(id=new_id(), checkpoint="c", task_id="1", data=b"x", **common).save()
    AgentPart(data=b"x", **common).save()
    SearchLabel.store(user_id, "who?", f"{prefix}0", answers=True, by="boss")
    SearchIndex(pk=user_id, user_id=user_id).save()
    SearchSegment(user_id=user_id, data=b"x").save()
    MemoryVersion(item_id=f"{prefix}0", user_id=user_id).save()
    DataKey(user_id=user_id, wrapped="x").save()
    user = get_user_model().objects.create_user(f"account of {user_id}")
    AccessToken.objects.issue(user, owner=user_id)
    AgentData(agent_id="planner", data_type="plan", content={"about": {"user_id": user_id}}).save()
    AgentData(agent_id="planner", data_type="note", content={"items": [f"{prefix}0"]}).save()
    now = timezone.now()
    IdempotencyKey(
        pk=new_id(), fingerprint="f", claim="c", until=now, created=now, answer={"own": {"user_id": user_id}}
    ).save()
    item_kind = ContentType.objects.get_for_model(MemoryItem)
    for record, title in ((f"{prefix}0", "x"), ("deleted-long-ago", f"{user_id}: hi")):
        LogEntry.objects.create(
            user=user, content_type=item_kind, object_id=record, object_repr=title, action_flag=CHANGE
        )


def rows() -> dict[str, int]:
    """The number of rows of every table that is erased or looked through."""
    found = {}
    for holding in holdings(How.OWNED, How.NAMED):
        if (model := deleting.model_of(holding)) is not None:
            alias = deleting.alias_of(model, memory_settings.database)
            found[model._meta.label] = model._base_manager.using(alias).count()
    return found


def test_everything_of_a_person_is_erased_and_nothing_of_others() -> None:
    """Every table of the inventory loses the rows of one person and keeps those of the other."""
    fill(BOB)
    before = rows()
    fill(ADA)
    assert all(count > before[name] for name, count in rows().items())
    done = erase(ADA, by="dpo")
    assert rows() == before
    assert done.state is State.FINISHED
    receipt = receipts.read(done.receipt)[0]
    assert receipt.counts["memory_items"] == 4
    assert receipt.counts["agent_data"] == 3
    assert set(receipt.counts) == {
        deleting.table_of(model)
        for one in holdings(How.OWNED, How.NAMED)
        if (model := deleting.model_of(one)) is not None
    }
    assert receipt.requested_by == "dpo"
    assert ADA not in done.receipt
    assert [str(one) for one in remains(receipt, ADA) if not one.kept] == []


def test_short_ids_do_not_touch_the_data_of_others() -> None:
    """A user "1" with an item "2": the same texts in data of other agents are not ids."""
    AgentData(id="x", agent_id="planner", data_type="note", content={"count": "1", "of": "2", "key": ["1"]}).save()
    MemoryItem(id="2", user_id="1", item_type="message").save()
    erase("1")
    assert list(AgentData.objects.values_list("pk", flat=True)) == ["x"]
    assert not MemoryItem.all_objects.exists()


def test_writes_are_refused_until_the_tombstone_ends(make_item: Callable[..., MemoryItem]) -> None:
    """By every way of writing; others write as before, and so does the person when the tombstone has ended."""
    stored = make_item(user_id=BOB, session_id="s")
    erase(ADA, keep=timedelta(hours=1))
    ways: list[Callable[[], Any]] = [
        lambda: make_item(user_id=ADA),
        lambda: MemoryItem.objects.bulk_create([MemoryItem(user_id=ADA, item_type="message")]),
        lambda: MemoryItem.objects.filter(pk=stored.pk).update(user_id=ADA),
        lambda: UserSession(user_id=ADA, session_id="s").save(),
        lambda: UserSession.objects.bulk_create([UserSession(user_id=ADA, session_id="s")]),
        lambda: AgentData(agent_id=ADA, data_type="plan").save(),
        lambda: AgentPart(user_id=ADA, thread_id="t", data=b"").save(),
        lambda: AgentPart.objects.bulk_create([AgentPart(user_id=ADA, thread_id="t", data=b"")]),
        lambda: SearchLabel.store(ADA, "who?", "", answers=True, by=""),
        lambda: SearchSegment.objects.bulk_create([SearchSegment(user_id=ADA, data=b"")]),
        lambda: SearchIndex.objects.create(pk=ADA, user_id=ADA),
        lambda: MemoryVersion.objects.bulk_create([MemoryVersion(item_id="i", user_id=ADA)]),
        lambda: DataKey(user_id=ADA, wrapped="x").save(),
    ]
    for way in ways:
        with pytest.raises(PersonErased, match="until"):
            way()
    UserSession.objects.touch([MemoryItem(user_id=ADA, session_id="s", item_type="message")])
    assert not UserSession.objects.filter(user_id=ADA).exists()
    make_item(user_id=BOB)
    assert erasure.end(ADA)
    make_item(user_id=ADA)
    assert not erasure.end(ADA)
    assert not ErasedIds.objects.exists()


def test_a_tombstone_has_an_end(make_item: Callable[..., MemoryItem]) -> None:
    """After it writes are accepted, and the purge deletes the tombstone and the digests."""
    make_item(user_id=ADA)
    erase(ADA, keep=timedelta(hours=1))
    Erasure.objects.update(until=timezone.now())
    make_item(user_id=ADA)
    assert erasure.purge_ended(dry_run=True) == 1
    assert erasure.purge_ended() == 1
    assert not Erasure.objects.exists()
    assert not ErasedIds.objects.exists()


def test_parts_of_an_erasure(make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting it stops at a number of rows, and where it would wait; the receipt counts all parts."""
    for number in range(5):
        make_item(id=f"a{number}", user_id=ADA, session_id="s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "settle_seconds", lambda using: 3600.0)
        states = [erase(ADA, most=2, wait=False).state for _ in range(4)]
    assert states == [State.MORE, State.MORE, State.MORE, State.WAITING]
    done = erase(ADA, most=2, wait=False)
    assert done.state is State.FINISHED
    assert done.counts == {"memory_items": 5, "user_sessions": 1}


class Killed(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 6))
def test_an_interrupted_erasure_goes_on(
    make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch, place: str, number: int
) -> None:
    """Killed before or after any deletion: the next call ends it, and its receipt has every record once."""
    monkeypatch.setattr(sweeping, "KEYS_AT_ONCE", 2)
    for one in range(5):
        make_item(id=f"a{one}", user_id=ADA, session_id=f"s{one}")
    calls = 0
    delete = sweeping.delete_keys

    def killed(model: Any, alias: str, keys: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number and place == "before":
            raise Killed
        delete(model, alias, keys)
        if calls == number:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "delete_keys", killed)
        with pytest.raises(Killed):
            erase(ADA)
    done = erase(ADA)
    assert done.counts == {"memory_items": 5, "user_sessions": 5}
    assert not MemoryItem.all_objects.exists()


def test_passes_go_on_until_nothing_is_found(
    make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of writers that did not know of the tombstone are found by the next pass."""
    make_item(id="first", user_id=ADA)
    late = [MemoryItem(id="late", user_id=ADA, session_id="s", item_type="message")]
    forget = caches.forget

    def forget_and_write(*args: Any) -> None:
        forget(*args)
        if late:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tombstones, "refuse", lambda owners, using: None)
                late.pop().save()

    monkeypatch.setattr(caches, "forget", forget_and_write)
    done = erase(ADA)
    assert done.counts["memory_items"] == 2
    assert not MemoryItem.all_objects.exists()


def test_remains_are_found(make_item: Callable[..., MemoryItem]) -> None:
    """With the receipt alone by digests of ids; with the person's id also in any text."""
    make_item(id="i" * 20, user_id=ADA, session_id="s")
    AgentData(id="kept", agent_id="planner", data_type="note", content={"text": f"Ask {ADA} again"}).save()
    receipt = receipts.read(erase(ADA).receipt)[0]
    assert [one.id for one in remains(receipt) if not one.kept] == []
    assert [one.id for one in remains(receipt, ADA) if not one.kept] == ["kept"]
    AgentData(id="of item", agent_id="planner", data_type="note", content={"see": ["i" * 20]}).save()
    AgentData(id="of person", agent_id="planner", data_type="note", content={"user": ADA}).save()
    erasure.end(ADA)
    tombstones.clear()
    make_item(id="item", user_id=ADA, session_id="s")
    found = {one.id for one in remains(receipt) if not one.kept}
    assert found == {"of item", "of person", "item", f"{ADA}:s"}
    with pytest.raises(ValueError, match="another person"):
        Wanted.of(receipt, BOB)


def test_cost_is_stated_before(make_item: Callable[..., MemoryItem]) -> None:
    """Rows by table, and nothing is changed; on Firestore the stated reads and deletions are those of the erasure."""
    fill(ADA)
    stated = costs.cost_of(ADA)
    assert (stated.owned["memory_items"], stated.owned["user_sessions"]) == (4, 2)
    assert stated.looked_through["agent_data"] == 3
    assert not Erasure.objects.exists()
    connection = connections[memory_settings.database]
    assert (stated.price > 0) == (connection.vendor == "firestore")


def test_the_receipt_is_signed(settings: Any, make_item: Callable[..., MemoryItem]) -> None:
    """With the key of the settings, and the same each time it is asked for."""
    private, public = receipts.new_key()
    settings.MEMORY = {**settings.MEMORY, "RECEIPT_KEY": private}
    make_item(user_id=ADA)
    done = erase(ADA)
    assert receipts.checked(done.receipt, public).counts == {"memory_items": 1}
    again = erasure.progress_of(ADA)
    assert again is not None
    assert again.receipt == done.receipt
    assert json.loads(done.receipt)["signature"]


def test_an_open_transaction_of_another_writer_is_waited_for(make_item: Callable[..., MemoryItem]) -> None:
    """It wrote before the tombstone and commits after it; what it wrote is erased, too."""
    alias = memory_settings.database
    if connections[alias].vendor != "postgresql":
        pytest.skip("An SQLite in memory and Firestore have no such transaction.")
    make_item(id="first", user_id=ADA)
    wrote, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic(using=alias):
            MemoryItem(id="late", user_id=ADA, item_type="message").save()
            wrote.set()
            go_on.wait(60)
        connections[alias].close()

    writer = threading.Thread(target=write)
    writer.start()
    assert wrote.wait(60)
    assert erase(ADA, wait=False).state is State.WAITING
    threading.Timer(0.5, go_on.set).start()
    done = erase(ADA)
    writer.join()
    assert done.counts["memory_items"] == 2
    assert not MemoryItem.all_objects.exists()


def test_a_new_secret_key(settings: Any, make_item: Callable[..., MemoryItem]) -> None:
    """Tombstones last while the old key is a fallback; a receipt is checked without any."""
    private, public = receipts.new_key()
    settings.MEMORY = {**settings.MEMORY, "RECEIPT_KEY": private}
    make_item(id="i" * 20, user_id=ADA)
    text = erase(ADA).receipt
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a new one"
    with pytest.raises(PersonErased):
        make_item(user_id=ADA)
    assert erase(ADA).counts["memory_items"] == 1
    settings.SECRET_KEY_FALLBACKS = []
    tombstones.clear()
    make_item(id="i" * 20, user_id=ADA)
    found = list(remains(receipts.checked(text, public), ADA))
    assert [one.id for one in found if not one.kept] == ["i" * 20]


def test_an_import_goes_on_without_the_erased(make_item: Callable[..., MemoryItem], tmp_path: Path) -> None:
    """Their records are rejected, and the file of rejects does not have them."""
    for user in (ADA, BOB):
        for number in range(3):
            make_item(user_id=user, session_id="s", text_content=f"{user} {number}")
    file, rejects = tmp_path / "all.jsonl", tmp_path / "rejects"
    call_command("memory_export", output=str(file), stdout=StringIO(), stderr=StringIO())
    rejects.mkdir()
    erase(ADA)
    MemoryItem.objects.for_user(BOB).delete()
    with pytest.raises(CommandError, match="Not everything"):
        call_command("memory_import", str(file), rejects_dir=rejects, stdout=StringIO(), stderr=StringIO())
    assert set(MemoryItem.all_objects.values_list("user_id", flat=True)) == {BOB}
    assert MemoryItem.objects.count() == 3
    [found] = rejects.iterdir()
    assert "erased" in found.read_text()
    assert ADA not in found.read_text()


def test_an_encryption_goes_on_without_the_erased(settings: Any, make_item: Callable[..., MemoryItem]) -> None:
    """The texts of others are encrypted while a person is erased."""
    for user in (ADA, BOB):
        make_item(user_id=user, text_content="hello")
    assert erase(ADA, most=0, wait=False).state is State.MORE
    MemoryItem.all_objects.filter(user_id=BOB).update(text_content="hi")
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    settings.MEMORY = {**settings.MEMORY, "ENCRYPT": ["text_content"], "ENCRYPTION_KEYS": [key]}
    out = StringIO()
    call_command("memory_encrypt", stdout=out)
    assert list(DataKey.objects.values_list("user_id", flat=True)) == [BOB]
    assert out.getvalue().startswith("1 ")


def test_nothing_is_erased_without_an_answer_or_a_place_for_the_receipt(
    make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command says so before it erases: at the end the receipt would be lost. Scheduled jobs have no terminal."""
    make_item(user_id="ada")
    monkeypatch.setattr("sys.stdin", StringIO())
    for place, problem in ((tmp_path / "none" / "r.json", "cannot be written"), (tmp_path, "cannot be written")):
        with pytest.raises(CommandError, match=problem):
            call_command("memory_erase", "ada", "--no-input", "--receipt", str(place))
    with pytest.raises(CommandError, match="--no-input"):
        call_command("memory_erase", "ada", "--receipt", str(tmp_path / "r.json"))
    assert MemoryItem.objects.for_user("ada").count() == 1
