"""A record's page: who may do what with it, what an edit changes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from memory import limits
from memory.fields import content_hash
from memory.models import AgentData, MemoryItem, UserSession

from .conftest import VIEWER, Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

TIME = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SCRIPT = "<script>alert(1)</script>"


def form_data(client: Client, page: str, **changes: str) -> dict[str, str]:
    """What a browser sends: the form's values as the page has them, line ends as browsers make them, and changes."""
    form = client.get(page).context["adminform"].form
    data: dict[str, str] = {}
    for name in form.fields:
        bound = form[name]
        value = bound.value()
        widget = bound.field.widget
        if hasattr(widget, "decompress"):
            parts = widget.decompress(value)
            data |= {f"{name}_{number}": str(part or "") for number, part in enumerate(parts)}
        else:
            data[name] = "" if value is None else "\r\n".join(str(value).replace("\r\n", "\n").split("\n"))
    return {**data, **changes}


def errors(client: Client, page: str, **changes: str) -> dict[str, list[str]]:
    """The errors, by field, of a form that is refused."""
    response = client.post(page, form_data(client, page, **changes))
    assert response.status_code == 200, "the form was accepted"
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def save(client: Client, page: str, **changes: str) -> None:
    """Send a form that is accepted."""
    response = client.post(page, form_data(client, page, **changes))
    assert response.status_code == 302, response.context["adminform"].form.errors


def test_staff_who_may_only_look_can_look(
    staff: Callable[..., Client],
    url: Url,
    make_item: Callable[..., MemoryItem],
    make_agent_data: Callable[..., AgentData],
) -> None:
    """Lists, records, histories and conversations open; adding, changing and deleting do not."""
    item, data = make_item(session_id="s", metadata={"a": [1, {"b": "ü"}]}), make_agent_data()
    client = staff(*VIEWER)
    for model, pk in (("memoryitem", item.pk), ("agentdata", data.pk), ("usersession", "ada:s")):
        assert client.get(url(model)).status_code == 200
        page = client.get(url(model, "change", pk))
        assert page.status_code == 200
        assert 'name="_save"' not in page.content.decode()
        assert client.get(url(model, "history", pk)).status_code == 200
        assert client.get(url(model, "add")).status_code == 403
        assert client.get(url(model, "delete", pk)).status_code == 403
        assert client.post(url(model, "change", pk), {"metadata": "{}"}).status_code == 403
    assert client.get(url("usersession", "conversation", "ada:s")).status_code == 200
    item.refresh_from_db()
    assert item.metadata == {"a": [1, {"b": "ü"}]}


def test_staff_without_permissions_see_nothing(
    staff: Callable[..., Client], url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """Not the records, and not the app."""
    item = make_item(session_id="s")
    client = staff()
    for page in (url("memoryitem"), url("memoryitem", "change", item.pk), url("usersession", "conversation", "ada:s")):
        assert client.get(page).status_code == 403
    assert "Memory items" not in client.get("/admin/").content.decode()


def test_those_who_may_only_look_get_formatted_json(
    staff: Callable[..., Client], url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any]
) -> None:
    """Indented, letters as they are, escaped; text with its lines."""
    item = make_item(metadata={"name": "Zoë", "tags": ["a", SCRIPT]}, text_content=f"one\ntwo {SCRIPT}")
    data = make_agent_data(content={"steps": [{"do": "pack"}]})
    client = staff(*VIEWER)
    page = client.get(url("memoryitem", "change", item.pk)).content.decode()
    assert "{\n  &quot;name&quot;: &quot;Zoë&quot;,\n  &quot;tags&quot;: [\n    &quot;a&quot;," in page
    assert '<div class="memory-text" dir="auto">one\ntwo &lt;script&gt;alert(1)&lt;/script&gt;</div>' in page
    assert SCRIPT not in page
    page = client.get(url("agentdata", "change", data.pk)).content.decode()
    assert "&quot;steps&quot;: [\n    {\n      &quot;do&quot;: &quot;pack&quot;\n    }\n  ]" in page


def test_a_vector_is_summarised(
    boss: Client, staff: Callable[..., Client], url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """Dimension, length and first numbers; never thousands of numbers in a page, and no field to edit them."""
    item = make_item(embedding=[0.5] + [0.25] * 2047)
    for client in (boss, staff(*VIEWER)):
        page = client.get(url("memoryitem", "change", item.pk)).content.decode()
        assert "2048 dimensions, length 11.32: 0.5, 0.25, 0.25, 0.25, …" in page
        assert page.count("0.25") == 3
        assert 'name="embedding"' not in page


def test_ids_owner_and_hash_cannot_be_changed(boss: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Whatever a request sends, a record keeps its id, its owner, its session and its hash."""
    item = make_item(session_id="s", text_content="hello")
    forged = {"id": "other", "user_id": "eve", "session_id": "t", "content_hash": "0"}
    save(boss, url("memoryitem", "change", item.pk), **forged)
    item.refresh_from_db()
    assert (item.user_id, item.session_id, item.content_hash) == ("ada", "s", content_hash("hello"))
    assert MemoryItem.objects.count() == 1


def test_an_untouched_form_changes_nothing(boss: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Microseconds, line ends, spaces, a missing text, numbers' spelling: all survive a save without changes."""
    first = {
        "timestamp": TIME,
        "expiration": TIME.replace(year=2126),
        "text_content": "  one\ntwo\r\nthree \n",
        "metadata": {"n": 1.0, "big": 2**60, "s": "a\nb", "none": None},
        "embedding": [0.1, 0.2],
        "session_id": "s",
    }
    for values in (first, {**first, "text_content": None, "metadata": {}, "expiration": None}):
        item = make_item(**values)
        save(boss, url("memoryitem", "change", item.pk))
        stored = MemoryItem.objects.get(pk=item.pk)
        assert {name: getattr(stored, name) for name in values} == values


def test_an_edit_writes_what_was_changed_and_no_more(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """What an agent wrote between the page and its form stays; the hash follows the text; the history tells."""
    item = make_item(text_content="old", metadata={"a": 1}, timestamp=TIME)
    page = url("memoryitem", "change", item.pk)
    data = form_data(boss, page, text_content="new\r\nlines")
    MemoryItem.objects.filter(pk=item.pk).update(embedding=[1.0])
    assert boss.post(page, data).status_code == 302
    item.refresh_from_db()
    assert (item.text_content, item.metadata, item.embedding) == ("new\nlines", {"a": 1}, [1.0])
    assert item.timestamp == TIME
    assert item.content_hash == content_hash("new\nlines")
    assert "Changed Text." in boss.get(url("memoryitem", "history", item.pk)).content.decode()


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ('{"a": 1,}', "in line 1, column "),
        ('{\r\n"a": nope}', "line 2, column 6"),
        ("[1, 2]", "must be a map"),
        ('"text"', "must be a map"),
        ('{"a": NaN}', "JSON has no nan"),
        ('{"a": 1e999}', "JSON has no inf"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ('{"a": ' + "[" * 30 + "]" * 30 + "}", "at most 20 levels"),
        ("[" * 100_000, "at most 20 levels"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
        ('{"a": "' + "y" * 1_100_000 + '"}', "a document holds"),
    ],
    ids=range(11),
)
def test_bad_json_is_told_beside_its_field(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem], metadata: str, told: str
) -> None:
    """By line and column where it is no JSON, by reason where Firestore would refuse it; what was typed stays."""
    item = make_item(metadata={"kept": True})
    found = errors(boss, url("memoryitem", "change", item.pk), metadata=metadata)
    assert list(found) == ["metadata"]
    assert told in found["metadata"][0]
    item.refresh_from_db()
    assert item.metadata == {"kept": True}


def test_empty_metadata_is_an_empty_map(boss: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Who clears the field means a map without members."""
    item = make_item(metadata={"a": 1})
    save(boss, url("memoryitem", "change", item.pk), metadata="")
    item.refresh_from_db()
    assert item.metadata == {}


def test_a_too_large_text_is_told_beside_its_field(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """Firestore's 1 MiB holds in the form too."""
    item = make_item()
    found = errors(boss, url("memoryitem", "change", item.pk), text_content="x" * 1_100_000)
    assert "a document holds" in found["text_content"][0]


@pytest.mark.parametrize("model", ["memoryitem", "agentdata"])
def test_a_field_that_the_form_lacks_is_told_above_it(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any], model: str
) -> None:
    """A record that breaks a limit in a read-only field cannot be saved, and the page says why.

    It has a byte more than the app leaves to records, which Firestore still takes: a larger one it takes from nobody.
    """
    record, owner = (make_item(), "user_id") if model == "memoryitem" else (make_agent_data(), "agent_id")
    page = url(model, "change", record.pk)
    long = type(record).objects.filter(pk=record.pk)
    long._checked = True  # as another program would write it
    values = {field.name: field.value_from_object(record) for field in record._meta.concrete_fields}
    others = limits.document_size(record._meta.db_table, record.pk, {**values, owner: ""})
    long.update(**{owner: "x" * (limits.MAX_DOCUMENT_BYTES + 1 - others)})
    found = errors(boss, page, metadata='{"a": 1}')
    assert found.keys() == {"__all__"}
    assert owner in found["__all__"][0]


def test_an_item_is_added_with_its_session(boss: Client, url: Url) -> None:
    """Under an id of its own or a chosen one; the session's row is made with it."""
    page = url("memoryitem", "add")
    save(boss, page, user_id="ada", session_id="s", item_type="fact", text_content="hi", metadata='{"role": "user"}')
    save(boss, page, id="chosen", user_id="ada", item_type="fact")
    chosen = MemoryItem.objects.get(pk="chosen")
    assert (chosen.session_id, chosen.text_content) == (None, None)
    assert MemoryItem.objects.exclude(pk="chosen").get().role == "user"
    assert UserSession.objects.get().pk == "ada:s"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"id": "a/b"}, "id"),
        ({"id": "__x__"}, "id"),
        ({"id": ""}, "id"),
        ({"id": "live"}, "id"),
        ({"id": "expired"}, "id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a\0b"}, "user_id"),
        ({"item_type": ""}, "item_type"),
        ({"user_id": "😀" * 250, "session_id": "😀" * 250}, "session_id"),
        ({"timestamp_0": "yesterday"}, "timestamp"),
    ],
)
def test_a_new_item_is_refused_with_its_field(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem], values: dict[str, str], field: str
) -> None:
    """Ids that Firestore would refuse or that are taken, missing values, bad times."""
    make_item(id="live")
    make_item(id="expired", expiration=timezone.now() - timedelta(days=1))
    found = errors(boss, url("memoryitem", "add"), **{"user_id": "ada", "item_type": "fact", **values})
    assert list(found) == [field]


def test_a_session_is_added_once(boss: Client, url: Url) -> None:
    """The same user and session again are refused, and so is what makes no id; the first one stays as it was."""
    page = url("usersession", "add")
    save(boss, page, user_id="ada", session_id="s", metadata='{"title": "first"}')
    assert "already" in errors(boss, page, user_id="ada", session_id="s")["session_id"][0]
    assert "bytes" in errors(boss, page, user_id="😀" * 250, session_id="😀" * 250)["session_id"][0]
    assert UserSession.objects.get().metadata == {"title": "first"}


def test_a_session_keeps_its_ids_and_times(boss: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Only its metadata can be edited: the times follow from the items."""
    make_item(session_id="s", timestamp=TIME)
    forged = {"user_id": "eve", "session_id": "t", "started_at_0": "2020-01-01", "started_at_1": "00:00"}
    save(boss, url("usersession", "change", "ada:s"), metadata='{"title": "A trip"}', **forged)
    session = UserSession.objects.get()
    assert (session.pk, session.user_id, session.session_id) == ("ada:s", "ada", "s")
    assert (session.started_at, session.metadata) == (TIME, {"title": "A trip"})


@pytest.mark.parametrize("pk", ["a b", "ä😀", "x_2F", "a?b=c&d#e", "quote\"'", "100%", "a:b", "..a", "change", "add"])
def test_any_id_has_a_page(boss: Client, url: Url, make_item: Callable[..., MemoryItem], pk: str) -> None:
    """Ids are the users' own: each one's page opens from the list, saves, and is deleted."""
    make_item(id=pk, session_id=pk)
    page = url("memoryitem", "change", pk)
    assert escape(page) in boss.get(url("memoryitem")).content.decode()
    save(boss, page, text_content="edited")
    assert MemoryItem.objects.get(pk=pk).text_content == "edited"
    conversation = boss.get(url("usersession", "conversation", UserSession.make_id("ada", pk)))
    assert escape(page) in conversation.content.decode()
    assert boss.post(url("memoryitem", "delete", pk), {"post": "yes"}).status_code == 302
    assert not MemoryItem.objects.exists()


def test_an_expired_item_has_no_page(boss: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """It leads back to the index with a message, like one that was never there."""
    item = make_item(expiration=timezone.now() - timedelta(seconds=1))
    response = boss.get(url("memoryitem", "change", item.pk), follow=True)
    assert response.redirect_chain
    assert "Perhaps it was deleted?" in response.content.decode()


def test_markup_is_text_on_every_page_of_a_record(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any]
) -> None:
    """Text, metadata, ids and personas with markup are shown, not run, on change, history and deletion pages."""
    markup = SCRIPT.replace("/", "|")
    item = make_item(
        id=markup,
        user_id=markup,
        session_id=markup,
        persona_active=SCRIPT,
        text_content=SCRIPT,
        metadata={SCRIPT: SCRIPT},
    )
    data = make_agent_data(id=markup, agent_id=SCRIPT, data_type=SCRIPT, content=[SCRIPT], metadata={SCRIPT: SCRIPT})
    session = UserSession.objects.get()
    UserSession.objects.filter(pk=session.pk).update(metadata={"title": SCRIPT})
    for model, pk in (("memoryitem", item.pk), ("agentdata", data.pk), ("usersession", session.pk)):
        for page in ("change", "history", "delete"):
            content = boss.get(url(model, page, pk)).content.decode()
            assert "<script>alert" not in content
            assert "&lt;script&gt;alert" in content
