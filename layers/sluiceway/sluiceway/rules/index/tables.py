"""The children of a node that one path leads to, and how a value of an event finds them.

Each kind of anchor has its dictionaries by level, so a value is looked up once for each length or number of bits that
is in use. Must not know how anchors are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from sluiceway.rules.index.anchors import (
    ADDRESS,
    ANY,
    EXACT,
    FOLDED,
    FOLDED_PREFIX,
    FOLDED_SUFFIX,
    NUMBER,
    PREFIX,
    SUFFIX,
    Anchor,
)
from sluiceway.rules.patterns.addresses import parse_address
from sluiceway.rules.patterns.paths import Several
from sluiceway.rules.patterns.values import Key, fold, order_of

if TYPE_CHECKING:
    from sluiceway.rules.index.nodes import Node

__all__ = ["Table"]

Levels = dict[int, dict[Hashable, "Node"]]


class Table:
    """The children of a node that one path leads to."""

    __slots__ = ("count", "exact", "others")

    def __init__(self) -> None:
        self.count = 0
        self.exact: dict[Hashable, Node] = {}
        self.others: dict[str, Levels] = {}

    def get(self, anchor: Anchor) -> Node | None:
        kind, level, value, _weight = anchor
        if kind == EXACT:
            return self.exact.get(value)
        levels = self.others.get(kind)
        nodes = levels.get(level) if levels else None
        return nodes.get(value) if nodes else None

    def put(self, anchor: Anchor, node: Node) -> None:
        kind, level, value, _weight = anchor
        self.count += 1
        if kind == EXACT:
            self.exact[value] = node
        else:
            self.others.setdefault(kind, {}).setdefault(level, {})[value] = node

    def drop(self, anchor: Anchor) -> None:
        kind, level, value, _weight = anchor
        self.count -= 1
        if kind == EXACT:
            del self.exact[value]
            return
        levels = self.others[kind]
        del levels[level][value]
        if not levels[level]:
            del levels[level]
        if not levels:
            del self.others[kind]

    def nodes(self) -> Iterator[Node]:
        """All of them."""
        yield from self.exact.values()
        for levels in self.others.values():
            for nodes in levels.values():
                yield from nodes.values()

    def find(self, value: Key | Several, nodes: list[Node]) -> None:
        """Add to `nodes` those that `value` leads to."""
        if isinstance(value, Several):
            self._find_several(value, nodes)
            return
        node = self.exact.get(value)
        if node is not None:
            nodes.append(node)
        if self.others:
            nodes += self._find_others(value)

    def _find_others(self, key: Key) -> Iterator[Node]:
        for kind, levels in self.others.items():
            yield from filter(None, _PROBES[kind](levels, key))

    def _find_several(self, keys: Several, nodes: list[Node]) -> None:
        if len(keys) >= self.count:
            nodes += self.nodes()
            return
        found = {self.exact.get(key): None for key in keys}
        for key in keys if self.others else ():
            found |= dict.fromkeys(self._find_others(key))
        nodes += filter(None, found)


def _probe_text(levels: Levels, key: Key) -> Iterator[Node | None]:
    if isinstance(key, str):
        for nodes in levels.values():
            yield nodes.get(fold(key))


def _probe_prefixes(levels: Levels, key: Key) -> Iterator[Node | None]:
    if isinstance(key, str):
        for length, nodes in levels.items():
            yield nodes.get(key[:length])


def _probe_suffixes(levels: Levels, key: Key) -> Iterator[Node | None]:
    if isinstance(key, str):
        for length, nodes in levels.items():
            yield nodes.get(key[-length:])


def _probe_folded_prefixes(levels: Levels, key: Key) -> Iterator[Node | None]:
    return _probe_prefixes(levels, fold(key) if isinstance(key, str) else key)


def _probe_folded_suffixes(levels: Levels, key: Key) -> Iterator[Node | None]:
    return _probe_suffixes(levels, fold(key) if isinstance(key, str) else key)


def _probe_numbers(levels: Levels, key: Key) -> Iterator[Node | None]:
    if isinstance(key, float):
        order = order_of(key)
        for bits, nodes in levels.items():
            yield nodes.get(order >> bits)


def _probe_addresses(version: int) -> Callable[[Levels, Key], Iterator[Node | None]]:
    def probe(levels: Levels, key: Key) -> Iterator[Node | None]:
        address = parse_address(key) if isinstance(key, str) else None
        if address is not None and address.version == version:
            for bits, nodes in levels.items():
                yield nodes.get(address.number >> bits)

    return probe


def _probe_any(levels: Levels, _key: Key) -> Iterator[Node | None]:
    for nodes in levels.values():
        yield from nodes.values()


_PROBES: Final[Mapping[str, Callable[[Levels, Key], Iterator[Node | None]]]] = {
    ANY: _probe_any,
    FOLDED: _probe_text,
    PREFIX: _probe_prefixes,
    SUFFIX: _probe_suffixes,
    FOLDED_PREFIX: _probe_folded_prefixes,
    FOLDED_SUFFIX: _probe_folded_suffixes,
    NUMBER: _probe_numbers,
    ADDRESS[4]: _probe_addresses(4),
    ADDRESS[6]: _probe_addresses(6),
}
"""What each kind finds for a key, None where there is nothing."""
