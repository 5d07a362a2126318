"""Avro on the way in: which records a schema takes, and their bytes.

fastavro encodes; it is compiled and therefore no part of the layer, which is one for every architecture: a function
that writes Avro has it in its own requirements (`pip install 'sluiceway[avro]'` elsewhere). It is imported when the
first schema is made. Records come as JSON, which has no bytes: `bytes` and `fixed`, and decimals on them, are refused.
Source: https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.publishing import Data
from sluiceway.rules.schemas.avro_names import AvroFault, AvroNode, read_avro

__all__ = ["AvroSchema", "read_avro_document"]

MAX_CHARACTERS: Final = 170_000  # https://docs.aws.amazon.com/glue/latest/webapi/API_RegisterSchemaVersion.html
MAX_PATH: Final = 256
MAX_NESTING: Final = 64  # fastavro is compiled, and does not look how deep it is: some thousand levels end the process
_WITHOUT_JSON: Final = ("bytes", "fixed")
_PYTHON: Final[Mapping[str, type | tuple[type, ...]]] = {
    "array": list, "boolean": bool, "double": (int, float), "enum": str, "float": (int, float), "int": int, "long": int,
    "map": dict, "null": type(None), "record": dict, "string": str,
}  # fmt: skip
_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}


def read_avro_document(text: str, what: str) -> AvroNode:
    """The schema in `text`, its names resolved. Raises Misconfigured that names the place in the schema."""
    if len(text) > MAX_CHARACTERS:
        raise Misconfigured(f"{what}: a schema has {MAX_CHARACTERS} characters at most", what=what)
    try:
        return read_avro(json.loads(text))
    except AvroFault as error:
        raise Misconfigured(f"{what}: {error}", what=what) from None
    except (ValueError, RecursionError):
        raise Misconfigured(f"{what}: is no JSON", what=what) from None


class AvroSchema:
    """One version of a schema of records. Raises Misconfigured for a schema that is none, or where fastavro is not."""

    def __init__(self, text: str, *, what: str) -> None:
        self.document = read_avro_document(text, what)
        if self.document.kind != "record":
            raise Misconfigured(f"{what}: a topic's schema is a record", what=what)
        missing = _find_binary(self.document)
        if missing:
            raise Misconfigured(f"{what}: {missing}: records come as JSON, which has no bytes", what=what)
        if _branches_again(self.document):
            why = "a union holds itself in two branches: to choose takes time that doubles with each level of a record"
            raise Misconfigured(f"{what}: {why}", what=what)
        try:
            import fastavro  # noqa: PLC0415 - optional, and compiled: 22 ms
            from fastavro import validation  # noqa: PLC0415
        except ImportError:
            raise Misconfigured(
                "Avro needs fastavro: put it into the function's requirements", what="fastavro"
            ) from None
        self._validate: Any = validation.validate
        self._write: Any = cast("Any", fastavro).schemaless_writer
        try:
            self._parsed: Any = fastavro.parse_schema(json.loads(text))
        except Exception as error:  # fastavro's errors have no root: whatever it says, the schema cannot be used
            raise Misconfigured(f"{what}: is no schema that fastavro takes: {error}", what=what) from error

    def encode(self, topic: str, data: Data) -> bytes:
        """The data in Avro's binary form, without a schema: a `Check`. Raises Rejected (`schema-mismatch`)."""
        del topic
        record = dict(data)
        if _is_deep(record):
            raise Rejected(f"is nested more than {MAX_NESTING} deep", reason="schema-mismatch")
        written = io.BytesIO()
        try:
            # never with raise_errors: its text of a record that nests grows with the cube of the depth, for minutes
            if not self._validate(record, self._parsed, raise_errors=False):
                raise self._refuse(record)
            self._write(written, self._parsed, record, strict=True)
        except (OverflowError, ValueError):  # a member that no field takes, half of a surrogate pair
            raise self._refuse(record) from None
        return written.getvalue()

    def _refuse(self, record: object) -> Rejected:
        place = (_find_fault(self.document, record, "") or "")[:MAX_PATH]
        return Rejected("has another type than the schema", reason="schema-mismatch", field=place or None)


def _find_binary(root: AvroNode) -> str:
    """The name of a `bytes` or `fixed`, "" for none."""
    return next((f"{node.name or node.kind} is {node.kind}" for node in _reach(root) if node.kind in _WITHOUT_JSON), "")


def _branches_again(root: AvroNode) -> bool:
    """Whether a union can be reached from more than one of its own branches."""
    unions = [node for node in _reach(root) if node.kind == "union"]
    return any(sum(any(each is union for each in _reach(part)) for part in union.branches) > 1 for union in unions)


def _reach(root: AvroNode) -> list[AvroNode]:
    """Every node under one, itself included, each once."""
    seen: dict[int, AvroNode] = {}
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            todo += node.children()
    return list(seen.values())


def _is_deep(record: object) -> bool:
    level: list[object] = [record]
    for _ in range(MAX_NESTING):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner += cast("dict[str, object]", each).values()
            elif isinstance(each, list):
                inner += cast("list[object]", each)
        if not inner:
            return False
        level = inner
    return True


def _find_fault(node: AvroNode, value: object, place: str) -> str | None:
    """The place within the data of the first value that has another type; None where each has its own.

    fastavro says whether a record is taken; the place in its errors has the records' names in it and no index.
    """
    if node.kind == "union":
        faults = [_find_fault(branch, value, place) for branch in node.branches]
        if None in faults:
            return None
        return max(cast("list[str]", faults), key=len)  # of the branch that fits furthest
    if not isinstance(value, _PYTHON[node.kind]) or (isinstance(value, bool) and node.kind != "boolean"):
        return place
    low, high = _BOUNDS.get(node.kind, (None, None))
    if low is not None and high is not None and not low <= cast("int", value) <= high:
        return place
    if node.kind == "enum":
        return None if value in node.symbols else place
    faults = _find_inner(node, cast("object", value), place)
    return next((fault for fault in faults if fault is not None), None)


def _find_inner(node: AvroNode, value: object, place: str) -> Iterator[str | None]:
    if node.kind == "array" and node.items is not None:
        for index, item in enumerate(cast("list[object]", value)):
            yield _find_fault(node.items, item, f"{place}[{index}]")
    if node.kind == "map" and node.items is not None:
        for name, item in cast("dict[str, object]", value).items():
            yield _find_fault(node.items, item, f"{place}.{name}")
    if node.kind == "record":
        members = cast("dict[str, object]", value)
        yield place if set(members) - {each.name for each in node.fields} else None
        for each in node.fields:
            yield _find_fault(each.node, members.get(each.name, each.default), f"{place}.{each.name}".lstrip("."))
