"""rules.schemas.json_schemas: what a schema takes, what it says of the rest, and which schemas are no schemas."""

from __future__ import annotations

import json
import string
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from sluiceway.codec import glue
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.flows.publish.schemas import check_by
from sluiceway.rules.schemas.json_schemas import JsonSchema
from sluiceway.rules.schemas.regexes import find_slowness

DRAFT = "http://json-schema.org/draft-07/schema#"
VERSION = UUID("b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63")
ORDER: dict[str, Any] = {
    "$schema": DRAFT,
    "type": "object",
    "additionalProperties": False,
    "required": ["order"],
    "properties": {
        "order": {"type": "integer", "minimum": 1},
        "lines": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string", "pattern": "^[A-Z]+$"}, "at": {"format": "date-time"}},
            },
        },
        "kind": {"enum": ["a", 1]},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def make(schema: dict[str, Any] | None = None, **changes: Any) -> JsonSchema:
    return JsonSchema(json.dumps({**(schema or ORDER), **changes}), what="products/orders/schema.json")


def refuse(data: dict[str, Any], schema: JsonSchema | None = None) -> Rejected:
    with pytest.raises(Rejected) as caught:
        (schema or make()).encode("orders", data)
    return caught.value


def test_what_a_schema_takes_is_put_as_it_was_sent() -> None:
    """Compact JSON of the data, without the schema's defaults: what was sent is what is stored."""
    schema = make(properties={**ORDER["properties"], "note": {"default": "none"}})
    assert schema.encode("orders", {"order": 7, "kind": 1}) == b'{"order":7,"kind":1}'


@pytest.mark.parametrize(
    ("data", "field", "rule"),
    [
        ({"order": "secret"}, "order", "breaks type integer"),
        ({"order": True}, "order", "breaks type integer"),
        ({"order": 0}, "order", "breaks minimum 1"),
        ({}, None, "breaks required ['order']"),
        ({"order": 1, "secret": 2}, None, "has a member that the schema does not name"),
        ({"order": 1, "lines": [{"sku": "A"}, {"sku": "secret"}]}, "lines[1].sku", "must match the schema's pattern"),
        ({"order": 1, "lines": [{"sku": "A", "at": "secret"}]}, "lines[0].at", "breaks format date-time"),
        ({"order": 1, "lines": [{"sku": "A"}] * 4}, "lines", "breaks maxItems 3"),
        ({"order": 1, "kind": "secret"}, "kind", "must be one of the values that the schema names"),
        ({"order": 1, "kind": True}, "kind", "must be one of the values that the schema names"),
        ({"order": 1, "tags": {"a": 5}}, "tags.a", "breaks type string"),
    ],
)
def test_a_refusal_names_the_place_and_the_rule_and_never_the_value(
    data: dict[str, Any], field: str | None, rule: str
) -> None:
    """`field` is the path within the data, as publishing's errors are written; the value is not in the text."""
    error = refuse(data)
    assert (error.reason, error.field, str(error)) == ("schema-mismatch", field, rule)
    assert "secret" not in str(error)


def test_a_frame_names_the_version_that_wrote_the_record() -> None:
    """With a version's id the bytes are what the registry's libraries read; without one they are bare JSON."""
    framed = check_by(make(), VERSION)("orders", {"order": 7})
    assert glue.read_frame(framed) == glue.Frame(VERSION, b'{"order":7}')
    long = {"order": 7, "tags": {"a": "b" * 500}}
    small = check_by(make(), VERSION, compress=True)("orders", long)
    assert len(small) < 120
    assert json.loads(glue.read_frame(small).payload) == long
    assert check_by(make())("orders", {"order": 7}) == b'{"order":7}'


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, r"\$schema must be one of"),
        ({"unevaluatedProperties": False}, r"/unevaluatedProperties is a keyword that nothing checks"),
        ({"properties": {"a": {"typ": "string"}}}, r"/properties/a/typ is a keyword that nothing checks"),
        ({"properties": {"a": {"format": "email"}}}, r"/properties/a/format must be one of date, date-time, ipv4"),
        ({"properties": {"a": {"$ref": "https://example.org/s.json"}}}, r"/properties/a/\$ref must name one of"),
        ({"properties": {"a": {"$ref": "#/definitions/none"}}}, r"/properties/a/\$ref must name one of"),
        ({"definitions": {"d": {}}, "properties": {"a": {"$ref": "#/definitions/d", "minimum": 1}}}, "keywords beside"),
        ({"properties": {"a": {"type": "int"}}}, r"/properties/a/type must be of array"),
        ({"required": "order"}, r"/required must be a list of names"),
        ({"properties": {"a": {"minLength": -1}}}, r"/properties/a/minLength must be a whole number"),
        ({"properties": {"a": {"multipleOf": 0}}}, r"/properties/a/multipleOf must be a number above 0"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, r"/properties/a/pattern repeats what has repeats"),
        ({"properties": {"a": {"pattern": "["}}}, r"/properties/a/pattern is no pattern"),
        ({"properties": {"a": {"pattern": "a{99999999999999}"}}}, r"/properties/a/pattern is no pattern"),
        ({"properties": {"order": {"pattern": "[$]"}}}, r"is no schema that can be compiled: bad escape"),
        ({"properties": {"a{b}": {}}}, r"a name has no quotes, braces"),
        ({"properties": {"a": {"$id": "x"}}}, r"/properties/a/\$id may stand at the top only"),
        ({"definitions": {"a": {"anyOf": [{"$ref": "#/definitions/a"}]}}}, "#/definitions/a refers to itself"),
        ({"anyOf": []}, r"/anyOf must be a list of schemas"),
    ],
)
def test_a_schema_that_would_be_passed_over_in_part_is_none(changes: dict[str, Any], told: str) -> None:
    """The error names the file, the place in the schema and the rule."""
    with pytest.raises(Misconfigured, match=told) as caught:
        make(**changes)
    assert caught.value.what == "products/orders/schema.json"
    assert str(caught.value).startswith("products/orders/schema.json: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"$schema": NaN}',
        "9" * 200_000,
        '{"a":' * 3_000,
        json.dumps(ORDER).replace('"minimum": 1', '"minimum": 1e999'),
    ],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    """Not JSON, no object, too long, too deep, or a number that is none."""
    with pytest.raises(Misconfigured):
        JsonSchema(text, what="s")


def test_a_keyword_of_a_later_draft_is_refused() -> None:
    """Draft 4 has no const and says exclusiveMinimum by true or false; draft 6 has no if."""
    four, six = (f"http://json-schema.org/draft-0{number}/schema#" for number in (4, 6))
    for schema in (
        {"$schema": four, "properties": {"a": {"const": 1}}},
        {"$schema": four, "properties": {"a": {"minimum": 1, "exclusiveMinimum": 1}}},
        {"$schema": four, "properties": {"a": True}},
        {"$schema": six, "if": {}, "then": {}},
        {"$schema": six, "properties": {"a": {"format": "date"}}},
    ):
        with pytest.raises(Misconfigured):
            make(schema)
    assert make({"$schema": four, "properties": {"a": {"minimum": 1, "exclusiveMinimum": True}}})


def test_deep_and_huge_records_are_refused_and_nothing_fails() -> None:
    """A record nested beyond what can be followed, and a number beyond what can be divided, are the sender's."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/definitions/node"}}}
    schema = make(
        {"$schema": DRAFT, "definitions": {"node": node}, "properties": {"next": {"$ref": "#/definitions/node"}}}
    )
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"next": deep}
    assert str(refuse(deep, schema)) == "is nested too deeply"
    steps = make({"$schema": DRAFT, "properties": {"a": {"multipleOf": 0.01}}})
    assert refuse({"a": 10**400}, steps).reason == "schema-mismatch"


LEAF = {"$ref": "#/definitions/n"}


@pytest.mark.parametrize(
    "node",
    [
        {"anyOf": [{"required": ["x"], "properties": {"a": LEAF}}, {"required": ["y"], "properties": {"a": LEAF}}]},
        {"allOf": [{"properties": {"a": LEAF}}, {"properties": {"a": LEAF}}]},
        {"if": {"properties": {"a": LEAF}}, "then": {"properties": {"a": LEAF}}},
        {"properties": {"a": LEAF}, "patternProperties": {"^a": LEAF}},
        {"patternProperties": {"^a": LEAF, "a$": LEAF}},
        {"properties": {"a": {"items": {"$ref": "#/definitions/m"}, "contains": {"$ref": "#/definitions/m"}}}},
    ],
)
def test_a_schema_whose_levels_double_is_refused(node: dict[str, Any]) -> None:
    """A record of forty levels would be looked at for years, and anybody may send one."""
    middle = {"properties": {"a": LEAF}}
    with pytest.raises(Misconfigured, match="comes back to itself in two ways at once"):
        make({"$schema": DRAFT, "definitions": {"n": node, "m": middle}, "properties": {"a": LEAF}})


@pytest.mark.parametrize(
    "pair",
    [
        lambda ref: {"anyOf": [ref, ref]},
        lambda ref: {"properties": {"a": ref}, "patternProperties": {"^a": ref}},
        lambda ref: {"items": ref, "contains": ref},
        lambda ref: {"additionalProperties": ref, "if": {"properties": {"a": ref}}},
    ],
)
def test_definitions_that_lead_on_in_two_ways_are_refused(pair: Callable[[dict[str, str]], dict[str, Any]]) -> None:
    """Without any circle: each of them doubles the looks at one value, and forty are a small schema."""

    def chain(length: int) -> dict[str, Any]:
        nodes = {f"n{at}": pair({"$ref": f"#/definitions/n{at + 1}"}) for at in range(length)}
        last = {f"n{length}": {"type": "integer"}}
        return {"$schema": DRAFT, "definitions": nodes | last, "properties": {"a": {"$ref": "#/definitions/n0"}}}

    make(chain(6))
    with pytest.raises(Misconfigured, match="in so many ways"):
        make(chain(40))


def test_a_chain_of_definitions_without_end_is_refused() -> None:
    """Rather than a traceback: nobody follows so many references."""
    nodes = {f"n{at}": {"properties": {"a": {"$ref": f"#/definitions/n{at + 1}"}}} for at in range(2_000)}
    first = {"$ref": "#/definitions/n0"}
    with pytest.raises(Misconfigured):
        make({"$schema": DRAFT, "definitions": {**nodes, "n2000": {}}, "properties": {"a": first}})


def test_a_schema_that_nests_in_one_way_is_quick() -> None:
    """Trees, lists and two members that nest: each value is looked at once, however deep."""
    node = {
        "anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": LEAF, "b": LEAF, "c": {"items": LEAF}}}],
    }
    schema = make({"$schema": DRAFT, "definitions": {"n": node}, "properties": {"a": LEAF}})
    deep: Any = 5
    for _ in range(150):
        deep = {"a": deep, "c": [{"a": None}]}
    before = time.process_time()
    schema.check({"x": 1, "a": None})
    refuse({"a": deep}, schema)
    assert time.process_time() - before < 1


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("pattern", "max_length"),
    [
        ("^[A-Z0-9-]+$", None), ("^(ab)*$", None), ("^[a-z]{1,64}$", None), ("abc", None), ("^(a|b)$", None),
        ("^[^@]{1,64}@[^@]+$", 254), ("^\\d{4}-\\d{2}$", None), ("^a?b?c?$", None), ("[a-z]+", 200),
    ],
)  # fmt: skip
def test_patterns_whose_time_is_bounded_are_taken(pattern: str, max_length: int | None) -> None:
    """A pattern that goes through a text once or a few times; more where the text is short."""
    assert find_slowness(pattern, max_length=max_length) == ""


@pytest.mark.parametrize(
    ("pattern", "max_length"),
    [
        ("(a+)+$", 30), ("^(a|a)*$", 30), ("^(a?){30}$", 30), ("^([a-z]+[0-9]*)*$", 30), (r"^(a)\1*$", 30),
        ("^[a-z]+[a-z]+$", None), ("[a-z]+", None), ("^a*a*a*a*$", 200), ("(", None), ("(?:" * 2_000, None),
        ("^(?=(a+)+$)", 30),
    ],
)  # fmt: skip
def test_patterns_whose_time_is_not_are_refused(pattern: str, max_length: int | None) -> None:
    """Nested repeats, alternatives within repeats, references back, and more repeats than the text is short for."""
    assert find_slowness(pattern, max_length=max_length) != ""


_ATOMS = st.sampled_from(["a", "[ab]", ".", "(ab)", "b"])
_QUANTIFIERS = st.sampled_from(["", "*", "+", "?", "{1,8}", "{2,}"])
_PARTS = st.lists(st.tuples(_ATOMS, _QUANTIFIERS).map("".join), min_size=1, max_size=4)


@given(_PARTS.map("".join), st.booleans(), st.integers(1, 3_000))
def test_a_pattern_that_is_taken_is_quick(body: str, anchored: bool, length: int) -> None:
    """Whatever is taken for texts of a length ends within a second on the texts that are worst for it."""
    pattern = ("^" if anchored else "") + body + "c$"
    if find_slowness(pattern, max_length=length):
        return
    schema = make({"$schema": DRAFT, "properties": {"a": {"pattern": pattern, "maxLength": length}}})
    before = time.process_time()
    for text in ("a" * length, ("ab" * length)[:length]):
        refuse({"a": text}, schema)
    assert time.process_time() - before < 1


# ---------------------------------------------------------------- beside another implementation

NAMES = st.sampled_from(["a", "b", "c", "a b", "é", "$", "a.b", "1"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0]) | st.text("ab1", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])


def _optional(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _optional(
        type=TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        properties=st.dictionaries(NAMES, inner, max_size=3),
        required=st.lists(NAMES, max_size=2, unique=True),
        additionalProperties=st.booleans() | inner,
        items=inner,
        minItems=st.integers(0, 2),
        maxItems=st.integers(0, 3),
        uniqueItems=st.booleans(),
        minProperties=st.integers(0, 2),
        maxProperties=st.integers(0, 3),
        anyOf=st.lists(inner, min_size=1, max_size=2),
        allOf=st.lists(inner, min_size=1, max_size=2),
        oneOf=st.lists(inner, min_size=1, max_size=2),
        contains=inner,
        propertyNames=_optional(maxLength=st.integers(0, 2)),
    ) | st.fixed_dictionaries({"not": inner})


_LEAVES = st.booleans() | _optional(
    type=TYPES,
    minimum=st.integers(-2, 2),
    maximum=st.integers(-2, 2) | st.just(0.5),
    exclusiveMinimum=st.integers(-2, 2),
    exclusiveMaximum=st.integers(-2, 2),
    multipleOf=st.sampled_from([1, 2, 0.5]),
    minLength=st.integers(0, 2),
    maxLength=st.integers(0, 3),
    pattern=st.sampled_from(["^a", "b$", "1"]),
    enum=st.lists(VALUES, min_size=1, max_size=3),
    const=VALUES,
)
SCHEMAS = st.recursive(_LEAVES, _nested, max_leaves=6).filter(lambda schema: isinstance(schema, dict))


@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_record_is_taken_where_another_implementation_takes_it(schema: dict[str, Any], data: dict[str, Any]) -> None:
    """Over generated schemas and records, the verdict is that of `jsonschema` for draft 7."""
    whole = {"$schema": DRAFT, **schema}
    try:
        checked = make(whole)
    except Misconfigured:  # such as a member that is required and not allowed
        reject()
    try:
        checked.check(data)
        taken = True
    except Rejected:
        taken = False
    assert taken is jsonschema.Draft7Validator(whole).is_valid(data)


@given(st.text(string.printable, max_size=30), st.dictionaries(st.text(max_size=5), VALUES, max_size=3))
def test_any_name_of_a_member_is_data(name: str, data: dict[str, Any]) -> None:
    """Names in records may hold quotes, braces and line ends: they are compared, and never run."""
    schema = make({"$schema": DRAFT, "additionalProperties": {"type": "integer"}})
    try:
        schema.check({**data, name: 1})
    except Rejected as error:
        assert error.reason == "schema-mismatch"  # noqa: PT017 - either outcome is right, another error is not
