"""`Client` and `AsyncClient`: the same methods, the second with `await`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar, Unpack
from urllib.parse import parse_qs, urlsplit

import httpx

from ._calls import (
    Call,
    Retries,
    answer_of,
    body_of,
    conditions,
    detail,
    given,
    nothing,
    stored,
    stored_unless_known,
)
from ._errors import ConnectionFailed
from ._types import (
    AgentData,
    AgentDataChanges,
    Answered,
    ChangesT,
    Context,
    ContextOptions,
    Created,
    Deleted,
    Duplicate,
    Erasure,
    Exported,
    FoundItem,
    Item,
    ItemChanges,
    NewAgentData,
    NewItem,
    NewSession,
    NewT,
    RecordT,
    SearchOptions,
    Session,
    SessionChanges,
    Stored,
    Upserted,
)

T = TypeVar("T")


class Requests(Generic[RecordT, NewT, ChangesT]):
    """The requests of one collection, not sent."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._path = f"api/{collection}/"

    def create(self, record: NewT, key: str | None) -> Call[Stored[RecordT]]:
        return Call("POST", self._path, stored, body=record).with_key(key)

    def get(self, pk: str) -> Call[Stored[RecordT]]:
        return Call("GET", detail(self._collection, pk), stored)

    def get_if_changed(self, pk: str, etag: str) -> Call[Stored[RecordT] | None]:
        return Call("GET", detail(self._collection, pk), stored_unless_known, headers={"If-None-Match": etag})

    def update(self, pk: str, changes: ChangesT, if_match: str | None, key: str | None) -> Call[Stored[RecordT]]:
        headers = conditions(if_match)
        return Call("PATCH", detail(self._collection, pk), stored, body=changes, headers=headers).with_key(key)

    def replace(self, record: RecordT, if_match: str | None, key: str | None) -> Call[Stored[RecordT]]:
        whole: Any = record
        path = detail(self._collection, whole["id"])
        return Call("PUT", path, stored, body=record, headers=conditions(if_match)).with_key(key)

    def delete(self, pk: str, if_match: str | None, key: str | None) -> Call[None]:
        return Call("DELETE", detail(self._collection, pk), nothing, headers=conditions(if_match)).with_key(key)

    def page(self, filters: Mapping[str, Any]) -> Call[Any]:
        return Call("GET", self._path, body_of, params=given(**filters))

    def create_many(self, records: Sequence[NewT], key: str | None) -> Call[Created]:
        return Call("POST", f"{self._path}bulk/", body_of, body={"items": list(records)}).with_key(key)

    def upsert_many(self, records: Sequence[NewT], key: str | None) -> Call[Upserted]:
        return Call("PUT", f"{self._path}bulk/", body_of, body={"items": list(records)}).with_key(key)

    def get_many(self, ids: Sequence[str]) -> Call[Any]:
        return Call("POST", f"{self._path}bulk/get/", body_of, body={"ids": list(ids)})

    def delete_many(self, ids: Sequence[str], key: str | None) -> Call[Deleted]:
        return Call("POST", f"{self._path}bulk/delete/", body_of, body={"ids": list(ids)}).with_key(key)


def next_page(call: Call[Any], page: Any) -> Call[Any] | None:
    """The request of the page after this one: only the cursor of the link is used, so no other host gets the token."""
    if not page["next"]:
        return None
    [cursor] = parse_qs(urlsplit(page["next"]).query)["cursor"]
    return replace(call, params={**call.params, "cursor": cursor})


def search_call(questions: Sequence[str], options: SearchOptions) -> Call[Any]:
    """A search by POST: questions are in no log of URLs. A null `metadata_value` is a value to search for."""
    wanted = {name: value for name, value in options.items() if value is not None or name == "metadata_value"}
    return Call("POST", "api/memory-items/search/", body_of, body={"questions": list(questions), **wanted})


def context_call(question: str, session_id: str | None, options: ContextOptions) -> Call[Context]:
    """The request of a context."""
    wanted = {name: value for name, value in options.items() if value is not None}
    body = {"question": question, "session_id": session_id, **wanted}
    return Call("POST", "api/memory-items/context/", body_of, body=body)


def duplicate_call(item_type: str, text_content: str, user_id: str | None) -> Call[Duplicate]:
    """The request of whether there is an item with this text."""
    body = given(item_type=item_type, user_id=user_id) | {"text_content": text_content}
    return Call("POST", "api/memory-items/check-duplicate/", body_of, body=body)


def history_call(pk: str, limit: int | None, as_of: str | None) -> Call[Any]:
    """The request of the first page of a session's items."""
    return Call("GET", f"{detail('sessions', pk)}history/", body_of, params=given(limit=limit, as_of=as_of))


def erasure_call(user_id: str) -> Call[Erasure]:
    """The request of what an erasure would cost, and how far it is."""
    return Call("GET", f"{detail('people', user_id)}erase/", body_of)


def erase_call(user_id: str, options: Mapping[str, Any], key: str | None) -> Call[Erasure]:
    """The request of a part of an erasure."""
    body = {name: value for name, value in options.items() if value is not None}
    return Call("POST", f"{detail('people', user_id)}erase/", body_of, body=body).with_key(key)


def pause_before_next(erasure: Erasure) -> float | None:
    """Seconds until the next request of an erasure; None if it is finished."""
    if erasure["state"] == "finished":
        return None
    if erasure["go_on_at"] is None:
        return 0.0
    return max(0.0, (datetime.fromisoformat(erasure["go_on_at"]) - datetime.now(UTC)).total_seconds())


def of_many(page: Any, found: dict[str, Stored[Any]]) -> list[str]:
    """Add the records of a response to `bulk/get/` to those found; the ids that it omitted."""
    results = page["results"]
    found.update({one["id"]: Stored(one["item"], one["etag"]) for one in results if one["status"] == "found"})
    return [one["id"] for one in results if one["status"] == "omitted"]


class Records(Generic[RecordT, NewT, ChangesT]):
    """The records of one collection. `key` is an idempotency key; by default each write has a new one."""

    def __init__(self, client: Client, collection: str) -> None:
        self._client = client
        self._requests: Requests[RecordT, NewT, ChangesT] = Requests(collection)

    def create(self, record: NewT, *, key: str | None = None) -> Stored[RecordT]:
        """Create a record."""
        return self._client.run(self._requests.create(record, key))

    def get(self, pk: str) -> Stored[RecordT]:
        """The record with this id. Raises `NotFound`."""
        return self._client.run(self._requests.get(pk))

    def get_if_changed(self, pk: str, etag: str) -> Stored[RecordT] | None:
        """The record, or None if it still has this tag."""
        return self._client.run(self._requests.get_if_changed(pk, etag))

    def update(
        self, pk: str, changes: ChangesT, *, if_match: str | None = None, key: str | None = None
    ) -> Stored[RecordT]:
        """Change some fields. With a tag in `if_match`, raises `PreconditionFailed` if the record has another."""
        return self._client.run(self._requests.update(pk, changes, if_match, key))

    def replace(self, record: RecordT, *, if_match: str | None = None, key: str | None = None) -> Stored[RecordT]:
        """Replace the record with this record's id."""
        return self._client.run(self._requests.replace(record, if_match, key))

    def delete(self, pk: str, *, if_match: str | None = None, key: str | None = None) -> None:
        """Delete a record. Raises `NotFound`."""
        self._client.run(self._requests.delete(pk, if_match, key))

    def list(self, **filters: Any) -> Iterator[RecordT]:
        """All records that pass the filters, page by page; `limit` is the size of a page."""
        call: Call[Any] | None = self._requests.page(filters)
        while call is not None:
            page = self._client.run(call)
            yield from page["results"]
            call = next_page(call, page)


class BulkRecords(Records[RecordT, NewT, ChangesT]):
    """Records with requests for many at once."""

    def create_many(self, records: Sequence[NewT], *, key: str | None = None) -> Created:
        """Create up to 500 records, all or none."""
        return self._client.run(self._requests.create_many(records, key))

    def upsert_many(self, records: Sequence[NewT], *, key: str | None = None) -> Upserted:
        """Create or replace up to 500 records, all or none."""
        return self._client.run(self._requests.upsert_many(records, key))

    def get_many(self, ids: Sequence[str]) -> dict[str, Stored[RecordT]]:
        """Those of up to 500 records that exist, by id. Records that a response omits are requested again."""
        found: dict[str, Stored[RecordT]] = {}
        left: Sequence[str] = ids
        while left:
            left = of_many(self._client.run(self._requests.get_many(left)), found)
        return found

    def delete_many(self, ids: Sequence[str], *, key: str | None = None) -> Deleted:
        """Delete up to 500 records; missing ones are no error."""
        return self._client.run(self._requests.delete_many(ids, key))


class Items(BulkRecords[Item, NewItem, ItemChanges]):
    """Memory items."""

    def search(self, question: str, **options: Unpack[SearchOptions]) -> list[FoundItem]:
        """The items that answer a question, best first."""
        found: list[FoundItem] = self.search_many([question], **options)[0]["results"]
        return found

    def search_many(self, questions: Sequence[str], **options: Unpack[SearchOptions]) -> list[Answered]:
        """The results of up to 10 questions, in their order."""
        answered: list[Answered] = self._client.run(search_call(questions, options))["searches"]
        return answered

    def context(self, question: str, *, session_id: str | None = None, **options: Unpack[ContextOptions]) -> Context:
        """Recent turns and recalled items for a language model."""
        return self._client.run(context_call(question, session_id, options))

    def duplicate(self, item_type: str, text_content: str, *, user_id: str | None = None) -> Duplicate:
        """Whether the user has an item of this type with this text."""
        return self._client.run(duplicate_call(item_type, text_content, user_id))


class Sessions(Records[Session, NewSession, SessionChanges]):
    """Conversations."""

    def history(self, pk: str, *, limit: int | None = None, as_of: str | None = None) -> Iterator[Item]:
        """The items of a session that are valid, now or `as_of` a time or `"all"`, newest first, page by page."""
        call: Call[Any] | None = history_call(pk, limit, as_of)
        while call is not None:
            page = self._client.run(call)
            yield from page["results"]
            call = next_page(call, page)


class People:
    """The erasure and the export of a person."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def erasure(self, user_id: str) -> Erasure:
        """What an erasure would cost now, how far one is, and its receipt. Changes nothing."""
        return self._client.run(erasure_call(user_id))

    def erase(self, user_id: str, *, keep_hours: int | None = None, scan: bool | None = None) -> Erasure:
        """Erase a person; return when it is finished, which takes at least some seconds. A repeated call goes on.

        Needs the permission `memory.erase_person`. Writes of the person are refused for `keep_hours`, by default 24.
        `scan=False` does not look through the data of other agents. Raises `Forbidden`.
        """
        while True:
            found = self._client.run(erase_call(user_id, {"keep_hours": keep_hours, "scan": scan}, None))
            pause = pause_before_next(found)
            if pause is None:
                return found
            time.sleep(pause)

    def export(self, user_id: str) -> Iterator[Exported]:
        """The sessions, items and data of a person that have not expired, page by page."""
        for session in self._client.sessions.list(user_id=user_id):
            yield Exported("sessions", session)
        for item in self._client.items.list(user_id=user_id):
            yield Exported("items", item)
        for data in self._client.agent_data.list(agent_id=user_id):
            yield Exported("agent_data", data)


class Client:
    """A client of a service. Close it, or use it in `with`. Threads may share it.

    `token` is an access token. `timeout` is that of one attempt, in seconds. `transport` is one of httpx, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout: float = 30.0,
        retries: Retries = Retries(),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.http = httpx.Client(base_url=url, headers=headers_of(token), timeout=timeout, transport=transport)
        self._retries = retries
        self.items = Items(self, "memory-items")
        self.agent_data: BulkRecords[AgentData, NewAgentData, AgentDataChanges] = BulkRecords(self, "agent-data")
        self.sessions = Sessions(self, "sessions")
        self.people = People(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.http.close()

    def run(self, call: Call[T]) -> T:
        """Send a request until it has an answer. Raises `ApiError` and `ConnectionFailed`."""
        attempt = 0
        while True:
            try:
                response = self.http.send(call.sent(self.http))
            except httpx.TransportError as error:
                pause = self._retries.pause_after(attempt, None)
                if pause is None:
                    raise ConnectionFailed(str(error) or type(error).__name__) from error
            else:
                pause = self._retries.pause_after(attempt, response)
                if pause is None:
                    return answer_of(call, response)
            time.sleep(pause)
            attempt += 1


def headers_of(token: str) -> dict[str, str]:
    """The headers of all requests."""
    return {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}


class AsyncRecords(Generic[RecordT, NewT, ChangesT]):
    """As `Records`."""

    def __init__(self, client: AsyncClient, collection: str) -> None:
        self._client = client
        self._requests: Requests[RecordT, NewT, ChangesT] = Requests(collection)

    async def create(self, record: NewT, *, key: str | None = None) -> Stored[RecordT]:
        """As `Records.create`."""
        return await self._client.run(self._requests.create(record, key))

    async def get(self, pk: str) -> Stored[RecordT]:
        """As `Records.get`."""
        return await self._client.run(self._requests.get(pk))

    async def get_if_changed(self, pk: str, etag: str) -> Stored[RecordT] | None:
        """As `Records.get_if_changed`."""
        return await self._client.run(self._requests.get_if_changed(pk, etag))

    async def update(
        self, pk: str, changes: ChangesT, *, if_match: str | None = None, key: str | None = None
    ) -> Stored[RecordT]:
        """As `Records.update`."""
        return await self._client.run(self._requests.update(pk, changes, if_match, key))

    async def replace(self, record: RecordT, *, if_match: str | None = None, key: str | None = None) -> Stored[RecordT]:
        """As `Records.replace`."""
        return await self._client.run(self._requests.replace(record, if_match, key))

    async def delete(self, pk: str, *, if_match: str | None = None, key: str | None = None) -> None:
        """As `Records.delete`."""
        await self._client.run(self._requests.delete(pk, if_match, key))

    async def list(self, **filters: Any) -> AsyncIterator[RecordT]:
        """As `Records.list`."""
        call: Call[Any] | None = self._requests.page(filters)
        while call is not None:
            page = await self._client.run(call)
            for record in page["results"]:
                yield record
            call = next_page(call, page)


class AsyncBulkRecords(AsyncRecords[RecordT, NewT, ChangesT]):
    """As `BulkRecords`."""

    async def create_many(self, records: Sequence[NewT], *, key: str | None = None) -> Created:
        """As `Records.create_many`."""
        return await self._client.run(self._requests.create_many(records, key))

    async def upsert_many(self, records: Sequence[NewT], *, key: str | None = None) -> Upserted:
        """As `Records.upsert_many`."""
        return await self._client.run(self._requests.upsert_many(records, key))

    async def get_many(self, ids: Sequence[str]) -> dict[str, Stored[RecordT]]:
        """As `Records.get_many`."""
        found: dict[str, Stored[RecordT]] = {}
        left: Sequence[str] = ids
        while left:
            left = of_many(await self._client.run(self._requests.get_many(left)), found)
        return found

    async def delete_many(self, ids: Sequence[str], *, key: str | None = None) -> Deleted:
        """As `Records.delete_many`."""
        return await self._client.run(self._requests.delete_many(ids, key))


class AsyncItems(AsyncBulkRecords[Item, NewItem, ItemChanges]):
    """As `Items`."""

    async def search(self, question: str, **options: Unpack[SearchOptions]) -> list[FoundItem]:
        """As `Items.search`."""
        found: list[FoundItem] = (await self.search_many([question], **options))[0]["results"]
        return found

    async def search_many(self, questions: Sequence[str], **options: Unpack[SearchOptions]) -> list[Answered]:
        """As `Items.search_many`."""
        answered: list[Answered] = (await self._client.run(search_call(questions, options)))["searches"]
        return answered

    async def context(
        self, question: str, *, session_id: str | None = None, **options: Unpack[ContextOptions]
    ) -> Context:
        """As `Items.context`."""
        return await self._client.run(context_call(question, session_id, options))

    async def duplicate(self, item_type: str, text_content: str, *, user_id: str | None = None) -> Duplicate:
        """As `Items.duplicate`."""
        return await self._client.run(duplicate_call(item_type, text_content, user_id))


class AsyncSessions(AsyncRecords[Session, NewSession, SessionChanges]):
    """As `Sessions`."""

    async def history(self, pk: str, *, limit: int | None = None, as_of: str | None = None) -> AsyncIterator[Item]:
        """As `Sessions.history`."""
        call: Call[Any] | None = history_call(pk, limit, as_of)
        while call is not None:
            page = await self._client.run(call)
            for item in page["results"]:
                yield item
            call = next_page(call, page)


class AsyncPeople:
    """As `People`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def erasure(self, user_id: str) -> Erasure:
        """As `People.erasure`."""
        return await self._client.run(erasure_call(user_id))

    async def erase(self, user_id: str, *, keep_hours: int | None = None, scan: bool | None = None) -> Erasure:
        """As `People.erase`."""
        while True:
            found = await self._client.run(erase_call(user_id, {"keep_hours": keep_hours, "scan": scan}, None))
            pause = pause_before_next(found)
            if pause is None:
                return found
            await asyncio.sleep(pause)

    async def export(self, user_id: str) -> AsyncIterator[Exported]:
        """As `People.export`."""
        async for session in self._client.sessions.list(user_id=user_id):
            yield Exported("sessions", session)
        async for item in self._client.items.list(user_id=user_id):
            yield Exported("items", item)
        async for data in self._client.agent_data.list(agent_id=user_id):
            yield Exported("agent_data", data)


class AsyncClient:
    """As `Client`, for one event loop: `async with AsyncClient(url, token=...) as memory`."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout: float = 30.0,
        retries: Retries = Retries(),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.http = httpx.AsyncClient(base_url=url, headers=headers_of(token), timeout=timeout, transport=transport)
        self._retries = retries
        self.items = AsyncItems(self, "memory-items")
        self.agent_data: AsyncBulkRecords[AgentData, NewAgentData, AgentDataChanges] = AsyncBulkRecords(
            self, "agent-data"
        )
        self.sessions = AsyncSessions(self, "sessions")
        self.people = AsyncPeople(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.http.aclose()

    async def run(self, call: Call[T]) -> T:
        """As `Client.run`."""
        attempt = 0
        while True:
            try:
                response = await self.http.send(call.sent(self.http))
            except httpx.TransportError as error:
                pause = self._retries.pause_after(attempt, None)
                if pause is None:
                    raise ConnectionFailed(str(error) or type(error).__name__) from error
            else:
                pause = self._retries.pause_after(attempt, response)
                if pause is None:
                    return answer_of(call, response)
            await asyncio.sleep(pause)
            attempt += 1
