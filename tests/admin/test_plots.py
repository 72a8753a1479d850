"""Shapes of plots."""

from __future__ import annotations

import pytest

from memory.admin.plots import GAP, HEIGHT, LEAST_HEIGHT, WIDTH, Value, columns, levels


def values(*numbers: float) -> list[Value]:
    """A value for each number."""
    return [Value(f"v{place}", number, str(number)) for place, number in enumerate(numbers)]


def test_columns_are_as_high_as_their_values() -> None:
    """The largest fills the height; a small value is seen, zero is not; all are inside of the plot, in order."""
    plot = columns("p", "Plot", "Items", values(0, 50, 100, 0.001))
    assert [bar.height for bar in plot.bars] == [0, HEIGHT / 2, HEIGHT, LEAST_HEIGHT]
    assert all(bar.y + bar.height == HEIGHT for bar in plot.bars)
    assert [bar.x for bar in plot.bars] == sorted(bar.x for bar in plot.bars)
    assert plot.bars[-1].x + plot.bars[-1].width <= WIDTH
    assert plot.bars[0].width == (1 - GAP) * WIDTH / 4
    assert plot.top == "100"
    assert list(plot.labels) == ["v0", "v2", "v3"]


@pytest.mark.parametrize("numbers", [(), (0,), (0, 0, 0)])
def test_nothing_to_plot(numbers: tuple[float, ...]) -> None:
    """An empty plot has no columns with a height."""
    plot = columns("p", "Plot", "Items", values(*numbers))
    assert plot.is_empty
    assert all(bar.height == 0 for bar in plot.bars)


def test_levels() -> None:
    """In percent of the largest, or of a full one."""
    assert [level.percent for level in levels(values(1, 4, 0))] == [25, 100, 0]
    assert [level.percent for level in levels(values(0.5, 2), largest=1)] == [50, 100]
    assert levels([]) == []
