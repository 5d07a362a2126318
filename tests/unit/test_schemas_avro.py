"""rules.schemas.avro_schemas: records as Avro, and what cannot become it."""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import glue
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.flows.publish.schemas import check_by
from sluiceway.rules.schemas.avro_schemas import AvroSchema

LINE = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}, {"name": "n", "type": "int"}]}
ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "order", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "lines", "type": {"type": "array", "items": LINE}},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}
GOOD: dict[str, Any] = {"order": 7, "at": 1_700_000_000_000, "lines": [{"sku": "A", "n": 1}], "note": None}
VERSION = UUID("b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63")


def make(schema: Any = None) -> AvroSchema:
    return AvroSchema(json.dumps(ORDER if schema is None else schema), what="products/orders/schema.avsc")


@given(
    st.fixed_dictionaries(
        {
            "order": st.integers(-(2**63), 2**63 - 1),
            "at": st.integers(0, 2**42),
            "lines": st.lists(st.fixed_dictionaries({"sku": st.text(max_size=5), "n": st.integers(-9, 9)}), max_size=3),
            "note": st.none() | st.text(max_size=5),
        }
    )
)
def test_what_is_encoded_is_read_back(record: dict[str, Any]) -> None:
    """Framed or not, another reader of the bytes finds the record, whose dates are milliseconds as they were sent."""
    framed = glue.read_frame(check_by(make(), VERSION)("orders", record))
    assert framed == glue.Frame(VERSION, make().encode("orders", record))
    plain = json.loads(json.dumps(ORDER))
    plain["fields"][1]["type"] = "long"
    read = fastavro.schemaless_reader(io.BytesIO(framed.payload), fastavro.parse_schema(plain), None)
    assert read == record


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"order": "secret"}, "order"),
        ({"order": 2**63}, "order"),
        ({"order": True}, "order"),
        ({"order": 1.5}, "order"),
        ({"note": 5}, "note"),
        ({"lines": [{"sku": "A", "n": 1}, {"sku": "secret", "n": "secret"}]}, "lines[1].n"),
        ({"lines": "secret"}, "lines"),
        ({"secret": 1}, None),
        ({"lines": [{"sku": "A", "n": 1, "secret": 1}]}, "lines[0]"),
        ({"note": "\ud800secret"}, None),
    ],
)
def test_a_refusal_names_the_field_and_never_the_value(changes: dict[str, Any], field: str | None) -> None:
    """The path has the names of fields alone; a member that no field takes is refused, not dropped."""
    with pytest.raises(Rejected) as caught:
        make().encode("orders", {**GOOD, **changes})
    assert (caught.value.reason, caught.value.field) == ("schema-mismatch", field)
    assert "secret" not in str(caught.value)


def test_a_record_that_nests_without_end_is_refused_at_once() -> None:
    """A record nested beyond what can be followed is the sender's fault, and to say so takes no time."""
    before = time.process_time()
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
    for depth, leaf in ((50_000, None), (64, 5), (900, 5), (60, 5), (10, 5)):
        deep: Any = leaf
        for _ in range(depth):
            deep = {"next": deep}
        with pytest.raises(Rejected) as caught:
            make(node).encode("nodes", deep)
    assert caught.value.field == ".".join(["next"] * 10)
    assert time.process_time() - before < 2


def test_a_union_that_doubles_is_refused_with_the_schema() -> None:
    """Two branches that hold the union again would both be tried at each level, which takes years for forty of them."""
    children = {"name": "in", "type": ["null", "A", "B"]}
    twin = {"type": "record", "name": "B", "fields": [{**children, "type": ["null", "A", "B"]}]}
    union = ["null", {"type": "record", "name": "A", "fields": [{"name": "in", "type": ["null", "A", twin]}]}]
    with pytest.raises(Misconfigured, match="a union holds itself in two branches"):
        make({"type": "record", "name": "R", "fields": [{"name": "a", "type": union}]})


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("bytes", "bytes is bytes: records come as JSON, which has no bytes"),
        ({"type": "fixed", "name": "F", "size": 4}, "F is fixed"),
        ({"type": "array", "items": {"type": "bytes", "logicalType": "decimal", "precision": 4}}, "bytes is bytes"),
    ],
)
def test_bytes_are_refused_with_the_schema(kind: Any, told: str) -> None:
    """JSON has none: a schema with them is told at the start, and no record is tried."""
    with pytest.raises(Misconfigured, match=told):
        make({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]})
    with pytest.raises(Misconfigured, match="a topic's schema is a record"):
        make("string")


def test_without_fastavro_the_requirement_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layer has no compiled code: whoever writes Avro brings fastavro along, and is told so."""
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(Misconfigured, match="put it into the function's requirements") as caught:
        make()
    assert caught.value.what == "fastavro"
