"""The handlers of every resource type, made in groups when a type of the group is first asked for.

A template names few of the types that are served; what makes the others is not imported. Knows no type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from localcloud.template.handler import ResourceHandler

__all__ = ["Handlers", "Load"]

Load: TypeAlias = Callable[[], Iterable[ResourceHandler]]


class Handlers(Mapping[str, ResourceHandler]):
    """A handler by resource type. To iterate makes them all; to ask for one makes those of its group."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def add(self, prefix: str, load: Load) -> None:
        """Let `load` make the handlers of the types that begin with `prefix` (`AWS::SNS::`); the longest one counts.

        `load` is called once at most; what it gives of other types is not taken.
        """
        self._groups[prefix] = _Group(load)

    def include(self, others: Handlers) -> None:
        """Have what `others` have as well."""
        self._groups.update(others._groups)

    def __getitem__(self, resource_type: str) -> ResourceHandler:
        """Raises KeyError where the type is not served."""
        return self._groups[self._prefix_of(resource_type)].handlers()[resource_type]

    def __iter__(self) -> Iterator[str]:
        for prefix, group in self._groups.items():
            yield from (each for each in group.handlers() if self._prefix_of(each) == prefix)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _prefix_of(self, resource_type: str) -> str:
        return max((each for each in self._groups if resource_type.startswith(each)), key=len, default="")


class _Group:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._made: dict[str, ResourceHandler] | None = None

    def handlers(self) -> dict[str, ResourceHandler]:
        if self._made is None:
            self._made = {handler.type: handler for handler in self._load()}
        return self._made
