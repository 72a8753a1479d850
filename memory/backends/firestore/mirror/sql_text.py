"""Finds table references in SQL. Raw SQL (RawSQL, extra()) may contain tables that the query does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from .load_plan import TableRef

TOKENS: Final = re.compile(
    r"""
      '(?:[^']|'')*'                    # text
    | --[^\n]* | /\*.*?\*/              # comments
    | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^]]*\] | [^\W\d]\w*   # names and keywords
    | %%|%s | \S
    """,
    re.VERBOSE | re.DOTALL,
)
BEFORE_TABLES: Final = frozenset({"from", "join", "update", "into"})
AFTER_TABLES: Final = frozenset(
    [
        "on",
        "using",
        "where",
        "group",
        "order",
        "having",
        "limit",
        "union",
        "intersect",
        "except",
        "inner",
        "left",
        "right",
        "full",
        "cross",
        "natural",
        "join",
        "set",
        "values",
        "select",
        "default",
        "indexed",
        "not",
        "window",
        "returning",
    ]
)
"""Keywords that can follow a table at the position of its alias."""


def named_tables(sql: str, tables: Iterable[str], refs: Iterable[TableRef]) -> dict[tuple[str, str], int]:
    """The number of references in a statement by table and alias. The alias of a table without one is its name.

    A table that occurs in any other position counts once, with an empty alias.
    """
    known = {name.lower(): name for name in tables} | {name: name for name in tables}
    aliases = {(ref.table, ref.alias) for ref in refs}
    tokens = [token for token in TOKENS.findall(sql) if not token.startswith(("'", "--", "/*"))]
    named: dict[tuple[str, str], int] = {}
    for table, alias in _read(tokens, known):
        pair = (table, alias if (table, alias) in aliases else table)
        named[pair] = named.get(pair, 0) + 1
    seen = {table for table, _ in named}
    words = {name for token in tokens if (name := _name(token)) is not None}
    elsewhere = {known.get(word) or known.get(word.lower()) for word in words} - seen - {None}
    return named | {(str(table), ""): 1 for table in elsewhere}


def _read(tokens: list[str], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The tables after FROM, JOIN, UPDATE and INTO, and after commas in these lists, with their aliases."""
    at = 0
    while at < len(tokens):
        at += 1
        if tokens[at - 1].lower() not in BEFORE_TABLES:
            continue
        while at < len(tokens) and (name := _name(tokens[at])) is not None:
            if tokens[at + 1 : at + 2] == ["."]:
                at += 2  # the schema's name
                continue
            at += 1
            if tokens[at : at + 1] and tokens[at].lower() == "as":
                at += 1
            alias = _name(tokens[at]) if at < len(tokens) and tokens[at].lower() not in AFTER_TABLES else None
            at += alias is not None
            table = known.get(name) or known.get(name.lower())
            if table is not None:
                yield table, alias or table
            if tokens[at : at + 1] != [","]:
                break
            at += 1


def _name(token: str) -> str | None:
    """The unquoted name, or None if the token is not a name."""
    quote = token[0]
    if quote in '"`':
        return token[1:-1].replace(quote * 2, quote)
    if quote == "[":
        return token[1:-1]
    return token if quote == "_" or quote.isalpha() else None
