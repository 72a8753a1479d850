"""The base of all views of the API and of health."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.views import APIView

from ..request_ids import HEADER as REQUEST_ID
from ..request_ids import identified
from .errors import exception_handler


class Uncached(APIView):
    """Forbids caches to keep what only one principal may see, gives each request an id, and has the API's errors."""

    def get_exception_handler(self) -> Any:
        """The API's handler instead of the project's."""
        return exception_handler

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """As the base, with the id in the response and in the log."""
        with identified(request) as made:
            response = super().dispatch(request, *args, **kwargs)
        response[REQUEST_ID] = made
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the header to every response, errors too."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        return final
