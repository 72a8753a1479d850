"""A gRPC proxy between the engine and Firestore that fails on purpose, as networks and servers do.

    before   an error instead of the call
    after    the call, and then an error instead of its answer
    delay    the call, later
    cut      a stream that breaks after some of its messages

What happens is drawn from a seeded generator, or follows a script that a test gives.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import grpc

Code = grpc.StatusCode

DEFINITE: Final = (Code.UNAVAILABLE, Code.ABORTED, Code.RESOURCE_EXHAUSTED, Code.INTERNAL)
"""What a server says that did nothing; only before a call."""

AMBIGUOUS: Final = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN)
"""What a client sees of a call whose answer was lost."""

STREAMS: Final = frozenset({"RunQuery", "BatchGetDocuments", "RunAggregationQuery"})


@dataclass(frozen=True, slots=True)
class Fault:
    """The outcome of a call: `kind` as above or "none"; `messages` of a stream arrive before a cut."""

    kind: str = "none"
    code: Code = Code.UNAVAILABLE
    seconds: float = 0.0
    messages: int = 0


@dataclass
class Randomly:
    """Faults for a share of all calls."""

    rate: float
    seed: int
    longest_delay: float = 0.3
    _random: random.Random = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311

    def __call__(self, method: str) -> Fault:
        with self._lock:
            if self._random.random() >= self.rate:
                return Fault()
            kind = self._random.choice(["before", "after", "delay", "cut" if method in STREAMS else "after"])
            code = self._random.choice(DEFINITE if kind == "before" else AMBIGUOUS)
            return Fault(kind, code, self._random.uniform(0, self.longest_delay), self._random.randrange(0, 8))


@dataclass
class Script:
    """Given faults for the calls of one method, in turn; none for all others and when the script is over."""

    method: str
    faults: list[Fault]

    def __call__(self, method: str) -> Fault:
        return self.faults.pop(0) if method == self.method and self.faults else Fault()


class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc is untyped
    """Serves on `address` while its context is open; `counts` has the number of faults by kind."""

    def __init__(self, upstream: str, choose: Callable[[str], Fault]) -> None:
        self.choose = choose
        self.counts: Counter[str] = Counter()
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(upstream, options=options)
        self._server = grpc.server(ThreadPoolExecutor(32), handlers=[self], options=options)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Proxy:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        """grpc asks here how to serve a call."""
        path = details.method
        name = path.rsplit("/", 1)[1]
        if name in STREAMS:
            return grpc.unary_stream_rpc_method_handler(lambda request, context: self._stream(path, request, context))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._unary(path, request, context))

    def _draw(self, path: str, context: Any) -> Fault:
        fault = self.choose(path.rsplit("/", 1)[1])
        self.counts[fault.kind] += 1
        if fault.kind == "before":
            context.abort(fault.code, "injected before the call")
        if fault.kind == "delay":
            time.sleep(fault.seconds)
        return fault

    def _unary(self, path: str, request: bytes, context: Any) -> bytes:
        fault = self._draw(path, context)
        try:
            answer: bytes = self._channel.unary_unary(path)(request, metadata=_headers(context), timeout=30)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        if fault.kind == "after":
            context.abort(fault.code, "injected after the call")
        return answer

    def _stream(self, path: str, request: bytes, context: Any) -> Iterator[bytes]:
        fault = self._draw(path, context)
        call = self._channel.unary_stream(path)(request, metadata=_headers(context), timeout=30)
        try:
            for number, answer in enumerate(call):
                if fault.kind == "cut" and number >= fault.messages:
                    call.cancel()
                    context.abort(fault.code, "injected into the stream")
                yield answer
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        if fault.kind in ("after", "cut"):
            context.abort(fault.code, "injected at the end of the stream")


def _headers(context: Any) -> list[tuple[str, str]]:
    return [(key, value) for key, value in context.invocation_metadata() if not key.startswith(("grpc-", "user-agent"))]
