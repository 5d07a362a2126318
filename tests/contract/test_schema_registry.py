"""The contract of SchemaRegistry: the operations that ship on our Glue and on moto's, and where these differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import Service, WireRequest
from localcloud.services.glue.wire import open_glue
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.reply import Reply, read_fault
from sluiceway.aws.schemas import GLUE, GlueSchemaRegistry
from sluiceway.errors import Rejected, ServiceRefused
from sluiceway.ports.schemas import SchemaName, SchemaVersion

REGION = "eu-west-1"
ORDERS = SchemaName("mesh", "orders")


def schema(*required: str, **properties: str) -> str:
    """A closed object's JSON Schema."""
    return json.dumps(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": False,
            "required": list(required),
            "properties": {name: {"type": kind} for name, kind in properties.items()},
        }
    )


FIRST = schema(order="integer")
NEXT = schema(order="integer", note="string")
BREAKING = schema("note", order="integer", note="string")


class Glue:
    """A `Caller` over one service, without a socket."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.asked: list[str] = []

    async def call(
        self, service: ServiceSpec, operation: str, body: Mapping[str, object] | bytes = b"", **more: Any
    ) -> Reply:
        del more
        self.asked.append(operation)
        answer = await self.service.handle(
            make_request(f"{service.target_prefix}.{operation}", json.dumps(body).encode())
        )
        assert isinstance(answer.body, bytes)
        reply = Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)
        if answer.status >= 400:
            raise read_fault(reply).refusal("glue", operation)
        return reply

    async def ask(self, operation: str, **members: Any) -> dict[str, Any]:
        return (await self.call(GLUE, operation, members)).json()


def make_request(target: str, body: bytes, **changes: Any) -> WireRequest:
    headers = {
        "authorization": f"AWS4-HMAC-SHA256 Credential=AK/20260101/{REGION}/glue/aws4_request, Signature=x",
        "content-type": "application/x-amz-json-1.1",
        "host": f"glue.{REGION}.amazonaws.com",
        "x-amz-target": target,
    }
    return WireRequest(
        **{
            "service": "glue", "region": REGION, "method": "POST", "path": "/", "query": "", "headers": headers,
            "body": body, "access_key": "AK", "request_id": "r", **changes,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def delegate() -> Iterator[Delegate]:
    opened = Delegate()
    yield opened
    opened.close()


@pytest.fixture(params=["ours", "moto"])
async def glue(request: pytest.FixtureRequest, delegate: Delegate) -> Glue:
    bare = DelegatedService("glue", delegate, needs=lambda _: ())
    made = Glue(open_glue(delegate) if request.param == "ours" else bare)
    for registry in (await made.ask("ListRegistries"))["Registries"]:
        await made.ask("DeleteRegistry", RegistryId={"RegistryName": registry["RegistryName"]})
    await made.ask("CreateRegistry", RegistryName="mesh")
    made.asked.clear()
    return made


async def create(glue: Glue, mode: str = "BACKWARD", definition: str = FIRST, kind: str = "JSON") -> UUID:
    told = await glue.ask(
        "CreateSchema", RegistryId={"RegistryName": "mesh"}, SchemaName="orders", DataFormat=kind, Compatibility=mode,
        SchemaDefinition=definition,
    )  # fmt: skip
    return UUID(told["SchemaVersionId"])


async def test_a_version_is_found_by_its_id_and_asked_for_once(glue: Glue) -> None:
    """What an id names never changes: it is kept, and so is, for a while, that an id names nothing."""
    first = await create(glue)
    registry = GlueSchemaRegistry(glue)
    glue.asked.clear()
    for _ in range(3):
        assert await registry.find_version(first) == SchemaVersion(first, "JSON", FIRST)
    assert glue.asked == ["GetSchemaVersion"]
    nothing = uuid4()
    for _ in range(3):
        assert await registry.find_version(nothing) is None
    assert glue.asked == ["GetSchemaVersion"] * 2


async def test_a_version_is_found_by_its_text_and_registered_once(glue: Glue) -> None:
    """The same text is the same version, however often it is registered; a text that is not there has no id."""
    first = await create(glue)
    registry = GlueSchemaRegistry(glue)
    assert await registry.find_id(ORDERS, FIRST) == first == await registry.register(ORDERS, FIRST)
    assert await registry.find_id(ORDERS, NEXT) is None
    assert await registry.find_id(SchemaName("mesh", "none"), NEXT) is None
    second = await registry.register(ORDERS, NEXT)
    assert second == await registry.find_id(ORDERS, NEXT) == await registry.register(ORDERS, NEXT)
    assert await registry.find_version(second) == SchemaVersion(second, "JSON", NEXT)
    assert await registry.register(ORDERS, FIRST) == first  # though it may not follow the second


async def test_a_version_that_breaks_readers_is_refused_here_alone(glue: Glue) -> None:
    """moto takes any version. Ours says FAILURE, and the version is there for nobody; the next good one still is."""
    await create(glue)
    registry = GlueSchemaRegistry(glue)
    if isinstance(glue.service, DelegatedService) and type(glue.service) is DelegatedService:
        assert isinstance(await registry.register(ORDERS, BREAKING), UUID)
        return
    with pytest.raises(Rejected, match="mesh/orders does not take this version") as caught:
        await registry.register(ORDERS, BREAKING)
    assert caught.value.reason == "schema-incompatible"
    told = await glue.ask("RegisterSchemaVersion", SchemaId=id_of(ORDERS), SchemaDefinition=BREAKING)
    assert (told["Status"], told["VersionNumber"]) == ("FAILURE", 2)
    shown = await glue.ask("GetSchemaVersion", SchemaVersionId=told["SchemaVersionId"])
    assert (shown["Status"], shown["SchemaDefinition"]) == ("FAILURE", BREAKING)
    assert await registry.find_version(UUID(told["SchemaVersionId"])) is None
    assert await registry.find_id(ORDERS, BREAKING) is None
    assert await registry.find_version(await registry.register(ORDERS, NEXT)) is not None


def id_of(name: SchemaName) -> dict[str, str]:
    return {"RegistryName": name.registry, "SchemaName": name.schema}


async def test_disabled_takes_no_further_version(glue: Glue) -> None:
    """As AWS says it: InvalidInputException."""
    await create(glue, "DISABLED")
    with pytest.raises(ServiceRefused) as caught:
        await GlueSchemaRegistry(glue).register(ORDERS, NEXT)
    assert caught.value.code == "InvalidInputException"


@pytest.mark.parametrize(("mode", "status"), [("BACKWARD", "AVAILABLE"), ("BACKWARD_ALL", "FAILURE")])
async def test_every_earlier_version_counts_under_all(delegate: Delegate, mode: str, status: str) -> None:
    """A field of Avro comes back with another type: the version before has no say in it, the first one has."""
    glue = Glue(open_glue(delegate))
    registry = f"all-{mode}"
    await glue.ask("CreateRegistry", RegistryName=registry)
    fields = [[{"name": "b", "type": "int"}], [], [{"name": "b", "type": "string", "default": ""}]]
    versions = [json.dumps({"type": "record", "name": "Order", "fields": each}) for each in fields]
    await glue.ask(
        "CreateSchema", RegistryId={"RegistryName": registry}, SchemaName="orders", DataFormat="AVRO",
        Compatibility=mode, SchemaDefinition=versions[0],
    )  # fmt: skip
    name = id_of(SchemaName(registry, "orders"))
    told = [await glue.ask("RegisterSchemaVersion", SchemaId=name, SchemaDefinition=each) for each in versions[1:]]
    assert [each["Status"] for each in told] == ["AVAILABLE", status]


@pytest.mark.parametrize(
    ("operation", "body", "code"),
    [
        ("GetTables", {}, "UnknownOperationException"),
        ("RegisterSchemaVersion", {}, "InvalidInputException"),
        ("RegisterSchemaVersion", {"SchemaId": "x", "SchemaDefinition": 5}, "InvalidInputException"),
        ("GetSchemaVersion", {"SchemaVersionId": ["x"]}, "InvalidInputException"),
        ("GetSchemaVersion", {}, "InvalidInputException"),
        ("CreateSchema", {"SchemaName": "s", "DataFormat": "JSON", "Compatibility": "FULL", "SchemaDefinition": "{"},
         "InvalidInputException"),
        ("CreateSchema", {"SchemaName": "s","DataFormat": "PROTOBUF", "Compatibility": "FULL",
          "SchemaDefinition": "m"},
         "InvalidInputException"),
    ],
)  # fmt: skip
async def test_bad_requests_get_an_error_of_glue(
    delegate: Delegate, operation: str, body: dict[str, Any], code: str
) -> None:
    """A 400 with a code of the API, whatever moto makes of the request."""
    with pytest.raises(ServiceRefused) as caught:
        await Glue(open_glue(delegate)).ask(operation, **body)
    assert (caught.value.code, caught.value.status) == (code, 400)


@pytest.mark.parametrize(("body", "code"), [(b"[1]", "SerializationException"), (b"{", "SerializationException")])
async def test_a_body_that_is_no_object(delegate: Delegate, body: bytes, code: str) -> None:
    """Answered before moto sees it."""
    answer = await open_glue(delegate).handle(make_request("AWSGlue.GetSchema", body))
    assert isinstance(answer.body, bytes)
    assert (answer.status, json.loads(answer.body)["__type"]) == (400, code)


@pytest.mark.parametrize(
    ("operation", "body", "resource"),
    [
        ("RegisterSchemaVersion", {"SchemaId": id_of(ORDERS)}, "schema/mesh/orders"),
        ("GetSchemaVersion", {"SchemaId": {"SchemaArn": "arn:aws:glue:eu-west-1:1:schema/r/s"}}, None),
        ("CreateSchema", {"RegistryId": {"RegistryName": "mesh"}, "SchemaName": "orders"}, "schema/mesh/orders"),
        ("DeleteRegistry", {"RegistryId": {"RegistryName": "mesh"}}, "registry/mesh"),
        ("CreateRegistry", {"RegistryName": "mesh"}, "registry/mesh"),
        ("GetSchemaVersion", {"SchemaVersionId": "x"}, "*"),
        ("ListRegistries", {}, "*"),
    ],
)
def test_the_permission_of_a_request(
    delegate: Delegate, operation: str, body: dict[str, Any], resource: str | None
) -> None:
    """The operation on its schema or registry, as the service authorization reference has them."""
    (needed,) = open_glue(delegate).permissions(make_request(f"AWSGlue.{operation}", json.dumps(body).encode()))
    arn = f"arn:aws:glue:{REGION}:123456789012:{resource}" if resource and resource != "*" else resource
    assert (needed.action, needed.resource) == (f"glue:{operation}", arn or "arn:aws:glue:eu-west-1:1:schema/r/s")
