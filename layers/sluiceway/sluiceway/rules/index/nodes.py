"""A tree of dictionaries in which each rule is kept where its most telling field is looked up.

A node keeps entries, and sends those with a telling field on to a child, found by an anchor of that field. A child that
fills up does the same by the next field, so entries lie close together only where they cannot be told apart by
dictionaries. Which field tells most is decided when an entry comes: the one whose anchors lead to the fewest entries.
An event then meets, along its values, all entries that could match it and few others.

Every bound here keeps the walk linear in the index: an entry lies in MAX_PLACES nodes beyond its first field's anchors,
and where an event has more values than a table has anchors, the whole table is taken. Must not know rules' ids.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final

from sluiceway.rules.index.anchors import Anchor, anchors_of
from sluiceway.rules.index.tables import Table
from sluiceway.rules.patterns.fields import Field
from sluiceway.rules.patterns.paths import Found
from sluiceway.rules.patterns.ways import Way

__all__ = ["Condition", "Entry", "Node"]

SPLIT: Final = 16  # entries of a node; to test so many costs about what it costs to look further
FEW: Final = 4  # entries of a whole subtree, which are tested without looking further
MAX_PLACES: Final = 64


class Condition(Field):
    """A field, shared by the `uses` entries that have it, and where it is looked up."""

    __slots__ = ("anchors", "uses")

    def __init__(self, field: Field) -> None:
        super().__init__(field.path, field.keys, field.alternatives, may_be_absent=field.may_be_absent)
        self.anchors = anchors_of(field)
        self.uses = 0


class Entry(Way):
    """A way of a pattern, and the ids of the rules that it belongs to."""

    __slots__ = ("conditions", "places", "rules")

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        super().__init__(conditions)
        self.conditions = conditions
        self.rules: set[Hashable] = set()
        self.places: dict[Node, None] = {}


_NO_TABLES: Final[dict[str, Table]] = {}  # shared by the nodes without any, and so never written to


class Node:
    """`size` counts the entries here and below, each as often as it lies there."""

    __slots__ = ("anchor", "members", "parent", "path", "size", "split_at", "tables")

    def __init__(self, parent: Node | None = None, path: str = "", anchor: Anchor | None = None) -> None:
        self.parent = parent
        self.path = path
        self.anchor = anchor
        self.members: dict[Entry, None] = {}
        self.tables = _NO_TABLES
        self.size = 0
        self.split_at = SPLIT if parent else 0

    def add(self, entry: Entry) -> None:
        """Keep `entry` here or below."""
        if (self.tables or self.split_at == 0) and self._send_on(entry):
            return
        self.members[entry] = None
        entry.places[self] = None
        self._count(1)
        if len(self.members) > self.split_at > 0:
            self._split()

    def remove(self, entry: Entry) -> None:
        """Forget `entry`, which is a member of this node, and the node with it when it is empty."""
        del self.members[entry]
        self._count(-1)
        node = self
        while not node.size and node.parent is not None and node.anchor is not None:
            parent, path = node.parent, node.path
            table = parent.tables[path]
            table.drop(node.anchor)
            if not table.count:
                del parent.tables[path]
            node = parent

    def find(self, found: Found) -> set[Entry]:
        """The entries that an event with these values may match."""
        candidates = set[Entry]()
        nodes: list[Node] = [self]
        for node in nodes:
            candidates.update(node.members)
            if node.tables:
                node.follow(found, nodes)
        return candidates

    def follow(self, found: Found, nodes: list[Node]) -> None:
        """Add to `nodes` the children that the values lead to; all of them where that is no more work."""
        tables = self.tables
        if self.size <= FEW:
            for table in tables.values():
                nodes += table.nodes()
        elif len(tables) < len(found):
            for path, table in tables.items():
                value = found.get(path)
                if value is not None:
                    table.find(value, nodes)
        else:
            for path, value in found.items():
                if path in tables:
                    tables[path].find(value, nodes)

    def _count(self, change: int) -> None:
        node: Node | None = self
        while node is not None:
            node.size += change
            node = node.parent

    def _split(self) -> None:
        """Send on what can be sent on; look again when the rest has doubled."""
        self.split_at = 0
        for entry in list(self.members):
            del entry.places[self], self.members[entry]
            self._count(-1)
            self.add(entry)
        self.split_at = max(SPLIT, 2 * len(self.members))

    def _send_on(self, entry: Entry) -> bool:
        """Give `entry` to the children of the field that tells most; False where no field tells anything more."""
        condition = self._choose(entry)
        if condition is None or condition.anchors is None:
            return False
        path = condition.path
        if not self.tables:
            self.tables = {}
        table = self.tables.setdefault(path, Table())
        for anchor in condition.anchors:
            child = table.get(anchor)
            if child is None:
                child = Node(self, path, anchor)
                table.put(anchor, child)
            child.add(entry)
        return True

    def _choose(self, entry: Entry) -> Condition | None:
        used = self._used()
        room = MAX_PLACES - len(entry.places)
        best, best_cost = None, math.inf
        for condition in entry.conditions:
            anchors = condition.anchors
            if anchors is None or condition.path in used or (used and len(anchors) > room):
                continue
            table = self.tables.get(condition.path)
            cost = 0.0
            for anchor in anchors:
                node = table.get(anchor) if table is not None else None
                cost += anchor.weight if node is None else anchor.weight * (1 + node.size)
            if cost < best_cost:
                best, best_cost = condition, cost
        return best

    def _used(self) -> set[str]:
        """The paths that have led here."""
        used = set[str]()
        node = self
        while node.parent is not None:
            used.add(node.path)
            node = node.parent
        return used
