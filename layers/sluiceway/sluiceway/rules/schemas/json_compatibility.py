"""Whether every record that one JSON Schema takes is taken by another one: a proof, or why there is none.

A schema is what it takes, a set; a reader gets along with a writer where the writer's set lies in the reader's. The
proof is by keywords and on the safe side: what is not compared here (`not`, `if`, `oneOf`, `contains`,
`patternProperties` and the like) counts only where both schemas have it alike, and is refused by name otherwise.
An object is open where it has no `additionalProperties`: a writer may then have put anything under a name that the
reader describes, so a reader may describe new names only where the writer's object was closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, TypeAlias, cast

from fastjsonschema import JsonSchemaException

from sluiceway.rules.schemas.json_keywords import ANNOTATIONS, DRAFTS, TYPES
from sluiceway.rules.schemas.json_references import Node, find_definition
from sluiceway.rules.schemas.json_schemas import compile_validator

__all__ = ["find_unread"]

Parts: TypeAlias = Sequence[dict[str, Any]]
MAX_STEPS: Final = 20_000  # comparisons of two parts; what takes more is not decided
_NUMERIC: Final = ("integer", "number")
_OPAQUE: Final = frozenset(
    {"contains", "dependencies", "else", "if", "not", "oneOf", "patternProperties", "propertyNames", "then"}
)
_SIZES: Final[Mapping[str, tuple[str, str]]] = {
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
    "string": ("minLength", "maxLength"),
}


def find_unread(writer: Mapping[str, Any], reader: Mapping[str, Any]) -> str:
    """Why `reader` may refuse what `writer` takes, with the place in the data, "" where it never does.

    Both are checked documents (`read_document`).
    """
    if DRAFTS[str(writer["$schema"])] != DRAFTS[str(reader["$schema"])]:
        return "the schemas are of different drafts, which are not compared"
    try:
        return next(_Proof(writer, reader).compare(dict(writer), dict(reader), ""), "")
    except RecursionError:
        return "the schemas are nested too deeply to be compared"


class _Proof:
    """One comparison. Definitions that refer to themselves are taken to hold while they are being compared."""

    def __init__(self, writer: Mapping[str, Any], reader: Mapping[str, Any]) -> None:
        self._roots = (writer, reader)
        self._assumed: set[tuple[str, str]] = set()
        self._steps = 0
        names = ("$defs", "definitions")
        self._same_names = _alike(_only(writer, names), _only(reader, names))

    def _alike(self, one: object, other: object) -> bool:
        """Whether two parts say the same: a reference in them may name something else in the other schema."""
        return (self._same_names or not _refers(one)) and _alike(one, other)

    def compare(self, writer: Node, reader: Node, place: str) -> Iterator[str]:
        """The reasons why the reader may refuse something of the writer's."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            yield f"{_at(place)} the schemas are too large to be compared"
            return
        if reader is True or writer is False or _means_all(reader) or self._alike(writer, reader):
            return
        references = _reference(writer), _reference(reader)
        if any(references):
            yield from self._compare_references(writer, reader, references, place=place)
        elif reader is False:
            yield f"{_at(place)} may be there, and is not read"
        else:
            yield from self._compare_parts(_split(writer), list(_facets(_split(reader))), place)

    def _compare_references(
        self, writer: Node, reader: Node, references: tuple[str, str], *, place: str
    ) -> Iterator[str]:
        if all(references):
            if references in self._assumed:
                return
            self._assumed.add(references)
        writer = self._follow(writer, 0)
        reader = self._follow(reader, 1)
        yield from self.compare(writer, reader, place)

    def _follow(self, node: Node, root: int) -> Node:
        reference = _reference(node)
        found = find_definition(self._roots[root], reference) if reference else node
        return True if found is None else found

    def _compare_parts(self, writer: Parts, reader: Parts, place: str) -> Iterator[str]:
        """Each part of the reader must hold of all that satisfies every part of the writer."""
        for wanted in reader:
            if any(self._alike(part, wanted) for part in writer):
                continue
            reasons = [self._first(part, wanted, place) for part in writer] or [self._first({}, wanted, place)]
            if all(reasons):
                yield reasons[0]
                return

    def _first(self, writer: dict[str, Any], reader: dict[str, Any], place: str) -> str:
        return self._attempt(self._compare_simple(writer, reader, place))

    def _attempt(self, reasons: Iterator[str]) -> str:
        """The first reason, "" for none. What was taken to hold in an attempt that failed holds no more."""
        before = set(self._assumed)
        reason = next(reasons, "")
        if reason:
            self._assumed = before
        return reason

    def _compare_simple(self, writer: dict[str, Any], reader: dict[str, Any], place: str) -> Iterator[str]:
        """Two parts without `allOf`, each with one combining keyword at most, which then stands alone."""
        if "$ref" in writer or "$ref" in reader:
            yield from self.compare(writer, reader, place)
            return
        if "anyOf" in writer:
            for branch in writer["anyOf"]:
                yield from self.compare(branch, reader, place)
            return
        opaque = sorted(_OPAQUE & {*reader})
        if opaque:
            yield f"{_at(place)} {opaque[0]} is compared only where both schemas have it alike"
        else:
            yield from self._compare_kinds({} if _OPAQUE & {*writer} else writer, reader, place)

    def _compare_kinds(self, writer: dict[str, Any], reader: dict[str, Any], place: str) -> Iterator[str]:
        """By the values of the writer where they are few, else by its types."""
        values = _values(writer)
        if values is not None:
            yield from self._compare_values(values, writer, reader, place=place)
        elif "anyOf" in reader:
            yield from self._compare_branches(writer, reader["anyOf"], place)
        else:
            for name in sorted(_types(writer)):
                yield from self._compare_type(name, writer, reader, place=place)

    def _compare_branches(self, writer: dict[str, Any], branches: Sequence[Node], place: str) -> Iterator[str]:
        """Whole in one branch, or each of its types in one."""
        for name in sorted(_types(writer)):
            part = {**writer, "type": name}
            if all(self._attempt(self.compare(part, branch, place)) for branch in branches):
                yield f"{_at(place)} {name} is not within one alternative (anyOf) of what is read"
                return

    def _compare_values(
        self, values: Sequence[object], writer: dict[str, Any], reader: dict[str, Any], *, place: str
    ) -> Iterator[str]:
        mine, others = self._validator(writer, 0), self._validator(reader, 1)
        for index, value in enumerate(values):
            if _takes(mine, value) and not _takes(others, value):
                yield f"{_at(place)} the value at {index} of the writer's enum is not read"
                return

    def _validator(self, node: dict[str, Any], root: int) -> Any:
        whole = self._roots[root]
        extra = {name: whole[name] for name in ("$schema", "$defs", "definitions") if name in whole}
        return compile_validator({**node, **extra}, "schema")

    def _compare_type(self, name: str, writer: dict[str, Any], reader: dict[str, Any], *, place: str) -> Iterator[str]:
        read = _types(reader)
        if name not in read and not (name == "integer" and "number" in read):
            yield f"{_at(place)} may be {name}, and is read as {' or '.join(sorted(read)) or 'nothing'}"
            return
        finite = {"boolean": (False, True), "null": (None,)}.get(name)
        if finite is not None:
            yield from self._compare_values(finite, {"type": name}, reader, place=place)
        elif _values(reader) is not None:
            yield f"{_at(place)} may be any {name}, and is read as one of few values"
        elif name in _NUMERIC:
            yield from _compare_numbers(name, writer, reader, place=place)
        else:
            yield from _compare_sizes(name, writer, reader, place=place)
            if name == "string":
                yield from _compare_texts(writer, reader, place)
            elif name == "array":
                yield from self._compare_arrays(writer, reader, place)
            else:
                yield from self._compare_objects(writer, reader, place)

    def _compare_arrays(self, writer: dict[str, Any], reader: dict[str, Any], place: str) -> Iterator[str]:
        most = writer.get("maxItems")
        if reader.get("uniqueItems") and not writer.get("uniqueItems") and (most is None or most > 1):
            yield f"{_at(place)} may have an item twice, which is not read"
        mine, others = writer.get("items", True), reader.get("items", True)
        if others is True:
            return
        if isinstance(mine, list) or isinstance(others, list):
            whole = [_only(part, ("items", "additionalItems")) for part in (writer, reader)]
            if not self._alike(*whole):
                yield f"{_at(place)} items as a list are compared only where both schemas have them alike"
        elif most != 0:
            yield from self.compare(mine, others, f"{place}[]")

    def _compare_objects(self, writer: dict[str, Any], reader: dict[str, Any], place: str) -> Iterator[str]:
        required = set(writer.get("required", ()))
        for name in sorted(set(reader.get("required", ())) - required):
            yield f"{_at(_member(place, name))} may be missing, and is required where it is read"
        mine, others = writer.get("properties", {}), reader.get("properties", {})
        sent, read = (schema.get("additionalProperties", True) for schema in (writer, reader))
        for name in sorted({*mine, *others}):
            yield from self.compare(mine.get(name, sent), others.get(name, read), _member(place, name))
        yield from self.compare(sent, read, _member(place, "*"))


def _compare_numbers(name: str, writer: dict[str, Any], reader: dict[str, Any], *, place: str) -> Iterator[str]:
    step = reader.get("multipleOf")
    if step is not None:
        own = writer.get("multipleOf", 1 if name == "integer" else None)
        if own is None or (_exact(own) / _exact(step)).denominator != 1:
            yield f"{_at(place)} may be no multiple of {step}"
    for low in (True, False):
        wanted, given = _bound(reader, low=low), _bound(writer, low=low)
        if wanted is not None and (given is None or (given < wanted if low else given > wanted)):
            yield f"{_at(place)} may be {'below' if low else 'above'} what is read"


def _bound(schema: dict[str, Any], *, low: bool) -> tuple[Fraction, int] | None:
    """The bound of numbers as a pair that is ordered: a bound that is not itself allowed is a little inside."""
    plain, exclusive = ("minimum", "exclusiveMinimum") if low else ("maximum", "exclusiveMaximum")
    inside = 1 if low else -1
    found: list[tuple[Fraction, int]] = []
    if plain in schema:
        found.append((_exact(schema[plain]), inside if schema.get(exclusive) is True else 0))
    if exclusive in schema and not isinstance(schema[exclusive], bool):
        found.append((_exact(schema[exclusive]), inside))
    return (max(found) if low else min(found)) if found else None


def _exact(number: float) -> Fraction:
    """As it is written: 0.1 is a tenth."""
    return Fraction(str(number))


def _compare_sizes(name: str, writer: dict[str, Any], reader: dict[str, Any], *, place: str) -> Iterator[str]:
    least, most = _SIZES[name]
    given, ceiling = writer.get(least, 0), writer.get(most)
    if name == "object":
        given = max(given, len(set(writer.get("required", ()))))
        if ceiling is None and writer.get("additionalProperties") is False:
            ceiling = len(writer.get("properties", {}))
    if reader.get(least, 0) > given:
        yield f"{_at(place)} may have less than {least} {reader[least]}"
    if most in reader and (ceiling is None or ceiling > reader[most]):
        yield f"{_at(place)} may have more than {most} {reader[most]}"


def _compare_texts(writer: dict[str, Any], reader: dict[str, Any], place: str) -> Iterator[str]:
    for keyword in ("pattern", "format"):
        if keyword in reader and writer.get(keyword) != reader[keyword]:
            yield f"{_at(place)} {keyword} is compared only where both schemas have it alike"


def _split(node: Node) -> Parts:
    """A schema as parts that must all hold: what it says itself, each of `allOf`, each combining keyword alone."""
    if isinstance(node, bool):
        return [] if node else [{"enum": []}]
    if "$ref" in node:
        return [node]
    plain = {
        keyword: value
        for keyword, value in node.items()
        if keyword not in ANNOTATIONS | _OPAQUE | {"allOf", "anyOf", "definitions", "$defs"}
    }
    parts: list[dict[str, Any]] = []
    opaque = {keyword: node[keyword] for keyword in node if keyword in _OPAQUE}
    if "patternProperties" in opaque:  # the two beside it say which names it leaves to `additionalProperties`
        opaque |= {
            "properties": plain.get("properties", {}),
            "additionalProperties": plain.pop("additionalProperties", True),
        }
    if opaque:
        parts.append(opaque)
    if plain:
        parts.append(plain)
    if "anyOf" in node:
        parts.append({"anyOf": node["anyOf"]})
    for each in cast("Sequence[Node]", node.get("allOf", ())):
        parts.extend(_split(each))
    return parts


def _facets(parts: Parts) -> Iterator[dict[str, Any]]:
    """Each part's type apart from the rest: different parts of a writer may stand for them."""
    for part in parts:
        if "type" in part and _values(part) is None and len(part) > 1:
            yield {"type": part["type"]}
            yield {keyword: value for keyword, value in part.items() if keyword != "type"}
        else:
            yield part


def _means_all(node: Node) -> bool:
    return not isinstance(node, bool) and not set(node) - ANNOTATIONS - {"definitions", "$defs"}


def _reference(node: Node) -> str:
    return "" if isinstance(node, bool) else str(node.get("$ref", ""))


def _types(schema: dict[str, Any]) -> set[str]:
    """What it may be. A number may be whole: where numbers are taken, that is all that is said."""
    named: object = schema.get("type", list(TYPES))
    types = set(cast("list[str]", named)) if isinstance(named, list) else {cast("str", named)}
    return types - {"integer"} if "number" in types else types


def _values(schema: dict[str, Any]) -> Sequence[object] | None:
    if "const" in schema:
        return [schema["const"]]
    return cast("Sequence[object] | None", schema.get("enum"))


def _takes(validator: Any, value: object) -> bool:
    try:
        validator(value)
    except JsonSchemaException:
        return False
    return True


def _only(schema: Mapping[str, Any], keywords: Sequence[str]) -> dict[str, Any]:
    return {keyword: schema[keyword] for keyword in keywords if keyword in schema}


def _alike(one: object, other: object) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        left, right = cast("Mapping[str, object]", one), cast("Mapping[str, object]", other)
        return left.keys() == right.keys() and all(_alike(left[name], right[name]) for name in left)
    if isinstance(one, list) and isinstance(other, list):
        first, second = cast("list[object]", one), cast("list[object]", other)
        return len(first) == len(second) and all(map(_alike, first, second))
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _refers(value: object) -> bool:
    """Whether a reference is anywhere in it."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return "$ref" in members or any(_refers(each) for each in members.values())
    return isinstance(value, list) and any(_refers(each) for each in cast("list[object]", value))


def _member(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _at(place: str) -> str:
    return f"{place}:" if place else "data:"
