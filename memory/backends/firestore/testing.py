"""What tests need to count calls to Firestore, as Django's own helpers count queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.test.utils import CaptureQueriesContext

__all__ = ["CaptureRPCsContext", "NumRPCsMixin", "assert_num_rpcs"]


class CaptureRPCsContext(CaptureQueriesContext):
    """The calls made inside `with CaptureRPCsContext(connection) as captured:`, each a dict as in `connection.rpcs`.

    Iterate over it, index it, or ask for its length. It works like Django's `CaptureQueriesContext`.
    """

    connection: Any

    def __enter__(self) -> CaptureRPCsContext:
        super().__enter__()
        self.initial_queries = len(self.connection.rpcs_log)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        super().__exit__(*exc_info)
        self.final_queries = len(self.connection.rpcs_log)

    @property
    def captured_queries(self) -> list[dict[str, Any]]:
        """The calls."""
        return list(self.connection.rpcs[self.initial_queries : self.final_queries])

    captured_rpcs = captured_queries


@contextmanager
def assert_num_rpcs(number: int, using: str = DEFAULT_DB_ALIAS) -> Iterator[CaptureRPCsContext]:
    """Fails with `AssertionError`, and a list of the calls, unless exactly `number` of them are made inside."""
    with CaptureRPCsContext(connections[using]) as captured:
        yield captured
    lines = [f"{place}. {call['method']}: {call['description']}" for place, call in enumerate(captured, 1)]
    if len(lines) != number:
        raise AssertionError("\n".join([f"{len(lines)} RPCs made, {number} expected. Captured RPCs were:", *lines]))


class NumRPCsMixin:
    """Adds `assertNumRPCs` to a test case. It takes what `assertNumQueries` takes."""

    def assertNumRPCs(  # noqa: N802 - named after assertNumQueries
        self,
        number: int,
        function: Callable[..., Any] | None = None,
        *args: Any,
        using: str = DEFAULT_DB_ALIAS,
        **kwargs: Any,
    ) -> AbstractContextManager[CaptureRPCsContext] | None:
        """Fails unless a function, or the block of the context manager that is returned, makes that many calls."""
        expected = assert_num_rpcs(number, using)
        if function is None:
            return expected
        with expected:
            function(*args, **kwargs)
        return None
