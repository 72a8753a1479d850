"""ADK's session service: the contract of ADK's own services, written as ours, and traps seen in others."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.utils import timezone
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.genai import types

from memory.adapters.adk import DjangoSessionService
from memory.exceptions import ValidationError
from memory.models import AgentData, MemoryItem, UserSession
from tests.adapters import DATABASE

pytestmark = DATABASE

ADA: dict[str, Any] = {"app_name": "guide", "user_id": "ada"}
BOB: dict[str, Any] = {"app_name": "guide", "user_id": "bob"}


@pytest.fixture
def service() -> DjangoSessionService:
    return DjangoSessionService()


def run(function: Any, *args: Any, **options: Any) -> Any:
    """The result of a coroutine function."""
    return async_to_sync(function)(*args, **options)


def said(text: str, author: str = "user", **options: Any) -> Event:
    """An event with a text."""
    role = "user" if author == "user" else "model"
    return Event(author=author, content=types.Content(role=role, parts=[types.Part(text=text)]), **options)


def changed(delta: dict[str, Any], **options: Any) -> Event:
    """An event that changes state."""
    return Event(author="user", actions=EventActions(state_delta=delta), **options)


def texts(session: Session | None) -> list[str]:
    """What is said in a session."""
    assert session is not None
    return [event.content.parts[0].text for event in session.events]  # type: ignore[union-attr, index, misc]


def test_a_session_is_read_as_it_was_created(service: DjangoSessionService) -> None:
    """With its state and time; a missing one is None, also after it was deleted."""
    assert isinstance(service, BaseSessionService)
    assert run(service.get_session, **ADA, session_id="trip") is None
    created = run(service.create_session, **ADA, state={"key": "value", "none": None, "rows": [[1, [2]], []]})
    assert created.id
    assert created.state == {"key": "value", "none": None, "rows": [[1, [2]], []]}
    assert abs(created.last_update_time - timezone.now().timestamp()) < 10
    assert run(service.get_session, **ADA, session_id=created.id) == created
    run(service.delete_session, **ADA, session_id=created.id)
    run(service.delete_session, **ADA, session_id=created.id)
    assert run(service.get_session, **ADA, session_id=created.id) is None


def test_an_id_is_taken_once(service: DjangoSessionService) -> None:
    """By each user in each app. Spaces around an id are not part of it."""
    run(service.create_session, **ADA, session_id=" trip ")
    with pytest.raises(AlreadyExistsError):
        run(service.create_session, **ADA, session_id="trip")
    for other in (BOB, {"app_name": "other", "user_id": "ada"}):
        run(service.create_session, **other, session_id="trip")
    assert run(service.get_session, **ADA, session_id=" trip").id == "trip"
    run(service.delete_session, **ADA, session_id="trip ")
    assert run(service.get_session, **ADA, session_id="trip") is None
    assert run(service.get_session, **BOB, session_id="trip") is not None
    assert run(service.create_session, **ADA, session_id="  ").id.strip()


@pytest.mark.parametrize("names", [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("adk", "adk/"), ("Ä", "A\u0308")])
def test_names_never_collide(service: DjangoSessionService, names: tuple[str, str]) -> None:
    """Whatever characters they contain."""
    app, session_id = names
    run(service.create_session, app_name=app, user_id="ada", session_id=session_id, state={"app:x": 1, "user:x": 2})
    for other in (("a", "b"), ("a/b", "c/"), ("a", "b%2Fc"), ("a%2Fb", "c%"), ("A", "c"), ("A\u0308", "Ä")):
        assert run(service.get_session, app_name=other[0], user_id="ada", session_id=other[1]) is None
    assert [one.id for one in run(service.list_sessions, app_name=app, user_id="ada").sessions] == [session_id]


def test_sessions_are_listed_by_their_last_update(service: DjangoSessionService) -> None:
    """Of a user, or of all; with merged states, without events. An empty user is no wildcard."""
    for user, ids in (("ada", ["b", "a"]), ("bob", ["a"]), ("ad", ["x"])):
        for session_id in ids:
            state = {"is": f"{user} {session_id}", "user:name": user, "app:kind": "guide"}
            run(service.create_session, app_name="guide", user_id=user, session_id=session_id, state=state)
    run(service.create_session, app_name="guides", user_id="ada", session_id="z")
    first = run(service.get_session, **ADA, session_id="b")
    run(service.append_event, first, said("later", timestamp=timezone.now().timestamp() + 60))
    found = run(service.list_sessions, **ADA).sessions
    assert [one.id for one in found] == ["a", "b"]
    assert found[0].state == {"is": "ada a", "user:name": "ada", "app:kind": "guide"}
    assert found[1].events == []
    everyone = run(service.list_sessions, app_name="guide").sessions
    assert [(one.user_id, one.id) for one in everyone] == [("ada", "a"), ("bob", "a"), ("ad", "x"), ("ada", "b")]
    assert [one.state["user:name"] for one in everyone] == ["ada", "bob", "ad", "ada"]
    assert run(service.list_sessions, app_name="guide", user_id="").sessions == []
    assert run(service.list_sessions, app_name="none").sessions == []


def test_states_are_shared_by_their_prefix(service: DjangoSessionService) -> None:
    """`app:` by all users of the app, `user:` by the user's sessions in it, others by nobody, `temp:` is not stored."""
    first = run(service.create_session, **ADA, state={"app:a": 1, "user:u": 1, "s": 1, "temp:t": 1})
    event = changed({"app:b": {"deep": [[2]]}, "user:v": 2, "s2": 2, "temp:t": 2})
    run(service.append_event, first, event)
    assert first.state["temp:t"] == 2
    assert "temp:t" not in event.actions.state_delta
    mine = run(service.get_session, **ADA, session_id=first.id)
    assert mine.state == {"app:a": 1, "app:b": {"deep": [[2]]}, "user:u": 1, "user:v": 2, "s": 1, "s2": 2}
    assert run(service.create_session, **ADA).state == {
        "app:a": 1,
        "app:b": {"deep": [[2]]},
        "user:u": 1,
        "user:v": 2,
    }
    assert run(service.create_session, **BOB).state == {"app:a": 1, "app:b": {"deep": [[2]]}}
    assert run(service.create_session, app_name="other", user_id="ada").state == {}
    assert run(service.get_user_state, **ADA) == {"u": 1, "v": 2}
    assert run(service.get_user_state, **BOB) == run(service.get_user_state, app_name="x", user_id="ada") == {}


def test_a_state_is_replaced_by_key(service: DjangoSessionService) -> None:
    """A map is not merged with the one before, and None is a value."""
    session = run(service.create_session, **ADA, state={"app:m": {"a": 1, "b": 2}, "user:m": {"a": 1}, "m": {"a": 1}})
    run(service.append_event, session, changed({"app:m": {"a": 3}, "user:m": {"b": 1}, "m": None}))
    state = run(service.get_session, **ADA, session_id=session.id).state
    assert state == {"app:m": {"a": 3}, "user:m": {"b": 1}, "m": None}


PICTURE = types.Part.from_bytes(data=bytes(range(256)), mime_type="image/png")
EVENTS = [
    said("Hello"),
    Event(
        author="guide",
        content=types.Content(
            role="model",
            parts=[
                types.Part(text="I think", thought=True),
                types.Part(function_call=types.FunctionCall(id="c", name="look", args={"rows": [[1, [2]], [], None]})),
            ],
        ),
        long_running_tool_ids={"b", "a"},
        invocation_id="i1",
        branch="a.b",
    ),
    Event(
        author="guide",
        content=types.Content(
            role="user",
            parts=[
                types.Part(
                    function_response=types.FunctionResponse(id="c", name="look", response={"r": [[["x"]]], "n": None})
                )
            ],
        ),
        actions=EventActions(artifact_delta={"file": 0}, transfer_to_agent="other", escalate=True),
    ),
    Event(
        author="user",
        content=types.Content(role="user", parts=[PICTURE]),
        grounding_metadata=types.GroundingMetadata(search_entry_point=types.SearchEntryPoint(sdk_blob=b"\xff")),
    ),
    Event(author="guide", turn_complete=True, partial=False, error_code="e", error_message="m", interrupted=True),
    Event(author="guide", custom_metadata={"": [[1]], "__k__": {"a.b": None}}, timestamp=1_700_000_000.123),
]


def test_events_come_back_as_they_were_appended(service: DjangoSessionService) -> None:
    """Tool calls, nested lists, bytes, and what has no content."""
    session = run(service.create_session, **ADA)
    for event in EVENTS:
        run(service.append_event, session, event.model_copy(deep=True))
    assert session.events == EVENTS
    assert run(service.get_session, **ADA, session_id=session.id) == session
    assert session.last_update_time == 1_700_000_000.123


def test_events_of_one_instant_keep_their_order(service: DjangoSessionService) -> None:
    """Also if clocks differ; each has the time that it came with."""
    session, now = run(service.create_session, **ADA), timezone.now().timestamp()
    times = [now] * 20 + [now + 3_600, now - 3_600, now - 3_600, now]
    for number, time in enumerate(times):
        run(service.append_event, session, said(str(number), timestamp=time))
    found = run(service.get_session, **ADA, session_id=session.id)
    assert texts(found) == [str(number) for number in range(len(times))]
    assert [event.timestamp for event in found.events] == times
    assert found.last_update_time == now


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_recent_events": 0},
        {"num_recent_events": 3},
        {"num_recent_events": 10},
        {"after_timestamp": 4.0},
        {"after_timestamp": 0.0},
        {"after_timestamp": 50.0},
        {"num_recent_events": 3, "after_timestamp": 4.0},
        {"num_recent_events": 1, "after_timestamp": 1.0},
        {"num_recent_events": 2, "after_timestamp": 50.0},
    ],
)
def test_events_are_restricted_as_by_the_reference(service: DjangoSessionService, config: dict[str, Any]) -> None:
    """By number, by time (inclusive), and by both."""
    found = []
    for one in (service, InMemorySessionService()):
        session = run(one.create_session, **ADA, session_id="trip")
        for time in (1, 2, 3, 4, 4, 5):
            run(one.append_event, session, said(f"at {time}", timestamp=float(time)))
        found.append(texts(run(one.get_session, **ADA, session_id="trip", config=GetSessionConfig(**config))))
    assert found[0] == found[1]


def test_an_older_event_hides_none_before_it(service: DjangoSessionService) -> None:
    """`after_timestamp` compares the time of each event, as the SQL services of ADK do."""
    session = run(service.create_session, **ADA)
    for text, time in {"first": 1010.0, "second": 1020.0, "late": 1005.0}.items():
        run(service.append_event, session, said(text, timestamp=time))
    config = GetSessionConfig(after_timestamp=1008.0)
    assert texts(run(service.get_session, **ADA, session_id=session.id, config=config)) == ["first", "second"]


def test_partial_events_are_not_stored(service: DjangoSessionService) -> None:
    """Nor the state that they change."""
    session = run(service.create_session, **ADA)
    run(service.append_event, session, said("He", partial=True, actions=EventActions(state_delta={"x": 1})))
    assert session.events == []
    assert run(service.get_session, **ADA, session_id=session.id).events == []
    assert run(service.get_session, **ADA, session_id=session.id).state == {}


def test_a_stale_session_is_refused(service: DjangoSessionService) -> None:
    """Nothing of its event is stored; a small difference of times is not stale, nor a current one without a marker."""
    mine = run(service.create_session, **ADA)
    run(service.append_event, mine, changed({"one": 1}))
    theirs = run(service.get_session, **ADA, session_id=mine.id)
    run(service.append_event, theirs, changed({"two": 2}))
    for stale in (mine, mine.model_copy(deep=True, update={"last_update_time": 0.0})):
        with pytest.raises(StaleSessionError, match="modified in storage"):
            run(service.append_event, stale, changed({"three": 3, "app:three": 3, "user:three": 3}))
    mine._storage_update_marker = None
    mine.last_update_time -= 60
    with pytest.raises(ValueError, match="modified in storage"):
        run(service.append_event, mine, changed({"three": 3}))
    stored = run(service.get_session, **ADA, session_id=mine.id)
    assert stored.state == {"one": 1, "two": 2}
    assert len(stored.events) == 2
    stored.last_update_time -= 0.001
    run(service.append_event, stored, said("fresh"))
    stored._storage_update_marker = None
    stored.last_update_time -= 0.001
    run(service.append_event, stored, said("without a marker"))
    [*_, fresh, last] = run(service.get_session, **ADA, session_id=mine.id).events
    assert [one.content.parts[0].text for one in (fresh, last)] == ["fresh", "without a marker"]
    with pytest.raises(SessionNotFoundError):
        run(service.append_event, Session(id="none", app_name="guide", user_id="ada"), said("x"))
    assert run(service.get_session, **ADA, session_id="none") is None


def test_an_event_that_is_appended_twice_is_stored_once(service: DjangoSessionService) -> None:
    """By one session object, and by one that did not get the answer. Another event with the same id is kept."""
    session = run(service.create_session, **ADA, state={"user:n": 0})
    before = session.model_copy(deep=True)
    event = said("Hello", id="e1", actions=EventActions(state_delta={"user:n": 1}))
    run(service.append_event, session, event)
    run(service.append_event, session, event.model_copy(deep=True))
    run(service.append_event, before, event.model_copy(deep=True))
    assert before._storage_update_marker == session._storage_update_marker == "1"
    run(service.append_event, before, said("Other", id="e1"))
    assert texts(run(service.get_session, **ADA, session_id=session.id)) == ["Hello", "Other"]


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
def test_of_concurrent_writers_one_wins(service: DjangoSessionService) -> None:
    """Copies of a session contend; appends to one session object take turns."""

    async def contend() -> Any:
        session = await service.create_session(**ADA, session_id="trip")
        refused = 0
        for number in range(5):
            copies = [session.model_copy(deep=True) for _ in range(3)]
            appends = (
                service.append_event(one, changed({f"n{number}": place, f"user:n{place}": number}))
                for place, one in enumerate(copies)
            )
            results = await asyncio.gather(*appends, return_exceptions=True)
            refused += sum(isinstance(result, StaleSessionError) for result in results)
            found = await service.get_session(**ADA, session_id="trip")
            assert found is not None
            session = found
        await asyncio.gather(*(service.append_event(session, said(str(number))) for number in range(5)))
        return refused, await service.get_session(**ADA, session_id="trip")

    refused, session = async_to_sync(contend)()
    assert refused == 10
    assert len(session.events) == 10
    assert set(session.state) >= {f"n{number}" for number in range(5)}


def test_a_value_beyond_the_limits_stores_nothing(service: DjangoSessionService) -> None:
    """The session is as before, and may be used on."""
    session = run(service.create_session, **ADA)
    for bad in (said("x" * 1_100_000), changed({"big": "x" * 1_100_000}), changed({"app:nan": float("nan")})):
        with pytest.raises(ValidationError):
            run(service.append_event, session, bad)
    for options in ({"user_id": "", "app_name": "guide"}, {"user_id": "ada", "app_name": ""}):
        with pytest.raises(ValidationError):
            run(service.create_session, **options)
    run(service.append_event, session, said("fine"))
    stored = run(service.get_session, **ADA, session_id=session.id)
    assert texts(stored) == ["fine"]
    assert stored.state == {}


def test_values_that_are_not_json_are_stored_as_text(service: DjangoSessionService) -> None:
    """As by ADK's services: dates by their ISO form, others by their representation."""
    now = timezone.now()
    session = run(service.create_session, **ADA, state={"time": now, "many": {1}, "call": len})
    state = run(service.get_session, **ADA, session_id=session.id).state
    assert state["time"].startswith(now.strftime("%Y-%m-%dT%H:%M:%S"))
    assert state["many"] == [1]
    assert "len" in state["call"]


def test_events_are_memories(service: DjangoSessionService, make_item: Any) -> None:
    """Search finds them, with roles; a session has what others wrote into it, but not results of their tools."""
    session = run(service.create_session, **ADA, session_id="trip")
    run(service.append_event, session, said("My favourite dish is risotto with saffron"))
    run(service.append_event, session, EVENTS[1].model_copy(deep=True))
    run(service.append_event, session, EVENTS[2].model_copy(deep=True))
    [best, *_] = MemoryItem.objects.search("Which dish is the favourite?", user_id="ada", limit=1)
    assert (best.role, best.session_id, best.item_type) == ("user", "adk/guide/trip/", "message")
    items = MemoryItem.objects.for_user("ada").newest_first()
    assert [(item.role, bool(item.text_content)) for item in items] == [
        ("tool", False),
        ("assistant", False),
        ("user", True),
    ]
    make_item(session_id="adk/guide/trip/", text_content="From elsewhere", metadata={"role": "assistant"})
    make_item(session_id="adk/guide/trip/", text_content="A result", metadata={"role": "tool"})
    [*others, last] = run(service.get_session, **ADA, session_id="trip").events
    assert len(others) == 3
    assert (last.author, last.content.parts[0].text) == ("assistant", "From elsewhere")


def test_a_deleted_session_leaves_nothing(service: DjangoSessionService) -> None:
    """But the states of user and app, which other sessions share."""
    for session_id in ("trip", "trip_2027"):
        session = run(service.create_session, **ADA, session_id=session_id, state={"app:a": 1, "user:u": 1})
        run(service.append_event, session, said("Hello"))
    run(service.delete_session, **ADA, session_id="trip")
    with pytest.raises(SessionNotFoundError):
        run(service.append_event, Session(id="trip", app_name="guide", user_id="ada"), said("x"))
    assert MemoryItem.all_objects.count() == 1
    assert {row.session_id for row in UserSession.objects.all()} == {"adk/guide/", "adk/guide/trip_2027/"}
    assert AgentData.objects.get().content == {"a": 1}
    again = run(service.create_session, **ADA, session_id="trip")
    assert again.events == []
    assert again.state == {"app:a": 1, "user:u": 1}


def test_a_clock_that_is_set_back_loses_nothing(service: DjangoSessionService) -> None:
    """Events come after those that are stored."""
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        session = run(service.create_session, **ADA)
        run(service.append_event, session, said("one"))
        clock.move_to(start - timedelta(days=1))
        run(service.append_event, session, said("two"))
        assert texts(run(service.get_session, **ADA, session_id=session.id)) == ["one", "two"]
        recent = run(service.get_session, **ADA, session_id=session.id, config=GetSessionConfig(num_recent_events=1))
        assert texts(recent) == ["two"]
