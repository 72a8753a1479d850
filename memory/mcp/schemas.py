"""JSON schemas of arguments, and their validation: the part of JSON Schema 2020-12 that the tools use.

Objects allow no other properties. A problem names the argument, never its value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from django.utils.dateparse import parse_datetime

from memory.limits import json_problem, text_problem

Schema = Mapping[str, Any]

LONGEST_NAME: Final = 255
TYPES: Mapping[str, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}


def obj(properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """The schema of an object."""
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def result(**properties: Schema) -> Schema:
    """The schema of a result with these properties, all of which it has."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def text(description: str, longest: int = LONGEST_NAME, **more: Any) -> Schema:
    """The schema of a text that is not empty."""
    return {"type": "string", "minLength": 1, "maxLength": longest, "description": description, **more}


def number(description: str, default: int, most: int) -> Schema:
    """The schema of a count."""
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default, "description": description}


def a_time(description: str) -> Schema:
    """The schema of a time."""
    return text(f"{description} RFC 3339 with a time zone.", 40, format="date-time")


def problems(value: object, schema: Schema) -> dict[str, str]:
    """The problems of a value by argument; empty if it is valid."""
    if not isinstance(value, Mapping):
        return {"arguments": "This must be an object."}
    properties = schema["properties"]
    found = {str(name)[:100]: "There is no such argument." for name in value if name not in properties}
    found |= {name: "This argument is required." for name in schema.get("required", ()) if name not in value}
    found |= {
        name: problem
        for name, own in properties.items()
        if name in value and (problem := next(_problems(value[name], own), ""))
    }
    return found


def _problems(value: Any, schema: Schema) -> Iterator[str]:
    kind = schema["type"]
    if not has_type(value, kind):
        yield f"This must be {TYPES[kind]}."
    elif kind == "string":
        yield from _text_problems(value, schema)
    elif kind in ("integer", "number"):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"This must be from {schema['minimum']} to {schema['maximum']}."
    elif kind == "array":
        if not schema.get("minItems", 0) <= len(value) <= schema["maxItems"]:
            yield f"This must have {schema.get('minItems', 0)} to {schema['maxItems']} members."
        yield from (problem for member in value for problem in _problems(member, schema["items"]))
    elif kind == "object" and (problem := json_problem(value)):
        yield problem


def _text_problems(value: str, schema: Schema) -> Iterator[str]:
    if problem := text_problem(value):
        yield problem
    if len(value) < schema.get("minLength", 0):
        yield "This must not be empty."
    if len(value) > schema.get("maxLength", len(value)):
        yield f"This must have at most {schema['maxLength']} characters."
    if schema.get("format") == "date-time" and moment(value) is None:
        yield "This must be a time with a time zone, such as 2026-01-31T12:00:00Z."


def has_type(value: object, kind: str) -> bool:
    """Whether a JSON value has the type. 5.0 is an integer, true is not."""
    if kind in ("integer", "number"):
        whole = isinstance(value, int) or (isinstance(value, float) and (kind == "number" or value.is_integer()))
        return whole and not isinstance(value, bool)
    kinds: Mapping[str, type | tuple[type, ...]] = {"string": str, "boolean": bool, "object": dict, "array": list}
    return isinstance(value, kinds[kind])


def moment(value: str) -> Any:
    """The datetime of RFC 3339, in UTC; None for anything else, and for one outside of the years 1 to 9999 in UTC."""
    try:
        found = parse_datetime(value) if "T" in value.upper() else None
        return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
