"""Bodies of REST APIs: bytes for text and back as `contentHandling` says, and compressed ones."""

from __future__ import annotations

import base64
import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.gateway.compression import pack_answer, unpack_request
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.services.contract import WireResponse
from tests.unit.gateway_setup import ACCOUNT, REGION, ROLE, lambda_uri
from tests.unit.rest_setup import Rest, make_rest

PNG = b"\x89PNG\xff\x00"
TEXT = base64.b64encode(PNG)


async def _service(*, types: list[str], response: dict[str, Any] | None = None, **integration: Any) -> Rest:
    """`POST /` of an API with these binary types."""
    rest = await make_rest(BinaryMediaTypes=types)
    given = {
        "Type": "AWS",
        "IntegrationHttpMethod": "POST",
        "Uri": f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/q",
        "Credentials": ROLE,
        "IntegrationResponses": [{"StatusCode": 200, **(response or {})}],
    }
    await rest.method(rest.root, "POST", Integration={**given, **integration})
    await rest.deploy()
    return rest


# Content-Type, ContentHandling, what was sent, what the integration gets: the table of the documentation
REQUESTS: list[tuple[list[str], str, str, bytes, bytes]] = [
    ([], "text/plain", "", b"h\xc3\xa9", b"h\xc3\xa9"),
    ([], "image/png", "CONVERT_TO_BINARY", TEXT, PNG),
    ([], "image/png", "", PNG, PNG.decode("utf-8", "replace").encode()),
    (["image~1png"], "text/plain", "CONVERT_TO_TEXT", b"\xff", "\ufffd".encode()),
    ([], "text/plain", "CONVERT_TO_TEXT", b"hi", b"hi"),
    (["image~1png"], "text/plain", "", b"hi", b"hi"),
    (["image~1png"], "text/plain", "CONVERT_TO_BINARY", TEXT, PNG),
    (["image~1png"], "text/plain", "CONVERT_TO_TEXT", b"hi", b"hi"),
    (["image~1png"], "image/png", "", PNG, PNG),
    (["image/*"], "image/png", "CONVERT_TO_BINARY", PNG, PNG),
    (["*/*"], "image/png", "CONVERT_TO_TEXT", PNG, TEXT),
]


@pytest.mark.parametrize(("types", "content_type", "handling", "sent", "expected"), REQUESTS)
async def test_the_integration_gets_bytes_or_text(
    types: list[str], content_type: str, handling: str, sent: bytes, expected: bytes
) -> None:
    """Every row for requests."""
    rest = await _service(types=types, **({"ContentHandling": handling} if handling else {}))
    assert (await rest.ask("POST", "/", sent, content_type=content_type)).status == 200
    assert rest.aws.requests[0].body == expected


# Accept, the integration's type, ContentHandling, its body, what the client gets
ANSWERS: list[tuple[list[str], str, str, str, bytes, bytes]] = [
    ([], "text/plain", "image/png", "", PNG, PNG.decode("utf-8", "replace").encode()),
    ([], "text/plain", "image/png", "CONVERT_TO_BINARY", TEXT, PNG),
    ([], "text/plain", "image/png", "CONVERT_TO_TEXT", b"hi", b"hi"),
    (["image/png"], "text/plain", "text/plain", "", b"hi", b"hi"),
    (["image/png"], "text/plain", "text/plain", "CONVERT_TO_BINARY", TEXT, PNG),
    (["image/png"], "image/png", "text/plain", "", TEXT, PNG),
    (["image/png"], "image/png,*/*", "text/plain", "CONVERT_TO_BINARY", TEXT, PNG),
    (["image/png"], "image/png", "text/plain", "CONVERT_TO_TEXT", TEXT, TEXT),
    (["image/png"], "text/plain", "image/png", "", PNG, TEXT),
    (["image/png"], "text/plain", "image/png", "CONVERT_TO_BINARY", PNG, PNG),
    (["image/png"], "text/plain", "image/png", "CONVERT_TO_TEXT", PNG, TEXT),
    (["image/png"], "image/png", "image/png", "", PNG, PNG),
    (["image/png"], "image/png", "image/png", "CONVERT_TO_TEXT", PNG, TEXT),
    ([], "text/plain", "text/plain", "", b"\xff", "\ufffd".encode()),  # text is UTF-8, whatever came
    (["image/png"], "image/png", "text/plain", "CONVERT_TO_TEXT", b"\xff", "\ufffd".encode()),
]


@pytest.mark.parametrize(("types", "accept", "content_type", "handling", "body", "expected"), ANSWERS)
async def test_the_client_gets_bytes_or_text(
    types: list[str], accept: str, content_type: str, handling: str, body: bytes, expected: bytes
) -> None:
    """Every row for answers."""
    rest = await _service(types=types, response={"ContentHandling": handling} if handling else None)
    rest.aws.answer = WireResponse(200, body, {"Content-Type": content_type})
    answer = await rest.ask("POST", "/", b"{}", accept=accept)
    assert (answer.status, answer.body) == (200, expected)


async def test_a_template_reads_bytes_as_text_only() -> None:
    """A 500 without CONVERT_TO_TEXT, base64 with it."""
    template = {"RequestTemplates": {"image/png": "<$input.body>"}}
    rest = await _service(types=["image/png"], **template)
    assert (await rest.ask("POST", "/", PNG, content_type="image/png")).status == 500
    rest = await _service(types=["image/png"], ContentHandling="CONVERT_TO_TEXT", **template)
    assert (await rest.ask("POST", "/", PNG, content_type="image/png")).status == 200
    assert rest.aws.requests[0].body == b"<" + TEXT + b">"


async def test_text_that_is_no_base64_cannot_be_bytes() -> None:
    """A 500 each way, also where only the client asks for bytes: the API is configured so."""
    rest = await _service(types=[], ContentHandling="CONVERT_TO_BINARY")
    assert (await rest.ask("POST", "/", b"not base64!")).status == 500
    rest = await _service(types=[], response={"ContentHandling": "CONVERT_TO_BINARY"})
    rest.aws.answer = WireResponse(200, b"not base64!")
    assert (await rest.ask("POST", "/", b"{}")).status == 500
    rest = await _service(types=["image/png"])
    rest.aws.answer = WireResponse(200, b"<html>", {"Content-Type": "text/html"})
    assert (await rest.ask("POST", "/", b"{}", accept="image/png")).status == 500
    assert (await rest.ask("POST", "/", b"{}", accept="text/html")).status == 200


async def _packing(**properties: Any) -> Rest:
    """`POST /` of a function that answers 100 letters."""
    rest = await make_rest(**properties)
    proxy = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": lambda_uri("work")}
    await rest.method(rest.root, "POST", Integration=proxy)
    await rest.deploy()
    rest.functions.replies["work"] = b'{"statusCode":200,"body":"' + b"a" * 100 + b'"}'
    return rest


@pytest.mark.parametrize(
    ("coding", "packed"), [("gzip", gzip.compress(b"\xc3\xa9", mtime=0)), ("deflate", zlib.compress(b"\xc3\xa9"))]
)
async def test_requests_are_unpacked_always(coding: str, packed: bytes) -> None:
    """Before anything reads them; the coding is gone from the headers."""
    rest = await _packing()
    assert (await rest.ask("POST", "/", packed, content_encoding=coding)).status == 200
    event = rest.functions.events[0][1]
    assert event["body"] == "é"
    assert "content-encoding" not in {name.lower() for name in event["headers"]}


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"x"),
        ("gzip", b"x"),
        ("deflate", b"x"),
        ("gzip", gzip.compress(b"x", mtime=0)[:-1]),
        ("gzip", gzip.compress(b"x", mtime=0) + b"y"),
    ],
)
async def test_what_cannot_be_unpacked_is_415(coding: str, body: bytes) -> None:
    """Another coding, or a body that is not of it."""
    rest = await _packing()
    answer = await rest.ask("POST", "/", body, content_encoding=coding)
    assert (answer.status, answer.body) == (415, b'{"message":"Unsupported Media Type"}')
    assert rest.functions.events == []


async def test_a_small_body_that_unpacks_to_more_than_10_mb_is_413() -> None:
    """And is unpacked no further than that."""
    rest = await _packing()
    answer = await rest.ask("POST", "/", gzip.compress(bytes(10 * 1024 * 1024 + 1)), content_encoding="gzip")
    assert (answer.status, answer.body) == (413, b'{"message":"Request Too Long"}')


def _unpacked(answer: HttpResponse) -> tuple[str | None, bytes]:
    coding = answer.header("content-encoding")
    return coding, zlib.decompress(answer.body, 31 if coding == "gzip" else 15) if coding else answer.body


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate"),
        ("deflate;q=0.5, gzip;q=0.8", "gzip"),
        ("gzip;q=0", None),
        ("br, gzip;q=0.9", None),  # what the client likes best must be known
        ("*", None),
        ("", None),
        ("identity", None),
        ("gzip;q=x", None),
    ],
)
async def test_answers_are_packed_in_the_clients_favourite_coding(accepted: str, coding: str | None) -> None:
    """From `MinimumCompressionSize` on."""
    rest = await _packing(MinimumCompressionSize=100)
    answer = await rest.ask("POST", "/", accept_encoding=accepted)
    assert _unpacked(answer) == (coding, b"a" * 100)


async def test_answers_are_not_packed_where_the_api_or_the_answer_says_so() -> None:
    """Too small, no size set, or packed by the function already."""
    for properties in ({}, {"MinimumCompressionSize": 101}):
        rest = await _packing(**properties)
        assert (await rest.ask("POST", "/", accept_encoding="gzip")).header("content-encoding") is None
    rest = await _packing(MinimumCompressionSize=0)
    rest.functions.replies["work"] = b'{"statusCode":200,"body":"x","headers":{"Content-Encoding":"mine"}}'
    answer = await rest.ask("POST", "/", accept_encoding="gzip")
    assert (answer.header("content-encoding"), answer.body) == ("mine", b"x")


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "identity", "br"]))
def test_no_body_breaks_the_unpacking(body: bytes, coding: str) -> None:
    """Whatever comes is unpacked within the limit, or refused as a client's fault."""
    request = HttpRequest("POST", "/", "", (("Content-Encoding", coding), ("A", "b")), body)
    refused, unpacked = 0, request
    try:
        unpacked = unpack_request(request, limit_bytes=1000)
    except GatewayError as error:
        refused = error.status
    assert refused in {0, 413, 415}
    assert len(unpacked.body) <= 1000
    assert unpacked.header("a") == "b"


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate"]))
def test_what_is_packed_unpacks_to_itself(body: bytes, coding: str) -> None:
    """An answer that is packed for a client is a request that the gateway unpacks."""
    asked = HttpRequest("GET", "/", "", (("Accept-Encoding", coding),), b"")
    packed = pack_answer(asked, HttpResponse(200, (), body), from_bytes=0)
    sent = HttpRequest("POST", "/", "", packed.headers, packed.body)
    assert unpack_request(sent, limit_bytes=2000).body == body
