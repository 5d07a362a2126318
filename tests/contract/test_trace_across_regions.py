"""One trace id follows a request through both Regions: every call that leads from one to the other has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sluiceway import settings
from sluiceway.aws.failover import HttpProber
from sluiceway.aws.wire import Wire
from sluiceway.codec import rest
from sluiceway.region.records import open_records
from tests.unit.wire_server import always, answer, environ, raw_server

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
TRACE = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"
EAST, WEST = "us-east-1", "us-west-2"


@contextmanager
def traced(header: str) -> Iterator[None]:
    """Within an invocation with this X-Ray header."""
    token = settings.TRACE.set(header)
    try:
        yield
    finally:
        settings.TRACE.reset(token)


async def test_calls_to_the_other_regions_tables_have_the_trace_of_the_request() -> None:
    """The home asks the earlier home about a key, and reads the term: both as parts of the request's own trace."""
    async with raw_server(always(answer(200, b"{}"))) as server:
        given = environ(
            AWS_REGION=EAST,
            AWS_LAMBDA_FUNCTION_NAME="publish_records",
            AWS_ENDPOINT_URL_DYNAMODB=server.url,
            IDEMPOTENCY_TABLE="keys",
            IDEMPOTENCY_TIER="home",
            REGION_GROUP="shop",
            REGIONS=f"{EAST},{WEST}",
            REGIONS_TABLE="doubts",
            TERMS_TABLE="terms",
            TERMS_REGION=EAST,
        )
        async with Wire.open(given) as wire, open_records(given, wire) as records:
            for header in (TRACE, f"Root={ROOT[:-1]}4"):
                with traced(header):
                    await records.tables()[WEST].get_item({"id": "orders#1"})
                    await records.terms.get("shop")
        sent = [
            (each.headers["authorization"].split("/")[2], each.headers["x-amzn-trace-id"]) for each in server.requests
        ]
        assert sent == [(WEST, TRACE), (EAST, TRACE), (WEST, f"Root={ROOT[:-1]}4"), (EAST, f"Root={ROOT[:-1]}4")]


async def test_a_look_at_the_other_region_has_the_trace_and_its_root_as_correlation_id() -> None:
    """What check_health logs there has the id of the look that caused it; one without a trace has neither."""
    async with raw_server(always(answer(200))) as server:
        prober = HttpProber(f"{server.url}/health")
        with traced(TRACE):
            assert await prober.status(within_s=5) == 200
        assert await prober.status(within_s=5) == 200
        with_trace, without = server.requests
        assert (with_trace.headers["x-amzn-trace-id"], with_trace.headers["x-correlation-id"]) == (TRACE, ROOT)
        assert not {"x-amzn-trace-id", "x-correlation-id"} & set(without.headers)
    event = {
        "httpMethod": "GET", "path": "/health", "headers": with_trace.headers, "multiValueHeaders": None,
        "queryStringParameters": None, "multiValueQueryStringParameters": None, "pathParameters": None, "body": None,
        "isBase64Encoded": False, "requestContext": {"requestId": "r1", "resourcePath": "/health", "stage": "v1"},
        "resource": "/health",
    }  # fmt: skip
    assert rest.correlation_id(rest.decode(event)) == ROOT


@pytest.mark.parametrize("header", ["Self=1-x", "Sampled=0", "Lineage=a:1|b:2"])
async def test_a_trace_without_a_root_is_passed_on_as_it_is(header: str) -> None:
    """And gives no correlation id."""
    async with raw_server(always(answer(200))) as server:
        with traced(header):
            assert await HttpProber(f"{server.url}/health").status(within_s=5) == 200
        (request,) = server.requests
        assert request.headers["x-amzn-trace-id"] == header
        assert "x-correlation-id" not in request.headers


async def test_what_cannot_be_a_header_is_not_sent() -> None:
    """The look is made all the same."""
    async with raw_server(always(answer(200))) as server:
        with traced(f"{TRACE}\r\nx-evil: 1"):
            assert await HttpProber(f"{server.url}/health").status(within_s=5) == 200
        (request,) = server.requests
        assert not {"x-amzn-trace-id", "x-correlation-id", "x-evil"} & set(request.headers)
