"""References inside the schemas of an API: each must lead to a place in the same document, and end there.

Knows nothing of requests. A reference to another document is refused at deployment: looking it up would let a template
make the gateway fetch addresses. Models refer to one another by an address of API Gateway's
(`https://apigateway.amazonaws.com/restapis/<api>/models/<name>`), which `bind_models` turns into a place in the schema.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings-models.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import unquote

from localcloud.gateway.errors import DefinitionError
from localcloud.matching import compile_pattern

__all__ = ["bind_models", "check_patterns", "check_references", "check_schema"]

MODELS: Final = "x-models"
"""Where a bound schema keeps the models that it refers to."""

_MODEL: Final = re.compile(r"https://apigateway\.[\w.-]*amazonaws\.com(?:\.cn)?/restapis/([\w-]+)/models/(\w+)")

_DATA: Final = ("default", "enum", "example")  # members whose values are no schemas


def check_schema(document: Mapping[str, Any], schema: Mapping[str, Any], *, where: str) -> None:
    """Raise DefinitionError where `schema`, of `document`, is no JSON schema of draft 4 that leads to an end."""
    from jsonschema import Draft4Validator  # noqa: PLC0415 - few APIs have models
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415 - likewise

    check_patterns(document, where=where)
    try:
        Draft4Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise DefinitionError(f"is not a JSON schema (draft 4): {error.message}", where=where) from error
    check_references(document, schema, where=where)


def bind_models(schema: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], *, api_id: str) -> dict[str, Any]:
    """`schema` with every model that it refers to, directly or through others, beside it, and references to those."""
    needed: dict[str, Any] = {}
    bound = cast("dict[str, Any]", _bind(schema, api_id, needed))
    pending = list(needed)
    while pending:
        name = pending.pop()
        before = set(needed)
        needed[name] = _bind(models[name], api_id, needed) if name in models else None
        pending.extend(set(needed) - before)
    return {**bound, MODELS: {name: model for name, model in needed.items() if model is not None}} if needed else bound


def _bind(value: object, api_id: str, needed: dict[str, Any]) -> object:
    if isinstance(value, list):
        return [_bind(each, api_id, needed) for each in cast("list[object]", value)]
    if not isinstance(value, Mapping):
        return value
    members = cast("Mapping[str, object]", value)
    reference = members.get("$ref")
    found = _MODEL.fullmatch(reference) if isinstance(reference, str) else None
    if found is not None and found[1] == api_id:
        needed.setdefault(found[2], None)
        return {**members, "$ref": f"#/{MODELS}/{found[2]}"}
    return {name: part if name in _DATA else _bind(part, api_id, needed) for name, part in members.items()}


def check_references(document: Mapping[str, Any], schema: Mapping[str, Any], *, where: str) -> None:
    """Raise DefinitionError where a reference that `schema` can reach leaves `document`, or leads to itself only."""
    seen: set[str] = set()
    pending: list[object] = [schema]
    while pending:
        for reference in _references(pending.pop()):
            if reference not in seen:
                seen.add(reference)
                pending.append(_follow(document, reference, where=where))


def check_patterns(value: object, *, where: str) -> None:
    """Raise DefinitionError where a `pattern` or a name in `patternProperties` is no regular expression."""
    if isinstance(value, list):
        for item in cast("list[object]", value):
            check_patterns(item, where=where)
    elif isinstance(value, dict):
        members = cast("dict[str, object]", value)
        for pattern in _patterns(members):
            try:
                compile_pattern(pattern)
            except ValueError as error:
                raise DefinitionError(f"the pattern {pattern[:100]!r} {error}", where=where) from error
        for name, part in members.items():
            if name not in _DATA:
                check_patterns(part, where=where)


def _patterns(members: Mapping[str, object]) -> list[str]:
    """The expressions of one schema; where `pattern` is a map, it is a property of that name."""
    named, pattern = members.get("patternProperties"), members.get("pattern")
    found = list(cast("dict[str, object]", named)) if isinstance(named, dict) else []
    return [*found, pattern] if isinstance(pattern, str) else found


def _references(value: object) -> Iterator[str]:
    """Every reference in `value`, which the YAML or JSON parser has bounded in depth."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        reference = members.get("$ref")
        if isinstance(reference, str):  # a map is a property of that name
            yield reference
        value = list(members.values())
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _references(item)


def _follow(document: Mapping[str, Any], reference: str, *, where: str) -> object:
    passed: set[str] = set()
    target = _look_up(document, reference, where=where)
    while isinstance(target, dict):
        named = cast("dict[str, object]", target).get("$ref")
        if not isinstance(named, str):
            break
        if named in passed:
            raise DefinitionError(f"$ref {reference!r} leads to itself only", where=where)
        passed.add(named)
        target = _look_up(document, named, where=where)
    return cast("object", target)


def _look_up(document: Mapping[str, Any], reference: str, *, where: str) -> object:
    """RFC 6901, section 6: the reference is a URI fragment."""
    if not reference.startswith("#/"):
        raise DefinitionError(f"$ref {reference!r} leads out of the document, which is not served here", where=where)
    current: object = document
    for part in unquote(reference[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(current, list) and key.isdecimal() and int(key) < len(cast("list[object]", current)):
            current = cast("list[object]", current)[int(key)]
        elif isinstance(current, Mapping) and key in current:
            current = cast("Mapping[str, object]", current)[key]
        else:
            raise DefinitionError(f"$ref {reference!r} leads nowhere", where=where)
    return current
