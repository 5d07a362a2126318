"""Whether a reader's Avro schema reads everything that a writer's wrote: the specification's schema resolution.

On the safe side where implementations differ: names count whole, with aliases; logical types must be the same; each
branch of a writer's union must be read. Source: https://avro.apache.org/docs/1.12.0/specification/#schema-resolution
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sluiceway.rules.schemas.avro_names import AvroField, AvroNode

__all__ = ["find_unread_avro"]

MAX_STEPS: Final = 20_000
_PROMOTED: Final[Mapping[str, tuple[str, ...]]] = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}


def find_unread_avro(writer: AvroNode, reader: AvroNode) -> str:
    """Why `reader` cannot read something that was written with `writer`, with its place, "" where it always can."""
    return next(_Resolution().compare(writer, reader, ""), "")


class _Resolution:
    def __init__(self) -> None:
        self._assumed: set[tuple[int, int]] = set()
        self._steps = 0

    def compare(self, writer: AvroNode, reader: AvroNode, place: str) -> Iterator[str]:
        self._steps += 1
        if self._steps > MAX_STEPS:
            yield f"{_at(place)} the schemas are too large to be compared"
        elif writer.kind == "union":
            for branch in writer.branches:
                yield from self.compare(branch, reader, place)
        elif reader.kind == "union":
            # The first branch that matches is the one that reads: the same type first, then one that it is promoted to.
            chosen = _choose(writer, reader.branches)
            if chosen is None:
                yield f"{_at(place)} may be {writer.name or writer.kind}, which is none of what is read"
            else:
                yield from self.compare(writer, chosen, place)
        else:
            yield from self._compare_plain(writer, reader, place)

    def _compare_plain(self, writer: AvroNode, reader: AvroNode, place: str) -> Iterator[str]:
        if not _matches(writer, reader):
            yield f"{_at(place)} is {writer.name or writer.kind}, and is read as {reader.name or reader.kind}"
        elif writer.logical != reader.logical:
            yield f"{_at(place)} is read with another logical type, which is not compared"
        elif writer.kind == "record":
            pair = (id(writer), id(reader))
            if pair not in self._assumed:
                self._assumed.add(pair)
                yield from self._compare_fields(writer, reader, place)
        elif writer.kind == "enum":
            unread = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
            if unread and reader.default is None:
                yield f"{_at(place)} the symbol {unread[0]} is not read, and there is no default"
        elif writer.items is not None and reader.items is not None:
            yield from self.compare(writer.items, reader.items, f"{place}[]")

    def _compare_fields(self, writer: AvroNode, reader: AvroNode, place: str) -> Iterator[str]:
        for wanted in reader.fields:
            at = f"{place}.{wanted.name}" if place else wanted.name
            given = _find_field(writer, wanted)
            if given is not None:
                yield from self.compare(given.node, wanted.node, at)
            elif not wanted.has_default:
                yield f"{_at(at)} is not written, and has no default where it is read"


def _find_field(writer: AvroNode, wanted: AvroField) -> AvroField | None:
    for name in (wanted.name, *wanted.aliases):
        found = next((each for each in writer.fields if each.name == name), None)
        if found is not None:
            return found
    return None


def _choose(writer: AvroNode, branches: list[AvroNode]) -> AvroNode | None:
    same = [branch for branch in branches if branch.kind == writer.kind and _matches(writer, branch)]
    others = [branch for branch in branches if _matches(writer, branch)]
    return next(iter([*same, *others]), None)


def _matches(writer: AvroNode, reader: AvroNode) -> bool:
    """Whether the two may be the same thing, their parts aside."""
    if writer.kind != reader.kind:
        return reader.kind in _PROMOTED.get(writer.kind, ())
    if not writer.name:
        return True
    return (writer.name == reader.name or writer.name in reader.aliases) and writer.size == reader.size


def _at(place: str) -> str:
    return f"{place}:" if place else "data:"
