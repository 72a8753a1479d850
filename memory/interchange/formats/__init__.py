"""The formats that the import reads, each recognised by a value's content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from memory.interchange.entries import Context, Empty, Entry, Outcome, Outcomes, Place, Reject, Value
from memory.interchange.frames import Frame

from . import chatgpt, langchain, own

Parser = Callable[[Value, Context], Outcomes]

FORMATS: Mapping[Callable[[object], bool], Parser] = {
    own.recognises: own.parse,
    chatgpt.recognises: chatgpt.parse,
    langchain.recognises: langchain.parse,
}
UNKNOWN = (
    "This is no record that is known here: neither a line of memory_export (with `model`), nor a ChatGPT conversation "
    "(with `mapping`), nor a LangChain message (with `type` and `data`)."
)

__all__ = ["FORMATS", "Context", "Empty", "Entry", "Outcome", "Place", "Reject", "parse"]


def parse(frame: Frame, context: Context) -> Outcomes:
    """What a frame holds. Nothing is lost: what is no entry comes as a reject (or as empty)."""
    place = Place(frame.line, frame.index)
    raw = frame.raw
    if frame.problem:
        yield Reject(place, frame.problem, raw)
        return
    try:
        content = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        yield Reject(place, f"This is not UTF-8: {error.reason} at byte {error.start}.", raw)
    except RecursionError:
        yield Reject(place, "This nests too deeply to be read.", raw)
    except ValueError as error:
        yield Reject(place, f"This is not JSON: {error}.", raw)
    else:
        yield from parser_of(content)(Value(content, place, frame.ordinal, raw), context)


def parser_of(content: object) -> Parser:
    """The parser of the format that the content has."""
    return next((parser for recognises, parser in FORMATS.items() if recognises(content)), _unknown)


def _unknown(value: Value, context: Context) -> Outcomes:
    yield Reject(value.place, UNKNOWN, value.raw)
