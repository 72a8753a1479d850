"""The server on standard input and output: a message a line. The caller is a user of the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from django.db import close_old_connections

from memory.api.errors import BodyError
from memory.api.parsers import check_counts, parse_json, record_limits

from . import protocol
from .calls import Caller
from .protocol import ProtocolError
from .server import answer, message_of


def serve(source: IO[bytes], target: IO[bytes], caller: Caller) -> None:
    """Answer the messages of `source` on `target` until it ends."""
    for line in lines_of(source, record_limits().bytes):
        close_old_connections()
        found = reply(line, caller)
        if found is not None:
            target.write(json.dumps(found, ensure_ascii=False).encode(errors="replace") + b"\n")
            target.flush()


def lines_of(source: IO[bytes], most: int) -> Iterator[bytes | None]:
    """The lines that are not blank; None for one of more than `most` bytes, which is not kept."""
    while line := source.readline(most + 1):
        is_too_long = len(line) > most
        while is_too_long and not line.endswith(b"\n"):
            line = source.readline(most) or b"\n"
        if is_too_long:
            yield None
        elif line.strip():
            yield line


def reply(line: bytes | None, caller: Caller) -> dict[str, Any] | None:
    """The response to a line; None for a notification."""
    message_id: str | int | None = None
    try:
        if line is None:
            raise ProtocolError(protocol.PARSE_ERROR, "The message exceeds the limit of bytes.")
        limits = record_limits()
        check_counts(line, limits)
        body = parse_json(line)
        message_id = protocol.id_of(body)
        return answer(protocol.read(body), caller)
    except BodyError as error:
        return protocol.error_response(None, ProtocolError(protocol.PARSE_ERROR, str(error.detail)))
    except ProtocolError as error:
        return protocol.error_response(message_id, error)
    except Exception as error:  # noqa: BLE001  (the edge: one message that fails does not end the server)
        return protocol.error_response(message_id, ProtocolError(protocol.INTERNAL_ERROR, message_of(error)))
