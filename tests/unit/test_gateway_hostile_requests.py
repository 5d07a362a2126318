"""What a client may send never becomes a 5xx, and a schema never makes the gateway fetch or loop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.gateway.errors import DefinitionError, GatewayError
from localcloud.gateway.validation import BodyValidator
from tests.unit.gateway_setup import FakeFunctions, ask, deploy_jobs_api, make_stage, mock, proxy

HEADERS = {"Authorization": "Bearer t", "Content-Type": "application/json"}
NESTED = {"type": "object", "properties": {"m": {"$ref": "#/components/schemas/M"}}}


def _checked(schema: dict[str, Any]) -> dict[str, Any]:
    operation = {**mock(), "requestBody": {"content": {"application/json": {"schema": schema}}}}
    return {"/a": {"post": {**operation, "x-amazon-apigateway-request-validator": "b"}}}


def _parts(**schemas: object) -> dict[str, Any]:
    return {
        "components": {"schemas": schemas},
        "x-amazon-apigateway-request-validators": {"b": {"validateRequestBody": True}},
    }


QUOTING = {
    "x-amazon-apigateway-gateway-responses": {
        "BAD_REQUEST_BODY": {
            "responseTemplates": {"application/json": '{"said":"$context.error.validationErrorString"}'}
        }
    }
}


@pytest.mark.parametrize(
    "body",
    [b'{"prompt":"a","\\ud800":1}', b'{"prompt":"' + b"\\ud800" * 5 + b'"}'],
    ids=["a member's name", "a text that is too long"],
)
async def test_half_a_character_that_the_validator_quotes_is_the_clients_fault(body: bytes) -> None:
    """An answer that quotes the body replaces what UTF-8 cannot write, and the status stays 400."""
    schema = {"properties": {"prompt": {"type": "string", "maxLength": 4}}, "additionalProperties": False}
    stage = make_stage(_checked(schema), **_parts(), **QUOTING)
    answer = await ask(stage, "POST", "/a", body)
    assert answer.status == 400
    assert "?" in json.loads(answer.body)["said"]


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"prompt":"a"}',
        '{"prompt":"a"}'.encode("utf-16"),
        '{"prompt":"a"}'.encode("utf-32-le"),
        b'{"prompt":"\xed\xa0\x80"}',
        b'{"prompt":"\xff"}',
    ],
    ids=["byte order mark", "UTF-16", "UTF-32", "an encoded surrogate", "no UTF-8"],
)
async def test_a_body_that_would_not_arrive_byte_for_byte_is_refused(body: bytes) -> None:
    """A body is UTF-8 to the letter: what validation reads is what the queue holds and the worker can parse."""
    api = await deploy_jobs_api()
    answer = await api.ask("POST", "/jobs", body, HEADERS)
    assert (answer.status, json.loads(answer.body)["type"]) == (400, "/problems/invalid-body")
    assert api.requests == []


async def test_a_body_deeper_than_a_recursive_schema_can_be_followed_is_the_clients_fault() -> None:
    """A schema may refer to itself; a body that goes very deep is refused with 400."""
    stage = make_stage(_checked({"$ref": "#/components/schemas/M"}), **_parts(M=NESTED))
    shallow, deep = (b'{"m":' * depth + b"{}" + b"}" * depth for depth in (5, 400))
    assert (await ask(stage, "POST", "/a", shallow)).status == 200
    assert (await ask(stage, "POST", "/a", deep)).status == 400


@pytest.mark.parametrize(
    ("schema", "schemas", "words"),
    [
        ({"$ref": "http://127.0.0.1:9/x"}, {}, "leads out of the document"),
        ({"$ref": "other.yaml#/M"}, {}, "leads out of the document"),
        ({"$ref": "#/components/schemas/N"}, {}, "leads nowhere"),
        ({"$ref": "#/components/schemas/M"}, {"M": {"$ref": "#/components/schemas/M"}}, "leads to itself only"),
        ({"items": {"$ref": "#/components/schemas/M"}}, {"M": {"not": {"$ref": "file:///x"}}}, "leads out"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_refused_at_deployment(
    schema: dict[str, Any], schemas: dict[str, Any], words: str
) -> None:
    """Every reference that a schema can reach ends inside the document; nothing is fetched when a request comes."""
    with pytest.raises(DefinitionError, match=words):
        make_stage(_checked(schema), **_parts(**schemas))


def test_references_into_lists_and_escaped_names_are_followed() -> None:
    """A reference is a URI fragment that holds a JSON pointer (RFC 6901), and a property may be named $ref."""
    schema = {"anyOf": [{"$ref": "#/components/schemas/a~1b%20c/anyOf/0"}], "properties": {"$ref": {"type": "string"}}}
    make_stage(_checked(schema), **_parts(**{"a/b c": {"anyOf": [{"type": "object"}]}}))


def test_a_validator_fetches_nothing() -> None:
    """Even a schema that was never checked looks nothing up outside itself."""
    with pytest.raises(Exception, match="Unresolvable"):
        BodyValidator({"$ref": "http://127.0.0.1:9/x"}).check(b"{}")


async def test_a_gateway_response_header_that_would_break_the_line_is_left_out() -> None:
    """A header mapped from the query string cannot start another header."""
    parameters = {"gatewayresponse.header.X": "method.request.querystring.q"}
    root: dict[str, Any] = {
        "x-amazon-apigateway-gateway-responses": {"DEFAULT_5XX": {"responseParameters": parameters}}
    }
    stage = make_stage({"/a": {"get": proxy()}}, functions=FakeFunctions({"work": b"no reply"}), **root)
    assert (await ask(stage, "GET", "/a", query="q=fine")).header("X") == "fine"
    assert (await ask(stage, "GET", "/a", query="q=a%0D%0ASet-Cookie:%20b")).header("X") is None


async def test_half_a_character_in_a_functions_header_is_the_functions_fault() -> None:
    """What cannot be written on the wire is a malformed reply: 502, as for control characters."""
    reply = b'{"statusCode":200,"headers":{"x":"\\ud800"},"body":""}'
    stage = make_stage({"/a": {"get": proxy()}}, functions=FakeFunctions({"work": reply}))
    assert (await ask(stage, "GET", "/a")).status == 502


def test_a_body_that_is_no_utf_8_is_no_json() -> None:
    """The validator's words for it are those of a body that is no JSON."""
    with pytest.raises(GatewayError) as caught:
        BodyValidator({"type": "object"}).check(b'{"a":"\xff"}')
    assert caught.value.validation == "[Invalid JSON]"
