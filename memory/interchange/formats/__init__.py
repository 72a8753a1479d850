"""The import formats, detected by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from memory.interchange.entries import Context, Empty, Entry, Outcome, Outcomes, Place, Reject, Removal, Value
from memory.interchange.frames import Frame

from . import adk, aistudio, anthropic, chatgpt, claude, gemini, langchain, letta, mem0, openai, own, sharegpt
from .unknown import description_of

Parser = Callable[[Value, Context], Outcomes]

# The first that recognises a value parses it.
FORMATS: Mapping[Callable[[object], bool], Parser] = {
    own.recognises: own.parse,
    chatgpt.recognises: chatgpt.parse,
    claude.recognises: claude.parse,
    langchain.recognises: langchain.parse,
    anthropic.recognises: anthropic.parse,
    openai.recognises: openai.parse,
    sharegpt.recognises: sharegpt.parse,
    adk.recognises: adk.parse,
    letta.recognises: letta.parse,
    mem0.recognises: mem0.parse,
    gemini.recognises: gemini.parse,
    aistudio.recognises: aistudio.parse,
}
__all__ = ["FORMATS", "Context", "Empty", "Entry", "Outcome", "Place", "Reject", "Removal", "parse"]


def parse(frame: Frame, context: Context) -> Outcomes:
    """Parse a frame. Values that are not entries are yielded as rejects or as empty messages."""
    place = Place(frame.line, frame.index)
    raw = frame.raw
    if frame.problem:
        yield Reject(place, frame.problem, raw)
        return
    try:
        content = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        yield Reject(place, f"Invalid UTF-8: {error.reason} at byte {error.start}.", raw)
    except RecursionError:
        yield Reject(place, "This is nested too deeply.", raw)
    except ValueError as error:
        yield Reject(place, f"Invalid JSON: {error}.", raw)
    else:
        yield from parser_of(content)(Value(content, place, frame.ordinal, raw), context)


def parser_of(content: object) -> Parser:
    """The parser of the content's format."""
    return next((parser for recognises, parser in FORMATS.items() if recognises(content)), _unknown)


def _unknown(value: Value, context: Context) -> Outcomes:
    yield Reject(value.place, description_of(value.content), value.raw)
