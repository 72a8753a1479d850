"""ADK's session service."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from memory.adapters.extras import missing
from memory.adapters.owned import Connected

try:
    from google.adk.errors._stale_session_error import StaleSessionError
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.errors.session_not_found_error import SessionNotFoundError
    from google.adk.events.event import Event
    from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
    from google.adk.sessions.session import Session
    from google.adk.sessions.state import State
    from pydantic_core import to_jsonable_python
except ImportError as error:
    raise missing("adk", error) from error

from .events import event_of, form_of, role_of, text_of
from .names import App

if TYPE_CHECKING:
    from memory.lifecycle.erasure import Progress

    from .rows import Deltas, Stored

T = TypeVar("T")

# By a hash of the session: appends to one session object take turns, so each sees the marker that the last one left.
TURNS: Final = tuple(threading.Lock() for _ in range(64))
PREFIXES: Final[Mapping[str, str]] = {State.APP_PREFIX: "app", State.USER_PREFIX: "user"}


class DjangoSessionService(Connected, BaseSessionService):
    """Sessions of ADK in the memories of their users.

    Events are memory items of the type `message`, read through the conversation cache if there is one. The state of a
    session and of a user are in rows of sessions, that of an app in agent data. A session belongs to its `user_id`: no
    method reads or changes another user's, but `list_sessions` without a user.

    Errors of the database are raised as `memory.exceptions.StorageError`, values beyond its limits as
    `ValidationError`.
    """

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Create a session. Raises `AlreadyExistsError` if the user has one with this id in the app."""
        wanted = (session_id or "").strip() or uuid4().hex
        deltas = deltas_of(state or {})
        app = App(app_name, user_id)
        stored = await self._run(lambda rows: rows.create(app, wanted, deltas))
        if stored is None:
            raise AlreadyExistsError(f"Session with id {wanted} already exists.")
        return _session(app_name, stored)

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """A session with its events, oldest first; None if there is none. `config` restricts the events."""
        limit = None if config is None else config.num_recent_events
        after = None if config is None else config.after_timestamp
        stored = await self._run(lambda rows: rows.get(App(app_name, user_id), session_id.strip(), limit, after))
        if stored is None:
            return None
        events = [event for event in map(event_of, stored.items) if event is not None]
        shown = events if after is None else [event for event in events if event.timestamp >= after]
        return _session(app_name, stored, shown)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """The sessions of a user in the app, or without one of all users, by last update, oldest first."""
        found = await self._run(lambda rows: rows.listed(app_name, user_id))
        return ListSessionsResponse(sessions=[_session(app_name, stored) for stored in found])

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events. The states of user and app stay."""
        await self._run(lambda rows: rows.delete(App(app_name, user_id), session_id.strip()))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """The user's state in the app, by keys without their prefix."""
        return await self._run(lambda rows: rows.user_state(App(app_name, user_id)))

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event and the state that it changes, together; a partial event is not stored.

        Raises `StaleSessionError` if the session changed since it was read, and `SessionNotFoundError`. An event that
        is appended twice is stored once.
        """
        if event.partial or any(known == event for known in session.events if known.id == event.id):
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        await self.acall(partial(self._append, session, event))
        return self._commit_event_to_session(session, event)

    async def erase_user(self, *, user_id: str, by: str = "") -> Progress:
        """Erase a user: all that the project stores of them, whatever wrote it. `by` says who asked for it.

        It returns when nothing is left, which takes some seconds; `receipt` of the result is the text of the receipt.
        Writes of the user are refused for a day.
        """
        return await self.acall(partial(self._erase, user_id, by))

    def _append(self, session: Session, event: Event) -> None:
        from memory.exceptions import storage_errors  # needs django.setup()

        from .rows import ABSENT, STALE, Rows, Seen, Turn  # needs django.setup()

        app = App(session.app_name, session.user_id)
        role, text = role_of(event.author, event.content), text_of(event.content)
        turn = Turn(event.id, event.timestamp, form_of(event), role, text, deltas_of(event.actions.state_delta))
        with TURNS[hash((app, session.id)) % len(TURNS)], storage_errors("Appending an event"):
            last = session.events[-1].id if session.events else None
            seen = Seen(session._storage_update_marker, session.last_update_time, last)
            stored = Rows(self.alias).append(app, session.id, turn, seen)
            if stored is ABSENT:
                raise SessionNotFoundError(f"Session {session.id} not found.")
            if stored is STALE:
                raise StaleSessionError(
                    "The session has been modified in storage since it was loaded. Reload it first."
                )
            session._storage_update_marker = str(stored.revision)
            session.last_update_time = stored.updated

    async def _run(self, function: Callable[[Any], T]) -> T:
        return await self.acall(partial(self._with_rows, function))

    def _with_rows(self, function: Callable[[Any], T]) -> T:
        from memory.exceptions import storage_errors  # needs django.setup()

        from .rows import Rows  # needs django.setup()

        with storage_errors("Using the sessions"):
            return function(Rows(self.alias))


def deltas_of(state: Mapping[str, Any]) -> Deltas:
    """Changes of state by where they are kept, as JSON; those of `temp:` are left out."""
    from .rows import Deltas  # needs django.setup()

    kept: dict[str, dict[str, Any]] = {"app": {}, "user": {}, "session": {}}
    for key, value in to_jsonable_python(dict(state), serialize_unknown=True).items():
        prefix = next((prefix for prefix in (*PREFIXES, State.TEMP_PREFIX) if key.startswith(prefix)), "")
        if prefix != State.TEMP_PREFIX:
            kept[PREFIXES.get(prefix, "session")][key.removeprefix(prefix)] = value
    return Deltas(**kept)


def _session(app_name: str, stored: Stored, events: list[Event] | None = None) -> Session:
    state = dict(stored.about.state)
    for prefix, scoped in ((State.APP_PREFIX, stored.app_state), (State.USER_PREFIX, stored.user_state)):
        state |= {f"{prefix}{key}": value for key, value in scoped.items()}
    session = Session(
        id=stored.session_id,
        app_name=app_name,
        user_id=stored.user_id,
        state=state,
        events=events or [],
        last_update_time=stored.about.updated,
    )
    session._storage_update_marker = str(stored.about.revision)
    return session
