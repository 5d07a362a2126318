"""rules.schemas.modes: which version may follow which, and that a reader who may follow reads everything."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import fastavro
import jsonschema
import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from sluiceway.errors import Misconfigured
from sluiceway.rules.schemas.modes import MODES, DataFormat, Mode, compatible

DRAFT = "http://json-schema.org/draft-07/schema#"


def judge(old: Any, new: Any, mode: Mode = "BACKWARD", data_format: DataFormat = "JSON") -> tuple[str, ...]:
    """The reasons why `new` may not follow `old`."""
    texts = [json.dumps({"$schema": DRAFT, **each} if data_format == "JSON" else each) for each in (old, new)]
    return compatible(texts[1], texts[:1], mode, data_format=data_format).reasons


def record(closed: bool = True, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """An object schema."""
    rest = {"additionalProperties": False} if closed else {}
    return {"type": "object", "properties": properties, "required": list(required), **rest}


INT, TEXT, NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}
TREE = {"type": "object", "properties": {"next": {"$ref": "#/definitions/tree"}}}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (record(a=INT), record(a=INT, b=TEXT), ""),
        (record(False, a=INT), record(False, a=INT, b=TEXT), "BACKWARD: b: may be array, and is read as string"),
        (record(a=INT), record(a=INT, b=TEXT, required=("b",)), "BACKWARD: b: may be missing, and is required"),
        (record(a=INT, b=TEXT), record(a=INT), "BACKWARD: b: may be there, and is not read"),
        (record(a=INT, b=TEXT), record(False, a=INT), ""),
        (record(False, a=INT), record(a=INT), "BACKWARD: *: may be there, and is not read"),
        (record(a=INT), record(a=NUMBER), ""),
        (record(a=NUMBER), record(a=INT), "BACKWARD: a: may be number, and is read as integer"),
        (record(a=INT), record(a={"type": ["integer", "null"]}), ""),
        (record(a={"enum": ["x", "y"]}), record(a={"enum": ["y", "x", "z"]}), ""),
        (record(a={"enum": ["x", "y"]}), record(a={"enum": ["x"]}), "the value at 1 of the writer's enum is not read"),
        (record(a=TEXT), record(a={"enum": ["x"]}), "a: may be any string, and is read as one of few values"),
        (record(a={"type": "boolean"}), record(a={"enum": [True, False]}), ""),
        (record(a={"const": 1}), record(a={"const": True}), "the value at 0"),
        (record(a={"type": "integer", "minimum": 1}), record(a={"type": "number", "exclusiveMinimum": 0}), ""),
        (record(a={"type": "integer", "minimum": 0}), record(a={"exclusiveMinimum": 0}), "a: may be below"),
        (record(a={"maximum": 5}), record(a={"maximum": 4}), "a: may be above what is read"),
        (record(a={"type": "number", "multipleOf": 0.3}), record(a={"type": "number", "multipleOf": 0.1}), ""),
        (record(a={"type": "integer", "multipleOf": 2}), record(a={"multipleOf": 4}), "a: may be no multiple of 4"),
        (record(a={"type": "string", "maxLength": 5}), record(a={"maxLength": 4}), "a: may have more than maxLength 4"),
        (record(a={"type": "string", "pattern": "^a"}), record(a=TEXT), ""),
        (record(a={"type": "string", "pattern": "^a"}), record(a={"pattern": "^b"}), "a: pattern is compared only"),
        (record(a={"type": "array", "items": INT}), record(a={"type": "array", "items": NUMBER}), ""),
        (record(a={"type": "array", "items": TEXT}), record(a={"type": "array", "items": INT}), "a[]: may be string"),
        (record(a={"type": "array"}), record(a={"type": "array", "uniqueItems": True}), "an item twice"),
        (record(a={"type": "array", "items": [INT]}), record(a={"type": "array"}), ""),
        (record(a={"type": "array", "items": [INT]}), record(a={"items": [TEXT]}), "a: items as a list are compared"),
        (record(a={"type": "array", "maxItems": 2}), record(a={"type": "array", "maxItems": 3}), ""),
        (record(a=INT, b=INT), {**record(a=INT, b=INT), "maxProperties": 2}, ""),
        (record(a=INT), record(a={"anyOf": [TEXT, INT]}), ""),
        (record(a={"type": ["integer", "string"]}), record(a={"anyOf": [TEXT, INT]}), ""),
        (record(a={"anyOf": [TEXT, INT]}), record(a=INT), "a: may be string"),
        (record(a={"not": INT}), record(a={"not": INT}), ""),
        (record(a={"not": INT}), record(a={"not": TEXT}), "a: not is compared only"),
        (record(a={"allOf": [INT, {"minimum": 3}]}), record(a={"type": "integer", "minimum": 2}), ""),
        ({"patternProperties": {"^x": INT}}, {"patternProperties": {"^x": TEXT}}, "patternProperties"),
        ({"definitions": {"tree": TREE}, **TREE}, {"definitions": {"tree": TREE}, **TREE}, ""),
        (
            {"definitions": {"t": INT}, "not": {"$ref": "#/definitions/t"}},
            {"definitions": {"t": TEXT}, "not": {"$ref": "#/definitions/t"}},
            "data: not is compared only",
        ),
        (
            {"definitions": {"t": TEXT}, **record(a={"$ref": "#/definitions/t"})},
            {"definitions": {"t": INT}, **record(a={"$ref": "#/definitions/t"})},
            "a: may be string, and is read as integer",
        ),
    ],
)  # fmt: skip
def test_what_a_new_version_may_change_under_backward(old: Any, new: Any, reason: str) -> None:
    """The usual changes, each with the place in the data and the rule where it is refused."""
    reasons = judge(old, new)
    assert bool(reasons) is bool(reason)
    assert not reason or reason in reasons[0]


def test_a_mode_says_who_reads_whom() -> None:
    """To a closed record a field is added: new readers read old records, old readers do not read new ones."""
    old, new = record(a=INT), record(a=INT, b=TEXT)
    verdicts = {mode: bool(judge(old, new, mode)) for mode in MODES}
    forward = {"FORWARD", "FORWARD_ALL", "FULL", "FULL_ALL", "DISABLED"}
    assert {mode for mode, refused in verdicts.items() if refused} == forward
    assert judge(old, new, "FULL") == ("FORWARD: b: may be there, and is not read",)
    assert judge(old, old, "FULL") == ()


def test_only_all_looks_at_every_version() -> None:
    """A field comes back with another type: the version before has no say in it, an earlier one has."""
    versions = [
        json.dumps({"$schema": DRAFT, **each}) for each in (record(a=INT, b=INT), record(a=INT), record(a=INT, b=TEXT))
    ]
    assert compatible(versions[2], versions[:2], "BACKWARD", data_format="JSON").holds
    assert not compatible(versions[2], versions[:2], "BACKWARD_ALL", data_format="JSON").holds


def test_the_first_version_and_disabled() -> None:
    """Any schema may be the first; after it DISABLED takes none, be it the same. A text that is none raises always."""
    text = json.dumps({"$schema": DRAFT, **record(a=INT)})
    for mode in MODES:
        assert compatible(text, [], mode, data_format="JSON").holds
    assert compatible(text, [text], "DISABLED", data_format="JSON").reasons == (
        "DISABLED takes no version after the first",
    )
    with pytest.raises(Misconfigured):
        compatible("{}", [], "NONE", data_format="JSON")
    four = text.replace("draft-07", "draft-04")
    assert "different drafts" in compatible(text, [four], "BACKWARD", data_format="JSON").reasons[0]


# ---------------------------------------------------------------- whatever is generated

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from([0.5, 1.0]) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])


def _optional(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


_LEAVES = (
    st.booleans()
    | _optional(
        type=TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        minimum=st.integers(-2, 2), maximum=st.integers(-2, 2), exclusiveMinimum=st.integers(-2, 2),
        multipleOf=st.sampled_from([1, 2, 0.5]), minLength=st.integers(0, 1), maxLength=st.integers(0, 2),
        pattern=st.sampled_from(["^a", "b$"]),
    )
    | _optional(enum=st.lists(VALUES, min_size=1, max_size=3), const=VALUES)
    | st.just({"$ref": "#/definitions/d"})
)  # fmt: skip


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _optional(
        type=st.sampled_from(["array", "object"]),
        properties=st.dictionaries(NAMES, inner, max_size=2),
        required=st.lists(NAMES, max_size=2, unique=True),
        additionalProperties=inner,
        patternProperties=st.dictionaries(st.sampled_from(["^a", "^b"]), inner, max_size=1),
        items=inner | st.lists(inner, min_size=1, max_size=2),
        minItems=st.integers(0, 1), maxItems=st.integers(0, 2), uniqueItems=st.booleans(),
        minProperties=st.integers(0, 1), maxProperties=st.integers(0, 2),
    ) | _optional(
        anyOf=st.lists(inner, min_size=1, max_size=2), allOf=st.lists(inner, min_size=1, max_size=2),
        oneOf=st.lists(inner, min_size=1, max_size=2), **{"not": inner, "if": inner, "then": inner},
    )  # fmt: skip


PARTS = st.recursive(_LEAVES, _nested, max_leaves=5)
WHOLE = st.builds(
    lambda body, d: {**body, "definitions": {"d": d}},
    PARTS.filter(lambda p: isinstance(p, dict) and "$ref" not in p),
    PARTS.filter(lambda p: p != {"$ref": "#/definitions/d"}),
)


def _places(schema: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key not in {"enum", "const"}:
                found += _places(value, (*path, key))
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            found += _places(value, (*path, index))
    return found


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema and another that differs in one place, or everywhere."""
    old = draw(WHOLE)
    if draw(st.integers(0, 9)) == 0:
        return old, draw(WHOLE)
    new = copy.deepcopy(old)
    path = draw(
        st.sampled_from([path for path in _places(new) if path and path != ("definitions",)] or [("definitions", "d")])
    )
    target = new
    for step in path[:-1]:
        target = target[step]
    old_value, last = target[path[-1]], path[-1]
    if isinstance(old_value, (int, float)) and not isinstance(old_value, bool):
        target[last] = max(0, old_value + draw(st.integers(-1, 1))) or old_value
    elif draw(st.booleans()) and isinstance(target, dict):
        del target[last]
        new.setdefault("definitions", {"d": True})
    elif isinstance(old_value, (dict, bool)) and last not in {"properties", "patternProperties"}:
        target[last] = draw(PARTS)
    return (old, new) if draw(st.booleans()) else (new, old)


def _take(schema: dict[str, Any], data: object) -> bool:
    return jsonschema.Draft7Validator({"$schema": DRAFT, **schema}).is_valid(data)


@settings(max_examples=400, deadline=None)
@given(pairs(), st.lists(VALUES, min_size=6, max_size=12))
@example(
    (
        {"definitions": {"d": True}, "patternProperties": {"^a": {}}, "additionalProperties": False},
        {"definitions": {"d": True}, "additionalProperties": False},
    ),
    [{"a": 1}],
)
def test_a_reader_that_may_follow_reads_everything(
    pair: tuple[dict[str, Any], dict[str, Any]], values: list[Any]
) -> None:
    """Where BACKWARD holds, whatever the old schema takes the new one takes, as `jsonschema` validates both."""
    old, new = pair
    try:
        reasons = judge(old, new)
    except Misconfigured:
        assume(False)
        return
    event(f"holds: {not reasons}")
    if reasons:
        return
    for value in values:
        assert not _take(old, value) or _take(new, value), (old, new, value)


@given(WHOLE)
def test_a_schema_may_follow_itself(schema: dict[str, Any]) -> None:
    """Whatever it holds, and with other words about it: in every mode but DISABLED."""
    try:
        assert judge(schema, {**schema, "title": "the same"}, "FULL_ALL") == ()
    except Misconfigured:
        assume(False)


# ---------------------------------------------------------------- Avro


def avro(*fields: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    """A record."""
    return {"type": "record", "name": name, "fields": list(fields), **more}


def has(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    """A field."""
    return {"name": name, "type": kind, **more}


LIST = {"type": "array", "items": "int"}
COLOUR = {"type": "enum", "name": "C", "symbols": ["RED", "BLUE"]}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (avro(has("a", "int")), avro(has("a", "int"), has("b", "string", default="")), ""),
        (avro(has("a", "int")), avro(has("a", "int"), has("b", "string")), "b: is not written, and has no default"),
        (avro(has("a", "int"), has("b", "int")), avro(has("a", "int")), ""),
        (avro(has("a", "int")), avro(has("a", "long")), ""),
        (avro(has("a", "long")), avro(has("a", "int")), "a: is long, and is read as int"),
        (avro(has("a", "int")), avro(has("b", "int", aliases=["a"])), ""),
        (avro(has("a", "int")), avro(has("a", ["null", "int"])), ""),
        (avro(has("a", ["null", "int"])), avro(has("a", "int")), "a: is null, and is read as int"),
        (avro(has("a", COLOUR)), avro(has("a", {**COLOUR, "symbols": ["RED"]})), "a: the symbol BLUE is not read"),
        (avro(has("a", COLOUR)), avro(has("a", {**COLOUR, "symbols": ["RED"], "default": "RED"})), ""),
        (avro(has("a", LIST)), avro(has("a", {**LIST, "items": "string"})), "a[]: is int"),
        (avro(has("a", {"type": "map", "values": "int"})), avro(has("a", {"type": "map", "values": "double"})), ""),
        (avro(has("a", "int")), avro(has("a", "int"), name="S"), "data: is R, and is read as S"),
        (avro(has("a", "int")), avro(has("a", "int"), name="S", aliases=["R"]), ""),
        (avro(has("a", "long")), avro(has("a", {"type": "long", "logicalType": "timestamp-millis"})), "logical type"),
        (avro(has("n", ["null", "R"])), avro(has("n", ["null", "R"])), ""),
    ],
)  # fmt: skip
def test_what_a_new_avro_version_may_change(old: Any, new: Any, reason: str) -> None:
    """The specification's schema resolution, each refusal with its place."""
    reasons = judge(old, new, data_format="AVRO")
    assert bool(reasons) is bool(reason)
    assert not reason or reason in reasons[0]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "record", "name": "R"}, "schema.fields: must be a list"),
        (avro(has("a", "integer")), "there is no type 'integer'"),
        (avro(has("a", "int"), has("a", "int")), "each name and alias once"),
        (avro(has("a", ["int", "int"])), "a union has each type once"),
        (avro(has("a", ["int", ["null"]])), "a union has types, and none of them is a union"),
        (avro(has("a", {**COLOUR, "default": "GREEN"})), "must be one of the symbols"),
        (avro(has("a", COLOUR), has("b", COLOUR)), "C is declared twice"),
        (avro(has("1a", "int")), "no digit first"),
    ],
)
def test_what_is_no_avro_schema_is_refused(schema: Any, told: str) -> None:
    """With its place."""
    with pytest.raises(Misconfigured, match=told):
        judge(schema, schema, data_format="AVRO")


SIMPLE = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "string"])
SYMBOLS = st.lists(st.sampled_from("XYZ"), min_size=1, max_size=3, unique=True)
ENUMS = st.builds(
    lambda symbols, default: {"type": "enum", "name": "E", "symbols": symbols, **default},
    SYMBOLS, st.sampled_from([{}, {"default": "X"}]),
).filter(lambda schema: schema.get("default", schema["symbols"][0]) in schema["symbols"])  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "int": 1,
    "long": 2,
    "float": 1.5,
    "double": 2.5,
    "string": "d",
}
AVRO_TYPES = (
    SIMPLE
    | ENUMS
    | st.lists(SIMPLE, min_size=1, max_size=3, unique=True)
    | SIMPLE.map(lambda kind: {"type": "array", "items": kind})
    | SIMPLE.map(lambda kind: {"type": "map", "values": kind})
    | st.lists(SIMPLE, min_size=1, max_size=2, unique=True).map(lambda kinds: {"type": "array", "items": kinds})
)


@st.composite
def avro_fields(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to three fields of one record; at most one enum, since a name is declared once."""
    fields: list[dict[str, Any]] = []
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        kind = draw(AVRO_TYPES if not any("symbols" in str(each) for each in fields) else SIMPLE)
        default = DEFAULTS.get(kind) if isinstance(kind, str) else None
        with_default = isinstance(kind, str) and draw(st.booleans())
        fields.append({"name": name, "type": kind, **({"default": default} if with_default else {})})
    return fields


def _datum(kind: Any, draw: st.DrawFn) -> Any:
    if isinstance(kind, list):
        return _datum(draw(st.sampled_from(kind)), draw)
    if isinstance(kind, dict):
        if kind["type"] == "enum":
            return draw(st.sampled_from(kind["symbols"]))
        if kind["type"] == "array":
            return [_datum(kind["items"], draw) for _ in range(draw(st.integers(0, 2)))]
        return {"k": _datum(kind["values"], draw)}
    return draw({
        "null": st.none(), "boolean": st.booleans(), "int": st.integers(-5, 5), "long": st.integers(-5, 5),
        "float": st.just(0.5), "double": st.sampled_from([0.5, 1.0]), "string": st.text("ab", max_size=2),
    }[kind])  # fmt: skip


@st.composite
def avro_cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Old schema, new schema, a datum of the old one; the new one is the old one with some fields changed, mostly."""
    old = draw(avro_fields())
    new = draw(avro_fields())
    if draw(st.integers(0, 3)):
        kept = [each for each in old if draw(st.integers(0, 3))]
        names = {each["name"] for each in kept}
        has_enum = "symbols" in str(kept)
        new = kept + [each for each in new if each["name"] not in names and not (has_enum and "symbols" in str(each))]
    datum = {each["name"]: _datum(each["type"], draw) for each in old}
    return avro(*old), avro(*new), datum


@settings(max_examples=400, deadline=None)
@given(avro_cases())
def test_an_avro_reader_that_may_follow_reads_everything(
    case: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
) -> None:
    """Where BACKWARD holds, fastavro reads with the new schema what it wrote with the old one."""
    old, new, datum = case
    reasons = judge(old, new, data_format="AVRO")
    event(f"holds: {not reasons}")
    if reasons:
        return
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(copy.deepcopy(old)), datum)
    written.seek(0)
    read = fastavro.schemaless_reader(
        written, fastavro.parse_schema(copy.deepcopy(old)), fastavro.parse_schema(copy.deepcopy(new))
    )
    assert set(read) == {each["name"] for each in new["fields"]}
