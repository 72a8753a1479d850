"""`memory_import`: every value of a file is imported or reported."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError

from memory.interchange import load as load_module
from memory.interchange import store
from memory.models import AgentData, MemoryItem, UserSession

from .samples import START, chatgpt_export, conversation, langchain, message, node

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEM = {
    "model": "MemoryItem",
    "id": "m1",
    "user_id": "zoë",
    "session_id": "s",
    "item_type": "fact",
    "timestamp": "2026-01-02T03:04:05Z",
    "text_content": "Tea, no milk.",
}


class Result:
    """The result of an import: exit code, output, and lines of the reject file."""

    def __init__(self, code: int, said: str, path: Path) -> None:
        self.code, self.said = code, said
        rejects = path.with_name(path.name + ".rejects.jsonl")
        self.rejects = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Import bytes, lines of JSON, or the path of a file."""

    def call(content: Any, *options: str, name: str = "input.json") -> Result:
        path = content if isinstance(content, Path) else tmp_path / name
        if isinstance(content, list):
            content = "\n".join(map(json.dumps, content)).encode()
        if isinstance(content, bytes):
            path.write_bytes(content)
        said, code = io.StringIO(), 0
        try:
            call_command("memory_import", str(path), *options, stdout=said, stderr=said)
        except CommandError as error:
            code = error.returncode
            said.write(str(error))
        return Result(code, said.getvalue(), path)

    return call


def test_lines_of_our_own(run: Callable[..., Result]) -> None:
    """Each model's records, with their ids; a second time adds nothing."""
    lines = [
        ITEM,
        {
            "model": "AgentData",
            "id": "d1",
            "agent_id": "planner",
            "data_type": "plan",
            "timestamp": "2026-01-02T03:04:05Z",
            "content": [1, {"x": None}],
            "expiration": "2020-01-01T00:00:00Z",
        },
        {
            "model": "UserSession",
            "user_id": "zoë",
            "session_id": "s",
            "started_at": "2026-01-01T00:00:00Z",
            "last_activity": "2026-01-03T00:00:00Z",
            "metadata": {"title": "Tea"},
        },
    ]
    first = run(lines)
    assert first.code == 0
    assert "1 AgentData added; 1 MemoryItem added; 1 UserSession added" in first.said
    assert MemoryItem.objects.get(pk="m1").text_content == "Tea, no milk."
    assert AgentData.all_objects.get(pk="d1").content == [1, {"x": None}]
    session = UserSession.objects.get()
    assert session.metadata == {"title": "Tea"}
    assert session.started_at == datetime(2026, 1, 1, tzinfo=UTC)
    second = run(lines)
    assert second.code == 0
    assert "added" not in second.said
    assert "1 MemoryItem already there" in second.said


def test_a_session_after_its_items(run: Callable[..., Result]) -> None:
    """Lines in any order make the same session."""
    session = {
        "model": "UserSession",
        "user_id": "zoë",
        "session_id": "s",
        "started_at": "2026-01-01T00:00:00Z",
        "last_activity": "2026-01-02T00:00:00Z",
        "metadata": {"title": "Tea"},
    }
    assert run([ITEM]).code == 0
    assert run([session]).code == 0
    made = UserSession.objects.get()
    assert made.metadata == {"title": "Tea"}
    assert (made.started_at.day, made.last_activity.day) == (1, 2)


def test_a_changed_line_is_reported(run: Callable[..., Result]) -> None:
    """It is rejected with the fields that differ; with --update it is overwritten."""
    run([ITEM])
    changed = {**ITEM, "text_content": "Coffee.", "metadata": {"x": 1}}
    result = run([changed])
    assert result.code == 1
    assert result.rejects[0]["reason"].startswith("A record with this id exists and differs in metadata, text_content.")
    assert json.loads(result.rejects[0]["raw"]) == changed
    assert MemoryItem.objects.get().text_content == "Tea, no milk."
    updated = run([changed], "--update")
    assert updated.code == 0
    assert "1 MemoryItem updated" in updated.said
    assert MemoryItem.objects.get().text_content == "Coffee."
    assert MemoryItem.objects.get().metadata == {"x": 1}


@pytest.mark.parametrize("together", [True, False])
def test_an_update_that_makes_a_record_too_large(together: bool, run: Callable[..., Result]) -> None:
    """It is rejected, and the record keeps its values, in the same file or in a later one."""
    line, larger = {**ITEM, "metadata": {"x": "y" * 600_000}}, {**ITEM, "text_content": "x" * 600_000}
    for lines in [[line, larger]] if together else [[line], [larger]]:
        result = run(lines, "--update")
    assert result.code == 1
    assert "the limit is" in result.rejects[0]["reason"]
    assert MemoryItem.objects.get().text_content == ITEM["text_content"]


def test_an_updated_text_in_one_file_is_found(run: Callable[..., Result]) -> None:
    """The fields of search are those of the last text."""
    assert run([ITEM, {**ITEM, "text_content": "An oboe."}], "--update").code == 0
    (found,) = MemoryItem.objects.search("oboe", user_id="zoë")
    assert found.text_content == "An oboe."


def test_twice_in_one_file(run: Callable[..., Result]) -> None:
    """The same line again is already there; another line with its id is rejected."""
    result = run([ITEM, ITEM, {**ITEM, "item_type": "rumour"}])
    assert result.code == 1
    assert "1 MemoryItem added; 1 MemoryItem already there" in result.said
    assert "differs in item_type" in result.rejects[0]["reason"]
    assert result.rejects[0]["line"] == 3


def test_bad_lines_are_reported_and_the_rest_is_kept(run: Callable[..., Result]) -> None:
    """The reject file lists each with its line, in order; previous content of the file is replaced."""
    good = [json.dumps({**ITEM, "id": f"m{place}"}).encode() for place in range(3)]
    bad = [
        b'{"model": "MemoryItem", "id"',
        b"\xff\xfe",
        json.dumps({**ITEM, "id": "a/b"}).encode(),
        json.dumps({**ITEM, "id": "big", "text_content": "x" * 1_048_576}).encode(),
        json.dumps({**ITEM, "id": "nul", "metadata": {"deep": float("nan")}}).encode(),
        b'{"model": "MemoryItem", "text_content": "\\ud800"}',
        b"\0\0",
    ]
    result = run(b"\xef\xbb\xbf" + b"\r\n".join([good[0], *bad[:3], b"", good[1], *bad[3:], good[2]]))
    assert result.code == 1
    assert MemoryItem.objects.count() == 3
    assert [reject["line"] for reject in result.rejects] == [2, 3, 4, 7, 8, 9, 10]
    assert "7 rejected" in result.said
    assert "id: An id cannot contain a slash." in result.rejects[2]["reason"]
    assert "text_content: " in result.rejects[3]["reason"]
    again = run(bad[0])
    assert len(again.rejects) == 1


def test_a_session_with_an_id_of_its_own_is_rejected(run: Callable[..., Result]) -> None:
    """A session's id follows from its names; another one cannot be kept."""
    times = dict.fromkeys(("started_at", "last_activity"), "2026-01-01T00:00:00Z")
    result = run([{"model": "UserSession", "id": "mine", "user_id": "a", "session_id": "b", **times}])
    assert result.code == 1
    assert "'a:b'" in result.rejects[0]["reason"]


def test_a_file_that_was_cut_off(run: Callable[..., Result]) -> None:
    """Values before the end are imported, and the cut is reported."""
    whole = json.dumps(list(chatgpt_export(30, 10))).encode()
    result = run(whole[: len(whole) - 500], "--user-id", "ada")
    assert result.code == 1
    assert MemoryItem.objects.count() == 20
    assert "cut off" in result.rejects[0]["reason"]
    assert run(whole, "--user-id", "ada").code == 0
    assert MemoryItem.objects.count() == 30


def test_chatgpt(run: Callable[..., Result]) -> None:
    """Sessions with titles, items with times and roles; later additions are added to the existing items."""
    first = [node("a", None, message("user", "When?", START)), node("b", "a", message("assistant", "At 6.", START + 5))]
    assert run(json.dumps([conversation(first)]).encode(), "--user-id", "ada").code == 0
    assert [item.role for item in UserSession.objects.get().items()] == ["assistant", "user"]
    grown = [*first, node("c", "b", message("user", "Thanks", START + 9)), node("d", "a", message("assistant", "!"))]
    result = run(json.dumps([conversation(grown)]).encode(), "--user-id", "ada")
    assert result.code == 0
    assert "2 MemoryItem added" in result.said
    assert "2 MemoryItem already there" in result.said
    renamed = run(json.dumps([conversation(grown, title="Moon")]).encode(), "--user-id", "ada")
    assert "differs in metadata" in renamed.rejects[0]["reason"]
    assert run(json.dumps([conversation(grown, title="Moon")]).encode(), "--user-id", "ada", "--update").code == 0
    assert UserSession.objects.get().metadata["title"] == "Moon"


def test_two_users_import_the_same_file(run: Callable[..., Result]) -> None:
    """Each gets separate records."""
    content = json.dumps(list(chatgpt_export(5))).encode()
    for user in ("ada", "bob", "ada"):
        assert run(content, "--user-id", user).code == 0
    assert MemoryItem.objects.for_user("ada").count() == MemoryItem.objects.for_user("bob").count() == 5
    assert UserSession.objects.count() == 2


@pytest.mark.parametrize("names", [("conversations.json",), ("x/conversations-000.json", "x/conversations-001.json")])
def test_the_zip_as_it_comes(names: tuple[str, ...], tmp_path: Path, run: Callable[..., Result]) -> None:
    """The conversations are imported; other files are ignored."""
    path = tmp_path / "export.zip"
    made = list(chatgpt_export(20, 10))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("user.json", "{}")
        archive.writestr("chat.html", "<html>")
        for name, content in zip(names, [made] if len(names) == 1 else [made[:1], made[1:]], strict=True):
            archive.writestr(name, json.dumps(content))
    assert run(path, "--user-id", "ada").code == 0
    assert MemoryItem.objects.count() == 20
    path.write_bytes(path.read_bytes()[:-100])
    broken = run(path, "--user-id", "ada")
    assert broken.code == 2
    assert "The zip file cannot be read" in broken.said


def test_zips_in_a_zip(tmp_path: Path, run: Callable[..., Result]) -> None:
    """They are read too, and a reject names file and member; a clean import removes the reject file."""
    path = tmp_path / "privacy.zip"
    talks: list[Any] = [*chatgpt_export(4, 2), {"what": 1}]
    for contents in (talks, talks[:2]):
        with zipfile.ZipFile(inner := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("conversations.json", json.dumps(contents))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("chats.zip", inner.getvalue())
        result = run(path, "--user-id", "ada")
        assert MemoryItem.objects.count() == 4
        assert [(reject["file"], reject["member"], reject["line"], reject["element"]) for reject in result.rejects] == (
            [(str(path), "chats.zip/conversations.json", 1, 2)] if contents is talks else []
        )
    assert list(tmp_path.iterdir()) == [path]


def test_a_zip_with_a_damaged_member(tmp_path: Path, run: Callable[..., Result]) -> None:
    """Readable values are imported, and the error is reported."""
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("conversations.json", json.dumps(list(chatgpt_export(10, 5))))
    data = bytearray(path.read_bytes())
    data[data.index(b"Talk 1")] ^= 1
    path.write_bytes(data)
    result = run(path, "--user-id", "ada")
    assert result.code == 2
    assert "cannot be read to its end" in result.said


def test_langchain(run: Callable[..., Result]) -> None:
    """A history file is a session with the file's name; it may grow."""
    said = [langchain("human", "When?"), langchain("ai", "At 6.")]
    assert run(json.dumps(said).encode(), "--user-id", "ada", name="tides.json").code == 0
    grown = run(
        json.dumps([*said, langchain("human", "Thanks")], indent=2).encode(), "--user-id", "ada", name="tides.json"
    )
    assert grown.code == 0
    assert "1 MemoryItem added" in grown.said
    items = UserSession.objects.get(session_id="tides").items()
    assert [item.text_content for item in items] == ["Thanks", "At 6.", "When?"]


def test_a_message_that_changed(run: Callable[..., Result]) -> None:
    """Another role, other tool calls or other metadata at the same place is a conflict, not the same message."""
    calls = [{"name": "list_files", "args": {"path": "."}, "id": "1"}]
    said = [langchain("ai", "", tool_calls=calls), langchain("ai", "ok"), langchain("ai", "bye", name="x")]
    changed = [
        langchain("ai", "", tool_calls=[{**calls[0], "name": "delete_file"}]),
        langchain("human", "ok"),
        langchain("ai", "bye"),
    ]
    assert run(json.dumps(said).encode(), "--user-id", "ada").code == 0
    result = run(json.dumps(changed).encode(), "--user-id", "ada")
    assert [reject["reason"].partition(". ")[0].rpartition(" ")[2] for reject in result.rejects] == [
        "metadata.tool_calls",
        "metadata.role",
        "metadata.name",
    ]
    assert run(json.dumps(changed).encode(), "--user-id", "ada", "--update").code == 0
    oldest = MemoryItem.objects.order_by("timestamp").first()
    assert oldest is not None
    assert oldest.metadata["tool_calls"][0]["name"] == "delete_file"
    assert sorted(MemoryItem.objects.values_list("metadata__role", flat=True)) == ["assistant", "assistant", "user"]


def test_metadata_is_completed(run: Callable[..., Result]) -> None:
    """A record that lacks some of the metadata gets it; additional metadata is a difference."""
    file = json.dumps([conversation([node("a", None, message("user", "x", metadata={"citations": [1]}))])]).encode()
    run(file, "--user-id", "ada")
    item = MemoryItem.objects.get()
    del item.metadata["citations"]
    item.save()
    result = run(file, "--user-id", "ada")
    assert result.code == 0
    assert "1 MemoryItem updated" in result.said
    assert MemoryItem.objects.get().metadata["citations"] == [1]


@pytest.mark.parametrize("early", [START, None])
def test_a_history_that_got_times(early: float | None, run: Callable[..., Result]) -> None:
    """Times that an earlier import computed, or that contradicted the order, are corrected."""
    file = [langchain("human", "1"), langchain("ai", "2", timestamp=START), langchain("ai", "3", timestamp=early)]
    assert run(json.dumps(file[:1]).encode(), "--user-id", "ada").code == 0
    assert run(json.dumps(file).encode(), "--user-id", "ada").code == 0
    third = MemoryItem.objects.get(text_content="3")
    MemoryItem.objects.filter(pk=third.pk).update(
        timestamp=datetime.fromtimestamp(START, UTC), metadata={**third.metadata, "original_time": START}
    )
    assert "MemoryItem updated" in run(json.dumps(file).encode(), "--user-id", "ada").said
    assert [item.text_content for item in UserSession.objects.get().items()] == ["3", "2", "1"]
    assert "updated" not in run(json.dumps(file).encode(), "--user-id", "ada").said


def test_a_profile_is_stored_once(run: Callable[..., Result]) -> None:
    """Each conversation of an export repeats the user's profile as a hidden message."""
    content = {"content_type": "user_editable_context", "user_profile": "A baker."}
    hidden = message("user", "", None, content=content, metadata={"is_visually_hidden_from_conversation": True})
    talks = [
        conversation(
            [node("p", None, hidden), node("q", "p", message("user", "Bread?", START + number))],
            conversation_id=f"c{number}",
            create_time=START + number + 5,
        )
        for number in range(3)
    ]
    file = json.dumps(talks).encode()
    assert run(file, "--user-id", "ada").code == 0
    assert [item.session_id for item in MemoryItem.objects.filter(text_content="A baker.")] == ["c0"]
    assert [item.text_content for item in UserSession.objects.get(session_id="c0").items()] == ["Bread?", "A baker."]
    again = run(file, "--user-id", "ada")
    assert (again.code, "added" in again.said, "updated" in again.said) == (0, False, False)


def test_langchain_lists_on_lines(run: Callable[..., Result]) -> None:
    """Each line is a conversation."""
    lines = [[langchain("human", f"{place}"), langchain("ai", "ok")] for place in range(3)]
    assert run(lines, "--user-id", "ada", "--session-id", "talk").code == 0
    assert set(UserSession.objects.values_list("session_id", flat=True)) == {"talk", "talk-2", "talk-3"}
    assert run(lines, "--user-id", "ada", "--session-id", "talk").said.count("6 MemoryItem already there") == 1


def test_langchain_messages_on_lines(run: Callable[..., Result]) -> None:
    """A message on each line makes one conversation."""
    assert run([langchain("human", "a"), langchain("ai", "b")], "--user-id", "ada", name="x.jsonl").code == 0
    assert UserSession.objects.get().items().count() == 2


def test_formats_may_be_mixed(run: Callable[..., Result]) -> None:
    """The format of each value is detected separately."""
    lines = [ITEM, conversation([node("a", None, message("user", "x"))]), langchain("human", "y"), {"what": 1}]
    result = run(lines, "--user-id", "ada")
    assert (result.code, MemoryItem.objects.count(), result.rejects[0]["line"]) == (1, 3, 4)


@pytest.mark.parametrize("content", [langchain("human", "x"), conversation([node("a", None, message("user", "x"))])])
def test_a_missing_user_is_reported(content: Any, run: Callable[..., Result]) -> None:
    """Nothing is written, exit code 2."""
    result = run([content])
    assert result.code == 2
    assert "--user-id" in result.said
    assert not MemoryItem.all_objects.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0", "neither JSON nor JSON lines"),
        (b"Dear diary,", "neither JSON nor JSON lines"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"\n<!DOCTYPE html><html>{}", "beside chat.html"),
        (b"<html>\n<script>var x = [{}]", "beside chat.html"),
        (b"PK\x03\x04nothing", "zip file cannot be read"),
        (Path("/nowhere/at/all.json"), "No such file"),
        (Path("/usr"), "Is a directory"),
    ],
)
def test_unusable_files(content: Any, says: str, run: Callable[..., Result]) -> None:
    """The error is one sentence; the exit code is 2."""
    result = run(content)
    assert result.code == 2
    assert says in result.said
    assert result.rejects == []


def test_a_zip_without_conversations(tmp_path: Path, run: Callable[..., Result]) -> None:
    """The error names the missing member."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert "has no conversations.json" in run(tmp_path / "x.zip").said


@pytest.mark.parametrize("content", [b"", b"\n\n", b"[]"])
def test_empty_files(content: bytes, run: Callable[..., Result]) -> None:
    """An empty export is no error."""
    result = run(content)
    assert result.code == 0
    assert "no records" in result.said


def test_one_unusable_file_does_not_keep_the_others(tmp_path: Path) -> None:
    """All are imported; the exit code is the worst."""
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad"
    good.write_text(json.dumps(ITEM))
    bad.write_bytes(b"\0")
    with pytest.raises(CommandError) as caught:
        call_command("memory_import", str(bad), str(good), stdout=io.StringIO(), stderr=io.StringIO())
    assert caught.value.returncode == 2
    assert MemoryItem.objects.exists()


def test_rejects_can_go_elsewhere(tmp_path: Path, run: Callable[..., Result]) -> None:
    """`--rejects-dir`, where the file's own folder cannot be written."""
    (tmp_path / "there").mkdir()
    assert run(b"{}", "--rejects-dir", str(tmp_path / "there")).rejects == []
    assert (tmp_path / "there" / "input.json.rejects.jsonl").exists()
    missing = run(b"{}", "--rejects-dir", str(tmp_path / "nowhere"))
    assert missing.code == 2
    assert "No such file or directory" in missing.said


@pytest.mark.parametrize("user_id", ["", "x" * 256])
def test_a_user_id_that_cannot_be(user_id: str, run: Callable[..., Result]) -> None:
    """It is refused before the file is read."""
    result = run([ITEM], "--user-id", user_id)
    assert result.code == 2
    assert result.said.startswith("--user-id: ")
    assert not MemoryItem.objects.exists()


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`-` reads standard input."""
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps([ITEM]).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.chdir(tmp_path)
    call_command("memory_import", "-", stdout=io.StringIO())
    assert MemoryItem.objects.exists()
    assert os.listdir(tmp_path) == []


def test_a_pipe(run: Callable[..., Result], tmp_path: Path) -> None:
    """A named pipe, such as a shell's `<(zcat export.jsonl.gz)`, is read like a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(json.dumps(ITEM).encode(),))
    writer.start()
    assert run(path).code == 0
    writer.join()
    assert MemoryItem.objects.exists()


def test_another_writer_meanwhile(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that appears between look and write makes the batch start again; nothing is lost or doubled."""
    real, calls = store._write_once, []

    def racing(entries: Any, update: bool) -> Any:
        calls.append(entries)
        if len(calls) < store.ATTEMPTS:
            raise IntegrityError("the id is taken")
        return real(entries, update)

    monkeypatch.setattr(store, "_write_once", racing)
    assert run([ITEM]).code == 0
    assert MemoryItem.objects.count() == 1


def test_a_database_that_fails(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one sentence without code; the exit code is 2."""

    def failing(entries: Any, update: bool) -> Any:
        raise OperationalError("disk full")

    monkeypatch.setattr(load_module.store, "write", failing)
    result = run([ITEM])
    assert result.code == 2
    assert "Database error: disk full." in result.said


def test_an_interruption(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Written batches stay, and the output explains how to continue."""
    real, calls = store.write, []

    def interrupted(entries: Any, update: bool) -> Any:
        calls.append(entries)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(entries, update)

    monkeypatch.setattr(load_module, "BATCH_ENTRIES", 2)
    monkeypatch.setattr(load_module.store, "write", interrupted)
    lines = [{**ITEM, "id": f"m{place}"} for place in range(5)]
    result = run(lines)
    assert result.code == 130
    assert "run the command again" in result.said
    assert MemoryItem.objects.count() == 2
    assert run(lines).code == 0
    assert MemoryItem.objects.count() == 5


def test_batches(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches count as one file does."""
    monkeypatch.setattr(load_module, "BATCH_ENTRIES", 7)
    monkeypatch.setattr(load_module, "BATCH_BYTES", 900)
    result = run(json.dumps(list(chatgpt_export(100, 9))).encode(), "--user-id", "ada")
    assert result.code == 0
    assert "100 MemoryItem added; 12 UserSession added; 12 empty messages skipped" in result.said
    assert MemoryItem.objects.count() == 100
