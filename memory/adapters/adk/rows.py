"""Sessions of ADK in the database.

The metadata of a session's row have its state, and a revision that each appended event increments: an event whose
writer has seen another revision is refused. The event and the row are written by one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from django.db import IntegrityError, connections
from django.utils import timezone

from memory.adapters.paths import end_of
from memory.contention import retried_on_contention, write_transaction
from memory.history import recent, session
from memory.models import AgentData, MemoryItem, UserSession
from memory.querysets import UserSessionQuerySet
from memory.stores.validation import check_name

from .names import App, session_of, state_id

FRAMEWORK: Final = "adk"
ITEM_TYPE: Final = "message"
STATE_TYPE: Final = "adk.state"
MOST: Final = 2**31 - 1
"""The largest limit of a query on Firestore."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class About:
    """What a session's row has: its state, the count of its events, and the time of its last update in seconds.

    `last` are the ids of the last event and of its item, `newest` is that item's time.
    """

    state: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    updated: float = 0.0
    last: Sequence[str] = ()
    newest: str | None = None

    @property
    def last_event(self) -> str | None:
        """The id of the last event, if there is one."""
        return self.last[0] if self.last else None


ABSENT: Final = About(revision=-1)
STALE: Final = About(revision=-2)


@dataclass(frozen=True)
class Deltas:
    """Changes of the states of an app, a user and a session."""

    app: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """An event to append. `time` is in seconds since 1970, `form` is JSON."""

    event_id: str
    time: float
    form: Mapping[str, Any]
    role: str
    text: str
    deltas: Deltas


@dataclass(frozen=True)
class Seen:
    """What a writer knows of the session. Without a marker the time and the last event are compared."""

    marker: str | None
    updated: float
    last: str | None

    def is_current(self, about: About) -> bool:
        """Whether the row has not changed since."""
        if self.marker is not None:
            return self.marker == str(about.revision)
        return about.updated <= self.updated or about.last_event == self.last


@dataclass(frozen=True)
class Stored:
    """A session as it is stored. `items` are oldest first."""

    session_id: str
    user_id: str
    about: About
    app_state: Mapping[str, Any]
    user_state: Mapping[str, Any]
    items: Sequence[MemoryItem] = ()


@dataclass(frozen=True)
class Rows:
    """The sessions in one database."""

    alias: str

    def create(self, app: App, session_id: str, deltas: Deltas) -> Stored | None:
        """Create a session; None if there is one."""
        for argument, value in (("app_name", app.name), ("user_id", app.user_id), ("session_id", session_id)):
            check_name(argument, value)
        try:
            create = partial(self._create, app, session_id, deltas)
            stored: Stored = retried_on_contention(create, using=self.alias, keys=[app])
        except IntegrityError:
            return None
        return stored

    def _create(self, app: App, session_id: str, deltas: Deltas) -> Stored:
        now = timezone.now()
        about = About(state=deltas.session, updated=now.timestamp())
        with write_transaction(self.alias):
            app_state, user_state = self._app_state(app.name, deltas.app), self._user_state(app, deltas.user)
            _row(app.user_id, app.session(session_id), now, about).save(force_insert=True, using=self.alias)
        return Stored(session_id, app.user_id, about, app_state, user_state)

    def get(self, app: App, session_id: str, limit: int | None, after: float | None) -> Stored | None:
        """A session with its newest items, by default all; None if there is none."""
        path = app.session(session_id)
        row = session(app.user_id, path, self.alias)
        if row is None:
            return None
        about = about_of(row)
        items = self._items(app.user_id, path, MOST if limit is None else limit, after)
        shown = [item for item in items[::-1] if revision_of(item) <= about.revision]
        return Stored(session_id, app.user_id, about, self._app_state(app.name), self._user_state(app), shown)

    def _items(self, user_id: str, path: str, limit: int, after: float | None) -> list[MemoryItem]:
        """The newest items, newest first. An item's time is that of its event or later, so none is missed."""
        if limit == 0:
            return []
        if after is None or limit != MOST:
            return recent(user_id, path, limit, self.alias, superseded=True)
        items = MemoryItem.objects.using(self.alias).for_user(user_id).in_session(path).without_search_data()
        return list(items.filter(timestamp__gte=EPOCH + timedelta(seconds=after)).newest_first())

    def listed(self, app_name: str, user_id: str | None) -> list[Stored]:
        """The sessions of a user, or of all, by last update, oldest first; without items."""
        rows = list(self._sessions(app_name, user_id))
        apps = {row.user_id: App(app_name, row.user_id) for row in rows}
        ids = {UserSession.make_id(app.user_id, app.sessions): user for user, app in apps.items()}
        states = UserSession.objects.using(self.alias).in_bulk(list(ids))
        app_state = self._app_state(app_name) if rows else {}
        found = [
            Stored(str(session_of(row.session_id)), row.user_id, about_of(row), app_state, user_state)
            for row in rows
            for user_state in [_state_of(states.get(UserSession.make_id(row.user_id, apps[row.user_id].sessions)))]
            if session_of(row.session_id) is not None
        ]
        return sorted(found, key=lambda kept: (kept.about.updated, kept.user_id, kept.session_id))

    def _sessions(self, app_name: str, user_id: str | None) -> UserSessionQuerySet:
        """Rows of sessions. Those of a user are a range of ids; the ids of sessions are compared by code points."""
        rows: UserSessionQuerySet = UserSession.objects.using(self.alias)
        name = "session_id" if user_id is None else "pk"
        start = App(app_name, user_id or "").sessions
        if user_id is not None:
            start = UserSession.make_id(user_id, start)
        if connections[self.alias].vendor in ("sqlite", "firestore"):
            end = end_of(start) if user_id is None else f"{start[:-3]}%2G"
            return rows.filter(**{f"{name}__gt": start, f"{name}__lt": end}).order_by()
        return rows.filter(**{f"{name}__startswith": start}).order_by()

    def delete(self, app: App, session_id: str) -> None:
        """Delete a session and all its items."""
        pk = UserSession.make_id(app.user_id, app.session(session_id))
        UserSession.objects.using(self.alias).filter(pk=pk).delete()

    def user_state(self, app: App) -> dict[str, Any]:
        """The state of a user in an app."""
        return dict(self._user_state(app))

    def append(self, app: App, session_id: str, turn: Turn, seen: Seen) -> About:
        """Append an event; return what the session's row has then, `ABSENT` or `STALE`."""
        item = MemoryItem(
            user_id=app.user_id,
            session_id=app.session(session_id),
            item_type=ITEM_TYPE,
            text_content=turn.text or None,
        )
        MemoryItem.before_transaction([item], self.alias)
        append = partial(self._append, app, item, turn, seen)
        about: About = retried_on_contention(append, using=self.alias, keys=[(app, session_id)])
        return about

    def _append(self, app: App, item: MemoryItem, turn: Turn, seen: Seen) -> About:
        pk = UserSession.make_id(item.user_id, str(item.session_id))
        with write_transaction(self.alias):
            row = UserSession.objects.using(self.alias).select_for_update().filter(pk=pk).first()
            if row is None:
                return ABSENT
            about = about_of(row)
            if self._is_stored(about, turn):
                return about
            if not seen.is_current(about):
                return STALE
            item.timestamp = _after(about.newest, EPOCH + timedelta(seconds=turn.time))
            about = replace(
                about,
                state={**about.state, **turn.deltas.session},
                revision=about.revision + 1,
                updated=turn.time,
                last=[turn.event_id, item.pk],
                newest=item.timestamp.isoformat(),
            )
            item.metadata = {
                "role": turn.role,
                "source": FRAMEWORK,
                FRAMEWORK: {"event": dict(turn.form), "revision": about.revision},
            }
            self._app_state(app.name, turn.deltas.app)
            self._user_state(app, turn.deltas.user)
            row.metadata = {**row.metadata, FRAMEWORK: asdict(about)}
            row.last_activity = max(row.last_activity, item.timestamp)
            row.save(force_update=True, using=self.alias)
            MemoryItem.objects.using(self.alias).bulk_create([item])
        return about

    def _is_stored(self, about: About, turn: Turn) -> bool:
        """Whether the event is the last one, since a writer repeats a call whose answer it did not get."""
        if about.last_event != turn.event_id:
            return False
        item = MemoryItem.objects.using(self.alias).filter(pk=about.last[1]).first()
        return item is not None and stored_form(item).get("event") == dict(turn.form)

    def _app_state(self, app_name: str, delta: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """An app's state; with a delta it is changed before, in the caller's transaction."""
        pk, rows = state_id(app_name), AgentData.objects.using(self.alias)
        if not delta:
            row = rows.filter(pk=pk).first()
            return {} if row is None else dict(row.content)
        row = rows.select_for_update().filter(pk=pk).first()
        found = AgentData(id=pk, agent_id=app_name, data_type=STATE_TYPE, content={}) if row is None else row
        found.content = {**found.content, **delta}
        found.save(force_insert=row is None, force_update=row is not None, using=self.alias)
        return dict(found.content)

    def _user_state(self, app: App, delta: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """As `_app_state`, of a user in an app."""
        if not delta:
            return _state_of(session(app.user_id, app.sessions, self.alias))
        pk = UserSession.make_id(app.user_id, app.sessions)
        row = UserSession.objects.using(self.alias).select_for_update().filter(pk=pk).first()
        found = _row(app.user_id, app.sessions, timezone.now(), About()) if row is None else row
        state = {**_state_of(found), **delta}
        found.metadata = {**found.metadata, FRAMEWORK: {"state": state}}
        found.save(force_insert=row is None, force_update=row is not None, using=self.alias)
        return state


def about_of(row: UserSession) -> About:
    """What a session's row has; of one that ADK did not make, nothing but its time."""
    stored = row.metadata.get(FRAMEWORK)
    return About(**stored) if isinstance(stored, dict) else About(updated=row.last_activity.timestamp())


def revision_of(item: MemoryItem) -> int:
    """The revision by which ADK appended an item; 0 for an item of others."""
    return int(stored_form(item).get("revision", 0))


def stored_form(item: MemoryItem) -> Mapping[str, Any]:
    """What ADK stored with an item; nothing for an item of others."""
    stored = item.metadata.get(FRAMEWORK)
    return stored if isinstance(stored, dict) else {}


def _state_of(row: UserSession | None) -> Mapping[str, Any]:
    return {} if row is None else dict(about_of(row).state)


def _row(user_id: str, path: str, now: datetime, about: About) -> UserSession:
    return UserSession(
        user_id=user_id, session_id=path, started_at=now, last_activity=now, metadata={FRAMEWORK: asdict(about)}
    )


def _after(newest: str | None, time: datetime) -> datetime:
    """The time of an item, after that of the one before it."""
    return time if newest is None else max(time, datetime.fromisoformat(newest) + TICK)
