"""Directed graphs with kinds of edges, and the cycles in them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise

Edge = tuple[int, int]


class Graph:
    """Edges between numbers, each with the kinds that it is of."""

    def __init__(self) -> None:
        self.kinds: dict[Edge, set[str]] = defaultdict(set)

    def add(self, source: int, target: int, kind: str) -> None:
        """Add an edge; edges from a node to itself are ignored."""
        if source != target:
            self.kinds[source, target].add(kind)

    def following(self, kinds: Collection[str], among: Collection[int] | None = None) -> dict[int, list[int]]:
        """For each node the nodes that edges of some kinds lead to, all of them among the given ones."""
        found: dict[int, list[int]] = defaultdict(list)
        for (source, target), its in self.kinds.items():
            if not its.isdisjoint(kinds) and (among is None or (source in among and target in among)):
                found[source].append(target)
        return found

    def describe(self, cycle: Iterable[int]) -> str:
        """A cycle with the kinds of its edges: `1 -ww-> 2 -rw-> 1`."""
        nodes = list(cycle)
        steps = [f" -{'/'.join(sorted(self.kinds[edge]))}-> {edge[1]}" for edge in pairwise([*nodes, nodes[0]])]
        return f"{nodes[0]}{''.join(steps)}"


def components(following: dict[int, list[int]]) -> Iterator[set[int]]:
    """The strongly connected components of more than one node (Tarjan's, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in list(following):
        work = [] if root in index else [(root, iter(following.get(root, ())))]
        while work:
            node, targets = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            for target in targets:
                if target not in index:
                    work.append((target, iter(following.get(target, ()))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    yield from _popped(node, stack, on_stack)


def _popped(node: int, stack: list[int], on_stack: set[int]) -> Iterator[set[int]]:
    at = stack.index(node)
    component = set(stack[at:])
    del stack[at:]
    on_stack -= component
    if len(component) > 1:
        yield component


def path(following: dict[int, list[int]], source: int, target: int) -> list[int] | None:
    """The nodes of a shortest way, both ends included; None if there is no way."""
    came_from = {source: source}
    queue = deque([source])
    while queue:
        node = queue.popleft()
        for step in following.get(node, ()):
            if step not in came_from:
                came_from[step] = node
                queue.append(step)
        if target in came_from and target != source:
            break
    if target not in came_from or target == source:
        return None
    way = [target]
    while way[-1] != source:
        way.append(came_from[way[-1]])
    return way[::-1]


def cycle(following: dict[int, list[int]]) -> list[int] | None:
    """The nodes of some cycle, as short as one through its first edge can be; None if there is none."""
    for component in components(following):
        source = min(component)
        for target in following[source]:
            if target in component and (way := path(following, target, source)) is not None:
                return [source, *way[:-1]]
    return None
