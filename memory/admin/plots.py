"""Plots as SVG: pure functions that compute shapes, which `admin/memory/plot.html` draws.

A plot stretches to its place, so it has no text; the template sets labels beside it, and the numbers as a table for
screen readers and for everybody who opens it. Colours are those of the theme, from the style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 600
HEIGHT: Final = 120
GAP: Final = 0.25
"""The share of a bar's place that stays empty."""
LEAST_HEIGHT: Final = 2.0
"""Of the bar of a value above zero, so that it is seen."""


@dataclass(frozen=True)
class Value:
    """What a bar shows: a label, a number, the number as text, and the page that it links to."""

    label: str
    number: float
    text: str
    url: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar in the coordinates of the plot, from the top left."""

    x: float
    y: float
    width: float
    height: float
    value: Value


@dataclass(frozen=True)
class Plot:
    """A bar chart. `top` is the text of the largest value, `labels` are those of the first, middle and last bar."""

    id: str
    title: str
    unit: str
    bars: Sequence[Bar]
    top: str
    labels: Sequence[str]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        """Whether all values are zero."""
        return not any(bar.value.number for bar in self.bars)


def columns(id: str, title: str, unit: str, values: Sequence[Value]) -> Plot:
    """A column for each value, from left to right. `unit` is the heading of the values in the table."""
    largest = max((value.number for value in values), default=0.0)
    place = WIDTH / max(1, len(values))
    bars = [
        Bar(
            round(number * place + GAP * place / 2, 2),
            round(HEIGHT - (high := height_of(value.number, largest)), 2),
            round((1 - GAP) * place, 2),
            round(high, 2),
            value,
        )
        for number, value in enumerate(values)
    ]
    top = max(values, key=lambda value: value.number).text if values else ""
    return Plot(id, title, unit, bars, top, labels_of(values))


def height_of(number: float, largest: float) -> float:
    """The height of a column."""
    return max(LEAST_HEIGHT, HEIGHT * number / largest) if number > 0 and largest > 0 else 0.0


def labels_of(values: Sequence[Value]) -> list[str]:
    """The first, middle and last label; fewer of fewer values."""
    places = sorted({0, len(values) // 2, len(values) - 1}) if values else []
    return [values[place].label for place in places]


@dataclass(frozen=True)
class Level:
    """A horizontal bar: its label, its text, and its share of the longest one in percent."""

    value: Value
    percent: float


def levels(values: Sequence[Value], largest: float | None = None) -> list[Level]:
    """A horizontal bar for each value; `largest` is the number of a full one, otherwise the largest value."""
    full = max((value.number for value in values), default=0.0) if largest is None else largest
    return [Level(value, round(min(100.0, 100 * value.number / full), 1) if full > 0 else 0.0) for value in values]
