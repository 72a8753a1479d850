"""The error of a query whose composite index is missing, from a fake of Firestore that lacks every index."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from django.db import connections
from django.db.models import Sum

from memory.backends.firestore.base import DatabaseWrapper
from memory.backends.firestore.errors import MissingIndex
from tests.engine.app.models import Note

pytestmark = pytest.mark.django_db


class WithoutIndexes(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc is untyped
    """Fails every call like Firestore if an index is missing."""

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_stream_rpc_method_handler(
            lambda message, context: context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "The query requires an index. You can create it here: https://x"
            )
        )


@pytest.fixture
def alias() -> Iterator[str]:
    """A database without indexes."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[WithoutIndexes()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    settings = {**connections["default"].settings_dict, "HOST": f"127.0.0.1:{port}"}
    connections["bare"] = DatabaseWrapper(settings, "bare")
    yield "bare"
    connections["bare"].close()
    del connections["bare"]
    server.stop(None).wait()


def test_a_query_without_its_index_raises_with_the_definition(alias: str) -> None:
    """`definition` is an entry for firestore.indexes.json, with the columns of the query's filter and order."""
    with pytest.raises(MissingIndex) as caught:
        list(Note.objects.using(alias).filter(owner="ann").order_by("at"))
    assert caught.value.definition is not None
    assert [one["fieldPath"] for one in caught.value.definition["fields"]][:2] == ["owner", "at"]


def test_an_aggregate_without_its_index_raises_with_the_definition(alias: str) -> None:
    """The aggregated column is last."""
    with pytest.raises(MissingIndex) as caught:
        Note.objects.using(alias).filter(owner="ann").aggregate(Sum("stars"))
    assert caught.value.definition is not None
    assert "stars" in [one["fieldPath"] for one in caught.value.definition["fields"]]
