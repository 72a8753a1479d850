"""A view of the app, or of a project that uses its exception handler, over a failing store."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from memory.api.errors import exception_handler
from memory.exceptions import ConnectionError, StorageError
from memory.models import MemoryItem
from memory.stores import MemoryManagerStub


class Failing(MemoryManagerStub):
    """A store that is unavailable, or refuses."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def _add_memory_items(self, items: list[MemoryItem]) -> list[str]:
        raise self.error


def answer(manager: MemoryManagerStub, **values: Any) -> Response:
    """The response of a view that adds an item with these values."""

    class Remember(APIView):
        authentication_classes = ()
        permission_classes = ()
        throttle_classes = ()

        def get_exception_handler(self) -> Any:
            return exception_handler

        def post(self, request: Request) -> Response:
            manager.initialize()
            return Response({"id": async_to_sync(manager.add_memory_item)(MemoryItem(**values))})

    response: Response = Remember.as_view()(APIRequestFactory().post("/"))
    return response


@pytest.mark.parametrize("error", [ConnectionError("Redis on db.internal is away."), StorageError("It failed.")])
def test_storage_that_fails_is_503(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The response has Retry-After; the cause is only logged."""
    response = answer(Failing(error), user_id="ada", item_type="message")
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response.data["error"]["code"] == "unavailable"
    assert str(error) not in str(response.data)
    assert "The storage is unavailable" in caplog.text


def test_a_record_that_is_refused_is_400() -> None:
    """Errors are reported by field."""
    response = answer(MemoryManagerStub(), user_id="ada", item_type="")
    assert response.status_code == 400
    assert set(response.data["error"]["fields"]) == {"item_type"}


def test_a_record_that_is_stored() -> None:
    """The view works where storage does."""
    assert answer(MemoryManagerStub(), user_id="ada", item_type="message").status_code == 200
