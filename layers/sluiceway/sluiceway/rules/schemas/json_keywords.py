"""What of JSON Schema is served: drafts 4, 6 and 7, as the Glue Schema Registry has them, each keyword checked by name.

A keyword that nothing would look at is refused, and so is a reference out of the schema and a pattern that may be slow.
Sources: https://json-schema.org/draft-07/json-schema-validation,
https://docs.aws.amazon.com/glue/latest/dg/schema-registry.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

from sluiceway.errors import Misconfigured
from sluiceway.rules.schemas.json_references import count_looks, find_definition, find_doubling, find_endless
from sluiceway.rules.schemas.regexes import find_slowness

__all__ = ["ANNOTATIONS", "DRAFTS", "FORMATS", "TYPES", "read_document"]

MAX_CHARACTERS: Final = 170_000  # https://docs.aws.amazon.com/glue/latest/webapi/API_RegisterSchemaVersion.html
MAX_DEPTH: Final = 40
MAX_LOOKS: Final = 10_000
DRAFTS: Final[Mapping[str, int]] = {
    f"http://json-schema.org/draft-{number:02}/schema{hash_}": number for number in (4, 6, 7) for hash_ in ("", "#")
}
TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
FORMATS: Final = ("date", "date-time", "ipv4", "ipv6", "time")  # those whose check takes one look at a text
ANNOTATIONS: Final = frozenset(
    {"$comment", "$id", "$schema", "contentEncoding", "contentMediaType", "default", "description", "examples", "id",
     "readOnly", "title", "writeOnly"}
)  # fmt: skip
_SCHEMA: Final = ("additionalItems", "additionalProperties", "contains", "else", "if", "not", "propertyNames", "then")
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_MAPS: Final = ("$defs", "definitions", "patternProperties", "properties")
_SINCE: Final[Mapping[str, int]] = {
    "const": 6, "contains": 6, "propertyNames": 6, "$id": 6, "examples": 6, "if": 7, "then": 7, "else": 7,
    "$comment": 7, "readOnly": 7, "writeOnly": 7, "contentEncoding": 7, "contentMediaType": 7,
}  # fmt: skip
_FORMATS_SINCE: Final[Mapping[str, int]] = {"date": 7, "time": 7}


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_names(value: object) -> bool:
    if not isinstance(value, list):
        return False
    names = cast("list[object]", value)
    return all(isinstance(name, str) for name in names) and len(names) == len(set(names))


def _is_type(value: object) -> bool:
    names = cast("list[object]", value) if isinstance(value, list) else [value]
    return bool(names) and all(name in TYPES for name in names)


_VALUES: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "$ref": (lambda value: isinstance(value, str), "text"),
    "const": (lambda _: True, ""),
    "enum": (lambda value: isinstance(value, list) and bool(cast("list[object]", value)), "a list of values"),
    "format": (lambda value: value in FORMATS, f"one of {', '.join(FORMATS)}, which are those that are checked"),
    **dict.fromkeys(("maxItems", "maxLength", "maxProperties"), (_is_count, "a whole number from 0 on")),
    **dict.fromkeys(("minItems", "minLength", "minProperties"), (_is_count, "a whole number from 0 on")),
    **dict.fromkeys(("maximum", "minimum"), (_is_number, "a number")),
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum"), (_is_number, "a number")),
    "multipleOf": (lambda value: _is_number(value) and cast("float", value) > 0, "a number above 0"),
    "pattern": (lambda value: isinstance(value, str), "text"),
    "required": (_are_names, "a list of names, each once"),
    "type": (_is_type, f"of {', '.join(TYPES)}"),
    "uniqueItems": (_is_flag, "true or false"),
}


def read_document(text: str, what: str) -> dict[str, Any]:
    """The schema in `text`, checked. `what` names it in errors.

    Raises Misconfigured that names the place in the schema (`/properties/order/format`) and the rule.
    """
    if len(text) > MAX_CHARACTERS:
        raise Misconfigured(f"{what}: a schema has {MAX_CHARACTERS} characters at most", what=what)
    try:
        document: object = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Misconfigured(f"{what}: is no JSON", what=what) from None
    if not isinstance(document, dict):
        raise Misconfigured(f"{what}: must be a JSON object", what=what)
    schema = cast("dict[str, Any]", document)
    draft = DRAFTS.get(str(schema.get("$schema")))
    if draft is None:
        names = ", ".join(name for name in DRAFTS if name.endswith("#"))
        raise Misconfigured(f"{what}: $schema must be one of {names}", what=what)
    _Walk(what, draft, schema).check(schema, "", depth=0)
    endless = find_endless(schema)
    if endless:
        raise Misconfigured(f"{what}: {endless} refers to itself and says nothing of its own", what=what)
    doubling = find_doubling(schema)
    if doubling:
        why = "comes back to itself in two ways at once, which takes time that doubles with each level of a record"
        raise Misconfigured(f"{what}: {doubling} {why}", what=what)
    if _looks(schema) > MAX_LOOKS:
        why = f"definitions lead to one another in so many ways that a value is looked at over {MAX_LOOKS} times"
        raise Misconfigured(f"{what}: {why}", what=what)
    return schema


def _looks(schema: Mapping[str, Any]) -> float:
    try:
        return count_looks(schema)
    except RecursionError:
        return math.inf


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is beyond what a double holds")
    return number


class _Walk:
    """One reading of a schema, for what is wrong in it."""

    def __init__(self, what: str, draft: int, root: Mapping[str, Any]) -> None:
        self._what, self._draft, self._root = what, draft, root

    def check(self, node: object, place: str, *, depth: int) -> None:
        """Raises Misconfigured."""
        if depth > MAX_DEPTH:
            self._refuse(place, f"is nested more than {MAX_DEPTH} deep")
        if isinstance(node, bool) and self._draft > 4:
            return
        if not isinstance(node, dict):
            self._refuse(place, "must be a schema")
        schema = cast("dict[str, object]", node)
        for keyword, value in schema.items():
            at = f"{place}/{keyword}"
            self._check_keyword(keyword, at)
            if keyword in _VALUES:
                self._check_value(keyword, value, at, schema=schema)
            elif keyword in ANNOTATIONS:
                if keyword in {"$id", "id", "$schema"} and place:
                    self._refuse(at, "may stand at the top only")
            else:
                self._check_parts(keyword, value, at, depth=depth + 1)
        self._check_reference(schema, place)

    def _check_keyword(self, keyword: str, at: str) -> None:
        known = keyword in _VALUES or keyword in ANNOTATIONS or keyword in {*_SCHEMA, *_LISTS, *_MAPS}
        if not known and keyword not in {"items", "dependencies"}:
            self._refuse(at, "is a keyword that nothing checks")
        if _SINCE.get(keyword, 4) > self._draft or (keyword == "id" and self._draft > 4):
            self._refuse(at, f"is no keyword of draft {self._draft}")

    def _check_value(self, keyword: str, value: object, at: str, *, schema: Mapping[str, object]) -> None:
        is_good, wanted = _VALUES[keyword]
        if self._draft == 4 and keyword.startswith("exclusive"):
            is_good, wanted = _is_flag, "true or false in draft 4"
        if not is_good(value):
            self._refuse(at, f"must be {wanted}")
        if keyword == "format" and _FORMATS_SINCE.get(str(value), 4) > self._draft:
            self._refuse(at, f"{value} is no format of draft {self._draft}")
        if keyword == "pattern":
            limit = schema.get("maxLength")
            self._check_pattern(str(value), at, max_length=cast("int", limit) if _is_count(limit) else None)

    def _check_pattern(self, pattern: str, at: str, *, max_length: int | None) -> None:
        slowness = find_slowness(pattern, max_length=max_length)
        if slowness:
            self._refuse(at, slowness)

    def _check_parts(self, keyword: str, value: object, at: str, *, depth: int) -> None:
        if keyword in _MAPS or keyword == "dependencies":
            if not isinstance(value, dict):
                self._refuse(at, "must be an object")
            for name, part in cast("dict[str, object]", value).items():
                self._check_named(keyword, name, part, at=at, depth=depth)
        elif keyword in _LISTS or (keyword == "items" and isinstance(value, list)):
            parts = cast("Sequence[object]", value) if isinstance(value, list) else ()
            if not parts:
                self._refuse(at, "must be a list of schemas")
            for index, part in enumerate(parts):
                self.check(part, f"{at}/{index}", depth=depth)
        elif keyword in {"additionalItems", "additionalProperties"} and isinstance(value, bool):
            return
        else:
            self.check(value, at, depth=depth)

    def _check_named(self, keyword: str, name: str, part: object, *, at: str, depth: int) -> None:
        if any(character in "\"'{}\\\n\r" for character in name) and keyword != "patternProperties":
            self._refuse(f"{at}/{name}", "a name has no quotes, braces, backslashes or line ends")
        if keyword == "patternProperties":
            self._check_pattern(name, f"{at}/{name}", max_length=None)
        if keyword == "dependencies" and isinstance(part, list):
            if not _are_names(cast("object", part)):
                self._refuse(f"{at}/{name}", "must be a list of names, each once")
            return
        self.check(part, f"{at}/{name}", depth=depth)

    def _check_reference(self, schema: Mapping[str, object], place: str) -> None:
        if "$ref" not in schema:
            return
        if find_definition(self._root, str(schema["$ref"])) is None:
            self._refuse(f"{place}/$ref", "must name one of the schema's own definitions, #/definitions/<name>")
        if set(schema) - ANNOTATIONS - {"$ref", "definitions", "$defs"}:
            self._refuse(f"{place}/$ref", "has keywords beside it, which readers of these drafts pass over")

    def _refuse(self, place: str, rule: str) -> NoReturn:
        raise Misconfigured(f"{self._what}: {place or '/'} {rule}", what=self._what)
