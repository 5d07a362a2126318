"""The setting that names topics' schemas: what becomes a check, and what is refused at init with its name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sluiceway.codec import glue
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.flows.publish.topic_schemas import LAYERS, read_checks

VERSION = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63"
JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"order": {"type": "integer"}},
    "required": ["order"],
}
AVRO_SCHEMA = {"type": "record", "name": "Order", "fields": [{"name": "order", "type": "long"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A function's folder, and beside it a layer's with another schema."""
    function = tmp_path / "task"
    (function / "schemas").mkdir(parents=True)
    (tmp_path / "opt").mkdir()
    (function / "schemas" / "orders.json").write_text(json.dumps(JSON_SCHEMA))
    (function / "orders.avsc").write_text(json.dumps(AVRO_SCHEMA))
    (function / "list.json").write_text("[]")
    (function / "binary.json").write_bytes(b"\xff")
    (tmp_path / "opt" / "orders.json").write_text(json.dumps({**JSON_SCHEMA, "required": ["total"]}))
    (tmp_path / "secret.json").write_text(json.dumps(JSON_SCHEMA))
    return function


def read(folder: Path, **entry: Any) -> Any:
    """The check of `orders`, as its function in this folder has it."""
    declared = {"orders": entry}
    layers = str(folder.parent / "opt")
    return read_checks(declared, ["orders", "prices"], "SCHEMAS", beside=str(folder / "app.py"), layers=layers)[
        "orders"
    ]


def test_only_topics_that_are_named_have_a_check(folder: Path) -> None:
    """The others keep what they have without a schema."""
    beside = str(folder / "app.py")
    entry = {"file": "schemas/orders.json", "format": "JSON"}
    assert list(read_checks({"orders": entry}, ["orders", "prices"], "SCHEMAS", beside=beside)) == ["orders"]
    assert read_checks({}, ["orders"], "SCHEMAS", beside=beside) == {}
    assert LAYERS == "/opt"


def test_a_file_beside_the_function_checks_records(folder: Path) -> None:
    """Compact JSON, or a refusal with the path within the data."""
    check = read(folder, file="schemas/orders.json", format="JSON")
    assert check("orders", {"order": 7}) == b'{"order":7}'
    with pytest.raises(Rejected) as caught:
        check("orders", {"order": "7"})
    assert (caught.value.reason, caught.value.field) == ("schema-mismatch", "order")


def test_a_file_of_a_layer_is_named_by_its_whole_path(folder: Path) -> None:
    """It is the layer's schema that decides, not the one of the same name beside the function."""
    check = read(folder, file=str(folder.parent / "opt" / "orders.json"), format="JSON")
    assert check("orders", {"total": 1}) == b'{"total":1}'
    with pytest.raises(Rejected):
        check("orders", {"order": 7})


@pytest.mark.parametrize(
    ("entry", "payload"),
    [
        ({"file": "schemas/orders.json", "format": "JSON"}, b'{"order":7}'),
        ({"file": "orders.avsc", "format": "AVRO"}, b"\x0e"),
    ],
)
def test_a_version_frames_the_records(folder: Path, entry: dict[str, str], payload: bytes) -> None:
    """With the header that the libraries of the Glue Schema Registry read."""
    framed = glue.read_frame(read(folder, version_id=VERSION.upper(), **entry)("orders", {"order": 7}))
    assert (str(framed.version_id), framed.payload) == (VERSION, payload)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ([], "an object with file and format"),
        ({"file": "schemas/orders.json"}, "format is JSON or AVRO"),
        ({"file": "schemas/orders.json", "format": "json"}, "format is JSON or AVRO"),
        ({"file": "schemas/orders.json", "format": ["JSON"]}, "format is JSON or AVRO"),
        ({"file": "schemas/orders.json", "format": "JSON", "version": VERSION}, "there is no 'version'"),
        ({"file": "schemas/orders.json", "format": "JSON", "version_id": "1"}, "version_id is the UUID"),
        ({"file": "schemas/orders.json", "format": "JSON", "version_id": None}, "version_id is the UUID"),
        ({"file": "schemas/orders.json", "format": "JSON", "version_id": VERSION.replace("-", "")}, "version_id is"),
        ({"file": "orders.avsc", "format": "AVRO"}, "AVRO needs a version_id"),
        ({"format": "JSON"}, "file is a path"),
        ({"file": "", "format": "JSON"}, "file is a path"),
        ({"file": "a\0b", "format": "JSON"}, "file is a path"),
        ({"file": "../secret.json", "format": "JSON"}, "file is a path"),
        ({"file": "schemas/../../secret.json", "format": "JSON"}, "file is a path"),
        ({"file": "/etc/hostname", "format": "JSON"}, "file is a path"),
        ({"file": "nowhere.json", "format": "JSON"}, "nowhere.json: cannot be read"),
        ({"file": "schemas", "format": "JSON"}, "schemas: cannot be read"),
        ({"file": "binary.json", "format": "JSON"}, "binary.json: cannot be read"),
        ({"file": "list.json", "format": "JSON"}, "list.json"),
        ({"file": "schemas/orders.json", "format": "AVRO", "version_id": VERSION}, "orders.json"),
    ],
)
def test_what_cannot_be_a_check_names_setting_topic_and_fault(folder: Path, entry: Any, told: str) -> None:
    """At init, before any record is checked by nothing."""
    with pytest.raises(Misconfigured, match=re.escape(told)) as caught:
        read_checks(
            {"orders": entry}, ["orders"], "SCHEMAS", beside=str(folder / "app.py"), layers=str(folder.parent / "opt")
        )
    assert caught.value.what == "SCHEMAS"
    assert str(caught.value).startswith("SCHEMAS: orders: ")


def test_a_schema_without_a_topic_is_refused(folder: Path) -> None:
    """A name that is mistyped would leave the topic's records unchecked."""
    with pytest.raises(Misconfigured, match="'order' is no topic") as caught:
        read_checks({"order": {}}, ["orders"], "SCHEMAS", beside=str(folder / "app.py"))
    assert caught.value.what == "SCHEMAS"
