"""Request validators: required parameters and bodies against JSON schemas, in API Gateway's own words.

The words are those of the validator API Gateway runs; people match on them.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, cast

from jsonschema import Draft4Validator, validators
from jsonschema.exceptions import ValidationError
from referencing import Registry

from localcloud.gateway.errors import GatewayError
from localcloud.json_text import MalformedJson, parse_json
from localcloud.matching import PatternTooSlow, limit_matching

__all__ = ["BodyValidator", "check_parameters"]

_TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")  # the order lists are shown in


def _all_of(validator: Any, schemas: list[Any], *found: Any) -> Iterator[ValidationError]:
    """One failure for all of them, which says how many matched; `found` is the instance, and the schema around."""
    instance = found[0]
    matched = sum(1 for each in schemas if validator.evolve(schema=each).is_valid(instance))
    if matched < len(schemas):
        words = f"instance failed to match all required schemas (matched only {matched} out of {len(schemas)})"
        yield ValidationError(words)


def _dependencies(validator: Any, rules: dict[str, Any], *found: Any) -> Iterator[ValidationError]:
    """One failure for each property that lacks others; a schema for what has the property stands for itself."""
    instance = found[0]
    if not isinstance(instance, dict):
        return
    for name, rule in rules.items():
        if name in instance and isinstance(rule, list):
            wanted = cast("list[str]", rule)
            missing = [each for each in wanted if each not in instance]
            if missing:
                lacks = f"(schema requires {_json(wanted)}; missing: {_json(missing)})"
                yield ValidationError(f'property "{name}" of object has missing property dependencies {lacks}')
        elif name in instance:
            yield from validator.descend(instance, rule, schema_path=name)


_extend = cast("Callable[..., Any]", validators.extend)  # pyright: ignore[reportUnknownMemberType] - untyped library
_VALIDATOR: Final = _extend(Draft4Validator, {"allOf": _all_of, "dependencies": _dependencies})
_make_registry = cast("Callable[[], Any]", Registry)
_NO_DOCUMENTS: Final = _make_registry()  # no reference is fetched


class _Failure(Protocol):
    """What this module reads of a jsonschema error."""

    @property
    def validator(self) -> Any: ...
    @property
    def validator_value(self) -> Any: ...
    @property
    def instance(self) -> Any: ...
    @property
    def schema(self) -> Any: ...
    @property
    def context(self) -> Any: ...
    @property
    def message(self) -> str: ...
    @property
    def absolute_path(self) -> Iterable[str | int]: ...


class BodyValidator:
    """Checks bodies against one schema; made once, at deployment."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = _VALIDATOR(dict(schema), registry=_NO_DOCUMENTS)

    def check(self, body: bytes) -> None:
        """Raise GatewayError BAD_REQUEST_BODY where `body` does not fit; an empty body counts as `{}`.

        It is UTF-8 to the letter, as the integration reads it: no mark at its start, no other encoding, no surrogates.
        """
        try:
            document = parse_json(body or b"{}")
        except MalformedJson as error:
            raise GatewayError("BAD_REQUEST_BODY", validation="[Invalid JSON]", reason="not JSON") from error
        iterate = cast("Callable[[Any], Iterable[_Failure]]", self._validator.iter_errors)  # pyright: ignore[reportUnknownMemberType] - untyped library
        try:
            with limit_matching():
                failures = sorted(iterate(document), key=lambda each: [str(step) for step in each.absolute_path])
                told = dict.fromkeys(
                    (*each.absolute_path, _describe(each)) for each in failures
                )  # `required` fails by name
        except RecursionError as error:  # the schema refers to itself, and the body goes as deep as it likes
            raise GatewayError("BAD_REQUEST_BODY", validation="[Invalid JSON]", reason="nested too deeply") from error
        except PatternTooSlow as error:
            words = "[Pattern takes too long]"
            raise GatewayError("BAD_REQUEST_BODY", validation=words, reason=f"a model's pattern: {error}") from error
        if told:
            words = "[" + ", ".join(str(each[-1]) for each in told) + "]"
            raise GatewayError("BAD_REQUEST_BODY", validation=words, reason="the body does not fit the model")


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return kinds.get(cast("type[Any]", type(value)), "object")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _describe_type(failure: _Failure) -> str:
    given = failure.validator_value
    ordered = _json([kind for kind in _TYPES if kind == given or (isinstance(given, list) and kind in given)])
    found = _type_of(failure.instance)
    return f"instance type ({found}) does not match any allowed primitive type (allowed: {ordered})"


def _describe_required(failure: _Failure) -> str:
    missing = [name for name in failure.validator_value if name not in failure.instance]
    return f"object has missing required properties ({_json(missing)})"


def _describe_additional(failure: _Failure) -> str:
    known = failure.schema.get("properties", {})
    patterns: list[str] = list(failure.schema.get("patternProperties", {}))
    extra = sorted(
        name
        for name in failure.instance
        if name not in known and not any(re.search(pattern, name) for pattern in patterns)
    )
    return f"object instance has properties which are not allowed by the schema: {_json(extra)}"


def _describe_minimum(failure: _Failure) -> str:
    limit, found = failure.validator_value, failure.instance
    if failure.schema.get("exclusiveMinimum") is True and limit == found:
        return f"numeric instance is not strictly greater than the required minimum {limit}"
    return f"numeric instance is lower than the required minimum (minimum: {limit}, found: {found})"


def _describe_maximum(failure: _Failure) -> str:
    limit, found = failure.validator_value, failure.instance
    if failure.schema.get("exclusiveMaximum") is True and limit == found:
        return f"numeric instance is not strictly lower than the required maximum {limit}"
    return f"numeric instance is greater than the required maximum (maximum: {limit}, found: {found})"


def _describe_min_length(failure: _Failure) -> str:
    text, limit = failure.instance, failure.validator_value
    return f'string "{text}" is too short (length: {len(text)}, required minimum: {limit})'


def _describe_max_length(failure: _Failure) -> str:
    text, limit = failure.instance, failure.validator_value
    return f'string "{text}" is too long (length: {len(text)}, maximum allowed: {limit})'


def _describe_own(failure: _Failure) -> str:
    """The words that a rule of ours has found already."""
    return failure.message


def _describe_additional_items(failure: _Failure) -> str:
    allowed, found = len(failure.schema.get("items", [])), len(failure.instance)
    return f"schema only allows {allowed} elements in array but instance has {found} elements"


def _describe_min_items(failure: _Failure) -> str:
    limit, found = failure.validator_value, len(failure.instance)
    return f"array is too short: must have at least {limit} elements but instance has {found} elements"


def _describe_max_items(failure: _Failure) -> str:
    limit, found = failure.validator_value, len(failure.instance)
    return f"array is too long: must have at most {limit} elements but instance has {found} elements"


def _describe_enum(failure: _Failure) -> str:
    values = failure.validator_value
    return f"instance value ({_json(failure.instance)}) not found in enum (possible values: {_json(values)})"


def _describe_one_of(failure: _Failure) -> str:
    total = len(failure.validator_value)
    failed = {each.schema_path[0] for each in failure.context}
    matched = 0 if failed else 2  # jsonschema stops at the second match
    return f"instance failed to match exactly one schema (matched {matched} out of {total})"


def _describe_properties(failure: _Failure) -> str:
    few = failure.validator == "minProperties"
    word, side = ("few", "at least") if few else ("many", "at most")
    found, limit = len(failure.instance), failure.validator_value
    return f"object has too {word} properties (found {found} but schema requires {side} {limit})"


def _describe_pattern(failure: _Failure) -> str:
    return f'ECMA 262 regex "{failure.validator_value}" does not match input string "{failure.instance}"'


def _describe_any_of(failure: _Failure) -> str:
    return f"instance failed to match at least one required schema among {len(failure.validator_value)}"


def _describe_multiple(failure: _Failure) -> str:
    return f"remainder of division is not zero ({failure.instance} / {failure.validator_value})"


_DESCRIPTIONS: Final[Mapping[str, Callable[[_Failure], str]]] = {
    "additionalItems": _describe_additional_items,
    "additionalProperties": _describe_additional,
    "allOf": _describe_own,
    "anyOf": _describe_any_of,
    "dependencies": _describe_own,
    "enum": _describe_enum,
    "maxItems": _describe_max_items,
    "maxLength": _describe_max_length,
    "maxProperties": _describe_properties,
    "maximum": _describe_maximum,
    "minItems": _describe_min_items,
    "minLength": _describe_min_length,
    "minProperties": _describe_properties,
    "minimum": _describe_minimum,
    "multipleOf": _describe_multiple,
    "oneOf": _describe_one_of,
    "pattern": _describe_pattern,
    "required": _describe_required,
    "type": _describe_type,
}
_FIXED: Final[Mapping[str, str]] = {
    "not": "instance matched a schema which it should not have",
    "uniqueItems": "array must not contain duplicate elements",
}


def _describe(failure: _Failure) -> str:
    keyword = str(failure.validator)
    if keyword in _FIXED:
        return _FIXED[keyword]
    describe = _DESCRIPTIONS.get(keyword)
    return describe(failure) if describe is not None else f"instance does not fit the schema's {keyword}"


def check_parameters(required: Iterable[str], has: Callable[[str], bool]) -> None:
    """Raise GatewayError BAD_REQUEST_PARAMETERS naming every required parameter that `has` does not find."""
    missing = [name.removeprefix("method.request.").partition(".")[2] for name in required if not has(name)]
    if missing:
        words = f"Missing required request parameters: [{', '.join(missing)}]"
        raise GatewayError("BAD_REQUEST_PARAMETERS", words, validation=words, reason="parameters are missing")
