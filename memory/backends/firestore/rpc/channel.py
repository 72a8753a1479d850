"""gRPC channels: the target and credentials of an entry of DATABASES, and one channel per process and target.

This uses public APIs of google-cloud-firestore and grpc only: `create_channel` of the transport, the messages, and the
method paths.

Credentials are looked up in this order, and the first that is set is used: `OPTIONS["credentials_json"]`,
`OPTIONS["credentials_path"]`, GOOGLE_APPLICATION_CREDENTIALS, Application Default Credentials. google-auth reads the
last two. A `HOST` selects an emulator, which needs no credentials.

**Forks.** gRPC's threads do not survive a fork. A channel is therefore created at the first call in a process, never
inherited from a parent, and never closed in a child (closing waits for threads that do not exist). A process can fork
only while no thread is inside gRPC: before a fork, `_gate` waits for running calls and blocks new ones.
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

from memory.backends import clock

SCOPES: Final = ("https://www.googleapis.com/auth/datastore",)
SERVICE: Final = "/google.firestore.v1.Firestore/"
FORK_WAIT_SECONDS: Final = 10.0
"""How long a fork waits for running calls. After that it proceeds, and a child that uses Firestore may hang."""

JSON_SETTING: Final = "OPTIONS['credentials_json'] (GCP_SA_KEY_JSON)"
PATH_SETTING: Final = "OPTIONS['credentials_path'] (GCP_SA_KEY_PATH)"
ROUTING_HEADER: Final = "x-goog-request-params"
_UNQUOTED: Final = re.compile(r"[\w/=.~-]*", re.ASCII)
"""Text that `quote` leaves as it is; to quote the name of a document takes longer than to encode its request."""

_NO_ID: Final = re.compile(r"[\s/]")

CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),  # as google-cloud-firestore sets it
    ("grpc.initial_reconnect_backoff_ms", 100),  # gRPC's defaults are 1 s and 120 s: calls would fail for up to two
    ("grpc.max_reconnect_backoff_ms", 1_000),  # minutes after a server is available again
    ("grpc.use_local_subchannel_pool", 1),  # the global pool would share a parent's connections with its children
    (ChannelOptions.SingleThreadedUnaryStream, 1),  # no thread per stream: faster, and idle while nothing is read
)

Message = Any
"""A raw protobuf message. The classes are created at import time, so type checkers do not know them."""

pb: Final[Mapping[str, Any]] = {
    name: getattr(types, name).pb() for name in types.__all__ if hasattr(getattr(types, name), "pb")
}
"""The raw protobuf classes of `google.cloud.firestore_v1.types`, by name: ten times faster than proto-plus."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the service. `routed_by` is the request's field for the routing header."""

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
    """A database and the credentials to access it. There is one channel per target. Secrets are left out of repr()."""

    project: str
    database: str = "(default)"
    emulator: str = ""
    credentials_json: str = field(default="", repr=False)
    credentials_path: str = field(default="", repr=False)


def target(settings_dict: Mapping[str, Any]) -> Target:
    """The target of an entry of DATABASES. No I/O.

    If PROJECT is empty, the project of the credentials is used, resolved at the first call. An emulator needs a
    PROJECT. Raises `ImproperlyConfigured`.
    """
    options = settings_dict.get("OPTIONS") or {}
    host, port = str(settings_dict.get("HOST") or ""), str(settings_dict.get("PORT") or "")
    given = options.get("credentials_json") or ""
    if not isinstance(given, str | Mapping):
        raise ImproperlyConfigured(f"{JSON_SETTING} must be a service account key, as a string or a mapping")
    made = Target(
        project=str(settings_dict.get("PROJECT") or ""),
        database=str(settings_dict.get("NAME") or "(default)"),
        emulator=f"{host}:{port}" if host and port else host,
        credentials_json=given if isinstance(given, str) else _json_text(given),
        credentials_path=str(options.get("credentials_path") or ""),
    )
    if made.emulator and not made.project:
        raise ImproperlyConfigured("DATABASES: PROJECT is empty; with an emulator (HOST) set it to any project name")
    for setting, name in (("PROJECT", made.project), ("NAME", made.database)):
        if _NO_ID.search(name):
            raise ImproperlyConfigured(f"DATABASES: {setting} is {name!r}; it must not contain slashes or spaces")
    return made


def _json_text(key: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(key), sort_keys=True)
    except TypeError as error:
        raise ImproperlyConfigured(
            f"{JSON_SETTING} contains values that are not JSON ({type(error).__name__}); use a service account key"
        ) from None


class Wire:
    """A channel to one target, with its methods. Threads may share it, processes may not."""

    def __init__(self, channel: grpc.Channel, project: str, database: str, *, emulator: bool) -> None:
        self.channel = channel
        self.project = project
        self.database = f"projects/{project}/databases/{database}"
        self.documents = f"{self.database}/documents"
        self._metadata: tuple[tuple[str, str], ...] = (("google-cloud-resource-prefix", self.database),)
        if emulator:
            self._metadata += (("authorization", "Bearer owner"),)  # makes the emulator bypass security rules
        self._stubs = {method.name: _stub(channel, method) for method in METHODS.values()}
        self._name_prefix = _quoted(f"name={self.documents}")
        places = {"database": self.database, "parent": self.documents}
        self._fixed_headers = {
            method.name: self._headers_for(f"{method.routed_by}={places[method.routed_by]}")
            for method in METHODS.values()
            if method.routed_by in places
        }

    def unary(self, method: str, request: Message, timeout: float) -> Message:
        """Makes one unary call. `timeout` is in seconds. Raises `grpc.RpcError`."""
        with _gate:
            return self._stubs[method](
                request, timeout=timeout + clock.shift(), metadata=self._headers(method, request)
            )

    @contextlib.contextmanager
    def stream(self, method: str, request: Message, timeout: float) -> Iterator[Callable[[], Message | None]]:
        """Makes a streaming call. Yields a function that returns the next message, or None after the last.

        Leaving the context cancels the call. `timeout`, in seconds, applies to the whole stream. Both the start and
        the function raise `grpc.RpcError`.
        """
        with _gate:
            call = self._stubs[method](
                request, timeout=timeout + clock.shift(), metadata=self._headers(method, request)
            )

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
        if known is not None:
            return known
        path = request.name[len(self.documents) :]
        path = path if _UNQUOTED.fullmatch(path) else _quoted(path)
        return (*self._metadata, (ROUTING_HEADER, self._name_prefix + path))

    def _headers_for(self, where: str) -> tuple[tuple[str, str], ...]:
        return (*self._metadata, (ROUTING_HEADER, _quoted(where)))


def _quoted(text: str) -> str:
    return quote(text, safe="/=")


def connect(to: Target) -> Wire:
    """This process's wire to a target, created at the first call and shared by all threads.

    Raises `ImproperlyConfigured` for unusable credentials. The message names the setting and never its content.
    """
    with _wires_lock:
        key = (os.getpid(), to)
        if key not in _wires:
            _wires[key] = _emulator_wire(to) if to.emulator else _service_wire(to)
        return _wires[key]


def credentials(to: Target) -> tuple[Credentials, str | None]:
    """The credentials of a target, and their project."""
    if to.credentials_json:
        found = _from_json(to.credentials_json, JSON_SETTING)
        return found, found.project_id
    if to.credentials_path:
        try:
            text = Path(to.credentials_path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ImproperlyConfigured(f"{PATH_SETTING}: cannot read the file ({type(error).__name__})") from None
        found = _from_json(text, PATH_SETTING)
        return found, found.project_id
    try:
        default, project = google.auth.default(scopes=SCOPES)
    except (auth_exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise ImproperlyConfigured(
            "no usable credentials: either GOOGLE_APPLICATION_CREDENTIALS names a file that is missing or not a key, "
            "or it is not set and there are no application default credentials. Set OPTIONS['credentials_json'] or "
            "OPTIONS['credentials_path'] of the database, or GOOGLE_APPLICATION_CREDENTIALS, or run "
            f"`gcloud auth application-default login` ({type(error).__name__})"
        ) from None  # the cause's message can contain parts of the file
    return default, project


def _from_json(text: str, setting: str) -> service_account.Credentials:
    try:
        info = json.loads(text)
    except ValueError:
        raise ImproperlyConfigured(
            f"{setting} is not valid JSON; set it to the service account key file as downloaded"
        ) from None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        raise ImproperlyConfigured(f"{setting} is not a service account key: its `type` is not `service_account`")
    try:
        made: service_account.Credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=SCOPES
        )
    except (ValueError, TypeError, auth_exceptions.GoogleAuthError) as error:
        raise ImproperlyConfigured(
            f"{setting} is not a valid service account key ({type(error).__name__}); download it again"
        ) from None
    return made


def _service_wire(to: Target) -> Wire:
    found, project = credentials(to)
    project = to.project or project or ""
    if not project:
        raise ImproperlyConfigured(
            "no project: the credentials contain no project id; set PROJECT (GCP_PROJECT_ID) of the database"
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
    """Deserializes google.protobuf.Empty. gRPC treats None as a deserialization failure."""
    return data


class _ForkGate:
    """Counts the calls that are inside gRPC, so that a fork can wait for them."""

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
        self._open()  # the counted threads belong to the parent


_gate = _ForkGate()
_wires: dict[tuple[int, Target], Wire] = {}  # keeps a parent's wires in children: garbage collection would close them
_wires_lock = threading.Lock()


def _renew_lock() -> None:
    global _wires_lock
    _wires_lock = threading.Lock()


os.register_at_fork(
    before=_gate.before_fork, after_in_parent=_gate.after_fork_in_parent, after_in_child=_gate.after_fork_in_child
)
os.register_at_fork(after_in_child=_renew_lock)
