"""Change pages of records: permissions, edits and validation."""

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
    """The data that a browser submits: the form's values with CRLF line endings, and changes."""
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
    """Submit an invalid form; return its errors by field."""
    response = client.post(page, form_data(client, page, **changes))
    assert response.status_code == 200, "the form was accepted"
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def save(client: Client, page: str, **changes: str) -> None:
    """Submit a valid form."""
    response = client.post(page, form_data(client, page, **changes))
    assert response.status_code == 302, response.context["adminform"].form.errors


def test_view_permission_allows_only_reading(
    staff: Callable[..., Client],
    url: Url,
    make_item: Callable[..., MemoryItem],
    make_agent_data: Callable[..., AgentData],
) -> None:
    """Lists, records, histories and conversations are accessible; add, change and delete are not."""
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
    """Neither the records nor the app are visible."""
    item = make_item(session_id="s")
    client = staff()
    for page in (url("memoryitem"), url("memoryitem", "change", item.pk), url("usersession", "conversation", "ada:s")):
        assert client.get(page).status_code == 403
    assert "Memory items" not in client.get("/admin/").content.decode()


def test_view_permission_shows_formatted_json(
    staff: Callable[..., Client], url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any]
) -> None:
    """JSON is indented and HTML-escaped; texts keep their line breaks."""
    item = make_item(metadata={"name": "Zoë", "tags": ["a", SCRIPT]}, text_content=f"one\ntwo {SCRIPT}")
    data = make_agent_data(content={"steps": [{"do": "pack"}]})
    client = staff(*VIEWER)
    page = client.get(url("memoryitem", "change", item.pk)).content.decode()
    assert "{\n  &quot;name&quot;: &quot;Zoë&quot;,\n  &quot;tags&quot;: [\n    &quot;a&quot;," in page
    assert '<div class="memory-text" dir="auto">one\ntwo &lt;script&gt;alert(1)&lt;/script&gt;</div>' in page
    assert SCRIPT not in page
    page = client.get(url("agentdata", "change", data.pk)).content.decode()
    assert "&quot;steps&quot;: [\n    {\n      &quot;do&quot;: &quot;pack&quot;\n    }\n  ]" in page


def test_vector_is_summarised(
    superuser: Client, staff: Callable[..., Client], url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """Dimension, length and first numbers are shown; vectors cannot be edited."""
    item = make_item(embedding=[0.5] + [0.25] * 2047)
    for client in (superuser, staff(*VIEWER)):
        page = client.get(url("memoryitem", "change", item.pk)).content.decode()
        assert "2048 dimensions, length 11.32: 0.5, 0.25, 0.25, 0.25, …" in page
        assert page.count("0.25") == 3
        assert 'name="embedding"' not in page


def test_ids_owner_and_hash_cannot_be_changed(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """A submitted id, owner, session or hash is ignored."""
    item = make_item(session_id="s", text_content="hello")
    forged = {"id": "other", "user_id": "eve", "session_id": "t", "content_hash": "0"}
    save(superuser, url("memoryitem", "change", item.pk), **forged)
    item.refresh_from_db()
    assert (item.user_id, item.session_id, item.content_hash) == ("ada", "s", content_hash("hello"))
    assert MemoryItem.objects.count() == 1


def test_unchanged_form_changes_nothing(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Microseconds, line endings, spaces, null texts and number formats survive a save without changes."""
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
        save(superuser, url("memoryitem", "change", item.pk))
        stored = MemoryItem.objects.get(pk=item.pk)
        assert {name: getattr(stored, name) for name in values} == values


def test_edit_writes_only_changed_fields(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Concurrent changes of other fields are kept, the hash is updated, the history has an entry."""
    item = make_item(text_content="old", metadata={"a": 1}, timestamp=TIME)
    page = url("memoryitem", "change", item.pk)
    data = form_data(superuser, page, text_content="new\r\nlines")
    MemoryItem.objects.filter(pk=item.pk).update(embedding=[1.0])
    assert superuser.post(page, data).status_code == 302
    item.refresh_from_db()
    assert (item.text_content, item.metadata, item.embedding) == ("new\nlines", {"a": 1}, [1.0])
    assert item.timestamp == TIME
    assert item.content_hash == content_hash("new\nlines")
    assert "Changed Text." in superuser.get(url("memoryitem", "history", item.pk)).content.decode()


@pytest.mark.parametrize(
    ("metadata", "message"),
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
        ('{"a": "' + "y" * 1_100_000 + '"}', "the limit is"),
    ],
    ids=range(11),
)
def test_invalid_json_is_reported_at_its_field(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], metadata: str, message: str
) -> None:
    """Syntax errors name line and column, limits their reason; the submitted text is kept."""
    item = make_item(metadata={"kept": True})
    found = errors(superuser, url("memoryitem", "change", item.pk), metadata=metadata)
    assert list(found) == ["metadata"]
    assert message in found["metadata"][0]
    item.refresh_from_db()
    assert item.metadata == {"kept": True}


def test_empty_metadata_is_an_empty_map(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """An empty field is saved as an empty map."""
    item = make_item(metadata={"a": 1})
    save(superuser, url("memoryitem", "change", item.pk), metadata="")
    item.refresh_from_db()
    assert item.metadata == {}


def test_large_text_is_reported_at_its_field(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """The form enforces Firestore's 1 MiB limit."""
    item = make_item()
    found = errors(superuser, url("memoryitem", "change", item.pk), text_content="x" * 1_100_000)
    assert "the limit is" in found["text_content"][0]


@pytest.mark.parametrize("model", ["memoryitem", "agentdata"])
def test_error_of_a_field_that_the_form_lacks_is_a_form_error(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any], model: str
) -> None:
    """If a read-only field exceeds a limit, the form shows the reason.

    The record exceeds the app's limit by a byte, but not Firestore's, which refuses larger ones from every client.
    """
    record, owner = (make_item(), "user_id") if model == "memoryitem" else (make_agent_data(), "agent_id")
    page = url(model, "change", record.pk)
    long = type(record).objects.filter(pk=record.pk)
    long._checked = True  # as another program would write it
    values = {field.name: field.value_from_object(record) for field in record._meta.concrete_fields}
    others = limits.document_size(record._meta.db_table, record.pk, {**values, owner: ""})
    long.update(**{owner: "x" * (limits.MAX_DOCUMENT_BYTES + 1 - others)})
    found = errors(superuser, page, metadata='{"a": 1}')
    assert found.keys() == {"__all__"}
    assert owner in found["__all__"][0]


def test_adding_an_item_creates_its_session(superuser: Client, url: Url) -> None:
    """The id may be generated or given; the session is created."""
    page = url("memoryitem", "add")
    save(
        superuser, page, user_id="ada", session_id="s", item_type="fact", text_content="hi", metadata='{"role": "user"}'
    )
    save(superuser, page, id="chosen", user_id="ada", item_type="fact")
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
def test_errors_of_a_new_item_name_the_field(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], values: dict[str, str], field: str
) -> None:
    """Invalid and existing ids, missing values, invalid times."""
    make_item(id="live")
    make_item(id="expired", expiration=timezone.now() - timedelta(days=1))
    found = errors(superuser, url("memoryitem", "add"), **{"user_id": "ada", "item_type": "fact", **values})
    assert list(found) == [field]


def test_session_can_be_added_once(superuser: Client, url: Url) -> None:
    """An existing session and an invalid id are rejected; the existing session is unchanged."""
    page = url("usersession", "add")
    save(superuser, page, user_id="ada", session_id="s", metadata='{"title": "first"}')
    assert "already" in errors(superuser, page, user_id="ada", session_id="s")["session_id"][0]
    assert "bytes" in errors(superuser, page, user_id="😀" * 250, session_id="😀" * 250)["session_id"][0]
    assert UserSession.objects.get().metadata == {"title": "first"}


def test_only_metadata_of_a_session_can_be_edited(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """Ids are immutable, and times are derived from the items."""
    make_item(session_id="s", timestamp=TIME)
    forged = {"user_id": "eve", "session_id": "t", "started_at_0": "2020-01-01", "started_at_1": "00:00"}
    save(superuser, url("usersession", "change", "ada:s"), metadata='{"title": "A trip"}', **forged)
    session = UserSession.objects.get()
    assert (session.pk, session.user_id, session.session_id) == ("ada:s", "ada", "s")
    assert (session.started_at, session.metadata) == (TIME, {"title": "A trip"})


@pytest.mark.parametrize("pk", ["a b", "ä😀", "x_2F", "a?b=c&d#e", "quote\"'", "100%", "a:b", "..a", "change", "add"])
def test_unusual_ids_have_pages(superuser: Client, url: Url, make_item: Callable[..., MemoryItem], pk: str) -> None:
    """Records with any valid id can be opened, saved and deleted."""
    make_item(id=pk, session_id=pk)
    page = url("memoryitem", "change", pk)
    assert escape(page) in superuser.get(url("memoryitem")).content.decode()
    save(superuser, page, text_content="edited")
    assert MemoryItem.objects.get(pk=pk).text_content == "edited"
    conversation = superuser.get(url("usersession", "conversation", UserSession.make_id("ada", pk)))
    assert escape(page) in conversation.content.decode()
    assert superuser.post(url("memoryitem", "delete", pk), {"post": "yes"}).status_code == 302
    assert not MemoryItem.objects.exists()


def test_expired_item_has_no_page(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Its URL redirects to the index with a message, like that of an unknown item."""
    item = make_item(expiration=timezone.now() - timedelta(seconds=1))
    response = superuser.get(url("memoryitem", "change", item.pk), follow=True)
    assert response.redirect_chain
    assert "Perhaps it was deleted?" in response.content.decode()


def test_user_content_is_escaped_on_every_page(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any]
) -> None:
    """Text, metadata, ids and personas with markup are text_start, not run, on change, history and deletion pages."""
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
            content = superuser.get(url(model, page, pk)).content.decode()
            assert "<script>alert" not in content
            assert "&lt;script&gt;alert" in content


def test_times_have_one_style(superuser: Client, staff: Callable[..., Client], url: Url, make_item: Any) -> None:
    """Lists, records, conversations and records that cannot be changed show `2026-03-01 12:00:05`."""
    moment = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
    item = make_item(session_id="s", timestamp=moment, expiration=datetime(2999, 1, 2, 3, 4, 5, tzinfo=UTC))
    viewer = staff(*VIEWER)
    pages = [
        superuser.get(url("usersession", "change", "ada:s")).content.decode(),
        superuser.get(url("usersession", "conversation", "ada:s")).content.decode(),
        viewer.get(url("memoryitem", "change", item.pk)).content.decode().replace("</span> <span>", " "),
    ]
    for page in pages:
        assert "2026-03-01 12:00:05" in page
        assert "March 1" not in page
        assert "March 2026" not in page
    assert "2999-01-02 03:04:05" in pages[2]
