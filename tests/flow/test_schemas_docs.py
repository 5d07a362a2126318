"""The examples of docs/schemas.md run as they stand; a topic with a schema answers as the page says."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.glue.wire import open_glue
from sluiceway.aws import schemas
from sluiceway.aws.schemas import GLUE
from sluiceway.aws.wire import Wire
from sluiceway.codec import glue
from sluiceway.flows.publish.schemas import check_by
from sluiceway.rules.schemas import json_keywords, regexes
from sluiceway.rules.schemas.json_schemas import JsonSchema
from tests.flow.test_publish_records import World, kinds, play, told
from tests.unit.wire_server import environ

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "schemas.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
VERSION = UUID(int=9)
ORDERS = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["order"],
        "properties": {
            "order": {"type": "integer"},
            "lines": {"type": "array", "items": {"properties": {"sku": {"type": "string", "pattern": "^[A-Z]+$"}}}},
        },
    }
)


def run_block(at: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[at], f"docs/schemas.md, block {at}", "exec", dont_inherit=True), names)
    return names


def order(**data: object) -> dict[str, Any]:
    return {"records": [{"key": "a", "data": data}]}


def test_a_topic_with_a_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the schema takes is put bare, the rest is a 400 that names path and rule, never a value."""
    folder = tmp_path / "products" / "orders"
    folder.mkdir(parents=True)
    (folder / "schema.json").write_text(ORDERS)
    monkeypatch.chdir(tmp_path)

    async def scene(world: World) -> None:
        assert kinds(await world.post(order(order=1, lines=[{"sku": "A"}]))) == ["stored"]
        reply = await world.post(order(order=1, lines=[{"sku": "A"}, {"sku": "secret"}]))
        assert (reply.status, told(reply)["type"]) == (400, "/problems/schema-mismatch")
        assert told(reply)["detail"] == "records[0].data.lines[1].sku: must match the schema's pattern"
        assert f"`{told(reply)['detail']}`" in TEXT.replace("\n", " ")
        reply = await world.post(order(total=1))
        assert told(reply)["detail"] == "records[0].data: breaks required ['order']"
        deep = json.dumps(order(order=1)).replace('"order": 1', '"order": 1, "x": ' + "[" * 900 + "]" * 900)
        assert (await world.post(deep.encode())).status in {200, 400}

    world = play(scene, World(check=run_block(0)["open_check"]()))
    assert world.data[0] == {"order": 1, "lines": [{"sku": "A"}]}


def test_a_framed_topic() -> None:
    """With a version's id a record stands in the stream behind the registry's header."""

    async def scene(world: World) -> None:
        assert kinds(await world.post(order(order=1))) == ["stored"]

    world = play(scene, World(check=check_by(JsonSchema(ORDERS, what="orders"), VERSION)))
    ((_, _, stored),) = world.stream.stored()
    assert glue.read_frame(stored.data) == glue.Frame(VERSION, b'{"order":1}')


def test_the_verdict_of_the_page() -> None:
    """Its assertion holds."""
    assert run_block(1)["verdict"].holds is False


async def test_the_registry_of_the_page() -> None:
    """A record is read by the id in its header, and a version registered, over the wire."""
    names = run_block(2)
    delegate = Delegate()
    front = Front([open_glue(delegate), DynamoService(SystemClock())], authorise=lambda *_: None, rng=random.Random(1))
    async with front.serve(open_listener("127.0.0.1", 0)) as address:
        settings = environ(AWS_ENDPOINT_URL=address)
        async with Wire.open(settings) as wire:
            for each in (await wire.call(GLUE, "ListRegistries", {})).json()[
                "Registries"
            ]:  # moto has one for a process
                await wire.call(GLUE, "DeleteRegistry", {"RegistryId": {"RegistryName": each["RegistryName"]}})
            await wire.call(GLUE, "CreateRegistry", {"RegistryName": "mesh"})
            first = {"RegistryId": {"RegistryName": "mesh"}, "SchemaName": "orders", "DataFormat": "JSON"}
            await wire.call(GLUE, "CreateSchema", {**first, "Compatibility": "NONE", "SchemaDefinition": ORDERS})
        version = UUID(await names["register_orders"](settings, ORDERS.replace("integer", "number")))
        assert await names["read_record"](settings, glue.write_frame(version, b"{}")) == "JSON"
        assert await names["read_record"](settings, glue.write_frame(VERSION, b"{}")) == "nobody's"
    delegate.close()


def test_the_numbers_of_the_page() -> None:
    """They are the code's."""
    for number in (
        f"{json_keywords.MAX_CHARACTERS:,} characters", f"{json_keywords.MAX_DEPTH} levels",
        f"{regexes.MAX_STEPS} steps a character", f"{schemas.MAX_VERSIONS} are kept for ever",
        f"{schemas.UNKNOWN_S:g} s", f"{schemas.EVOLUTION_CHECKS} looks, a second apart",
    ):  # fmt: skip
        assert number in TEXT, number
    for named in json_keywords.FORMATS:
        assert f"`{named}`" in TEXT
