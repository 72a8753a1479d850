"""The Python client against the running service, and beside the schema."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import typing
from typing import Any
from uuid import uuid4

import pytest

from memory.api.documentation import openapi
from tests.docs.snippets import below

from .conftest import PYTHON, Access

httpx = pytest.importorskip("httpx")
client_package = pytest.importorskip("orchestra_memory_client")
from orchestra_memory_client import (  # noqa: E402 - it needs httpx
    AsyncClient,
    Client,
    ConnectionFailed,
    InvalidRequest,
    KeyReused,
    NotAuthenticated,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Retries,
    Unavailable,
)

DOCS = PYTHON.parents[1] / "docs" / "clients.md"
QUICK = Retries(attempts=3, first_pause=0.001, longest_pause=0.002)


@pytest.fixture
def memory(access: Access) -> typing.Iterator[Any]:
    with Client(access.url, token=access.token, retries=QUICK) as made:
        yield made


def test_records(memory: Any) -> None:
    """Create, get, update, replace and delete, with tags, in each collection."""
    new: list[tuple[Any, dict[str, Any]]] = [
        (memory.items, {"item_type": "m", "text_content": "I prefer trains."}),
        (memory.agent_data, {"data_type": "plan", "content": [1, None]}),
        (memory.sessions, {"session_id": f"Chat / {uuid4()}"}),
    ]
    for records, body in new:
        made = records.create(body)
        pk = made.record["id"]
        assert body.items() <= made.record.items()
        assert records.get(pk) == made
        assert records.get_if_changed(pk, made.etag) is None
        changed = records.update(pk, {"metadata": {"n": 1}}, if_match=made.etag)
        assert changed.record["metadata"] == {"n": 1}
        with pytest.raises(PreconditionFailed):
            records.update(pk, {"metadata": {}}, if_match=made.etag)
        replaced = records.replace({**changed.record, "metadata": {}}, if_match=changed.etag)
        assert replaced.record["metadata"] == {}
        records.delete(pk, if_match=replaced.etag)
        with pytest.raises(NotFound):
            records.get(pk)


def test_pages(memory: Any) -> None:
    """Lists and histories go over all pages, with their filters."""
    session = f"pages-{uuid4()}"
    memory.items.create_many([{"item_type": "m", "session_id": session} for _ in range(7)])
    items = list(memory.items.list(session_id=session, limit=3))
    assert len({item["id"] for item in items}) == 7
    history = list(memory.sessions.history(f"ada:{session}", limit=2))
    assert [item["id"] for item in history] == [item["id"] for item in items]
    assert list(memory.items.list(session_id="none")) == []


@pytest.mark.parametrize("collection", ["items", "agent_data"])
def test_many(memory: Any, collection: str) -> None:
    """Create or replace, get and delete many."""
    records, body = getattr(memory, collection), {"items": {"item_type": "m"}, "agent_data": {"data_type": "d"}}
    a, b = str(uuid4()), str(uuid4())
    rows = [{**body[collection], "id": pk} for pk in (a, b)]
    assert records.create_many(rows[:1])["ids"] == [a]
    assert records.upsert_many(rows)["updated"] == 1
    found = records.get_many([b, "none", a])
    assert list(found) == [b, a]
    assert found[a] == records.get(a)
    assert records.delete_many([a, b, "none"])["deleted"] == 2


def test_search(memory: Any) -> None:
    """By one question and by several, with filters; and duplicates."""
    text, session = f"The zeppelin {uuid4()} landed in Basel.", f"search-{uuid4()}"
    made = memory.items.create({"item_type": "fact", "text_content": text, "session_id": session})
    [found] = memory.items.search("Where did the zeppelin land?", session_id=session, limit=1)
    assert (found["id"], 0 <= found["score"] <= 1) == (made.record["id"], True)
    answers = memory.items.search_many(["zeppelin", "Basel"], session_id=session)
    assert [answer["q"] for answer in answers] == ["zeppelin", "Basel"]
    context = memory.items.context("Where did the zeppelin land?", session_id=session, tokens=200)
    assert text in context["text"]
    assert context["tokens"] <= 200
    assert memory.items.duplicate("fact", text) == {"duplicate": True, "id": made.record["id"]}


def test_errors(access: Access, memory: Any) -> None:
    """Each has the service's code, fields and request id."""
    with pytest.raises(InvalidRequest) as caught:
        memory.items.create({"item_type": 5})
    assert (caught.value.code, list(caught.value.fields)) == ("invalid", ["item_type"])
    assert caught.value.request_id in str(caught.value)
    with Client(access.url, token="mem_wrong") as stranger, pytest.raises(NotAuthenticated):
        next(stranger.items.list())
    key = str(uuid4())
    memory.items.create({"item_type": "m"}, key=key)
    with pytest.raises(KeyReused):
        memory.items.create({"item_type": "n"}, key=key)
    assert access.token not in repr(caught.value)


class Lossy(httpx.HTTPTransport):  # type: ignore[misc, name-defined]
    """Sends each request, and loses the first answers."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.lost, self.keys = lost, []

    def handle_request(self, request: Any) -> Any:
        response = super().handle_request(request)
        self.keys.append(request.headers.get("Idempotency-Key"))
        if len(self.keys) <= self.lost:
            response.read()
            raise httpx.ReadTimeout("lost", request=request)
        return response


def test_a_write_whose_answer_was_lost_is_applied_once(access: Access) -> None:
    """It is sent again with the same key; after the last attempt an exception says that there is no answer."""
    session = f"lost-{uuid4()}"
    transport = Lossy(2)
    with Client(access.url, token=access.token, retries=QUICK, transport=transport) as memory:
        made = memory.items.create({"item_type": "m", "session_id": session})
        assert made.replayed
        assert len(set(transport.keys)) == 1
        assert len(transport.keys) == 3
        assert [item["id"] for item in memory.items.list(session_id=session)] == [made.record["id"]]
    lossy = Client(access.url, token=access.token, retries=QUICK, transport=Lossy(9))
    with lossy as memory, pytest.raises(ConnectionFailed):
        memory.items.get("none")


def test_waiting_for_the_service() -> None:
    """503 and 429 are tried again after the time that the service asks for, other errors are not."""
    answers = iter([(503, "0.05"), (429, None), (200, None), (503, None), (503, None), (503, None), (400, None)])
    times: list[float] = []

    def answer(request: Any) -> Any:
        times.append(time.monotonic())
        status, wait = next(answers)
        headers = {"Retry-After": wait} if wait else {}
        body = {"id": "a"} if status == 200 else {"error": {"code": "unavailable", "message": "Later.", "fields": {}}}
        return httpx.Response(status, json=body, headers=headers)

    with Client("http://service", retries=QUICK, transport=httpx.MockTransport(answer)) as memory:
        assert memory.items.get("a").record == {"id": "a"}
        assert times[1] - times[0] >= 0.05
        with pytest.raises(Unavailable):
            memory.items.get("a")
        with pytest.raises(InvalidRequest):
            memory.items.get("a")
    assert next(answers, None) is None


def test_an_hour_is_not_waited_for() -> None:
    """What the service asks to wait is in the error if it is longer than the client waits."""
    asked: list[str] = []

    def answer(request: Any) -> Any:
        asked.append(request.method)
        return httpx.Response(429, json={"error": {"code": "throttled"}}, headers={"Retry-After": "3600"})

    client = Client("http://service", retries=QUICK, transport=httpx.MockTransport(answer))
    with client as memory, pytest.raises(RateLimited) as caught:
        memory.items.get("a")
    assert caught.value.retry_after == 3600
    assert asked == ["GET"]
    with pytest.raises(ValueError, match="attempts"):
        Retries(attempts=0)


def test_null_is_a_value_of_metadata() -> None:
    """Other options that are None are left out."""
    bodies: list[Any] = []

    def answer(request: Any) -> Any:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"searches": [{"results": []}]})

    with Client("http://service", transport=httpx.MockTransport(answer)) as memory:
        memory.items.search("a", metadata_key="k", metadata_value=None, session_id=None)
    assert bodies == [{"questions": ["a"], "metadata_key": "k", "metadata_value": None}]


def test_a_link_to_another_host_is_not_followed() -> None:
    """Only its cursor is used, so that no other host gets the token."""
    asked: list[str] = []

    def answer(request: Any) -> Any:
        asked.append(str(request.url))
        link = None if "cursor" in str(request.url) else "http://evil.example.org/api/memory-items/?cursor=abc"
        return httpx.Response(200, json={"next": link, "results": []})

    with Client("http://service/below/", transport=httpx.MockTransport(answer)) as memory:
        assert list(memory.items.list(limit=1)) == []
    assert asked == [
        "http://service/below/api/memory-items/?limit=1",
        "http://service/below/api/memory-items/?limit=1&cursor=abc",
    ]


def test_asynchronous_client(access: Access) -> None:
    """The same methods, concurrently."""

    async def run() -> None:
        async with AsyncClient(access.url, token=access.token) as memory:
            session = f"async-{uuid4()}"
            made = await asyncio.gather(
                *(memory.items.create({"item_type": "m", "session_id": session}) for _ in range(5))
            )
            assert len([item async for item in memory.items.list(session_id=session, limit=2)]) == 5
            assert len([item async for item in memory.sessions.history(f"ada:{session}", limit=2)]) == 5
            first = made[0].record["id"]
            changed = await memory.items.update(first, {"text_content": "I prefer trains."}, if_match=made[0].etag)
            assert await memory.items.get_if_changed(first, changed.etag or "") is None
            await memory.items.replace({**changed.record, "metadata": {"a": 1}})
            [found] = await memory.items.search("trains", session_id=session)
            assert found["id"] == first
            assert "trains" in (await memory.items.context("trains", session_id=session))["text"]
            assert (await memory.items.duplicate("m", "I prefer trains."))["duplicate"]
            ids = [one.record["id"] for one in made]
            assert list(await memory.items.get_many(ids)) == ids
            await memory.items.delete(first)
            with pytest.raises(NotFound):
                await memory.items.get(first)
            assert (await memory.items.delete_many(ids))["deleted"] == 4
            data = {"data_type": "d", "id": str(uuid4())}
            assert (await memory.agent_data.create_many([data]))["created"] == 1
            assert (await memory.agent_data.upsert_many([data]))["updated"] == 1

    asyncio.run(run())


def test_a_person_is_exported_and_erased(access: Access) -> None:
    """The erasure goes on until there is a receipt."""
    person = f"person-{uuid4()}"
    with Client(access.url, token=access.token, retries=QUICK) as operator:
        items = [{"item_type": "m", "user_id": person, "session_id": "s", "text_content": "zeppelin"}] * 3
        operator.items.create_many(items)
        exported = [one.collection for one in operator.people.export(person)]
        assert exported == ["sessions", "items", "items", "items"]
        assert operator.people.erasure(person)["state"] == "none"
        erased = operator.people.erase(person, keep_hours=1)
        assert (erased["state"], erased["erased"]["memory_items"]) == ("finished", 3)
        assert erased["receipt"]
        assert list(operator.people.export(person)) == []

        async def again() -> Any:
            async with AsyncClient(access.url, token=access.token, retries=QUICK) as asynchronous:
                return await asynchronous.people.erase(person)

        assert asyncio.run(again())["receipt"]


def test_both_clients_have_the_same_methods() -> None:
    """With the same parameters."""
    for name in ("Records", "BulkRecords", "Items", "Sessions", "People"):
        one = getattr(client_package._client, name)
        other = getattr(client_package._client, f"Async{name}")
        assert methods(one) == methods(other)


def methods(owner: type) -> dict[str, list[str]]:
    found = {name: getattr(owner, name) for name in dir(owner) if not name.startswith("_")}
    return {name: list(typing.cast(Any, method).__annotations__) for name, method in found.items()}


# By class of the client: the component of the schema.
TYPES = {
    "Item": "MemoryItem",
    "NewItem": "MemoryItemRequest",
    "ItemChanges": "PatchedMemoryItemRequest",
    "AgentData": "AgentData",
    "NewAgentData": "AgentDataRequest",
    "AgentDataChanges": "PatchedAgentDataRequest",
    "Session": "UserSession",
    "NewSession": "UserSessionRequest",
    "SessionChanges": "PatchedUserSessionRequest",
}
SAME = (
    "Answered Context ContextItem Created Deleted DeletionResult Duplicate Erasure ErasureCost FoundItem UpsertResult "
    "Upserted"
)
TYPES |= {"SearchOptions": "QuestionsRequest", "ContextOptions": "ContextQueryRequest"}
TYPES |= {name: name for name in SAME.split()}
LEFT_OUT = {
    "ItemChanges": {"id"},
    "AgentDataChanges": {"id"},
    "SessionChanges": {"id", "user_id", "session_id"},
    "SearchOptions": {"questions"},
    "ContextOptions": {"question", "session_id"},
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", TYPES)
def test_types_have_the_fields_of_the_schema(name: str) -> None:
    """And require those that it requires."""
    component = openapi()["components"]["schemas"][TYPES[name]]
    described: Any = getattr(client_package._types, name)
    expected = set(component["properties"]) - LEFT_OUT.get(name, set())
    assert set(typing.get_type_hints(described)) == expected
    if not name.startswith("New"):
        return
    optional = {name for name, hint in described.__annotations__.items() if "NotRequired" in str(hint)}
    assert set(described.__annotations__) - optional == set(component["required"])


@pytest.mark.django_db
def test_every_operation_of_the_schema_has_a_method() -> None:
    """A new one fails here until the client has it, or until it is decided that it has not."""
    asked = set()

    def answer(request: Any) -> Any:
        asked.add((request.method, request.url.path.replace("known", "{id}").replace("ada", "{user_id}")))
        body = {"next": None, "results": [], "searches": [{"results": []}], "state": "finished"}
        return httpx.Response(200, json=body)

    with Client("http://service", transport=httpx.MockTransport(answer)) as memory:
        run_all(memory)
    operations = {
        (method.upper(), path)
        for path, methods in openapi()["paths"].items()
        for method in methods
        if "health" not in path
    }
    # The search by POST has no questions in URLs.
    assert operations - asked == {("GET", "/api/memory-items/search/")}
    assert asked < operations


def run_all(memory: Any) -> None:
    for records in (memory.items, memory.agent_data, memory.sessions):
        records.create({})
        records.get("known")
        records.update("known", {})
        records.replace({"id": "known"})
        records.delete("known")
        list(records.list())
    for records in (memory.items, memory.agent_data):
        records.create_many([])
        records.upsert_many([])
        records.get_many(["a"])
        records.delete_many(["a"])
    memory.items.search("a")
    memory.items.duplicate("m", "a")
    memory.items.context("a")
    list(memory.sessions.history("known"))
    memory.people.erasure("ada")
    memory.people.erase("ada")


def test_the_package_needs_no_django() -> None:
    """Importing it loads httpx and nothing of the service."""
    code = "import sys, orchestra_memory_client; print({'django', 'memory', 'rest_framework'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PYTHON / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
    assert (PYTHON / "src/orchestra_memory_client/py.typed").exists()


@pytest.mark.parametrize("heading", ["Python", "Asynchronous"])
def test_examples_of_the_docs(access: Access, heading: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They run unchanged."""
    [code] = below(DOCS, heading, "python")
    code = code.replace("http://localhost:8000", access.url).replace("mem_...", access.token)
    exec(compile(code, str(DOCS), "exec"), {"__name__": "example"})  # noqa: S102 - our own
    assert "I prefer trains." in capsys.readouterr().out
