"""From an entry of DATABASES to a gRPC channel: which Firestore, as whom, and one channel per process.

Built on what google-cloud-firestore and grpc publish: `create_channel` of the transport, messages, paths of methods.

Credentials are tried in this order, and the first that is set must be right: `OPTIONS["credentials_json"]`,
`OPTIONS["credentials_path"]`, GOOGLE_APPLICATION_CREDENTIALS, Application Default Credentials; the last two are read by
google-auth itself. With a `HOST`, an emulator is spoken to without any.

**Forks.** gRPC's threads do not survive a fork. A channel is therefore made at the first call in a process, never taken
from a parent, and never closed there (closing waits for threads that do not exist). gRPC can be forked only while no
thread is inside it: `_gate` lets calls end, and holds new ones back, until the fork is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import google.auth
import grpc
from django.core.exceptions import ImproperlyConfigured
from google.auth import exceptions as auth_exceptions
from google.auth.credentials import Credentials
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.oauth2 import service_account
from grpc.experimental import ChannelOptions

SCOPES: Final = ("https://www.googleapis.com/auth/datastore",)
SERVICE: Final = "/google.firestore.v1.Firestore/"
FORK_WAIT_SECONDS: Final = 10.0
"""How long a fork waits for calls under way; then it goes on, and a child that uses Firestore may hang."""

JSON_SETTING: Final = "OPTIONS['credentials_json'] (GCP_SA_KEY_JSON)"
PATH_SETTING: Final = "OPTIONS['credentials_path'] (GCP_SA_KEY_PATH)"
_NO_ID: Final = re.compile(r"[\s/]")

CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),  # as google-cloud-firestore sets it
    ("grpc.initial_reconnect_backoff_ms", 100),  # gRPC's own are 1 s, growing to 120 s: a server that is back is not
    ("grpc.max_reconnect_backoff_ms", 1_000),  # asked for that long, and every call fails
    ("grpc.use_local_subchannel_pool", 1),  # the global pool would hand a parent's connections to its children
    (ChannelOptions.SingleThreadedUnaryStream, 1),  # no thread for each stream: faster, and quiet while nobody reads
)

Message = Any
"""A raw protobuf message; the classes are made at import, so a type checker does not know them."""

pb: Final[Mapping[str, Any]] = {
    name: getattr(types, name).pb() for name in types.__all__ if hasattr(getattr(types, name), "pb")
}
"""The raw protobuf classes of `google.cloud.firestore_v1.types`, by name: ten times faster than the wrapped ones."""


@dataclass(frozen=True, slots=True)
class Method:
    """One of the service's methods; `routed_by` is the request's field that tells the server where it belongs."""

    name: str
    request: str
    response: str
    routed_by: str
    streams: bool = False


METHODS: Final[Mapping[str, Method]] = {
    method.name: method
    for method in (
        Method("GetDocument", "GetDocumentRequest", "Document", "name"),
        Method("BatchGetDocuments", "BatchGetDocumentsRequest", "BatchGetDocumentsResponse", "database", streams=True),
        Method("RunQuery", "RunQueryRequest", "RunQueryResponse", "parent", streams=True),
        Method(
            "RunAggregationQuery", "RunAggregationQueryRequest", "RunAggregationQueryResponse", "parent", streams=True
        ),
        Method("Commit", "CommitRequest", "CommitResponse", "database"),
        Method("BeginTransaction", "BeginTransactionRequest", "BeginTransactionResponse", "database"),
        Method("Rollback", "RollbackRequest", "", "database"),
        Method("ListCollectionIds", "ListCollectionIdsRequest", "ListCollectionIdsResponse", "parent"),
    )
}


@dataclass(frozen=True, slots=True)
class Target:
    """One database as one account: what a channel is kept for. Secrets are in no repr."""

    project: str
    database: str = "(default)"
    emulator: str = ""
    credentials_json: str = field(default="", repr=False)
    credentials_path: str = field(default="", repr=False)


def target(settings_dict: Mapping[str, Any]) -> Target:
    """The target of one entry of DATABASES; no I/O.

    An empty PROJECT is that of the credentials, known when the first call is made; with an emulator it is needed.
    Raises `ImproperlyConfigured`.
    """
    options = settings_dict.get("OPTIONS") or {}
    host, port = str(settings_dict.get("HOST") or ""), str(settings_dict.get("PORT") or "")
    given = options.get("credentials_json") or ""
    if not isinstance(given, str | Mapping):
        raise ImproperlyConfigured(f"{JSON_SETTING} is neither text nor a map; give the service account's key")
    made = Target(
        project=str(settings_dict.get("PROJECT") or ""),
        database=str(settings_dict.get("NAME") or "(default)"),
        emulator=f"{host}:{port}" if host and port else host,
        credentials_json=given if isinstance(given, str) else _json_text(given),
        credentials_path=str(options.get("credentials_path") or ""),
    )
    if made.emulator and not made.project:
        raise ImproperlyConfigured("DATABASES: PROJECT is empty; an emulator (HOST) needs one, any name will do")
    for setting, name in (("PROJECT", made.project), ("NAME", made.database)):
        if _NO_ID.search(name):
            raise ImproperlyConfigured(f"DATABASES: {setting} is {name!r}; an id has no slash and no space")
    return made


def _json_text(key: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(key), sort_keys=True)
    except TypeError as error:
        raise ImproperlyConfigured(
            f"{JSON_SETTING} holds what is not JSON ({type(error).__name__}); give the service account's key"
        ) from None


class Wire:
    """A channel to one target, and what to call on it. Safe to share between threads, not between processes."""

    def __init__(self, channel: grpc.Channel, project: str, database: str, *, emulator: bool) -> None:
        self.channel = channel
        self.project = project
        self.database = f"projects/{project}/databases/{database}"
        self.documents = f"{self.database}/documents"
        self._metadata: tuple[tuple[str, str], ...] = (("google-cloud-resource-prefix", self.database),)
        if emulator:
            self._metadata += (("authorization", "Bearer owner"),)  # the emulator's word for "rules do not apply"
        self._stubs = {method.name: _stub(channel, method) for method in METHODS.values()}
        places = {"database": self.database, "parent": self.documents}
        self._fixed_headers = {
            method.name: self._headers_for(f"{method.routed_by}={places[method.routed_by]}")
            for method in METHODS.values()
            if method.routed_by in places
        }

    def unary(self, method: str, request: Message, timeout: float) -> Message:
        """One call; `timeout` in seconds. Raises `grpc.RpcError`."""
        with _gate:
            return self._stubs[method](request, timeout=timeout, metadata=self._headers(method, request))

    @contextlib.contextmanager
    def stream(self, method: str, request: Message, timeout: float) -> Iterator[Callable[[], Message | None]]:
        """A call that answers in parts: gives a function that returns the next, or None after the last.

        Leaving the context cancels what is under way; `timeout`, in seconds, is for the whole stream. Both the start
        and the function raise `grpc.RpcError`.
        """
        with _gate:
            call = self._stubs[method](request, timeout=timeout, metadata=self._headers(method, request))

        def read() -> Message | None:
            with _gate:
                return next(call, None)

        try:
            yield read
        finally:
            with _gate:
                call.cancel()

    def _headers(self, method: str, request: Message) -> tuple[tuple[str, str], ...]:
        known = self._fixed_headers.get(method)
        return known or self._headers_for(f"name={request.name}")

    def _headers_for(self, where: str) -> tuple[tuple[str, str], ...]:
        return (*self._metadata, ("x-goog-request-params", quote(where, safe="/=")))


def connect(to: Target) -> Wire:
    """This process's wire to a target, made at the first call; the same one for all threads.

    Raises `ImproperlyConfigured` for credentials that cannot be used, naming the setting and never its content.
    """
    with _wires_lock:
        key = (os.getpid(), to)
        if key not in _wires:
            _wires[key] = _emulator_wire(to) if to.emulator else _service_wire(to)
        return _wires[key]


def credentials(to: Target) -> tuple[Credentials, str | None]:
    """Whom a target is spoken to as, and the project that the credentials belong to."""
    if to.credentials_json:
        found = _from_json(to.credentials_json, JSON_SETTING)
        return found, found.project_id
    if to.credentials_path:
        try:
            text = Path(to.credentials_path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ImproperlyConfigured(f"{PATH_SETTING}: the file cannot be read ({type(error).__name__})") from None
        found = _from_json(text, PATH_SETTING)
        return found, found.project_id
    try:
        default, project = google.auth.default(scopes=SCOPES)
    except (auth_exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise ImproperlyConfigured(
            "no usable credentials: if GOOGLE_APPLICATION_CREDENTIALS is set, the file that it names is missing or no "
            "key; if it is not, there are no application default credentials. Set OPTIONS['credentials_json'] or "
            "OPTIONS['credentials_path'] of the database, or GOOGLE_APPLICATION_CREDENTIALS, or run "
            f"`gcloud auth application-default login` ({type(error).__name__})"
        ) from None  # the cause's text can hold parts of the file
    return default, project


def _from_json(text: str, setting: str) -> service_account.Credentials:
    try:
        info = json.loads(text)
    except ValueError:
        raise ImproperlyConfigured(
            f"{setting} is not JSON; give the service account's key as it was downloaded"
        ) from None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        raise ImproperlyConfigured(f"{setting} is not a service account's key: its `type` is not `service_account`")
    try:
        made: service_account.Credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=SCOPES
        )
    except (ValueError, TypeError, auth_exceptions.GoogleAuthError) as error:
        raise ImproperlyConfigured(
            f"{setting} is not a complete service account's key ({type(error).__name__}); download it again"
        ) from None
    return made


def _service_wire(to: Target) -> Wire:
    found, project = credentials(to)
    project = to.project or project or ""
    if not project:
        raise ImproperlyConfigured(
            "no project: set PROJECT (GCP_PROJECT_ID) of the database, the credentials name none"
        )
    channel = FirestoreGrpcTransport.create_channel(
        f"{FirestoreGrpcTransport.DEFAULT_HOST}:443", credentials=found, options=CHANNEL_OPTIONS
    )
    return Wire(channel, project, to.database, emulator=False)


def _emulator_wire(to: Target) -> Wire:
    return Wire(grpc.insecure_channel(to.emulator, options=CHANNEL_OPTIONS), to.project, to.database, emulator=True)


def _stub(channel: grpc.Channel, method: Method) -> Callable[..., Any]:
    make = channel.unary_stream if method.streams else channel.unary_unary
    parse = pb[method.response].FromString if method.response else _empty_response
    call: Callable[..., Any] = make(
        SERVICE + method.name, request_serializer=pb[method.request].SerializeToString, response_deserializer=parse
    )
    return call


def _empty_response(data: bytes) -> bytes:
    """google.protobuf.Empty has nothing to read; None would mean that it could not be read."""
    return data


class _ForkGate:
    """Counts the calls that are inside gRPC, so that a fork can wait until there are none."""

    def __init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._inside = 0
        self._forking = False

    def __enter__(self) -> None:
        with self._lock:
            while self._forking:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._forking and not self._inside:
                self._changed.notify_all()

    def before_fork(self) -> None:
        self._changed.acquire()
        self._forking = True
        self._changed.wait_for(lambda: not self._inside, FORK_WAIT_SECONDS)

    def after_fork_in_parent(self) -> None:
        self._forking = False
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        self._open()  # the threads that were counted are the parent's


_gate = _ForkGate()
_wires: dict[tuple[int, Target], Wire] = {}  # a parent's stay, unused: to collect them would close them
_wires_lock = threading.Lock()


def _renew_lock() -> None:
    global _wires_lock
    _wires_lock = threading.Lock()


os.register_at_fork(
    before=_gate.before_fork, after_in_parent=_gate.after_fork_in_parent, after_in_child=_gate.after_fork_in_child
)
os.register_at_fork(after_in_child=_renew_lock)
