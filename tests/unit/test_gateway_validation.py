"""Request validators in API Gateway's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.gateway.errors import GatewayError
from localcloud.gateway.validation import BodyValidator

TYPE = "instance type ({}) does not match any allowed primitive type (allowed: {})"
CASES = [
    (
        {"allOf": [{"type": "object"}, {"required": ["a"]}, {"required": ["b"]}]},
        {},
        "instance failed to match all required schemas (matched only 1 out of 3)",
    ),
    (
        {"dependencies": {"card": ["name", "code"], "gone": ["x"]}},
        {"card": 1, "code": 2},
        (
            'property "card" of object has missing property dependencies '
            '(schema requires ["name","code"]; missing: ["name"])'
        ),
    ),
    (
        {"dependencies": {"card": {"required": ["name"]}}},
        {"card": 1},
        'object has missing required properties (["name"])',
    ),
    (
        {"items": [{}, {}], "additionalItems": False},
        [1, 2, 3],
        "schema only allows 2 elements in array but instance has 3 elements",
    ),
    ({"type": "object"}, [], TYPE.format("array", '["object"]')),
    (
        {"type": ["string", "null", "integer"]},
        1.5,
        TYPE.format("number", '["integer","null","string"]'),
    ),
    ({"type": "integer"}, True, TYPE.format("boolean", '["integer"]')),
    ({"type": "integer"}, 1.0, TYPE.format("number", '["integer"]')),
    ({"type": "string"}, None, TYPE.format("null", '["string"]')),
    ({"required": ["a", "b"]}, {"b": 1}, 'object has missing required properties (["a"])'),
    ({"required": ["a", "b"]}, {}, 'object has missing required properties (["a","b"])'),
    (
        {"properties": {"a": {}}, "additionalProperties": False},
        {"z": 1, "b": 1, "a": 1},
        'object instance has properties which are not allowed by the schema: ["b","z"]',
    ),
    ({"minLength": 3}, "ab", 'string "ab" is too short (length: 2, required minimum: 3)'),
    ({"maxLength": 1}, "ab", 'string "ab" is too long (length: 2, maximum allowed: 1)'),
    ({"pattern": "^a$"}, "b", 'ECMA 262 regex "^a$" does not match input string "b"'),
    ({"minimum": 3}, 2, "numeric instance is lower than the required minimum (minimum: 3, found: 2)"),
    ({"maximum": 3}, 4, "numeric instance is greater than the required maximum (maximum: 3, found: 4)"),
    (
        {"minimum": 3, "exclusiveMinimum": True},
        3,
        "numeric instance is not strictly greater than the required minimum 3",
    ),
    ({"maximum": 3, "exclusiveMaximum": True}, 3, "numeric instance is not strictly lower than the required maximum 3"),
    ({"multipleOf": 2}, 3, "remainder of division is not zero (3 / 2)"),
    ({"enum": ["a", 1]}, "b", 'instance value ("b") not found in enum (possible values: ["a",1])'),
    ({"minItems": 2}, [1], "array is too short: must have at least 2 elements but instance has 1 elements"),
    ({"maxItems": 1}, [1, 2], "array is too long: must have at most 1 elements but instance has 2 elements"),
    ({"uniqueItems": True}, [1, 1], "array must not contain duplicate elements"),
    ({"minProperties": 1}, {}, "object has too few properties (found 0 but schema requires at least 1)"),
    ({"maxProperties": 0}, {"a": 1}, "object has too many properties (found 1 but schema requires at most 0)"),
    (
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        1,
        "instance failed to match at least one required schema among 2",
    ),
    (
        {"oneOf": [{"type": "string"}, {"type": "null"}]},
        1,
        "instance failed to match exactly one schema (matched 0 out of 2)",
    ),
    ({"oneOf": [{}, {}]}, 1, "instance failed to match exactly one schema (matched 2 out of 2)"),
    ({"not": {}}, 1, "instance matched a schema which it should not have"),
]


@pytest.mark.parametrize(("schema", "body", "words"), CASES)
def test_each_keyword_has_its_sentence(schema: dict[str, Any], body: Any, words: str) -> None:
    """As the validator behind API Gateway writes them, in brackets."""
    with pytest.raises(GatewayError) as caught:
        BodyValidator(schema).check(json.dumps(body).encode())
    assert caught.value.kind == "BAD_REQUEST_BODY"
    assert caught.value.message == "Invalid request body"
    assert caught.value.validation == f"[{words}]"


def test_several_failures_are_listed_by_place() -> None:
    """Joined by a comma, in the order of their paths."""
    schema = {"properties": {"b": {"minimum": 1}, "a": {"type": "string"}}}
    with pytest.raises(GatewayError) as caught:
        BodyValidator(schema).check(b'{"b":0,"a":1}')
    first, second = caught.value.validation.strip("[]").split(", numeric")
    assert first.startswith("instance type (integer)")
    assert second.startswith(" instance is lower")


@pytest.mark.parametrize("body", [b"{", b"nope", b"[1,]", b'{"a":NaN}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Whatever the schema says."""
    with pytest.raises(GatewayError):
        BodyValidator({}).check(body)


def test_references_lead_into_the_components() -> None:
    """Also references inside what a reference leads to."""
    schema = {
        "$ref": "#/components/schemas/A",
        "components": {
            "schemas": {
                "A": {"type": "object", "properties": {"b": {"$ref": "#/components/schemas/B"}}},
                "B": {"type": "string"},
            }
        },
    }
    BodyValidator(schema).check(b'{"b":"x"}')
    with pytest.raises(GatewayError):
        BodyValidator(schema).check(b'{"b":1}')
