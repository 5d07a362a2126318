"""Custom domain names of REST APIs: what a name and a base path lead to, and what a function sees of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import SystemClock
from localcloud.gateway.domain_resources import domain_handlers
from localcloud.gateway.domains import Domains, Mapped
from localcloud.gateway.exchange import Stage
from localcloud.gateway.message import HttpRequest
from localcloud.gateway.openapi import read_api
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext
from tests.unit.gateway_setup import ACCOUNT, REGION, FakeFunctions, FakeRoles, Recorder, proxy

CONTEXT = StackContext("stack", REGION, ACCOUNT, "aws", Path())
NAME = "api.example.com"


def domains(**mappings: tuple[str, str]) -> Domains:
    """One name with these mappings; `root` is the one without a base path."""
    known = Domains()
    known.add(NAME).mappings.update({"" if base == "root" else base: to for base, to in mappings.items()})
    return known


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/jobs/1", Mapped("a", "v1", "", "/jobs/1")),
        ("/", Mapped("a", "v1", "", "/")),
        ("/old/jobs", Mapped("b", "v0", "/old", "/jobs")),
        ("/old", Mapped("b", "v0", "/old", "/")),
        ("/older/jobs", Mapped("a", "v1", "", "/older/jobs")),
        ("/any/test/jobs", Mapped("c", "test", "/any", "/jobs")),
    ],
)
def test_a_base_path_is_one_whole_part(path: str, found: Mapped) -> None:
    """The first part of the path chooses a mapping, else the one without; a mapping without a stage takes the next."""
    known = domains(root=("a", "v1"), old=("b", "v0"), any=("c", ""))
    assert known.find(NAME, path) == found


def test_nothing_is_found_where_nothing_is_mapped() -> None:
    """Under another name, and under a name whose mappings do not take the path."""
    known = domains(old=("b", "v0"))
    assert (known.find(NAME, "/jobs"), known.find("other.example.com", "/old")) == (None, None)


@given(st.sampled_from([NAME, NAME.upper(), f"{NAME}:8080"]), st.text("ab/%.", max_size=8))
def test_a_host_is_taken_whatever_its_case_and_port(host: str, rest: str) -> None:
    """And no path is lost: what the base path does not take is below the stage."""
    known = domains(root=("a", "v1"))
    assert known.find(host, f"/{rest}") == Mapped("a", "v1", "", f"/{rest}")


async def make(kind: str, logical_id: str, gateway: Gateway, **properties: Any) -> Physical:
    handlers = {handler.type: handler for handler in domain_handlers(gateway)}
    return await handlers[f"AWS::ApiGateway::{kind}"].create(Resource(logical_id, kind, properties, CONTEXT))


@pytest.mark.parametrize(
    ("region", "zone"),
    [("us-east-1", "Z1UJRXOUMOOFQ8"), ("us-west-2", "Z2OJLYMUO9EFXC"), ("eu-west-1", "ZLY8HYME6SFDD"), ("xx-1", None)],
)
async def test_an_alias_goes_to_the_zone_of_its_region(region: str, zone: str | None) -> None:
    """Each Region's regional endpoints stand in a zone of their own; a Region that is not known has no attribute."""
    handler = domain_handlers(make_gateway(FakeFunctions({})))[0]
    context = StackContext("stack", region, ACCOUNT, "aws", Path())
    made = await handler.create(Resource("Name", handler.type, {"DomainName": NAME}, context))
    assert (handler.type, made.attributes.get("RegionalHostedZoneId")) == ("AWS::ApiGateway::DomainName", zone)


def make_gateway(functions: Any) -> Gateway:
    backends = Backends(functions, Recorder(), FakeRoles())
    gateway = Gateway(backends=backends, clock=SystemClock(), random=random.Random(1))
    paths = {"/jobs": {"get": proxy()}}
    body = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths}
    gateway.deploy(read_api(body, api_id="abc123", region=REGION, account_id=ACCOUNT), Stage("v1", "dep"))
    return gateway


async def test_a_function_sees_the_name_and_the_base_path() -> None:
    """`path` and the context's keep the base path; host and prefix are the name's; the stage is the mapped one."""
    functions = FakeFunctions({"work": b'{"statusCode": 200}'})
    gateway = make_gateway(functions)
    made = await make("DomainName", "Name", gateway, DomainName=NAME)
    await make("BasePathMapping", "Map", gateway, DomainName=made.ref, RestApiId="abc123", Stage="v1", BasePath="shop")
    answer = await gateway.handle(HttpRequest("GET", "/shop/jobs", "", (("Host", NAME),), b"", host=f"{NAME}:4601"))
    assert answer.status == 200
    event = functions.events[0][1]
    assert (event["path"], event["resource"], event["headers"]["Host"]) == ("/shop/jobs", "/jobs", NAME)
    context = event["requestContext"]
    assert (context["path"], context["domainName"], context["domainPrefix"]) == ("/shop/jobs", NAME, "api")
    assert context["stage"] == "v1"


async def test_what_is_not_mapped_is_forbidden() -> None:
    """403 under a known name, also for a path that would name an API and a stage; the API's own address still works."""
    functions = FakeFunctions({"work": b'{"statusCode": 200}'})
    gateway = make_gateway(functions)
    await make("DomainName", "Name", gateway, DomainName=NAME)
    statuses = [
        (await gateway.handle(HttpRequest("GET", path, "", (), b"", host=host))).status
        for host, path in ((NAME, "/jobs"), (NAME, "/abc123/v1/jobs"), ("127.0.0.1:4601", "/abc123/v1/jobs"))
    ]
    assert statuses == [403, 403, 200]


async def test_an_alias_is_regional_and_the_same_every_time() -> None:
    """Route 53 is pointed at it: a name under execute-api, with the Region."""
    gateway = make_gateway(FakeFunctions())
    made = await make("DomainName", "Name", gateway, DomainName=NAME)
    alias = made.attributes["RegionalDomainName"]
    assert alias.startswith("d-")
    assert alias.endswith(f".execute-api.{REGION}.amazonaws.com")
    again = await make("DomainName", "Name", make_gateway(FakeFunctions()), DomainName=NAME)
    assert again.attributes == made.attributes


@pytest.mark.parametrize(
    ("kind", "properties", "said"),
    [
        ("DomainName", {"DomainName": "no name"}, "DomainName"),
        ("DomainName", {"DomainName": "*.example.com"}, "wildcard"),
        ("DomainName", {"DomainName": NAME.upper()}, "exists already"),
        ("BasePathMapping", {"DomainName": "other.example.com", "RestApiId": "abc123"}, "no domain name"),
        ("BasePathMapping", {"DomainName": NAME, "RestApiId": "abc123", "BasePath": "a/b"}, "one part"),
        ("BasePathMapping", {"DomainName": NAME, "RestApiId": "abc123", "BasePath": "(none)"}, "mapped already"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_property(kind: str, properties: Any, said: str) -> None:
    """A name that is none or taken, a mapping of another stack's name, and one that is there."""
    gateway = make_gateway(FakeFunctions())
    await make("DomainName", "Name", gateway, DomainName=NAME)
    await make("BasePathMapping", "Map", gateway, DomainName=NAME, RestApiId="abc123", Stage="v1")
    with pytest.raises(TemplateError, match=said):
        await make(kind, "Second", gateway, **properties)


async def test_what_was_unmade_is_gone() -> None:
    """A mapping first, then the name, which may be made again."""
    gateway = make_gateway(FakeFunctions({"work": b'{"statusCode": 200}'}))
    handlers = domain_handlers(gateway)
    name = Resource("Name", handlers[0].type, {"DomainName": NAME}, CONTEXT)
    mapping = Resource("Map", handlers[1].type, {"DomainName": NAME, "RestApiId": "abc123", "Stage": "v1"}, CONTEXT)
    made, mapped = await handlers[0].create(name), await handlers[1].create(mapping)
    asked = HttpRequest("GET", "/jobs", "", (), b"", host=NAME)
    assert (await gateway.handle(asked)).status == 200
    await handlers[1].delete(mapping, mapped)
    assert (await gateway.handle(asked)).status == 403
    await handlers[0].delete(name, made)
    await handlers[0].create(name)
